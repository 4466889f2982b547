"""Texts by place: areas that each say what it looks like in them."""

from __future__ import annotations

from dataclasses import dataclass

import geopandas as gpd
import numpy as np
import shapely
from pyproj import CRS

from rsaug.errors import InputError
from rsaug.grid import Tile
from rsaug.vectors import areas_of, read_vectors

COLUMN = "prompt"


@dataclass(frozen=True, eq=False)
class Prompts:
    """Areas with a text each.

    Attributes:
        areas: Areas in the CRS of the tiles, with a column ``prompt``.
    """

    areas: gpd.GeoDataFrame

    def at(self, tile: Tile) -> str | None:
        """The text of the area that covers most of a tile; None where there is none.

        Of areas that cover the same, the first one's.
        """
        near = self.areas.iloc[np.sort(self.areas.sindex.query(tile.polygon, "intersects"))]
        if near.empty:
            return None
        shared = shapely.area(shapely.intersection(near.geometry.to_numpy(), tile.polygon))
        largest = int(np.argmax(shared))
        return str(near[COLUMN].iloc[largest]) if shared[largest] > 0 else None


def read_prompts(path: str, crs: CRS) -> Prompts:
    """The texts of a layer of areas with a column ``prompt``.

    Args:
        path: The file, or a layer of one as in ``town.gpkg|layername=quarters``.
        crs: CRS of the tiles.

    Raises:
        InputError: if it cannot be read, holds no area, or has no such column.
    """
    read = read_vectors(path, kind="areas")
    if COLUMN not in read.columns:
        raise InputError(
            f"{path} has no column {COLUMN!r}; give each area a text for what is in it."
        )
    areas = areas_of(read, crs, why="a text holds in an area").features
    texts = areas[COLUMN]
    return Prompts(areas[texts.notna() & (texts.astype(str) != "")].reset_index(drop=True))
