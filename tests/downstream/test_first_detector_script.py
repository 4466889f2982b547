"""scripts/first_detector.py from two runs at toy size to a detector."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from types import ModuleType

import geopandas as gpd
import pytest
from painter import Painter, write_roads
from scriptfile import load_script

pytest.importorskip("torchgeo", reason="needs the extra `eval`")
pytest.importorskip("skimage", reason="needs the extra `graph`")

from rsaug.downstream.detector import RoadDetector
from rsaug.options import SynthOptions
from rsaug.synthesis import make_plan, run


@pytest.fixture(scope="module")
def script() -> ModuleType:
    """The script as a module."""
    return load_script("first_detector")


def painted(folder: Path, name: str, row: int) -> Path:
    """A run whose tiles lie along one street, others for another row."""
    streets = gpd.read_file(write_roads(folder / "streets.gpkg", rows=row + 1, cols=2))
    streets.iloc[[row]].to_file(folder / f"{name}.gpkg", driver="GPKG")
    roads, out = str(folder / f"{name}.gpkg"), str(folder / name)
    asked = SynthOptions(roads=roads, gsd=0.6, tile_size=64, limit=4, out=out)
    run(make_plan(asked), Painter())
    return folder / name


def test_from_two_runs_to_a_detector(
    script: ModuleType,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    north, south = (str(painted(tmp_path, name, row)) for name, row in (("north", 0), ("south", 2)))

    def first_detector(*arguments: str) -> int:
        monkeypatch.setattr(sys, "argv", ["first_detector.py", *arguments])
        return int(script.main())

    small = ("--encoder", "tu-resnet10t", "--steps", "3", "--out", str(tmp_path / "detector"))
    assert first_detector(north, "--measure", south, *small) == 0
    said = capsys.readouterr().out
    assert re.findall(r"Epoch (-?\d+)/(-?\d+)", said)[-1] == ("2", "2")
    assert re.search(r"another place: iou [\d.]+, f1 [\d.]+, relaxed_f1 [\d.]+, cldice", said)
    detector = RoadDetector.load(tmp_path / "detector")
    assert detector.config.gsd_m == pytest.approx(0.6)
    assert detector.facts["data"]["synthetic"] == [{"run": "north", "train": 4}]
    assert first_detector(north, "--measure", north, *small) == 2
    assert "share ground" in capsys.readouterr().err
