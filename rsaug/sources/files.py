"""Files that GDAL reads: GeoJSON, GeoPackage, FlatGeobuf, Shapefile and OSM PBF."""

from __future__ import annotations

import struct
import tempfile
import warnings
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pandas as pd
import pyarrow as pa
import pyogrio
from numpy.typing import NDArray
from pyogrio.errors import DataLayerError, DataSourceError
from pyproj import CRS
from pyproj.exceptions import CRSError

from rsaug.errors import InputError
from rsaug.sources.base import (
    FORMATS,
    Bounds,
    Box,
    Kind,
    SourceInfo,
    boxes_in,
    degrees_around,
    first_line,
    no_crs,
)
from rsaug.sources.frames import Kept, check_degrees, check_frame, from_arrow, from_wkb
from rsaug.sources.osmpbf import check_whole
from rsaug.sources.tags import AREA_KEYS, BAGS, LINE_KEYS, keys_for, unfold

_KINDS: tuple[Kind, Kind] = ("lines", "areas")

# By content, as GDAL sees it. Others are refused: some of GDAL's formats read further files or
# reach for the network, and a file from a stranger can be in any of them.
_DRIVERS = {"GeoJSON", "GeoJSONSeq", "GPKG", "FlatGeobuf", "ESRI Shapefile", "OSM"}
# Those whose features are counted in the file; a shapefile counts deleted ones as well.
_COUNTED = {"FlatGeobuf", "GPKG"}
# How such files begin. It is looked at before GDAL is asked, which opens what it finds to tell.
_SQLITE, _FLATGEOBUF, _SHAPEFILE = b"SQLite format 3\0", b"fgb\x03", b"\x00\x00\x27\x0a"
_ZIP, _PARQUET, _PBF_HEADER = b"PK\x03\x04", b"PAR1", b"OSMHeader"
# JSON that is a chain of commands to GDAL rather than data.
_COMMANDS = b"gdal_streamed_alg"
_HEAD_BYTES = 1 << 16

_OSM_LAYERS = ("lines", "multipolygons")
# A way and a relation may have the same number; that of a way is made negative.
_WAYS = ("lines", "multipolygons")
_OSM_KEYS = {
    "points": LINE_KEYS,
    "lines": LINE_KEYS,
    "multilinestrings": LINE_KEYS,
    "multipolygons": AREA_KEYS,
    "other_relations": AREA_KEYS,
}
# Closed ways with one of these keys, or keys and values, are areas. Not `highway`: a roundabout.
_OSM_AREAS = (
    "aeroway,amenity,area:highway,boundary,building,building:part,craft,geological,historic,"
    "landcover,landuse,leisure,military,natural,office,place,shop,sport,tourism,water,wetland,"
    "highway=platform,public_transport=platform,waterway=riverbank,waterway=dock"
)
_ERRORS = (
    DataSourceError,
    DataLayerError,
    CRSError,
    OSError,
    UnicodeDecodeError,
    pa.ArrowException,
)
# Those that GDAL reads, too.
_ZIP_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
# What zipfile raises for an archive that is not as it was written.
_DAMAGED_ZIP = (
    zipfile.BadZipFile,
    zlib.error,
    struct.error,
    EOFError,
    OSError,
    OverflowError,
    RuntimeError,  # says that an entry is encrypted
    ValueError,
    NotImplementedError,
)


