"""Runs and tiles at toy size to be evaluated."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from painter import Painter, write_roads, write_wood

from rsaug.conditions.stack import ControlStack
from rsaug.downstream.evaluation.tiles import Tiles
from rsaug.folder import RunFolder, item_name
from rsaug.grid import Tile, TileGrid, parse_crs
from rsaug.options import SynthOptions
from rsaug.raster import write_cog
from rsaug.stackfile import write_stack
from rsaug.synthesis import make_plan, run

SIDE = 32


def painted_run(
    folder: Path,
    *,
    variants: int = 2,
    size: int = 64,
    gsd_m: float = 0.6,
    name: str = "run",
    grey: int = 128,
    seed: int = 0,
    shift_m: float = 0.0,
) -> Path:
    """A run of ``rsaug synth`` whose images the painter made, roads and a wood given.

    The street, and with it the run, lies ``shift_m`` farther south.
    """
    folder.mkdir(parents=True, exist_ok=True)
    asked = SynthOptions(
        roads=str(write_roads(folder / "streets.gpkg", rows=1, cols=2, shift_m=shift_m)),
        landcover=str(write_wood(folder / "wood.gpkg")),
        controls="road,seg,hed",
        gsd=gsd_m,
        tile_size=size,
        variants=variants,
        seed=seed,
        out=str(folder / name),
    )
    run(make_plan(asked), Painter(grey=grey))
    return folder / name


def placed_run(
    folder: Path,
    tiles: tuple[Tile, ...],
    masks: NDArray[np.uint8],
    images: NDArray[np.uint8],
    **controls: NDArray[np.generic],
) -> Path:
    """A run whose images, one a tile, lie where the given tiles lie."""
    run_folder = RunFolder(folder)
    names = [f"t{k}" for k in range(len(tiles))]
    with run_folder.opened():
        for k, (name, tile) in enumerate(zip(names, tiles, strict=True)):
            maps = {slot: values[k] for slot, values in controls.items()}
            stack = ControlStack.from_maps(tile.shape, road=masks[k], **maps)
            write_cog(run_folder.image(item_name(name, 0)), images[k], tile)
            write_cog(run_folder.mask(name), masks[k][None], tile)
            write_stack(run_folder.conditions(name), stack, tile)
        table = pd.DataFrame({"id": names, "rsaug:tile": names, "rsaug:variant": 0})
        table.to_parquet(folder / "manifest.parquet")
    return folder


def tiles_with(
    masks: NDArray[np.uint8], seen: NDArray[np.uint8], places: list[str], city: str = ""
) -> Tiles:
    """Tiles beside each other that are bright where there is something to be seen."""
    grid = TileGrid(parse_crs(32635), 0.6, SIDE)
    return Tiles(
        images=np.repeat(seen[:, None] * np.uint8(200), 3, axis=1),
        masks=masks,
        names=np.array([f"n{k}" for k in range(len(masks))]),
        places=np.array(places),
        tiles=tuple(grid.tile(0, col) for col in range(len(masks))),
        variants=np.zeros(len(masks), dtype=np.intp),
        cities=np.full(len(masks), city),
        of=len(masks),
    )


def random_masks(count: int, seed: int = 0) -> NDArray[np.uint8]:
    """Masks with a road of 6 pixels each, at random."""
    masks = np.zeros((count, SIDE, SIDE), dtype=np.uint8)
    for mask, col in zip(masks, np.random.default_rng(seed).integers(0, 26, count), strict=True):
        mask[:, col : col + 6] = 1
    return masks
