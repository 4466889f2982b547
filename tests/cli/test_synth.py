"""``rsaug synth`` on a model of toy size: what it makes, what it says, and how it refuses."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import geopandas as gpd
import pytest
from painter import contents, write_roads, write_wood
from shapely.geometry import Point, box
from typer.testing import CliRunner, Result
from uncounted import uncounted

from rsaug.cli import app
from rsaug.raster import read_rgb

SMALL = ["--gsd", "0.5", "--tile-size", "128", "--steps", "1"]
Command = Callable[..., Result]


@pytest.fixture
def synth(model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Command:
    """The command with the toy model, in an empty folder with ``town.gpkg``."""
    monkeypatch.chdir(tmp_path)
    write_roads(Path("town.gpkg"), rows=1, cols=3)

    def invoke(*options: str) -> Result:
        return CliRunner().invoke(app, ["synth", "--model", str(model), *SMALL, *options])

    return invoke


def test_roads_are_all_it_takes(synth: Command) -> None:
    result = synth("--roads", "town.gpkg")
    assert result.exit_code == 0, result.output
    assert len(contents(Path("town-synth/images"))) == 3
    lines = [line.split(maxsplit=1) for line in result.stdout.splitlines()]
    assert ["folder", "town-synth"] in [[word.strip() for word in line] for line in lines]
    for said in ("3 of 128 px at 0.5 m", "UTM zone 35N", "3 (3 made now)", "1 width tag"):
        assert said in result.stdout


def test_every_option_is_taken_and_recorded(synth: Command, tmp_path: Path) -> None:
    wood = write_wood(tmp_path / "wood.gpkg")
    first = synth("--roads", "town.gpkg", "--limit", "1", "--out", "style")
    assert first.exit_code == 0, first.output
    style = next(Path("style/images").iterdir())
    given: dict[str, object] = {
        "roads": "town.gpkg",
        "landcover": str(wood),
        "buildings": "wood.gpkg",
        "aoi": "20,55,30,65",
        "crs": "EPSG:3067",
        "control_strength": "road=1.2,seg=0.5",
        "control_interval": "seg=0-0.5",
        "prompt": "desert trees",
        "negative_prompt": "road",
        "style": str(style),
        "style_strength": 0.5,
        "date": "2018-06-01",
        "variants": 2,
        "guidance": 1.5,
        "control_guidance": 1.2,
        "guidance_interval": "0-0.8",
        "guidance_rescale": 0.3,
        "scheduler": "unipc",
        "reuse": 2,
        "grain": 0.5,
        "mosaic": True,
        "seed": 7,
        "device": "cpu",
        "dtype": "bfloat16",
        "out": "deep/results",
    }
    options = [
        text
        for name, value in given.items()
        for text in (f"--{name.replace('_', '-')}", str(value))
        if text != "True"
    ]
    result = synth(*options, "--control-region", f"seg={wood}", "--all")
    assert result.exit_code == 0, result.output
    recorded = json.loads(Path("deep/results/run.json").read_text())["options"]
    moved = {name: f"../../{Path(str(given[name])).name}" for name in ("landcover", "buildings")}
    moved |= {"roads": "../../town.gpkg", "style": f"../../{style.as_posix()}", "out": "."}
    small: dict[str, object] = {
        "gsd": 0.5,
        "tile_size": 128,
        "steps": 1,
        "limit": None,
        "all": True,
    }
    small |= {"tunnels": False, "controls": None, "parcels": None, "dem": None}
    small |= {"compile": False, "offload": None, "vae_tiling": False}
    small |= {"seamless": False, "overlap": None, "prompts": None}
    small |= {"dsm": None, "control_region": ["seg=../../wood.gpkg"]}
    small |= {"landcover_raster": None, "landcover_table": None, "reference": None}
    small |= {"road_rules": None, "height_range": "0,10"}
    small |= {"watermark": None, "sign": None, "sign_key": None, "timestamp_url": None}
    assert recorded.pop("model").endswith("/toy")
    assert recorded == given | moved | small
    item = json.loads(next(Path("deep/results/items").iterdir()).read_text())
    assert item["properties"]["datetime"] == "2018-06-01T00:00:00Z"
    # The toy was trained on roads alone, so land cover is neither given nor recorded.
    assert item["properties"]["rsaug:controls"] == ["road"]


def test_run_again_it_does_only_what_is_missing(synth: Command) -> None:
    synth("--roads", "town.gpkg")
    before = contents(Path("town-synth"))
    lost = next(Path("town-synth/images").iterdir())
    lost.unlink()
    result = synth("--roads", "town.gpkg")
    assert result.exit_code == 0
    assert "3 (1 made now, 2 were there)" in result.stdout
    assert contents(Path("town-synth")) == before
    result = synth("--roads", "town.gpkg", "--seed", "1", "--variants", "2", "--limit", "1")
    assert "recorded run: seed;" in result.stderr
    assert "2 images of other runs" in result.stdout


def test_a_recorded_run_gives_the_same_bytes(synth: Command) -> None:
    synth("--roads", "town.gpkg", "--variants", "2", "--limit", "2", "--prompt", "road")
    run = ["synth", "--config", "town-synth/run.json", "--out", "again"]
    result = CliRunner().invoke(app, run)
    assert result.exit_code == 0, result.output
    assert "note:" not in result.stderr
    one, other = contents(Path("town-synth")), contents(Path("again"))
    assert one == {**other, "run.json": one["run.json"]}
    # By itself it goes on in the folder that it lies in; options beside it go first.
    assert "(0 made now, 4 were" in CliRunner().invoke(app, run[:3]).stdout
    result = CliRunner().invoke(app, [*run[:3], "--all"])
    assert "6 (2 made now, 4 were" in result.stdout


def test_changed_inputs_of_a_recorded_run_are_told(synth: Command) -> None:
    synth("--roads", "town.gpkg")
    write_roads(Path("town.gpkg"), rows=1, cols=3, shift_m=5)
    run = ["synth", "--config", "town-synth/run.json", "--out", "again"]
    assert "since the recorded run: roads file;" in CliRunner().invoke(app, run).stderr


def test_what_the_model_cannot_follow_is_told(synth: Command) -> None:
    result = synth("--roads", "town.gpkg", "--limit", "1", "--prompt", "a volcano by the road")
    assert "volcano" in result.stderr


def test_a_control_holds_in_its_region(synth: Command) -> None:
    roads = gpd.read_file("town.gpkg").to_crs(3067)
    left, bottom, right, top = roads.total_bounds
    west = gpd.GeoSeries([box(left - 500, bottom - 500, (left + right) / 2, top + 500)], crs=3067)
    west.to_file("west.gpkg")
    given = ("--roads", "town.gpkg", "--control-region", "road=west.gpkg")
    result = synth(*given)
    assert result.exit_code == 0, result.output
    assert "need not have every road" in result.stderr
    plain = synth("--roads", "town.gpkg", "--out", "plain")
    assert plain.exit_code == 0
    assert "need not have" not in plain.stderr
    images = [sorted(Path(folder, "images").iterdir()) for folder in ("town-synth", "plain")]
    pairs = zip(*images, strict=True)
    assert any((read_rgb(one) != read_rgb(other)).any() for one, other in pairs)
    assert contents(Path("town-synth/masks")) == contents(Path("plain/masks"))
    assert "(0 made now, 3 were" in synth(*given).stdout
    west.translate(xoff=-400).to_file("west.gpkg")
    again = synth(*given)
    assert "since the recorded run: control region road file;" in again.stderr
    assert "(0 made now" not in again.stdout


@pytest.fixture
def bad_files(tmp_path: Path) -> None:
    """Files that are wrong in one way each."""
    roads = gpd.read_file(write_roads(tmp_path / "good.gpkg"))
    roads.to_file(tmp_path / "no_crs.shp")
    (tmp_path / "no_crs.prj").unlink()
    roads[:0].to_file(tmp_path / "empty.gpkg")
    gpd.GeoSeries([Point(24.9, 60.2)], crs=4326).to_file(tmp_path / "points.geojson")
    roads.assign(highway="footway").to_file(tmp_path / "paths.gpkg")
    (tmp_path / "broken.geojson").write_text('{"type": "FeatureCollection", "features": [')
    (tmp_path / "empty.geojson").touch()
    (tmp_path / "text.gpkg").write_text("hello")
    (tmp_path / "text.tif").write_text("hello")
    (tmp_path / "file").write_text("hello")


@pytest.mark.usefixtures("bad_files")
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("--roads none.geojson", "none.geojson does not exist"),
        ("--roads no_crs.shp", "has no CRS"),
        ("--roads empty.gpkg", "has no feature"),
        ("--roads points.geojson", "holds no line"),
        ("--roads paths.gpkg", "not a road (highway=footway)"),
        ("--roads broken.geojson", "cannot be read"),
        ("--roads text.gpkg", "cannot be read"),
        ("--roads empty.geojson", "the file is empty"),
        ("--roads good.gpkg --aoi 10,50,11,51", "within the area asked for, 9.97"),
        ("--roads good.gpkg --aoi 11,50,10,51", "west below east"),
        ("--roads good.gpkg --aoi none.gpkg", "none.gpkg does not exist"),
        ("--roads good.gpkg --landcover points.geojson", "no feature within the area"),
        ("--roads good.gpkg --gsd 0", "GSD must be a positive number"),
        ("--roads good.gpkg --gsd nan", "GSD must be a positive number"),
        ("--roads good.gpkg --tile-size 100", "multiple of 16"),
        ("--roads good.gpkg --tile-size 0", "tile size must be at least"),
        ("--roads good.gpkg --crs EPSG:4326", "geographic CRS"),
        ("--roads good.gpkg --crs nowhere", "not a known CRS"),
        ("--roads good.gpkg --date June", "write it as 2024-06-01"),
        ("--roads good.gpkg --variants 0", "at least 1, not 0"),
        ("--roads good.gpkg --limit 0", "at least 1 tile, not 0"),
        ("--roads good.gpkg --limit 3 --all", "exclude each other"),
        ("--roads good.gpkg --scheduler best", "No scheduler is called 'best'"),
        ("--roads good.gpkg --steps 0", "steps must be 1 to 1000"),
        ("--roads good.gpkg --guidance -1", "guidance scale must be"),
        ("--roads good.gpkg --control-guidance nan", "guidance scale of the controls must be"),
        ("--roads good.gpkg --guidance-rescale 2", "a share of 0 to 1"),
        ("--roads good.gpkg --guidance-interval 1", "interval is a part of 0 to 1"),
        ("--roads good.gpkg --control-strength road", "is not NAME=VALUE"),
        ("--roads good.gpkg --control-strength rivers=1", "No control is called 'rivers'"),
        ("--roads good.gpkg --control-strength seg=1", "add it to --controls"),
        ("--roads good.gpkg --control-strength road=0", "nothing draws roads"),
        ("--roads good.gpkg --control-region road=osm:Rome", "a region is a file"),
        ("--roads good.gpkg --control-region road=none.tif", "none.tif does not exist"),
        ("--roads good.gpkg --control-region road=points.geojson", "holds no area"),
        ("--roads good.gpkg --style none.tif", "none.tif"),
        ("--roads good.gpkg --style text.tif", "text.tif cannot be read"),
        ("--roads good.gpkg --reuse 0", "every 1, 2, ... steps, not every 0"),
        ("--roads good.gpkg --dtype int8", "No dtype is called 'int8'"),
        ("--roads good.gpkg --device cpu --offload model", "the device is the CPU"),
        ("--roads good.gpkg --device abacus", "'abacus' is not to be had"),
        ("--roads good.gpkg --model ./none", "no model folder ./none"),
        ("--roads good.gpkg --model .", "is no CRS-Diff model"),
        ("--roads good.gpkg --out file", "file is a file"),
        ("--roads good.gpkg --out .", "holds no run.json"),
        ("--config none.json", "none.json cannot be read"),
        ("", "No roads are given"),
    ],
)
def test_bad_input_ends_in_one_sentence(
    synth: Command, tmp_path: Path, options: str, message: str
) -> None:
    before = contents(tmp_path)
    result = synth(*options.split())
    assert result.exit_code == 2
    assert result.stdout == ""
    (sentence,) = result.stderr.splitlines()
    assert sentence.startswith("error: ")
    assert message in sentence
    assert contents(tmp_path) == before
    assert not Path("good-synth").exists()


def test_many_tiles_are_counted_first(synth: Command) -> None:
    write_roads(Path("long.gpkg"), rows=6, cols=100)
    result = synth("--roads", "long.gpkg")
    assert result.exit_code == 2
    (sentence,) = result.stderr.splitlines()
    assert sentence.startswith("error: 600 tiles hold a road, which takes about ")
    assert "--limit N" in sentence
    assert not Path("long-synth").exists()


def start(model: Path, folder: Path, *options: str, before: str = "") -> subprocess.Popen[str]:
    """The command as a process of its own; ``before`` is Python that runs first in it."""
    # A shell that runs the tests in the background has them ignore Ctrl-C.
    hear = "signal.signal(signal.SIGINT, signal.default_int_handler)"
    code = f"import signal, sys\n{hear}\n{before}\nfrom rsaug.cli import main\nmain()"
    command = [sys.executable, "-c", code, "synth", "--model", str(model), *SMALL, *options]
    environment = {**(uncounted() if before else os.environ), "COLUMNS": "200"}
    return subprocess.Popen(command, cwd=folder, env=environment, stdout=-1, stderr=-1, text=True)


def test_as_a_process_of_its_own(model: Path, tmp_path: Path) -> None:
    write_roads(tmp_path / "town.gpkg", rows=1, cols=1)
    process = start(model, tmp_path, "--roads", "town.gpkg")
    out, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    assert "1 (1 made now)" in out
    assert "Warning" not in err


def test_interrupted_it_says_how_to_go_on(model: Path, tmp_path: Path) -> None:
    write_roads(tmp_path / "town.gpkg", rows=1, cols=40)
    images = tmp_path / "town-synth/images"
    process = start(model, tmp_path, "--roads", "town.gpkg", "--steps", "20")
    while process.poll() is None and not (images.exists() and any(images.glob("r*.tif"))):
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=300)
    assert (process.returncode, out) == (130, "")
    assert "note: Stopped. " in err
    assert " of 40 images are complete; the same command goes on from there." in err
    assert "Traceback" not in err
    items = {path.stem for path in (tmp_path / "town-synth/items").iterdir()}
    assert items == {path.stem for path in images.iterdir()}


FULL = """
import resource
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
"""


def test_a_full_disk_ends_in_one_sentence(model: Path, tmp_path: Path) -> None:
    write_roads(tmp_path / "town.gpkg", rows=1, cols=2)
    process = start(model, tmp_path, "--roads", "town.gpkg", before=FULL)
    _, err = process.communicate(timeout=300)
    assert process.returncode == 2
    (sentence,) = err.splitlines()
    assert sentence.startswith("error: ")
    assert sentence.endswith("0 of 2 images are complete; the same command goes on from there.")
    assert not contents(tmp_path / "town-synth/images")
