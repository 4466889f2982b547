"""How visible the borders of tiles are: independent tiles, MultiDiffusion and fields without seams.

The same place from the same maps three times. The figure is the mean difference of neighbouring
pixels across borders over that of all other neighbours; 1 where borders are like anything else.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import matplotlib.image
import numpy as np
import torch
import typer
from numpy.typing import NDArray

from rsaug.cli.group import Commands
from rsaug.files import write_whole
from rsaug.options import SynthOptions
from rsaug.pipelines.canvas import CanvasPipeline
from rsaug.pipelines.generate import CRSDiffGenerator, load_generator
from rsaug.pipelines.layout import Box
from rsaug.pipelines.seamless_tiles import SeamlessGenerator, window_conditions
from rsaug.pipelines.settings import Settings
from rsaug.places import Places
from rsaug.requests import TileRequest, derive_seed
from rsaug.synthesis import make_plan

RGB = NDArray[np.uint8]

app = typer.Typer(cls=Commands, help=__doc__, no_args_is_help=True)


@app.command()
def main(
    roads: Annotated[Path, typer.Option(help="Roads.")],
    out: Annotated[Path, typer.Option(help="Folder of figures and pictures.")],
    landcover: Annotated[Path | None, typer.Option(help="Land cover.")] = None,
    buildings: Annotated[Path | None, typer.Option(help="Buildings.")] = None,
    aoi: Annotated[str | None, typer.Option(help="Area; its middle is taken.")] = None,
    side: Annotated[int, typer.Option(min=2, help="Tiles along a side.")] = 6,
    overlap: Annotated[int, typer.Option(help="Pixels that windows share.")] = 64,
    grain: Annotated[float, typer.Option(help="Grain would hide some of the seams.")] = 0.0,
    seed: Annotated[int, typer.Option()] = 0,
    workers: Annotated[int | None, typer.Option(help="Cores.")] = None,
) -> None:
    """Make the place three times, and write figures and pictures."""
    options = SynthOptions(
        roads=str(roads),
        landcover=None if landcover is None else str(landcover),
        buildings=None if buildings is None else str(buildings),
        aoi=aoi,
    )
    plan = make_plan(options)
    rows, cols = ([getattr(tile, axis) for tile in plan.tiles] for axis in ("row", "col"))
    top, left = ((min(v) + max(v) + 1) // 2 - side // 2 for v in (rows, cols))
    places = [(top + k // side, left + k % side) for k in range(side * side)]
    generator = load_generator("default", Settings(grain=grain), workers=workers)
    seamless = SeamlessGenerator(generator, overlap)
    makers: dict[str, Callable[[], RGB]] = {
        "independent": lambda: _independent(generator, plan.places, places, side, seed),
        "multidiffusion": lambda: _multidiffusion(generator, plan.places, places, overlap, seed),
        "seamless": lambda: _seamless(seamless, plan.places, places, side, seed),
    }
    out.mkdir(parents=True, exist_ok=True)
    figures: dict[str, object] = {"tiles": side * side, "overlap": overlap, "grain": grain}
    for name, make in makers.items():
        began = time.perf_counter()
        image = make()
        seconds = time.perf_counter() - began
        size = options.tile_size
        figures[name] = {
            "at tile borders": round(seam_figure(image, size, 0), 4),
            "at window borders, worst": round(worst_figure(image, size - overlap), 4),
            "seconds": round(seconds, 1),
        }
        typer.echo(f"{name}: {figures[name]}")
        matplotlib.image.imsave(out / f"{name}.png", image.transpose(1, 2, 0))
        write_whole(out / "seams.json", (json.dumps(figures, indent=2) + "\n").encode())


def seam_figure(image: RGB, period: int, offset: int) -> float:
    """Mean difference of neighbours across borders over that of all others.

    Args:
        image: (3, rows, cols).
        period: pixels from one border to the next.
        offset: where the first one is.
    """
    across, within = [], []
    for axis in (1, 2):
        steps = np.abs(np.diff(image.astype(np.float32), axis=axis)).mean(0)
        steps = steps if axis == 1 else steps.T
        border = (np.arange(1, len(steps) + 1) - offset) % period == 0
        across.append(steps[border].mean())
        within.append(steps[~border].mean())
    return float(np.mean(across) / np.mean(within))


def worst_figure(image: RGB, period: int) -> float:
    """The largest figure of all places where borders of windows could lie, 8 pixels apart."""
    return max(seam_figure(image, period, offset) for offset in range(0, period, 8))


def _request(
    places: Places, place: tuple[int, int], seed: int, *, of_field: bool = False
) -> TileRequest:
    found = places.at(*place)
    own = seed if of_field else derive_seed(seed, found.tile, 0)
    return TileRequest(found.tile, found.controls, 0, own, around=places)


def _independent(
    generator: CRSDiffGenerator,
    places: Places,
    where: list[tuple[int, int]],
    side: int,
    seed: int,
) -> RGB:
    return _joined(generator.generate([_request(places, p, seed) for p in where]), side)


def _seamless(
    generator: SeamlessGenerator,
    places: Places,
    where: list[tuple[int, int]],
    side: int,
    seed: int,
) -> RGB:
    asked = [_request(places, p, seed, of_field=True) for p in where]
    return _joined(generator.generate(asked), side)


def _multidiffusion(
    generator: CRSDiffGenerator,
    places: Places,
    where: list[tuple[int, int]],
    overlap: int,
    seed: int,
) -> RGB:
    tile = places.at(*where[0]).tile
    height, width = tile.shape
    (top, left), (bottom, right) = where[0], where[-1]
    box = Box(top * height, left * width, (bottom + 1) * height, (right + 1) * width)
    given = window_conditions(generator, places, tile.shape, box)
    canvas = CanvasPipeline.of(generator.pipe)
    canvas.window_px, canvas.overlap_px = height, overlap
    image = canvas(
        given.controls[None],
        given.present[None],
        prompt=given.prompt,
        metadata=None if given.metadata is None else given.metadata[None],
        grain_strength=generator.settings.grain,
        generator=[torch.Generator().manual_seed(seed)],
    ).images[0]
    pixels: RGB = np.rint(image * 255).astype(np.uint8).transpose(2, 0, 1)
    return pixels


def _joined(images: list[RGB], side: int) -> RGB:
    rows = [np.concatenate(images[k : k + side], axis=2) for k in range(0, len(images), side)]
    return np.concatenate(rows, axis=1)


if __name__ == "__main__":
    app()
