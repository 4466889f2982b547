"""Geometry by place: which shapes meet a tile, and burning them into it many times over."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import geopandas as gpd
import numpy as np
import shapely
from numpy.typing import NDArray
from pyproj import CRS

from rsaug.burning import Encoded, Value, burn_encoded
from rsaug.errors import InputError
from rsaug.grid import Tile, crs_name, linear_unit_m


@dataclass(frozen=True, eq=False)
class Shapes:
    """Geometries in one projected CRS with their spatial index and their encoding for burning.

    Index and encoding are made at first use and kept, so the time of a call goes with the shapes
    that are found, not with how many there are.

    Attributes:
        geometry: (n,) shapely geometries, flat and valid as `rsaug.vectors.clean` leaves them.
        crs: Their CRS.
    """

    geometry: NDArray[np.object_]
    crs: CRS

    @classmethod
    def of(cls, features: gpd.GeoDataFrame | gpd.GeoSeries) -> Shapes:
        """The shapes of features that have a CRS.

        Raises:
            InputError: if they have none.
        """
        if features.crs is None:
            raise InputError("The features have no CRS, so their place is unknown.")
        return cls(features.geometry.to_numpy(), features.crs)

    def __len__(self) -> int:
        """How many there are."""
        return len(self.geometry)

    def near(self, tile: Tile, margin_m: float = 0.0) -> NDArray[np.intp]:
        """Positions of the shapes whose box meets the tile, ascending.

        Args:
            tile: A tile in the CRS of the shapes.
            margin_m: How far around the tile to look as well, in metres.

        Raises:
            InputError: if the tile is in another CRS.
        """
        if self.crs != tile.crs:
            raise InputError(
                f"The features are in {crs_name(self.crs)}, the tile is in {crs_name(tile.crs)}; "
                "reproject the features first."
            )
        margin = margin_m / linear_unit_m(self.crs)
        left, bottom, right, top = tile.bounds
        box = shapely.box(left - margin, bottom - margin, right + margin, top + margin)
        found: NDArray[np.intp] = np.sort(self._tree.query(box))
        return found

    def burn(
        self,
        tile: Tile,
        values: NDArray[Value] | None = None,
        picked: NDArray[np.intp] | None = None,
    ) -> NDArray[Value]:
        """Values of the areas on the tile's pixels, (rows, cols); see `rsaug.burning.burn`.

        Args:
            tile: A tile in the CRS of the shapes.
            values: (n,) one a shape, 1 (uint8) by default; their type is that of the result.
            picked: Positions of the shapes to burn, in order, later over earlier; by default those
                that are near, as they come.

        Raises:
            InputError: if the tile is in another CRS.
        """
        picked = self.near(tile) if picked is None else picked
        chosen = np.ones(len(picked), np.uint8) if values is None else values[picked]
        return burn_encoded(self._encoded, picked, chosen, tile)  # type: ignore[arg-type]

    @cached_property
    def _tree(self) -> shapely.STRtree:
        return shapely.STRtree(self.geometry)

    @cached_property
    def _encoded(self) -> Encoded:
        return Encoded.of(self.geometry)
