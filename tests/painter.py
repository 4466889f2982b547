"""A generator of tiles without a model: paints the road mask over seeded noise."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import geopandas as gpd
import numpy as np
from numpy.typing import NDArray
from shapely.geometry import LineString, box

from rsaug.grid import Tile
from rsaug.requests import TileRequest

CRS = 32635
WEST, NORTH = 384_000.0, 6_672_000.0  # a corner of the grid of 128 px at 0.5 m


class Painter:
    """Grey roads on a green noise; fast, and the same for the same request.

    Attributes:
        painted: Names of the tiles that were asked for, in order.
    """

    def __init__(
        self,
        batch_size: int = 1,
        grey: int = 128,
        before_each: Callable[[], None] = lambda: None,
    ) -> None:
        self.batch_size, self.grey, self.before_each = batch_size, grey, before_each
        self.painted: list[str] = []

    def generate(self, requests: Sequence[TileRequest]) -> list[NDArray[np.uint8]]:
        """Images of the requests, uint8 (3, rows, cols)."""
        self.before_each()
        return [self._paint(request) for request in requests]

    def _paint(self, request: TileRequest) -> NDArray[np.uint8]:
        self.painted.append(request.tile.name)
        rows, cols = request.tile.shape
        image = np.random.default_rng(request.seed).integers(0, 60, (3, rows, cols), np.uint8)
        image[1] += 60
        image[:, request.controls.slot("road")[0] > 0] = self.grey
        return image

    def describe(self) -> dict[str, object]:
        """What decides an image besides its request."""
        return {
            "model": "painter",
            "weights_sha256": f"{self.grey:064x}",
            "prompt": "",
            "grey": self.grey,
            "device": "cpu",
            "versions": {"rsaug": "0"},
        }

    def reach(self, tile: Tile) -> tuple[range, range] | None:
        """Its images depend on their own tiles alone."""
        return None

    def seconds_per_tile(self, tile_size: int) -> float:
        """Estimated seconds an image."""
        return 2.0 * (tile_size / 128) ** 2

    def sees(self, control: str) -> bool:
        """Whether it follows a control."""
        return True

    def notes(self, gsd_m: float, controls: Sequence[str] = ()) -> list[str]:
        """What it cannot follow."""
        return [] if gsd_m < 5 else [f"The painter has never seen {gsd_m:g} m."]


def write_roads(path: Path, *, rows: int = 3, cols: int = 4, shift_m: float = 0.0) -> Path:
    """A street through each row of tiles, 64 m apart, from the west; the last ``shift_m`` south.

    With tiles of 128 px at 0.5 m every street crosses ``cols`` tiles.
    """
    west, east = WEST + 5, WEST + 64 * cols - 5
    lines = []
    for row in range(rows):
        y = NORTH - 64 * row - 30 - (shift_m if row == rows - 1 else 0)
        lines.append(LineString([(west, y), (east, y)]))
    frame = gpd.GeoDataFrame(
        {"highway": ["residential"] * rows, "width": ["8"] * rows}, geometry=lines, crs=CRS
    )
    frame.to_file(path, driver="GPKG", layer="roads")
    return path


def write_wood(path: Path, *, class_: str = "trees") -> Path:
    """A wood over the western half of the streets."""
    wood = box(WEST, NORTH - 192, WEST + 128, NORTH)
    frame = gpd.GeoDataFrame({"class": [class_]}, geometry=[wood], crs=CRS)
    frame.to_file(path, driver="GPKG", layer="areas")
    return path


def contents(folder: Path, pattern: str = "**/*") -> dict[str, bytes]:
    """Bytes of the files under a folder, by their path in it."""
    files = [path for path in folder.glob(pattern) if path.is_file()]
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in sorted(files)}
