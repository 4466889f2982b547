"""Edge controls from mapped areas: straight lines (mlsd), soft edges (hed) and sketch.

They take the place of what networks find on an image: M-LSD, HED and sketch simplification. They
show what is seen from above, their numbers mean the same on every tile, and what a tile shows
equals the same pixels of a larger one. `rsaug.conditions.image_edges` makes them from an image.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from rsaug.conditions.outlines import Outlines, hides_parcels, is_stacked
from rsaug.conditions.strokes import block_mean, draw_segments, spread_softly, thicken
from rsaug.errors import InputError
from rsaug.grid import Tile

# Fine pixels along a pixel's side; for strokes more, since their coverage is all that is smooth.
_FINER = 2
_FINER_STROKES = 4
# Beyond three widths a Gaussian is below 1.2 %, three grey levels of 255.
_REACH_SIGMAS = 3.0


def line_map(
    outlines: Outlines,
    tile: Tile,
    *,
    tolerance_px: float = 0.5,
    shortest_px: float = 12.0,
    weakest: float = 0.3,
) -> NDArray[np.uint8]:
    """Straight lines for the mlsd slot, uint8 0/1 (rows, cols), one pixel wide.

    A pixel is on a line when its centre lies within half a pixel of a straight part of an outline,
    and the outline is seen there: some pixel of the 3 by 3 around shows something that lies lower,
    or for buildings another or the same building.

    Args:
        outlines: What is mapped.
        tile: A tile in the CRS of the outlines.
        tolerance_px: How far an outline may be from straight, in pixels.
        shortest_px: The least length of a straight part, in pixels.
        weakest: The least strength of a boundary that is drawn.

    Raises:
        InputError: if the tile is in another CRS or a number cannot be used.
    """
    _check(tolerance_px=tolerance_px, shortest_px=shortest_px, weakest=weakest)
    parts = outlines.straight(
        tile, tolerance_px=tolerance_px, shortest_px=shortest_px, weakest=weakest
    )
    on_top = outlines.cover_kinds(tile, margin_px=1, finer=_FINER)
    # The lowest within a pixel around: over the fine pixels of each pixel, then over 3 by 3.
    lowest = np.minimum(
        np.minimum(on_top[::2, ::2], on_top[1::2, ::2]),
        np.minimum(on_top[::2, 1::2], on_top[1::2, 1::2]),
    )
    lowest = ndimage.minimum_filter(lowest, size=3)[1:-1, 1:-1]
    lines = np.zeros(tile.shape, dtype=bool)
    stacked, open_ground = is_stacked(lowest), ~hides_parcels(lowest)
    for kind, ends in parts:
        seen = open_ground if kind == 0 else (lowest < kind) | ((lowest == kind) & stacked)
        lines |= draw_segments(ends, tile.shape) & seen
    return lines.astype(np.uint8)


def edge_map(
    outlines: Outlines, tile: Tile, *, sigma_px: float = 1.5, weakest: float = 0.0
) -> NDArray[np.float32]:
    """Soft edges for the hed slot, float32 (rows, cols) in [0, 1].

    An edge has the strength of its kind and falls off around the boundary as a Gaussian of the
    distance; where several are near the largest counts. It is made on pixels half as wide and
    averaged.

    Args:
        outlines: What is mapped.
        tile: A tile in the CRS of the outlines.
        sigma_px: Width of the falloff in pixels.
        weakest: The least strength of a boundary that is drawn.

    Raises:
        InputError: if the tile is in another CRS or a number cannot be used.
    """
    _check(sigma_px=sigma_px, weakest=weakest)
    margin_px = max(1, math.ceil(_REACH_SIGMAS * sigma_px))
    marks = outlines.boundaries(tile, margin_px=margin_px, finer=_FINER)
    marks[marks < weakest] = 0
    if marks.any():
        # One fine pixel short of the margin, in whose last row half of the neighbours are missing.
        marks = spread_softly(marks, sigma_px * _FINER, margin_px * _FINER - 1)
    fine = marks[margin_px * _FINER :, margin_px * _FINER :]
    rows, cols = tile.shape
    return block_mean(fine[: rows * _FINER, : cols * _FINER], _FINER)


def sketch_map(
    outlines: Outlines, tile: Tile, *, width_px: float = 1.75, weakest: float = 0.5
) -> NDArray[np.float32]:
    """Dark strokes on a light ground for the sketch slot, float32 (rows, cols) in [0, 1].

    1 is the ground, and 1 everywhere is a sketch of nothing. A pixel is as dark as the strokes
    cover of it, in steps of a sixteenth.

    Args:
        outlines: What is mapped.
        tile: A tile in the CRS of the outlines.
        width_px: Width of a stroke in pixels, to the nearest half.
        weakest: The least strength of a boundary that is drawn.

    Raises:
        InputError: if the tile is in another CRS or a number cannot be used.
    """
    _check(width_px=width_px, weakest=weakest)
    finer = _FINER_STROKES
    # A boundary is two fine pixels wide, and a disc adds its radius on either side.
    radius = max(0, round(width_px * finer / 2) - 1)
    margin_px = max(1, math.ceil((radius + 1) / finer))
    marks = outlines.boundaries(tile, margin_px=margin_px, finer=finer)
    strokes = thicken(marks >= weakest if weakest else marks > 0, radius)
    rows, cols = tile.shape
    inner = strokes[margin_px * finer :, margin_px * finer :][: rows * finer, : cols * finer]
    return np.float32(1) - block_mean(inner, finer)


def _check(**numbers: float) -> None:
    for name, number in numbers.items():
        least = 0.0 if name in ("weakest", "tolerance_px", "shortest_px") else 0.1
        if not (math.isfinite(number) and least <= number <= 1000):
            raise InputError(f"{name} must be a number from {least:g} to 1000, not {number}.")
