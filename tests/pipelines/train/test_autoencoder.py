"""The autoencoder at toy size: it learns, its latent is normal, a resumed run is the same run."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import AutoencoderDC
from numpy.typing import NDArray
from torch import nn

from rsaug.pipelines.train.autoencoder import (
    AutoencoderRecipe,
    Change,
    fold_norm,
    make_autoencoder,
    roughness,
    sample_crops,
    to_unit,
    train_autoencoder,
)
from rsaug.pipelines.train.machine import Run

CPU = Run(device="cpu", log_every=50)
TOY = AutoencoderRecipe(
    latent_channels=4,
    widths=(8, 8, 8, 8),
    encoder_layers=(0, 1, 1, 1),
    decoder_layers=(0, 1, 1, 1),
    crop=32,
    batch=4,
    steps=4,
    warmup=1,
    ema_decay=0.5,
    equivariance=0.6,
    roughness_weight=0.05,
)


class Interrupted(Exception):
    """Stands for whatever ends a run half-way."""


@pytest.fixture(scope="module")
def chips() -> NDArray[np.uint8]:
    """Flat images of many colours, (12, 64, 64, 3)."""
    colours = np.random.default_rng(0).integers(0, 256, (12, 1, 1, 3), dtype=np.uint8)
    return np.broadcast_to(colours, (12, 64, 64, 3)).copy()


def train(chips: NDArray[np.uint8], out: Path, recipe: AutoencoderRecipe = TOY) -> AutoencoderDC:
    return train_autoencoder(chips, out, None, recipe, lambda line: None, run=CPU)


def weights(model: AutoencoderDC) -> torch.Tensor:
    return torch.cat([p.detach().double().flatten() for p in model.parameters()])


def test_it_learns_and_its_latent_has_zero_mean_and_unit_variance(
    chips: NDArray[np.uint8], tmp_path: Path
) -> None:
    recipe = replace(TOY, steps=600, learning_rate=3e-3, ema_decay=0.9)
    train(chips, tmp_path / "vae", recipe)
    model = AutoencoderDC.from_pretrained(tmp_path / "vae", use_safetensors=True)
    images = to_unit(torch.from_numpy(chips))
    with torch.no_grad():
        latent = model.encode(images).latent
        error = (model.decode(latent).sample - images).abs().mean()
        # What is compared with must not depend on the tests before.
        torch.manual_seed(0)
        untrained = make_autoencoder(recipe)
        before = (untrained.decode(untrained.encode(images).latent).sample - images).abs().mean()
    assert latent.shape == (12, 4, 8, 8)
    assert error < 0.4 * before
    assert latent.mean((0, 2, 3)).abs().max() < 0.5
    assert (latent.std((0, 2, 3)) - 1).abs().max() < 0.5


def test_an_interrupted_run_ends_like_an_uninterrupted_one(
    chips: NDArray[np.uint8], tmp_path: Path
) -> None:
    def interrupt(line: str) -> None:
        raise Interrupted(line)

    out = tmp_path / "resumed"
    with pytest.raises(Interrupted, match="step 2"):
        train_autoencoder(
            chips, out, None, TOY, interrupt, run=replace(CPU, log_every=2, save_every=2)
        )
    torch.manual_seed(99)
    resumed, whole = train(chips, out), train(chips, tmp_path / "whole")
    assert torch.equal(weights(resumed), weights(whole))


def test_the_norm_is_folded_exactly() -> None:
    torch.manual_seed(0)
    model = make_autoencoder(TOY)
    norm = nn.BatchNorm2d(4, affine=False).double().eval()
    norm.running_mean = torch.randn(4).double()
    norm.running_var = torch.rand(4).double() + 0.1
    model = model.double()
    images = torch.randn(2, 3, 32, 32).double()
    with torch.no_grad():
        expected = norm(model.encode(images).latent)
        fold_norm(model, norm)
        torch.testing.assert_close(model.encode(images).latent, expected)


def test_a_norm_without_statistics_cannot_be_folded() -> None:
    with pytest.raises(TypeError, match="running statistics"):
        fold_norm(make_autoencoder(TOY), nn.BatchNorm2d(4, track_running_stats=False))


def test_crops_are_of_one_size_and_in_range() -> None:
    chips = np.random.default_rng(0).integers(0, 256, (3, 64, 64, 3), dtype=np.uint8)
    crops = sample_crops(torch.from_numpy(chips), TOY, np.random.default_rng(1))
    assert crops.shape == (4, 3, 32, 32)
    assert crops.min() >= -1
    assert crops.max() <= 1
    again = sample_crops(torch.from_numpy(chips), TOY, np.random.default_rng(1))
    assert torch.equal(crops, again)
    tail = sample_crops(torch.from_numpy(chips), TOY, np.random.default_rng(1), slice(2, 4))
    assert torch.equal(crops[2:], tail)


def test_white_noise_has_a_roughness_of_one_and_a_flat_latent_none() -> None:
    noise = torch.randn(8, 4, 64, 64, generator=torch.Generator().manual_seed(0))
    assert roughness(noise).item() == pytest.approx(1, abs=0.02)
    assert roughness(torch.ones(1, 4, 8, 8)).item() == 0
    # Neighbours that correlate by r have a roughness of 1 - r.
    rows = noise.cumsum(-2)[..., 1:, :] - noise.cumsum(-2)[..., :-1, :]
    smooth = (rows[..., 1:, :] + rows[..., :-1, :]) / 2**0.5
    down = smooth.diff(dim=-2).pow(2).mean() / 2
    assert down.item() == pytest.approx(0.5, abs=0.02)
    across = smooth.diff(dim=-1).pow(2).mean() / 2
    assert roughness(smooth).item() == pytest.approx((down + across).item() / 2, rel=1e-5)


def test_a_change_turns_image_and_latent_alike() -> None:
    image = torch.arange(16.0).view(1, 1, 4, 4)
    turned = Change(quarter=1, mirror=True)(image)
    assert torch.equal(turned, torch.rot90(image, 1, (-2, -1)).flip(-1))
    assert torch.equal(Change()(image), image)
    half = Change(scale=0.5)(image)
    assert half.shape == (1, 1, 2, 2)
    assert half.mean().item() == pytest.approx(image.mean().item())


def test_changes_are_as_frequent_as_the_recipe_says() -> None:
    rng = np.random.default_rng(0)
    drawn = [Change.draw(0.6, rng) for _ in range(2000)]
    # Of those that are drawn one in 8 x 7 / 2 is none.
    assert np.mean([change != Change() for change in drawn]) == pytest.approx(0.58, abs=0.04)
    assert all(Change.draw(0, rng) == Change() for _ in range(20))
    assert {change.quarter for change in drawn} == {0, 1, 2, 3}


def test_a_smooth_latent_is_learned_where_roughness_costs(tmp_path: Path) -> None:
    images = np.random.default_rng(0).integers(0, 256, (12, 64, 64, 3), dtype=np.uint8)
    rough = replace(TOY, steps=60, learning_rate=3e-3, equivariance=0, roughness_weight=0)
    found = {}
    for name, recipe in (("free", rough), ("smooth", replace(rough, roughness_weight=1.0))):
        model = train(images, tmp_path / name, recipe)
        with torch.no_grad():
            latent = model.encode(to_unit(torch.from_numpy(images))).latent
        found[name] = roughness(latent / latent.std())
    assert found["smooth"] < 0.7 * found["free"]


def test_an_autoencoder_can_be_gone_on_from(chips: NDArray[np.uint8], tmp_path: Path) -> None:
    first = train(chips, tmp_path / "first")
    before = weights(first).clone()
    second = train_autoencoder(
        chips, tmp_path / "second", None, TOY, lambda line: None, start=first, run=CPU
    )
    assert second is first
    assert not torch.equal(weights(second), before)
    assert (weights(second) - before).abs().max() < 0.1
