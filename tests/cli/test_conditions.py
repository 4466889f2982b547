"""`rsaug conditions` on the command line."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
from painter import contents, write_roads, write_wood
from PIL import Image
from typer.testing import CliRunner

from rsaug.cli import app


@pytest.fixture
def town(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory, with streets and a wood."""
    monkeypatch.chdir(tmp_path)
    write_roads(tmp_path / "town.gpkg")
    write_wood(tmp_path / "wood.gpkg")
    return tmp_path


SMALL = ["--gsd", "0.5", "--tile-size", "128"]


def test_one_line_does_the_whole_job(town: Path) -> None:
    result = CliRunner().invoke(app, ["conditions", "--roads", "town.gpkg", *SMALL])
    assert result.exit_code == 0, result.output
    assert "12 (12 made now) of 128 px at 0.5 m" in result.stdout
    assert "3 width tag" in result.stdout
    item = json.loads(next(Path("town-conditions/items").iterdir()).read_text())
    assert item["properties"]["rsaug:controls"] == ["mlsd", "hed", "sketch", "road"]
    assert len(contents(Path("town-conditions"), "conditions/*")) == 12


def test_a_picture_and_a_recorded_run(town: Path) -> None:
    options = ["--landcover", "wood.gpkg", "--channels", "soft,direction"]
    options += ["--labels", "roads", "--limit", "3"]
    first = ["conditions", "--roads", "town.gpkg", *SMALL, *options, "--out", "a"]
    result = CliRunner().invoke(app, [*first, "--picture", "sheet.png", "--date", "2024-06-01"])
    assert result.exit_code == 0, result.output
    with Image.open("sheet.png") as sheet:
        assert sheet.width > 8 * 128
    again = ["conditions", "--config", "a/run.json", "--out", "b", "--limit", "2"]
    result = CliRunner().invoke(app, again)
    assert result.exit_code == 0, result.output
    one, other = contents(Path("a"), "**/*.tif"), contents(Path("b"), "**/*.tif")
    assert len(other) == 2 * 5
    assert all(one[name] == other[name] for name in other)
    item = json.loads(next(Path("b/items").iterdir()).read_text())
    assert item["properties"]["datetime"] == "2024-06-01T00:00:00Z"
    assert item["properties"]["rsaug:metadata"]["month"] == 6


def test_a_recorded_run_gives_the_same_bytes(town: Path) -> None:
    first = ["conditions", "--roads", "town.gpkg", *SMALL, "--limit", "2", "--out", "a"]
    assert CliRunner().invoke(app, first).exit_code == 0
    time.sleep(1.1)  # by another second on the clock
    again = ["conditions", "--config", "a/run.json", "--out", "b"]
    assert CliRunner().invoke(app, again).exit_code == 0
    one, other = contents(Path("a")), contents(Path("b"))
    assert one == {**other, "run.json": one["run.json"]}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("", "No layer is named"),
        ("--roads town.gpkg --tile-size 30000", "at most 8192, not 30000"),
        ("--roads town.gpkg --picture none/a.png", "none of the picture does not exist"),
        ("--roads none.gpkg", "none.gpkg does not exist"),
        ("--roads town.gpkg --picture sheet.jpg", "has to end in .png"),
        ("--roads town.gpkg --date June", "is no date"),
        ("--roads town.gpkg --controls rood", "No control is called 'rood'"),
        ("--roads town.gpkg --gsd 0.01", "give --limit N"),
        ("--config none.json", "none.json cannot be read"),
    ],
)
def test_bad_input_ends_in_one_sentence(town: Path, options: str, message: str) -> None:
    before = contents(town)
    result = CliRunner().invoke(app, ["conditions", *options.split()])
    assert result.exit_code == 2
    assert message in result.stderr
    assert "Traceback" not in result.output
    assert contents(town) == before
