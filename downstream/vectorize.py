"""Road masks as vectors: rasters of roads in, lines with a width out.

Rasters that lie on one grid are taken as one, so that a road does not end where a tile does. They
are read window by window; what is held at once is the roads' skeletons and not the rasters.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import geopandas as gpd
import numpy as np
import rasterio
import rasterio.errors
from affine import Affine
from numpy.typing import NDArray
from rasterio.windows import Window as RasterWindow

from rsaug.downstream.graph.lines import frame_of_graph
from rsaug.downstream.graph.masks import Cleaning, Traced, trace_raster
from rsaug.downstream.graph.skeleton import Window
from rsaug.errors import InputError
from rsaug.grid import Tile, crs_name
from rsaug.rasterfile import RASTERS, driver_of, opened
from rsaug.vectorfile import write_vectors

DRIVERS = {".gpkg": "GPKG", ".geojson": "GeoJSON"}
"""Formats of the result by ending."""

# Corners of rasters of one grid are whole pixels apart, but for rounding.
_OFF_GRID_PX = 1e-3
# Memory goes with the roads, about 2 bytes a pixel where one in ten is road; see docs/vectorize.md.
MOST_PIXELS = 1 << 31
"""The largest raster, or box around rasters, that is taken as one."""


class Placed(NamedTuple):
    """A raster and where its first pixel lies in the whole.

    Attributes:
        path: The file.
        row: Row of its first pixel.
        col: Column of its first pixel.
        rows: How many rows it has.
        cols: How many columns it has.
    """

    path: Path
    row: int
    col: int
    rows: int
    cols: int


@dataclass(frozen=True)
class Whole:
    """Rasters of one grid as one raster.

    Attributes:
        tile: Its place and size.
        parts: The rasters; later ones cover earlier ones.
        threshold: From which value on a pixel is road; see `vectorize`.
        band: Which band.
    """

    tile: Tile
    parts: tuple[Placed, ...]
    threshold: float | None = None
    band: int = 1

    def read(self, window: Window) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """Road and known pixels of a window."""
        top, bottom, left, right = window
        road = np.zeros((bottom - top, right - left), dtype=bool)
        known = np.zeros_like(road)
        for part in self.parts:
            first_row, end_row = max(top, part.row), min(bottom, part.row + part.rows)
            first_col, end_col = max(left, part.col), min(right, part.col + part.cols)
            if first_row >= end_row or first_col >= end_col:
                continue
            at = slice(first_row - top, end_row - top), slice(first_col - left, end_col - left)
            inner = RasterWindow(
                first_col - part.col,
                first_row - part.row,
                end_col - first_col,
                end_row - first_row,
            )
            there, is_road = _read(part.path, inner, self.band, self.threshold)
            road[at] = np.where(there, is_road, road[at])
            known[at] |= there
        return road, known


@dataclass(frozen=True, eq=False)
class Vectorized:
    """Roads as lines, and how they came about.

    Attributes:
        lines: Columns ``width`` and ``length_m`` in metres and ``source``, in the CRS of the
            rasters.
        rasters: How many rasters they are from.
        changes: What was changed in cleaning, by count.
    """

    lines: gpd.GeoDataFrame
    rasters: int
    changes: dict[str, int] = field(default_factory=dict)

    @property
    def km(self) -> float:
        """Kilometres of road."""
        return float(self.lines["length_m"].sum()) / 1000

    def to_dict(self) -> dict[str, Any]:
        """The numbers as a plain dictionary, ready for JSON."""
        return {
            "rasters": self.rasters,
            "lines": len(self.lines),
            "km": round(self.km, 3),
            "changes": dict(self.changes),
        }


def vectorize(
    masks: Sequence[Path | str],
    *,
    threshold: float | None = None,
    band: int = 1,
    cleaning: Cleaning | None = None,
    source: str | None = None,
) -> Vectorized:
    """The roads of masks, or of rasters of probabilities, as lines with a width.

    Args:
        masks: Rasters, or folders of them; of the folder of a run of ``rsaug synth`` its masks.
        threshold: From which value on a pixel is road; by default 0.5 in rasters of floating-point
            numbers, and the one value besides 0 in others.
        band: Which band of the rasters, from 1.
        cleaning: How skeletons are cleaned; by default with a node where a width changes.
        source: For the column ``source``; by default the names of the rasters, or how many.

    Raises:
        InputError: if a raster cannot be read, is not in a projected CRS with square pixels, holds
            several values and there is no threshold, or two of them are not on one grid.
        MissingExtra: if scikit-image is not installed.
    """
    paths = rasters_of(masks)
    whole = as_one(paths, threshold=threshold, band=band)
    traced: Traced = trace_raster(
        whole.read, whole.tile.shape, whole.tile, cleaning or Cleaning(split_widths=True)
    )
    name = paths[0].name if len(paths) == 1 else f"{len(paths)} rasters"
    lines = frame_of_graph(traced.graph, source=name if source is None else source)
    return Vectorized(lines, len(paths), traced.changes)


def rasters_of(masks: Sequence[Path | str]) -> list[Path]:
    """The files among paths, folders looked into.

    A folder stands for the rasters in it. That of a run of ``rsaug synth`` stands for those in its
    folder ``masks``, and one that has neither for its ``mosaic_mask.tif``.

    Raises:
        InputError: if there is none, or one does not exist.
    """
    found: list[Path] = []
    for path in map(Path, masks):
        if not path.exists():
            raise InputError(f"{path} does not exist; name a raster or a folder of rasters.")
        found += [path] if path.is_file() else _in_folder(path)
    if not found:
        raise InputError("No raster is given; name one or more, or a folder of them.")
    return found


def _in_folder(folder: Path) -> list[Path]:
    for place in (folder / "masks", folder):
        own = sorted(p for p in place.glob("*") if p.is_file() and driver_of(p, RASTERS))
        if place == folder:
            mosaic = folder / "mosaic_mask.tif"
            own = [mosaic] if mosaic in own else own
        if own:
            return own
    raise InputError(f"{folder} holds no raster with a place on Earth; GeoTIFF is one that would.")


def as_one(paths: Sequence[Path], *, threshold: float | None = None, band: int = 1) -> Whole:
    """Rasters of one grid as one.

    Raises:
        InputError: as `vectorize`, or if the box around them has too many pixels.
    """
    tiles = [Tile.from_raster(path) for path in paths]
    # Whatever the order of the files, the same one is what the others are placed by.
    first = min(tiles, key=lambda tile: (-tile.transform.f, tile.transform.c))
    offsets = [_offset(tile, first, path) for tile, path in zip(tiles, paths, strict=True)]
    top, left = (min(offset[axis] for offset in offsets) for axis in (0, 1))
    parts = tuple(
        Placed(path, row - top, col - left, *tile.shape)
        for path, tile, (row, col) in zip(paths, tiles, offsets, strict=True)
    )
    shape = max(p.row + p.rows for p in parts), max(p.col + p.cols for p in parts)
    if shape[0] * shape[1] > MOST_PIXELS:
        raise InputError(
            f"The rasters span {shape[1]} x {shape[0]} pixels, and at most {MOST_PIXELS:,} are "
            "taken as one; give parts of them, each with its own --out."
        )
    transform = first.transform @ Affine.translation(left, top)
    return Whole(Tile.from_transform(transform, shape, first.crs), parts, threshold, band)


def _offset(tile: Tile, first: Tile, path: Path) -> tuple[int, int]:
    """Rows and columns from the corner of the first raster to that of this one."""
    side = first.transform.a
    if tile.crs != first.crs or not np.isclose(tile.transform.a, side, rtol=1e-6):
        raise InputError(
            f"{path} is in {crs_name(tile.crs)} with pixels of {tile.transform.a:g}, another "
            f"raster in {crs_name(first.crs)} with pixels of {side:g}; warp them to one grid, or "
            "vectorize them one by one."
        )
    col = (tile.transform.c - first.transform.c) / side
    row = (first.transform.f - tile.transform.f) / side
    if max(abs(row - round(row)), abs(col - round(col))) > _OFF_GRID_PX:
        raise InputError(
            f"The pixels of {path} lie {col % 1:.2f} by {row % 1:.2f} of a pixel beside those of "
            "another raster; warp them to one grid, or vectorize them one by one."
        )
    return round(row), round(col)


def _read(
    path: Path, window: RasterWindow, band: int, threshold: float | None
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Known and road pixels of a raster's window."""
    driver = driver_of(path, RASTERS)
    try:
        with opened(path, driver or "GTiff") as src:
            if not 1 <= band <= src.count:
                raise InputError(f"{path} has {src.count} bands, so no band {band}.")
            values = src.read(band, window=window)
            known: NDArray[np.bool_] = src.read_masks(band, window=window) > 0
    except rasterio.errors.RasterioError as error:
        raise InputError(f"{path} cannot be read as a raster ({error}).") from error
    if np.issubdtype(values.dtype, np.floating):
        known &= ~np.isnan(values)
        return known, known & (values >= (0.5 if threshold is None else threshold))
    if threshold is not None:
        return known, known & (values >= threshold)
    road = known & (values != 0)
    if road.any() and values[road].min() != values[road].max():
        raise InputError(
            f"{path} holds several values besides 0, from {values[road].min()} to "
            f"{values[road].max()}, so it is no mask; say from which value on it is road by a "
            "threshold."
        )
    return known, road


def write_lines(path: Path | str, lines: gpd.GeoDataFrame) -> None:
    """Write lines as a GeoPackage in their CRS, or as GeoJSON in degrees (RFC 7946).

    The file appears whole or not at all. GeoJSON has seven decimals, a centimetre.

    Args:
        path: Ends in ``.gpkg`` or ``.geojson``.
        lines: As `vectorize` has them.

    Raises:
        InputError: if the ending is another.
        OutputError: if it cannot be written.
    """
    path = Path(path)
    driver = driver_for(path)
    options: dict[str, Any] = {}
    if driver == "GeoJSON":
        lines = lines.to_crs(4326)
        options = {"RFC7946": "YES", "COORDINATE_PRECISION": 7}
    write_vectors(path, lines, "roads", driver, **options)


def driver_for(path: Path) -> str:
    """GDAL's driver for a result.

    Raises:
        InputError: if nothing is written by that ending.
    """
    driver = DRIVERS.get(path.suffix.lower())
    if driver is None:
        raise InputError(f"{path} is to end in {' or '.join(DRIVERS)}; these formats are written.")
    return driver
