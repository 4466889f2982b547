"""Rasters of any CRS and size on tiles of the web, by rio-tiler: mosaics, and a real reference.

A raster with overviews is read at any scale. Small rasters without them, of which a folder can hold
thousands, are read at their own scale and halved from there on.
"""

from __future__ import annotations

import math
import threading
from collections import OrderedDict
from collections.abc import Hashable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import rasterio
import rasterio.errors
import shapely
from numpy.typing import NDArray

from rsaug.optional import require
from rsaug.rasterfile import ALONE, RASTERS, check_alone, driver_of, opened
from rsaug.viewer.cache import Cache
from rsaug.viewer.webtiles import (
    MERCATOR,
    TILE_PX,
    Box,
    WebTile,
    halved,
    joined,
    mercator_box,
    zoom_of,
)

_HANDLES = 64
"""Files that are held open."""

_DEEPEST = 5
"""So many zooms above its own a set without overviews is shown: 4 ** 5 tiles are read for one."""

_SAMPLE_PX = 256

Stretch = tuple[float, float]
"""Values of a raster that are black and white."""


@dataclass(frozen=True)
class Raster:
    """A raster and where it lies.

    Attributes:
        path: Its file.
        box: Bounds in Web Mercator.
        zoom: The zoom that comes nearest to its own scale.
        bands: Bands that are shown as red, green and blue; one of them as grey.
        overviews: Whether it can be read at any scale without reading all of it.
        stretch: What is black and what is white; None for bytes, which are shown as they are.
    """

    path: Path
    box: Box
    zoom: int
    bands: tuple[int, ...]
    overviews: bool
    stretch: Stretch | None


def look_at(path: Path) -> Raster | None:
    """What a map has to know of a raster; None for what is none, or has no place."""
    driver = driver_of(path, RASTERS)
    if driver is None:
        return None
    try:
        with opened(path, driver) as src:
            return _described(path, src)
    except (rasterio.errors.RasterioError, ValueError, OSError):
        return None


def _described(path: Path, src: rasterio.DatasetReader) -> Raster | None:
    box = None if src.crs is None else mercator_box(src.crs, tuple(src.bounds))
    if box is None or src.dtypes[0].startswith("complex"):
        return None
    side = math.sqrt((box[2] - box[0]) * (box[3] - box[1]) / (src.width * src.height))
    if not side > 0:
        return None
    small = max(src.width, src.height) <= 2 * TILE_PX
    bands = (1, 2, 3) if src.count >= 3 else (1,)
    stretch = None if src.dtypes[0] == "uint8" else _stretch(src, bands)
    zoom = min(22, max(0, round(zoom_of(side))))
    # Half of the overviews' use is gone where the smallest one is still large.
    deep = max(src.width, src.height) / max([1, *src.overviews(1)]) <= 4 * TILE_PX
    return Raster(path, box, zoom, bands, deep and not small, stretch)


