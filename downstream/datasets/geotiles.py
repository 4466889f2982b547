"""Tiles with a place on Earth as a dataset of torchgeo: any query, any CRS, ``&`` and ``|``."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

import geopandas as gpd
import numpy as np
import pandas as pd
import rasterio.warp
import shapely
from numpy.typing import NDArray
from pyproj import CRS, Transformer
from rasterio.enums import Resampling
from rasterio.windows import Window
from torch import Tensor
from torchgeo.datasets import GeoDataset

from rsaug.downstream.datasets.chips import RoadChips
from rsaug.downstream.datasets.contract import (
    PixelGrid,
    Query,
    Sample,
    Transform,
    as_image,
    as_mask,
    placed,
    queried_grid,
)
from rsaug.downstream.datasets.tiles import RoadTile, TileSource
from rsaug.errors import InputError

_INSET_PX = 1e-2

Read = Callable[[RoadTile, Window | None], NDArray[np.uint8]]
"""What reads a tile, or a part of it, as (bands, rows, cols)."""


class GeoRoadTiles(TileSource, GeoDataset):
    """Tiles with a place on Earth and their road masks.

    A query that asks for pixels of a tile is read from the file as it is; any other is warped,
    bilinear for images and nearest for masks. Where tiles overlap, the first has it. Where there is
    none, the image is 0 and the mask says no road.

    Args:
        tiles: The tiles, each with a ``grid``.
        times: From when to when each was taken.
        crs: CRS of queries; by default that of the first tile.
        res: Side of a pixel where a query has no step; by default that of the first tile.
        transforms: What each sample goes through.

    Raises:
        InputError: if there is no tile, or one without a place.
    """

    def __init__(
        self,
        tiles: Sequence[RoadTile],
        times: Sequence[tuple[pd.Timestamp, pd.Timestamp]],
        crs: CRS | None = None,
        res: float | tuple[float, float] | None = None,
        transforms: Transform | None = None,
    ) -> None:
        self.tiles = list(tiles)
        self.transforms = transforms
        grids = [tile.grid for tile in self.tiles if tile.grid is not None]
        if not grids or len(grids) < len(self.tiles):
            raise InputError("A dataset with a place on Earth needs tiles that have one.")
        crs = CRS.from_user_input(crs) if crs is not None else grids[0].crs
        self._res = (res, res) if isinstance(res, int | float) else (res or grids[0].resolution)
        when = pd.IntervalIndex.from_tuples([*times], closed="both", name="datetime")
        facts = {"filepath": [str(tile.image) for tile in self.tiles], "tile": range(len(grids))}
        boxes = [shapely.box(*_bounds_in(crs, grid)) for grid in grids]
        self.index = gpd.GeoDataFrame(facts, index=when, geometry=boxes, crs=crs)

    def chips(self, size: int | None = None, transforms: Transform | None = None) -> RoadChips:
        """The tiles as they were cut, one after the other, without a query or warping.

        Args:
            size: Side of a window in pixels; None for whole tiles.
            transforms: What each sample goes through; by default what the dataset's own do.
        """
        return RoadChips(self, size, transforms or self.transforms)

    def __getitem__(self, query: Any) -> Sample:
        """The sample of a query, ``(x, y, t)`` in slices.

        Raises:
            IndexError: if no tile lies there.
        """
        whole: Query = self._disambiguate_slice(query)
        grid = queried_grid(whole, self.crs)
        tiles = self._tiles_at(whole, grid)
        if not tiles:
            raise IndexError(f"query: {query} not found in index with bounds: {self.bounds}")
        sample: Sample = placed(self, whole, grid)
        image, known = _mosaic(tiles, grid, self.read_image, Resampling.bilinear)
        mask = self.mask_onto(tiles, grid)
        if known is not None:
            mask[~known] = 0
        sample["image"], sample["mask"] = as_image(image), as_mask(mask)
        sample |= self._extra_onto(tiles, grid)
        return sample if self.transforms is None else self.transforms(sample)

    def mask_onto(self, tiles: Sequence[RoadTile], grid: PixelGrid) -> NDArray[np.uint8]:
        """Road mask of the tiles on other pixels, uint8 0/1 (rows, cols)."""

        def read(tile: RoadTile, window: Window | None) -> NDArray[np.uint8]:
            return self.read_mask(tile, window)[None]

        mask: NDArray[np.uint8] = _mosaic(tiles, grid, read, Resampling.nearest)[0][0]
        return mask

    def _extra_onto(self, tiles: Sequence[RoadTile], grid: PixelGrid) -> dict[str, Tensor]:
        """What a sample of a query holds besides."""
        return {}

    def _tiles_at(self, query: Query, grid: PixelGrid) -> list[RoadTile]:
        """The tiles that a query meets, in the order of the index."""
        x, y, t = query
        inset = _INSET_PX * min(grid.resolution)
        box = shapely.box(x.start + inset, y.start + inset, x.stop - inset, y.stop - inset)
        hits = np.sort(self.index.sindex.query(box, predicate="intersects"))
        when = self.index.index[hits]
        hits = hits[when.overlaps(pd.Interval(t.start, t.stop, closed="both"))][:: t.step]
        return [self.tiles[number] for number in self.index["tile"].iloc[hits]]


def _mosaic(
    tiles: Sequence[RoadTile], grid: PixelGrid, read: Read, resampling: Resampling
) -> tuple[NDArray[np.uint8], NDArray[np.bool_] | None]:
    """What tiles say on other pixels, uint8 (bands, rows, cols), the first that says something.

    And where one does, (rows, cols); None for everywhere.
    """
    mosaic: NDArray[np.uint8] | None = None
    todo = np.ones(grid.shape, dtype=bool)
    for tile in tiles:
        values, known = _onto(tile, grid, read, resampling)
        if mosaic is None and known is None:
            return values, None
        known = np.ones(grid.shape, dtype=bool) if known is None else known
        if mosaic is None:
            mosaic = np.zeros((len(values), *grid.shape), dtype=values.dtype)
        new = todo & known
        mosaic[:, new] = values[:, new]
        todo &= ~known
        if not todo.any():
            break
    if mosaic is None:
        raise InputError("There is no tile to read from.")
    return mosaic, (~todo if todo.any() else None)


def _onto(
    tile: RoadTile, grid: PixelGrid, read: Read, resampling: Resampling
) -> tuple[NDArray[np.uint8], NDArray[np.bool_] | None]:
    """A tile on other pixels, and where it says something; None for everywhere."""
    own = tile.grid
    if own is None:
        raise InputError(f"The tile {tile.name} has no place on Earth.")
    offset = own.offset(grid)
    if offset is not None:
        return _cropped(tile, own, grid.shape, offset, read)
    source = read(tile, None)
    values = np.zeros((len(source), *grid.shape), dtype=source.dtype)
    known = np.zeros(grid.shape, dtype=np.uint8)
    there = {"src_transform": own.transform, "src_crs": own.crs.to_wkt()}
    here = {"dst_transform": grid.transform, "dst_crs": grid.crs.to_wkt()}
    rasterio.warp.reproject(source, values, **there, **here, resampling=resampling)
    ones = np.ones(own.shape, dtype=np.uint8)
    rasterio.warp.reproject(ones, known, **there, **here, resampling=Resampling.nearest)
    return values, known == 1


def _cropped(
    tile: RoadTile, own: PixelGrid, shape: tuple[int, int], offset: tuple[int, int], read: Read
) -> tuple[NDArray[np.uint8], NDArray[np.bool_] | None]:
    """The pixels of a tile that a query on its own pixels asks for."""
    if offset == (0, 0) and shape == own.shape:
        return read(tile, None), None
    (row, col), (rows, cols) = offset, shape
    top, left = max(row, 0), max(col, 0)
    bottom, right = min(row + rows, own.shape[0]), min(col + cols, own.shape[1])
    part = read(tile, Window(left, top, right - left, bottom - top))
    if part.shape[1:] == shape:
        return part, None
    values = np.zeros((len(part), *shape), dtype=part.dtype)
    known = np.zeros(shape, dtype=bool)
    inside = slice(top - row, bottom - row), slice(left - col, right - col)
    values[:, *inside], known[inside] = part, True
    return values, known


def _bounds_in(crs: CRS, grid: PixelGrid) -> tuple[float, float, float, float]:
    """(left, bottom, right, top) of pixels in a CRS."""
    if crs == grid.crs:
        return grid.bounds
    turned: tuple[float, float, float, float] = _between(grid.crs, crs).transform_bounds(
        *grid.bounds
    )
    return turned


@lru_cache(maxsize=32)
def _between(source: CRS, target: CRS) -> Transformer:
    return Transformer.from_crs(source, target, always_xy=True)
