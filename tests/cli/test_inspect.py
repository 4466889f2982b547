"""``rsaug inspect``: what it prints, as text and as JSON, and how it refuses."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import typer
from painter import write_roads
from PIL import Image
from typer.testing import CliRunner, Result

from rsaug.cli.group import Commands
from rsaug.cli.inspect import inspect


@pytest.fixture
def town(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Name of a layer of roads in the working folder."""
    monkeypatch.chdir(tmp_path)
    write_roads(Path("town.gpkg"), rows=1, cols=3)
    return "town.gpkg"


def _run(*options: str) -> Result:
    app = typer.Typer(cls=Commands)
    app.command("inspect")(inspect)
    app.command("other")(lambda: None)
    return CliRunner().invoke(app, ["inspect", *options])


def test_it_says_what_a_layer_holds_and_makes(town: str) -> None:
    result = _run(town, "--gsd", "0.5", "--tile-size", "128")
    assert result.exit_code == 0, result.output
    for said in ("GPKG", "LineString", "As roads", "width by", "tiles of 128 px at 0.5 m"):
        assert said in result.stdout
    assert "in the way" not in result.stdout


def test_json_is_all_that_is_on_stdout(town: str) -> None:
    result = _run(town, "--json", "--picture", "town.png", "--as", "roads")
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    assert found["use"] == "roads"
    assert found["holds"]["format"] == "GPKG"
    assert found["made"]["by_rule"]
    assert found["tiles"]["count"] >= 1
    with Image.open("town.png") as image:
        assert np.asarray(image).shape[2] == 3


def test_what_is_in_the_way_is_said_and_is_no_error(town: str) -> None:
    result = _run(town, "--as", "buildings")
    assert result.exit_code == 0, result.output
    assert "in the way: The layer holds no area" in result.stdout


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["none.gpkg"], "does not exist"),
        (["town.gpkg", "--as", "dem"], "is a layer of vectors"),
        (["town.gpkg", "--as", "rivers"], "is no use"),
        (["town.gpkg", "--gsd", "0"], "positive number of metres"),
        (["town.gpkg", "--tile-size", "0"], "at least one pixel"),
        (["town.gpkg", "--crs", "EPSG:4326"], "geographic CRS"),
        (["town.gpkg", "--aoi", "1,2,3"], "1,2,3"),
        (["town.gpkg", "--picture", "town.jpg"], "PNG"),
        (["town.gpkg", "--picture", "no/where.png"], "could not be written"),
    ],
)
def test_wrong_input_is_one_sentence_and_exit_code_2(
    town: str, options: list[str], said: str
) -> None:
    result = _run(*options)
    assert result.exit_code == 2, result.output
    assert said in result.stderr
    assert "Traceback" not in result.output
