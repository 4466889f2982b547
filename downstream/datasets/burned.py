"""Roads burned as exact masks on any pixels that are asked for."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import geopandas as gpd
import numpy as np
import rasterio.features
import shapely
from numpy.typing import NDArray
from pyproj import CRS

from rsaug.conditions.road import road_mask
from rsaug.downstream.datasets.contract import PixelGrid
from rsaug.errors import InputError
from rsaug.grid import Tile, utm_crs
from rsaug.road_rules import RoadRules, Rule, default_rules
from rsaug.roads import Roads, road_surfaces


@dataclass(eq=False)
class BurnedRoads:
    """Road lines that are widened once a CRS and burned as often as is asked for.

    Attributes:
        lines: Lines in any CRS, tagged as in OpenStreetMap or as the rules say; there may be none.
        rules: How wide they are; by default those that come with rsaug.
        tunnels: Whether roads out of sight are burned as well.
    """

    lines: gpd.GeoDataFrame
    rules: RoadRules | None = None
    tunnels: bool = False
    _roads: dict[CRS, Roads] = field(default_factory=dict, repr=False)
    _turned: dict[CRS, shapely.STRtree] = field(default_factory=dict, repr=False)

    def mask(self, grid: PixelGrid) -> NDArray[np.uint8]:
        """Road mask, uint8 0/1 (rows, cols): 1 where a pixel's centre lies on a road.

        Square pixels of a projected CRS are burned by `rsaug.conditions.road.road_mask`. Others, as
        those of imagery in degrees, by rasterio, on surfaces that are widened in the UTM zone.
        """
        if self.lines.empty:
            return np.zeros(grid.shape, dtype=np.uint8)
        if grid.crs.is_projected and grid.is_square:
            tile = Tile.from_transform(grid.transform, grid.shape, grid.crs)
            return road_mask(self.roads(grid.crs), tile)
        tree = self._in_crs(grid.crs)
        shapes = tree.geometries[np.sort(tree.query(shapely.box(*grid.bounds)))]
        if not len(shapes):
            return np.zeros(grid.shape, dtype=np.uint8)
        burned: NDArray[np.uint8] = rasterio.features.rasterize(
            shapes, grid.shape, transform=grid.transform, default_value=1, dtype=np.uint8
        )
        return burned

    def roads(self, crs: CRS) -> Roads:
        """The surfaces in a projected CRS."""
        if crs not in self._roads:
            self._roads[crs] = road_surfaces(
                self.lines, crs, self.rules, tunnels=self.tunnels, allow_none=True
            )
        return self._roads[crs]

    def _in_crs(self, crs: CRS) -> shapely.STRtree:
        """The surfaces in any CRS, with their index."""
        if crs not in self._turned:
            made_in = crs if crs.is_projected else utm_crs(self.lines)
            surfaces = self.roads(made_in).surfaces.to_crs(crs)
            self._turned[crs] = shapely.STRtree(surfaces.geometry.to_numpy())
        return self._turned[crs]


def with_width(rules: RoadRules | None, width_m: float | None) -> RoadRules | None:
    """Rules by which every road is ``width_m`` wide; the rules as they are where it is None.

    What is no road for vehicles stays none.

    Raises:
        InputError: if the width is none.
    """
    if width_m is None:
        return rules
    if not 0 < width_m < np.inf:
        raise InputError(f"The width of roads must be a positive number of metres, not {width_m}.")
    rules = rules or default_rules()
    drops = tuple(rule for rule in rules.rules if rule.drop)
    constant = Rule("constant", where={}, width_m=float(width_m))
    most = max(rules.max_width_m, float(width_m))
    return replace(rules, rules=(*drops, constant), max_width_m=most)
