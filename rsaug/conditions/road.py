"""The road control: where the surface of a road is."""

from __future__ import annotations

import geopandas as gpd
import numpy as np
from numpy.typing import NDArray

from rsaug.grid import Tile
from rsaug.raster import burn
from rsaug.vectors import meeting


def road_mask(surfaces: gpd.GeoDataFrame, tile: Tile) -> NDArray[np.uint8]:
    """Road surface of a tile, uint8 (rows, cols): 1 where a pixel's centre lies on a road, else 0.

    Args:
        surfaces: `rsaug.roads.Roads.surfaces`, in the tile's CRS.
        tile: The tile.

    Raises:
        InputError: if the surfaces are in another CRS.
    """
    hits = meeting(surfaces, tile)
    return burn([(shape, 1) for shape in surfaces.geometry.to_numpy()[hits]], tile)
