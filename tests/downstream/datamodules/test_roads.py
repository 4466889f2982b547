"""Real and synthetic tiles in one training, and what is kept apart."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from roaddata import make_deepglobe, make_naip, some_naip_tiles
from runfolder import painted_run

from rsaug.downstream.configs import config_path
from rsaug.downstream.datamodules import RoadDataModule
from rsaug.downstream.datasets import RoadChips
from rsaug.errors import InputError

TINY: dict[str, Any] = {
    "dataset": "deepglobe",
    "options": {"val": 0.3, "test": 0.3},
    "batch_size": 4,
}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with real tiles in ``deepglobe`` and synthetic ones in ``run``, 64 px each."""
    folder = tmp_path_factory.mktemp("made")
    make_deepglobe(folder / "deepglobe")
    painted_run(folder, variants=1)
    return folder


def module(made: Path, **options: Any) -> RoadDataModule:
    """A data module that is set up to train."""
    real = {"root": str(made / "deepglobe"), "synthetic": [str(made / "run")]}
    tiny = RoadDataModule(**{**TINY, **real, **options})
    tiny.setup("fit")
    return tiny


def test_batches_are_mixed(made: Path) -> None:
    tiny = module(made, synthetic_share=0.25, length=16)
    assert tiny.training is not None
    batches = list(tiny.train_dataloader())
    assert len(batches) == 4
    assert all(batch["image"].shape == (4, 3, 64, 64) for batch in batches)
    assert all(batch["mask"].shape == (4, 64, 64) for batch in batches)
    (run,) = tiny.training.synthetic
    known = {run[k]["image"].sum().item() for k in range(len(run))}
    for batch in batches:
        assert sum(image.sum().item() in known for image in batch["image"]) == 1


def test_epochs_follow_the_schedule(made: Path) -> None:
    tiny = module(
        made, synthetic_share=1.0, schedule="pretrain", schedule_epochs=1, end_share=0.0, length=8
    )
    assert tiny.train_sampler is not None
    assert [tiny.train_sampler.plan(epoch).synthetic.mean() for epoch in (0, 1)] == [1, 0]


def test_without_synthetic_tiles_all_are_real(made: Path) -> None:
    tiny = module(made, synthetic=None)
    assert tiny.train_sampler is not None
    assert not tiny.train_sampler.plan(0).synthetic.any()


def test_measured_is_on_real_tiles_alone(made: Path) -> None:
    tiny = module(made)
    tiny.setup("test")
    for dataset in (tiny.val_dataset, tiny.test_dataset):
        assert isinstance(dataset, RoadChips)
        assert not dataset.synthetic
        assert "deepglobe" in str(dataset.source.tiles[0].image)
    tiny.setup("validate")
    with pytest.raises(InputError, match="nothing for the stage 'predict'"):
        tiny.setup("predict")


def test_synthetic_dataset_in_place_of_real_tiles(made: Path) -> None:
    with pytest.raises(InputError, match="'synthetic' is a synthetic dataset"):
        module(made, dataset="synthetic", root=str(made / "run"), options={})


@pytest.mark.parametrize("stage", ["fit", "validate", "test"])
def test_marked_image_among_those_to_measure_on(made: Path, tmp_path: Path, stage: str) -> None:
    naip = make_naip(tmp_path / "naip", places=1, splits=("train", "val", "test"))
    run = made / "run"
    split = "test" if stage == "test" else "val"
    victim = naip / "images" / f"{some_naip_tiles(1, (split,))[0].id}.tif"
    shutil.copy(sorted((run / "images").iterdir())[0], victim)
    tiny = RoadDataModule("naip", str(naip), {"allow_missing": True})
    with pytest.raises(
        InputError, match=rf"split '{split}' are marked as synthetic, .*{victim.name}"
    ):
        tiny.setup(stage)


@pytest.fixture
def on_test_ground(made: Path, tmp_path: Path) -> dict[str, Any]:
    """Real tiles, and a run of which one tile lies on ground that is tested on."""
    naip = make_naip(tmp_path / "naip", places=1, splits=("train", "val", "test"))
    run = Path(shutil.copytree(made / "run", tmp_path / "run"))
    table = pd.read_parquet(run / "manifest.parquet")
    place = some_naip_tiles(1, ("test",))[0]
    table.at[0, "proj:code"] = f"EPSG:{place.epsg}"
    corner = [0.6, 0.0, place.left + 60, 0.0, -0.6, place.top, 0.0, 0.0, 1.0]
    table["proj:transform"] = [np.array(corner), *table["proj:transform"][1:]]
    table.to_parquet(run / "manifest.parquet")
    return {
        "dataset": "naip",
        "root": str(naip),
        "options": {"allow_missing": True},
        "synthetic": [str(run)],
    }


