"""Probabilities of road over an image of any size, strip by strip in bounded memory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from rsaug.downstream.detector import RoadDetector
from rsaug.downstream.graph.skeleton import Window
from rsaug.downstream.windows import Axis, Resampler
from rsaug.errors import InputError

# Sums of whole numbers do not depend on their order, those of floating-point numbers do.
_ONE = 1 << 24
_SAME_GSD = 0.02
_BLOCK = 1024


class Readable(Protocol):
    """An image that is read window by window; `rsaug.downstream.imagery.Imagery` is one."""

    @property
    def shape(self) -> tuple[int, int]:
        """(rows, cols)."""

    def read(self, window: Window) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """Values in [0, 1], (bands, rows, cols), and which pixels are known."""

    def known(self, window: Window) -> NDArray[np.bool_]:
        """Which pixels are known, (rows, cols)."""


@dataclass(frozen=True)
class Looking:
    """How a detector looks at an image.

    Attributes:
        window: Side of what it sees at once, in pixels of the size that it was trained at.
        overlap: Pixels that neighbouring windows share; the outer quarter is not used.
        batch: Windows at once.
        turns: Whether it looks at each in all eight turned and mirrored ways.
    """

    window: int = 512
    overlap: int = 128
    batch: int = 4
    turns: bool = False

    def __post_init__(self) -> None:
        """Check the numbers."""
        if self.batch < 1:
            raise InputError(f"A batch has at least one window, not {self.batch}.")


@dataclass(frozen=True)
class Strip:
    """Rows of a result.

    Attributes:
        row: The first.
        probability: float32 (rows, cols) in [0, 1].
        known: (rows, cols) whether the image says something there.
    """

    row: int
    probability: NDArray[np.float32]
    known: NDArray[np.bool_]


def scale_of(gsd_m: float | None, trained_gsd_m: float | None) -> float:
    """Side of a pixel that a detector was trained on, in those of an image.

    1 where either is not known, or they differ by less than 2 %.
    """
    if gsd_m is None or trained_gsd_m is None:
        return 1.0
    scale = trained_gsd_m / gsd_m
    return 1.0 if abs(scale - 1) < _SAME_GSD else scale


def strips(
    detector: RoadDetector, image: Readable, looking: Looking, scale: float = 1.0
) -> Iterator[Strip]:
    """Probabilities of road on the image's pixels, from the top down.

    Where all windows begin follows from the size of the image alone, and what several say of a
    pixel is added up in whole numbers, so the order in which they are looked at changes nothing. An
    image that fits into one window is looked at in one pass.

    Args:
        detector: Ready to predict, on the device that is to be used.
        image: The image.
        looking: How it is looked at.
        scale: See `scale_of`.

    Raises:
        InputError: if the windows do not go with the detector.
    """
    rows, cols = image.shape
    to_rows, to_cols = (Resampler.to(size, scale) for size in (rows, cols))
    made = _Work(detector, image, looking, (to_rows, to_cols)).strips()
    for row, probability in made if scale == 1 else _back(made, to_rows.back, to_cols.back):
        yield Strip(row, probability, image.known((row, row + len(probability), 0, cols)))


class _Work:
    """The image in the detector's own pixels, and what is seen in its windows."""

    def __init__(
        self,
        detector: RoadDetector,
        image: Readable,
        looking: Looking,
        to: tuple[Resampler, Resampler],
    ) -> None:
        self.detector, self.image, self.looking, self.to = detector, image, looking, to
        size, overlap, stride = looking.window, looking.overlap, detector.stride
        self.rows, self.cols = (Axis(axis.target, size, overlap, stride) for axis in to)
        self.fill = np.array(detector.config.mean, dtype=np.float32)[:, None, None]

    def strips(self) -> Iterator[tuple[int, NDArray[np.float32]]]:
        """First row and probabilities (rows, cols), in order; every row once."""
        rows, cols = self.rows, self.cols
        weights = rows.total()
        across = cols.total()[: cols.size]
        sums = np.zeros((0, cols.padded), dtype=np.int32)
        done = 0
        for k, top in enumerate(rows.starts):
            more = top + rows.length - done - len(sums)
            sums = np.concatenate([sums, np.zeros((more, cols.padded), dtype=np.int32)])
            self._look(top, sums[top - done :])
            end = rows.starts[k + 1] if k + 1 < len(rows.starts) else rows.size
            total = np.outer(weights[done:end], across) * _ONE
            yield done, (sums[: end - done, : cols.size] / total).astype(np.float32)
            sums, done = sums[end - done :].copy(), end

    def _look(self, top: int, sums: NDArray[np.int32]) -> None:
        """Add what is seen in a row of windows to the sums from its first row on."""
        starts = self.cols.starts
        for first in range(0, len(starts), self.looking.batch):
            lefts = starts[first : first + self.looking.batch]
            for left, seen in zip(lefts, self._seen(top, lefts), strict=True):
                weight = np.outer(self.rows.weight(top), self.cols.weight(left))
                part = np.rint(seen * weight * _ONE).astype(np.int32)
                sums[:, left : left + self.cols.length] += part

    def _seen(self, top: int, lefts: Sequence[int]) -> NDArray[np.float64]:
        """Probabilities in windows, (n, rows, cols)."""
        shape = len(lefts), len(self.fill), self.rows.length, self.cols.length
        images = np.broadcast_to(self.fill, shape).copy()
        for image, left in zip(images, lefts, strict=True):
            bottom = min(top + self.rows.length, self.rows.size)
            right = min(left + self.cols.length, self.cols.size)
            image[:, : bottom - top, : right - left] = self._read((top, bottom, left, right))
        batch = torch.from_numpy(images).to(self.detector.mean.device)
        seen = self.detector.probabilities(batch, turns=self.looking.turns)
        found: NDArray[np.float64] = seen.double().cpu().numpy()
        return found

    def _read(self, window: Window) -> NDArray[np.float32]:
        """The image in a window of the detector's pixels; the mean colour where it is unknown."""
        top, bottom, left, right = window
        rows, cols = self.to
        own = *rows.needs(top, bottom), *cols.needs(left, right)
        if rows.scale == 1:
            own = window
        values, known = self.image.read(own)
        if rows.scale == 1:
            return np.where(known, values, self.fill)
        down, across = rows.weights(top, bottom), cols.weights(left, right).T
        share = down @ known @ across
        # The known pixels alone are averaged; where they are few, nothing is known.
        mean = (down @ np.where(known, values, 0) @ across) / np.maximum(share, 1e-9)
        return np.where(share >= 0.5, mean, self.fill).astype(np.float32)


