"""A real Ray cluster on this machine: the same bytes as one process, whoever is lost on the way."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from bucket import bucket_at, serve, settings
from crews import Fresco, load
from painter import Painter, contents, write_roads
from test_synthesis import options

from rsaug.engines.ray import RayEngine, _check_reachable
from rsaug.errors import InputError, OutputError
from rsaug.progress import RunReport
from rsaug.requests import TileGenerator
from rsaug.synthesis import make_plan, run

ray = pytest.importorskip("ray", reason="Ray is not installed")

IMAGES = "[icm]*/*.tif"


@pytest.fixture(scope="module")
def port() -> int:
    """Where a store will be; the machines of the cluster know it from the start."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


@pytest.fixture(scope="module")
def cluster(port: int) -> Iterator[Any]:
    known = {"PYTHONPATH": str(Path(__file__).parent), **settings(f"http://127.0.0.1:{port}")}
    ray.init(
        num_cpus=4,
        include_dashboard=False,
        log_to_driver=False,
        configure_logging=False,
        runtime_env={"env_vars": known},
        _system_config={"health_check_period_ms": 1000},
    )
    yield ray
    ray.shutdown()


@pytest.fixture
def roads(tmp_path: Path) -> Path:
    return write_roads(tmp_path / "streets.gpkg")


def make(
    roads: Path,
    out: Path,
    actors: int | None,
    model: str = "default",
    generator: TileGenerator | None = None,
    **more: Any,
) -> RunReport:
    asked = replace(options(roads, out, **more), model=model)
    engine = RayEngine(load, actors=actors) if actors else None
    return run(make_plan(asked), generator or Painter(), engine=engine)


@pytest.mark.parametrize("actors", [1, 2, 4])
def test_the_same_bytes_as_in_one_process(
    cluster: Any, roads: Path, tmp_path: Path, actors: int
) -> None:
    make(roads, tmp_path / "one", None, variants=2)
    report = make(roads, tmp_path / "many", actors, variants=2)
    assert (report.progress.made, report.progress.total) == (24, 24)
    one, many = (contents(tmp_path / name, IMAGES) for name in ("one", "many"))
    assert many == one
    again = make(roads, tmp_path / "many", actors, variants=2)
    assert again.progress.kept == 24


def test_a_cluster_works_on_a_bucket(
    cluster: Any, port: int, roads: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RSAUG_CACHE", str(tmp_path / "cache"))
    with serve(port) as address, bucket_at(address, monkeypatch) as bucket:
        far = bucket.put(roads)
        for out, actors in {"one": None, "many": 2}.items():
            asked = replace(options(roads, tmp_path, limit=4), roads=far, out=bucket.address(out))
            engine = RayEngine(load, actors=actors) if actors else None
            assert run(make_plan(asked), Painter(), engine=engine).progress.made == 4
        assert bucket.contents("many", ".tif") == bucket.contents("one", ".tif")


def test_a_field_is_given_out_in_blocks(cluster: Any, roads: Path, tmp_path: Path) -> None:
    make(roads, tmp_path / "one", None, "fresco", Fresco())
    make(roads, tmp_path / "many", 2, "fresco", Fresco())
    assert contents(tmp_path / "many", IMAGES) == contents(tmp_path / "one", IMAGES)


def test_a_lost_actor_is_replaced_and_nothing_is_lost(
    cluster: Any, roads: Path, tmp_path: Path
) -> None:
    names = [tile.name for tile in make_plan(options(roads, tmp_path / "x")).tiles]
    marks = tmp_path / "marks"
    marks.mkdir()
    model = f"mortal:{marks},1,{names[1]},{names[6]}"
    report = make(roads, tmp_path / "many", 2, model)
    assert len(list(marks.iterdir())) == 2
    # What the lost had written before they went is found complete.
    assert report.progress.done == 12
    assert not report.failed
    make(roads, tmp_path / "one", None)
    assert contents(tmp_path / "many", IMAGES) == contents(tmp_path / "one", IMAGES)


def test_a_tile_that_kills_whoever_makes_it_is_put_aside(
    cluster: Any, roads: Path, tmp_path: Path
) -> None:
    names = [tile.name for tile in make_plan(options(roads, tmp_path / "x")).tiles]
    marks = tmp_path / "marks"
    marks.mkdir()
    report = make(roads, tmp_path / "many", 2, f"mortal:{marks},99,{names[5]}")
    assert [*report.failed] == [names[5]]
    assert report.progress.done == 11
    assert (tmp_path / f"many/quarantine/{names[5]}.json").exists()


def test_errors_of_an_actor_are_those_of_the_run(cluster: Any, roads: Path, tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="no space is left"):
        make(roads, tmp_path / "broke", 2, "broke")
    with pytest.raises(InputError, match=r"differs in grey, weights_sha256; install the same"):
        make(roads, tmp_path / "grey", 2, "grey")


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("127.0.0.1:1", r"no Ray cluster at 127\.0\.0\.1:1"),
        ("ray://127.0.0.1:1", r"no Ray cluster at ray://127\.0\.0\.1:1"),
        ("somewhere", "no address of a Ray cluster"),
    ],
)
def test_there_must_be_a_cluster_at_the_address(address: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        _check_reachable(address)
