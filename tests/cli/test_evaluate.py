"""``rsaug evaluate``: from a run to its report."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from painter import contents
from runfolder import painted_run
from tilefolder import make_tile_folder
from typer.testing import CliRunner, Result

pytest.importorskip("segmentation_models_pytorch", reason="needs the extra `eval`")

from rsaug.cli import app
from rsaug.downstream.evaluation.features import find_weights
from rsaug.downstream.roadtiles import read_road_tiles
from rsaug.downstream.segmenter import SegmenterConfig
from rsaug.downstream.training import SegmenterRecipe, train_segmenter


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with real ``tiles``, a ``detector`` of them and a painted ``run``."""
    folder = tmp_path_factory.mktemp("work")
    tiles = read_road_tiles(make_tile_folder(folder / "tiles"), "train")
    config = SegmenterConfig(encoder="tu-resnet10t")
    recipe = SegmenterRecipe(steps=20, batch=2)
    train_segmenter(tiles, folder / "detector", config, recipe, lambda line: None)
    painted_run(folder)
    return folder


@pytest.fixture(autouse=True)
def _here(work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(work)


def evaluate(*options: str) -> Result:
    return CliRunner().invoke(app, ["evaluate", *options])


def test_everything_is_measured_that_can_be(work: Path) -> None:
    result = evaluate("run", "--real", "tiles", "--detector", "detector", "--limit", "2", "--json")
    assert result.exit_code == 0, result.output
    folder = work / "run" / "evaluation"
    assert json.loads(result.stdout) == json.loads((folder / "report.json").read_text())
    report = json.loads(result.stdout)
    of = {(row["measure"], row["of"]): row["value"] for row in report["roads"]["numbers"]}
    ratio = of["IoU", "synthetic"] / of["IoU", "real"]
    assert of["IoU ratio", "synthetic / real"] == pytest.approx(ratio)
    assert report["roads"]["paired"] is False
    assert "4 of 8 images, 2 tiles" in report["compared"]["synthetic"]
    assert report["looks"]["numbers"] == []
    if find_weights() is not None:
        assert "needs 4 places on each side" in report["looks"]["missing"][0]
        assert report["memory"]["searched"].startswith("4 of 4 training images")
        assert len(report["memory"]["nearest"]) == 4
    assert {row["measure"] for row in report["controls"]["numbers"]} >= {"best F of edges"}
    page = (folder / "report.html").read_text()
    assert "data:image/jpeg" in page
    assert "Memorization" in page


def test_without_real_tiles_and_detectors_it_says_what_is_missing() -> None:
    result = evaluate("run", "--limit", "2")
    assert result.exit_code == 0, result.output
    assert "not measured: Roads, which need a detector" in result.stdout
    assert "not measured: Looks and memorization, which need real tiles" in result.stdout
    assert "land cover seen as given" in result.stdout
    assert "report: run/evaluation/report.html" in result.stderr


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("nowhere", "nowhere is no folder of rsaug synth"),
        ("tiles", "tiles is no folder of rsaug synth"),
        ("run --real nowhere", "nowhere is no tile folder"),
        ("run --detector nowhere", "nowhere holds no road detector; train one"),
        ("run --slack -1", "--slack is a number of metres from 0 up"),
        ("run --features none.npz", "no file none.npz for --features"),
        ("run --lpips tiles/index.csv", "holds no weights of LPIPS"),
        ("run --features tiles/index.csv", "holds no weights of the aerial encoder"),
    ],
)
def test_bad_input_ends_in_one_sentence(work: Path, options: str, message: str) -> None:
    before = contents(work)
    result = evaluate(*options.split())
    assert result.exit_code == 2
    sentence = result.stderr.splitlines()[-1]
    assert sentence.startswith("error: ")
    assert message in sentence
    assert contents(work) == before
