"""Tiles and the grid that they lie on: the one place with affine maths.

A grid is anchored at the origin of its CRS, never at the data, so two runs on different areas cut
the same ground into the same pixels. Columns grow to the east, rows to the south, as in an array.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache

import geopandas as gpd
import numpy as np
import rasterio
import rasterio.errors
import shapely
from affine import Affine
from numpy.typing import NDArray
from odc.geo.crs import CRS as OdcCRS
from odc.geo.geobox import GeoBox
from pyproj import CRS, Proj, Transformer
from pyproj.aoi import AreaOfInterest
from pyproj.database import query_utm_crs_info
from pyproj.exceptions import CRSError, ProjError
from shapely.geometry.base import BaseGeometry

from rsaug.errors import InputError
from rsaug.rasterfile import driver_of, opened, without_place
from rsaug.storage import AnyPath

# An area must reach this far into a tile to touch it: edges that meet exactly, but for rounding,
# are shared edges. In pixels.
_EDGE_PX = 1e-3

# A shape near more tiles than this is worth an index of its own edges, and one near more than the
# second number is cut up first: a line across a country is near few of the tiles in its box.
_MANY_TILES = 16
_TOO_MANY_TILES = 4096

MOST_PIXELS = 8192
"""The largest side of a tile: its control stack takes 4.5 GiB."""

# Universal Polar Stereographic, easting first, beyond the latitudes of UTM.
_UPS_NORTH, _UPS_SOUTH = 5041, 5042


@dataclass(frozen=True)
class Tile:
    """One tile of a grid, or one raster taken as a tile.

    Attributes:
        row: Row in the grid anchored at the origin of the CRS, growing to the south; negative north
            of the origin. 0 for a tile made from a raster.
        col: Column, growing to the east.
        geobox: Shape, transform and CRS; north up, square pixels.
    """

    row: int
    col: int
    geobox: GeoBox

    @classmethod
    def from_transform(cls, transform: Affine, shape: tuple[int, int], crs: CRS) -> Tile:
        """The tile that covers an array of ``shape`` (rows, cols) with this ``transform``.

        Raises:
            InputError: if the pixels are not square or not north up, or the CRS is not projected.
        """
        side = transform.a
        if not (
            all(map(math.isfinite, transform))
            and side > 0
            and transform.b == 0
            and transform.d == 0
            and math.isclose(-transform.e, side, rel_tol=1e-6)
        ):
            raise InputError(
                "A tile needs square, north-up pixels, but its transform is "
                f"{tuple(transform)[:6]}; warp the raster first."
            )
        linear_unit_m(crs)
        return cls(0, 0, GeoBox(shape, transform, OdcCRS(crs)))

    @classmethod
    def from_raster(cls, path: AnyPath | str) -> Tile:
        """The tile that covers a georeferenced raster file.

        Raises:
            InputError: if the file cannot be read, has no CRS or is not north up and square.
        """
        driver = driver_of(path)
        if driver is None:
            raise InputError(f"{path} cannot be read as a raster; check the name and the format.")
        try:
            with without_place(), opened(path, driver) as src:
                transform, shape, crs = src.transform, src.shape, src.crs
        except rasterio.errors.RasterioIOError as error:
            raise InputError(f"{path} cannot be read as a raster ({error}).") from error
        if crs is None:
            raise InputError(f"{path} has no CRS; assign one, for instance with gdal_edit -a_srs.")
        return cls.from_transform(transform, shape, CRS.from_wkt(crs.to_wkt()))

    @property
    def name(self) -> str:
        """A name that is unique in the grid and safe in file names, e.g. ``r-043512_c002501``."""
        return f"r{self.row:0{7 if self.row < 0 else 6}d}_c{self.col:0{7 if self.col < 0 else 6}d}"

    @property
    def crs(self) -> CRS:
        """The projected CRS."""
        if self.geobox.crs is None:
            raise InputError("A tile needs a CRS, but its GeoBox has none.")
        return self.geobox.crs.proj

    @property
    def transform(self) -> Affine:
        """From (col, row) in pixels to (x, y) in the CRS."""
        return self.geobox.transform

    @property
    def shape(self) -> tuple[int, int]:
        """Size in pixels, (rows, cols)."""
        rows, cols = self.geobox.shape
        return int(rows), int(cols)

    @property
    def bounds(self) -> tuple[float, float, float, float]:
        """(left, bottom, right, top) in units of the CRS."""
        rows, cols = self.shape
        left, top = self.transform.c, self.transform.f
        return left, top + self.transform.e * rows, left + self.transform.a * cols, top

    @property
    def gsd_m(self) -> float:
        """Side of a pixel in metres of the CRS."""
        return float(self.transform.a) * linear_unit_m(self.crs)

    @property
    def polygon(self) -> shapely.Polygon:
        """The outline in the CRS."""
        return shapely.box(*self.bounds)

    @property
    def lonlat(self) -> tuple[float, float]:
        """(longitude, latitude) of the centre in degrees, WGS 84."""
        left, bottom, right, top = self.bounds
        lon, lat = to_lonlat(self.crs).transform((left + right) / 2, (bottom + top) / 2)
        return float(lon), float(lat)


@dataclass(frozen=True)
class TileGrid:
    """An endless grid of square tiles, anchored at the origin of its CRS.

    Attributes:
        crs: A projected CRS; see `parse_crs`.
        gsd_m: Side of a pixel in metres; turned into units of the CRS where that is not metric.
        tile_size: Side of a tile in pixels.
        overlap: How many pixels a tile shares with each neighbour.

    Raises:
        InputError: if the CRS is not projected or a number makes no grid.
    """

    crs: CRS
    gsd_m: float
    tile_size: int
    overlap: int = 0

    def __post_init__(self) -> None:
        """Check the numbers and the CRS."""
        linear_unit_m(self.crs)
        if not (math.isfinite(self.gsd_m) and self.gsd_m > 0):
            raise InputError(f"The GSD must be a positive number of metres, not {self.gsd_m}.")
        if not 0 < self.tile_size <= MOST_PIXELS:
            raise InputError(
                f"The tile size must be at least one pixel and at most {MOST_PIXELS}, not "
                f"{self.tile_size}."
            )
        if not 0 <= self.overlap < self.tile_size:
            raise InputError(
                f"The overlap must be at least 0 and below the tile size of {self.tile_size} "
                f"pixels, not {self.overlap}."
            )

    @property
    def resolution(self) -> float:
        """Side of a pixel in units of the CRS."""
        return self.gsd_m / linear_unit_m(self.crs)

    @property
    def stride(self) -> int:
        """Pixels from one tile's edge to the next tile's."""
        return self.tile_size - self.overlap

    @cached_property
    def _odc_crs(self) -> OdcCRS:
        return OdcCRS(self.crs)

    def tile(self, row: int, col: int) -> Tile:
        """The tile at a position of the grid."""
        # Whole pixels times the resolution: one rounding, whatever the tile size or the overlap.
        left = (col * self.stride) * self.resolution
        top = -(row * self.stride) * self.resolution
        transform = Affine(self.resolution, 0.0, left, 0.0, -self.resolution, top)
        return Tile(row, col, GeoBox((self.tile_size, self.tile_size), transform, self._odc_crs))

    def tiles(self, area: BaseGeometry) -> Iterator[Tile]:
        """Every tile that ``area`` (in the grid's CRS) touches, row by row from the north-west.

        A polygon that only shares an edge with a tile does not touch it; a line or a point on a
        shared edge touches both tiles.
        """
        if shapely.is_empty(area):
            return
        shapely.prepare(area)
        first_row, end_row, first_col, end_col = map(int, self._span(shapely.bounds(area)))
        cols = np.arange(first_col, end_col)
        for row in range(first_row, end_row):
            for col in cols[self._touches(area, np.full_like(cols, row), cols)]:
                yield self.tile(row, int(col))

    def tiles_over(self, shapes: NDArray[np.object_]) -> Iterator[Tile]:
        """Every tile that any of the shapes touches, once, row by row from the north-west.

        For many small shapes on a wide area: the time goes with the shapes, not with the area.

        Args:
            shapes: (n,) geometries in the grid's CRS.
        """
        shapes = self._pieces(shapes[~(shapely.is_missing(shapes) | shapely.is_empty(shapes))])
        first_row, end_row, first_col, end_col = self._span(shapely.bounds(shapes).T)
        n_cols = end_col - first_col
        n_tiles = n_cols * (end_row - first_row)
        # One entry a pair of shape and tile near it: `nth` counts the tiles of one shape.
        shape = np.repeat(np.arange(len(shapes)), n_tiles)
        nth = np.arange(n_tiles.sum()) - np.repeat(np.cumsum(n_tiles) - n_tiles, n_tiles)
        row = first_row[shape] + nth // n_cols[shape]
        col = first_col[shape] + nth % n_cols[shape]
        shapely.prepare(shapes[n_tiles > _MANY_TILES])
        touching = self._touches(shapes[shape], row, col)
        for row_col in np.unique(np.stack([row, col], axis=1)[touching], axis=0):
            yield self.tile(*row_col.tolist())

    def about(self, shapes: NDArray[np.object_]) -> int:
        """How many tiles the shapes touch, roughly and without listing them.

        A shape of some area and outline touches as many tiles as it covers, and one more for each
        tile's side of its outline (for a line, of its length), times 4/pi for the mean direction.

        Args:
            shapes: (n,) geometries in the grid's CRS.
        """
        side = self.stride * self.resolution
        outline = shapely.length(shapes) / np.where(shapely.get_dimensions(shapes) == 2, 2, 1)
        tiles = shapely.area(shapes) / side**2 + outline * (4 / np.pi) / side + 1
        return int(np.nansum(tiles))

    def _pieces(self, shapes: NDArray[np.object_]) -> NDArray[np.object_]:
        """The shapes, those near too many tiles cut into quarters until they are not.

        The quarters overlap by a pixel, so that a tile on the cut misses nothing of the shape.
        """
        done = []
        while len(shapes):
            first_row, end_row, first_col, end_col = self._span(shapely.bounds(shapes).T)
            small = (end_row - first_row) * (end_col - first_col) <= _TOO_MANY_TILES
            done.append(shapes[small])
            shapes = np.array(
                [q for shape in shapes[~small] for q in self._quarters(shape)], object
            )
        return np.concatenate([np.empty(0, object), *done])

    def _quarters(self, shape: BaseGeometry) -> list[BaseGeometry]:
        left, bottom, right, top = shapely.bounds(shape)
        x, y, more = (left + right) / 2, (bottom + top) / 2, self.resolution
        boxes = [
            (west, south, east, north)
            for west, east in ((left, x + more), (x - more, right))
            for south, north in ((bottom, y + more), (y - more, top))
        ]
        quarters = (shapely.clip_by_rect(shape, *box) for box in boxes)
        return [quarter for quarter in quarters if not quarter.is_empty]

    def _touches(
        self,
        shape: BaseGeometry | NDArray[np.object_],
        row: NDArray[np.int64],
        col: NDArray[np.int64],
    ) -> NDArray[np.bool_]:
        """Whether one shape, or one each, touches the tiles at rows and columns, (n,) each."""
        inset = np.where(shapely.get_dimensions(shape) == 2, _EDGE_PX * self.resolution, 0.0)
        left = (col * self.stride) * self.resolution
        top = -(row * self.stride) * self.resolution
        side = self.tile_size * self.resolution
        boxes = shapely.box(left + inset, top - side + inset, left + side - inset, top - inset)
        touches: NDArray[np.bool_] = shapely.intersects(shape, boxes)
        return touches

    def _span(self, bounds: NDArray[np.float64]) -> NDArray[np.int64]:
        """Rows and columns whose tiles meet boxes, half open.

        Args:
            bounds: (4, ...) left, bottom, right, top in units of the CRS.

        Returns:
            (4, ...) first row, end row, first column, end column.
        """
        left, bottom, right, top = bounds / self.resolution
        start, stop = np.stack([-top, left]), np.stack([-bottom, right])
        first = np.ceil((start - self.tile_size) / self.stride - _EDGE_PX)
        end = np.floor(stop / self.stride + _EDGE_PX) + 1
        return np.stack([first[0], end[0], first[1], end[1]]).astype(np.int64)


def parse_crs(value: str | int | CRS) -> CRS:
    """The projected CRS that ``value`` names (``EPSG:32635``, 32635, WKT, ...).

    Raises:
        InputError: if nothing is known by that name, or it is not projected.
    """
    try:
        crs = CRS.from_user_input(value)
    # UnicodeError: of bytes on the command line that are no text.
    except (CRSError, UnicodeError) as error:
        raise InputError(
            f"{value!r} is not a known CRS; name one by its EPSG code, e.g. EPSG:32635."
        ) from error
    linear_unit_m(crs)
    return crs


def linear_unit_m(crs: CRS) -> float:
    """Length of the CRS's unit in metres.

    Raises:
        InputError: if the CRS is geographic, or no projection of the Earth.
    """
    if crs.is_geographic:
        raise InputError(
            f"{crs_name(crs)} is a geographic CRS, in degrees, so its pixels have no one size in "
            "metres; give a projected CRS, or none for the UTM zone of the data."
        )
    if not crs.is_projected:
        raise InputError(f"{crs_name(crs)} is not a projected CRS; give one, e.g. EPSG:32635.")
    x_axis, y_axis = crs.axis_info[:2]
    if x_axis.unit_conversion_factor != y_axis.unit_conversion_factor:
        raise InputError(f"{crs_name(crs)} has axes of different units; give another CRS.")
    return float(x_axis.unit_conversion_factor)


def crs_name(crs: CRS) -> str:
    """Short name for messages: the authority's code where there is one."""
    authority = crs.to_authority()
    return ":".join(authority) if authority else crs.name


@lru_cache(maxsize=32)
def to_lonlat(crs: CRS) -> Transformer:
    """Transformer from ``crs`` to (longitude, latitude) in degrees, WGS 84.

    Raises:
        InputError: if there is no relation between them, as with a CRS of another planet.
    """
    try:
        return Transformer.from_crs(crs, 4326, always_xy=True)
    except ProjError as error:
        raise InputError(
            f"{crs_name(crs)} has no relation to longitude and latitude; assign another CRS."
        ) from error


def point_scale(
    crs: CRS, lon: NDArray[np.float64], lat: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Length on the map over length on the ground at places given in degrees.

    The root of the areal scale factor, which for a conformal projection is the point scale
    (Snyder 1987, Map Projections: A Working Manual, section 4). Within 1 % of 1, as in UTM, it is
    taken as 1 exactly.
    """
    if not np.size(lon):  # pyproj refuses to answer for no place
        return np.ones(np.shape(lon))
    factors = Proj(crs).get_factors(lon, lat)
    scale = np.sqrt(np.asarray(factors.areal_scale, dtype=np.float64))
    return np.where(np.abs(scale - 1) < 0.01, 1.0, scale)


def utm_crs(place: gpd.GeoDataFrame | gpd.GeoSeries | Sequence[float]) -> CRS:
    """The UTM zone (WGS 84) of the middle of the data; near a pole, polar stereographic (UPS).

    Args:
        place: Features with a CRS, or (west, south, east, north) in degrees; west above east means
            a box across the antimeridian.

    Raises:
        InputError: if the features have no CRS or no finite place.
    """
    lon, lat = _middle(place)
    if lat >= 84:
        return CRS.from_epsg(_UPS_NORTH)
    if lat <= -80:
        return CRS.from_epsg(_UPS_SOUTH)
    here = AreaOfInterest(lon, lat, lon, lat)
    return CRS.from_epsg(query_utm_crs_info(datum_name="WGS 84", area_of_interest=here)[0].code)


def _middle(place: gpd.GeoDataFrame | gpd.GeoSeries | Sequence[float]) -> tuple[float, float]:
    """(longitude, latitude) of the middle of the data, in degrees."""
    if not isinstance(place, gpd.GeoDataFrame | gpd.GeoSeries):
        west, south, east, north = place
        lon = (west + east) / 2 + (180 if west > east else 0)
        return (lon + 180) % 360 - 180, (south + north) / 2
    if place.crs is None:
        raise InputError("The layer has no CRS, so no UTM zone can be chosen for it.")
    left, bottom, right, top = np.asarray(place.bounds, dtype=np.float64).T
    x, y = to_lonlat(place.crs).transform((left + right) / 2, (bottom + top) / 2)
    x, y = np.asarray(x), np.asarray(y)
    finite = np.isfinite(x) & np.isfinite(y)
    if not finite.any():
        raise InputError("The layer has no feature with finite coordinates.")
    # The mean of directions, so that features on both sides of the antimeridian meet there.
    turn = np.exp(1j * np.radians(x[finite])).mean()
    return float(np.degrees(np.angle(turn))), float(y[finite].mean())
