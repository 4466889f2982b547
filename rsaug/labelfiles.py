"""Labels of images as files: road masks and control maps, written where they are not there yet."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from rsaug.conditions.stack import ControlStack
from rsaug.grid import Tile
from rsaug.provenance import label_tags, read_key
from rsaug.raster import write_cog
from rsaug.stackfile import write_stack
from rsaug.storage import AnyPath


def write_mask(path: AnyPath, mask: NDArray[np.uint8], tile: Tile, key: str) -> None:
    """Write a road mask, unless the file there was made from the same.

    Args:
        path: Target.
        mask: uint8 0/1 (rows, cols).
        tile: Where it is.
        key: Digest of what it is made from.

    Raises:
        OutputError: if it cannot be written.
    """
    if read_key(path) != key:
        tags = label_tags("Road mask: 1 road, 0 elsewhere.", key)
        write_cog(path, mask[np.newaxis], tile, descriptions=("road",), tags=tags)


def write_controls(path: AnyPath, controls: ControlStack, tile: Tile, key: str) -> None:
    """Write control maps, unless the file there was made from the same; see `write_mask`."""
    if read_key(path) != key:
        what = f"Control maps; given: {', '.join(controls.given)}; the other bands are empty."
        write_stack(path, controls, tile, label_tags(what, key))
