"""Make a run for the real places of a tile folder, to be judged by `rsaug evaluate`.

`rsaug synth` makes tiles on a grid of its own; these lie on the real tiles, so that synthetic and
real images can be compared place by place. The folder has the form of a run.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import typer
from numpy.typing import NDArray

from rsaug import __version__
from rsaug.cli import Commands
from rsaug.conditions.landcover import colourise, land_areas, landcover_map
from rsaug.downstream.consistency import place_request
from rsaug.downstream.roadtiles import RoadTiles, read_road_tiles
from rsaug.files import write_whole
from rsaug.folder import RunFolder, item_name
from rsaug.pipelines.generate import CRSDiffGenerator, Settings, load_generator
from rsaug.provenance import Provenance, controls_key, image_key, label_tags
from rsaug.raster import write_cog
from rsaug.record import now
from rsaug.stac import Description, make_item, to_json, write_catalogue
from rsaug.stackfile import write_stack
from rsaug.synthesis import TileRequest
from rsaug.vectors import read_vectors

app = typer.Typer(cls=Commands, help=__doc__, no_args_is_help=True)


@app.callback()
def _place_run() -> None:
    """A group, which ends in one sentence where something is wrong."""


@app.command()
def make(
    data: Annotated[Path, typer.Option(help="Folder of real tiles with roads.")],
    out: Annotated[Path, typer.Option(help="Folder of the run.")],
    places: Annotated[int, typer.Option(min=2, help="Places, spread evenly over split val.")] = 24,
    variants: Annotated[int, typer.Option(min=1, help="Images a place.")] = 2,
    landcover: Annotated[bool, typer.Option(help="Give the mapped land cover, too.")] = True,
    model: Annotated[str, typer.Option(help="`default`, a folder or a hub id.")] = "default",
    steps: Annotated[int | None, typer.Option(help="Denoising steps.")] = None,
    seed: int = 0,
    threads: Annotated[int | None, typer.Option(min=1, help="CPU threads.")] = None,
) -> None:
    """Make the images, one tile after the other."""
    if threads:
        torch.set_num_threads(threads)
    run = RunFolder(out)
    run.check()
    tiles = _spread(read_road_tiles(data, "val", image_year_only=True), places)
    size = tiles.masks.shape[1]
    generator = load_generator(model, Settings(steps=steps), tile_size=size)
    run.open()
    created, names = now(), []
    cover = data / "landcover.geojson"
    for k in range(len(tiles)):
        maps = {"seg": _cover(cover, tiles, k)} if landcover and cover.is_file() else {}
        for variant in range(variants):
            request = place_request(tiles, k, variant, seed, **maps)
            names.append(_write(run, request, tiles.masks[k], generator, created))
        typer.echo(f"{k + 1} of {len(tiles)} places", err=True)
    record = {
        "software": f"rsaug {__version__}",
        "created": created,
        "places": tiles.places.tolist(),
        "variants": variants,
        "seed": seed,
        "generator": generator.describe(),
    }
    write_whole(run.record, f"{json.dumps(record, indent=2)}\n".encode())
    write_catalogue(run, names, Description.of_images(out.name, data.name))


def _spread(tiles: RoadTiles, count: int) -> RoadTiles:
    """Some tiles, spread evenly, each with a name of its own: its number."""
    chosen = np.linspace(0, len(tiles) - 1, min(count, len(tiles))).round().astype(int)
    return replace(
        tiles,
        images=tiles.images[chosen],
        masks=tiles.masks[chosen],
        places=tiles.places[chosen],
        tiles=tuple(replace(tiles.tiles[k], row=int(k)) for k in chosen),
    )


def _cover(path: Path, tiles: RoadTiles, k: int) -> NDArray[np.float32]:
    """Colours of the mapped land cover of a tile with its roads, (3, rows, cols)."""
    areas = read_vectors(path)
    tile = tiles.tiles[k]
    here = areas[areas["place"] == tiles.places[k]]
    layers = [] if here.empty else [land_areas(here, tile.crs)]
    return colourise(landcover_map(layers, tiles.masks[k], tile))


def _write(
    run: RunFolder,
    request: TileRequest,
    mask: NDArray[np.uint8],
    generator: CRSDiffGenerator,
    created: str,
) -> str:
    """Make an image and write all its files; its name."""
    tile, controls, about = request.tile, request.controls, generator.describe()
    labels = controls_key(tile, controls)
    key = image_key(labels, request.seed, about, {})
    provenance = Provenance.of(about, key, request.seed, request.variant)
    (image,) = generator.generate([request])
    name = item_name(tile.name, request.variant)
    bands = ("red", "green", "blue")
    tags, xmp = provenance.tags(), provenance.xmp()
    write_cog(run.image(name), image, tile, descriptions=bands, tags=tags, xmp=xmp)
    what = label_tags("Road mask: 1 road, 0 elsewhere.", labels)
    write_cog(run.mask(tile.name), mask[np.newaxis], tile, descriptions=("road",), tags=what)
    write_stack(run.conditions(tile.name), controls, tile, label_tags("Control maps", labels))
    item = make_item(
        tile,
        provenance,
        run,
        collection=run.root.name,
        created=created,
        date=None,
        controls=controls.given,
        road_fraction=float(mask.mean()),
    )
    write_whole(run.item(name), to_json(item))
    return name


if __name__ == "__main__":
    app()
