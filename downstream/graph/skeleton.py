"""Skeletons of road masks: the middle of every road, one pixel wide, with the road's width.

A skeleton and what is measured beside it hang on the mask around a pixel only, as far as the road
is wide. So a large raster is done window by window, each a little larger than what it is for, and
the result is the same.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from rsaug.optional import require

Window = tuple[int, int, int, int]
"""Rows from and to, columns from and to, half open."""

Read = Callable[[Window], tuple[NDArray[np.bool_], NDArray[np.bool_]]]
"""From a window to its mask, and to which of its pixels are known."""

CORE_PX, MARGIN_PX = 2048, 256
"""Side of a window, and how far around it is looked: more than any road is wide."""

_EIGHT = np.ones((3, 3), dtype=np.uint8)


@dataclass(frozen=True, eq=False)
class SkeletonPixels:
    """The pixels of a skeleton and what was measured around them.

    Attributes:
        row: (n,) their rows.
        col: (n,) their columns.
        radius: (n,) pixels from the centre to the nearest one that is no road.
        count: (n,) road pixels that are nearest to this one.
        shift: (n, 2) sum of the ways (x, y) to those pixels.
        to_edge: (n, 4) pixels to where the raster ends, to the left, right, top and bottom;
            infinite where that is far.
    """

    row: NDArray[np.int64]
    col: NDArray[np.int64]
    radius: NDArray[np.float64]
    count: NDArray[np.float64]
    shift: NDArray[np.float64]
    to_edge: NDArray[np.float64]

    def __len__(self) -> int:
        """How many there are."""
        return len(self.row)

    def at(self, which: NDArray[Any]) -> SkeletonPixels:
        """Some of them."""
        return SkeletonPixels(*(getattr(self, field.name)[which] for field in fields(self)))

    @classmethod
    def none(cls) -> SkeletonPixels:
        """No pixel."""
        place, number = np.zeros(0, np.int64), np.zeros(0)
        return cls(place, place, number, number, np.zeros((0, 2)), np.zeros((0, 4)))

    @classmethod
    def joined(cls, parts: list[SkeletonPixels]) -> SkeletonPixels:
        """All of the parts, by row and column."""
        parts = [cls.none(), *parts]
        whole = cls(*(np.concatenate([getattr(p, f.name) for p in parts]) for f in fields(cls)))
        return whole.at(np.lexsort((whole.col, whole.row)))


def skeleton(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The skeleton of a mask (rows, cols): lines in the middle of roads, one pixel wide.

    Zhang and Suen 1984, "A fast parallel algorithm for thinning digital patterns".

    Raises:
        MissingExtra: if scikit-image is not installed.
    """
    morphology = require("skimage.morphology", extra="graph")
    thin: NDArray[np.bool_] = morphology.skeletonize(mask)
    return thin


def skeleton_pixels(
    read: Read,
    shape: tuple[int, int],
    *,
    min_hole_px: float = 0,
    min_area_px: float = 0,
    core_px: int = CORE_PX,
    margin_px: int = MARGIN_PX,
    note: Callable[[str, int], None] | None = None,
) -> SkeletonPixels:
    """The skeleton of a raster, read window by window.

    Args:
        read: Gives mask and known pixels of a window.
        shape: Rows and columns of the raster.
        min_hole_px: Holes in roads below so many pixels are filled first.
        min_area_px: Roads below so many pixels are dropped first.
        core_px: Side of a window.
        margin_px: How far around it is looked; about four times the half width of the widest road.
        note: Is told what was done and how often: ``holes filled`` and ``spots dropped``.
    """
    rows, cols = shape
    parts = []
    for top in range(0, rows, core_px):
        for left in range(0, cols, core_px):
            core = top, min(top + core_px, rows), left, min(left + core_px, cols)
            window = (
                max(core[0] - margin_px, 0),
                min(core[1] + margin_px, rows),
                max(core[2] - margin_px, 0),
                min(core[3] + margin_px, cols),
            )
            mask, known = read(window)
            if mask.any():
                mask, holes, spots = without_small(mask, known, min_hole_px, min_area_px)
                if note is not None:
                    note("holes filled", int(_inside(core, window, *holes).sum()))
                    note("spots dropped", int(_inside(core, window, *spots).sum()))
                parts.append(_measured(mask, known, window, shape, core))
    return SkeletonPixels.joined(parts)


def _measured(
    mask: NDArray[np.bool_],
    known: NDArray[np.bool_],
    window: Window,
    shape: tuple[int, int],
    core: Window,
) -> SkeletonPixels:
    """The skeleton inside a window's core."""
    thin = skeleton(mask)
    row, col = np.nonzero(thin)
    in_core = _inside(core, window, row, col)
    if not in_core.any():
        return SkeletonPixels.none()
    count, shift = _around(mask, thin)
    pixels = SkeletonPixels(
        row.astype(np.int64) + window[0],
        col.astype(np.int64) + window[2],
        _radius(mask, row, col),
        count,
        shift,
        _to_edge(known, window, shape, row, col),
    )
    return pixels.at(in_core)


