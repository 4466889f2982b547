"""Training at toy size: it learns, it repeats, it goes on after a stop, it keeps to its splits."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from runfolder import painted_run
from tilefolder import GSD_M, make_tile_folder

from rsaug.downstream.datamodules import RoadDataModule
from rsaug.downstream.detector import RoadDetector
from rsaug.downstream.detector_training import _WholeCheckpoints, train_detector
from rsaug.downstream.roadfolder import RoadFolder
from rsaug.downstream.training_options import FOLDER, TrainingOptions, kind_of
from rsaug.errors import InputError

CONFIG = """
seed_everything: 3
trainer: { max_epochs: 2, accelerator: cpu }
model:
  class_path: rsaug.downstream.tasks.RoadSegmentationTask
  init_args:
    backbone: tu-resnet10t
    options: { encoder_depth: 3, decoder_channels: [16, 8, 8] }
    lr: 0.005
data:
  class_path: rsaug.downstream.datamodules.RoadDataModule
  init_args:
    dataset: rsaug.downstream.roadfolder.RoadFolder
    root: tiles
    synthetic: [run]
    synthetic_share: 0.25
    batch_size: 4
    length: 8
"""


class Interrupted(Exception):
    """Stands for whatever ends a run half-way."""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with real ``tiles``, a synthetic ``run`` and a configuration."""
    folder = tmp_path_factory.mktemp("made")
    make_tile_folder(folder / "tiles")
    painted_run(folder, variants=1)
    text = CONFIG.replace("tiles", str(folder / "tiles")).replace("[run]", f"[{folder / 'run'}]")
    (folder / "config.yaml").write_text(text, encoding="utf-8")
    return folder


@pytest.fixture
def options(made: Path) -> TrainingOptions:
    """What is trained."""
    return TrainingOptions(config=made / "config.yaml")


def weights(detector: RoadDetector) -> torch.Tensor:
    """All weights and batch statistics in one vector."""
    return torch.cat([value.double().flatten() for value in detector.state_dict().values()])


def test_it_finds_the_roads_of_tiles_that_it_has_not_seen(
    options: TrainingOptions, tmp_path: Path
) -> None:
    lines: list[str] = []
    longer = replace(options, epochs=6)
    detector = train_detector(longer, tmp_path / "out", test=True, log=lines.append)
    assert [line.split(",")[0] for line in lines] == [f"epoch {k}" for k in range(6)]
    scores = detector.facts["metrics"]
    assert scores["val/iou"] > 0.7
    assert scores["val/iou"] == pytest.approx(scores["val/top_iou"], abs=0.02)
    assert scores["test/relaxed_f1"] > 0.7
    assert "test/threshold" not in scores
    loaded = RoadDetector.load(tmp_path / "out")
    assert loaded.config.gsd_m == pytest.approx(GSD_M)
    assert loaded.config.threshold == pytest.approx(scores["val/threshold"], abs=1e-4)
    assert loaded.facts["data"]["synthetic"] == [{"run": "run", "train": 4}]
    assert loaded.facts["data"]["real"]["train"] == 4
    assert str(tmp_path) not in (tmp_path / "out" / "config.json").read_text()
    lines = (tmp_path / "out-logs" / "history.jsonl").read_text().splitlines()
    history = [json.loads(line) for line in lines]
    assert [entry["epoch"] for entry in history] == [*range(6)]
    assert max(entry["val/top_iou"] for entry in history) == pytest.approx(
        scores["val/top_iou"], abs=1e-4
    )
    assert history[0]["train/loss"] > history[-1]["train/loss"]


def test_a_seed_gives_one_detector_also_after_a_stop(
    options: TrainingOptions, tmp_path: Path
) -> None:
    whole = train_detector(options, tmp_path / "whole")

    def interrupt(line: str) -> None:
        if line.startswith("epoch 1"):
            raise Interrupted(line)

    with pytest.raises(Interrupted):
        train_detector(options, tmp_path / "stopped", log=interrupt)
    assert not (tmp_path / "stopped").exists()
    torch.manual_seed(99)
    lines: list[str] = []
    resumed = train_detector(options, tmp_path / "stopped", log=lines.append)
    assert len(lines) == 1
    assert torch.equal(weights(resumed), weights(whole))
    assert resumed.facts == whole.facts
    assert train_detector(options, tmp_path / "whole").facts == whole.facts
    with pytest.raises(InputError, match="was made by other options"):
        train_detector(replace(options, seed=4), tmp_path / "whole")


