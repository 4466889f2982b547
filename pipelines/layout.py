"""Boxes and windows on endless grids, and the noise of the ground that they lie on."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product

import torch
from torch import Tensor

from rsaug.pipelines.noise import keyed_generator

_CHUNK = 32


@dataclass(frozen=True)
class Box:
    """A rectangle of whole cells or pixels of an endless grid, rows to the south, half open."""

    top: int
    left: int
    bottom: int
    right: int

    @property
    def shape(self) -> tuple[int, int]:
        """(rows, cols)."""
        return self.bottom - self.top, self.right - self.left

    def grown(self, by: int) -> Box:
        """The box with a margin on all sides."""
        return Box(self.top - by, self.left - by, self.bottom + by, self.right + by)

    def times(self, factor: int) -> Box:
        """The same box on a grid that is so many times as fine."""
        return Box(*(edge * factor for edge in (self.top, self.left, self.bottom, self.right)))

    def common(self, other: Box) -> Box:
        """What lies in both; only of boxes that overlap."""
        return Box(
            max(self.top, other.top),
            max(self.left, other.left),
            min(self.bottom, other.bottom),
            min(self.right, other.right),
        )

    def within(self, other: Box) -> tuple[slice, slice]:
        """Where the box lies in an array that covers ``other``."""
        return (
            slice(self.top - other.top, self.bottom - other.top),
            slice(self.left - other.left, self.right - other.left),
        )


@dataclass(frozen=True)
class Layout:
    """Windows over an endless grid, each row and column of them as wide as the next.

    Attributes:
        window: side of a window in cells.
        overlap: cells that neighbours share; half a window at most.
        start: first row and column of the window number 0.
    """

    window: int
    overlap: int
    start: int = 0

    @property
    def stride(self) -> int:
        """Cells from one window to the next."""
        return self.window - self.overlap

    def box(self, row: int, col: int) -> Box:
        """The cells of a window."""
        top, left = (self.start + k * self.stride for k in (row, col))
        return Box(top, left, top + self.window, left + self.window)

    def over(self, box: Box) -> Iterator[tuple[int, int]]:
        """Numbers of the windows that overlap a box, row by row."""
        return product(self._span(box.top, box.bottom), self._span(box.left, box.right))

    def around(self, box: Box) -> Box:
        """The box of all windows that overlap a box."""
        rows, cols = self._span(box.top, box.bottom), self._span(box.left, box.right)
        first, last = self.box(rows[0], cols[0]), self.box(rows[-1], cols[-1])
        return Box(first.top, first.left, last.bottom, last.right)

    def weights(self) -> Tensor:
        """How much each cell of a window counts, (window, window); over all windows they sum to 1.

        Linear over what is shared with a neighbour.
        """
        ramp = torch.ones(self.window)
        if self.overlap:
            rise = (torch.arange(self.overlap) + 0.5) / self.overlap
            ramp[: self.overlap] = rise
            ramp[-self.overlap :] = 1 - rise
        return ramp[:, None] * ramp

    def _span(self, first: int, end: int) -> range:
        low = first - self.start - self.window
        return range(low // self.stride + 1, -(-(end - self.start) // self.stride))


def ground_noise(seed: int, purpose: int | str, box: Box, channels: int) -> Tensor:
    """Standard normal noise (channels, rows, cols), float32, that belongs to the cells of a box.

    The same cell has the same noise in every box that holds it.

    Args:
        seed: of the field.
        purpose: number of a phase, or another name; each has noise of its own.
        box: the cells.
        channels: of the latent.
    """
    noise = torch.empty(channels, *box.shape)
    rows = range(box.top // _CHUNK, -(-box.bottom // _CHUNK))
    for row, col in product(rows, range(box.left // _CHUNK, -(-box.right // _CHUNK))):
        source = keyed_generator(seed, purpose, row, col)
        chunk = torch.randn(channels, _CHUNK, _CHUNK, generator=source)
        place = Box(row, col, row + 1, col + 1).times(_CHUNK)
        part = place.common(box)
        noise[(..., *part.within(box))] = chunk[(..., *part.within(place))]
    return noise
