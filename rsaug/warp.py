"""Rasters in any CRS, read onto the pixels of a tile.

A pixel's value follows from its centre alone, so it is the same whatever tile is asked for. That is
why the centres are projected here, every one of them: GDAL's warper interpolates between some of
them, and scales its kernels by the window at hand.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

import numpy as np
import rasterio
import rasterio.errors
from affine import Affine
from numpy.typing import NDArray
from pyproj import CRS, Geod, Transformer
from pyproj.exceptions import CRSError, ProjError
from rasterio.windows import Window

from rsaug.errors import InputError
from rsaug.grid import Tile, crs_name, to_lonlat
from rsaug.rasterfile import RASTERS, driver_of, opened, without_place

Resampling = Literal["nearest", "bilinear"]

FORMATS = "GeoTIFF, Erdas Imagine (.img) and JPEG 2000"

# What people call rasters, read here or not: the file of another format is told so.
_SUFFIXES = frozenset(
    {".tif", ".tiff", ".gtiff", ".img", ".jp2", ".j2k", ".png", ".jpg", ".jpeg", ".vrt", ".asc"}
)
# A centre this near to the edge of a source pixel lies on it, and belongs to the next pixel: what
# rounding leaves of the place must not choose. In source pixels.
_EDGE_PX = 1e-6

_MOST_PIXELS = 1 << 24
_MOST_BLOCK_BYTES = 1 << 30


@dataclass(frozen=True)
class RasterInfo:
    """What a raster file says of itself.

    Attributes:
        driver: GDAL's name of its format.
        crs: Its CRS.
        transform: From (col, row) in pixels to (x, y) in the CRS.
        shape: (rows, cols).
        bounds: (left, bottom, right, top) in the CRS, of a rotated raster those of its box.
        count: Number of bands.
        dtype: Type of the first band's pixels, as NumPy names it.
        nodata: Value of the first band that stands for no data, if any.
        resolution: Sides of a pixel, (along a row, along a column), in units of the CRS.
        pixel_m: Side of a pixel in the middle of the raster, in metres on the ground; NaN where the
            middle has no place on Earth.
        colours: What each band is, e.g. ``palette``, ``gray`` or ``red``.
    """

    driver: str
    crs: CRS
    transform: Affine
    shape: tuple[int, int]
    bounds: tuple[float, float, float, float]
    count: int
    dtype: str
    nodata: float | None
    resolution: tuple[float, float]
    pixel_m: float
    colours: tuple[str, ...]


def is_raster(path: Path | str) -> bool:
    """Whether a file is a raster rather than a layer of vectors, told by its name and first bytes.

    It may still be broken, or of a format that is not read here: `raster_info` says so.
    """
    return Path(path).suffix.lower() in _SUFFIXES or driver_of(path, RASTERS) is not None


def raster_info(path: Path | str) -> RasterInfo:
    """What a raster file says of itself.

    Raises:
        InputError: if the file is missing, unreadable, of another format, or without a band, a CRS
            or a place.
    """
    with _open(path) as src:
        return _info(path, src)


def read_onto(
    path: Path | str, tile: Tile, *, resampling: Resampling = "nearest", band: int = 1
) -> np.ma.MaskedArray[Any, Any]:
    """Values of a raster on the tile's pixels, (rows, cols); masked where it has none.

    A pixel has a value where its centre lies on a pixel of the raster that has one. Only what the
    tile needs is read.

    Args:
        path: A raster in any CRS; it may be turned.
        tile: The tile.
        resampling: ``nearest`` takes the pixel that holds the centre, in the raster's own type, and
            is right for classes. ``bilinear`` weighs the four around it that have a value, float32.
            It reads the file's overviews where they are not coarser than the tile, so that a fine
            raster is averaged, not sampled; nearest does not, since overviews of classes may hold
            numbers that are no class.
        band: Which band, from 1.

    Raises:
        InputError: as for `raster_info`, or if there is no such band.
    """
    with _open(path) as src:
        info = _info(path, src)
        if not 1 <= band <= info.count:
            raise InputError(f"{path} has {info.count} bands, so there is no band {band}.")
        level = _overview(src, info, tile.gsd_m, band) if resampling == "bilinear" else None
        if level is None:
            return _read(src, info.crs, tile, resampling, band)
    with _open(path, overview_level=level) as src:
        return _read(src, info.crs, tile, resampling, band)


@contextmanager
def _open(path: Path | str, **options: int) -> Iterator[rasterio.DatasetReader]:
    """A raster to read from; GDAL's errors, now or inside, become ours."""
    name = str(path)
    if name.startswith("/vsi") or "://" in name:
        raise InputError(f"{name} is not a local file; download it, then give the file.")
    if not Path(path).is_file():
        raise InputError(f"{path} does not exist or is no file; check the name.")
    driver = driver_of(path, RASTERS)
    if driver is None:
        raise InputError(f"{path} is not a raster of a format that is read here: {FORMATS}.")
    try:
        with without_place(), opened(path, driver, **options) as src:
            yield src
    except rasterio.errors.RasterioError as error:
        reason = str(error).strip().split("\n")[0].rstrip(".")
        raise InputError(
            f"{path} cannot be read as a raster ({reason}); it may be cut off or damaged."
        ) from error


