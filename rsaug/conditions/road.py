"""The road control: where the surface of a road is."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from rsaug.grid import Tile
from rsaug.roads import Roads


def road_mask(roads: Roads, tile: Tile) -> NDArray[np.uint8]:
    """Road surface of a tile, uint8 (rows, cols): 1 where a pixel's centre lies on a road, else 0.

    Args:
        roads: Roads in the tile's CRS.
        tile: The tile.

    Raises:
        InputError: if the roads are in another CRS.
    """
    return roads.shapes.burn(tile)
