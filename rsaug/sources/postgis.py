"""PostGIS: a table or a query, of which the server sends what lies in the window.

Nothing is ever written: the transaction is read-only, a query is wrapped as a sub-select, and it is
sent by the protocol that takes one statement only.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import SplitResult, parse_qsl, quote, unquote, urlencode, urlsplit

import geopandas as gpd
import numpy as np
import pyarrow as pa
from pyproj import CRS
from pyproj.exceptions import CRSError

from rsaug.errors import InputError
from rsaug.optional import require
from rsaug.sources.base import (
    Bounds,
    Box,
    SourceInfo,
    boxes_in,
    degrees_around,
    first_line,
    no_crs,
)
from rsaug.sources.frames import check_degrees, check_frame, from_arrow, from_wkb
from rsaug.sources.tags import BAGS, keys_for, unfold

if TYPE_CHECKING:
    from psycopg import Connection, ServerCursor
    from psycopg.sql import Composable, Composed

_OURS = ("table", "geometry", "sql")
_TIMEOUT_S = 10
_ROWS_AT_ONCE = 10_000
_EXAMPLE = "postgresql://user@host/database?table=schema.roads"

# Columns of these types come as numbers; those of types that are not listed come as text.
_INTEGERS, _FLOATS = ("int2", "int4", "int8"), ("float4", "float8", "numeric")
_SHAPES = ("geometry", "geography", "raster")
_TAGS = ("hstore", "json", "jsonb")


@dataclass(frozen=True)
class _Layer:
    """What is asked of the server.

    Attributes:
        source: The table, or the query as a sub-select.
        geometry: Name of the geometry column.
        srid: The server's number of its CRS.
        types: PostgreSQL's type by name of column, without geometries.
        order: Columns that give the features an order, best a primary key; may be empty.
        key: The column that numbers the features; None where there is none.
        geometry_types: As the catalogue declares them.
    """

    source: Composable
    geometry: str
    srid: int
    types: dict[str, str]
    order: Composable | None
    key: str | None
    geometry_types: tuple[str, ...]


class PostgisSource:
    """A table or query of a PostGIS database; see `VectorSource`.

    A connection is made for each read and closed after it.

    Args:
        spec: ``postgresql://user:password@host:port/database?table=schema.roads``, the geometry
            column named by ``&geometry=`` where there are several, or ``?sql=SELECT ...``. What
            else stands there is libpq's: ``sslmode``, ``connect_timeout``, ...; the password may
            come from ``PGPASSWORD`` or ``~/.pgpass``.

    Raises:
        InputError: if it is not reached, or there is no such layer, or it has no CRS.
        MissingExtra: if psycopg is not installed.
    """

    windowed = True

    def __init__(self, spec: str) -> None:
        require("psycopg", extra="postgis")
        self.spec, self._connection, self._secrets, wanted = _parts(spec)
        self._table, self._sql = wanted.get("table"), wanted.get("sql")
        if (self._table is None) == (self._sql is None):
            raise InputError(
                f"{self.spec} has to name either a table or a query, as in {_EXAMPLE} or "
                "...?sql=SELECT ..."
            )
        with self._connected() as connection:
            self._layer = self._find(connection, wanted.get("geometry"))
            self.crs = self._crs_of(connection, self._layer.srid)
            self.count: int | None = self._estimate(connection)
            self._box = self._extent(connection)
        check_degrees(self.spec, self.crs, self._box)

    def info(self) -> SourceInfo:
        """What is known of the layer without reading it."""
        with self._connected() as connection:
            rows = connection.execute(
                "SELECT f_table_schema || '.' || f_table_name FROM geometry_columns ORDER BY 1"
            ).fetchall()
        return SourceInfo(
            format="PostGIS",
            layer=self._table,
            layers=tuple(dict.fromkeys(str(row[0]) for row in rows)),
            crs=self.crs,
            count=self.count,
            bounds=degrees_around(self.crs, self._box),
            geometry_types=self._layer.geometry_types,
            fields=dict(self._layer.types),
            windowed=self.windowed,
        )

    def read(self, bounds: Bounds | None = None) -> gpd.GeoDataFrame:
        """The features that meet a box, or all; there may be none."""
        query, values = self.query(bounds)
        with self._connected() as connection:
            # On the server, which sends some thousand rows at a time.
            with connection.cursor(name="rsaug", binary=True) as cursor:
                cursor.execute(query, values)
                table = _fetched(cursor, self._layer.types)
            frame = self._frame(table)
        return check_frame(self.spec, frame)

    def query(self, bounds: Bounds | None = None) -> tuple[Composed, list[float | int]]:
        """The statement that reads a window and the values bound to it."""
        from psycopg import sql

        layer = self._layer
        columns = [_column(name, kind) for name, kind in layer.types.items()]
        columns.append(
            sql.SQL("ST_AsBinary(ST_CurveToLine({}))").format(sql.Identifier(layer.geometry))
        )
        statement = sql.SQL("SELECT {} FROM {}").format(sql.SQL(", ").join(columns), layer.source)
        values: list[float | int] = []
        boxes = boxes_in(self.crs, bounds) if bounds is not None else ()
        if boxes:
            meets = sql.SQL("{} && ST_MakeEnvelope(%s, %s, %s, %s, %s)").format(
                sql.Identifier(layer.geometry)
            )
            statement += sql.SQL(" WHERE ") + sql.SQL(" OR ").join([meets] * len(boxes))
            values = [value for box in boxes for value in (*box, layer.srid)]
        if layer.order is not None:
            statement += sql.SQL(" ORDER BY ") + layer.order
        return statement, values

    def _frame(self, table: pa.Table) -> gpd.GeoDataFrame:
        layer = self._layer
        geometry = from_wkb(table.column(table.num_columns - 1))
        table = table.remove_column(table.num_columns - 1)
        number = np.arange(table.num_rows)
        if layer.key is not None:
            number = table.column(list(layer.types).index(layer.key)).to_numpy()
        frame = from_arrow(table, geometry, self.crs, number)
        bag = next((name for name in BAGS if layer.types.get(name) in (*_TAGS, "text")), None)
        return unfold(frame, keys_for(layer.geometry_types), bag)

    def _find(self, connection: Connection[Any], geometry: str | None) -> _Layer:
        """What to ask for, from the server's catalogue."""
        from psycopg import sql

        if not connection.execute("SELECT 1 FROM pg_extension WHERE extname='postgis'").fetchone():
            raise InputError(f"{self.spec} is a database without the extension PostGIS.")
        order, key = None, None
        if self._table is not None:
            schema, table = self._located(connection, self._table)
            source: Composable = sql.Identifier(schema, table)
            order, key = _order_of(connection, schema, table)
        else:
            source = sql.SQL("({}\n) AS layer").format(sql.SQL(_plain(self._sql or "")))
        types = self._types(connection, source)
        shapes = [name for name, kind in types.items() if kind == "geometry"]
        if not shapes:
            more = "; turn it into one, with ?sql=SELECT geog::geometry, ..."
            raise InputError(
                f"{self.spec} has no geometry column"
                + (more if "geography" in types.values() else "")
                + "."
            )
        if geometry is not None and geometry not in shapes:
            raise InputError(f"{self.spec} has no geometry column {geometry!r}; it has {shapes}.")
        if geometry is None and len(shapes) > 1:
            raise InputError(
                f"{self.spec} has several geometry columns, {shapes}; name one by &geometry=."
            )
        chosen = geometry or shapes[0]
        srid, declared = 0, ""
        if self._table is not None:
            srid, declared = connection.execute(
                "SELECT srid, type FROM geometry_columns WHERE f_table_schema=%s AND "
                "f_table_name=%s AND f_geometry_column=%s",
                [schema, table, chosen],
            ).fetchone() or (0, "")
        return _Layer(
            source=source,
            geometry=chosen,
            srid=srid or self._srid_of_rows(connection, source, chosen),
            types={name: kind for name, kind in types.items() if kind not in _SHAPES},
            order=order,
            key=key,
            geometry_types=(declared,) if declared not in ("", "GEOMETRY") else (),
        )

    def _located(self, connection: Connection[Any], name: str) -> tuple[str, str]:
        """Schema and table that a name means, by the search path where it has no schema."""
        schema, _, table = name.rpartition(".")
        found = connection.execute(
            "SELECT n.nspname, c.relname FROM pg_class c JOIN pg_namespace n "
            "ON n.oid = c.relnamespace WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND "
            "((n.nspname = %s AND c.relname = %s) OR "
            "(c.relname = %s AND n.nspname = ANY(current_schemas(false)))) "
            "ORDER BY array_position(current_schemas(false), n.nspname) NULLS LAST LIMIT 1",
            [schema, table, name],
        ).fetchone()
        if found is None:
            raise InputError(f"{self.spec}: there is no table {name!r}; name it as schema.table.")
        return str(found[0]), str(found[1])

    def _types(self, connection: Connection[Any], source: Composable) -> dict[str, str]:
        """PostgreSQL's type by name of column."""
        from psycopg import sql

        # A value is bound, so the protocol is the one that takes one statement only.
        cursor = connection.execute(sql.SQL("SELECT * FROM {} LIMIT %s").format(source), [0])
        described = cursor.description or []
        rows = connection.execute(
            "SELECT oid, typname FROM pg_type WHERE oid = ANY(%s)",
            [[column.type_code for column in described]],
        ).fetchall()
        names = {int(oid): str(name) for oid, name in rows}
        types = {column.name: names[column.type_code] for column in described}
        if len(types) < len(described):
            raise InputError(f"{self.spec} gives two columns of one name; rename one with AS.")
        return types

    def _srid_of_rows(self, connection: Connection[Any], source: Composable, name: str) -> int:
        """The CRS of the first geometry of a layer whose CRS the catalogue does not know."""
        from psycopg import sql

        row = connection.execute(
            sql.SQL("SELECT ST_SRID({0}) FROM {1} WHERE {0} IS NOT NULL LIMIT %s").format(
                sql.Identifier(name), source
            ),
            [1],
        ).fetchone()
        if row is None:
            raise InputError(f"{self.spec} has no feature, nor a CRS that the database knows.")
        return int(row[0])

    def _crs_of(self, connection: Connection[Any], srid: int) -> CRS:
        row = connection.execute(
            "SELECT auth_name, auth_srid, srtext FROM spatial_ref_sys WHERE srid = %s", [srid]
        ).fetchone()
        if row is None:
            raise no_crs(self.spec)
        authority, code, text = row
        try:
            return CRS.from_authority(authority, code)
        except CRSError:
            return CRS.from_wkt(text)

    def _estimate(self, connection: Connection[Any]) -> int | None:
        """About how many rows there are, as the server's planner has it."""
        from psycopg import sql

        statement = sql.SQL("EXPLAIN (FORMAT JSON) SELECT * FROM {} OFFSET %s").format(
            self._layer.source
        )
        row = connection.execute(statement, [0]).fetchone()
        return None if row is None else int(row[0][0]["Plan"]["Plan Rows"])

    def _extent(self, connection: Connection[Any]) -> Box | None:
        """The box of the layer, from the server's statistics; None where it has none."""
        if self._table is None:
            return None
        from psycopg import Error

        schema, table = self._located(connection, self._table)
        try:
            with connection.transaction():
                row = connection.execute(
                    "SELECT ST_XMin(e), ST_YMin(e), ST_XMax(e), ST_YMax(e) FROM "
                    "(SELECT ST_EstimatedExtent(%s, %s, %s) AS e) AS extent",
                    [schema, table, self._layer.geometry],
                ).fetchone()
        except Error:
            return None
        if row is None or any(edge is None for edge in row):
            return None
        return float(row[0]), float(row[1]), float(row[2]), float(row[3])

    @contextmanager
    def _connected(self) -> Iterator[Connection[Any]]:
        """A connection that reads only; its errors in one sentence without the password."""
        import psycopg
        from psycopg import errors

        try:
            with psycopg.connect(**self._connection) as connection:
                connection.read_only = True
                yield connection
        except errors.ReadOnlySqlTransaction as error:
            raise InputError(f"{self.spec} would write; only reading is possible.") from error
        except psycopg.OperationalError as error:
            raise InputError(
                f"{self.spec} is not reached ({self._safe(error)}); check host, database, user and "
                "password."
            ) from None
        except (psycopg.Error, UnicodeError, pa.ArrowException) as error:
            raise InputError(f"{self.spec} cannot be read ({self._safe(error)}).") from None

    def _safe(self, error: Exception) -> str:
        """The first line of an error, without the password."""
        said = first_line(error)
        for secret in self._secrets:
            said = said.replace(secret, "***")
        return said


