"""Edge controls from a reference image that covers the area."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rsaug.conditions.image_edges import line_segments, sketch_strokes, soft_edges
from rsaug.conditions.strokes import around
from rsaug.errors import InputError
from rsaug.grid import Tile
from rsaug.warp import raster_info, read_onto

# Wider than the operators reach, so that they see no border of a tile.
_MARGIN_PX = 16


@dataclass(frozen=True)
class Reference:
    """An image whose edges are drawn.

    Attributes:
        path: A georeferenced image of three bands of uint8 at least, in any CRS.
    """

    path: Path

    def __post_init__(self) -> None:
        """Check what kind of raster it is.

        Raises:
            InputError: if it is no image that can be read.
        """
        info = raster_info(self.path)
        if info.count < 3 or info.dtype != "uint8":
            raise InputError(
                f"{self.path} has {info.count} bands of {info.dtype}; three of uint8 (red, green, "
                "blue) are needed."
            )

    def rgb(self, tile: Tile) -> NDArray[np.uint8]:
        """The image on a tile's pixels, uint8 (rows, cols, 3); black where there is none."""
        bands = [
            read_onto(self.path, tile, resampling="bilinear", band=band).filled(0)
            for band in (1, 2, 3)
        ]
        rgb: NDArray[np.uint8] = np.rint(np.stack(bands, axis=-1)).astype(np.uint8)
        return rgb

    def edges(self, tile: Tile, names: Sequence[str]) -> dict[str, NDArray[np.generic]]:
        """Edge controls of a tile by name, (rows, cols) each.

        Soft edges and strokes are the same whatever the tile; where a straight segment ends can
        depend on what lies around it, up to some pixels from the border of the tile.

        Args:
            tile: The tile.
            names: Of ``mlsd``, ``hed`` and ``sketch``.
        """
        rgb = self.rgb(around(tile, _MARGIN_PX))
        inner = np.s_[_MARGIN_PX:-_MARGIN_PX, _MARGIN_PX:-_MARGIN_PX]
        made: dict[str, NDArray[np.generic]] = {}
        if "mlsd" in names:
            made["mlsd"] = line_segments(rgb)[inner]
        if "hed" in names:
            made["hed"] = soft_edges(rgb)[inner]
        if "sketch" in names:
            made["sketch"] = sketch_strokes(rgb)[inner]
        return made
