"""The decoder's last training at toy size: what it changes, what it leaves alone, and resuming."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from toy import toy_pipeline
from toytraining import random_lpips, road_pack

from rsaug.errors import InputError
from rsaug.pipelines.pipeline import CRSDiffPipeline
from rsaug.pipelines.train.critic import PatchCritic, held, hinge_loss
from rsaug.pipelines.train.decoder import DecoderRecipe, train_decoder
from rsaug.pipelines.train.machine import Run

CPU = Run(device="cpu", precision="no", log_every=1, save_every=2)
TOY = DecoderRecipe(steps=4, batch=2, crop=64, warmup=1, critic_width=4, ema_decay=0.5)


class Interrupted(Exception):
    """Stands for whatever ends a run half-way."""


@pytest.fixture(scope="module")
def lpips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Weights of LPIPS, random; as many as the real ones."""
    path = tmp_path_factory.mktemp("lpips") / "lpips.safetensors"
    save_file(random_lpips(), path)
    return path


def train(out: Path, lpips: Path, recipe: DecoderRecipe = TOY, log: Any = lambda line: None) -> Any:
    return train_decoder(road_pack(), toy_pipeline(), out, lpips, recipe, log, run=CPU)


def weights(module: torch.nn.Module) -> torch.Tensor:
    return torch.cat([p.detach().double().flatten() for p in module.parameters()])


def test_only_the_decoder_changes(tmp_path: Path, lpips: Path) -> None:
    before = toy_pipeline()
    train(tmp_path / "out", lpips)
    after = CRSDiffPipeline.from_pretrained(
        tmp_path / "out", use_safetensors=True, low_cpu_mem_usage=False
    )
    changed = weights(after.vae.decoder) - weights(before.vae.decoder)
    assert changed.abs().max() > 1e-4
    # What is saved is in half precision.
    for name in ("unet", "local_adapter", "metadata_embedding", "content_adapter", "text_encoder"):
        torch.testing.assert_close(
            weights(getattr(after, name)), weights(getattr(before, name)), rtol=1e-3, atol=1e-4
        )
    torch.testing.assert_close(
        weights(after.vae.encoder), weights(before.vae.encoder), rtol=1e-3, atol=1e-4
    )


def test_it_learns_to_decode_what_the_denoiser_makes(tmp_path: Path, lpips: Path) -> None:
    lines: list[str] = []
    recipe = replace(TOY, steps=120, learning_rate=3e-3, warmup=0, real_share=0)
    train(tmp_path / "out", lpips, recipe, lines.append)
    l1 = [float(line.split("l1 ")[1].split(",")[0]) for line in lines]
    assert np.mean(l1[-40:]) < 0.7 * np.mean(l1[:5])


def test_an_interrupted_run_ends_like_an_uninterrupted_one(tmp_path: Path, lpips: Path) -> None:
    def interrupt(line: str) -> None:
        if line.startswith("step 2"):
            raise Interrupted(line)

    with pytest.raises(Interrupted):
        train(tmp_path / "resumed", lpips, log=interrupt)
    torch.manual_seed(99)
    resumed, whole = train(tmp_path / "resumed", lpips), train(tmp_path / "whole", lpips)
    assert torch.equal(weights(resumed.vae.decoder), weights(whole.vae.decoder))


@pytest.mark.parametrize(
    ("changes", "message"),
    [({"crop": 72}, "fit"), ({"crop": 60}, "multiple"), ({"noise": (1e4, 2e4)}, "no step")],
)
def test_what_cannot_be_is_refused(
    tmp_path: Path, lpips: Path, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        train(tmp_path / "out", lpips, replace(TOY, **changes))


def test_gradients_pass_a_held_critic_and_leave_it_alone() -> None:
    critic = PatchCritic(4)
    images = torch.randn(2, 3, 64, 64, requires_grad=True)
    with held(critic):
        torch.autograd.backward(critic(images).mean())
    assert images.grad is not None
    assert images.grad.abs().max() > 0
    assert all(p.grad is None for p in critic.parameters())
    assert all(p.requires_grad for p in critic.parameters())


def test_the_hinge_is_zero_where_all_is_told_apart() -> None:
    assert hinge_loss(torch.full((4,), 1.5), torch.full((4,), -2.0)).item() == 0
    assert hinge_loss(torch.zeros(4), torch.zeros(4)).item() == 1


def test_a_critic_learns_to_tell_apart() -> None:
    torch.manual_seed(0)
    critic = PatchCritic(8)
    optimizer = torch.optim.Adam(critic.parameters(), lr=3e-3)
    for _ in range(30):
        real, made = torch.rand(4, 3, 64, 64), torch.rand(4, 3, 64, 64) * 0.2
        loss = hinge_loss(critic(real), critic(made))
        optimizer.zero_grad()
        torch.autograd.backward(loss)
        optimizer.step()
    assert loss.item() < 0.5
