"""scripts/consistency.py from training to the report, at toy size."""

from __future__ import annotations

import json
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from scriptfile import load_script
from tilefolder import make_tile_folder
from typer.testing import CliRunner

pytest.importorskip("segmentation_models_pytorch", reason="needs the extra `eval`")

from rsaug.downstream.roadtiles import read_road_tiles

ENCODER = "tu-resnet10t"


@pytest.fixture(scope="module")
def script() -> ModuleType:
    """The script as a module."""
    return load_script("consistency")


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory, script: ModuleType) -> Path:
    """A folder with tiles in ``tiles`` and a segmenter, trained by the script, in ``segmenter``."""
    folder = tmp_path_factory.mktemp("work")
    data = make_tile_folder(folder / "tiles")
    out = folder / "segmenter"
    shape = ["--architecture", "linknet", "--encoder", ENCODER]
    command = ["train", "--data", str(data), "--out", str(out), *shape]
    result = CliRunner().invoke(script.app, [*command, "--steps", "20", "--batch", "2"])
    assert result.exit_code == 0, result.output
    assert "4 tiles at 2 places" in result.output
    return folder


def measure(script: ModuleType, work: Path, *options: str, expect: int = 0) -> str:
    """What `measure` prints."""
    command = ["measure", "--data", str(work / "tiles"), "--segmenter", str(work / "segmenter")]
    result = CliRunner().invoke(script.app, [*command, "--out", str(work / "out"), *options])
    assert result.exit_code == expect, result.output
    return result.output


def test_real_tiles_given_as_synthetic_ones_have_a_ratio_of_one(
    script: ModuleType, work: Path
) -> None:
    real = read_road_tiles(work / "tiles", "val", image_year_only=True)
    given = work / "given.npz"
    np.savez(given, images=real.images, masks=real.masks, places=real.places)
    text = measure(script, work, "--synthetic", str(given))
    assert (work / "out" / "consistency.txt").read_text() == text
    report = json.loads((work / "out" / "consistency.json").read_text())
    assert report["ratio"] == 1.0
    assert report["ratio_interval"] == [1.0, 1.0]
    assert report["real"] == report["synthetic"]
    assert report["real"]["tiles"] == 2
    assert 0 < report["real"]["iou"] <= 1
    assert len(report["segmenter_sha256"]) == 64


def test_real_tiles_alone(script: ModuleType, work: Path) -> None:
    assert measure(script, work).startswith("real: IoU ")


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 broken", b"\x93NUMPY"])
def test_a_file_without_tiles_is_named(script: ModuleType, work: Path, content: bytes) -> None:
    (work / "broken.npz").write_bytes(content)
    said = measure(script, work, "--synthetic", str(work / "broken.npz"), expect=2)
    assert said.startswith("error: ")
    assert "broken.npz is no .npz file with images" in said


def test_a_mistake_ends_in_one_sentence(script: ModuleType) -> None:
    result = CliRunner().invoke(script.app, ["train", "--data", "nowhere"])
    assert result.exit_code == 2
    assert result.stderr.startswith("error: nowhere is no tile folder")
