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
    """A folder with real ``tiles``, two detectors of them and two painted runs."""
    folder = tmp_path_factory.mktemp("work")
    tiles = read_road_tiles(make_tile_folder(folder / "tiles"), "train")
    recipe = SegmenterRecipe(steps=20, batch=2)
    for name, architecture in (("detector", "unet"), ("other", "linknet")):
        config = SegmenterConfig(architecture, "tu-resnet10t")
        train_segmenter(tiles, folder / name, config, recipe, lambda line: None)
    painted_run(folder)
    painted_run(folder, name="run0", grey=60)
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


def test_a_baseline_says_what_settings_changed() -> None:
    detectors = ("--detector", "detector", "--detector", "other")
    result = evaluate(
        "run", "--baseline", "run0", "--real", "tiles", *detectors, "--limit", "2", "--json"
    )
    assert result.exit_code == 0, result.output
    report = json.loads(result.stdout)
    assert report["compared"]["detector other"].startswith("linknet, tu-resnet10t, weights ")
    rows = [row for name in ("roads", "changes") for row in report[name]["numbers"]]
    assert all(row["n"] for row in rows)
    by = {row["by"] for row in rows if row["measure"] == "IoU ratio"}
    assert by == {"detector", "other", "mean of 2 detectors"}
    changes = {(row["measure"], row["of"]): row["value"] for row in report["changes"]["numbers"]}
    assert changes["lightness L*", "difference"] > 0
    assert ("lightness L*", "real, 2020 - 2018") in changes
    assert report["changes"]["settings"]["run"]["grey"] == 128
    assert "grey: 128 against 60" in report["changes"]["says"][1]
    assert report["changes"]["images"] == 4


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
        ("run --baseline tiles", "tiles is no folder of rsaug synth"),
        ("run --baseline run", "is the run itself"),
        ("run --model no/such/model", "no model folder no/such/model"),
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
