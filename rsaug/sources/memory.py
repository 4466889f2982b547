"""Features that are in memory already, as a source like any other."""

from __future__ import annotations

import geopandas as gpd
import pandas as pd
from pyproj import CRS

from rsaug.errors import InputError
from rsaug.sources.base import Bounds, SourceInfo, degrees_around
from rsaug.sources.frames import check_frame, meets
from rsaug.sources.tags import BAGS, keys_for, unfold


class FrameSource:
    """A GeoDataFrame as a layer; see `rsaug.sources.VectorSource`.

    The frame is not changed, and what is changed in it afterwards is not seen.

    Args:
        spec: What it is called in messages.
        frame: Features with a CRS; columns are taken as those of a file are.

    Raises:
        InputError: if it has no geometry or no CRS, or says it is in degrees and is not.
    """

    windowed = False

    def __init__(self, spec: str, frame: gpd.GeoDataFrame | gpd.GeoSeries) -> None:
        self.spec = spec
        features = _features(spec, frame)
        self.crs: CRS = features.crs
        self.count: int | None = len(features)
        self._types = tuple(sorted({*features.geom_type.dropna()}))
        bag = next((name for name in BAGS if name in features), None)
        self._frame = check_frame(spec, unfold(features, keys_for(self._types), bag))

    def info(self) -> SourceInfo:
        """What is known of the layer."""
        left, bottom, right, top = (float(edge) for edge in self._frame.total_bounds)
        columns = self._frame.drop(columns=self._frame.geometry.name)
        return SourceInfo(
            format="GeoDataFrame",
            layer=None,
            layers=(),
            crs=self.crs,
            count=self.count,
            bounds=degrees_around(self.crs, (left, bottom, right, top)),
            geometry_types=self._types,
            fields={str(name): str(dtype) for name, dtype in columns.dtypes.items()},
            windowed=self.windowed,
        )

    def read(self, bounds: Bounds | None = None) -> gpd.GeoDataFrame:
        """The features that meet a box, or all; there may be none."""
        return meets(self._frame, bounds)


def _features(spec: str, given: gpd.GeoDataFrame | gpd.GeoSeries) -> gpd.GeoDataFrame:
    """The features with one geometry, called ``geometry``, and numbered from 0."""
    if isinstance(given, gpd.GeoSeries):
        frame = gpd.GeoDataFrame(geometry=given.reset_index(drop=True))
    else:
        try:
            geometry = given.geometry.reset_index(drop=True)
        except AttributeError as error:
            raise InputError(
                f"{spec} has no geometry; set the column of it with set_geometry."
            ) from error
        columns = given.reset_index(drop=True).select_dtypes(exclude="geometry")
        frame = gpd.GeoDataFrame(pd.DataFrame(columns), geometry=geometry)
    if frame.crs is None:
        raise InputError(
            f"{spec} has no CRS, so its place on Earth is unknown; assign it with set_crs."
        )
    frame.columns = [str(name) for name in frame.columns]
    return frame
