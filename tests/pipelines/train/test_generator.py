"""Training the denoiser: it learns to follow a road, repeats, resumes and saves what it made."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from toy import SIDE, TOY, toy_autoencoder
from toytraining import digits, road_pack

from rsaug.errors import InputError
from rsaug.pipelines.generate import load_generator
from rsaug.pipelines.pipeline import CRSDiffPipeline
from rsaug.pipelines.train.generator import train_generator
from rsaug.pipelines.train.machine import Run
from rsaug.pipelines.train.mix import ConditionMix
from rsaug.pipelines.train.models import metadata_ranges
from rsaug.pipelines.train.pack import Pack
from rsaug.pipelines.train.recipe import GeneratorRecipe, learning_rate_factor, make_scheduler

SHORT = GeneratorRecipe(steps=4, batch=2, warmup=1, preset=TOY, sampling_steps=2)
ROADS = ConditionMix(((1.0, ("road",)),))


class Interrupted(Exception):
    """Stands for whatever ends a run half-way."""


@pytest.fixture(scope="module")
def pack() -> Pack:
    """Black tiles with a white road across."""
    return road_pack()


def train(
    pack: Pack,
    out: Path,
    recipe: GeneratorRecipe = SHORT,
    log: Callable[[str], None] = lambda line: None,
    **options: Any,
) -> CRSDiffPipeline:
    run = Run(device="cpu", **options)
    return train_generator(pack, np.ones(len(pack)), toy_autoencoder(), out, recipe, log, run=run)


def weights(pipe: CRSDiffPipeline) -> torch.Tensor:
    parts = (pipe.unet, pipe.local_adapter, pipe.metadata_embedding, pipe.content_adapter)
    return torch.cat([p.detach().flatten() for part in parts for p in part.parameters()])


def test_it_learns_to_put_the_road_where_the_map_says(pack: Pack, tmp_path: Path) -> None:
    recipe = replace(
        SHORT, steps=160, batch=8, warmup=10, learning_rate=5e-3, ema_decay=0.95, mix=ROADS
    )
    lines: list[str] = []
    train(pack, tmp_path / "model", recipe, log=lines.append, log_every=40)
    losses = [digits(line) for line in lines]
    assert losses[-1] < 0.6 * losses[0]
    pipe = CRSDiffPipeline.from_pretrained(tmp_path / "model", use_safetensors=True).to(
        torch.float32
    )
    pipe.set_progress_bar_config(disable=True)
    maps, present = torch.zeros(6, 18, SIDE, SIDE), torch.zeros(6, 6)
    maps[:, 9:12], present[:, 3] = torch.from_numpy(pack.road)[:, None], 1
    noise = [torch.Generator().manual_seed(0) for _ in range(6)]
    made = pipe(maps, present, generator=noise, num_inference_steps=8, output_type="latent").images
    with torch.no_grad():
        images = torch.from_numpy(pack.rgb).permute(0, 3, 1, 2) / 127.5 - 1
        true = pipe.vae.encode(images).latent
    distance = torch.cdist(made.flatten(1), true.flatten(1))
    assert distance.argmin(1).tolist() == list(range(6))


def test_what_is_saved_can_be_used(pack: Pack, tmp_path: Path) -> None:
    recipe = replace(SHORT, sampler="unipc", sampling_steps=3, guidance=1.5)
    train(pack, tmp_path / "model", recipe)
    generator = load_generator(str(tmp_path / "model"), device="cpu", tile_size=SIDE)
    described = generator.describe()
    chosen = [described[name] for name in ("scheduler", "steps", "guidance")]
    assert chosen == ["unipc", 3, 1.5]
    ranges = generator.pipe.metadata_embedding.config.ranges
    known = [(2016, 2021), None, None, (0.6, 0.6), None, None, None]
    assert [tuple(r) if r else None for r in ranges] == known
    assert generator.notes(gsd_m=0.6) == []
    assert "only 0.6 of gsd, not on 2." in generator.notes(gsd_m=2.0)[0]
    assert generator.pipe.text_encoder.unknown_words("a desert road in Rome") == ["in", "rome"]
    assert generator.pipe.config.trained_controls == ["mlsd", "hed", "sketch", "road"]
    index = json.loads((tmp_path / "model" / "model_index.json").read_text())
    assert str(tmp_path) not in json.dumps(index)
    files = [path for path in (tmp_path / "model").rglob("*") if path.is_file()]
    assert {path.suffix for path in files} == {".json", ".safetensors"}
    assert not any(str(tmp_path).encode() in path.read_bytes() for path in files)


def test_an_interrupted_run_ends_like_an_uninterrupted_one(pack: Pack, tmp_path: Path) -> None:
    def interrupt(line: str) -> None:
        raise Interrupted(line)

    with pytest.raises(Interrupted, match="step 2"):
        train(pack, tmp_path / "resumed", log=interrupt, log_every=2, save_every=2)
    torch.manual_seed(99)
    resumed, whole = train(pack, tmp_path / "resumed"), train(pack, tmp_path / "whole")
    assert torch.equal(weights(resumed), weights(whole))


def test_a_run_can_be_given_more_steps_before_its_rate_falls(pack: Pack, tmp_path: Path) -> None:
    def interrupt(line: str) -> None:
        raise Interrupted(line)

    with pytest.raises(Interrupted):
        train(pack, tmp_path / "longer", log=interrupt, log_every=2, save_every=2)
    long = replace(SHORT, steps=8)
    longer, whole = train(pack, tmp_path / "longer", long), train(pack, tmp_path / "whole", long)
    assert torch.equal(weights(longer), weights(whole))


def test_another_recipe_does_not_go_on_from_the_checkpoint(pack: Pack, tmp_path: Path) -> None:
    train(pack, tmp_path / "model")
    with pytest.raises(InputError, match="another recipe"):
        train(pack, tmp_path / "model", replace(SHORT, seed=1))


def test_other_data_do_not_go_on_from_the_checkpoint(pack: Pack, tmp_path: Path) -> None:
    train(pack, tmp_path / "model")
    with pytest.raises(InputError, match="other data"):
        train(replace(pack, road=1 - pack.road), tmp_path / "model")


def test_the_learning_rate_is_a_trapezium() -> None:
    factors = [learning_rate_factor(k, 100, 10) for k in range(100)]
    assert factors[:10] == pytest.approx([k / 10 for k in range(1, 11)])
    assert factors[10:76] == [1.0] * 66
    assert factors[75:] == pytest.approx([k / 25 for k in range(25, 0, -1)])


def test_the_last_timestep_is_noise_alone() -> None:
    assert make_scheduler().alphas_cumprod[-1].item() == pytest.approx(0, abs=1e-6)


def test_ranges_are_of_what_is_known() -> None:
    table = np.array([[2016, np.nan, 5], [2018, np.nan, 5], [np.nan, np.nan, 5]])
    assert metadata_ranges(table) == ((2016, 2018), None, (5, 5))


def test_a_trained_model_learns_the_words_that_are_new_to_it(pack: Pack, tmp_path: Path) -> None:
    first = train(pack, tmp_path / "first")
    other = replace(pack, captions=[("a road", "wide dunes")] * len(pack))
    lines: list[str] = []
    made = train_generator(
        other,
        np.ones(len(pack)),
        first,
        str(tmp_path / "second"),
        replace(SHORT, steps=2),
        lines.append,
        run=Run(device="cpu"),
    )
    assert list(made.text_encoder.config.vocabulary) == ["a", "desert", "road", "dunes", "wide"]
    assert "2 words are new to the model: dunes, wide" in lines