def _info(path: Path | str, src: rasterio.DatasetReader) -> RasterInfo:
    if not src.count:
        raise InputError(f"{path} has no band; of a file of several rasters, extract one.")
    if src.crs is None:
        raise InputError(
            f"{path} has no CRS, so its place on Earth is unknown; assign one, for instance with "
            "gdal_edit -a_srs EPSG:32635 (side files such as .aux.xml and .tfw are not read)."
        )
    to_xy: Affine = src.transform
    if to_xy.is_identity or not all(map(math.isfinite, to_xy)) or to_xy.determinant == 0:
        raise InputError(
            f"{path} says nothing of where its pixels lie; warp it first, for instance with "
            "gdalwarp, which takes control points."
        )
    if src.dtypes[0].startswith("complex"):
        raise InputError(f"{path} holds complex numbers ({src.dtypes[0]}); real ones are needed.")
    if math.prod(src.block_shapes[0]) * np.dtype(src.dtypes[0]).itemsize > _MOST_BLOCK_BYTES:
        raise InputError(
            f"{path} is stored in blocks of {src.block_shapes[0]} pixels, too large to read a tile "
            "from; rewrite it in tiles, for instance with gdal_translate -of COG."
        )
    try:
        crs = CRS.from_wkt(src.crs.to_wkt())
    except CRSError as error:
        raise InputError(f"{path} has a CRS that is not understood; assign another.") from error
    return RasterInfo(
        driver=src.driver,
        crs=crs,
        transform=to_xy,
        shape=src.shape,
        bounds=_box(to_xy, src.shape),
        count=src.count,
        dtype=src.dtypes[0],
        nodata=src.nodata,
        resolution=(math.hypot(to_xy.a, to_xy.d), math.hypot(to_xy.b, to_xy.e)),
        pixel_m=_pixel_m(to_xy, src.shape, crs),
        colours=tuple(colour.name for colour in src.colorinterp),
    )


