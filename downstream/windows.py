"""Windows over a raster: where they lie, how they are blended, and how pixels are made others.

All of it follows from a pixel's place in the whole raster, so neither the window at hand nor the
order of windows has a say.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rsaug.errors import InputError

_DISCARDED = 0.25


@dataclass(frozen=True)
class Axis:
    """Windows along the rows or the columns.

    The first begins at 0 and the last ends at the end, or at the next multiple of the stride after
    it. All begin at multiples of the stride, so that a network sees a pixel in the same place of
    its grid in all of them.

    Attributes:
        size: Pixels of the raster.
        window: Pixels of a window, at most; a multiple of the stride.
        overlap: Pixels that neighbours share at least; a multiple of the stride.
        stride: Of the network.

    Raises:
        InputError: if the windows cannot overlap like that.
    """

    size: int
    window: int
    overlap: int
    stride: int

    def __post_init__(self) -> None:
        """Check the numbers."""
        if self.window % self.stride or self.overlap % self.stride or self.window < self.stride:
            raise InputError(
                f"Windows and their overlap must be multiples of {self.stride} pixels for this "
                f"detector, not {self.window} and {self.overlap}."
            )
        if not 0 <= 2 * self.overlap <= self.window:
            raise InputError(
                f"Windows of {self.window} pixels can overlap by 0 to {self.window // 2}, not by "
                f"{self.overlap}."
            )

    @property
    def padded(self) -> int:
        """Pixels with those after the end that fill the last stride."""
        return -(-self.size // self.stride) * self.stride

    @property
    def length(self) -> int:
        """Pixels of every window."""
        return min(self.window, self.padded)

    @property
    def starts(self) -> tuple[int, ...]:
        """Where the windows begin."""
        last = self.padded - self.length
        if not last:
            return (0,)
        # The last one lies flush with the end, over more of the one before.
        return (*range(0, last, self.length - self.overlap), last)

    def weight(self, start: int) -> NDArray[np.float64]:
        """How much each pixel of a window counts, (length,), from 0 to 1.

        Nothing within a quarter of the overlap of an edge inside the raster, where a network lacks
        what lies beyond it; then rising to 1 over half of the overlap.
        """
        place = np.arange(self.length) + 0.5
        weight = np.ones(self.length)
        discarded, rise = _DISCARDED * self.overlap, (1 - 2 * _DISCARDED) * self.overlap
        inner = []
        if start > 0:
            inner.append(place)
        if start + self.length < self.padded:
            inner.append(self.length - place)
        for depth in inner:
            ramp = (depth - discarded) / rise if rise else np.ones(self.length)
            weight *= np.clip(ramp, 0, 1)
        return weight

    def total(self) -> NDArray[np.float64]:
        """What the weights of all windows add up to at each pixel, (padded,)."""
        total = np.zeros(self.padded)
        for start in self.starts:
            total[start : start + self.length] += self.weight(start)
        return total


@dataclass(frozen=True)
class Resampler:
    """Pixels of one size as pixels of another along one axis, both beginning at the same place.

    Linear between centres; where pixels get larger, the triangle gets as wide as they are, so that
    all that lies in one is averaged.

    Attributes:
        source: How many pixels there are.
        target: How many are made.
        scale: Sides of a pixel that is made, in those of one there is.
    """

    source: int
    target: int
    scale: float

    @classmethod
    def to(cls, source: int, scale: float) -> Resampler:
        """As many pixels as cover the same length."""
        return cls(source, max(1, math.ceil(source / scale - 1e-6)), scale)

    @property
    def back(self) -> Resampler:
        """The other way round."""
        return Resampler(self.target, self.source, 1 / self.scale)

    def needs(self, first: int, end: int) -> tuple[int, int]:
        """Which pixels those from ``first`` to ``end`` are made of, half open."""
        reach = max(1.0, self.scale)
        low, high = self._centres(np.array([first, end - 1]))
        start, stop = math.floor(low - reach), math.ceil(high + reach) + 1
        return max(start, 0), min(stop, self.source)

    def weights(self, first: int, end: int) -> NDArray[np.float64]:
        """How the pixels of `needs` are weighed, (end - first, needed); rows add up to 1."""
        start, stop = self.needs(first, end)
        centres = self._centres(np.arange(first, end))[:, None]
        distance = np.abs(np.arange(start, stop) - centres) / max(1.0, self.scale)
        weights = np.clip(1 - distance, 0, None)
        made: NDArray[np.float64] = weights / weights.sum(axis=1, keepdims=True)
        return made

    def _centres(self, made: NDArray[np.intp]) -> NDArray[np.float64]:
        """Where the centres of pixels that are made lie among those that there are, (n,)."""
        return np.clip((made + 0.5) * self.scale - 0.5, 0, self.source - 1)