def _parts(
    spec: str,
) -> tuple[str, dict[str, Any], tuple[str, ...], dict[str, str]]:
    """The name without a password, what libpq is told, what to hide, and what is asked for."""
    from psycopg import ProgrammingError
    from psycopg.conninfo import conninfo_to_dict

    try:
        url = urlsplit(spec)
        options = parse_qsl(url.query, keep_blank_values=True)
    except ValueError:
        raise _malformed() from None
    wanted = {key: value for key, value in options if key in _OURS}
    rest = [(key, value) for key, value in options if key not in _OURS]
    secrets = [value for key, value in rest if "password" in key]
    if url.password:
        secrets += [url.password, unquote(url.password)]
    try:
        told: dict[str, Any] = dict(
            conninfo_to_dict(url._replace(query=urlencode(rest, quote_via=quote)).geturl())
        )
    except ProgrammingError:
        # libpq's own message may quote a part of the password.
        raise _malformed() from None
    told.setdefault("connect_timeout", _TIMEOUT_S)
    told["options"] = f"{told.get('options', '')} -c default_transaction_read_only=on".strip()
    shown = [(key, value) for key, value in options if "password" not in key]
    return _shown(url, shown), told, tuple(secret for secret in secrets if secret), wanted


def _shown(url: SplitResult, options: list[tuple[str, str]]) -> str:
    user, at, host = url.netloc.rpartition("@")
    query = "&".join(f"{key}={value}" for key, value in options)
    return f"{url.scheme}://{user.partition(':')[0]}{at}{host}{url.path}?{query}".rstrip("?")


