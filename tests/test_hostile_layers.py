"""Layers as people have them: each ends in a right map with a count, or in one clear sentence."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pytest
import shapely
from shapely.geometry import GeometryCollection, LineString, MultiLineString, Point, Polygon, box
from typer.testing import CliRunner, Result

from rsaug.cli import app

CRS = 32635
EAST, NORTH = 384_000.0, 6_672_000.0


def line(*xy: tuple[float, float]) -> LineString:
    """A line of metres from a corner of the grid."""
    return LineString([(EAST + x, NORTH + y) for x, y in xy])


ROAD = line((5, -30), (120, -30))


def write(path: Path, shapes: list[Any], crs: int | None = CRS, **tags: Any) -> Path:
    gpd.GeoDataFrame(tags, geometry=shapes, crs=crs).to_file(path)
    return path


def conditions(*options: object) -> Result:
    return CliRunner().invoke(
        app,
        ["conditions", *map(str, options), "--gsd", "0.5", "--tile-size", "128", "--out", "out"],
    )


def report() -> dict[str, Any]:
    """What a run found in its layers."""
    found: dict[str, Any] = json.loads(Path("out/run.json").read_text())["layers"]
    return found


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_broken_lines_are_counted_and_the_good_one_is_drawn(tmp_path: Path) -> None:
    with np.errstate(invalid="ignore"):
        nan = shapely.linestrings([[EAST, NORTH], [np.nan, NORTH]], handle_nan="allow")
        infinite = shapely.linestrings([[EAST, NORTH], [np.inf, NORTH]], handle_nan="allow")
    shapes = [ROAD, line((9, -9), (9, -9)), nan, infinite, None, LineString()]
    path = write(tmp_path / "roads.gpkg", shapes, width=["4"] * 6)
    result = conditions("--roads", path)
    assert result.exit_code == 0, result.output
    found = report()["roads"]
    assert found["by_rule"]["width"] == 1
    assert sum(found["dropped"].values()) == 5
    assert {"no geometry", "coordinates not finite"} <= set(found["dropped"])


def test_mixed_flat_and_raised_geometry(tmp_path: Path) -> None:
    shapes = [
        shapely.force_3d(ROAD, 17.0),
        MultiLineString([line((5, -60), (60, -60)), line((70, -60), (120, -60))]),
        GeometryCollection([Point(EAST, NORTH), line((5, -90), (120, -90))]),
        Point(EAST, NORTH),
        box(EAST, NORTH - 9, EAST + 9, NORTH),
    ]
    path = tmp_path / "roads.geojson"
    write(path, shapes, highway=["residential"] * 5)
    result = conditions("--roads", path)
    assert result.exit_code == 0, result.output
    found = report()["roads"]
    assert found["by_rule"]["highway"] == 3
    assert found["dropped"] == {"not a line": 2}


def test_crossing_rings_keep_what_can_be_repaired(tmp_path: Path) -> None:
    bow = Polygon([(EAST, NORTH - 40), (EAST + 40, NORTH), (EAST + 40, NORTH - 40), (EAST, NORTH)])
    flat = Polygon([(EAST, NORTH), (EAST + 9, NORTH), (EAST, NORTH)])
    twice = box(EAST + 50, NORTH - 40, EAST + 60, NORTH)
    path = write(tmp_path / "cover.gpkg", [bow, flat, twice, twice], natural=["wood"] * 4)
    result = conditions("--landcover", path)
    assert result.exit_code == 0, result.output
    found = report()["landcover"]
    assert found["by_class"] == {"forest": 3}
    assert sum(found["dropped"].values()) == 1
    # Half of the square that the ring crosses in, and one area counted twice.
    assert found["area_m2"]["forest"] == pytest.approx(800 + 2 * 400, abs=1)


@pytest.mark.parametrize(
    ("tags", "rule", "ignored"),
    [
        ({"width": "5'6\""}, "width", {}),
        ({"width": "24 ft"}, "width", {}),
        ({"width": "wide", "lanes": "2"}, "lanes", {"width not understood (width='wide')": 1}),
        ({"lanes": "2;3"}, "highway", {"lanes not understood (lanes='2;3')": 1}),
        ({"layer": "ground"}, "highway", {"layer not understood (layer='ground')": 1}),
        ({"width": "-3"}, "highway", {"width out of range": 1}),
        ({"width": "nan"}, "highway", {"width not understood (width='nan')": 1}),
    ],
)
def test_odd_tags_are_read_or_counted(
    tmp_path: Path, tags: dict[str, str], rule: str, ignored: dict[str, int]
) -> None:
    columns: dict[str, Any] = {"highway": ["residential"]}
    columns |= {name: [value] for name, value in tags.items()}
    result = conditions("--roads", write(tmp_path / "roads.gpkg", [ROAD], **columns))
    assert result.exit_code == 0, result.output
    found = report()["roads"]
    assert found["by_rule"][rule] == 1
    assert found["ignored"] == ignored


def test_a_line_of_very_many_vertices(tmp_path: Path) -> None:
    turn = np.linspace(0, 60 * np.pi, 200_000)
    xy = np.stack([60 + turn * np.cos(turn) / 4, -60 + turn * np.sin(turn) / 4], axis=1)
    spiral = shapely.linestrings(xy + (EAST, NORTH))  # noqa: RUF005 - numbers are added
    result = conditions("--roads", write(tmp_path / "roads.fgb", [spiral], width=["3"]))
    assert result.exit_code == 0, result.output
    assert report()["roads"]["by_rule"]["width"] == 1


@pytest.mark.parametrize(
    ("shapes", "zone"),
    [
        ([LineString([(179.999, -17.0), (179.9995, -17.0)]),
          LineString([(-179.999, -17.0), (-179.9995, -17.0)])], ("EPSG:32701", "EPSG:32760")),
        ([LineString([(25.0, 89.99), (-155.0, 89.99)])], ("EPSG:5041",)),
        ([LineString([(25.0, -89.99), (100.0, -89.99)])], ("EPSG:5042",)),
    ],
)  # fmt: skip
def test_the_ends_of_the_world(
    tmp_path: Path, shapes: list[LineString], zone: tuple[str, ...]
) -> None:
    path = write(tmp_path / "roads.geojson", shapes, crs=4326, width=["8"] * len(shapes))
    result = conditions("--roads", path, "--all")
    assert result.exit_code == 0, result.output
    document = json.loads(Path("out/run.json").read_text())
    assert document["options"]["crs"] in zone
    assert document["layers"]["roads"]["by_rule"]["width"] == len(shapes)
    # 100 m apart across the antimeridian, and not around the world.
    assert document["tiles"] < 100


@pytest.mark.parametrize(
    ("crs", "shift", "message"),
    [
        (None, 0.0, "has no CRS"),
        (4326, 0.0, "coordinates"),
    ],
)
def test_a_missing_or_a_wrong_crs(
    tmp_path: Path, crs: int | None, shift: float, message: str
) -> None:
    path = tmp_path / "roads.shp"
    frame = gpd.GeoDataFrame({"width": ["4"]}, geometry=[ROAD], crs=CRS)
    frame.to_file(path)
    if crs is None:
        path.with_suffix(".prj").unlink()
    else:
        frame.set_crs(crs, allow_override=True).to_file(path)
    result = conditions("--roads", path)
    assert result.exit_code == 2
    assert message in result.stderr
    assert result.stderr.count("\n") <= 2


def test_swapped_coordinates_are_told(tmp_path: Path) -> None:
    swapped = LineString([(-17.0, 178.0), (-17.001, 178.001)])
    path = write(tmp_path / "roads.geojson", [swapped], crs=4326, width=["4"])
    result = conditions("--roads", path)
    assert result.exit_code == 2
    assert "swapped" in result.stderr


def test_empty_layers_are_told(tmp_path: Path) -> None:
    empty = gpd.GeoDataFrame({"highway": []}, geometry=[], crs=CRS)
    empty.to_file(tmp_path / "roads.gpkg")
    result = conditions("--roads", tmp_path / "roads.gpkg")
    assert result.exit_code == 2
    assert "roads.gpkg has no feature" in result.stderr


def test_a_continent_at_a_centimetre_is_refused_with_the_count(tmp_path: Path) -> None:
    frame = gpd.GeoDataFrame(
        {"width": ["8"]}, geometry=[LineString([(20.0, 50.0), (30.0, 65.0)])], crs=4326
    )
    frame.to_file(tmp_path / "roads.geojson")
    options = ["--roads", "roads.geojson", "--gsd", "0.01", "--tile-size", "64", "--out", "out"]
    result = CliRunner().invoke(app, ["conditions", *options])
    assert result.exit_code == 2
    assert "tiles of 64 px at 0.01 m" in result.stderr
    assert "larger --gsd" in result.stderr
    assert not Path("out").exists()
