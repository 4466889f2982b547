"""Any vector layer of roads as a mask."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pandas as pd
import shapely
from pyproj import CRS
from torchgeo.datasets import GeoDataset

from rsaug.downstream.datasets.burned import BurnedRoads, with_width
from rsaug.downstream.datasets.contract import (
    CLASSES,
    EVER,
    PALETTE,
    DataNotFound,
    Query,
    Sample,
    Transform,
    as_mask,
    placed,
    queried_grid,
)
from rsaug.downstream.datasets.tiles import plot_sample
from rsaug.errors import InputError
from rsaug.grid import utm_crs
from rsaug.road_rules import read_rules
from rsaug.sources import is_file
from rsaug.vectors import read_vectors


class RoadVectors(GeoDataset):
    """Roads of a vector layer, burned on the pixels that a query asks for.

    The layer is read once and its lines are widened once a CRS, by the rules of `rsaug.roads`; a
    query then burns what its spatial index finds. A sample is ``mask`` (int64, (rows, cols)): 1
    where a pixel's centre lies on a road, else 0. Combine it with imagery by ``imagery & roads``.

    Args:
        paths: A layer as `rsaug.sources.open_source` takes it: a file in one of many formats, a
            table of PostGIS, or live OpenStreetMap.
        crs: CRS of queries; by default the UTM zone of the data. A geographic one is possible: the
            roads are widened in the UTM zone first.
        res: Side of a pixel in units of the CRS where a query has no step; 0.6 by default.
        layer: Which layer, where there are several.
        bounds_deg: (west, south, east, north) in degrees; what lies outside is not read.
        rules: TOML file of road rules of your own; see ``docs/roads.md``.
        width_m: One width for every road, in place of what tags say.
        tunnels: Whether roads out of sight are burned as well.
        transforms: What each sample goes through.

    Raises:
        DataNotFound: if there is no such file.
        InputError: if the layer cannot be read, has no CRS or no road.
    """

    classes = CLASSES
    palette = PALETTE
    synthetic = False

    def __init__(
        self,
        paths: Path | str,
        crs: CRS | None = None,
        res: float | tuple[float, float] = 0.6,
        layer: str | None = None,
        bounds_deg: tuple[float, float, float, float] | None = None,
        rules: Path | str | None = None,
        width_m: float | None = None,
        tunnels: bool = False,
        transforms: Transform | None = None,
    ) -> None:
        self.paths = paths
        self.transforms = transforms
        if is_file(paths) and not Path(str(paths).partition("|")[0]).exists():
            raise DataNotFound(
                f"{paths} does not exist. RoadVectors reads a layer of road lines, such as "
                "GeoJSON, GeoPackage or FlatGeobuf; give the path of one."
            )
        lines = read_vectors(paths, bounds=bounds_deg, layer=layer, kind="lines")
        own = with_width(None if rules is None else read_rules(rules), width_m)
        self.roads = BurnedRoads(lines, own, tunnels)
        crs = utm_crs(lines) if crs is None else CRS.from_user_input(crs)
        made = self.roads.roads(crs if crs.is_projected else utm_crs(lines))
        if made.surfaces.empty:
            raise InputError(f"{paths} holds no road: {made.report.to_dict()['dropped']}.")
        self._res = (res, res) if isinstance(res, int | float) else res
        surfaces = made.surfaces.to_crs(crs)
        self.index = gpd.GeoDataFrame(
            {"filepath": [str(paths)]},
            index=pd.IntervalIndex.from_tuples([EVER], closed="both", name="datetime"),
            geometry=[shapely.box(*surfaces.total_bounds)],
            crs=crs,
        )

    def __getitem__(self, query: Any) -> Sample:
        """The roads of a query, ``(x, y, t)`` in slices.

        Raises:
            IndexError: if it lies beyond the layer.
        """
        whole: Query = self._disambiguate_slice(query)
        grid = queried_grid(whole, self.crs)
        box = shapely.box(*grid.bounds)
        if not np.any(shapely.intersects(self.index.geometry.to_numpy(), box)):
            raise IndexError(f"query: {query} not found in index with bounds: {self.bounds}")
        sample = {**placed(self, whole, grid), "mask": as_mask(self.roads.mask(grid))}
        return sample if self.transforms is None else self.transforms(sample)

    plot = staticmethod(plot_sample)
