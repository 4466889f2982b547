"""Tiles of the web: where one lies, and pixels warped onto one."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import rasterio.crs
import rasterio.errors
from numpy.typing import NDArray
from rasterio.transform import Affine
from rasterio.warp import Resampling, reproject, transform_bounds

MERCATOR = rasterio.crs.CRS.from_epsg(3857)
TILE_PX = 256
MOST_ZOOM = 24

_HALF = math.pi * 6378137.0
"""Half the side of the square that Web Mercator maps the world to, in its metres (EPSG:3857)."""

Box = tuple[float, float, float, float]
"""(left, bottom, right, top)."""


@dataclass(frozen=True)
class WebTile:
    """A tile of the web, as Tile Map Services of Google's scheme number them.

    Attributes:
        z: Zoom: the world is ``2 ** z`` tiles wide.
        x: Column from the west.
        y: Row from the north.
    """

    z: int
    x: int
    y: int

    @property
    def exists(self) -> bool:
        """Whether there is such a tile."""
        return 0 <= self.z <= MOST_ZOOM and 0 <= self.x < 1 << self.z and 0 <= self.y < 1 << self.z

    @property
    def box(self) -> Box:
        """Its bounds in Web Mercator."""
        side = 2 * _HALF / (1 << self.z)
        left, top = self.x * side - _HALF, _HALF - self.y * side
        return left, top - side, left + side, top

    @property
    def children(self) -> tuple[WebTile, WebTile, WebTile, WebTile]:
        """The four tiles of the next zoom on it, row by row."""
        z, x, y = self.z + 1, 2 * self.x, 2 * self.y
        return (
            WebTile(z, x, y),
            WebTile(z, x + 1, y),
            WebTile(z, x, y + 1),
            WebTile(z, x + 1, y + 1),
        )


def zoom_of(side: float) -> float:
    """The zoom at which a pixel of a tile has this side, in metres of Web Mercator."""
    return math.log2(2 * _HALF / TILE_PX / side)


def mercator_box(crs: rasterio.crs.CRS, box: Box) -> Box | None:
    """A box in another CRS as bounds in Web Mercator; None where it cannot be said."""
    return _moved(crs, MERCATOR, box)


def box_in(crs: rasterio.crs.CRS, tile: WebTile) -> Box | None:
    """Bounds of a tile in another CRS; None where it does not reach."""
    return _moved(MERCATOR, crs, tile.box)


def _moved(source: rasterio.crs.CRS, target: rasterio.crs.CRS, box: Box) -> Box | None:
    try:
        left, bottom, right, top = transform_bounds(source, target, *box, densify_pts=5)
    except (rasterio.errors.RasterioError, ValueError):
        return None
    if not all(math.isfinite(v) for v in (left, bottom, right, top)) or left > right:
        return None
    return left, bottom, right, top


def warp(
    pixels: NDArray[np.uint8],
    transform: Affine,
    crs: rasterio.crs.CRS,
    tile: WebTile,
    resampling: Resampling,
) -> NDArray[np.uint8]:
    """Pixels as they lie on a tile.

    Args:
        pixels: uint8 (bands + 1, rows, cols); the last band says how much of a pixel is there.
        transform: From (col, row) to (x, y) in the CRS.
        crs: Its CRS.
        tile: Where to.
        resampling: How.

    Returns:
        uint8 (bands + 1, 256, 256), zero where there is nothing.
    """
    bands = len(pixels)
    left, _, right, top = tile.box
    side = (right - left) / TILE_PX
    out = np.zeros((bands, TILE_PX, TILE_PX), dtype=np.uint8)
    reproject(
        pixels,
        out,
        src_transform=transform,
        src_crs=crs,
        dst_transform=Affine(side, 0, left, 0, -side, top),
        dst_crs=MERCATOR,
        resampling=resampling,
        src_alpha=bands,
        dst_alpha=bands,
        num_threads=1,
        warp_mem_limit=64,
    )
    return out


def halved(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Pixels at half the size, each the mean of the four that it covers, by how much is there.

    Args:
        pixels: uint8 (bands + 1, rows, cols), rows and cols even; the last band is as in `warp`.
    """
    if pixels[-1].min() == 255:
        return ((_fours(pixels.astype(np.uint16)) + 2) // 4).astype(np.uint8)
    there = pixels[-1:].astype(np.uint32)
    weight = _fours(there)
    total = _fours(pixels[:-1] * there)
    colour = (total + weight // 2) // np.maximum(weight, 1)
    return np.concatenate([colour, (weight + 2) // 4]).astype(np.uint8)


def _fours(values: NDArray[Any]) -> NDArray[Any]:
    """Sums of four neighbours each."""
    even, odd = values[:, 0::2], values[:, 1::2]
    sums: NDArray[Any] = even[..., 0::2] + even[..., 1::2] + odd[..., 0::2] + odd[..., 1::2]
    return sums


def joined(parts: list[NDArray[np.uint8] | None]) -> NDArray[np.uint8] | None:
    """Four pieces of one shape, row by row, as one; None where there is none of them."""
    shape = next((part.shape for part in parts if part is not None), None)
    if shape is None:
        return None
    bands, rows, cols = shape
    whole = np.zeros((bands, 2 * rows, 2 * cols), dtype=np.uint8)
    for number, part in enumerate(parts):
        if part is not None:
            row, col = divmod(number, 2)
            whole[:, row * rows : (row + 1) * rows, col * cols : (col + 1) * cols] = part
    return whole