def _inside(
    core: Window, window: Window, row: NDArray[np.intp], col: NDArray[np.intp]
) -> NDArray[np.bool_]:
    """Which pixels of a window are in its core."""
    row, col = row + window[0], col + window[2]
    inside: NDArray[np.bool_] = (row >= core[0]) & (row < core[1]) & (col >= core[2])
    return inside & (col < core[3])


Pixels = tuple[NDArray[np.intp], NDArray[np.intp]]
"""Rows and columns."""


def without_small(
    mask: NDArray[np.bool_],
    known: NDArray[np.bool_],
    min_hole_px: float,
    min_area_px: float,
) -> tuple[NDArray[np.bool_], Pixels, Pixels]:
    """The mask without small holes and small roads; what touches the window's edge is kept.

    Args:
        mask: (rows, cols).
        known: (rows, cols) which pixels are known; others are no hole.
        min_hole_px: Holes below so many pixels are filled; pixels that meet at corners do not join.
        min_area_px: Roads below so many pixels are dropped; those that meet at corners are one.

    Returns:
        The mask, and a pixel of each hole and of each road that was.
    """
    holes, first_of_hole = _small(~mask & known, min_hole_px, None)
    kept = mask | holes
    spots, first_of_spot = _small(kept, min_area_px, _EIGHT)
    return kept & ~spots, first_of_hole, first_of_spot


def _small(
    mask: NDArray[np.bool_], least: float, structure: NDArray[np.uint8] | None
) -> tuple[NDArray[np.bool_], Pixels]:
    """Which pixels are in a part of fewer than so many that does not touch the window's edge.

    And a pixel of each such part.
    """
    if least <= 0:
        nothing = np.zeros(0, np.intp)
        return np.zeros_like(mask), (nothing, nothing)
    label, number = ndimage.label(mask, structure)
    is_small = np.bincount(label.ravel(), minlength=number + 1) < least
    is_small[0] = False
    for side in (label[0], label[-1], label[:, 0], label[:, -1]):
        is_small[side] = False
    small: NDArray[np.bool_] = is_small[label]
    row, col = np.nonzero(small)
    _, first = np.unique(label[row, col], return_index=True)
    return small, (row[first], col[first])


def _radius(
    mask: NDArray[np.bool_], row: NDArray[np.intp], col: NDArray[np.intp]
) -> NDArray[np.float64]:
    """Pixels to the nearest one that is no road; beyond the raster's edge the road goes on."""
    if mask.all():
        return np.full(len(row), float(min(mask.shape)))
    radius: NDArray[np.float64] = ndimage.distance_transform_edt(mask)[row, col]
    return radius


def _around(
    mask: NDArray[np.bool_], thin: NDArray[np.bool_]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """How many road pixels are nearest to each of the skeleton, and the sum of the ways to them."""
    number = np.cumsum(thin.ravel()).reshape(thin.shape) - 1
    nearest = ndimage.distance_transform_edt(~thin, return_distances=False, return_indices=True)
    row, col = np.nonzero(mask)
    to_row, to_col = nearest[0, row, col], nearest[1, row, col]
    own = number[to_row, to_col]
    n = int(thin.sum())
    count = np.bincount(own, minlength=n).astype(np.float64)
    shift = np.stack(
        [np.bincount(own, way, minlength=n) for way in (col - to_col, row - to_row)], axis=1
    )
    return count, shift.astype(np.float64)


def _to_edge(
    known: NDArray[np.bool_],
    window: Window,
    shape: tuple[int, int],
    row: NDArray[np.intp],
    col: NDArray[np.intp],
) -> NDArray[np.float64]:
    """Pixels to the edge of what is known, to the left, right, top and bottom, (n, 4)."""
    top, bottom, left, right = window
    rows, cols = known.shape
    ends = [left == 0, right == shape[1], top == 0, bottom == shape[0]]
    whole = np.stack([col, cols - 1 - col, row, rows - 1 - row], axis=1) + 0.5
    to_edge = np.where(ends, whole, np.inf)
    if known.all():
        return to_edge
    for side, (axis, ahead) in enumerate(((1, False), (1, True), (0, False), (0, True))):
        way = known if not ahead else np.flip(known, axis)
        step = np.arange(known.shape[axis]).reshape((-1, 1) if axis == 0 else (1, -1))
        # The last unknown pixel on the way to each, -1 where there is none.
        last = np.maximum.accumulate(np.where(way, -1, step), axis=axis)
        last = last if not ahead else np.flip(last, axis)
        from_start = (col if axis else row) if not ahead else whole[:, side] - 0.5
        found = last[row, col]
        near = np.where(found >= 0, from_start - found - 0.5, np.inf)
        to_edge[:, side] = np.minimum(to_edge[:, side], near)
    return to_edge
