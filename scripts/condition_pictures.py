"""The pictures of docs/conditions.md: every control map of the example and of two real places."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import numpy as np
import pandas as pd
import typer

from rsaug.aoi import in_degrees
from rsaug.cli.group import Commands
from rsaug.conditioning import make_conditions_plan
from rsaug.conditions.stack import SLOTS
from rsaug.grid import Tile, TileGrid
from rsaug.ground import Ground
from rsaug.layers import Whole
from rsaug.options import ConditionsOptions
from rsaug.pictures import Panel, contact_sheet, stack_panels, write_png
from rsaug.raster import read_rgb
from rsaug.roads import road_surfaces
from rsaug.scene import Scene
from rsaug.sheets import tile_panels
from rsaug.sources import open_source

app = typer.Typer(cls=Commands, help=__doc__, no_args_is_help=True)

ROOT = Path(__file__).parents[1]
HELSINKI = ROOT / "examples" / "helsinki"
CHANNELS = "soft,centreline,distance,direction,junction,class,lanes"

Out = Annotated[Path, typer.Option(help="The picture, a .png.")]


@app.command("example")
def draw_example(out: Out = ROOT / "docs/images/conditions-helsinki.png") -> None:
    """Controls, labels and road channels of two tiles of Helsinki."""
    plan = make_conditions_plan(
        ConditionsOptions(
            roads=str(HELSINKI / "roads.geojson"),
            landcover=str(HELSINKI / "landcover.geojson"),
            buildings=str(HELSINKI / "buildings.geojson"),
            aoi="24.942,60.166,24.946,60.169",
            channels=CHANNELS,
            labels="buildings-roads",
            out="not-written",
        )
    )
    tiles = sorted(plan.tiles, key=lambda tile: -float(plan.scene.road_mask(tile).mean()))[:2]
    panels = [panel for tile in tiles for panel in tile_panels(plan, tile)]
    write_png(out, contact_sheet(panels, 7, 0.75))


@app.command("places")
def draw_places(
    data: Annotated[Path, typer.Option(help="Folder that holds naip-roads.", envvar="RSAUG_DATA")],
    out: Out = ROOT / "docs/images/conditions-naip.png",
) -> None:
    """Image and controls of the two val places with the most mapped areas."""
    folder = data / "naip-roads"
    index = pd.read_csv(folder / "index.csv")
    years = pd.read_csv(folder / "captions.csv")[["place", "image_year"]]
    val = index[index["split"] == "val"].merge(
        years, left_on=["place", "year"], right_on=["place", "image_year"]
    )
    drawn = []
    for name in val["id"]:
        path = folder / "rgb" / f"{name}.tif"
        tile = Tile.from_raster(path)
        scene = _scene_of(folder, tile)
        mask, stack = scene.controls(tile, SLOTS)
        covered = float((scene.class_map(tile, mask) > 0).mean())
        drawn.append((covered * (mask.mean() > 0.08), path, stack))
    drawn.sort(key=lambda entry: -entry[0])
    panels: list[Panel] = []
    for _, path, stack in drawn[:2]:
        panels.append(Panel("Aerial image (NAIP)", np.moveaxis(read_rgb(path), 0, -1)))
        panels += [
            panel for panel, given in zip(stack_panels(stack), stack.present, strict=True) if given
        ]
    write_png(out, contact_sheet(panels, len(panels) // 2, 0.75))


def _scene_of(folder: Path, tile: Tile) -> Scene:
    """Roads and areas around a real tile, to be drawn on the tile's own pixels."""
    left, bottom, right, top = tile.bounds
    bounds = in_degrees(tile.crs, (left - 50, bottom - 50, right + 50, top + 50))
    lines = open_source(folder / "roads.geojson").read(bounds)
    areas = open_source(folder / "landcover.geojson").read(bounds)
    return Scene(
        TileGrid(tile.crs, tile.gsd_m, tile.shape[0]),
        roads=Whole(road_surfaces(lines, tile.crs, allow_none=True)),
        landcover=Whole(Ground.of(areas, tile.crs, allow_none=True)),
    )


if __name__ == "__main__":
    app()
