"""The pictures and numbers of docs/editing.md, from val places of a tile folder.

Only what a title says differs along a row. Places are taken at even distances in the order of
their names, none by its result.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import typer
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

from rsaug.cli.group import Commands
from rsaug.compositing import enlarge, reduce
from rsaug.conditions.image_edges import soft_edges
from rsaug.conditions.landcover import colourise
from rsaug.conditions.stack import ControlStack
from rsaug.downstream.roadtiles import RoadTiles, read_road_tiles
from rsaug.editing import Picture
from rsaug.edits import Edit, Inpaint, Restyle, Upscale
from rsaug.errors import InputError
from rsaug.pictures import Panel, contact_sheet
from rsaug.pipelines.canvas import WINDOW_PX
from rsaug.pipelines.editing import CRSDiffEditor
from rsaug.pipelines.extractors.landcover import LandcoverNet
from rsaug.pipelines.generate import load_generator
from rsaug.pipelines.train.losses import LPIPS
from rsaug.pipelines.train.rows import seen_seg
from rsaug.raster import read_rgb

app = typer.Typer(cls=Commands, help=__doc__)

Data = Annotated[Path, typer.Argument(help="Tile folder, e.g. naip-roads.")]
Out = Annotated[Path, typer.Option(help="The picture, a .jpg.")]
Places = Annotated[int, typer.Option(help="How many places.", min=1)]

_CLOUD = 245
_RGB = NDArray[np.uint8]


@app.command()
def restyle(data: Data, out: Out, places: Places = 3, seed: int = 0) -> None:
    """Strengths, with roads, land cover and soft edges given; then looks of two other places."""
    tiles = _tiles(data)
    looks = ("palm_springs_2018_34", "eureka_2020_15")
    rows = []
    for k in _spread(tiles, places):
        rgb = tiles.images[k]
        seen = LandcoverNet.load().classify(rgb, tiles.tiles[k].gsd_m)
        maps = {
            "road": tiles.masks[k],
            "seg": colourise(seen_seg(seen, tiles.masks[k])),
            "hed": soft_edges(np.ascontiguousarray(rgb.transpose(1, 2, 0))),
        }
        picture = Picture(rgb, ControlStack.from_maps(rgb.shape[1:], **maps), seed)
        row = [_panel("real", rgb), _panel("roads", np.repeat(tiles.masks[k][None] * 255, 3, 0))]
        for strength in (0.3, 0.6, 0.8):
            row.append(_edited(f"strength {strength:g}", Restyle(strength), picture))
        for name in looks:
            style = data / "rgb" / f"{name}.tif"
            row += [
                _panel("style", read_rgb(style)),
                _edited("its look, 0.6", Restyle(0.6), picture, style=style),
            ]
        rows.append(row)
    _save(rows, out)


@app.command()
def inpaint(data: Data, out: Out, places: Places = 4, seed: int = 0) -> None:
    """Clouds: filled in without a map, with the roads, and with fewer resamplings."""
    tiles = _tiles(data)
    rows = []
    for k in _spread(tiles, places):
        real = tiles.images[k]
        mask = _clouds(real.shape[1:], seed + k)
        cloudy = np.where(mask, np.uint8(_CLOUD), real)
        without = Picture(cloudy, ControlStack.from_maps(real.shape[1:]), seed, mask=mask)
        roads = ControlStack.from_maps(real.shape[1:], road=tiles.masks[k])
        given = Picture(cloudy, roads, seed, mask=mask)
        rows.append(
            [
                _panel("real", real),
                _panel("clouds", cloudy),
                _edited("filled in", Inpaint(), without),
                _edited("with the roads", Inpaint(), given),
                _edited("each step once", Inpaint(1), given),
            ]
        )
    _save(rows, out)


@app.command()
def upscale(data: Data, out: Out, places: Places = 2, seed: int = 0) -> None:
    """Tiles averaged down 2 and 4 times, enlarged again."""
    tiles = _tiles(data)
    rows = []
    middle = (slice(None), slice(64, 192), slice(64, 192))
    for factor in (2, 4):
        for k in _spread(tiles, places):
            real = tiles.images[k]
            picture = _lowered(tiles, k, factor, seed)
            bicubic = _bicubic(picture.rgb, factor)
            coarse = picture.rgb.repeat(factor, 1).repeat(factor, 2)
            row = [
                _panel(f"{0.6 * factor:g} m", coarse[middle]),
                _panel("bicubic", bicubic[middle]),
            ]
            for strength in (0.25, 0.5, 0.75):
                made = _editor(Upscale(factor, strength)).edit(picture)
                row.append(_panel(f"strength {strength:g}", made[middle]))
            rows.append([*row, _panel("real, 0.6 m", real[middle])])
    _save(rows, out, scale=1.5)


@app.command()
def measure(
    data: Data,
    lpips: Annotated[Path, typer.Option(help="LPIPS weights (safetensors).")],
    places: Places = 16,
    factor: int = 2,
    strength: float = 0.5,
    seed: int = 0,
) -> None:
    """PSNR and LPIPS of enlarged tiles against the real ones, beside bicubic."""
    tiles, distance = _tiles(data), LPIPS(lpips)
    editor = _editor(Upscale(factor, strength))
    scores = []
    for k in _spread(tiles, places):
        real, picture = tiles.images[k], _lowered(tiles, k, factor, seed)
        made = editor.edit(picture)
        if (reduce(made, factor) != picture.rgb).any():
            raise InputError("The means of the result are not the picture.")
        pair = (_bicubic(picture.rgb, factor), made)
        scores.append([[_psnr(real, each), _lpips(distance, real, each)] for each in pair])
    values = np.array(scores)
    for nth, name in enumerate(("bicubic", "upscale")):
        (psnr, far), (spread, width) = values[:, nth].mean(0), values[:, nth].std(0, ddof=1)
        typer.echo(
            f"{name}: PSNR {psnr:.2f} dB (sd {spread:.2f}), LPIPS {far:.3f} (sd {width:.3f})"
        )
    change = values[:, 1] - values[:, 0]
    typer.echo(
        f"PSNR {change[:, 0].mean():+.2f} dB ({change[:, 0].min():+.2f} to "
        f"{change[:, 0].max():+.2f}); LPIPS lower at {(change[:, 1] < 0).sum()} of {len(values)}"
    )


def _tiles(data: Path) -> RoadTiles:
    return read_road_tiles(data, "val", image_year_only=True)


def _spread(tiles: RoadTiles, places: int) -> list[int]:
    return [int(k) for k in np.linspace(0, len(tiles) - 1, min(places, len(tiles)) + 2)[1:-1]]


def _editor(edit: Edit, style: Path | None = None) -> CRSDiffEditor:
    generator = load_generator("default", style=style, device="cpu", tile_size=WINDOW_PX)
    return CRSDiffEditor(generator, edit)


def _edited(
    title: str,
    edit: Edit,
    picture: Picture,
    style: Path | None = None,
) -> Panel:
    return _panel(title, _editor(edit, style).edit(picture))


def _lowered(tiles: RoadTiles, k: int, factor: int, seed: int) -> Picture:
    real = tiles.images[k]
    low = np.rint(reduce(real, factor)).astype(np.uint8)
    return Picture(low, ControlStack.from_maps(real.shape[1:], road=tiles.masks[k]), seed)


def _bicubic(rgb: _RGB, factor: int) -> _RGB:
    enlarged: _RGB = np.rint(np.clip(enlarge(rgb, factor), 0, 255)).astype(np.uint8)
    return enlarged


def _clouds(shape: tuple[int, ...], seed: int) -> NDArray[np.bool_]:
    """Smooth noise above a threshold, away from the edges of the tile."""
    noise = ndimage.gaussian_filter(np.random.default_rng(seed).normal(size=shape), 18)
    row, col = np.indices(shape)
    away = ((row - shape[0] / 2) ** 2 + (col - shape[1] / 2) ** 2) / 60**2
    clouds: NDArray[np.bool_] = noise / noise.std() - 0.6 * away > 0.35
    return clouds


def _psnr(a: _RGB, b: _RGB) -> float:
    return float(10 * np.log10(255**2 / ((a.astype(np.float64) - b) ** 2).mean()))


@torch.no_grad()
def _lpips(distance: LPIPS, a: _RGB, b: _RGB) -> float:
    pair = [torch.from_numpy(x.astype(np.float32))[None] / 127.5 - 1 for x in (a, b)]
    return float(distance(*pair))


def _panel(title: str, rgb: _RGB) -> Panel:
    return Panel(title, np.ascontiguousarray(rgb.transpose(1, 2, 0)))


def _save(rows: list[list[Panel]], out: Path, scale: float = 0.8) -> None:
    panels = [panel for row in rows for panel in row]
    Image.fromarray(contact_sheet(panels, columns=len(rows[0]), scale=scale)).save(out, quality=88)
    typer.echo(f"{len(rows)} rows in {out}")


if __name__ == "__main__":
    app()
