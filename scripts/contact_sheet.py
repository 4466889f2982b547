"""Contact sheets: what the model was given and what it made of it, side by side.

`run` draws tiles of a folder of `rsaug synth`. `places` makes tiles for the val places of a tile
folder and draws them beside the real ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, TypeVar

import matplotlib.pyplot as plt
import numpy as np
import rasterio
import typer
from numpy.typing import NDArray

from rsaug.cli.group import Commands
from rsaug.conditions.landcover import colourise, land_areas, landcover_map
from rsaug.conditions.stack import CHANNEL_NAMES
from rsaug.downstream.consistency import place_request
from rsaug.downstream.roadtiles import read_road_tiles
from rsaug.errors import InputError
from rsaug.folder import RunFolder, item_name
from rsaug.pipelines.generate import load_generator
from rsaug.pipelines.settings import Settings
from rsaug.raster import read_rgb
from rsaug.storage import AnyPath
from rsaug.vectors import read_vectors

app = typer.Typer(cls=Commands, help=__doc__, no_args_is_help=True)

_INCHES, _DPI = 1.6, 150
_Thing = TypeVar("_Thing")

Row = dict[str, NDArray[np.uint8]]
"""Pictures by their titles, (rows, cols) or (rows, cols, 3)."""

Out = Annotated[Path, typer.Option(help="The picture; a .jpg or .png.")]
Rows = Annotated[int, typer.Option(min=1, help="Tiles, spread evenly over those there are.")]
Variants = Annotated[int, typer.Option(min=1, help="Images a tile.")]


@app.command("run")
def draw_run(
    folder: Annotated[Path, typer.Argument(help="Folder of a run.")],
    out: Out,
    rows: Rows = 6,
    variants: Variants = 3,
) -> None:
    """Land cover, road mask and variants of the tiles of a run."""
    run = RunFolder(folder)
    names = sorted(path.stem for path in run.root.glob("masks/*.tif"))
    if not names:
        raise InputError(f"{folder} holds no tile of a run.")
    sheet = []
    for name in _spread(names, rows):
        row: Row = {}
        controls = _read(run.conditions(name))
        seg = CHANNEL_NAMES.index("seg_r")
        if controls[seg : seg + 3].any():
            row["control: segmentation"] = _picture(controls[seg : seg + 3] * 255)
        road = CHANNEL_NAMES.index("road_r")
        row["control: road"] = _picture(controls[road] * 255)
        row["mask"] = _picture(_read(run.mask(name))[0] * 255)
        for variant in range(variants):
            path = run.image(item_name(name, variant))
            row[f"variant {variant + 1}"] = _picture(read_rgb(path))
        sheet.append(row)
    _draw(sheet, out)


@app.command("places")
def draw_places(
    data: Annotated[Path, typer.Argument(help="Tile folder, e.g. naip-roads.")],
    out: Out,
    rows: Rows = 8,
    variants: Variants = 2,
    model: Annotated[str, typer.Option(help="`default`, a folder or a hub id.")] = "default",
    steps: Annotated[int | None, typer.Option(help="Denoising steps.")] = None,
    guidance: Annotated[float | None, typer.Option(help="Guidance scale.")] = None,
    scheduler: Annotated[str | None, typer.Option()] = None,
    seed: int = 0,
) -> None:
    """Real tiles of the val places beside synthetic ones, from roads alone and with land cover."""
    tiles = read_road_tiles(data, "val", image_year_only=True)
    layer = read_vectors(data / "landcover.geojson")
    generator = load_generator(model, Settings(steps=steps, guidance=guidance, scheduler=scheduler))
    sheet = []
    for k in _spread(range(len(tiles)), rows):
        here = layer[layer["place"] == tiles.places[k]]
        areas = [] if here.empty else [land_areas(here, tiles.tiles[k].crs)]
        seg = colourise(landcover_map(areas, tiles.masks[k], tiles.tiles[k]))
        row: Row = {"real": _picture(tiles.images[k]), "road": _picture(tiles.masks[k] * 255)}
        for title, maps in (("roads alone", {}), ("with land cover", {"seg": seg})):
            if maps:
                row["segmentation"] = _picture(seg * 255)
            requests = [place_request(tiles, k, v, seed, **maps) for v in range(variants)]
            for variant, image in enumerate(generator.generate(requests), start=1):
                row[f"{title}, {variant}"] = _picture(image)
        sheet.append(row)
    _draw(sheet, out)


def _spread(things: Sequence[_Thing], count: int) -> list[_Thing]:
    """``count`` of the things, evenly spread, or all of them."""
    places = np.linspace(0, len(things) - 1, min(count, len(things))).round().astype(int)
    return [things[k] for k in places]


def _read(path: AnyPath) -> NDArray[np.generic]:
    with rasterio.open(path) as src:
        bands: NDArray[np.generic] = src.read()
    return bands


def _picture(bands: NDArray[np.generic]) -> NDArray[np.uint8]:
    """(3, rows, cols) or (rows, cols) in [0, 255] as matplotlib wants it."""
    return np.moveaxis(bands, 0, -1).astype(np.uint8) if bands.ndim == 3 else bands.astype(np.uint8)


def _draw(sheet: Sequence[Row], out: Path) -> None:
    """Draw the rows below each other, their titles on top, and save."""
    titles = list(sheet[0])
    size = (_INCHES * len(titles), _INCHES * len(sheet) + 0.2)
    figure, axes = plt.subplots(len(sheet), len(titles), figsize=size, squeeze=False)
    for line, row in zip(axes, sheet, strict=True):
        for axis, title in zip(line, titles, strict=True):
            axis.imshow(row[title], cmap="gray", vmin=0, vmax=255, interpolation="lanczos")
            axis.set_axis_off()
    for axis, title in zip(axes[0], titles, strict=True):
        axis.set_title(title, fontsize=7)
    figure.subplots_adjust(0.005, 0.005, 0.995, 1 - 0.25 / size[1], 0.02, 0.02)
    out.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(out, dpi=_DPI)
    plt.close(figure)
    typer.echo(f"{len(sheet)} tiles in {out}")


if __name__ == "__main__":
    app()
