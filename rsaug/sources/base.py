"""What a source of vector features is, and where its features are looked for."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, Protocol

import geopandas as gpd
from pyproj import CRS, Transformer
from pyproj.exceptions import ProjError

from rsaug.errors import InputError

Bounds = tuple[float, float, float, float]
"""(west, south, east, north) in degrees; west above east is a box across the antimeridian."""

Box = tuple[float, float, float, float]
"""(left, bottom, right, top) in units of a CRS."""

Kind = Literal["lines", "areas"]
"""What a layer is wanted for."""

FORMATS = (
    "GeoJSON, GeoPackage, FlatGeobuf, GeoParquet, Shapefile (also zipped) and OSM PBF files, "
    "postgresql://...?table=... for PostGIS, and osm for live OpenStreetMap"
)


@dataclass(frozen=True)
class SourceInfo:
    """What is known of a layer without reading it.

    Attributes:
        format: Name of the format.
        layer: The layer that is read; None where there is only one without a name.
        layers: Names of all layers of the file or database that can be read.
        crs: The layer's own CRS.
        count: Features; None where only reading would tell. For PostGIS the server's estimate.
        bounds: (west, south, east, north) in degrees; None where only reading would tell.
        geometry_types: Names such as ``LineString``, as the format declares them; may be empty.
        fields: Type by name of column, without the geometry.
        windowed: Whether reading a window costs what lies in it, rather than the whole layer.
    """

    format: str
    layer: str | None
    layers: tuple[str, ...]
    crs: CRS
    count: int | None
    bounds: Bounds | None
    geometry_types: tuple[str, ...]
    fields: Mapping[str, str]
    windowed: bool


class VectorSource(Protocol):
    """A layer of vector features that can be asked for those in a window.

    Attributes:
        spec: What the user gave, without any password.
        crs: The layer's own CRS.
        windowed: Whether ``read(bounds)`` costs what lies in the window, not the whole layer. Where
            it does not, what was read last is kept for smaller windows.
        count: Features, where that is known without reading.
    """

    spec: str
    crs: CRS
    windowed: bool
    count: int | None

    def info(self) -> SourceInfo:
        """What is known of the layer without reading it."""

    def read(self, bounds: Bounds | None = None) -> gpd.GeoDataFrame:
        """The features that meet a box, or all; there may be none.

        Features may be among them of which only the box meets it. Columns and their types, the
        order of the features and the index of each are the same whatever the box.

        Args:
            bounds: (west, south, east, north) in degrees.

        Raises:
            InputError: if the layer cannot be read.
        """


def boxes_in(crs: CRS, bounds: Bounds) -> tuple[Box, ...]:
    """Boxes in ``crs`` around a box in degrees: around its bent edges, not its corners.

    A box across the antimeridian gives two. None are given where the CRS cannot show a part of the
    box: then nothing is known of where in the layer it lies.

    Raises:
        InputError: if the bounds are no box.
    """
    west, south, east, north = bounds
    if not (all(map(math.isfinite, bounds)) and -90 <= south <= north <= 90):
        raise InputError(
            f"{bounds} is no box in degrees: (west, south, east, north) is needed, with south "
            "below north."
        )
    to_crs = _from_lonlat(crs)
    if west <= east:
        halves = [to_crs.transform_bounds(*bounds)]
    else:
        halves = [
            to_crs.transform_bounds(west, south, 180, north),
            to_crs.transform_bounds(-180, south, east, north),
        ]
        if crs.is_geographic:
            # Some layers count longitudes on beyond 180 degrees, rather than from -180 on again.
            (left, bottom, _, top), (_, bottom_2, right, top_2) = halves
            halves = [(left, bottom, right + 360, top), (left - 360, bottom_2, right, top_2)]
    if not all(math.isfinite(edge) for half in halves for edge in half):
        return ()
    return tuple((left, bottom, right, top) for left, bottom, right, top in halves)


def degrees_around(crs: CRS, box: Box | None) -> Bounds | None:
    """(west, south, east, north) around a box in ``crs``; None for no box or none on Earth."""
    if box is None or not all(map(math.isfinite, box)):
        return None
    around = Transformer.from_crs(crs, 4326, always_xy=True).transform_bounds(*box)
    return around if all(map(math.isfinite, around)) else None


def contains(outer: Bounds | None, inner: Bounds | None) -> bool:
    """Whether a box lies inside another; None is everywhere.

    Boxes across the antimeridian are not compared, but with themselves.
    """
    if outer is None or outer == inner:
        return True
    if inner is None or outer[0] > outer[2] or inner[0] > inner[2]:
        return False
    return (
        outer[0] <= inner[0]
        and outer[1] <= inner[1]
        and inner[2] <= outer[2]
        and inner[3] <= outer[3]
    )


def check_on_earth(spec: str, crs: CRS) -> None:
    """Refuse a CRS that PROJ cannot relate to longitude and latitude, as one of another planet.

    Raises:
        InputError: if it cannot.
    """
    try:
        _from_lonlat(crs)
    except ProjError as error:
        raise InputError(
            f"{spec} has the CRS {crs.name!r}, which has no relation to longitude and latitude; "
            "assign another, for instance with ogr2ogr -a_srs EPSG:4326."
        ) from error


def no_crs(spec: str) -> InputError:
    """The error of a layer without a CRS."""
    return InputError(
        f"{spec} has no CRS, so its place on Earth is unknown; assign one, for instance with "
        "ogr2ogr -a_srs EPSG:4326."
    )


def first_line(error: Exception) -> str:
    """The first line of what an error says, without a full stop."""
    return str(error).strip().split("\n")[0].rstrip(".") or type(error).__name__


def _from_lonlat(crs: CRS) -> Transformer:
    return Transformer.from_crs(4326, crs, always_xy=True)
