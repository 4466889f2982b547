"""Masks of real images: areas or a raster, with a place on Earth or drawn over the pixels."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rsaug.decoupling import Photo
from rsaug.errors import InputError
from rsaug.raster import open_image, read_all
from rsaug.regions import read_region
from rsaug.warp import is_raster


def mask_of(source: str, photo: Photo) -> NDArray[np.bool_]:
    """Where a mask lies on an image, bool (rows, cols).

    A raster without a place is laid over the image pixel by pixel. Whole numbers are inside where
    they are not 0, real ones in [0, 1] from a half on.

    Args:
        source: File of areas, as `rsaug.vectors.read_vectors` takes it, or of a raster.
        photo: The image.

    Raises:
        InputError: if the mask cannot be read, or neither its place nor its size is the image's.
    """
    if is_raster(source) and (drawn := _unplaced(source)) is not None:
        if drawn.shape != photo.shape:
            raise InputError(
                f"{source} has no place on Earth and {drawn.shape[1]} x {drawn.shape[0]} pixels, "
                f"but {photo.path} has {photo.shape[1]} x {photo.shape[0]}; without a place the "
                "mask must have as many."
            )
        return drawn
    if photo.tile is None:
        raise InputError(
            f"{source} cannot be laid over {photo.path}: {photo.unplaced}. A raster without a "
            "place and of the image's size is taken as a mask, too."
        )
    inside: NDArray[np.bool_] = read_region(source, photo.tile.crs).at(photo.tile) >= 0.5
    return inside


def _unplaced(source: str) -> NDArray[np.bool_] | None:
    """A raster without a CRS as it is; None for one that has a CRS, or is missing."""
    if not Path(source).is_file():
        return None
    with open_image(source) as src:
        if src.crs is not None:
            return None
        values = read_all(src, 1)
    threshold: NDArray[np.bool_] = values != 0 if values.dtype.kind in "iub" else values >= 0.5
    return threshold