def _places(
    to_xy: Affine, col: NDArray[np.float64], row: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    return (
        to_xy.a * col + to_xy.b * row + to_xy.c,
        to_xy.d * col + to_xy.e * row + to_xy.f,
    )


def _box(to_xy: Affine, shape: tuple[int, int]) -> tuple[float, float, float, float]:
    rows, cols = shape
    x, y = _places(to_xy, np.array([0.0, cols, 0, cols]), np.array([0.0, 0, rows, rows]))
    return float(x.min()), float(y.min()), float(x.max()), float(y.max())


def _pixel_m(to_xy: Affine, shape: tuple[int, int], crs: CRS) -> float:
    """Root of the area on the ground of the pixel in the middle, in metres."""
    row, col = shape[0] // 2, shape[1] // 2
    x, y = _places(to_xy, col + np.array([0.0, 1, 1, 0]), row + np.array([0.0, 0, 1, 1]))
    lon, lat = to_lonlat(crs).transform(x, y)
    if not np.isfinite([lon, lat]).all():
        return math.nan
    area_m2, _ = Geod(ellps="WGS84").polygon_area_perimeter(lon, lat)
    return math.sqrt(abs(area_m2))


def _overview(src: rasterio.DatasetReader, info: RasterInfo, gsd_m: float, band: int) -> int | None:
    """The coarsest overview with pixels no larger than the tile's; None for the raster itself.

    It goes by the raster and the GSD alone, never by the tile, so that tiles agree.
    """
    fine = [factor * info.pixel_m <= gsd_m * (1 + 1e-6) for factor in src.overviews(band)]
    return sum(fine) - 1 if any(fine) else None


def _read(
    src: rasterio.DatasetReader, crs: CRS, tile: Tile, resampling: Resampling, band: int
) -> np.ma.MaskedArray[Any, Any]:
    dtype = src.dtypes[band - 1] if resampling == "nearest" else "float32"
    values = np.zeros(tile.shape, dtype=dtype)
    missing = np.ones(tile.shape, dtype=bool)
    x, y = _centres(tile)
    try:
        x, y = _transformer(tile.crs, crs).transform(x, y)
    except ProjError as error:
        raise InputError(
            f"{crs_name(tile.crs)} cannot be reprojected to {crs_name(crs)}, the CRS of the raster."
        ) from error
    with np.errstate(invalid="ignore"):
        col, row = _places(~src.transform, x, y)
    inside = (row >= -_EDGE_PX) & (row < src.height - _EDGE_PX)
    inside &= (col >= -_EDGE_PX) & (col < src.width - _EDGE_PX)
    for part in _parts(row, col, inside):
        here = inside[part]
        if here.any():
            sample = _nearest if resampling == "nearest" else _bilinear
            found = sample(src, band, row[part][here], col[part][here])
            values[part][here] = found.filled(0)
            missing[part][here] = np.ma.getmaskarray(found)
    return np.ma.MaskedArray(values, mask=missing)


def _centres(tile: Tile) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(x, y) of the pixels' centres, (rows, cols) each, to the last bit the same in any tile."""
    side = tile.transform.a
    axes = []
    for start, count in ((tile.transform.c, tile.shape[1]), (-tile.transform.f, tile.shape[0])):
        first = round(start / side)
        # A grid's edges are whole numbers of pixels from the origin, but for rounding.
        rest = round(start / side - first, 6)
        axes.append((first + np.arange(count) + (rest + 0.5)) * side)
    x, y = np.meshgrid(axes[0], -axes[1])
    return x, y


@lru_cache(maxsize=32)
def _transformer(source: CRS, target: CRS) -> Transformer:
    return Transformer.from_crs(source, target, always_xy=True)


def _parts(
    row: NDArray[np.float64], col: NDArray[np.float64], inside: NDArray[np.bool_]
) -> Iterator[tuple[slice, slice]]:
    """Parts of the tile, each with a window of the source that fits into memory."""
    rows, cols = row.shape
    todo = [(0, rows, 0, cols)]
    while todo:
        top, bottom, left, right = todo.pop()
        part = slice(top, bottom), slice(left, right)
        here = inside[part]
        if not here.any():
            continue
        window = np.ptp(row[part][here]) * np.ptp(col[part][here])
        if window <= _MOST_PIXELS or here.size == 1:
            yield part
        elif bottom - top >= right - left:
            middle = (top + bottom) // 2
            todo += [(top, middle, left, right), (middle, bottom, left, right)]
        else:
            middle = (left + right) // 2
            todo += [(top, bottom, left, middle), (top, bottom, middle, right)]


def _nearest(
    src: rasterio.DatasetReader, band: int, row: NDArray[np.float64], col: NDArray[np.float64]
) -> np.ma.MaskedArray[Any, Any]:
    """Values of the source pixels that hold places, (n,)."""
    rows = np.clip(_floor(row), 0, src.height - 1)
    return _window(src, band, rows, np.clip(_floor(col), 0, src.width - 1))


def _bilinear(
    src: rasterio.DatasetReader, band: int, row: NDArray[np.float64], col: NDArray[np.float64]
) -> np.ma.MaskedArray[Any, Any]:
    """Weighted means of the four source pixels around places, (n,) float32."""
    i, j = _floor(row - 0.5), _floor(col - 0.5)
    down, right = row - 0.5 - i, col - 0.5 - j
    rows = np.clip(np.stack([i, i, i + 1, i + 1]), 0, src.height - 1)
    cols = np.clip(np.stack([j, j + 1, j, j + 1]), 0, src.width - 1)
    weight = np.stack(
        [(1 - down) * (1 - right), (1 - down) * right, down * (1 - right), down * right]
    )
    found = _window(src, band, rows, cols)
    there = ~np.ma.getmaskarray(found)
    weight = np.where(there, np.clip(weight, 0, 1), 0)
    total = weight.sum(axis=0)
    sums = (weight * found.filled(0).astype(np.float64)).sum(axis=0)
    # The pixel that holds the place, of the four: without it the place has no value.
    own = 2 * (_floor(row) > i).astype(np.intp) + (_floor(col) > j)
    held = np.take_along_axis(there, own[None], axis=0)[0]
    mean = np.divide(sums, total, out=np.zeros_like(sums), where=held)
    return np.ma.MaskedArray(mean.astype(np.float32), mask=~held)


def _floor(places: NDArray[np.float64]) -> NDArray[np.intp]:
    return np.floor(places + _EDGE_PX).astype(np.intp)


def _window(
    src: rasterio.DatasetReader, band: int, rows: NDArray[np.intp], cols: NDArray[np.intp]
) -> np.ma.MaskedArray[Any, Any]:
    """Values at rows and columns of the source, masked where it has none."""
    top, left = int(rows.min()), int(cols.min())
    window = Window(left, top, int(cols.max()) - left + 1, int(rows.max()) - top + 1)
    values = np.ma.masked_invalid(src.read(band, window=window, masked=True), copy=False)
    found: np.ma.MaskedArray[Any, Any] = values[rows - top, cols - left]
    return found
