"""Edge controls from a reference image that covers the area."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray
from pyproj import CRS, Transformer
from scipy import ndimage

from rsaug.conditions.image_edges import line_segments, sketch_strokes, soft_edges
from rsaug.conditions.stack import STACK
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

    def meets(self, bounds: tuple[float, float, float, float], crs: CRS) -> bool:
        """Whether the box around the image meets a box (left, bottom, right, top) in ``crs``."""
        info = raster_info(self.path)
        to_crs = Transformer.from_crs(info.crs, crs, always_xy=True)
        around_image = shapely.box(*to_crs.transform_bounds(*info.bounds))
        return bool(shapely.intersects(around_image, shapely.box(*bounds)))

    def read(self, tile: Tile) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
        """The image on a tile's pixels, uint8 (rows, cols, 3), and (rows, cols) where it has none.

        Where there is none it goes on as it is at the nearest pixel, so that its border is no edge.
        """
        bands = [read_onto(self.path, tile, resampling="bilinear", band=band) for band in (1, 2, 3)]
        missing = np.any([np.ma.getmaskarray(band) for band in bands], axis=0)
        rgb = np.rint(np.stack([band.filled(0) for band in bands], axis=-1)).astype(np.uint8)
        if missing.any() and not missing.all():
            nearest = ndimage.distance_transform_edt(
                missing, return_distances=False, return_indices=True
            )
            rgb = rgb[tuple(nearest)]
        return rgb, missing

    def edges(self, tile: Tile, names: Sequence[str]) -> tuple[dict[str, NDArray[np.generic]], int]:
        """Edge controls of a tile by name, (rows, cols) each, and how many pixels have no image.

        Where there is no image there is no edge.

        Soft edges and strokes are the same whatever the tile; where a straight segment ends can
        depend on what lies around it, up to some pixels from the border of the tile.

        Args:
            tile: The tile.
            names: Of ``mlsd``, ``hed`` and ``sketch``.
        """
        rgb, missing = self.read(around(tile, _MARGIN_PX))
        inner = np.s_[_MARGIN_PX:-_MARGIN_PX, _MARGIN_PX:-_MARGIN_PX]
        operators: dict[str, Callable[[NDArray[np.uint8]], NDArray[Any]]] = {
            "mlsd": line_segments,
            "hed": soft_edges,
            "sketch": sketch_strokes,
        }
        made: dict[str, NDArray[np.generic]] = {}
        for slot in STACK:
            if slot.name in names:
                values = operators[slot.name](rgb)
                values[missing] = slot.nothing
                made[slot.name] = values[inner]
        return made, int(missing[inner].sum())
