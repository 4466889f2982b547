"""Features as a frame: one way from Arrow, the same types whatever the window, and first checks."""

from __future__ import annotations

import geopandas as gpd
import numpy as np
import pandas as pd
import pyarrow as pa
import shapely
from numpy.typing import NDArray
from pyproj import CRS

from rsaug.errors import InputError
from rsaug.sources.base import Bounds, Box, boxes_in, check_on_earth, contains

_NULLABLE = {
    **dict.fromkeys(
        [pa.int8(), pa.int16(), pa.int32(), pa.int64(), pa.uint8(), pa.uint16(), pa.uint32()],
        pd.Int64Dtype(),
    ),
    pa.uint64(): pd.UInt64Dtype(),
    pa.bool_(): pd.BooleanDtype(),
}
# Degrees that a coordinate may lie beyond a pole and be taken for rounding.
_SLACK_DEGREES = 1e-6


def from_arrow(
    table: pa.Table, geometry: NDArray[np.object_], crs: CRS | None, number: NDArray[np.int64]
) -> gpd.GeoDataFrame:
    """Features from the columns of a table and their geometries.

    Types follow from the schema alone, not from the values that happen to lie in a window: integers
    are pandas' ``Int64`` and truths its ``boolean``, which know missing values.

    Args:
        table: Columns without the geometry.
        geometry: (n,) shapely geometries or None.
        crs: Their CRS.
        number: (n,) number of each feature in its layer, the index of the result.

    Raises:
        pyarrow.ArrowInvalid: if text is not UTF-8.
    """
    table.validate(full=True)
    columns = [_decoded(column) for column in table.columns]
    names = [name for name in table.column_names if name != "geometry"]
    columns = [
        column
        for column, name in zip(columns, table.column_names, strict=True)
        if name != "geometry"
    ]
    frame = pa.Table.from_arrays(columns, names=_apart(names)).to_pandas(
        types_mapper=_NULLABLE.get, ignore_metadata=True, coerce_temporal_nanoseconds=False
    )
    if not len(frame.columns):
        frame = pd.DataFrame(index=range(len(geometry)))
    frame.index = pd.Index(number)
    return gpd.GeoDataFrame(frame, geometry=geometry, crs=crs)


def from_wkb(column: pa.ChunkedArray) -> NDArray[np.object_]:
    """Geometries of a column of well-known binary; None where there is none or it is broken."""
    wkb = column.to_numpy(zero_copy_only=False)
    with np.errstate(invalid="ignore"):  # GEOS makes NumPy warn of coordinates that are no number
        geometry: NDArray[np.object_] = shapely.from_wkb(wkb, on_invalid="ignore")
    return geometry


def meets(frame: gpd.GeoDataFrame, bounds: Bounds | None) -> gpd.GeoDataFrame:
    """The features whose box meets a box in degrees, in their order."""
    boxes = () if bounds is None else boxes_in(frame.crs, bounds)
    if not boxes:
        return frame.copy(deep=False)
    left, bottom, right, top = frame.bounds.to_numpy(dtype=np.float64).T
    return frame[meets_any(boxes, left, bottom, right, top)]


def meets_any(
    boxes: tuple[Box, ...],
    left: NDArray[np.float64],
    bottom: NDArray[np.float64],
    right: NDArray[np.float64],
    top: NDArray[np.float64],
) -> NDArray[np.bool_]:
    """Which of many boxes, (n,) each edge, meet any of a few; those with an edge NaN never do."""
    found = np.zeros(len(left), dtype=bool)
    for west, south, east, north in boxes:
        found |= (left <= east) & (right >= west) & (bottom <= north) & (top >= south)
    return found


class Kept:
    """What was read last, kept for windows inside of it."""

    def __init__(self) -> None:
        self._last: tuple[Bounds | None, gpd.GeoDataFrame] | None = None

    def get(self, bounds: Bounds | None) -> gpd.GeoDataFrame | None:
        """The features that meet the box, or None where they were not read."""
        if self._last is None or not contains(self._last[0], bounds):
            return None
        return meets(self._last[1], bounds)

    def put(self, bounds: Bounds | None, frame: gpd.GeoDataFrame) -> gpd.GeoDataFrame:
        """Keep what was read of a box."""
        self._last = bounds, frame
        return meets(frame, bounds)


def check_degrees(spec: str, crs: CRS, box: Box | None) -> None:
    """Refuse a layer that lies nowhere, or says it is in degrees where its coordinates are none.

    Args:
        spec: Name of the layer.
        crs: The CRS it says it is in.
        box: (left, bottom, right, top) of its features, where that is known.

    Raises:
        InputError: if the CRS is none of the Earth, or every feature lies beyond a pole.
    """
    check_on_earth(spec, crs)
    if box is None or not crs.is_geographic or not np.isfinite(box).all():
        return
    left, bottom, right, top = box
    if bottom <= 90 + _SLACK_DEGREES and top >= -90 - _SLACK_DEGREES:
        return
    place = f"x from {left:g} to {right:g} and y from {bottom:g} to {top:g}"
    if max(map(abs, (left, right))) <= 90 and max(map(abs, (bottom, top))) <= 360:
        raise InputError(
            f"{spec} has coordinates that look swapped: {place}, where longitude is x and latitude "
            "is y; write longitude first."
        )
    raise InputError(
        f"{spec} says it is in degrees, but its coordinates are not: {place}; assign the CRS that "
        "they are in, for instance with ogr2ogr -a_srs EPSG:32635."
    )


def check_frame(spec: str, frame: gpd.GeoDataFrame) -> gpd.GeoDataFrame:
    """The same, of features that were read; most of them decide."""
    if frame.crs is None or not frame.crs.is_geographic or frame.empty:
        return frame
    bounds = frame.bounds.to_numpy(dtype=np.float64)
    bounds = bounds[np.isfinite(bounds).all(axis=1)]
    beyond = (bounds[:, 1] > 90 + _SLACK_DEGREES) | (bounds[:, 3] < -90 - _SLACK_DEGREES)
    if beyond.sum() * 2 > len(bounds):
        there = bounds[beyond]
        box = (*there[:, :2].min(axis=0).tolist(), *there[:, 2:].max(axis=0).tolist())
        # Features of both signs make a box around the equator; one of them stands for all.
        check_degrees(spec, frame.crs, box)
        check_degrees(spec, frame.crs, tuple(there[0].tolist()))
    return frame


def _decoded(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """The values of a column written by dictionary, whose entries would depend on the window."""
    if pa.types.is_dictionary(column.type):
        return column.cast(column.type.value_type)
    return column


def _apart(names: list[str]) -> list[str]:
    """Names, none twice: later ones of a name get a number."""
    taken: set[str] = set()
    apart = []
    for name in names:
        new, nth = name, 1
        while new in taken:
            nth += 1
            new = f"{name}_{nth}"
        taken.add(new)
        apart.append(new)
    return apart
