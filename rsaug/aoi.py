"""Areas of interest, and the boxes in degrees that layers are read by."""

from __future__ import annotations

import math

import geopandas as gpd
import shapely
from pyproj import CRS

from rsaug.errors import InputError
from rsaug.grid import TileGrid, linear_unit_m, to_lonlat
from rsaug.options import is_box, is_network
from rsaug.vectors import clean, read_vectors

Bounds = tuple[float, float, float, float]


def read_aoi(aoi: str) -> gpd.GeoSeries:
    """The area of interest that ``aoi`` names: a vector file, or a box in degrees.

    Args:
        aoi: Path of a file with areas, or "west,south,east,north", longitudes and latitudes; west
            above east means a box across the antimeridian.

    Raises:
        InputError: if it is neither.
    """
    if is_network(aoi):
        raise InputError("An area of interest is a file or west,south,east,north, not a server.")
    if is_box(aoi):
        return _box(aoi)
    return areas_in(read_vectors(aoi, kind="areas"), aoi)


def areas_in(frame: gpd.GeoDataFrame, name: str) -> gpd.GeoSeries:
    """The areas among some features, as an area of interest.

    Args:
        frame: Features with a CRS.
        name: What they are called in messages.

    Raises:
        InputError: if there is none.
    """
    kept, _ = clean(frame, frame.crs)
    areas = kept.geometry[shapely.get_dimensions(kept.geometry.to_numpy()) == 2]
    if areas.empty:
        kinds = ", ".join(sorted(set(frame.geom_type.dropna()))) or "no geometry"
        raise InputError(f"{name} holds no area, only {kinds}; an area of interest is a polygon.")
    return areas


def _box(aoi: str) -> gpd.GeoSeries:
    try:
        west, south, east, north = map(float, aoi.split(","))
    except ValueError as error:
        raise InputError(
            f"{aoi!r} is neither a file nor four numbers west,south,east,north."
        ) from error
    # Across the antimeridian west is above east; most of the way round is a mistake.
    wide = (east - west) % 360 or abs(east - west)
    finite = max(abs(west), abs(east)) <= 180 and -90 <= south < north <= 90
    if not (finite and west != east and (west < east or wide < 180)):
        swapped = max(abs(south), abs(north)) > 90 >= max(abs(west), abs(east))
        hint = "; latitude and longitude look swapped" if swapped else ""
        raise InputError(
            f"{aoi!r} is no box in degrees: west,south,east,north is needed, with west below east "
            f"(but across the antimeridian) and south below north{hint}."
        )
    east += 360 if west > east else 0
    box = shapely.box(west, south, east, north)
    # A straight edge in degrees is bent on the map; enough points follow it.
    bent = shapely.segmentize(box, max(east - west, north - south) / 64)
    return gpd.GeoSeries([bent], crs=4326)


def around(
    place: gpd.GeoSeries | gpd.GeoDataFrame, grid: TileGrid, margin_m: float
) -> Bounds | None:
    """(west, south, east, north) in degrees around a place and the tiles that it touches.

    Args:
        place: Features with a CRS.
        grid: The grid of the tiles.
        margin_m: How far around the tiles features matter as well, in metres.

    Returns:
        The box, west above east where it crosses the antimeridian; None where it has no finite
        edge.
    """
    margin = grid.tile_size * grid.resolution + margin_m / linear_unit_m(grid.crs)
    left, bottom, right, top = place.to_crs(grid.crs).total_bounds
    return in_degrees(grid.crs, (left - margin, bottom - margin, right + margin, top + margin))


def in_degrees(crs: CRS, bounds: Bounds) -> Bounds | None:
    """The box in degrees around a box in ``crs``; see `around`."""
    west, south, east, north = to_lonlat(crs).transform_bounds(*bounds)
    if not all(map(math.isfinite, (west, south, east, north))) or west == east:
        return None
    return west, south, east, north
