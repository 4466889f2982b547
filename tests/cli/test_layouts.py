"""``rsaug layouts``: layers that the other commands take."""

from __future__ import annotations

import json
from pathlib import Path

import geopandas as gpd
import pandas as pd
import pytest
import shapely
from layouttowns import write_places
from painter import Painter, contents
from typer.testing import CliRunner, Result

from rsaug.cli import app
from rsaug.options import SynthOptions
from rsaug.synthesis import make_plan, run

SMALL = ("--gsd", "1", "--tile-size", "120")


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("work")
    write_places(folder / "towns")
    return folder


@pytest.fixture(autouse=True)
def _here(work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(work)


def layouts(*options: str) -> Result:
    return CliRunner().invoke(app, ["layouts", *options])


@pytest.mark.parametrize(
    "command",
    [
        ("vary", "--landcover", "towns/landcover.geojson"),
        ("recombine", "--landcover", "towns/landcover.geojson"),
        ("grow", "--span", "2"),
    ],
)
def test_layers_are_ready_for_synth(command: tuple[str, ...], tmp_path: Path) -> None:
    options = ("--places", "towns", "--tiles", "3", *SMALL, "--json")
    result = layouts(*command, *options, "--out", str(tmp_path / "one"))
    assert result.exit_code == 0, result.output
    said = json.loads(result.stdout)
    assert said["tiles"] == 3
    assert said["left_out"] == ["d"]
    asked = SynthOptions(
        roads=str(tmp_path / "one" / "roads.gpkg"),
        landcover=str(tmp_path / "one" / "landcover.gpkg"),
        aoi=str(tmp_path / "one" / "aoi.gpkg"),
        crs="EPSG:32611",
        gsd=1.0,
        tile_size=120,
        out=str(tmp_path / "run"),
    )
    run(make_plan(asked), Painter())
    manifest = pd.read_parquet(tmp_path / "run" / "manifest.parquet")
    assert len(manifest) == 3
    assert manifest["rsaug:road_fraction"].min() > 0
    tiles = gpd.GeoSeries.from_wkb(manifest["geometry"], crs=4326).to_crs(32611)
    aoi = gpd.read_file(tmp_path / "one" / "aoi.gpkg").geometry.to_numpy()
    assert shapely.covers(tiles.to_numpy()[:, None], aoi[None]).sum() == 3
    again = layouts(*command, *options, "--out", str(tmp_path / "two"))
    assert again.exit_code == 0
    assert contents(tmp_path / "one") == contents(tmp_path / "two")


def test_layouts_are_compared_with_places() -> None:
    assert layouts("vary", "--places", "towns", *SMALL, "--tiles", "3").exit_code == 0
    options = ("compare", "layouts-vary", "--places", "towns", "--side", "120")
    result = layouts(*options, "--json")
    assert result.exit_code == 0, result.output
    columns = json.loads(result.stdout)
    assert columns["places"]["layouts"] == columns["layouts-vary"]["layouts"] == 3
    assert columns["places"]["kinds"].keys() == {"residential", "service"}
    assert "junctions a km²" in layouts(*options).stdout


def test_several_sets_share_no_ground(tmp_path: Path) -> None:
    options = ("--places", "towns", *SMALL, "--tiles", "4", "--out")
    first, second = tmp_path / "first", tmp_path / "second"
    assert layouts("vary", *options, str(first)).exit_code == 0
    result = layouts("grow", "--span", "1", *options, str(second), "--beside", str(first))
    assert result.exit_code == 0, result.output
    ground, other = (gpd.read_file(f / "aoi.gpkg").union_all() for f in (first, second))
    assert ground.distance(other) > 100


def test_places_of_the_package_are_taken_by_name(tmp_path: Path) -> None:
    pytest.importorskip("torchgeo", reason="needs the extra `eval`")
    chosen = ("--only", "bishop_1,chico_4", "--tiles", "2", "--out", str(tmp_path / "out"))
    result = layouts("vary", *chosen)
    assert result.exit_code == 0, result.output
    record = json.loads((tmp_path / "out" / "layouts.json").read_text())
    assert {one["origin"] for one in record["layouts"]} == {"bishop_1", "chico_4"}
    assert not (tmp_path / "out" / "landcover.gpkg").exists()
    assert f"next: rsaug synth --roads {tmp_path}/out/roads.gpkg --aoi" in result.stdout


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("vary --places nowhere", "nowhere is no folder of labelled places"),
        ("vary --places towns --only a,t", "not in the split 'train', 't' for one"),
        ("recombine --places towns --only v", "not in the split 'train', 'v' for one"),
        ("recombine --places towns --pieces 3", "2 or 4 pieces, not 3"),
        ("grow --at here", "--at is a longitude and a latitude"),
        ("grow --at 34,-118", "the longitude comes first"),
        ("grow --at -118,34 --kinds lunar", "not as ['lunar']"),
        ("grow --at -118,34 --gsd 0", "--gsd"),
        ("compare towns --places towns", "towns holds no layouts"),
        (
            "vary --places towns --gsd 1 --tile-size 120 --tiles 1 --beside towns",
            "towns holds no layouts",
        ),
        ("vary --places towns --crs EPSG:4326", "geographic CRS"),
    ],
)
def test_bad_input_ends_in_one_sentence(work: Path, options: str, message: str) -> None:
    before = contents(work)
    result = layouts(*options.split())
    assert result.exit_code == 2, result.output
    sentence = result.stderr.splitlines()[-1]
    assert sentence.startswith("error: ")
    assert message in sentence
    assert contents(work) == before
