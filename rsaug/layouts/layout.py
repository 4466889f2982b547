"""A layout: the roads and the land cover of a square of ground, in metres from its corner."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import geopandas as gpd
import numpy as np
import pandas as pd
import shapely
from affine import Affine
from numpy.typing import NDArray

OVERRUN_M = 25.0
"""How far roads run on beyond the square, so that their surfaces reach its edge whole."""

ROAD_COLUMNS = ("highway", "service", "width", "oneway", "bridge", "layer")
"""OpenStreetMap's tags that roads have; None where one says nothing, ``width`` in metres."""

_LINE, _POLYGON = shapely.GeometryType.LINESTRING, shapely.GeometryType.POLYGON
# Crumbs of cutting: no road and no area that anybody would map.
_LEAST_M, _LEAST_M2 = 1.0, 4.0


@dataclass(frozen=True, eq=False)
class Layout:
    """Roads and land cover of a square of ground.

    Coordinates are metres from the lower left corner, x to the right and y up, without a CRS.

    Attributes:
        side_m: Side of the square.
        roads: Lines with the columns `ROAD_COLUMNS`; they run on beyond the square.
        areas: Polygons with the column ``class``, as land cover has it.
        origin: What it was made of or grown as.
        at: Longitude and latitude of the ground that it looks like; None where that is open.
    """

    side_m: float
    roads: gpd.GeoDataFrame
    areas: gpd.GeoDataFrame
    origin: str
    at: tuple[float, float] | None = None

    @property
    def square(self) -> shapely.Polygon:
        """The ground."""
        return shapely.box(0, 0, self.side_m, self.side_m)

    @property
    def road_m(self) -> float:
        """Metres of road line on the ground."""
        lines = self.roads.geometry.to_numpy()
        return float(shapely.length(shapely.intersection(lines, self.square)).sum())

    def clipped(self) -> Layout:
        """Without what lies beyond the square, but for `OVERRUN_M` of road."""
        box = shapely.box(*[-OVERRUN_M] * 2, *[self.side_m + OVERRUN_M] * 2)
        return replace(
            self,
            roads=cut(self.roads, box, _LINE),
            areas=cut(self.areas, self.square, _POLYGON),
        )

    def moved(self, matrix: Affine) -> Layout:
        """Roads and areas under an affine map, in the same square; nothing is cut."""
        return replace(
            self, roads=transformed(self.roads, matrix), areas=transformed(self.areas, matrix)
        )


def roads_frame(lines: Sequence[Any], **columns: Any) -> gpd.GeoDataFrame:
    """Lines as the roads of a layout; columns that are not given say nothing."""
    data = {name: columns.get(name) for name in ROAD_COLUMNS}
    frame = pd.DataFrame(data, index=range(len(lines)), dtype=object)
    return gpd.GeoDataFrame(frame, geometry=list(lines))


def areas_frame(shapes: Sequence[Any], classes: Any) -> gpd.GeoDataFrame:
    """Polygons as the land cover of a layout."""
    frame = pd.DataFrame({"class": classes}, index=range(len(shapes)), dtype=object)
    return gpd.GeoDataFrame(frame, geometry=list(shapes))


def joined(frames: Sequence[gpd.GeoDataFrame]) -> gpd.GeoDataFrame:
    """Frames of one kind one after the other; at least one is needed."""
    # All-empty columns of object type: pandas would guess another one for the result.
    kept = [frame for frame in frames if len(frame)] or [frames[0]]
    return gpd.GeoDataFrame(pd.concat(kept, ignore_index=True), geometry="geometry")


def cut(
    frame: gpd.GeoDataFrame, area: shapely.Polygon, kind: shapely.GeometryType
) -> gpd.GeoDataFrame:
    """The parts of features within an area, one a row; crumbs are left out.

    Args:
        frame: Valid features.
        area: Where.
        kind: Which parts to keep: lines or polygons.
    """
    shapes = shapely.intersection(frame.geometry.to_numpy(), area)
    parts, owner = shapely.get_parts(shapes, return_index=True)
    size, least = (
        (shapely.length(parts), _LEAST_M) if kind == _LINE else (shapely.area(parts), _LEAST_M2)
    )
    keep = (shapely.get_type_id(parts) == kind) & (size >= least)
    rows = frame.iloc[owner[keep]].reset_index(drop=True)
    return rows.set_geometry(list(parts[keep]))


def transformed(frame: gpd.GeoDataFrame, matrix: Affine) -> gpd.GeoDataFrame:
    """Features under an affine map."""
    linear = np.array([[matrix.a, matrix.b], [matrix.d, matrix.e]])
    shift = np.array([matrix.c, matrix.f])
    shapes = shapely.transform(frame.geometry.to_numpy(), lambda xy: xy @ linear.T + shift)
    return frame.set_geometry(list(shapes))


def extended(lines: NDArray[np.object_], side_m: float, reach_m: float) -> NDArray[np.object_]:
    """Lines that leave a square, going straight on beyond it.

    Args:
        lines: (n,) lines; ends inside the square stay as they are.
        side_m: Side of the square, whose lower left corner is the origin.
        reach_m: How far they go on.
    """
    inside = shapely.box(2.0, 2.0, side_m - 2.0, side_m - 2.0)
    return np.array([_run_on(line, inside, reach_m) for line in lines], dtype=object)


def _run_on(
    line: shapely.LineString, inside: shapely.Polygon, reach_m: float
) -> shapely.LineString:
    xy = shapely.get_coordinates(line)
    length = shapely.length(line)
    if shapely.is_closed(line) or length == 0:
        return line
    for last in (False, True):
        end = xy[-1 if last else 0]
        if inside.covers(shapely.Point(end)):
            continue
        # The direction of the last stretch: a single short segment may point anywhere.
        back = min(12.0, length / 2)
        before = shapely.get_coordinates(line.interpolate(length - back if last else back))[0]
        step = end - before
        norm = float(np.hypot(*step))
        if norm > 0:
            far = end + step / norm * reach_m
            xy = np.concatenate([xy, far[None]] if last else [far[None], xy])
    return shapely.linestrings(xy)
