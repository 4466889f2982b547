"""Live OpenStreetMap, from a server on this machine that answers as Overpass and Nominatim do."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import shapely

from rsaug.errors import InputError
from rsaug.sources import open_source
from rsaug.sources.openstreetmap import ATTRIBUTION, OpenStreetMapSource, cache_folder

osmnx = pytest.importorskip("osmnx", reason="osmnx, of the extra osm, is not installed")

PLACE = (24.9, 60.1, 25.0, 60.2)
TOWN = "osm:24.9,60.1,25.0,60.2"
CORNERS = {1: (24.91, 60.11), 2: (24.93, 60.11), 3: (24.93, 60.13), 4: (24.91, 60.13)}
INNER = {5: (24.915, 60.115), 6: (24.92, 60.115), 7: (24.92, 60.12), 8: (24.95, 60.15)}
NODES = [
    {"type": "node", "id": number, "lon": lon, "lat": lat}
    for number, (lon, lat) in (CORNERS | INNER).items()
]
NODES[7]["tags"] = {"highway": "bus_stop"}
TOWN_ELEMENTS: list[dict[str, Any]] = [
    *NODES,
    {"type": "way", "id": 10, "nodes": [1, 3], "tags": {"highway": "primary", "lanes": "2"}},
    {"type": "way", "id": 11, "nodes": [3, 8], "tags": {"highway": "service", "tunnel": "yes"}},
    {"type": "way", "id": 12, "nodes": [1, 2, 3, 4, 1]},
    {"type": "way", "id": 13, "nodes": [5, 6, 7, 5], "tags": {"natural": "water"}},
    {
        "type": "way",
        "id": 14,
        "nodes": [1, 2, 3, 1],
        "tags": {"highway": "primary", "junction": "roundabout"},
    },
    {
        "type": "relation",
        "id": 20,
        "members": [
            {"type": "way", "ref": 12, "role": "outer"},
            {"type": "way", "ref": 13, "role": "inner"},
        ],
        "tags": {"type": "multipolygon", "landuse": "forest"},
    },
]


class Answers(BaseHTTPRequestHandler):
    """What the server says; the first of `queue` while there is one, else the town."""

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing on the terminal."""

    def do_GET(self) -> None:
        """Answer as Nominatim does."""
        asked = parse_qs(urlsplit(self.path).query)["q"][0]
        outline = shapely.box(*PLACE)
        found = {
            "place_id": 1,
            "osm_type": "relation",
            "osm_id": 5,
            "lat": "60.15",
            "lon": "24.95",
            "display_name": asked,
            "class": "boundary",
            "type": "administrative",
            "place_rank": 1,
            "importance": 1,
            "addresstype": "city",
            "name": asked,
            "boundingbox": ["60.1", "60.2", "24.9", "25.0"],
            "geojson": shapely.geometry.mapping(outline),
        }
        if asked == "Point Nemo":
            found["geojson"] = {"type": "Point", "coordinates": [24.95, 60.15]}
        self.say(200, [] if asked == "Atlantis" else [found])

    def do_POST(self) -> None:
        """Answer as Overpass does."""
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        self.server.asked.append(parse_qs(body)["data"][0])  # type: ignore[attr-defined]
        queue = self.server.queue  # type: ignore[attr-defined]
        if queue:
            self.say(*queue.pop(0))
        else:
            self.say(200, {"version": 0.6, "elements": TOWN_ELEMENTS})

    def say(self, status: int, answer: object, **headers: str) -> None:
        """Send an answer."""
        content = answer.encode() if isinstance(answer, str) else json.dumps(answer).encode()
        self.send_response(status)
        if status == 429:
            self.send_header("Retry-After", "0")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)


class Server(ThreadingHTTPServer):
    """A server that remembers what it was asked, and says what it is told to."""

    asked: list[str]
    queue: list[tuple[int, object]]


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """The server, in place of the public ones; answers are kept in a folder of the test's own."""
    server = Server(("127.0.0.1", 0), Answers)
    server.asked, server.queue = [], []
    thread = Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    address = f"http://127.0.0.1:{server.server_address[1]}"
    monkeypatch.setenv("RSAUG_OVERPASS_URL", f"{address}/api")
    monkeypatch.setenv("RSAUG_NOMINATIM_URL", address)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


def test_lines_are_the_roads(server: Server, tmp_path: Path) -> None:
    source = open_source("osm", kind="lines", area=PLACE)
    assert isinstance(source, OpenStreetMapSource)
    assert source.attribution == ATTRIBUTION
    assert server.asked == []
    roads = source.read()
    assert roads["osm_id"].tolist() == ["way/10", "way/11", "way/14"]
    assert roads.geom_type.tolist() == ["LineString"] * 3
    assert roads["highway"].tolist() == ["primary", "service", "primary"]
    assert roads["lanes"].fillna("").tolist() == ["2", "", ""]
    assert {"width", "layer", "oneway"} <= set(roads.columns)
    assert "['highway']" in server.asked[0]
    # Nothing but the cache was written, and that not into the working directory.
    assert cache_folder() == tmp_path / "cache" / "rsaug" / "openstreetmap"
    assert [path.name for path in tmp_path.iterdir()] == ["cache"]


