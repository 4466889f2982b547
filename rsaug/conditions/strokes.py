"""Strokes on pixels: straight segments, soft falloff, discs, the same wherever a tile is cut."""

from __future__ import annotations

import math

import numpy as np
from affine import Affine
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

from rsaug.grid import Tile

# Vertices are taken to this part of a pixel, in which an edge mapped along the border of pixels
# stays there: what its coordinates lose by rounding would otherwise decide the side of it.
_SNAP_A_PX = 2.0**16
# What lies this far off, in pixels, is out of any tile's sight and of exact numbers.
_FAR_PX = 2.0**30


def around(tile: Tile, margin_px: int, finer: int = 1) -> Tile:
    """The tile with a margin of pixels on all sides, each side of a pixel cut into ``finer``."""
    rows, cols = tile.shape
    transform = tile.transform @ Affine.translation(-margin_px, -margin_px)
    shape = ((rows + 2 * margin_px) * finer, (cols + 2 * margin_px) * finer)
    box = GeoBox(shape, transform @ Affine.scale(1 / finer), tile.geobox.crs)
    return Tile(tile.row, tile.col, box)


def draw_segments(segments: NDArray[np.float64], shape: tuple[int, int]) -> NDArray[np.bool_]:
    """Pixels of straight segments, bool (rows, cols): those with their centre within half a pixel.

    That is the segment's buffer of half a pixel with flat ends. Of two rows of centres that are
    exactly half a pixel away, on both sides, one is taken.

    Args:
        segments: (n, 4) x, y of both ends in pixels; (0.5, 0.5) is the centre of the first one.
        shape: (rows, cols).
    """
    drawn = np.zeros(shape, dtype=bool)
    ends = np.round(np.clip(segments, -_FAR_PX, _FAR_PX) * _SNAP_A_PX) / _SNAP_A_PX
    dx, dy = ends[:, 2] - ends[:, 0], ends[:, 3] - ends[:, 1]
    steep = np.abs(dy) > np.abs(dx)
    _draw_along(drawn, ends[~steep])
    _draw_along(drawn.T, ends[steep][:, [1, 0, 3, 2]])
    return drawn


def _draw_along(drawn: NDArray[np.bool_], ends: NDArray[np.float64]) -> None:
    """Draw segments that are no steeper than a diagonal, column by column."""
    rows, cols = drawn.shape
    ends = ends[ends[:, 0] != ends[:, 2]]
    backwards = ends[:, 0] > ends[:, 2]
    ends[backwards] = ends[backwards][:, [2, 3, 0, 1]]
    # A flat end reaches past the last point by half a pixel at most.
    first = np.clip(np.floor(ends[:, 0] - 0.5), 0, cols).astype(np.intp)
    stop = np.clip(np.ceil(ends[:, 2] + 0.5), 0, cols).astype(np.intp)
    length = np.maximum(stop - first, 0)
    which = np.repeat(np.arange(len(ends)), length)
    col = np.arange(length.sum()) - np.repeat(np.cumsum(length) - length, length) + first[which]
    x0, y0, x1, y1 = ends[which].T
    dx, dy = x1 - x0, y1 - y0
    along_x = col + 0.5 - x0
    middle = np.floor(y0 + along_x * dy / dx).astype(np.intp)
    half = np.hypot(dx, dy) / 2
    for step in (-1, 0, 1):
        row = middle + step
        along_y = row + 0.5 - y0
        off = dx * along_y - dy * along_x
        along = dx * along_x + dy * along_y
        hit = (-half <= off) & (off < half) & (along >= 0) & (along <= 4 * half * half)
        hit &= (row >= 0) & (row < rows)
        drawn[row[hit], col[hit]] = True


def spread_softly(
    marks: NDArray[np.float32], sigma_px: float, reach_px: int
) -> NDArray[np.float32]:
    """Marks with a Gaussian falloff around each, the strongest winning, float32 of the same shape.

    At a pixel p it is the largest of m(q) exp(-|p - q|^2 / (2 sigma^2)) over the marks q in a
    square of 2 reach + 1 pixels. The Gaussian is a product over the axes, and so is the largest
    product.

    Args:
        marks: (rows, cols) strengths of 0 and above.
        sigma_px: Width of the Gaussian in pixels.
        reach_px: How far a mark is seen.
    """
    weights = [
        np.float32(math.exp(-(step**2) / (2 * sigma_px**2))) for step in range(1, reach_px + 1)
    ]
    for turned in (False, True):
        source = marks.T if turned else marks
        spread = source.copy(order="K")
        for step, weight in enumerate(weights, start=1):
            faded = source * weight
            np.maximum(spread[:, step:], faded[:, :-step], out=spread[:, step:])
            np.maximum(spread[:, :-step], faded[:, step:], out=spread[:, :-step])
        marks = spread.T if turned else spread
    return marks


def thicken(marks: NDArray[np.bool_], radius_px: int) -> NDArray[np.bool_]:
    """Pixels within a disc around a mark, bool of the same shape.

    Args:
        marks: (rows, cols).
        radius_px: Radius of the disc; a pixel at exactly this distance is within.
    """
    half = [math.isqrt(radius_px**2 - step**2) for step in range(radius_px + 1)]
    thick = np.zeros_like(marks)
    run, reach = marks.copy(), 0
    for step in range(radius_px, -1, -1):
        while reach < half[step]:
            reach += 1
            run[:, reach:] |= marks[:, :-reach]
            run[:, :-reach] |= marks[:, reach:]
        if step:
            thick[step:] |= run[:-step]
            thick[:-step] |= run[step:]
        else:
            thick |= run
    return thick


def block_mean(fine: NDArray[np.bool_] | NDArray[np.float32], finer: int) -> NDArray[np.float32]:
    """Means of blocks of ``finer`` by ``finer`` pixels, float32 (rows / finer, cols / finer)."""
    rows, cols = fine.shape
    total = np.zeros((rows // finer, cols // finer), dtype=np.float32)
    for row in range(finer):
        for col in range(finer):
            total += fine[row::finer, col::finer]
    total /= finer**2
    return total
