"""The fast path: tiles read as they were cut, without a query and without warping."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import shapely
from numpy.typing import NDArray
from rasterio.windows import Window
from torchgeo.datasets import NonGeoDataset

from rsaug.downstream.datasets.contract import (
    CLASSES,
    PALETTE,
    Sample,
    Transform,
    as_image,
    as_mask,
)
from rsaug.downstream.datasets.tiles import RoadTile, TileSource, plot_sample
from rsaug.errors import InputError
from rsaug.grid import to_lonlat

_BLANK, _MOST_BLANK = 250, 0.5


class RoadChips(NonGeoDataset):
    """Whole tiles, or equal windows of them, by number.

    A sample is ``image`` (float32, (3, rows, cols), 0 to 255) and ``mask`` (int64, (rows, cols), 0
    or 1). Each tile is read in its own pixels, so tiles of several CRSs need no common one.

    Windows begin at the upper-left corner, side by side; the last of a row or column lies flush
    with the edge, over a part of the one before, so that every pixel is in one.

    Args:
        source: Where the tiles are from.
        size: Side of a window in pixels; None for whole tiles.
        transforms: What each sample goes through.

    Raises:
        InputError: if a tile is smaller than a window.
    """

    classes = CLASSES
    palette = PALETTE
    all_bands: tuple[str, ...] = ("red", "green", "blue")
    rgb_bands: tuple[str, ...] = ("red", "green", "blue")

    def __init__(
        self, source: TileSource, size: int | None = None, transforms: Transform | None = None
    ) -> None:
        self.source = source
        self.size = size
        self.transforms = transforms
        self.windows: list[tuple[int, Window]] = [
            (number, window)
            for number, tile in enumerate(source.tiles)
            for window in cut(tile.name, tile.shape, size)
        ]
        self._holds_road: NDArray[np.bool_] | None = None

    @property
    def synthetic(self) -> bool:
        """Whether the images were made by a model."""
        return self.source.synthetic

    @property
    def names(self) -> list[str]:
        """Name of the tile that each item is of."""
        return [self.source.tiles[number].name for number, _ in self.windows]

    @property
    def places(self) -> list[str]:
        """Place that each item is from."""
        return [self.source.tiles[number].place for number, _ in self.windows]

    def __len__(self) -> int:
        """How many items there are."""
        return len(self.windows)

    def __getitem__(self, index: int) -> Sample:
        """The sample of a number."""
        number, window = self.windows[index]
        tile = self.source.tiles[number]
        part = None if (window.height, window.width) == tile.shape else window
        sample: Sample = {
            "image": as_image(self.source.read_image(tile, part)),
            "mask": as_mask(self.source.read_mask(tile, part)),
            **self.source.read_extra(tile, part),
        }
        return sample if self.transforms is None else self.transforms(sample)

    def holds_road(self) -> NDArray[np.bool_]:
        """Whether there is a road in each item, (n,); found out once, which can read every mask."""
        if self._holds_road is None:
            self._holds_road = self.source.holds_road(self.windows)
        return self._holds_road

    def scores(self, name: str) -> dict[str, float]:
        """A number that is known of each tile, by the tile's name.

        Raises:
            InputError: if it is not known of every tile.
        """
        found = {tile.name: dict(tile.scores).get(name) for tile in self.source.tiles}
        known = {tile: score for tile, score in found.items() if score is not None}
        if len(known) < len(found):
            names = sorted({key for tile in self.source.tiles for key, _ in tile.scores})
            raise InputError(
                f"{len(found) - len(known)} of {len(found)} tiles have no {name!r}; known is "
                f"{', '.join(names) or 'nothing'}."
            )
        return known

    def footprints(self) -> NDArray[np.object_]:
        """Outline of each item in degrees, (n,) polygons; None where it has no place on Earth."""
        outlines = np.full(len(self), None, dtype=object)
        for k, (number, window) in enumerate(self.windows):
            grid = self.source.tiles[number].grid
            if grid is not None:
                part = grid.window(window.row_off, window.col_off, (window.height, window.width))
                left, bottom, right, top = part.bounds
                lon, lat = to_lonlat(grid.crs).transform(
                    [left, right, right, left], [bottom, bottom, top, top]
                )
                outlines[k] = shapely.Polygon(np.stack([lon, lat], axis=1))
        return outlines

    def take(self, which: Sequence[int] | NDArray[np.intp]) -> RoadChips:
        """A dataset of those items alone, in that order."""
        part = RoadChips.__new__(RoadChips)
        part.source, part.size, part.transforms = self.source, self.size, self.transforms
        part.windows = [self.windows[k] for k in which]
        known = self._holds_road
        part._holds_road = None if known is None else known[np.asarray(which, dtype=np.intp)]
        return part

    def without_blank(self) -> RoadChips:
        """The items that are not mostly white, as map sheets without data are; reads all images."""
        kept = []
        for k, (number, window) in enumerate(self.windows):
            image = self.source.read_image(self.source.tiles[number], window)
            if (image.min(axis=0) >= _BLANK).mean() <= _MOST_BLANK:
                kept.append(k)
        return self.take(kept)

    plot = staticmethod(plot_sample)


class PlainRoadTiles(TileSource, NonGeoDataset):
    """Tiles without a place on Earth, by number, and their road masks.

    Args:
        tiles: The tiles.
        transforms: What each sample goes through.
    """

    def __init__(self, tiles: Sequence[RoadTile], transforms: Transform | None = None) -> None:
        self.tiles = list(tiles)
        self.transforms = transforms
        self._whole = self.chips()

    def chips(self, size: int | None = None, transforms: Transform | None = None) -> RoadChips:
        """The same tiles, or equal windows of them.

        Args:
            size: Side of a window in pixels; None for whole tiles.
            transforms: What each sample goes through; by default what the dataset's own do.
        """
        return RoadChips(self, size, transforms or self.transforms)

    def __len__(self) -> int:
        """How many tiles there are."""
        return len(self.tiles)

    def __getitem__(self, index: int) -> Sample:
        """The whole tile of a number."""
        return self._whole[index]


def cut(name: str, shape: tuple[int, int], size: int | None) -> list[Window]:
    """Windows of ``size`` that cover a tile of ``shape`` (rows, cols); the whole for None.

    Raises:
        InputError: if the tile is smaller than a window.
    """
    rows, cols = shape
    if size is None:
        return [Window(0, 0, cols, rows)]
    if size < 1 or size > min(shape):
        raise InputError(
            f"Windows of {size} pixels cannot be cut from the tile {name}, which has {rows} x "
            f"{cols}; give a smaller chip size."
        )
    return [
        Window(min(col, cols - size), min(row, rows - size), size, size)
        for row in range(0, rows, size)
        for col in range(0, cols, size)
    ]
