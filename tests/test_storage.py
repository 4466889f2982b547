"""Runs in a bucket of a real server: the same files as in a folder, resumed, read and checked."""

from __future__ import annotations

import functools
import http.server
import logging
import socket
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import geopandas as gpd
import pytest
from bucket import Bucket, bucket_at, connected, serve
from painter import Painter, contents, write_roads
from test_synthesis import make, options
from toy import toy_pipeline
from typer.testing import CliRunner

from rsaug.cli import app
from rsaug.conditioning import make_conditions_plan, write_conditions
from rsaug.errors import InputError, OutputError
from rsaug.estimate import estimate
from rsaug.folder import RunFolder
from rsaug.options import ConditionsOptions, SynthOptions
from rsaug.record import read_record
from rsaug.status import read_status
from rsaug.storage import entries, is_remote, place, read, size_of
from rsaug.synthesis import make_plan
from rsaug.verification import verify


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    with serve() as address:
        yield address


@pytest.fixture
def bucket(
    server: str, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> Iterator[Bucket]:
    name = "b" + "".join(c if c.isalnum() else "-" for c in request.node.name.lower())[:50] + "e"
    with bucket_at(server, monkeypatch, name) as bucket:
        yield bucket


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("RSAUG_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def model(tmp_path: Path) -> Path:
    toy_pipeline().save_pretrained(tmp_path / "toy")
    return tmp_path / "toy"


@pytest.fixture
def roads(tmp_path: Path) -> Path:
    return write_roads(tmp_path / "streets.gpkg", rows=1, cols=3)


def asked(roads: Path | str, out: str, **more: Any) -> SynthOptions:
    return replace(options(Path("x"), Path("y"), **more), roads=str(roads), out=out)


def test_a_run_in_a_bucket_has_the_bytes_of_one_in_a_folder(
    bucket: Bucket, roads: Path, tmp_path: Path
) -> None:
    make(options(roads, tmp_path / "here", variants=2, mosaic=True))
    report = make(asked(roads, bucket.address("far"), variants=2, mosaic=True))
    assert report.progress.made == 6
    here = contents(tmp_path / "here", "**/*.tif")
    assert bucket.contents("far", ".tif") == here
    assert {"images", "masks", "mosaic.tif"} <= {name.split("/")[0] for name in here}
    items = bucket.contents("far/items")
    assert {*items} == {*contents(tmp_path / "here" / "items")}
    again = make(asked(roads, bucket.address("far"), variants=2, mosaic=True))
    assert (again.progress.kept, again.progress.made) == (6, 0)
    assert bucket.contents("far", ".tif") == here


def test_what_is_missing_or_broken_is_made_again(
    bucket: Bucket, roads: Path, tmp_path: Path
) -> None:
    asked_for = asked(roads, bucket.address("run"))
    make(asked_for)
    before = bucket.contents("run", ".tif")
    first, second, third = sorted(name for name in before if name.startswith("images/"))[:3]
    bucket.fs.rm_file(bucket.address(f"run/{first}"))
    bucket.fs.pipe_file(bucket.address(f"run/{second}"), before[second][:-1])
    bucket.fs.rm_file(bucket.address(f"run/items/{Path(third).stem}.json"))
    painter = Painter()
    report = make(asked_for, painter)
    assert (report.progress.made, report.progress.kept) == (2, 1)
    assert sorted(painter.painted) == sorted(Path(name).stem for name in (first, second))
    assert bucket.contents("run", ".tif") == before


def test_a_run_in_a_bucket_is_told_of_and_checked(
    bucket: Bucket, roads: Path, tmp_path: Path
) -> None:
    out = bucket.address("run")
    make(asked(roads, out))
    status = read_status(place(out), 0.0)
    assert (status.images, status.complete, status.broken) == (3, 3, ())
    assert status.bytes == sum(map(len, bucket.contents("run").values()))
    found = verify(place(out), 2, lambda options: Painter())
    assert (found.images, found.remade, found.findings) == (3, 2, ())
    plan = make_plan(asked(roads, out))
    assert estimate(plan, Painter()).present == 3

    item = min(bucket.contents("run/images")).removesuffix(".tif")
    address = bucket.address(f"run/images/{item}.tif")
    altered = bytearray(bucket.fs.cat_file(address))
    altered[-100] ^= 1
    bucket.fs.pipe_file(address, bytes(altered))
    bucket.fs.rm_file(bucket.address(f"run/masks/{item}.tif"))
    said = [finding.problem for finding in verify(place(out)).findings if finding.item == item]
    assert len(said) == 2
    assert "image: was altered" in said[0]
    assert "mask: is missing" in said[1]
    assert read_status(place(out), 0.0).broken == (item,)


def test_a_record_in_a_bucket_runs_again(bucket: Bucket, roads: Path, tmp_path: Path) -> None:
    out = bucket.address("run")
    make(asked(bucket.put(roads), out))
    record = read_record(f"{out}/run.json")
    assert (record.options.roads, record.options.out) == (bucket.address("streets.gpkg"), out)
    report = make(replace(record.options, out=str(tmp_path / "again")))
    assert report.progress.made == 3
    again = contents(tmp_path / "again", "images/*.tif")
    assert bucket.contents("run", ".tif").items() >= again.items()
    # A record here names what is far by its address, and what is here as seen from its folder.
    record = read_record(tmp_path / "again" / "run.json")
    assert record.options.roads == bucket.address("streets.gpkg")
    assert record.options.folder.resolve() == tmp_path / "again"


def test_layers_in_a_bucket_are_fetched_once_and_when_they_change(
    bucket: Bucket, roads: Path, tmp_path: Path, cache: Path
) -> None:
    address = bucket.put(roads)
    named = f"{address}|layername=roads"
    plan = make_plan(asked(named, str(tmp_path / "out")))
    assert len(plan.tiles) == 3
    assert plan.options.roads == named
    (copy,) = cache.rglob("streets.gpkg")
    before = copy.stat().st_mtime_ns
    make_plan(asked(named, str(tmp_path / "out")))
    assert [path.stat().st_mtime_ns for path in cache.rglob("*.gpkg")] == [before]
    bucket.put(write_roads(tmp_path / "changed.gpkg", rows=1, cols=2), "streets.gpkg")
    changed = make_plan(asked(named, str(tmp_path / "out")))
    assert len(changed.tiles) == 2
    assert changed.inputs["roads"] != plan.inputs["roads"]
    assert not [*cache.rglob(".*")]


def test_the_files_of_a_shapefile_come_together(
    bucket: Bucket, roads: Path, tmp_path: Path
) -> None:
    gpd.read_file(roads).to_file(tmp_path / "lines.shp")
    for part in tmp_path.glob("lines.*"):
        bucket.put(part)
    plan = make_plan(asked(bucket.address("lines.shp"), str(tmp_path / "out")))
    assert len(plan.tiles) == 3


def test_conditions_go_to_a_bucket(bucket: Bucket, roads: Path, tmp_path: Path) -> None:
    for out in (str(tmp_path / "here"), bucket.address("far")):
        asked_for = ConditionsOptions(
            roads=str(roads),
            gsd=0.5,
            tile_size=128,
            controls="road,mlsd",
            channels="distance",
            out=out,
        )
        write_conditions(make_conditions_plan(asked_for))
    assert bucket.contents("far", ".tif") == contents(tmp_path / "here", "**/*.tif")


def test_what_is_not_there_is_told_in_one_sentence(
    bucket: Bucket, roads: Path, tmp_path: Path
) -> None:
    out = str(tmp_path / "out")
    with pytest.raises(InputError, match=r"s3://.*/none\.gpkg does not exist; check the address"):
        make_plan(asked(bucket.address("none.gpkg"), out))
    with pytest.raises(InputError, match="does not exist"):
        make_plan(asked("s3://no-such-bucket-at-all/roads.gpkg", out))
    bucket.put(roads, "layers/streets.gpkg")
    with pytest.raises(InputError, match="is a folder; name a file in it"):
        make_plan(asked(bucket.address("layers"), out))
    with pytest.raises(InputError, match=r"not empty and holds no run\.json"):
        make_plan(asked(roads, bucket.address("layers")))
    with pytest.raises(OutputError, match=r"could not be written .*bucket does not exist"):
        make(asked(roads, "s3://no-such-bucket-at-all/out"))
    for address in ("ftp://host/out", "https://host/out"):
        with pytest.raises(InputError, match=r"cannot be a folder of results"):
            make_plan(asked(roads, address))


def test_a_store_that_cannot_be_reached_is_told(
    monkeypatch: pytest.MonkeyPatch, roads: Path, tmp_path: Path
) -> None:
    pytest.importorskip("s3fs", reason="s3fs is not installed; it comes with rsaug[s3]")
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
        address = f"http://127.0.0.1:{nobody.getsockname()[1]}"
        with connected(address, monkeypatch):
            with pytest.raises(InputError, match=r"cannot be looked into .*Could not connect"):
                make_plan(asked(roads, "s3://tiles/run"))
            with pytest.raises(InputError, match=r"cannot be fetched .*Could not connect"):
                make_plan(asked("s3://tiles/roads.gpkg", str(tmp_path / "out")))


@pytest.mark.parametrize(
    ("text", "remote"),
    [
        ("s3://bucket/a", True),
        ("https://example.org/a", True),
        ("postgresql://host/db", False),
        ("osm:Helsinki", False),
        ("a/b.gpkg", False),
        ("C:\\a", False),
    ],
)
def test_addresses_are_told_from_paths(text: str, remote: bool) -> None:
    assert is_remote(text) == remote


def test_a_folder_here_and_a_folder_there_are_read_alike(bucket: Bucket, tmp_path: Path) -> None:
    for root in (tmp_path / "r", place(bucket.address("r"))):
        assert entries(root) == []
    (tmp_path / "r").mkdir()
    for name, content in {"b.json": b"22", "a.json": b"1", "c.tif": b""}.items():
        (tmp_path / "r" / name).write_bytes(content)
        bucket.fs.pipe_file(bucket.address(f"r/{name}"), content)
    for root in (tmp_path / "r", place(bucket.address("r"))):
        found = entries(root, ".json")
        assert [(entry.name, entry.size) for entry in found] == [("a.json", 1), ("b.json", 2)]
        assert all(entry.modified > 1e9 for entry in found)
        assert (read(root / "b.json"), read(root / "b.json", 1)) == (b"22", b"2")
        assert (read(root / "c.tif"), size_of(root / "b.json")) == (b"", 2)
        with pytest.raises(FileNotFoundError):
            read(root / "none")
        with pytest.raises(FileNotFoundError):
            size_of(root / "none")


@pytest.mark.parametrize("href", ["../../x.tif", "/etc/passwd", "s3://other/x.tif", "../.."])
def test_items_name_no_file_outside_of_their_run(href: str, tmp_path: Path) -> None:
    assert RunFolder(tmp_path).asset(href) is None
    (tmp_path / "link").symlink_to(tmp_path.parent)
    assert RunFolder(tmp_path).asset("../link/x.tif") is None
    assert RunFolder(tmp_path).asset("../images/x.tif") == tmp_path / "images" / "x.tif"


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


def test_layers_come_from_the_web(roads: Path, tmp_path: Path) -> None:
    pytest.importorskip("aiohttp", reason="aiohttp is not installed; it comes with rsaug[s3]")
    pytest.importorskip("upath", reason="universal-pathlib is not installed")
    handler = functools.partial(_Quiet, directory=str(tmp_path))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as web:
        threading.Thread(target=web.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{web.server_port}/streets.gpkg"
        plan = make_plan(asked(address, str(tmp_path / "out")))
        assert len(plan.tiles) == 3
        assert plan.options.roads == address
        assert plan.options.name == "streets-synth"
        with pytest.raises(InputError, match=r"none\.gpkg does not exist"):
            make_plan(asked(address.replace("streets", "none"), str(tmp_path / "out")))
        web.shutdown()
    with pytest.raises(InputError, match=r"cannot be fetched .*[Cc]onnect"):
        make_plan(asked(address, str(tmp_path / "out")))


def test_a_command_from_bucket_to_bucket(
    bucket: Bucket, roads: Path, model: Path, tmp_path: Path
) -> None:
    out = bucket.address("run")
    grid = ["--gsd", "0.5", "--tile-size", "64", "--steps", "2", "--limit", "2"]

    def rsaug(*words: str) -> str:
        result = CliRunner().invoke(app, [*words])
        assert result.exit_code == 0, result.output
        return result.stdout

    rsaug("synth", "--model", str(model), *grid, "--roads", bucket.put(roads), "--out", out)
    assert "2 of 2 images are complete" in rsaug("status", out)
    assert "1 made again; all as it should be" in rsaug("verify", out, "--reproduce", "1")
    before = bucket.contents("run", ".tif")
    bucket.fs.rm(bucket.address("run/images"), recursive=True)
    rsaug("synth", "--config", f"{out}/run.json")
    assert bucket.contents("run", ".tif") == before