def _stretch(src: rasterio.DatasetReader, bands: Sequence[int]) -> Stretch:
    """From the 2nd to the 98th percentile of what can be seen at a glance."""
    scale = max(1, max(src.height, src.width) // _SAMPLE_PX)
    shape = (len(bands), max(1, src.height // scale), max(1, src.width // scale))
    sample = src.read(list(bands), out_shape=shape, masked=True).compressed().astype(float)
    sample = sample[np.isfinite(sample)]
    if not sample.size:
        return 0.0, 1.0
    low, high = (float(v) for v in np.percentile(sample, [2, 98]))
    return low, high if high > low else low + 1


class RasterSet:
    """Rasters as one picture.

    Args:
        key: Of this set in the cache.
        rasters: They; the first covers the later.
        cache: Holds what was computed last.
    """

    def __init__(
        self,
        key: Hashable,
        rasters: Sequence[Raster],
        cache: Cache[NDArray[np.uint8] | None],
    ) -> None:
        self._key, self._rasters, self._cache = key, rasters, cache
        self._tree = shapely.STRtree([shapely.box(*raster.box) for raster in rasters])
        self._handles = _Handles(_HANDLES)
        self.zoom = int(np.median([raster.zoom for raster in rasters]))
        deep = all(raster.overviews for raster in rasters) and len(rasters) <= _HANDLES
        self.least_zoom = 0 if deep else max(0, self.zoom - 1 - _DEEPEST)

    @property
    def mercator(self) -> Box:
        """Bounds of all of them in Web Mercator."""
        left, bottom, right, top = zip(*(raster.box for raster in self._rasters), strict=True)
        return min(left), min(bottom), max(right), max(top)

    def tile(self, tile: WebTile) -> NDArray[np.uint8] | None:
        """What is on a tile of the web, uint8 (4, 256, 256); None where there is nothing."""
        found = np.sort(self._tree.query(shapely.box(*tile.box)))
        if not len(found) or tile.z < self.least_zoom:
            return None
        return self._cache.get((self._key, tile), lambda: self._make(tile, found.tolist()))

    def _make(self, tile: WebTile, found: Sequence[int]) -> NDArray[np.uint8] | None:
        rasters = [self._rasters[k] for k in found]
        few = len(rasters) <= 8 and all(raster.overviews for raster in rasters)
        if few or tile.z >= self.zoom - 1:
            return self._read(tile, rasters)
        whole = joined([self.tile(child) for child in tile.children])
        return None if whole is None else halved(whole)

    def _read(self, tile: WebTile, rasters: Sequence[Raster]) -> NDArray[np.uint8] | None:
        pixels: NDArray[np.uint8] | None = None
        for raster in rasters:
            part = self._part(tile, raster)
            if part is None:
                continue
            if pixels is None:
                pixels = part
            else:
                free = pixels[3] == 0
                pixels[:, free] = part[:, free]
            if pixels[3].min() == 255:
                break
        return pixels

    def _part(self, tile: WebTile, raster: Raster) -> NDArray[np.uint8] | None:
        """One raster on a tile, uint8 (4, 256, 256); None where it cannot be read."""
        resampling = "nearest" if tile.z >= raster.zoom + 1 else "bilinear"
        reading = require("rio_tiler.reader", extra="view")
        errors = require("rio_tiler.errors", extra="view")
        try:
            with rasterio.Env(**ALONE), self._handles.held(raster.path) as src:
                found = reading.part(
                    src,
                    tile.box,
                    height=TILE_PX,
                    width=TILE_PX,
                    bounds_crs=MERCATOR,
                    dst_crs=MERCATOR,
                    indexes=raster.bands,
                    resampling_method=resampling,
                    reproject_method=resampling,
                )
        except (rasterio.errors.RasterioError, errors.RioTilerError, OSError, ValueError):
            return None
        values, there = found.data, found.mask > 0
        if raster.stretch is not None:
            low, high = raster.stretch
            scaled = (np.nan_to_num(values.astype(np.float32)) - low) * (255 / (high - low))
            values = scaled.clip(0, 255)
        out = np.zeros((4, TILE_PX, TILE_PX), dtype=np.uint8)
        out[:3] = values.astype(np.uint8)
        out[3] = np.where(there, 255, 0)
        out[:, ~there] = 0
        return out


class _Handles:
    """Files held open, each for one thread at a time; those not used the longest are closed."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._free: OrderedDict[int, tuple[Path, rasterio.DatasetReader]] = OrderedDict()
        self._lock = threading.Lock()

    @contextmanager
    def held(self, path: Path) -> Iterator[rasterio.DatasetReader]:
        """A raster that is nobody else's meanwhile.

        Raises:
            RasterioIOError: if the file cannot be opened.
        """
        with self._lock:
            key = next((key for key, (file, _) in self._free.items() if file == path), None)
            src = None if key is None else self._free.pop(key)[1]
        if src is None:
            src = _open(path)
        try:
            yield src
        except BaseException:
            # What went wrong may have left it in any state.
            src.close()
            raise
        dropped = None
        with self._lock:
            self._free[id(src)] = path, src
            if len(self._free) > self._most:
                _, (_, dropped) = self._free.popitem(last=False)
        if dropped is not None:
            dropped.close()


def _open(path: Path) -> rasterio.DatasetReader:
    """A raster that stays open; to be called where `ALONE` holds."""
    driver = driver_of(path, RASTERS)
    if driver is None:
        raise rasterio.errors.RasterioIOError(f"{path} is no raster any more")
    src = rasterio.open(path, driver=driver)
    check_alone(src)
    return src
