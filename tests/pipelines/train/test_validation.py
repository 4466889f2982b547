"""Pictures while a generator is trained: what is on them, and that they change nothing."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from toy import SIDE, TOY, toy_autoencoder, toy_pipeline
from toytraining import road_pack

from rsaug.pipelines.train.generator import train_generator
from rsaug.pipelines.train.machine import Run
from rsaug.pipelines.train.recipe import GeneratorRecipe
from rsaug.pipelines.train.validation import Validation

RECIPE = GeneratorRecipe(steps=4, batch=2, warmup=1, preset=TOY, sampling_steps=2)
CPU = Run(device="cpu", log_every=2)


def train(out: Path, run: Run) -> list[str]:
    lines: list[str] = []
    pack = road_pack()
    train_generator(pack, np.ones(6), toy_autoencoder(), out, RECIPE, lines.append, run=run)
    return [line.rpartition(",")[0] for line in lines]


def test_pictures_and_numbers_are_written_and_change_nothing(tmp_path: Path) -> None:
    accumulator = pytest.importorskip(
        "tensorboard.backend.event_processing.event_accumulator", reason="needs the extra `train`"
    )
    plain = train(tmp_path / "plain", CPU)
    shown = train(tmp_path / "shown", replace(CPU, picture_every=2, log_dir=tmp_path / "events"))
    assert shown == plain
    pictures = sorted((tmp_path / "shown-logs").iterdir())
    assert [path.name for path in pictures] == ["step-000002.png", "step-000004.png"]
    assert not (tmp_path / "plain-logs").exists()
    events = accumulator.EventAccumulator(str(tmp_path / "events"))
    events.Reload()
    names = {"loss", "learning_rate", "samples_per_second"}
    assert set(events.Tags()["scalars"]) == names
    losses = [f"step {e.step}: loss {e.value:.6g}" for e in events.Scalars("loss")]
    assert losses == plain
    assert events.Tags()["images"] == ["pictures"]


def test_a_sheet_has_a_row_an_example(tmp_path: Path) -> None:
    pack, pipe = road_pack(), toy_pipeline()
    sheet = Validation(pack, "split val", rows=3).sheet(pipe)
    again = Validation(pack, "split val", rows=3).sheet(pipe)
    np.testing.assert_array_equal(sheet, again)
    # Roads, real and made side by side; land cover is not known of these.
    assert sheet.shape[1] == 3 * (SIDE + 10) + 10
    text_only = Validation(pack, "split val", rows=3).sheet(pipe, controls=())
    assert text_only.shape[1] == 2 * (SIDE + 10) + 10
    rows = [k for k in range(0, 6) if _is_on(sheet, pack.rgb[k])]
    assert rows == [0, 2, 5]
    Image.fromarray(sheet).save(tmp_path / "sheet.png")


def _is_on(sheet: np.ndarray, image: np.ndarray) -> bool:
    windows = np.lib.stride_tricks.sliding_window_view(sheet[..., 0], (SIDE, SIDE))
    return bool((windows[:, SIDE + 20] == image[..., 0]).all((1, 2)).any())


def test_the_network_is_as_it_was_after_a_picture() -> None:
    pipe = toy_pipeline()
    before = torch.cat([p.detach().flatten().clone() for p in pipe.unet.parameters()])
    Validation(road_pack(), "split val").sheet(pipe)
    assert torch.equal(before, torch.cat([p.detach().flatten() for p in pipe.unet.parameters()]))