def test_areas_with_holes_and_buildings(server: Server) -> None:
    areas = open_source(TOWN, kind="areas").read()
    assert areas["osm_id"].tolist() == ["relation/20", "way/13"]
    forest = areas[areas["landuse"] == "forest"].geometry.iloc[0]
    assert len(forest.interiors if forest.geom_type == "Polygon" else ()) == 1
    assert "['landuse']" in server.asked[0]
    open_source(f"{TOWN}|layername=buildings").read()
    assert "['building']" in server.asked[1]
    assert "landuse" not in server.asked[1]
    with pytest.raises(InputError, match="has no layer 'rails'; it has"):
        open_source(f"{TOWN}|layername=rails")


def test_windows_are_cut_from_what_was_read(server: Server) -> None:
    source = open_source(TOWN, kind="lines")
    whole = source.read()
    part = source.read((24.94, 60.14, 24.96, 60.16))
    assert part["osm_id"].tolist() == ["way/11"]
    assert part.dtypes.to_dict() == whole.dtypes.to_dict()
    assert source.read((0, 0, 1, 1)).dtypes.to_dict() == whole.dtypes.to_dict()
    assert len(server.asked) == 1
    # Kept on the disk as well.
    again = open_source(TOWN, kind="lines").read()
    assert again["osm_id"].tolist() == whole["osm_id"].tolist()
    assert len(server.asked) == 1


def test_osm_alone_asks_for_what_lies_outside(server: Server) -> None:
    source = open_source("osm", kind="lines", area=(24.905, 60.105, 24.94, 60.14))
    source.read((24.91, 60.11, 24.93, 60.13))
    source.read(PLACE)
    assert len(server.asked) == 2


def test_place_by_name(server: Server) -> None:
    roads = open_source("osm:Helsinki, Finland", kind="lines").read()
    assert len(roads) == 3
    with pytest.raises(InputError, match="knows no place 'Atlantis'"):
        open_source("osm:Atlantis").read()
    with pytest.raises(InputError, match="'Point Nemo' as a point without an outline"):
        open_source("osm:Point Nemo").read()


def test_box_across_the_antimeridian_is_asked_for_in_two(server: Server) -> None:
    server.queue = [(200, {"elements": []})] * 2
    found = open_source("osm", area=(179.9, -17, -179.9, -16)).read()
    assert len(found) == 0
    assert "highway" in found.columns
    assert len(server.asked) == 2


def test_settings_of_others_are_left_as_they_were(server: Server) -> None:
    before = {name: getattr(osmnx.settings, name) for name in vars(osmnx.settings)}
    resolver = socket.getaddrinfo
    open_source(TOWN).read()
    assert {name: getattr(osmnx.settings, name) for name in vars(osmnx.settings)} == before
    assert socket.getaddrinfo is resolver


def test_busy_server_is_asked_again_but_not_for_ever(server: Server) -> None:
    busy: tuple[int, object] = (429, "rate limited")
    server.queue = [busy]
    assert len(open_source(TOWN).read()) == 3
    server.queue = [busy] * 10
    with pytest.raises(InputError, match=r"is busy or limits .*\(status 429\); try again later"):
        open_source(f"{TOWN}5").read()
    assert len(server.queue) == 7


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        ((400, "bad query"), "answered with status 400"),
        ((500, {}), "answered with status 500"),
        ((200, "<html>"), "something other than JSON"),
        (
            (200, {"elements": [], "remark": "runtime error: Query timed out after 180 seconds"}),
            r"broke the query off \(runtime error: Query timed out .*; ask for a smaller area",
        ),
    ],
)
def test_answers_that_are_none(server: Server, answer: tuple[int, object], message: str) -> None:
    server.queue = [answer]
    with pytest.raises(InputError, match=message):
        open_source(TOWN).read()
    # What was broken off is not taken for the answer the next time.
    assert len(open_source(TOWN).read()) == 3


def test_no_network(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        monkeypatch.setenv("RSAUG_OVERPASS_URL", f"http://127.0.0.1:{closed.getsockname()[1]}/api")
        with pytest.raises(InputError, match="the server is not reached; check the network"):
            open_source(TOWN).read()


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("osm", "needs a place: give an area of interest"),
        ("osm:", "needs a place"),
        ("osm:0,90,10,80", "is no box in degrees"),
        ("osm:0,10,400,20", "is no box in degrees"),
    ],
)
def test_place_that_is_none(spec: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        open_source(spec)
