"""Content images: a picture for each tile that says what it should look like.

Which picture a tile gets follows from the tile and the seed alone, never from which other tiles are
made, or in what order.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
from affine import Affine
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from pyproj import CRS, Geod, Transformer
from scipy import ndimage

from rsaug.errors import InputError
from rsaug.grid import Tile, crs_name, to_lonlat, utm_crs
from rsaug.options import MOSAIC
from rsaug.raster import open_image, read_rgb
from rsaug.warp import RasterInfo, raster_info, read_onto

SUFFIXES = frozenset({".tif", ".tiff", ".jpg", ".jpeg", ".png", ".jp2", ".webp"})
"""Names that files of a folder of images end in; others are passed over."""

# A tile is covered where at least this share of it has data.
_COVERED = 0.5
# Windows of a mosaic are looked for on at most this many cells a side, and with at least this
# many cells a window, so that a missing part of a window is seen.
_MOST_CELLS = 128
_CELLS_A_WINDOW = 4
# Farther from a tile than this its CRS may bend the ground, so that of the mosaic's place is taken.
_NEAR_DEGREES = 5.0

# No corner of a tile is farther from its middle than this many sides: 0.71, and half as much again
# where the CRS draws the ground smaller than it is.
_FAR_CORNER = 1.1
# By how much an edge between the points that are looked at may bulge.
_BENT = 1.05

_GEOD = Geod(ellps="WGS84")


class ContentSource(Protocol):
    """Where content images are from."""

    def pick(self, tile: Tile) -> NDArray[np.uint8]:
        """The picture for a tile, uint8 (3, rows, cols), of any size."""

    def describe(self) -> str:
        """What it is, for a record."""


class OneImage:
    """The same picture for every tile.

    Args:
        path: An image of at least three bands of uint8.

    Raises:
        InputError: if it cannot be read.
    """

    def __init__(self, path: Path | str) -> None:
        self._name, self._rgb = Path(path).name, read_rgb(path)

    def pick(self, tile: Tile) -> NDArray[np.uint8]:
        """The picture."""
        return self._rgb

    def describe(self) -> str:
        """Its name."""
        return f"image {self._name}"


class Folder:
    """One of many pictures for each tile, by its place and a seed.

    Each picture draws a number for the tile and the highest wins (rendezvous hashing, Thaler and
    Ravishankar 1998), so a picture more or less changes no tile but those that it wins or had won.

    Args:
        paths: The images; they are told apart by their names.
        seed: Another seed, other picks.

    Raises:
        InputError: if there is none, some cannot be read, or two have the same name.
    """

    def __init__(self, paths: Sequence[str | Path], seed: int = 0) -> None:
        if not paths:
            raise InputError("A folder of content images needs at least one image.")
        self._paths = {path.name: path for path in sorted(map(Path, paths))}
        if len(self._paths) < len(paths):
            raise InputError("Two content images have the same name, so that none can be told.")
        self._seed = seed
        unreadable = [reason for path in self._paths.values() for reason in _why_not(path)]
        if unreadable:
            more = f" ({len(unreadable) - 3} more)" if len(unreadable) > 3 else ""
            raise InputError(
                f"{len(unreadable)} of {len(self._paths)} content images cannot be used; take them "
                f"out of the folder: {' '.join(unreadable[:3])}{more}"
            )

    def name(self, tile: Tile) -> str:
        """Name of the picture for a tile."""
        left, _, _, top = tile.bounds
        col, row = (round(edge / tile.transform.a) for edge in (left, top))
        place = f"{self._seed}|{crs_name(tile.crs)}|{tile.gsd_m:g}|{col}|{row}|"
        return max(self._paths, key=lambda name: hashlib.blake2b((place + name).encode()).digest())

    def pick(self, tile: Tile) -> NDArray[np.uint8]:
        """The picture for a tile."""
        return _cached_rgb(self._paths[self.name(tile)])

    def describe(self) -> str:
        """How many there are, and the seed."""
        return f"one of {len(self._paths)} images a tile, seed {self._seed}"


class _Window(NamedTuple):
    """A place of a mosaic that a tile may be taken from."""

    distance_m: float
    name: str
    tile: Tile
    path: Path


class Mosaic:
    """The picture of the ground itself, or where there is none, of the nearest ground that has one.

    A tile of which at least half is covered is read where it lies, at its own GSD. Another is moved
    to the nearest place where the mosaic has data all over it; where it has that nowhere, to where
    it covers most. Pixels that are still missing take the value of the nearest that is not.

    Args:
        paths: Georeferenced rasters of at least three bands of uint8, in any CRS; where they
            overlap, the first by name is on top.

    Raises:
        InputError: if there is none, or one cannot be used.
    """

    def __init__(self, paths: Sequence[str | Path]) -> None:
        if not paths:
            raise InputError("A mosaic needs at least one raster.")
        self._rasters = {path: raster_info(path) for path in sorted(map(Path, paths))}
        for path, info in self._rasters.items():
            if info.count < 3 or info.dtype != "uint8":
                raise InputError(
                    f"{path} has {info.count} bands of {info.dtype}; three of uint8 (red, green, "
                    "blue) are needed."
                )
        places = np.array([_place(*raster) for raster in self._rasters.items()])
        self._lon, self._lat, self._reach_m = places.T

    def pick(self, tile: Tile) -> NDArray[np.uint8]:
        """The picture for a tile, of its own size."""
        return _filled(self._read(self.place(tile)))

    def place(self, tile: Tile) -> Tile:
        """The tile that is read for a tile: itself where it is covered, else the nearest one."""
        missing = np.ma.getmaskarray(self._read(tile))[0]
        if 1 - missing.mean() >= _COVERED:
            return tile
        nearest: _Window | None = None
        away = self._away_m(tile)
        # No window of a raster is nearer than its middle less its reach, so the search can end.
        least = away - self._reach_m
        paths = list(self._rasters)
        for nth in np.argsort(least, kind="stable"):
            if nearest is not None and least[nth] > nearest.distance_m:
                break
            window = self._nearest(paths[nth], tile)
            if window is not None and (nearest is None or window[:2] < nearest[:2]):
                nearest = window
        if nearest is None:
            raise InputError("The mosaic has no data anywhere; give rasters that hold some.")
        return nearest.tile

    def describe(self) -> str:
        """How many rasters it is made of."""
        return f"nearest ground of a mosaic of {len(self._rasters)} rasters"

    def _read(self, tile: Tile) -> np.ma.MaskedArray[Any, Any]:
        """uint8 (3, rows, cols), masked where no raster has data."""
        rgb = np.ma.MaskedArray(np.zeros((3, *tile.shape), dtype=np.uint8), mask=True)
        side_m = max(tile.shape) * tile.gsd_m
        near = self._away_m(tile) <= self._reach_m + _FAR_CORNER * side_m
        for path, is_near in zip(self._rasters, near, strict=True):
            if not is_near:
                continue
            bands = [read_onto(path, tile, resampling="bilinear", band=k) for k in (1, 2, 3)]
            gone = np.any([np.ma.getmaskarray(band) for band in bands], axis=0)
            fresh = np.ma.getmaskarray(rgb)[0] & ~gone
            for k, band in enumerate(bands):
                rgb[k][fresh] = np.rint(band.filled(0)[fresh]).astype(np.uint8)
            if not np.ma.getmaskarray(rgb).any():
                break
        return rgb

    def _away_m(self, tile: Tile) -> NDArray[np.float64]:
        """(n,) metres from the middle of each raster to that of a tile."""
        lon, lat = (np.full_like(self._lon, degrees) for degrees in tile.lonlat)
        away: NDArray[np.float64] = _GEOD.inv(lon, lat, self._lon, self._lat)[2]
        return away

    def _nearest(self, path: Path, tile: Tile) -> _Window | None:
        """The window of one raster that is nearest to a tile; none where it has no data."""
        info = self._rasters[path]
        lon, lat = tile.lonlat
        crs = _crs_for(tile, info)
        side = (
            max(tile.shape) * tile.transform.a if crs == tile.crs else max(tile.shape) * tile.gsd_m
        )
        x, y = _window_centres(path, crs, float(side))
        if not len(x):
            return None
        there = to_lonlat(crs).transform(x, y)
        away = _GEOD.inv(np.full_like(x, lon), np.full_like(x, lat), *there)[2]
        nth = int(np.argmin(away))
        moved = _moved(tile, crs, float(x[nth]), float(y[nth]))
        return _Window(float(away[nth]), path.name, moved, path)


def open_content(
    path: Path | str, *, seed: int = 0, mosaic: bool = False
) -> OneImage | Folder | Mosaic:
    """Where content images are from.

    Args:
        path: An image, a folder of images, or with ``mosaic:`` before it a georeferenced raster or
            a folder of them.
        seed: Chooses among the images of a folder.
        mosaic: The same as ``mosaic:`` before the path.

    Raises:
        InputError: if there is nothing of that name, or what is there cannot be used.
    """
    name = str(path)
    mosaic = mosaic or name.startswith(MOSAIC)
    path = Path(name.removeprefix(MOSAIC))
    if path.is_dir():
        paths = [each for each in path.iterdir() if each.suffix.lower() in SUFFIXES]
        paths = [each for each in paths if each.is_file() and not each.name.startswith(".")]
        if not paths:
            raise InputError(
                f"The folder {path} holds no image; names of images end in "
                f"{', '.join(sorted(SUFFIXES))}."
            )
        return Mosaic(paths) if mosaic else Folder(paths, seed)
    if not path.is_file():
        raise InputError(f"{path} does not exist; check the name.")
    return Mosaic([path]) if mosaic else OneImage(path)


def _why_not(path: Path) -> Iterator[str]:
    """Why an image cannot be used, in one sentence; nothing if it can."""
    try:
        with open_image(path) as src:
            if src.count < 3 or src.dtypes[0] != "uint8":
                yield f"{path.name} has {src.count} bands of {src.dtypes[0]}, not three of uint8."
                return
            # The last pixel: a file that was cut off has lost it.
            src.read(1, window=((src.height - 1, src.height), (src.width - 1, src.width)))
    except InputError:
        yield f"{path.name} cannot be read as an image."


@lru_cache(maxsize=4)
def _cached_rgb(path: Path) -> NDArray[np.uint8]:
    rgb = read_rgb(path)
    rgb.flags.writeable = False
    return rgb


def _place(path: Path, info: RasterInfo) -> tuple[float, float, float]:
    """Longitude and latitude of a raster's middle, and metres from it to the farthest corner.

    Raises:
        InputError: if it has no place on Earth.
    """
    left, bottom, right, top = info.bounds
    x, y = (left + right) / 2, (bottom + top) / 2
    # Corners and the middles of edges: which is farthest depends on how the projection bends.
    xs, ys = np.meshgrid([left, x, right], [bottom, y, top])
    lon, lat = to_lonlat(info.crs).transform(xs.ravel(), ys.ravel())
    if not (np.isfinite(lon).all() and np.isfinite(lat).all()):
        raise InputError(f"{path} has no place on Earth in its CRS; assign the right one.")
    away = _GEOD.inv(np.full(9, lon[4]), np.full(9, lat[4]), lon, lat)[2]
    return float(lon[4]), float(lat[4]), float(away.max()) * _BENT


def _crs_for(tile: Tile, info: RasterInfo) -> CRS:
    """The CRS to look for windows in: the tile's, or far from it that of the raster's place."""
    left, bottom, right, top = info.bounds
    there = to_lonlat(info.crs).transform((left + right) / 2, (bottom + top) / 2)
    here = tile.lonlat
    apart = abs((there[0] - here[0] + 180) % 360 - 180), abs(there[1] - here[1])
    if max(apart) <= _NEAR_DEGREES:
        return tile.crs
    return utm_crs((there[0], there[1], there[0], there[1]))


@lru_cache(maxsize=256)
def _window_centres(
    path: Path, crs: CRS, side: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(x, y) of the centres of squares of a raster that have data all over, or else the most."""
    info = raster_info(path)
    to_crs = Transformer.from_crs(info.crs, crs, always_xy=True)
    left, bottom, right, top = to_crs.transform_bounds(*info.bounds)
    cell = max(side / _CELLS_A_WINDOW, max(right - left, top - bottom) / _MOST_CELLS)
    first_col, first_row = np.floor(left / cell), np.ceil(top / cell)
    cols = int(np.ceil(right / cell) - first_col)
    rows = int(first_row - np.floor(bottom / cell))
    transform = Affine(cell, 0, first_col * cell, 0, -cell, first_row * cell)
    coarse = Tile(0, 0, GeoBox((rows, cols), transform, crs.to_wkt()))
    values = read_onto(path, coarse, resampling="bilinear")
    has_data = (~np.ma.getmaskarray(values)).astype(np.float64)
    size = max(1, round(side / cell))
    share = ndimage.uniform_filter(has_data, size, mode="constant")
    most = share.max(initial=0)
    row, col = np.nonzero((share >= min(most, 1) - 1e-6) & (share > 0))
    # The centre of a square of an even number of cells lies between two of them.
    shift = 0.5 if size % 2 else 0.0
    return (first_col + col + shift) * cell, (first_row - row - shift) * cell


def _moved(tile: Tile, crs: CRS, x: float, y: float) -> Tile:
    """The tile moved, by whole pixels where it stays in its CRS, to have its middle at x and y."""
    rows, cols = tile.shape
    if crs == tile.crs:
        side = float(tile.transform.a)
        left, bottom, right, top = tile.bounds
        dx = round((x - (left + right) / 2) / side)
        dy = round((y - (bottom + top) / 2) / side)
        transform = Affine(side, 0, left + dx * side, 0, -side, top + dy * side)
    else:
        side = tile.gsd_m
        transform = Affine(side, 0, x - cols / 2 * side, 0, -side, y + rows / 2 * side)
    return Tile(tile.row, tile.col, GeoBox((rows, cols), transform, crs.to_wkt()))


def _filled(rgb: np.ma.MaskedArray[Any, Any]) -> NDArray[np.uint8]:
    """The picture with missing pixels as the nearest that is there."""
    missing = np.ma.getmaskarray(rgb)[0]
    whole: NDArray[np.uint8] = rgb.filled(0)
    if not missing.any() or missing.all():
        return whole
    row, col = ndimage.distance_transform_edt(missing, return_distances=False, return_indices=True)
    return whole[:, row, col]
