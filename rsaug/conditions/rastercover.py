"""Land cover from rasters: their numbers as the classes of a set, by a table."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from affine import Affine
from numpy.typing import NDArray
from pyproj import CRS

from rsaug.classes import LOVEDA, ClassSet, RasterTable, read_raster_table
from rsaug.errors import InputError
from rsaug.grid import Tile
from rsaug.warp import raster_info, read_onto

_SAMPLES_A_SIDE = 512
_MOST_UNKNOWN = 50


@dataclass(frozen=True)
class CoverReport:
    """What a raster says of an area.

    Attributes:
        pixels: How many places were looked at.
        shares: Share of them by name of class.
        unknown: Places by a number of the raster that means no class of the set.
        no_data: Places where the raster has no value.
    """

    pixels: int
    shares: dict[str, float]
    unknown: dict[str, int]
    no_data: int

    def to_dict(self) -> dict[str, Any]:
        """The report, for JSON."""
        return {
            "pixels": self.pixels,
            "shares": {name: round(share, 4) for name, share in self.shares.items()},
            "unknown": self.unknown,
            "no_data": self.no_data,
        }


@dataclass(frozen=True, eq=False)
class RasterCover:
    """A land-cover raster in the classes of a set.

    Attributes:
        path: The file.
        table: What its numbers are.
        classes: The class set.
        band: The band, from 1.
    """

    path: Path
    table: RasterTable
    classes: ClassSet = LOVEDA
    band: int = 1

    @classmethod
    def open(
        cls,
        path: Path | str,
        table: RasterTable | str | Path,
        classes: ClassSet = LOVEDA,
        band: int = 1,
    ) -> RasterCover:
        """The raster of a file.

        Args:
            path: A raster in any CRS; see `rsaug.warp.read_onto`.
            table: What its numbers are: a table, or what `rsaug.classes.read_raster_table` takes.
            classes: The class set.
            band: The band, from 1.

        Raises:
            InputError: if the raster or the table cannot be used.
        """
        info = raster_info(path)
        if not 1 <= band <= info.count:
            raise InputError(f"{path} has {info.count} bands, so there is no band {band}.")
        if not isinstance(table, RasterTable):
            table = read_raster_table(table)
        cover = cls(Path(path), table, classes, band)
        if not len(cover._known[0]):
            raise InputError(
                f"The raster table {table.name!r} knows no class of {classes.name!r}, which has "
                f"{list(classes.priority)}; give another table or class set."
            )
        return cover

    def read(self, tile: Tile) -> np.ma.MaskedArray[Any, Any]:
        """Number in label files of each pixel's class, uint8 (rows, cols); masked where unknown."""
        levels = self.levels(tile)
        return np.ma.MaskedArray(self.classes.values_of(levels), mask=levels == 0)

    def levels(self, tile: Tile) -> NDArray[np.uint8]:
        """Place in the priority of each pixel's class, plus one; 0 where it is not known."""
        return self._levels_of(read_onto(self.path, tile, band=self.band))

    def report(self, tile: Tile) -> CoverReport:
        """What the raster says of a tile."""
        numbers = read_onto(self.path, tile, band=self.band)
        levels = self._levels_of(numbers)
        count = np.bincount(levels.ravel(), minlength=len(self.classes.classes) + 1)[1:]
        missing = np.ma.getmaskarray(numbers)
        return CoverReport(
            pixels=levels.size,
            shares={
                name: float(n / levels.size)
                for name, n in zip(self.classes.priority, count, strict=True)
                if n
            },
            unknown=self._unknown(numbers.data[(levels == 0) & ~missing]),
            no_data=int(missing.sum()),
        )

    def survey(self, bounds: tuple[float, float, float, float], crs: CRS) -> CoverReport:
        """What the raster says of an area, at up to 512 by 512 places evenly spread over it.

        Args:
            bounds: (left, bottom, right, top) in units of the CRS.
            crs: A projected CRS.

        Raises:
            InputError: if the area is empty or the CRS is not projected.
        """
        left, bottom, right, top = bounds
        step = max(right - left, top - bottom) / _SAMPLES_A_SIDE
        if not (np.isfinite(bounds).all() and right > left and top > bottom):
            raise InputError(f"{bounds} is no box: left, bottom, right, top is needed.")
        rows, cols = (max(1, round(side / step)) for side in (top - bottom, right - left))
        to_xy = Affine(step, 0, left, 0, -step, top)
        return self.report(Tile.from_transform(to_xy, (rows, cols), crs))

    @cached_property
    def _known(self) -> tuple[NDArray[np.int64], NDArray[np.uint8]]:
        """Numbers of the raster that mean a class, ascending, and their levels."""
        ranks = sorted(self.table.ranks(self.classes).items())
        numbers = np.array([number for number, _ in ranks], dtype=np.int64)
        return numbers, np.array([rank + 1 for _, rank in ranks], dtype=np.uint8)

    def _levels_of(self, numbers: np.ma.MaskedArray[Any, Any]) -> NDArray[np.uint8]:
        known, levels = self._known
        nth = np.minimum(np.searchsorted(known, numbers.data), len(known) - 1)
        means = (known[nth] == numbers.data) & ~np.ma.getmaskarray(numbers)
        return np.where(means, levels[nth], np.uint8(0))

    def _unknown(self, numbers: NDArray[Any]) -> dict[str, int]:
        whole = numbers == np.rint(numbers)
        values, counts = np.unique(numbers[whole], return_counts=True)
        found = Counter(dict(zip(values.tolist(), counts.tolist(), strict=True)))
        named = {self.table.call(int(n)): count for n, count in found.most_common(_MOST_UNKNOWN)}
        rest = sum(found.values()) - sum(named.values())
        fractions = int((~whole).sum())
        named |= {"other numbers": rest} if rest else {}
        return named | ({"not a whole number": fractions} if fractions else {})
