"""GeoParquet files, by window where they carry a box of every feature."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import shapely.errors
from numpy.typing import NDArray
from pyproj import CRS
from pyproj.exceptions import CRSError

from rsaug.errors import InputError
from rsaug.jsontext import parse_json
from rsaug.sources.base import Bounds, Box, SourceInfo, boxes_in, degrees_around, first_line, no_crs
from rsaug.sources.frames import Kept, check_degrees, check_frame, from_arrow, from_wkb, meets_any
from rsaug.sources.tags import BAGS, keys_for, unfold

_ERRORS = (
    pa.ArrowException,
    shapely.errors.ShapelyError,
    CRSError,
    ValueError,
    KeyError,
    TypeError,
    AttributeError,
    OSError,
)
_EDGES = ("xmin", "ymin", "xmax", "ymax")


class ParquetSource:
    """A GeoParquet file; see `VectorSource`.

    It is read by window where it has the covering of GeoParquet 1.1, a column with the box of each
    feature: only the row groups that hold a feature of the window are read.
    https://geoparquet.org/releases/v1.1.0/

    Args:
        spec: What the user gave.
        path: The file.

    Raises:
        InputError: if the file cannot be read or has no CRS.
    """

    def __init__(self, spec: str, path: Path) -> None:
        self.spec, self._path = spec, path
        self._kept = Kept()
        with self._told(), pq.ParquetFile(path) as file:
            self._schema = file.schema_arrow
            self.count: int | None = int(file.metadata.num_rows)
            geo = parse_json((file.metadata.metadata or {})[b"geo"])
            self._name = str(geo["primary_column"])
            self._column: dict[str, Any] = geo["columns"][self._name]
            self._shapes = tuple(name for name in geo["columns"] if name in self._schema.names)
            self._schema.field(self._name)
            encoding = self._column["encoding"]
            if not isinstance(encoding, str):
                raise TypeError("the encoding of the geometry is no text")
            self._encoding = encoding
            # Longitude and latitude where nothing is said; null where it is not known.
            crs = self._column.get("crs", "OGC:CRS84")
            self._edges = self._covering()
            box = self._column.get("bbox")
            if box is not None:
                half = len(box) // 2
                box = tuple(float(edge) for edge in (*box[:2], *box[half : half + 2]))
            self._box: Box | None = box
            if crs is not None:
                self.crs = CRS.from_user_input(crs)
        if crs is None:
            raise no_crs(spec)
        self.windowed = self._edges is not None
        check_degrees(spec, self.crs, self._box)

    def info(self) -> SourceInfo:
        """What is known of the layer without reading it."""
        fields = {
            name: str(self._schema.field(name).type)
            for name in self._schema.names
            if name not in self._shapes and name not in self._covers
        }
        return SourceInfo(
            format="GeoParquet",
            layer=None,
            layers=(),
            crs=self.crs,
            count=self.count,
            bounds=degrees_around(self.crs, self._box),
            geometry_types=tuple(self._column.get("geometry_types", ())),
            fields=fields,
            windowed=self.windowed,
        )

    def read(self, bounds: Bounds | None = None) -> gpd.GeoDataFrame:
        """The features that meet a box, or all; there may be none."""
        kept = self._kept.get(bounds)
        if kept is not None:
            return kept
        boxes = boxes_in(self.crs, bounds) if bounds is not None else ()
        with self._told(), pq.ParquetFile(self._path) as file:
            if not self.windowed or not boxes:
                table = file.read(columns=self._wanted)
                rows = np.arange(table.num_rows)
            else:
                table, rows = self._in_boxes(file, boxes)
            geometry = self._decoded(table)
            frame = from_arrow(table.drop_columns([self._name]), geometry, self.crs, rows)
            bag = next((name for name in BAGS if name in frame), None)
            frame = unfold(frame, keys_for(self._column.get("geometry_types", ())), bag)
        frame = check_frame(self.spec, frame)
        # What was read whole is the whole layer, whatever the window.
        return frame if self.windowed else self._keep(frame, bounds)

    def _keep(self, frame: gpd.GeoDataFrame, bounds: Bounds | None) -> gpd.GeoDataFrame:
        self._kept.put(None, frame)
        found = self._kept.get(bounds)
        return frame if found is None else found

    @property
    def _covers(self) -> set[str]:
        return set() if self._edges is None else {path[0] for path in self._edges.values()}

    @property
    def _wanted(self) -> list[str]:
        """Columns to read: all but other geometries and the boxes."""
        left_out = (set(self._shapes) | self._covers) - {self._name}
        return [name for name in self._schema.names if name not in left_out]

    def _covering(self) -> dict[str, tuple[str, ...]] | None:
        """Where in the file each edge of a feature's box is; None without such boxes."""
        covering = self._column.get("covering")
        if covering is None:
            return None
        edges = {edge: tuple(map(str, covering["bbox"][edge])) for edge in _EDGES}
        for path in edges.values():
            kind = self._schema.field(path[0]).type
            for name in path[1:]:
                kind = kind.field(name).type
            if not pa.types.is_floating(kind):
                return None
        return edges

    def _in_boxes(
        self, file: pq.ParquetFile, boxes: tuple[Box, ...]
    ) -> tuple[pa.Table, NDArray[np.int64]]:
        """Rows whose box meets any of some boxes, and their numbers."""
        dotted = [".".join(edge) for edge in (self._edges or {}).values()]
        tables, numbers, start = [], [], 0
        for group in range(file.num_row_groups):
            count = file.metadata.row_group(group).num_rows
            if self._may_meet(file, group, dotted, boxes):
                rows = self._rows(file, group, dotted, boxes)
                if len(rows):
                    read = file.read_row_group(group, columns=self._wanted)
                    tables.append(read.take(rows))
                    numbers.append(rows + start)
            start += count
        if not tables:
            empty = file.schema_arrow.empty_table().select(self._wanted)
            return empty, np.empty(0, dtype=np.int64)
        return pa.concat_tables(tables), np.concatenate(numbers)

    def _rows(
        self, file: pq.ParquetFile, group: int, dotted: list[str], boxes: tuple[Box, ...]
    ) -> NDArray[np.int64]:
        """Rows of a row group whose box meets any of some boxes."""
        table = file.read_row_group(group, columns=dotted)
        edges = []
        for name in dotted:
            first, *rest = name.split(".")
            column = table[first].combine_chunks()
            for inner in rest:
                column = pa.compute.struct_field(column, inner)
            edges.append(np.asarray(column.to_numpy(zero_copy_only=False), dtype=np.float64))
        left, bottom, right, top = edges
        return np.flatnonzero(meets_any(boxes, left, bottom, right, top))

    def _may_meet(
        self, file: pq.ParquetFile, group: int, dotted: list[str], boxes: tuple[Box, ...]
    ) -> bool:
        """Whether the statistics of a row group leave it possible that it holds such a row."""
        metadata = file.metadata.row_group(group)
        found = {}
        for nth in range(metadata.num_columns):
            column = metadata.column(nth)
            if column.path_in_schema in dotted:
                statistics = column.statistics
                if statistics is None or not statistics.has_min_max:
                    return True
                found[column.path_in_schema] = statistics.min, statistics.max
        if len(found) < len(dotted):
            return True
        xmin, ymin, xmax, ymax = (found[name] for name in dotted)
        edges = [np.array([value]) for value in (xmin[0], ymin[0], xmax[1], ymax[1])]
        return bool(meets_any(boxes, *edges)[0])

    def _decoded(self, table: pa.Table) -> NDArray[np.object_]:
        """The geometries of a table, (n,)."""
        column = table[self._name]
        if self._encoding == "WKB":
            return from_wkb(column)
        # The other encodings are those of GeoArrow, under the same names.
        field = pa.field(
            "geometry", column.type, metadata={"ARROW:extension:name": f"geoarrow.{self._encoding}"}
        )
        alone = pa.Table.from_arrays([column], schema=pa.schema([field]))
        geometry: NDArray[np.object_] = gpd.GeoDataFrame.from_arrow(alone).geometry.to_numpy()
        return geometry

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            with np.errstate(invalid="ignore"):
                yield
        except InputError:
            raise
        except _ERRORS as error:
            raise InputError(
                f"{self.spec} cannot be read as GeoParquet ({first_line(error)})."
            ) from error
