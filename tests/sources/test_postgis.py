"""PostGIS: a real server, what it is asked, and what it is never asked."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import quote

import numpy as np
import pytest
import shapely

from rsaug.conditioning import make_conditions_plan, write_conditions
from rsaug.errors import InputError
from rsaug.options import ConditionsOptions
from rsaug.record import read_record_of
from rsaug.sources import open_source
from rsaug.sources.postgis import PostgisSource
from rsaug.vectors import read_vectors

psycopg = pytest.importorskip("psycopg", reason="psycopg, of the extra postgis, is not installed")

SECRET = "s3cret"
WINDOW = (25.5, 60.5, 25.6, 60.6)


class Server(Protocol):
    """What the fixture gives; see conftest.py."""

    port: int
    admin: str

    def spec(self, query: str, *, user: str = ..., password: str | None = ...) -> str:
        """The address of a layer."""

    def run(self, statement: str, values: list[Any] | None = None) -> None:
        """Run a statement as the owner."""


@pytest.fixture(scope="module")
def server(postgis: Server) -> Server:
    """The server with a grid of 100 x 100 short roads a hundredth of a degree apart."""
    postgis.run("CREATE SCHEMA town; GRANT USAGE ON SCHEMA town TO reader")
    postgis.run("ALTER DEFAULT PRIVILEGES IN SCHEMA town GRANT SELECT ON TABLES TO reader")
    postgis.run(
        "CREATE TABLE town.roads (id int PRIMARY KEY, highway text, lanes smallint, width numeric, "
        "lit boolean, tags hstore, built date, geom geometry(LineString, 4326))"
    )
    postgis.run(
        "INSERT INTO town.roads SELECT x * 100 + y, CASE WHEN x % 2 = 0 THEN 'primary' END, "
        'CASE WHEN y % 2 = 0 THEN 2 END, 7.5, true, \'layer=>1, surface=>"as\\"phalt"\', '
        "'2020-01-01', ST_SetSRID(ST_MakeLine(ST_Point(25 + x / 100.0, 60 + y / 100.0), "
        "ST_Point(25.001 + x / 100.0, 60.001 + y / 100.0)), 4326) "
        "FROM generate_series(0, 99) x, generate_series(0, 99) y ORDER BY random()"
    )
    postgis.run("CREATE INDEX ON town.roads USING gist (geom); ANALYZE town.roads")
    return postgis


def expected_in(window: tuple[float, float, float, float]) -> list[int]:
    """Numbers of the roads whose box meets a window."""
    x, y = np.meshgrid(np.arange(100), np.arange(100), indexing="ij")
    left, bottom = 25 + x.ravel() / 100, 60 + y.ravel() / 100
    boxes = shapely.box(left, bottom, left + 0.001, bottom + 0.001)
    found = np.flatnonzero(shapely.intersects(boxes, shapely.box(*window)))
    return [int(number) for number in found]


def test_window_gives_what_meets_it_in_the_order_of_the_key(server: Server) -> None:
    source = open_source(server.spec("table=town.roads"))
    assert source.windowed
    found = source.read(WINDOW)
    assert found.index.tolist() == found["id"].tolist() == expected_in(WINDOW)
    assert found.crs.to_epsg() == 4326
    row = found.loc[5050]
    assert (row["highway"], row["lanes"], row["width"], row["lit"]) == ("primary", 2, 7.5, True)
    assert (row["layer"], row["surface"], row["built"]) == ("1", 'as"phalt', "2020-01-01")
    assert "tags" not in found
    assert shapely.equals_exact(
        row["geometry"], shapely.LineString([(25.5, 60.5), (25.501, 60.501)]), 1e-9
    )


def test_columns_do_not_depend_on_the_window(server: Server) -> None:
    source = open_source(server.spec("table=town.roads"))
    everything, nothing = source.read(), source.read((0, 0, 1, 1))
    assert (len(everything), len(nothing)) == (10_000, 0)
    assert everything.dtypes.to_dict() == source.read(WINDOW).dtypes.to_dict()
    assert everything.dtypes.to_dict() == nothing.dtypes.to_dict()
    with pytest.raises(InputError, match="has no feature within the area asked for"):
        read_vectors(server.spec("table=town.roads"), bounds=(0, 0, 1, 1))


def test_layer_in_metres_and_by_query(server: Server) -> None:
    server.run(
        "CREATE TABLE town.utm AS SELECT id, ST_Transform(geom, 32635) AS shape FROM town.roads"
    )
    table = open_source(server.spec("table=town.utm"))
    query = open_source(
        server.spec("sql=" + quote("SELECT id, shape FROM town.utm WHERE id % 2 = 0 -- even;"))
    )
    assert table.crs.to_epsg() == query.crs.to_epsg() == 32635
    inside = set(expected_in(WINDOW))
    found = set(table.read(WINDOW)["id"])
    # The box in metres around a box in degrees is a little larger than it.
    assert inside <= found
    assert len(found) < 1.5 * len(inside)
    assert set(query.read(WINDOW)["id"]) == {number for number in found if number % 2 == 0}


def test_server_finds_the_window_by_its_index(server: Server) -> None:
    source = PostgisSource(server.spec("table=town.roads"))
    for spec in ("table=town.roads", "sql=" + quote("SELECT * FROM town.roads")):
        source = PostgisSource(server.spec(spec))
        statement, values = source.query(WINDOW)
        with psycopg.connect(server.admin) as connection:
            rows = connection.execute(
                psycopg.sql.SQL("EXPLAIN (ANALYZE) ") + statement, values
            ).fetchall()
        plan = "\n".join(row[0] for row in rows)
        assert "roads_geom_idx" in plan
        assert f"rows={len(expected_in(WINDOW))} " in plan


def test_window_across_the_antimeridian(server: Server) -> None:
    server.run("CREATE TABLE town.fiji (name text, geom geometry(Point, 4326))")
    server.run(
        "INSERT INTO town.fiji VALUES ('west', 'SRID=4326;POINT(179.5 -17)'), "
        "('east', 'SRID=4326;POINT(-179.5 -17)'), ('far', 'SRID=4326;POINT(0 -17)')"
    )
    found = open_source(server.spec("table=town.fiji")).read((179, -18, -179, -16))
    assert sorted(found["name"]) == ["east", "west"]


def test_info_says_what_the_catalogue_knows(server: Server) -> None:
    info = open_source(server.spec("table=town.roads")).info()
    assert (info.format, info.layer, info.windowed) == ("PostGIS", "town.roads", True)
    assert "town.roads" in info.layers
    assert info.geometry_types == ("LINESTRING",)
    assert info.count == 10_000
    assert info.bounds is not None
    np.testing.assert_allclose(info.bounds, (25, 60, 25.991, 60.991), atol=0.05)
    assert info.fields["highway"] == "text"


def test_jsonb_tags_curves_and_nothing(server: Server) -> None:
    server.run("CREATE TABLE town.ways (tags jsonb, note text, geom geometry(Geometry, 4326))")
    server.run(
        'INSERT INTO town.ways VALUES (\'{"highway": "service", "lanes": 2}\', \'ä\', '
        "'SRID=4326;CIRCULARSTRING(25 60, 25.1 60.1, 25.2 60)'), (NULL, NULL, NULL)"
    )
    found = open_source(server.spec("table=town.ways")).read()
    assert found["highway"].fillna("").tolist() == ["service", ""]
    assert found["lanes"].fillna("").tolist() == ["2", ""]
    assert found["note"].fillna("").tolist() == ["ä", ""]
    assert found.geometry[0].geom_type == "LineString"
    assert found.geometry[1] is None


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("table=town.rails", "there is no table 'town.rails'"),
        ("table=roads", "there is no table 'roads'; name it as schema.table"),
        ("table=town.roads&geometry=shape", r"no geometry column 'shape'; it has \['geom'\]"),
        ("table=public.spatial_ref_sys", "has no geometry column"),
        ("", "has to name either a table or a query"),
        ("sql=SELECT+nothing", 'column "nothing" does not exist'),
        ("sql=SELEC", "cannot be read"),
        ("table=town.unplaced", "has no CRS"),
        ("table=town.roads&nonsense=1", "address of the database is malformed"),
    ],
)
def test_what_is_not_there_is_told_without_the_password(
    server: Server, query: str, message: str
) -> None:
    server.run("CREATE TABLE IF NOT EXISTS town.unplaced (geom geometry)")
    server.run("INSERT INTO town.unplaced VALUES ('POINT(1 2)')")
    with pytest.raises(InputError, match=message) as caught:
        open_source(server.spec(query)).read()
    assert SECRET not in str(caught.value)


def test_password_is_never_told(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    source = open_source(server.spec("table=town.roads"))
    assert SECRET not in source.spec
    assert source.spec.endswith(f"//reader@127.0.0.1:{server.port}/gis?table=town.roads")
    for spec in (
        server.spec("table=town.roads", password="wrong-s3cret"),
        server.spec("table=town.roads&password=wrong-s3cret", password=None),
        server.spec("table=town.roads", password=None),
        f"postgresql://reader:s3cret@x/y@127.0.0.1:{server.port}/gis?table=town.roads",
        f"postgresql://reader:s3cret[@127.0.0.1:{server.port}/gis?table=town.roads",
    ):
        with pytest.raises(InputError) as caught:
            open_source(spec)
        assert SECRET not in str(caught.value)
        assert "\n" not in str(caught.value)
    monkeypatch.setenv("PGPASSWORD", "s3cret@/?pa ss")
    assert len(open_source(server.spec("table=town.roads", password=None)).read(WINDOW))


def test_server_that_is_down(server: Server) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
        with pytest.raises(InputError, match="is not reached") as caught:
            open_source(f"postgresql://reader:s3cret@127.0.0.1:{port}/gis?table=roads")
    assert SECRET not in str(caught.value)


def test_database_without_postgis(server: Server) -> None:
    with pytest.raises(InputError, match="without the extension PostGIS"):
        open_source(server.spec("table=roads").replace("/gis?", "/plain?"))


@pytest.mark.parametrize(
    "name",
    [
        'roads"; DROP TABLE town.precious; --',
        "town.roads; DROP TABLE town.precious",
        "town.precious) AS x; DELETE FROM town.precious; --",
        "'; DROP TABLE town.precious; --",
        "%s",
    ],
)
def test_names_are_names_only(server: Server, name: str) -> None:
    server.run("CREATE TABLE IF NOT EXISTS town.precious (id int, geom geometry(Point, 4326))")
    server.run("GRANT ALL ON town.precious TO reader")
    with pytest.raises(InputError, match="there is no table"):
        open_source(server.spec("table=" + quote(name)))
    with pytest.raises(InputError, match="no geometry column"):
        open_source(server.spec("table=town.precious&geometry=" + quote(name)))
    server.run("SELECT * FROM town.precious")


@pytest.mark.parametrize(
    "statement",
    [
        "DROP TABLE town.writable",
        "DELETE FROM town.writable RETURNING *",
        "SELECT 1; DROP TABLE town.writable",
        "SELECT 1) AS x; COMMIT; DROP TABLE town.writable; SELECT * FROM (SELECT 1",
        "WITH gone AS (DELETE FROM town.writable RETURNING *) SELECT * FROM gone",
        "SELECT * INTO town.copy FROM town.writable",
        "SELECT town.wipe() AS n, geom FROM town.writable",
    ],
)
def test_queries_that_write_are_refused(server: Server, statement: str) -> None:
    server.run(
        "CREATE TABLE IF NOT EXISTS town.writable AS "
        "SELECT 1 AS id, 'SRID=4326;POINT(25 60)'::geometry(Point, 4326) AS geom"
    )
    server.run(
        "CREATE OR REPLACE FUNCTION town.wipe() RETURNS int LANGUAGE sql AS "
        "'DELETE FROM town.writable RETURNING id'"
    )
    server.run("ALTER TABLE town.writable OWNER TO reader; GRANT ALL ON SCHEMA town TO reader")
    with pytest.raises(InputError, match=r"cannot be read|would write|no feature"):
        open_source(server.spec("sql=" + quote(statement))).read()
    assert len(open_source(server.spec("table=town.writable")).read()) == 1


def test_query_with_signs_of_formatting(server: Server) -> None:
    query = "SELECT id, '{}%s'::text AS note, geom FROM town.roads WHERE highway LIKE 'prim%'"
    source = open_source(server.spec("sql=" + quote(query)))
    assert set(source.read(WINDOW)["note"]) == set(source.read()["note"]) == {"{}%s"}


def test_many_geometry_columns_have_to_be_named(server: Server) -> None:
    server.run(
        "CREATE TABLE town.two AS SELECT id, geom, ST_Transform(geom, 3857) AS web, "
        "geom::geography AS ball FROM town.roads LIMIT 3"
    )
    with pytest.raises(InputError, match=r"several geometry columns, \['geom', 'web'\]"):
        open_source(server.spec("table=town.two"))
    found = open_source(server.spec("table=town.two&geometry=web")).read()
    assert found.crs.to_epsg() == 3857
    assert set(found.columns) == {"id", "geometry"}


def test_no_file_of_a_run_holds_the_password(server: Server, tmp_path: Path) -> None:
    spec = server.spec("table=town.roads")
    assert SECRET in spec
    plan = make_conditions_plan(
        ConditionsOptions(roads=spec, gsd=2.0, limit=2, out=str(tmp_path / "out"))
    )
    report = write_conditions(plan)
    assert report.progress.made == 2
    for path in (tmp_path / "out").rglob("*"):
        assert not path.is_file() or SECRET.encode() not in path.read_bytes(), path
    recorded = read_record_of(ConditionsOptions, tmp_path / "out/run.json").options
    assert recorded.roads is not None
    assert "table=town.roads" in recorded.roads
