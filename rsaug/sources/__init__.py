"""Sources of vector features: files, PostGIS and live OpenStreetMap behind one way of asking."""

from __future__ import annotations

from pathlib import Path

from rsaug.errors import InputError
from rsaug.fetching import fetch
from rsaug.sources.base import FORMATS, Bounds, Kind, SourceInfo, VectorSource
from rsaug.storage import is_remote

__all__ = [
    "FORMATS",
    "Bounds",
    "Kind",
    "SourceInfo",
    "VectorSource",
    "is_file",
    "open_source",
]

_POSTGRES = ("postgresql://", "postgres://")


def open_source(
    spec: Path | str,
    *,
    layer: str | None = None,
    kind: Kind | None = None,
    area: Bounds | None = None,
) -> VectorSource:
    """The source that ``spec`` names; little is read of it yet.

    Args:
        spec: A GeoJSON, GeoPackage, FlatGeobuf, GeoParquet, Shapefile (also zipped) or OSM PBF
            file, a layer of which can be named after a bar, as QGIS writes it:
            ``town.gpkg|layername=roads``, here or at an address in a store or on the web; a table
            of PostGIS, ``postgresql://user@host/db?table=schema.roads``; or live OpenStreetMap:
            ``osm`` for ``area``, ``osm:west,south,east,north``, ``osm:Helsinki, Finland``.
        layer: Which layer, where there are several.
        kind: What the layer is wanted for; where there are several layers, those of another kind of
            geometry are passed over. The features themselves are not chosen by it.
        area: (west, south, east, north) in degrees: what ``osm`` alone stands for.

    Raises:
        InputError: if there is nothing by that name, it cannot be read or has no CRS, or if it has
            several layers and none is named.
        MissingExtra: if a library of an extra is needed and not installed.
    """
    text = str(spec)
    if text.startswith(_POSTGRES):
        from rsaug.sources.postgis import PostgisSource

        return PostgisSource(text)
    if text == "osm" or text.startswith(("osm:", "osm|")):
        from rsaug.sources.openstreetmap import OpenStreetMapSource

        return OpenStreetMapSource(text, layer=layer, kind=kind, area=area)
    return _open_file(text, layer, kind)


def is_file(spec: Path | str) -> bool:
    """Whether a source is a file, or the name of one that is not there."""
    text = str(spec)
    return not (text.startswith((*_POSTGRES, "osm:", "osm|")) or text == "osm")


def _open_file(text: str, layer: str | None, kind: Kind | None) -> VectorSource:
    from rsaug.sources.files import FileSource, is_parquet
    from rsaug.sources.parquet import ParquetSource

    name, _, suffix = text.partition("|layername=")
    path = fetch(name) if is_remote(name) else Path(name)
    if not path.exists():
        if "://" in name:
            raise InputError(
                f"{name} is an address; what can be read is {FORMATS}. Download it first."
            )
        raise InputError(f"{path} does not exist; check the name.")
    if path.is_dir():
        raise InputError(f"{path} is a folder; name a file in it.")
    if is_parquet(path):
        return ParquetSource(name, path)
    return FileSource(name, path, layer=layer or suffix or None, kind=kind)
