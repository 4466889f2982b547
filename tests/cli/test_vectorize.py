"""``rsaug vectorize``: what it writes and prints, and how it refuses."""

from __future__ import annotations

import json
from pathlib import Path

import geopandas as gpd
import numpy as np
import pytest
from affine import Affine
from strategies import UTM
from typer.testing import CliRunner, Result

from rsaug.cli import app
from rsaug.grid import Tile
from rsaug.raster import write_cog


@pytest.fixture
def mask(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Name of a mask of a crossing in the working folder."""
    monkeypatch.chdir(tmp_path)
    road = np.zeros((1, 120, 120), np.uint8)
    road[:, 56:65] = 1
    road[:, :, 40:46] = 1
    tile = Tile.from_transform(Affine(1, 0, 500_000, 0, -1, 6_700_000), (120, 120), UTM)
    write_cog("mask.tif", road, tile)
    return "mask.tif"


def _run(*options: str) -> Result:
    return CliRunner().invoke(app, ["vectorize", *options])


def test_it_writes_roads_and_says_what_came_of_it(mask: str) -> None:
    result = _run(mask)
    assert result.exit_code == 0, result.output
    for said in ("roads.gpkg", "4 lines", "0.24 km", "6.0 to 9.0 m"):
        assert said in result.stdout
    roads = gpd.read_file("roads.gpkg")
    assert sorted(roads["width"].tolist()) == pytest.approx([6, 6, 9, 9], abs=0.2)
    assert [*roads["source"].unique()] == ["mask.tif"]


def test_json_and_options(mask: str) -> None:
    options = ["--json", "--out", "r.geojson", "--source", "mine", "--one-width", "--gap", "5"]
    result = _run(mask, *options)
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    assert (found["file"], found["rasters"], found["lines"]) == ("r.geojson", 1, 4)
    assert [*gpd.read_file("r.geojson")["source"].unique()] == ["mine"]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["none.tif"], "does not exist"),
        (["mask.tif", "--out", "roads.shp"], ".gpkg or .geojson"),
        (["mask.tif", "--gap", "-1"], "gap_m"),
        (["mask.tif", "--band", "2"], "no band 2"),
        (["mask.tif", "--out", "no/where.gpkg"], "could not be written"),
    ],
)
def test_wrong_input_is_one_sentence_and_exit_code_2(
    mask: str, options: list[str], said: str
) -> None:
    result = _run(*options)
    assert result.exit_code == 2, result.output
    assert said in result.stderr
    assert "Traceback" not in result.output