class FileSource:
    """A layer of a file, through GDAL; see `VectorSource`.

    Args:
        spec: What the user gave.
        path: The file.
        layer: Which layer, where the file has several.
        kind: What the layer is wanted for, where none is named.

    Raises:
        InputError: if the file cannot be read, has no CRS, or no one layer to read.
    """

    def __init__(
        self, spec: str, path: Path, *, layer: str | None = None, kind: Kind | None = None
    ) -> None:
        self.spec, self._path, self._checked = spec, path, False
        self._name = _gdal_name(path)
        # Asked for a box without a feature, GDAL 3.12 gives some of a FlatGeobuf, unless it is told
        # to go by way of its own features. For the whole process, as all of GDAL's settings.
        pyogrio.set_gdal_config_options({"OGR_FLATGEOBUF_STREAM_BASE_IMPL": True})
        self._kept = Kept()
        self._memory = {"OSM_MAX_TMPFILE_SIZE": str(_osm_memory_mb(path))}
        with self._told(), _configured(self._memory):
            types = {str(name): geometry for name, geometry in pyogrio.list_layers(self._name)}
            if not types:
                raise InputError(f"{spec} has no layer.")
            driver = pyogrio.read_info(self._name, layer=next(iter(types)))["driver"]
            if driver not in _DRIVERS:
                raise unknown_format(spec)
            self._osm = driver == "OSM"
            if layer is not None and layer not in types:
                raise InputError(f"{spec} has no layer {layer!r}; it has {list(types)}.")
            self._layers = (layer,) if layer else _layers(spec, types, kind, self._osm)
            with self._options() as options:
                found = pyogrio.read_info(
                    self._name, layer=self._layers[0], force_total_bounds=False, **options
                )
            if found["geometry_type"] is None:
                raise InputError(
                    f"{spec} is a table without geometry; give a layer of lines or areas."
                )
            if found["crs"] is None:
                raise no_crs(spec)
            self.crs = CRS(found["crs"])
        self._driver, self._found, self._all_layers = driver, found, tuple(types)
        self.windowed = bool(found["capabilities"]["fast_spatial_filter"]) and not self._osm
        self.count: int | None = None if found["features"] < 0 or self._osm else found["features"]
        check_degrees(spec, self.crs, self._box)

    def info(self) -> SourceInfo:
        """What is known of the layer without reading it."""
        fields = dict(zip(self._found["fields"], self._found["dtypes"], strict=True))
        declared = self._found["geometry_type"]
        types: tuple[str, ...] = () if declared == "Unknown" else (declared,)
        if self._osm:
            types = tuple(_OSM_TYPES[layer] for layer in self._layers)
        return SourceInfo(
            format="OSM PBF" if self._osm else self._driver,
            layer="+".join(self._layers),
            layers=self._all_layers,
            crs=self.crs,
            count=self.count,
            bounds=degrees_around(self.crs, self._box),
            geometry_types=types,
            fields={name: str(dtype) for name, dtype in fields.items()},
            windowed=self.windowed,
        )

    def read(self, bounds: Bounds | None = None) -> gpd.GeoDataFrame:
        """The features that meet a box, or all; there may be none."""
        kept = self._kept.get(bounds)
        if kept is not None:
            return kept
        self._check_whole()
        with self._told():
            frames = [self._read_layer(layer, bounds) for layer in self._layers]
        frame = frames[0]
        if len(frames) > 1:
            frame = _concatenated(frames)
        if bounds is None and self._driver in _COUNTED and len(frame) < (self.count or 0):
            raise InputError(
                f"{self.spec} says that it holds {self.count} features, and {len(frame)} can be "
                "read; it is cut off or damaged, so get or write it anew."
            )
        frame = check_frame(self.spec, frame)
        return frame if self.windowed else self._kept.put(bounds, frame)

    @property
    def _box(self) -> Box | None:
        if self._found["total_bounds"] is None:
            return None
        left, bottom, right, top = map(float, self._found["total_bounds"])
        return left, bottom, right, top

    def _check_whole(self) -> None:
        """Look for the end of the file once: GDAL's streams end at damage without an error."""
        if self._checked:
            return
        if self._osm:
            check_whole(self._path)
        elif self._driver == "FlatGeobuf" and self.windowed and self.count:
            with self._told():
                # In the order of the file, so the last one lies at its end.
                pyogrio.raw.read(self._name, fids=[self.count - 1], columns=[])
        elif self._driver == "GeoJSONSeq":
            _check_last_line(self._path)
        self._checked = True

    def _read_layer(self, layer: str, bounds: Bounds | None) -> gpd.GeoDataFrame:
        boxes = (boxes_in(self.crs, bounds) if bounds else ()) or (None,)
        with self._options() as options:
            parts = [
                pyogrio.read_arrow(self._name, layer=layer, bbox=box, return_fids=True, **options)
                for box in boxes
            ]
        meta = parts[0][0]
        table = pa.concat_tables([part[1] for part in parts])
        # The first of its name: in GeoJSON an attribute `id` has the name of the numbers.
        first = table.schema.get_all_field_indices(meta["fid_column"] or "OGC_FID")[0]
        number, table = table.column(first).to_numpy(), table.remove_column(first)
        if layer in _WAYS and self._osm:
            is_way = layer == "lines" or table["osm_way_id"].is_valid().to_numpy()
            number = np.where(is_way, -number, number)
        shape = meta["geometry_name"] or "wkb_geometry"
        if not (number[1:] > number[:-1]).all():
            # In the layer's own order, which the index of a file need not follow.
            order = np.argsort(number, kind="stable")
            if len(boxes) > 1:
                order = order[_first_ones(number[order], table[shape].take(order))]
            number, table = number[order], table.take(order)
            if len(np.unique(number)) < len(number):
                # Lines of GeoJSON may give two features one number.
                number = np.arange(len(number))
        geometry = from_wkb(table[shape])
        frame = from_arrow(table.drop_columns([shape]), geometry, self.crs, number)
        if self._osm:
            return frame
        bag = next((name for name in BAGS if name in frame), None)
        return unfold(frame, keys_for([self._found["geometry_type"]]), bag)

    @contextmanager
    def _options(self) -> Iterator[dict[str, Any]]:
        """Options to open the file with: for OSM which keys become columns."""
        if not self._osm:
            yield {}
            return
        with (
            tempfile.TemporaryDirectory() as folder,
            # Its place for what it puts aside of a large file: by default the working directory.
            _configured({"CPL_TMPDIR": folder, **self._memory}),
        ):
            path = Path(folder) / "osm.ini"
            path.write_text(_osm_config(), encoding="ascii")
            yield {"CONFIG_FILE": str(path)}

    @contextmanager
    def _told(self) -> Iterator[None]:
        """GDAL's errors in one sentence, and without its warnings of what is counted later."""
        with warnings.catch_warnings(), np.errstate(invalid="ignore"):
            # An extract cuts relations at its border, and GDAL warns of each ring left open. Such
            # an area arrives broken or without geometry, and `clean` counts it.
            warnings.simplefilter("ignore", RuntimeWarning)
            try:
                yield
            except UnboundLocalError as error:
                # pyogrio's own stumble, in get_crs, over a CRS that GDAL cannot write down.
                raise InputError(
                    f"{self.spec} has a CRS that is not understood; assign another, for instance "
                    "with ogr2ogr -a_srs EPSG:4326."
                ) from error
            except _ERRORS as error:
                if "utf-8" in str(error).lower() or "utf8" in str(error).lower():
                    raise InputError(
                        f"{self.spec} cannot be read: it holds text that is not UTF-8; write it "
                        "anew in UTF-8."
                    ) from error
                raise InputError(
                    f"{self.spec} cannot be read ({first_line(error)}); formats understood are "
                    f"{FORMATS}."
                ) from error


