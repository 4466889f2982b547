"""The phases of CRS-Diff on a model of the published kind: what is trained, and what stays."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from toy import toy_autoencoder, toy_pipeline
from toytraining import clip_pipeline, digits, road_pack

from rsaug.errors import InputError
from rsaug.pipelines.pipeline import CRSDiffPipeline
from rsaug.pipelines.train.generator import train_generator
from rsaug.pipelines.train.lora import FILE
from rsaug.pipelines.train.machine import Run
from rsaug.pipelines.train.models import fit_metadata
from rsaug.pipelines.train.networks import PARTS, Phase
from rsaug.pipelines.train.recipe import recipe_for

pytest.importorskip("transformers", reason="needs the extra `sd15`")

CPU = Run(device="cpu", precision="no", log_every=1)
SHORT = {"steps": 3, "batch": 2, "warmup": 1, "learning_rate": 1e-2, "ema_decay": 0.5}


def train(
    pipe: Any, out: Path, phase: Phase, run: Run = CPU, **changes: Any
) -> tuple[CRSDiffPipeline, list[str]]:
    lines: list[str] = []
    pack = road_pack()
    recipe = recipe_for(phase, **{**SHORT, **changes})
    made = train_generator(pack, np.ones(len(pack)), pipe, out, recipe, lines.append, run=run)
    return made, lines


def states(pipe: CRSDiffPipeline) -> dict[str, dict[str, Tensor]]:
    """Weights of each network in half precision, as they are saved."""
    return {
        name: {key: value.half().clone() for key, value in part.state_dict().items()}
        for name, part in pipe.components.items()
        if isinstance(part, nn.Module)
    }


def changed(before: Mapping[str, Mapping[str, Tensor]], pipe: CRSDiffPipeline) -> set[str]:
    after = states(pipe)
    assert {name: part.keys() for name, part in before.items()} == {
        name: part.keys() for name, part in after.items()
    }
    return {
        name
        for name, part in before.items()
        if any(not torch.equal(value, after[name][key]) for key, value in part.items())
    }


@pytest.mark.parametrize(
    ("phase", "text", "parts"),
    [
        ("joint", False, {"unet", "local_adapter", "metadata_embedding", "content_adapter"}),
        ("joint", True, set(PARTS)),
        ("text", False, {"unet"}),
        ("text", True, {"unet", "text_encoder"}),
        ("conditions", False, {"local_adapter", "metadata_embedding", "content_adapter"}),
    ],
)
def test_a_phase_trains_its_networks_and_no_other(
    tmp_path: Path, phase: Phase, text: bool, parts: set[str]
) -> None:
    pipe = clip_pipeline()
    # An adapter that starts at zero lets nothing through at first, and so learns little in 3 steps.
    torch.nn.init.normal_(pipe.local_adapter.mid_output.weight, std=0.1)
    before = states(pipe)
    made, _ = train(pipe, tmp_path / "model", phase, train_text=text)
    assert changed(before, made) == parts
    controls = made.config.trained_controls
    # No example has land cover, and depth was known before.
    learned = ["mlsd", "hed", "sketch", "road", "depth"]
    assert controls == (["road", "depth"] if phase == "text" else learned)
    assert made.config.default_steps == 3
    assert made.scheduler.config.prediction_type == "epsilon"


def test_the_denoiser_learns_from_text_alone(tmp_path: Path) -> None:
    """In the phase `text` neither controls nor metadata nor content tokens reach it."""
    losses = []
    for spoilt in (False, True):
        pipe = clip_pipeline()
        if spoilt:
            for part in (pipe.local_adapter, pipe.metadata_embedding, pipe.content_adapter):
                for weight in part.parameters():
                    torch.nn.init.normal_(weight, std=3.0)
        _, lines = train(pipe, tmp_path / f"{spoilt}", "text")
        losses.append([digits(line) for line in lines])
    assert losses[0] == losses[1]


def test_training_on_from_our_own_kind_of_model(tmp_path: Path) -> None:
    pipe = toy_pipeline()
    before = states(pipe)
    made, lines = train(pipe, tmp_path / "model", "joint")
    assert changed(before, made) == set(PARTS)
    assert made.scheduler.config.prediction_type == "v_prediction"
    # toy_pipeline knows 2016 to 2020; the examples reach to 2021.
    assert "of metadata year, 1 of 6 values are unknown to the model" in lines


def test_metadata_are_fitted_as_when_images_are_made() -> None:
    given = np.array(
        [[2018, 5, 1, 0.6, 20, 35, 10], [2030, np.nan, 1, 3, 20, 99, 10]], dtype=np.float32
    )
    nan = np.nan
    # With a learned null, what lies outside the ranges of toy_pipeline is left out ...
    values, changes = fit_metadata(toy_pipeline().metadata_embedding, given)
    of_ours = [[2018, nan, nan, 0.6, nan, 35, nan], [nan, nan, nan, nan, nan, nan, nan]]
    np.testing.assert_allclose(values, of_ours, rtol=1e-6)
    assert changes == {
        "year": 1,
        "month": 1,
        "day": 2,
        "gsd": 1,
        "cloud_cover": 2,
        "latitude": 1,
        "longitude": 2,
    }
    # ... and without one it is moved to the end of those that are published.
    values, changes = fit_metadata(clip_pipeline().metadata_embedding, given)
    as_published = [[2018, 5, 1, 0.6, 20, 35, 10], [2024, nan, 1, 3, 20, 90, 10]]
    np.testing.assert_allclose(values, as_published, rtol=1e-6)
    assert changes == {"year": 1, "latitude": 1}


@pytest.mark.parametrize("phase", ["text", "conditions", "joint"])
def test_low_rank_updates_are_merged_and_kept_by_themselves(tmp_path: Path, phase: Phase) -> None:
    pipe = clip_pipeline()
    torch.nn.init.normal_(pipe.local_adapter.mid_output.weight, std=0.1)
    before = states(pipe)
    made, _ = train(pipe, tmp_path / "model", phase, lora_rank=2)
    adapted = {"text": {"unet"}, "conditions": {"local_adapter"}}.get(
        phase, {"unet", "local_adapter"}
    )
    assert changed(before, made) == adapted
    updates = load_file(tmp_path / "model" / FILE)
    assert {name.partition(".")[0] for name in updates} == adapted
    after = states(made)
    for name in (key for key in updates if key.endswith("lora_A.weight")):
        layer = name.removesuffix(".lora_A.weight")
        part, _, key = layer.partition(".")
        product = updates[f"{layer}.lora_B.weight"] @ updates[name]
        difference = after[part][f"{key}.weight"].float() - before[part][f"{key}.weight"].float()
        torch.testing.assert_close(difference, product, atol=2e-3, rtol=0)


@pytest.mark.parametrize(
    ("phase", "rank", "text"), [("text", 0, True), ("conditions", 0, False), ("joint", 2, False)]
)
def test_a_phase_that_was_stopped_ends_as_one_that_was_not(
    tmp_path: Path, phase: Phase, rank: int, text: bool
) -> None:
    def start() -> Any:
        pipe = clip_pipeline()
        torch.nn.init.normal_(pipe.local_adapter.mid_output.weight, std=0.1)
        return pipe

    def stop(line: str) -> None:
        if line.startswith("step 2:"):
            raise KeyboardInterrupt

    run = replace(CPU, save_every=1, accumulate=2)
    changes: dict[str, Any] = {**SHORT, "steps": 4, "lora_rank": rank, "train_text": text}
    recipe = recipe_for(phase, **changes)
    pack = road_pack()
    weights = np.ones(len(pack))
    whole = train_generator(
        pack, weights, start(), tmp_path / "whole", recipe, lambda line: None, run=run
    )
    with pytest.raises(KeyboardInterrupt):
        train_generator(pack, weights, start(), tmp_path / "cut", recipe, stop, run=run)
    lines: list[str] = []
    cut = train_generator(pack, weights, start(), tmp_path / "cut", recipe, lines.append, run=run)
    assert [line.partition(":")[0] for line in lines] == ["step 3", "step 4"]
    assert changed(states(whole), cut) == set()


def test_low_rank_updates_alone_can_be_loaded_by_diffusers(tmp_path: Path) -> None:
    made, _ = train(clip_pipeline(), tmp_path / "model", "text", lora_rank=2)
    unet = clip_pipeline().unet
    updates = load_file(tmp_path / "model" / FILE)
    unet.load_lora_adapter(updates, prefix="unet")
    unet.fuse_lora()
    noisy, labels = torch.randn(1, 4, 8, 8), torch.zeros(1, 64)
    context = torch.randn(1, 8, 16)
    with torch.no_grad():
        theirs = unet(noisy, 500, context, class_labels=labels).sample
        ours = made.unet.float()(noisy, 500, context, class_labels=labels).sample
    torch.testing.assert_close(ours, theirs, atol=5e-3, rtol=1e-2)


def test_less_memory_is_the_same_training(tmp_path: Path) -> None:
    runs = {
        "plain": CPU,
        "checkpointing": Run(device="cpu", precision="no", log_every=1, checkpointing=True),
        "accumulate": Run(device="cpu", precision="no", log_every=1, accumulate=2),
    }
    losses = {}
    for name, run in runs.items():
        _, lines = train(clip_pipeline(), tmp_path / name, "joint", run)
        losses[name] = [digits(line) for line in lines]
    assert losses["checkpointing"] == losses["plain"]
    assert losses["accumulate"] == pytest.approx(losses["plain"], rel=1e-4)


def test_another_model_does_not_go_on_from_the_checkpoint(tmp_path: Path) -> None:
    pipe = clip_pipeline()
    train(pipe, tmp_path / "model", "text")
    other = clip_pipeline()
    torch.nn.init.zeros_(other.unet.conv_in.bias)
    torch.nn.init.ones_(other.unet.conv_out.bias)
    with pytest.raises(InputError, match="another recipe or from other data"):
        train(other, tmp_path / "model", "text")
    # The same weights, taken to predict something else.
    other = clip_pipeline()
    other.scheduler.register_to_config(prediction_type="v_prediction")
    with pytest.raises(InputError, match="another recipe or from other data"):
        train(other, tmp_path / "model", "text")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"phase": "text"}, "the phase 'text' there must be a model to start from"),
        ({"phase": "joint", "lora_rank": 4}, "low-rank updates there must be a model"),
    ],
)
def test_what_needs_a_model_says_so(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        train(toy_autoencoder(), tmp_path / "model", **changes)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"phase": "conditions", "train_text": True}, "cannot be trained in the phase"),
        ({"phase": "text", "train_text": True, "lora_rank": 2}, "the text encoder stays"),
        ({"phase": "all"}, "No phase is called 'all'"),
        ({"phase": "joint", "lora_rank": 2}, "The adapter of this model is untrained"),
        ({"phase": "joint", "learning_rate": -1.0}, "learning rate must be above 0, not -1"),
        ({"phase": "joint", "seed": -1}, "seed, rank and warm-up must be 0 or more"),
    ],
)
def test_what_does_not_go_together_is_refused(
    tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        train(clip_pipeline(), tmp_path / "model", **changes)
