"""The benchmark runs, and every contender draws the same pixels; nothing is timed here."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).with_name("road_maps.py")


def test_contenders_draw_the_same(tmp_path: Path, examples_dir: Path) -> None:
    for peer in ("geocube", "torchgeo"):
        pytest.importorskip(peer)
    roads = examples_dir / "helsinki" / "roads.geojson"
    out = tmp_path / "result.json"
    options = ["--features", "3000", "--roads", str(roads), "--tiles", "4", "--rounds", "1"]
    run = [sys.executable, str(SCRIPT), *options, "--out", str(out)]
    done = subprocess.run(run, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    report = json.loads(out.read_text())
    synthetic, real = report["layers"]
    assert synthetic["features"] == synthetic["windowed"]["features"] == 3000
    assert 100 < synthetic["features_a_tile"] < 250
    assert real["features"] > 1000
    for layer in (synthetic, real):
        peers = {**layer["contenders"], **layer["torchgeo"]}
        assert set(peers) == {"ours", "rasterio", "geocube", "torchgeo"}
        assert all(peer["pixels_unlike_ours"] == 0 for peer in peers.values())
        assert all(peer["ms_a_tile"] > 0 for peer in peers.values())
