"""What a plan will take, before anything is made of it."""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np

from rsaug.folder import RunFolder, item_name
from rsaug.grid import Tile
from rsaug.raster import encode_cog
from rsaug.requests import TileGenerator
from rsaug.storage import entries
from rsaug.synthesis import Plan

_SAMPLE = 8


@dataclass(frozen=True)
class Estimate:
    """What a plan will take.

    Attributes:
        tiles: Tiles to make.
        images: Images to make of them, all variants.
        present: How many of these are in the folder; they are kept unless what they depend on has
            changed, which is found out tile by tile in the run.
        seconds: For the others.
        bytes: Space for the others, their masks and control maps.
        area_km2: Area of the tiles.
    """

    tiles: int
    images: int
    present: int
    seconds: float
    bytes: int
    area_km2: float

    def to_dict(self) -> dict[str, float]:
        """The numbers by name."""
        return asdict(self)


def estimate(plan: Plan, generator: TileGenerator) -> Estimate:
    """What a plan will take here.

    The time is that of a few steps on an empty map; masks and maps are drawn for a few tiles;
    images are as large as those in the folder or, before there are any, as without compression.

    Args:
        plan: What is to be made.
        generator: What makes it.
    """
    options = plan.options
    tiles = plan.tiles[: options.limit]
    folder = RunFolder(options.folder)
    names = [item_name(tile.name, v) for tile in tiles for v in range(options.variants)]
    present = len({*names} & {*folder.item_names()})
    missing = len(names) - present
    seconds = generator.seconds_per_tile(options.tile_size) * missing if missing else 0.0
    raw = 3 * options.tile_size**2
    sizes = [file.size for file in entries(folder.root / "images", ".tif")]
    image = float(np.mean(sizes)) if sizes else raw
    drawn = np.mean([_drawn_bytes(plan, tile) for tile in _spread(tiles)])
    size = missing * (image + float(drawn) / options.variants)
    side_km = options.tile_size * options.gsd / 1000
    return Estimate(len(tiles), len(names), present, seconds, round(size), len(tiles) * side_km**2)


def _spread(tiles: list[Tile]) -> list[Tile]:
    return tiles[:: max(1, len(tiles) // _SAMPLE)][:_SAMPLE]


def _drawn_bytes(plan: Plan, tile: Tile) -> int:
    """Size of a tile's mask and control maps."""
    mask, controls = plan.scene.controls(tile, plan.controls)
    return len(encode_cog(mask[np.newaxis], tile)) + len(encode_cog(controls.maps, tile))
