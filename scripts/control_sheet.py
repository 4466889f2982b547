"""The pictures of docs/steering.md: what strength, interval, region and guidance of a control do.

Each row is one val place of a tile folder and one seed; only what the title says differs along it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from numpy.typing import NDArray
from PIL import Image

from rsaug.cli.group import Commands
from rsaug.conditions.image_edges import line_segments, sketch_strokes, soft_edges
from rsaug.conditions.landcover import colourise
from rsaug.conditions.stack import ControlStack
from rsaug.downstream.consistency import place_request
from rsaug.downstream.roadtiles import RoadTiles, read_road_tiles
from rsaug.pictures import Panel, contact_sheet, picture_of
from rsaug.pipelines.extractors.landcover import LandcoverNet
from rsaug.pipelines.generate import CRSDiffGenerator, load_generator
from rsaug.pipelines.settings import Settings
from rsaug.pipelines.train.rows import seen_seg
from rsaug.requests import TileRequest

app = typer.Typer(cls=Commands, help=__doc__)

_STRENGTHS = (0.0, 0.5, 1.0, 1.5)
_INTERVALS = ((0.0, 0.3), (0.3, 1.0))
_COLUMNS = 10


@app.command()
def draw(
    data: Annotated[Path, typer.Argument(help="Tile folder, e.g. naip-roads.")],
    out: Annotated[Path, typer.Option(help="The picture, a .jpg.")],
    control: Annotated[list[str], typer.Option(help="A control; may be given for each.")],
    model: Annotated[str, typer.Option(help="`default`, a folder or a hub id.")] = "default",
    places: Annotated[int, typer.Option(help="Places a control.", min=1)] = 1,
    seed: int = 0,
) -> None:
    """Rows of tiles: strengths 0 to 1.5, two intervals, the left half, guidance of maps alone."""
    generator = load_generator(model)
    tiles = read_road_tiles(data, "val", image_year_only=True)
    # Places with many roads and some of everything, by the share of road.
    order = np.argsort([-mask.mean() for mask in tiles.masks])
    panels: list[Panel] = []
    for name in control:
        for k in order[:: max(1, len(order) // (2 * places))][:places]:
            panels += _row(generator, tiles, int(k), name, seed)
    sheet = contact_sheet(panels, columns=_COLUMNS, scale=0.6)
    Image.fromarray(sheet).save(out, quality=88)
    typer.echo(f"{len(panels) // _COLUMNS} rows in {out}")


def _row(
    generator: CRSDiffGenerator, tiles: RoadTiles, k: int, control: str, seed: int
) -> list[Panel]:
    picture, maps = _map_of(control, tiles, k)
    rows, cols = tiles.masks.shape[1:]
    request = place_request(tiles, k, 0, seed, **maps)
    if control != "road":
        # The control by itself, so that nothing else draws what it draws.
        alone = ControlStack.from_maps((rows, cols), **maps)
        request = replace(request, controls=alone)
    half = np.zeros((rows, cols), dtype=np.float32)
    half[:, : cols // 2] = 1
    panels = [Panel("real", np.ascontiguousarray(tiles.images[k].transpose(1, 2, 0)))]
    panels.append(Panel(control, picture))
    base = generator.settings
    for strength in _STRENGTHS:
        settings = replace(base, strengths={control: strength})
        panels.append(_made(f"strength {strength:g}", generator, settings, request))
    for first, last in _INTERVALS:
        settings = replace(base, intervals={control: (first, last)})
        panels.append(_made(f"steps {first:g}-{last:g}", generator, settings, request))
    inside = replace(request, regions={control: half})
    panels.append(_made("left half", generator, base, inside))
    settings = replace(base, control_guidance=4.0)
    panels.append(_made("guidance 4", generator, settings, request))
    return panels


def _made(
    title: str, generator: CRSDiffGenerator, settings: Settings, request: TileRequest
) -> Panel:
    plain, generator.settings = generator.settings, settings
    image = generator.generate([request])[0]
    generator.settings = plain
    return Panel(title, np.ascontiguousarray(image.transpose(1, 2, 0)))


def _map_of(
    control: str, tiles: RoadTiles, k: int
) -> tuple[NDArray[np.uint8], dict[str, NDArray[np.generic]]]:
    """A control of a real tile as a picture, and as what is added to its road map."""
    rgb, mask = tiles.images[k], tiles.masks[k]
    if control == "road":
        return picture_of(mask, "binary"), {}
    if control == "seg":
        seen = LandcoverNet.load().classify(rgb, tiles.tiles[k].gsd_m)
        colours = colourise(seen_seg(seen, mask))
        return np.ascontiguousarray((colours * 255).astype(np.uint8).transpose(1, 2, 0)), {
            "seg": colours
        }
    draw: dict[str, Callable[[NDArray[np.uint8]], NDArray[np.generic]]] = {
        "mlsd": line_segments,
        "hed": soft_edges,
        "sketch": sketch_strokes,
    }
    values = draw[control](np.ascontiguousarray(rgb.transpose(1, 2, 0)))
    return picture_of(values, "grey"), {control: values}


if __name__ == "__main__":
    app()
