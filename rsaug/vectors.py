"""Vector layers in: read, reproject, clean, and ask for what meets a tile."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Literal

import geopandas as gpd
import numpy as np
import pandas as pd
import pyarrow
import pyogrio
import shapely
import shapely.errors
from numpy.typing import NDArray
from pyogrio.errors import DataLayerError, DataSourceError
from pyproj import CRS, Transformer
from pyproj.exceptions import CRSError

from rsaug.errors import InputError
from rsaug.grid import Tile, crs_name
from rsaug.osm_tags import parse_hstore

Kind = Literal["lines", "areas"]
_KINDS: tuple[Kind, Kind] = ("lines", "areas")
_Bounds = tuple[float, float, float, float]

FORMATS = "GeoJSON, GeoPackage, FlatGeobuf, GeoParquet, Shapefile and OSM PBF"

# By content, as GDAL sees it. Others are refused: some of GDAL's formats read further files or
# reach for the network, and a file from a stranger can be in any of them.
_DRIVERS = {"GeoJSON", "GeoJSONSeq", "GPKG", "FlatGeobuf", "ESRI Shapefile", "OSM"}
_OSM_LAYERS = ("lines", "multipolygons")
_OGR_ERRORS = (DataSourceError, DataLayerError, CRSError, UnicodeDecodeError)
_PARQUET_ERRORS = (
    pyarrow.ArrowException,
    shapely.errors.ShapelyError,
    CRSError,
    ValueError,
    KeyError,
    TypeError,
    OSError,
)
# Tags that GDAL leaves in `other_tags` and that our rules look at.
_OSM_COLUMNS = ("width", "lanes", "tunnel", "covered", "waterway")


def read_vectors(
    path: Path | str,
    *,
    bounds: _Bounds | None = None,
    layer: str | None = None,
    kind: Kind | None = None,
) -> gpd.GeoDataFrame:
    """Features of a vector file, in the file's own CRS.

    Args:
        path: A GeoJSON, GeoPackage, FlatGeobuf, GeoParquet, Shapefile or OSM PBF file. A layer can
            be named after a bar, as QGIS writes it: ``town.gpkg|layername=roads``.
        bounds: (west, south, east, north) in degrees; features whose box misses it are not read.
        layer: Which layer, where the file has several.
        kind: What the layer is wanted for; where the file has several layers, those of another kind
            of geometry are passed over. The features themselves are not chosen by it.

    Raises:
        InputError: if the file is missing, unreadable, of another format, without a CRS or without
            a feature, or if it has several layers and none is named.
    """
    name, _, suffix = str(path).partition("|layername=")
    path, layer = Path(name), layer or suffix or None
    if not path.exists():
        raise InputError(f"{path} does not exist; check the name.")
    # GEOS makes NumPy warn of coordinates that are no number: `clean` counts those.
    with np.errstate(invalid="ignore"):
        if path.suffix.lower() in {".parquet", ".geoparquet"}:
            frame = _read_parquet(path, bounds)
        else:
            frame = _read_ogr(path, bounds, layer, kind)
    if frame.crs is None:
        raise InputError(
            f"{path} has no CRS, so its place on Earth is unknown; assign one, for instance with "
            "ogr2ogr -a_srs EPSG:4326."
        )
    if frame.empty:
        where = " within the area asked for" if bounds else ""
        raise InputError(f"{path} has no feature{where}.")
    return frame


def _read_parquet(path: Path, bounds: _Bounds | None) -> gpd.GeoDataFrame:
    try:
        frame = gpd.read_parquet(path)
    except _PARQUET_ERRORS as error:
        raise InputError(f"{path} cannot be read as GeoParquet ({_first_line(error)}).") from error
    if bounds is None or frame.crs is None:
        return frame
    return frame.iloc[np.sort(frame.sindex.query(shapely.box(*_bounds_in(frame.crs, bounds))))]


def _read_ogr(
    path: Path, bounds: _Bounds | None, layer: str | None, kind: Kind | None
) -> gpd.GeoDataFrame:
    try:
        types = {str(name): geometry for name, geometry in pyogrio.list_layers(path)}
        if not types:
            raise InputError(f"{path} has no layer.")
        info = pyogrio.read_info(path, layer=next(iter(types)))
        if info["driver"] not in _DRIVERS:
            raise InputError(f"{path} is not in a format that is read here: {FORMATS}.")
        osm = info["driver"] == "OSM"
        wanted = (layer,) if layer else _layers(path, types, kind, osm)
        if layer is not None and layer not in types:
            raise InputError(f"{path} has no layer {layer!r}; it has {list(types)}.")
        bbox = None
        if bounds and (crs := pyogrio.read_info(path, layer=wanted[0])["crs"]):
            bbox = _bounds_in(CRS(crs), bounds)
        with warnings.catch_warnings():
            if osm:
                # An extract cuts relations at its border, and GDAL warns of each ring left open.
                # Such an area arrives broken or without geometry, and `clean` counts it.
                warnings.simplefilter("ignore", RuntimeWarning)
            frames = [
                pyogrio.read_dataframe(path, layer=name, bbox=bbox, on_invalid="ignore")
                for name in wanted
            ]
    except _OGR_ERRORS as error:
        raise InputError(
            f"{path} cannot be read ({_first_line(error)}); formats understood are {FORMATS}."
        ) from error
    frame = frames[0] if len(frames) == 1 else pd.concat(frames, ignore_index=True)
    if not isinstance(frame, gpd.GeoDataFrame):
        raise InputError(f"{path} is a table without geometry; give a layer of lines or areas.")
    return _with_other_tags(frame) if osm else frame


def _layers(
    path: Path, types: dict[str, str | None], kind: Kind | None, osm: bool
) -> tuple[str, ...]:
    """The layers to read of a file when none is named."""
    if osm:
        return _OSM_LAYERS if kind is None else (_OSM_LAYERS[_KINDS.index(kind)],)
    names = list(types)
    if len(names) > 1 and kind is not None:
        word = {"lines": "LineString", "areas": "Polygon"}[kind]
        names = [name for name, geometry in types.items() if geometry and word in geometry]
    if len(names) != 1:
        raise InputError(
            f"{path} has several layers, {list(types)}; name one, as in "
            f"'{path}|layername={next(iter(types))}'."
        )
    return (names[0],)


def _with_other_tags(frame: gpd.GeoDataFrame) -> gpd.GeoDataFrame:
    """The frame with the tags that our rules look at as columns of their own."""
    if "other_tags" not in frame:
        return frame
    tags = [parse_hstore(text) if isinstance(text, str) else {} for text in frame["other_tags"]]
    found = {
        key: [row.get(key) for row in tags]
        for key in _OSM_COLUMNS
        if key not in frame and any(key in row for row in tags)
    }
    columns = pd.DataFrame(found, index=frame.index, dtype=object)
    return frame.drop(columns="other_tags").join(columns)


def _bounds_in(crs: CRS, bounds: _Bounds) -> _Bounds:
    """The box in ``crs`` around a box in degrees: around its bent edges, not its two corners."""
    to_crs = Transformer.from_crs(4326, crs, always_xy=True)
    left, bottom, right, top = to_crs.transform_bounds(*bounds)
    return left, bottom, right, top


def _first_line(error: Exception) -> str:
    return str(error).strip().split("\n")[0].rstrip(".")


def clean(features: gpd.GeoDataFrame, crs: CRS) -> tuple[gpd.GeoDataFrame, dict[str, int]]:
    """Features in ``crs``, flat and valid, and how many were dropped, by reason.

    Invalid geometry is repaired where something of its own dimension is left of it: an area stays
    an area. The index is kept.

    Raises:
        InputError: if the features have no CRS.
    """
    if features.crs is None:
        raise InputError("The layer has no CRS, so it cannot be reprojected.")
    dropped: dict[str, int] = {}

    def drop(frame: gpd.GeoDataFrame, bad: NDArray[np.bool_], reason: str) -> gpd.GeoDataFrame:
        if not bad.any():
            return frame
        dropped[reason] = int(bad.sum())
        return frame[~bad]

    shapes = features.geometry.to_numpy()
    kept = drop(features, shapely.is_missing(shapes) | shapely.is_empty(shapes), "no geometry")
    kept = drop(kept, ~_is_finite(kept.geometry.to_numpy()), "coordinates not finite")
    kept = kept.set_geometry(shapely.force_2d(kept.geometry.to_numpy()), crs=features.crs)
    kept = kept.to_crs(crs)
    shapes = kept.geometry.to_numpy()
    kept = drop(kept, ~_is_finite(shapes), f"outside the reach of {crs_name(crs)}")
    shapes = kept.geometry.to_numpy()
    invalid = ~shapely.is_valid(shapes)
    if invalid.any():
        shapes = shapes.copy()
        shapes[invalid] = [_repaired(shape) for shape in shapes[invalid]]
        kept = drop(
            kept.set_geometry(shapes, crs=crs), shapely.is_empty(shapes), "invalid geometry"
        )
    return kept, dropped


def _is_finite(shapes: NDArray[np.object_]) -> NDArray[np.bool_]:
    """Which geometries have finite coordinates only."""
    xy, owner = shapely.get_coordinates(shapes, return_index=True)
    finite = np.ones(len(shapes), dtype=bool)
    finite[owner[~np.isfinite(xy).all(axis=1)]] = False
    return finite


def _repaired(shape: shapely.Geometry) -> shapely.Geometry:
    """What a repair leaves of a geometry in its own dimension; empty when nothing."""
    dimension = shapely.get_dimensions(shape)
    parts = shapely.get_parts(shapely.make_valid(shape))
    parts = shapely.get_parts(parts[shapely.get_dimensions(parts) == dimension])
    return parts[0] if len(parts) == 1 else shapely.union_all(parts)


def meeting(features: gpd.GeoDataFrame, tile: Tile) -> NDArray[np.intp]:
    """Positions of the features whose box meets the tile, ascending.

    The spatial index is built at the first call and kept with the frame, so the time of a call
    depends on the features found, not on how many there are.

    Raises:
        InputError: if the features are not in the tile's CRS.
    """
    if features.crs != tile.crs:
        raise InputError(
            f"The features are in {features.crs and crs_name(features.crs)}, the tile is in "
            f"{crs_name(tile.crs)}; reproject the features first."
        )
    return np.sort(features.sindex.query(tile.polygon))