def test_training_on_test_ground_is_refused(on_test_ground: dict[str, Any]) -> None:
    with pytest.raises(InputError, match=r"synthetic tiles: 1 training places .* split 'test'"):
        RoadDataModule(**on_test_ground).setup("fit")


def test_training_on_test_ground_is_left_out(on_test_ground: dict[str, Any]) -> None:
    tiny = RoadDataModule(**on_test_ground, on_overlap="drop")
    with pytest.warns(UserWarning, match="left out"):
        tiny.setup("fit")
    assert tiny.training is not None
    (run,) = tiny.training.synthetic
    assert (
        len(run) == len(pd.read_parquet(f"{on_test_ground['synthetic'][0]}/manifest.parquet")) - 1
    )
    assert [note for note in tiny.notes if note.endswith("left out")]


def test_training_on_test_ground_is_reported(on_test_ground: dict[str, Any]) -> None:
    tiny = RoadDataModule(**on_test_ground, on_overlap="report")
    with pytest.warns(UserWarning, match="lie on ground of the split 'test'"):
        tiny.setup("fit")
    with pytest.raises(InputError, match="not 'ignore'"):
        RoadDataModule(**{**on_test_ground, "on_overlap": "ignore"}).setup("fit")


def test_few_labels(made: Path) -> None:
    three, five = (module(made, label_places=count).training for count in (3, 5))
    assert three is not None
    assert five is not None
    assert len(three.real) == 3
    assert set(three.real.places) < set(five.real.places)


def test_scores_decide_how_often(made: Path, tmp_path: Path) -> None:
    tiny = module(made)
    assert tiny.training is not None
    names = tiny.training.synthetic[0].names
    scores = {name: float(name == names[0]) for name in names}
    (tmp_path / "scores.json").write_text(json.dumps(scores), encoding="utf-8")
    chosen = module(made, scores=str(tmp_path / "scores.json"))
    assert chosen.train_sampler is not None
    plan = chosen.train_sampler.plan(0)
    assert set(plan.numbers[plan.synthetic]) == {len(tiny.training.real)}
    assert module(made, scores="road_fraction").train_sampler is not None
    with pytest.raises(InputError, match="holds no scores by name"):
        module(made, scores=str(tmp_path / "nothing.json"))


def test_positives_can_be_balanced(made: Path) -> None:
    tiny = module(made, positives=0.5, synthetic=None, length=16)
    assert tiny.training is not None
    assert tiny.train_sampler is not None
    positive = tiny.training.real.holds_road()
    assert positive.mean() > 0.6
    assert positive[tiny.train_sampler.plan(0).numbers].sum() == 8


def test_image_and_mask_are_turned_together(made: Path) -> None:
    tiny = RoadDataModule(**TINY, root=str(made / "deepglobe"))
    assert tiny.train_aug is not None
    image = torch.zeros(32, 3, 64, 64)
    image[:, :, 5:20, 40:50] = 255
    batch = {"image": image, "mask": (image[:, 0] > 0).long()}
    torch.manual_seed(0)
    made_of_it = tiny.train_aug(batch)
    assert made_of_it["mask"].dtype == torch.int64
    assert torch.equal(made_of_it["image"].mean(1) > 0.3, made_of_it["mask"] == 1)
    assert made_of_it["image"].max() <= 1
    corners = {tuple(mask.nonzero()[0].tolist()) for mask in made_of_it["mask"]}
    assert len(corners) == 8
    plain = RoadDataModule(**TINY, root=str(made / "deepglobe"), augment=False)
    assert plain.train_aug is None
    assert torch.equal(plain.aug(dict(batch))["image"], image / 255)


def test_options_that_a_dataset_does_not_take(made: Path) -> None:
    with pytest.raises(InputError, match=r"cannot be made with the options \['root', 'years'\]"):
        module(made, options={"years": "image"})
    with pytest.raises(InputError, match="cannot be made"):
        module(made, dataset="vectors", options={})


def test_torchgeo_fit_trains_on_both(made: Path, tmp_path: Path) -> None:
    command = [
        *(sys.executable, "-m", "torchgeo", "fit"),
        *("--config", str(config_path("deepglobe")), "--config", str(config_path("tiny"))),
        *("--trainer.fast_dev_run", "2"),
        *("--data.init_args.root", str(made / "deepglobe")),
        *("--data.init_args.options", '{"val": 0.3, "test": 0.3}'),
        *("--data.init_args.synthetic", json.dumps([str(made / "run")])),
        *("--data.init_args.chip_size", "32"),
    ]
    done = subprocess.run(
        command,
        cwd=tmp_path,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "max_steps=2` reached" in done.stderr + done.stdout
