"""Layers by place: what was made of a layer's features, whole or block by block.

A layer that can be read by window and holds many features is prepared one block of tiles at a time,
so that memory follows the block and not the layer. A block is read with a margin, and its features
are never cut, so what is drawn from it does not depend on where blocks end.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, Protocol, TypeVar

import geopandas as gpd
import numpy as np
from numpy.typing import NDArray
from pyproj import CRS, Transformer

from rsaug.aoi import in_degrees
from rsaug.errors import InputError
from rsaug.grid import Tile, TileGrid, crs_name, linear_unit_m
from rsaug.sources import VectorSource

MANY_FEATURES = 200_000
"""More features than this are prepared block by block where the source can be read by window."""

BLOCK_TILES = 16
"""Tiles along a side of a block."""

_BLOCKS_KEPT = 4

Block = tuple[int, int]
"""Row and column of a block of tiles in its grid."""

Report = dict[str, Any]
"""Counts by name, one inside the other."""


class Reporting(Protocol):
    """What is made of features and can say what it made of them."""

    def to_dict(self) -> Report:
        """Counts by name."""


T = TypeVar("T", bound=Reporting)
Prepared = TypeVar("Prepared", covariant=True)


class Layer(Protocol[Prepared]):
    """What is made of a layer."""

    def at(self, tile: Tile) -> Prepared:
        """What is made of the features around a tile, at least of all that meet it."""

    def report(self) -> Report:
        """What was made of how many features, of those read by now."""


@dataclass(frozen=True)
class Whole(Generic[T]):
    """A layer that is prepared at once."""

    prepared: T

    def at(self, tile: Tile) -> T:
        """What is made of the layer, wherever the tile is."""
        return self.prepared

    def report(self) -> Report:
        """What was made of how many features."""
        return self.prepared.to_dict()


@dataclass(eq=False)
class Blocks(Generic[T]):
    """A layer that is prepared block by block; the blocks used last are kept.

    Attributes:
        source: Where features are from.
        grid: The grid of the tiles.
        prepare: What is made of the features of a block; there may be none.
        margin_m: How far around a block features matter, in metres of the CRS.

    A feature is counted with the block that the middle of its box lies in; of a feature at the edge
    of the area that can be a block which is never read.
    """

    source: VectorSource
    grid: TileGrid
    prepare: Callable[[gpd.GeoDataFrame], T]
    margin_m: float
    _kept: OrderedDict[Block, T] = field(default_factory=OrderedDict)
    _counted: set[Block] = field(default_factory=set)
    _report: Report = field(default_factory=dict)

    def at(self, tile: Tile) -> T:
        """What is made of the block that the tile lies in."""
        block = block_of(tile)
        if block not in self._kept:
            features = self.read(block)
            self._kept[block] = self.prepare(features)
            if block not in self._counted:
                self._count(block, features)
            while len(self._kept) > _BLOCKS_KEPT:
                self._kept.popitem(last=False)
        self._kept.move_to_end(block)
        return self._kept[block]

    def read(self, block: Block) -> gpd.GeoDataFrame:
        """Features of a block and of the margin around it."""
        left, bottom, right, top = block_bounds(self.grid, block)
        more = self.margin_m / linear_unit_m(self.grid.crs)
        around = left - more, bottom - more, right + more, top + more
        bounds = in_degrees(self.grid.crs, around)
        if bounds is None:
            raise InputError(
                f"{self.source.spec} is too large to be read at once, and a tile lies where "
                f"{crs_name(self.grid.crs)} has no place on Earth; give an --aoi or another --crs."
            )
        return self.source.read(bounds)

    def report(self) -> Report:
        """What was made of how many features, of those in the blocks read by now."""
        return self._report

    def _count(self, block: Block, features: gpd.GeoDataFrame) -> None:
        """Add to the report the features whose middle lies in the block."""
        self._counted.add(block)
        x, y = _middles(features, self.grid.crs)
        left, bottom, right, top = block_bounds(self.grid, block)
        own = (left <= x) & (x < right) & (bottom < y) & (y <= top)
        if own.any():
            self._report = added(self._report, self.prepare(features[own]).to_dict())


def _middles(
    features: gpd.GeoDataFrame, crs: CRS
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """X and y in ``crs`` of the middle of the box of each feature, (n,) each."""
    left, bottom, right, top = np.asarray(features.bounds, dtype=np.float64).T
    to_crs = Transformer.from_crs(features.crs, crs, always_xy=True)
    x, y = to_crs.transform((left + right) / 2, (bottom + top) / 2)
    return np.asarray(x), np.asarray(y)


def block_of(tile: Tile) -> Block:
    """The block that a tile lies in."""
    return tile.row // BLOCK_TILES, tile.col // BLOCK_TILES


def block_bounds(grid: TileGrid, block: Block) -> tuple[float, float, float, float]:
    """(left, bottom, right, top) of a block of tiles in the grid's CRS."""
    row, col = block
    first = grid.tile(row * BLOCK_TILES, col * BLOCK_TILES).bounds
    last = grid.tile((row + 1) * BLOCK_TILES - 1, (col + 1) * BLOCK_TILES - 1).bounds
    return first[0], last[1], last[2], first[3]


def added(one: Mapping[str, Any], other: Mapping[str, Any]) -> Report:
    """Two reports as one: numbers of the same name are summed."""
    total = dict(one)
    for name, value in other.items():
        if isinstance(value, Mapping):
            total[name] = added(total.get(name, {}), value)
        else:
            total[name] = total.get(name, 0) + value
    return total