def _malformed() -> InputError:
    return InputError(
        f"The address of the database is malformed; it has to look like {_EXAMPLE}, with "
        "characters such as @ and / in the password written as %40 and %2F."
    )


def _plain(query: str) -> str:
    """A user's query as a part of another: no closing semicolon, and % for what it is."""
    return query.strip().rstrip(";").replace("%", "%%")


def _order_of(
    connection: Connection[Any], schema: str, table: str
) -> tuple[Composable | None, str | None]:
    """What orders the rows of a table, and the column of whole numbers that tells them apart."""
    from psycopg import sql

    name = sql.Identifier(schema, table).as_string(connection)
    rows = connection.execute(
        "SELECT a.attname, t.typname FROM pg_index i "
        "JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = ANY(i.indkey) "
        "JOIN pg_type t ON t.oid = a.atttypid "
        "WHERE i.indisprimary AND i.indrelid = %s::regclass ORDER BY a.attnum",
        [name],
    ).fetchall()
    if rows:
        key = str(rows[0][0]) if len(rows) == 1 and rows[0][1] in _INTEGERS else None
        return sql.SQL(", ").join(sql.Identifier(str(row[0])) for row in rows), key
    kind = connection.execute(
        "SELECT relkind FROM pg_class WHERE oid = %s::regclass", [name]
    ).fetchone()
    # Where a row lies on the disk; a view has no such place.
    is_plain = kind is not None and kind[0] in ("r", b"r", "m", b"m")
    return (sql.SQL("ctid") if is_plain else None), None


