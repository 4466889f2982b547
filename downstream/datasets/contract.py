"""What torchgeo asks of a dataset, and where its releases differ.

A query is a tuple of three slices, ``(x, y, t)``, and a sample is a dictionary. From 0.9 on
torchgeo has tensors in it and nothing else, ``bounds`` and ``transform`` as nine numbers each; 0.8
has the query as ``bounds``, and ``crs``. A sample is made as by the installed release, so that ours
and torchgeo's go together in ``&`` and ``|``.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import torch
import torchgeo
from affine import Affine
from numpy.typing import NDArray
from pyproj import CRS
from torch import Tensor
from torchgeo.datasets import DatasetNotFoundError, GeoDataset

from rsaug.errors import InputError

CLASSES = ("background", "road")
"""Names of the classes; the number of a class is its position."""

PALETTE = ((0, 0, 0), (255, 255, 255))
"""RGB colour of each class."""

SPLITS = ("train", "val", "test")

Sample = dict[str, Any]
Transform = Callable[[Sample], Sample]
Query = tuple[slice, slice, slice]

EVER = (pd.Timestamp.min, pd.Timestamp.max)
"""The time of what has none, as torchgeo has it."""

_ONLY_TENSORS = tuple(map(int, re.findall(r"\d+", torchgeo.__version__)[:2])) >= (0, 9)


class DataNotFound(InputError, DatasetNotFoundError):
    """The files of a dataset are not where they were looked for; the message says what goes where.

    Args:
        message: What was looked for, where, and what to do.
    """

    def __init__(self, message: str) -> None:
        super(DatasetNotFoundError, self).__init__(message)


@dataclass(frozen=True)
class PixelGrid:
    """Pixels somewhere on Earth: those of a file, or those that a query asks for.

    Attributes:
        crs: Their CRS, projected or geographic.
        transform: From (col, row) to (x, y) in the CRS; north up.
        shape: (rows, cols).
    """

    crs: CRS
    transform: Affine
    shape: tuple[int, int]

    @property
    def bounds(self) -> tuple[float, float, float, float]:
        """(left, bottom, right, top) in units of the CRS."""
        rows, cols = self.shape
        left, top = self.transform.c, self.transform.f
        return left, top + self.transform.e * rows, left + self.transform.a * cols, top

    @property
    def resolution(self) -> tuple[float, float]:
        """Sides of a pixel, (along a row, along a column), in units of the CRS."""
        return self.transform.a, -self.transform.e

    @property
    def is_square(self) -> bool:
        """Whether pixels are as high as wide."""
        width, height = self.resolution
        return abs(width - height) <= 1e-6 * width

    def window(self, row: int, col: int, shape: tuple[int, int]) -> PixelGrid:
        """The part of ``shape`` (rows, cols) that begins at a pixel."""
        return PixelGrid(self.crs, self.transform @ Affine.translation(col, row), shape)

    def offset(self, other: PixelGrid) -> tuple[int, int] | None:
        """(row, col) in this grid of the first pixel of another one, if its pixels are pixels here.

        None where they lie between these or have another size or CRS.
        """
        if self.crs != other.crs or not np.allclose(self.resolution, other.resolution, rtol=1e-6):
            return None
        col = (other.transform.c - self.transform.c) / self.transform.a
        row = (other.transform.f - self.transform.f) / self.transform.e
        if max(abs(col - round(col)), abs(row - round(row))) > 1e-2:
            return None
        return round(row), round(col)


def queried_grid(query: Query, crs: CRS) -> PixelGrid:
    """The pixels that a whole query asks for.

    Args:
        query: Slices of x and y with start, stop and step, in units of ``crs``.
        crs: CRS of the dataset.

    Raises:
        InputError: if the query asks for no pixel.
    """
    x, y, _ = query
    cols, rows = round((x.stop - x.start) / x.step), round((y.stop - y.start) / y.step)
    if cols < 1 or rows < 1:
        raise InputError(f"The query {query} asks for {rows} x {cols} pixels; check its bounds.")
    return PixelGrid(crs, Affine(x.step, 0, x.start, 0, -y.step, y.stop), (rows, cols))


def placed(dataset: GeoDataset, query: Query, grid: PixelGrid) -> Sample:
    """What a sample says of its place, as the installed torchgeo has it."""
    if not _ONLY_TENSORS:
        return {"crs": dataset.crs, "bounds": query}
    x, y, t = query
    times = (t.start.timestamp(), t.stop.timestamp(), t.step)
    numbers = [x.start, x.stop, x.step, y.start, y.stop, y.step, *times]
    return {"bounds": torch.tensor(numbers), "transform": torch.tensor(tuple(grid.transform))}


def as_image(array: NDArray[np.generic]) -> Tensor:
    """An image as torchgeo has it: float32 (bands, rows, cols) in the numbers of the file."""
    return torch.from_numpy(np.ascontiguousarray(array, dtype=np.float32))


def as_mask(array: NDArray[np.generic]) -> Tensor:
    """A mask as torchgeo has it: int64 (rows, cols)."""
    return torch.from_numpy(np.ascontiguousarray(array, dtype=np.int64))