_OSM_TYPES = {
    "points": "Point",
    "lines": "LineString",
    "multilinestrings": "MultiLineString",
    "multipolygons": "MultiPolygon",
    "other_relations": "GeometryCollection",
}


def unknown_format(spec: str) -> InputError:
    """The error of a file that is in none of the formats."""
    path = Path(spec)
    if path.is_file() and not path.stat().st_size:
        return InputError(f"{spec} cannot be read: the file is empty.")
    return InputError(f"{spec} cannot be read: it is not in a format that is read here: {FORMATS}.")


def is_parquet(path: Path) -> bool:
    """Whether a file begins as Parquet does."""
    return _head(path, len(_PARQUET)) == _PARQUET


def _head(path: Path, size: int) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(size)
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror}).") from error


def _gdal_name(path: Path) -> str:
    """What GDAL is given to open a file whose beginning is that of a format read here.

    Raises:
        InputError: if it is in another format.
    """
    head = _head(path, _HEAD_BYTES)
    if head.startswith(_ZIP):
        return _zipped_shapefile(path)
    if not (_is_json(head) or head.startswith((_SQLITE, _FLATGEOBUF, _SHAPEFILE))) and (
        _PBF_HEADER not in head[:64]
    ):
        raise unknown_format(str(path))
    return str(path.absolute())


