"""Where a control holds: a region from areas or from a raster, on the pixels of a tile."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, Self

import numpy as np
from numpy.typing import NDArray
from pyproj import CRS

from rsaug.errors import InputError
from rsaug.grid import Tile
from rsaug.shapes import Shapes
from rsaug.vectors import areas_of, read_vectors
from rsaug.warp import is_raster, raster_info, read_onto


class Region(Protocol):
    """How much something holds at each place."""

    def at(self, tile: Tile) -> NDArray[np.float32]:
        """From 0, not at all, to 1, fully, at each pixel of a tile, (rows, cols)."""


@dataclass(frozen=True, eq=False)
class AreaRegion:
    """Inside of areas 1, outside 0.

    Attributes:
        shapes: The areas.
    """

    shapes: Shapes

    def at(self, tile: Tile) -> NDArray[np.float32]:
        """1 where the centre of a pixel lies in an area, 0 elsewhere, (rows, cols)."""
        return self.shapes.burn(tile).astype(np.float32)


@dataclass(frozen=True)
class RasterRegion:
    """A raster of weights; without data, and outside of it, 0.

    Attributes:
        path: Its file. Whole numbers are a mask, 1 wherever they are not 0; real ones are weights
            in [0, 1].
    """

    path: Path

    @classmethod
    def read(cls, path: Path) -> Self:
        """The region in a file.

        Raises:
            InputError: if it cannot be read as a raster with a place.
        """
        raster_info(path)
        return cls(path)

    def at(self, tile: Tile) -> NDArray[np.float32]:
        """The weight at the centre of each pixel, (rows, cols).

        Raises:
            InputError: if a weight does not lie in [0, 1].
        """
        values = read_onto(self.path, tile).filled(0)
        if values.dtype.kind in "iub":
            inside: NDArray[np.float32] = (values != 0).astype(np.float32)
            return inside
        weights: NDArray[np.float32] = values.astype(np.float32)
        # The negation also refuses NaN, which compares false with everything.
        if not (weights.min() >= 0 and weights.max() <= 1):
            raise InputError(
                f"{self.path} ranges from {weights.min():g} to {weights.max():g} at {tile.name}; a "
                "region has weights of 0 to 1, or whole numbers that are 0 outside."
            )
        return weights


def read_region(path: str, crs: CRS) -> Region:
    """The region in a file of areas or a raster.

    Args:
        path: The file, or a layer of one as in ``town.gpkg|layername=parks``.
        crs: CRS of the tiles.

    Raises:
        InputError: if it cannot be read, or a layer holds no area.
    """
    if is_raster(path):
        return RasterRegion.read(Path(path))
    areas = areas_of(read_vectors(path, kind="areas"), crs, why="a region is where areas are")
    return AreaRegion(Shapes.of(areas.features))