def _column(name: str, kind: str) -> Composable:
    from psycopg import sql

    cast = "int8" if kind in _INTEGERS else "float8" if kind in _FLOATS else "text"
    cast = "bool" if kind == "bool" else cast
    return sql.SQL("{}::" + cast).format(sql.Identifier(name))


def _fetched(cursor: ServerCursor[Any], types: dict[str, str]) -> pa.Table:
    """What a query gives, the geometry last; columns of one type however many rows there are."""
    schema = pa.schema([pa.field(name, _arrow_type(kind)) for name, kind in types.items()])
    schema = schema.append(pa.field("wkb of the geometry", pa.binary()))
    batches = []
    while rows := cursor.fetchmany(_ROWS_AT_ONCE):
        columns: Sequence[Sequence[Any]] = list(zip(*rows, strict=True))
        arrays = [
            pa.array(values, type=field.type) for values, field in zip(columns, schema, strict=True)
        ]
        batches.append(pa.RecordBatch.from_arrays(arrays, schema=schema))
    return pa.Table.from_batches(batches, schema=schema)


def _arrow_type(kind: str) -> pa.DataType:
    if kind in _INTEGERS:
        return pa.int64()
    if kind in _FLOATS:
        return pa.float64()
    return pa.bool_() if kind == "bool" else pa.string()
