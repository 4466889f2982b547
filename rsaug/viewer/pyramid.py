"""The tiles of a run as one picture at any scale, from images that have no overviews.

All tiles of a run lie on one grid, so four of them make a tile of half the resolution, and four of
those the next: the overviews of a mosaic that is never written. What is needed of it is computed
when it is asked for. Each image is read once for all scales, which opening and warping every image
for every tile of the web would not do.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from itertools import product
from typing import Self

import numpy as np
import rasterio.crs
from numpy.typing import NDArray
from rasterio.transform import Affine
from rasterio.warp import Resampling

from rsaug.viewer.cache import Cache
from rsaug.viewer.catalogue import GridKey
from rsaug.viewer.webtiles import Box, WebTile, box_in, halved, joined, mercator_box, warp, zoom_of

Cell = tuple[int, int]
"""(row, col) in a grid."""

Page = NDArray[np.uint8]
"""uint8 (bands + 1, rows, cols); the last band is 255 where there is an image."""

Pages = tuple[NDArray[np.uint8], ...]

_LEVELS = 11
"""A pixel of the last one is 1024 of an image: a tile of 256 pixels is one no more by then."""

_FINE = 5
"""Up to this level each image is reduced by itself, for tiles may lie far apart; of so many levels
on a side an image is a page, and pages are put together by fours."""

_CRISP = 2.0
"""From so many pixels of the screen a pixel on, its borders are shown."""


@dataclass(frozen=True, eq=False)
class Caches:
    """What is kept of pixels.

    Attributes:
        pages: Images, pages of overviews, and tiles of rasters.
        reduced: Images at smaller sizes.
    """

    pages: Cache[Page | None]
    reduced: Cache[Pages]

    @classmethod
    def of(cls, pages: int, reduced: int) -> Self:
        """Caches of so many bytes."""
        return cls(
            Cache(pages, lambda page: 0 if page is None else page.nbytes),
            Cache(reduced, lambda parts: 64 + sum(part.nbytes for part in parts)),
        )


class Pyramid:
    """Images on a grid, and their overviews.

    Args:
        key: Of this pyramid in the cache.
        grid: The grid.
        images: What `read` takes, by cell.
        bands: Bands of an image.
        read: Pixels of an image, uint8 (bands, rows, cols); None where it cannot be read.
        caches: Hold what was computed last.
    """

    def __init__(
        self,
        key: Hashable,
        grid: GridKey,
        images: Mapping[Cell, str],
        bands: int,
        read: Callable[[str], NDArray[np.uint8] | None],
        caches: Caches,
    ) -> None:
        self._key, self._grid, self._images = key, grid, images
        self._bands, self._read = bands, read
        self._cache, self._small = caches.pages, caches.reduced
        self._crs = rasterio.crs.CRS.from_string(grid.crs)
        self._fine = min(_FINE, *(_twos(size) for size in grid.shape))
        self._pages = _pages({*images}, self._fine)
        rows, cols = zip(*images, strict=True)
        self._extent = (min(rows), min(cols)), (max(rows), max(cols))
        self._box = self._bounds(min(rows), min(cols), max(rows) + 1, max(cols) + 1)
        # Grids differ from Web Mercator by a small turn and by scale, so this holds everywhere.
        self.mercator = mercator_box(self._crs, self._box)

    @property
    def zoom(self) -> float:
        """The zoom that has the scale of the images; 0 where it cannot be said."""
        if self.mercator is None:
            return 0.0
        left, _, right, _ = self.mercator
        pixels = (self._box[2] - self._box[0]) / self._grid.side
        return zoom_of((right - left) / pixels)

    def read_ahead(self) -> Iterator[Callable[[], object]]:
        """What to call so that all scales but that of the images are there; in this order."""
        for cell in sorted(self._images):
            yield partial(self._reduced, cell)
        for cell in sorted(self._pages[-1]):
            yield partial(self._page, _LEVELS - 1, cell)

    def tile(self, tile: WebTile) -> NDArray[np.uint8] | None:
        """What is on a tile of the web, uint8 (bands + 1, 256, 256); None where nothing is."""
        box = None if apart(self.mercator, tile.box) else box_in(self._crs, tile)
        if box is None or apart(self._box, box):
            return None
        side = max(box[2] - box[0], box[3] - box[1]) / 256
        level = max(0, min(_LEVELS - 1, math.floor(math.log2(side / self._grid.side) + 0.1)))
        # Below `_FINE` the parts are images, from there on pages of so many of them.
        power = 0 if level < self._fine else level
        first, last = self._cells_in(box, level, power)
        part = self._piece if level < self._fine else self._page
        pixels = self._assembled(level, first, last, part)
        if pixels is None:
            return None
        crisp = side * _CRISP <= self._grid.side
        left, _, _, top = self._bounds(*first, *last, power)
        scale = self._grid.side * 2**level
        return warp(
            pixels,
            Affine(scale, 0, left, 0, -scale, top),
            self._crs,
            tile,
            Resampling.nearest if crisp else Resampling.bilinear,
        )

    def _image(self, cell: Cell, *, spare: bool = False) -> Page | None:
        return self._cache.get((self._key, cell), lambda: self._read_image(cell), spare=spare)

    def _read_image(self, cell: Cell) -> Page | None:
        pixels = self._read(self._images[cell])
        if pixels is None or pixels.shape != (self._bands, *self._grid.shape):
            return None
        return np.concatenate([pixels, np.full((1, *self._grid.shape), 255, dtype=np.uint8)])

    def _reduced(self, cell: Cell) -> Pages:
        """An image at half its size, a quarter, and so on; none of them where it cannot be read."""

        def make() -> Pages:
            # Of many images few are looked at from so near; the others need no room.
            pixels = self._image(cell, spare=True)
            if pixels is None:
                return ()
            found = [pixels]
            for _ in range(self._fine):
                found.append(halved(found[-1]))
            return tuple(found[1:])

        return self._small.get((self._key, cell), make)

    def _page(self, level: int, cell: Cell) -> Page | None:
        """A page of a level from `_FINE` on, of the size of an image."""
        if cell not in self._pages[level - self._fine]:
            return None
        return self._cache.get((self._key, level, cell), lambda: self._make(level, cell))

    def _make(self, level: int, cell: Cell) -> Page | None:
        row, col = cell
        if level > self._fine:
            below = [(2 * row + down, 2 * col + across) for down in (0, 1) for across in (0, 1)]
            whole = joined([self._page(level - 1, part) for part in below])
            return None if whole is None else halved(whole)
        side = 2**level
        first, last = (row * side, col * side), ((row + 1) * side, (col + 1) * side)
        return self._assembled(level, first, last, self._piece)

    def _piece(self, level: int, cell: Cell) -> Page | None:
        """An image at a level up to `_FINE`."""
        if cell not in self._images:
            return None
        if level == 0:
            return self._image(cell)
        reduced = self._reduced(cell)
        return reduced[level - 1] if reduced else None

    def _assembled(
        self,
        level: int,
        first: Cell,
        last: Cell,
        part: Callable[[int, Cell], Page | None],
    ) -> NDArray[np.uint8] | None:
        """Parts from a row and column on up to others, as one; None where there is none."""
        parts = {}
        for cell in product(range(first[0], last[0]), range(first[1], last[1])):
            page = part(level, cell)
            if page is not None:
                parts[cell] = page
        if not parts:
            return None
        bands, rows, cols = next(iter(parts.values())).shape
        size = (bands, (last[0] - first[0]) * rows, (last[1] - first[1]) * cols)
        pixels = np.zeros(size, dtype=np.uint8)
        for (row, col), page in parts.items():
            top, left = (row - first[0]) * rows, (col - first[1]) * cols
            pixels[:, top : top + rows, left : left + cols] = page
        return pixels

    def _cells_in(self, box: Box, level: int, power: int) -> tuple[Cell, Cell]:
        """First row and column of the parts that a box meets, and the ones after the last.

        Args:
            box: In the CRS.
            level: Its pixels are ``2 ** level`` of an image, of which one more is taken around.
            power: A part is ``2 ** power`` images wide.
        """
        height, width = (self._grid.side * n * 2**power for n in self._grid.shape)
        x, y = self._grid.origin
        left, bottom, right, top = box
        margin = self._grid.side * 2**level
        rows = (y - top - margin) / height, (y - bottom + margin) / height
        cols = (left - x - margin) / width, (right - x + margin) / width
        least, most = ((row >> power, col >> power) for row, col in self._extent)
        first = max(math.floor(rows[0]), least[0]), max(math.floor(cols[0]), least[1])
        last = min(math.ceil(rows[1]), most[0] + 1), min(math.ceil(cols[1]), most[1] + 1)
        return first, (max(last[0], first[0]), max(last[1], first[1]))

    def _bounds(self, top: int, left: int, bottom: int, right: int, power: int = 0) -> Box:
        height, width = (self._grid.side * n * 2**power for n in self._grid.shape)
        x, y = self._grid.origin
        return x + left * width, y - bottom * height, x + right * width, y - top * height


def apart(one: Box | None, other: Box) -> bool:
    """Whether two boxes have nothing in common; also where there is no first one."""
    return one is None or (
        one[2] <= other[0] or other[2] <= one[0] or one[3] <= other[1] or other[3] <= one[1]
    )


def _pages(cells: set[Cell], fine: int) -> list[set[Cell]]:
    """Pages that there are, by level from ``fine`` on."""
    levels = [{(row >> fine, col >> fine) for row, col in cells}]
    while len(levels) < _LEVELS - fine:
        levels.append({(row >> 1, col >> 1) for row, col in levels[-1]})
    return levels


def _twos(size: int) -> int:
    """How often a number can be halved."""
    return (size & -size).bit_length() - 1