def _check_last_line(path: Path) -> None:
    """Refuse lines of JSON of which the last one does not end; GDAL would leave it out."""
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - _HEAD_BYTES))
        if not file.read().rstrip(b" \t\r\n\x1e\0").endswith(b"}"):
            raise InputError(f"{path} ends within a feature; it is cut off, so get it anew.")


def _is_json(head: bytes) -> bool:
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip(b" \t\r\n\x1e")
    return text.startswith(b"{") and _COMMANDS not in head


def _zipped_shapefile(path: Path) -> str:
    """GDAL's name of the one shapefile in a zip file."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = [
                name
                for name in archive.namelist()
                if name.lower().endswith(".shp") and not name.startswith("__MACOSX/")
            ]
            if len(names) != 1:
                raise InputError(
                    f"{path} holds {len(names)} shapefiles; a zip file of one is read."
                )
            if archive.getinfo(names[0]).compress_type not in _ZIP_METHODS:
                raise InputError(f"{path} is compressed in a way that is not read; zip it anew.")
            with archive.open(names[0]) as file:
                if file.read(len(_SHAPEFILE)) != _SHAPEFILE:
                    raise InputError(f"{path} cannot be read: {names[0]} in it is no shapefile.")
    except InputError:
        raise
    except _DAMAGED_ZIP as error:
        raise InputError(f"{path} cannot be read as a zip file ({first_line(error)}).") from error
    return f"/vsizip/{{{path.absolute()}}}/{names[0]}"


def _layers(
    spec: str, types: dict[str, str | None], kind: Kind | None, osm: bool
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
            f"{spec} has several layers, {list(types)}; name one, as in "
            f"'{spec}|layername={next(iter(types))}'."
        )
    return (names[0],)


def _concatenated(frames: list[gpd.GeoDataFrame]) -> gpd.GeoDataFrame:
    """Layers below one another; a column that one of them lacks is empty there."""
    names = dict.fromkeys(name for frame in frames for name in frame.columns)
    dtypes = {name: frame[name].dtype for frame in frames for name in frame.columns}
    full = [
        frame.reindex(columns=list(names)).astype(
            {name: dtypes[name] for name in names if name not in frame}
        )
        for frame in frames
    ]
    return gpd.GeoDataFrame(pd.concat(full), geometry="geometry", crs=frames[0].crs)


def _first_ones(number: NDArray[np.int64], wkb: pa.ChunkedArray) -> NDArray[np.bool_]:
    """Which features, ordered by number, are not the one before them read once more."""
    shapes = wkb.to_numpy(zero_copy_only=False)
    first = np.ones(len(number), dtype=bool)
    first[1:] = (number[1:] != number[:-1]) | (shapes[1:] != shapes[:-1])
    return first


def _osm_config() -> str:
    """A configuration of GDAL's OSM driver: which keys become columns.

    https://gdal.org/en/stable/drivers/vector/osm.html
    """
    sections = [
        f"[{name}]\nosm_id=yes\nosm_way_id=yes\nattributes={','.join(keys)}\nother_tags=no\n"
        for name, keys in _OSM_KEYS.items()
    ]
    return (
        f"closed_ways_are_polygons={_OSM_AREAS}\nattribute_name_laundering=no\n"
        "report_all_nodes=no\nreport_all_ways=no\n\n" + "\n".join(sections)
    )


def _osm_memory_mb(path: Path) -> int:
    """How much memory GDAL's OSM driver may take for what it puts aside, in MB.

    It takes and clears all of it whenever a file is opened, by default 100 MB. A node is at most
    put aside as a sector of 512 bytes, and takes 5 or more in the file.
    """
    return min(100, 1 + 100 * path.stat().st_size // 10**6)


@contextmanager
def _configured(options: Mapping[str, str]) -> Iterator[None]:
    """Inside, options of GDAL hold for the whole process, but where they are set already."""
    new = {
        name: value
        for name, value in options.items()
        if pyogrio.get_gdal_config_option(name) is None
    }
    pyogrio.set_gdal_config_options(new)
    try:
        yield
    finally:
        pyogrio.set_gdal_config_options(dict.fromkeys(new))