def _back(
    made: Iterator[tuple[int, NDArray[np.float32]]], rows: Resampler, cols: Resampler
) -> Iterator[tuple[int, NDArray[np.float32]]]:
    """The same on other pixels, with no more rows kept than are needed."""
    kept, first, done = np.zeros((0, cols.source), dtype=np.float32), 0, 0
    for _, strip in made:
        kept = np.concatenate([kept, strip])
        there = first + len(kept)
        end = rows.target if there == rows.source else _made_of(rows, done, there)
        if end <= done:
            continue
        start, stop = rows.needs(done, end)
        part = _across(rows.weights(done, end) @ kept[start - first : stop - first], cols)
        yield done, part.astype(np.float32)
        done = end
        if done < rows.target:
            start = rows.needs(done, done + 1)[0]
            kept, first = kept[start - first :].copy(), start


def _made_of(rows: Resampler, done: int, there: int) -> int:
    """Up to which row the rows that are there are enough."""
    end = min(rows.target, int(there / rows.scale) + 1)
    while end > done and rows.needs(done, end)[1] > there:
        end -= 1
    return end


def _across(values: NDArray[np.float64], cols: Resampler) -> NDArray[np.float64]:
    """Other columns, in blocks: a matrix of all by all would be too large."""
    parts = []
    for first in range(0, cols.target, _BLOCK):
        end = min(first + _BLOCK, cols.target)
        start, stop = cols.needs(first, end)
        parts.append(values[:, start:stop] @ cols.weights(first, end).T)
    return np.concatenate(parts, axis=1)
