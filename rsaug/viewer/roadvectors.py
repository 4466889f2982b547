"""Roads as lines to draw over a map: those that a run was made from, or the outlines of its masks.

The lines are shown where they lie in the folder of the run; nothing outside of it is read.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import geopandas as gpd
import numpy as np
import pyproj
import rasterio.features
import shapely
from numpy.typing import NDArray
from rasterio.transform import Affine

from rsaug.errors import RsaugError
from rsaug.vectors import clean, read_vectors
from rsaug.viewer.catalogue import Catalogue, Image
from rsaug.viewer.confined import Confined

Box = tuple[float, float, float, float]
"""(west, south, east, north) in degrees."""

Features = dict[str, Any]
"""A GeoJSON FeatureCollection, with ``complete``: whether all that is there is in it."""

_NAMES = tuple(f"roads.{ending}" for ending in ("geojson", "gpkg", "fgb", "parquet"))
_TOLD = ("highway", "width", "width_m", "name")
_MOST_LINES = 4000
_MOST_TILES = 64


def road_file(catalogue: Catalogue) -> str | None:
    """The file of roads in the folder of a run, as seen from there; None where there is none."""
    options = catalogue.record.get("options")
    named = options.get("roads") if isinstance(options, dict) else None
    candidates = [named] if isinstance(named, str) else []
    candidates = [name for name in candidates if "://" not in name and "|" not in name]
    return next((n for n in (*candidates, *_NAMES) if catalogue.folder.file(n) is not None), None)


class RoadLines:
    """Lines of a file, read when they are first asked for.

    Args:
        folder: Of the run.
        name: The file, as seen from there.
    """

    kind = "lines"

    def __init__(self, folder: Confined, name: str) -> None:
        self._folder, self._name = folder, name
        self._lock = threading.Lock()
        self._read: tuple[gpd.GeoDataFrame, shapely.STRtree] | None = None

    def within(self, box: Box) -> Features:
        """Lines that meet a box, in degrees.

        Raises:
            InputError: if the file cannot be read.
        """
        with self._lock:
            if self._read is None:
                frame = self._lines()
                self._read = frame, shapely.STRtree(frame.geometry.to_numpy())
        frame, tree = self._read
        found = np.sort(tree.query(shapely.box(*box), predicate="intersects"))
        features = [_feature(frame.iloc[k]) for k in found[:_MOST_LINES]]
        return _collection(features, complete=len(found) <= _MOST_LINES)

    def _lines(self) -> gpd.GeoDataFrame:
        path = self._folder.file(self._name)
        if path is None:
            raise RsaugError(f"{self._name} is not in the folder any more.")
        frame, _ = clean(read_vectors(path, kind="lines"), pyproj.CRS(4326))
        lines = frame[shapely.get_dimensions(frame.geometry.to_numpy()) == 1]
        return lines.reset_index(drop=True)


class MaskOutlines:
    """Outlines of the road masks, drawn along the borders of their pixels.

    Args:
        catalogue: The images.
        mask: Reads the mask of an image, uint8 (1, rows, cols).
        kept: Keeps the outlines of a tile, by its name.
    """

    kind = "outlines"

    def __init__(
        self,
        catalogue: Catalogue,
        mask: Callable[[str], NDArray[np.uint8] | None],
        kept: Callable[[str, Callable[[], list[Any]]], list[Any]],
    ) -> None:
        self._images = [image for image in catalogue.tiles.values() if "mask" in image.files]
        self._mask, self._kept = mask, kept
        rings = [shapely.Polygon(image.outline) for image in self._images]
        self._tree = shapely.STRtree(rings)

    def within(self, box: Box) -> Features:
        """Outlines on the tiles that meet a box, in degrees; none where these are many."""
        found = np.sort(self._tree.query(shapely.box(*box)))
        if len(found) > _MOST_TILES:
            return _collection([], complete=False)
        features = []
        for image in (self._images[k] for k in found):
            features += self._kept(image.tile, partial(self._outlines, image))
        return _collection(features, complete=True)

    def _outlines(self, image: Image) -> list[dict[str, Any]]:
        mask = self._mask(image.name)
        if mask is None:
            return []
        height, width = (image.grid.side * n for n in image.grid.shape)
        x, y = image.grid.origin
        left, top = x + image.cell[1] * width, y - image.cell[0] * height
        transform = Affine(image.grid.side, 0, left, 0, -image.grid.side, top)
        to_degrees = pyproj.Transformer.from_crs(image.grid.crs, 4326, always_xy=True)
        features = []
        for shape, _ in rasterio.features.shapes(mask[0], mask=mask[0] > 0, transform=transform):
            rings = []
            for ring in shape["coordinates"]:
                lon, lat = to_degrees.transform(*np.array(ring, dtype=float).T)
                rings.append(np.column_stack([lon, lat]).round(8).tolist())
            # Rings as lines: an outline, with nothing that could be filled.
            geometry = {"type": "MultiLineString", "coordinates": rings}
            features.append({"type": "Feature", "properties": {}, "geometry": geometry})
        return features


def _feature(row: Mapping[str, Any]) -> dict[str, Any]:
    told = {name: str(row[name]) for name in _TOLD if name in row and row[name] is not None}
    geometry = shapely.geometry.mapping(row["geometry"])
    return {"type": "Feature", "properties": told, "geometry": geometry}


def _collection(features: list[Any], *, complete: bool) -> Features:
    return {"type": "FeatureCollection", "features": features, "complete": complete}
