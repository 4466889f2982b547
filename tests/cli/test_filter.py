"""``rsaug filter``: from a run to the scores that training takes."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from painter import contents
from PIL import Image
from runfolder import painted_run, placed_run
from tilefolder import make_tile_folder
from typer.testing import CliRunner, Result

pytest.importorskip("segmentation_models_pytorch", reason="needs the extra `eval`")

from rsaug.cli import app
from rsaug.downstream.evaluation.features import find_weights
from rsaug.downstream.mixing import weights_of
from rsaug.downstream.quality.features import CachedEncoder
from rsaug.downstream.quality.judging import read_reference, road_scores
from rsaug.downstream.roadtiles import read_road_tiles
from rsaug.downstream.segmenter import SegmenterConfig
from rsaug.downstream.training import SegmenterRecipe, train_segmenter
from rsaug.errors import InputError

NO_ENCODER = pytest.mark.skipif(find_weights() is None, reason="needs the extra `geoembed`")


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with real ``tiles``, a detector of them and a painted run."""
    folder = tmp_path_factory.mktemp("work")
    tiles = read_road_tiles(make_tile_folder(folder / "tiles"), "train")
    config = SegmenterConfig("linknet", "tu-resnet10t")
    recipe = SegmenterRecipe(steps=4, batch=2)
    train_segmenter(tiles, folder / "detector", config, recipe, lambda line: None)
    painted_run(folder)
    return folder


@pytest.fixture(autouse=True)
def _here(work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(work)


def run_filter(*options: str) -> Result:
    return CliRunner().invoke(app, ["filter", *options])


def test_scores_are_what_training_takes_and_the_same_again(work: Path) -> None:
    result = run_filter("run", "--detector", "detector", "--keep", "0.5", "--json")
    assert result.exit_code == 0, result.output
    folder = work / "run" / "quality"
    report = json.loads(result.stdout)
    assert report == json.loads((folder / "report.json").read_text())
    scores = json.loads((folder / "scores.json").read_text())
    table = pd.read_csv(folder / "images.csv")
    names = pd.read_parquet(work / "run" / "manifest.parquet")["id"].tolist()
    assert sorted(scores) == sorted(names)
    weights = weights_of(names, scores)
    assert set(weights) == {0.0, 1.0}
    assert weights.sum() == report["kept"] == len(names) / 2
    assert (
        table.loc[table["weight"] > 0, "score"].min()
        >= table.loc[table["weight"] == 0, "score"].max()
    )
    with Image.open(folder / "sheet.jpg") as sheet:
        assert sheet.format == "JPEG"
    before = contents(work / "run" / "quality")
    assert run_filter("run", "--detector", "detector", "--keep", "0.5").exit_code == 0
    assert contents(work / "run" / "quality") == before


def test_images_can_be_drawn_by_their_score_and_the_best_of_a_tile_kept(work: Path) -> None:
    result = run_filter("run", "--detector", "detector", "--per-tile", "1", "--weigh")
    assert result.exit_code == 0, result.output
    table = pd.read_csv(work / "run" / "quality" / "images.csv")
    assert (table[table["weight"] > 0].groupby("tile").size() == 1).all()
    kept = table[table["weight"] > 0]
    np.testing.assert_allclose(kept["weight"], kept["score"])
    assert "rank correlation of consistency, road_share" in result.stdout


@NO_ENCODER
def test_copies_of_training_tiles_are_found_in_any_orientation(tmp_path: Path) -> None:
    real = make_tile_folder(tmp_path / "tiles")
    index = pd.read_csv(real / "index.csv").assign(split="train")
    index[index["id"].isin([f"{k}_2018" for k in "abcd"])].to_csv(real / "index.csv", index=False)
    tiles = read_road_tiles(real, "train")
    images = tiles.images[:2].copy()
    images[0] = np.rot90(images[0], 1, (-2, -1))
    images[1] = 128  # The same in every orientation, so it is looked at once.
    placed_run(tmp_path / "run", tiles.tiles[:2], tiles.masks[:2], images)
    run, options = str(tmp_path / "run"), ("--real", str(real), "--json", "--min-novelty", "0.01")
    result = run_filter(run, *options)
    assert result.exit_code == 0, result.output
    table = pd.read_csv(tmp_path / "run" / "quality" / "images.csv").set_index("id")
    novelty = table["novelty"].to_dict()
    assert novelty["t0"] < 0.01 < novelty["t1"]
    assert table.loc["t0", "nearest"] == "a_2018"
    assert table["weight"].to_dict() == {"t0": 0.0, "t1": 1.0}
    assert table["realism"].idxmax() == "t0"
    assert json.loads(result.stdout)["passed"] == {"novelty": 1}
    assert "copies are not dropped" in run_filter(run, "--real", str(real)).stdout
    assert run_filter(run, *options).exit_code == 0
    before = contents(tmp_path / "run")
    assert run_filter(run, *options).stdout == result.stdout
    assert contents(tmp_path / "run") == before


@NO_ENCODER
@pytest.mark.parametrize("split", ["val", "test"])
def test_only_training_tiles_are_a_reference(work: Path, tmp_path: Path, split: str) -> None:
    weights = find_weights()
    assert weights is not None
    encoder = CachedEncoder(weights, tmp_path / "features.npz")
    with pytest.raises(InputError, match=f"split 'train' alone, not of '{split}'"):
        read_reference(work / "tiles", encoder, split=split)


def test_without_road_nothing_found_is_right_and_anything_found_is_wrong() -> None:
    empty, road = np.zeros((8, 8), np.uint8), np.eye(8, dtype=np.uint8)
    found, masks = np.stack([empty, road, empty, road]), np.stack([empty, empty, road, road])
    assert road_scores(found, masks, 0.0).tolist() == [[1, 1], [0, 0], [0, 0], [1, 1]]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("run", "nothing to score by; give a detector (--detector) or real tiles (--real)"),
        ("nowhere --detector detector", "nowhere is no folder of rsaug synth"),
        ("run --detector tiles", "tiles holds no road detector"),
        ("run --detector detector --keep 0", "--keep is a share above 0"),
        ("run --detector detector --min-realism 1", "realism was not measured"),
        ("run --detector detector --min-consistency 2", "No image reaches the least values"),
        ("run --detector detector --slack -1", "--slack is a number of metres"),
        ("run --real tiles --features none.npz", "no file none.npz for --features"),
        ("run --real tiles --features tiles/index.csv", "holds no weights of the aerial encoder"),
        ("run --real nowhere", "nowhere is no tile folder"),
        ("run --real tiles --cache tiles/index.csv", "tiles/index.csv is no file of features"),
    ],
)
def test_bad_input_ends_in_one_sentence(work: Path, options: str, message: str) -> None:
    if "--real nowhere" in options and find_weights() is None:
        pytest.skip("needs the extra `geoembed`")
    before = contents(work)
    result = run_filter(*options.split())
    assert result.exit_code == 2, result.output
    sentence = result.stderr.splitlines()[-1]
    assert sentence.startswith("error: ")
    assert message in sentence
    assert contents(work) == before