def test_a_checkpoint_from_a_stranger_is_not_run(options: TrainingOptions, tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self) -> tuple[Any, ...]:
            return Path.touch, (tmp_path / "ran",)

    (tmp_path / "out.ckpt").mkdir()
    torch.save(Evil(), tmp_path / "out.ckpt" / "last.ckpt")
    with pytest.raises(InputError, match="is no checkpoint of this training"):
        train_detector(options, tmp_path / "out")
    assert not (tmp_path / "ran").exists()


def test_a_checkpoint_that_is_stopped_half_way_leaves_the_last_one(tmp_path: Path) -> None:
    class Stop:
        def __reduce__(self) -> tuple[Any, ...]:
            raise KeyboardInterrupt

    writer, path = _WholeCheckpoints(), tmp_path / "made" / "last.ckpt"
    writer.save_checkpoint({"epoch": 1}, str(path))
    with pytest.raises(KeyboardInterrupt):
        writer.save_checkpoint({"weights": torch.zeros(9), "epoch": Stop()}, path)
    assert torch.load(path, weights_only=True) == {"epoch": 1}
    assert [entry.name for entry in path.parent.iterdir()] == ["last.ckpt"]


def test_steps_in_place_of_epochs(options: TrainingOptions, tmp_path: Path) -> None:
    lines: list[str] = []
    train_detector(replace(options, steps=3), str(tmp_path / "out"), log=lines.append)
    assert lines[-1].startswith("epoch 1, step 3")


def test_a_precision_is_that_of_the_training_and_not_of_the_scores(
    options: TrainingOptions, made: Path, tmp_path: Path
) -> None:
    trained = {
        precision: train_detector(replace(options, precision=precision), tmp_path / str(precision))
        for precision in (None, "no", "bf16")
    }
    # A configuration that says nothing of it is Lightning's: float32.
    assert torch.equal(weights(trained[None]), weights(trained["no"]))
    assert not torch.equal(weights(trained["bf16"]), weights(trained["no"]))
    detector = trained["bf16"]
    assert {value.dtype for value in detector.parameters()} == {torch.float32}
    data = RoadDataModule(FOLDER, root=str(made / "tiles"), batch_size=4)
    tiles = data.real.split("val")
    samples = [tiles[k] for k in range(len(tiles))]
    found = detector.predict(np.stack([sample["image"].byte().numpy() for sample in samples]))
    road = np.stack([sample["mask"].numpy() for sample in samples])
    iou = ((found == 1) & (road == 1)).sum() / ((found == 1) | (road == 1)).sum()
    assert detector.facts["metrics"]["val/iou"] == pytest.approx(iou, abs=1e-6)


def test_a_folder_tells_how_it_is_read(made: Path, tmp_path: Path) -> None:
    assert kind_of(made / "tiles") == "rsaug.downstream.roadfolder.RoadFolder"
    (tmp_path / "masks").mkdir()
    (tmp_path / "index.csv").touch()
    assert kind_of(tmp_path) == "massachusetts"
    with pytest.raises(InputError, match="--dataset naip, massachusetts"):
        kind_of(made)
    with pytest.raises(InputError, match="no folder of tiles"):
        kind_of(made / "none")


def test_a_tile_folder_has_the_masks_of_its_own_places(made: Path) -> None:
    train, val = (RoadFolder(made / "tiles", split) for split in ("train", "val"))
    assert [tile.place for tile in train.tiles] == ["a", "a", "b", "b"]
    for dataset in (train, val):
        chips = dataset.chips()
        for chip in (chips[k] for k in range(len(chips))):
            light = chip["image"].mean(dim=0) > 150
            assert torch.equal(light, chip["mask"] == 1)
    part = val.chips(32)[1]
    assert part["mask"].shape == (32, 32)
    assert torch.equal(part["image"].mean(dim=0) > 150, part["mask"] == 1)
    with pytest.raises(InputError, match="split='holdout'"):
        RoadFolder(made / "tiles", "holdout")
    with pytest.raises(InputError, match=r"has no roads\.geojson"):
        RoadFolder(made / "run")
