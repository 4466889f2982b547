"""LPIPS on random weights: what holds whatever the weights are."""

from __future__ import annotations

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from rsaug.pipelines.train.losses import LPIPS

SHAPES = ((64, 3, 11), (192, 64, 5), (384, 192, 3), (256, 384, 3), (256, 256, 3))


@pytest.fixture(scope="module")
def lpips(tmp_path_factory: pytest.TempPathFactory) -> LPIPS:
    """The metric with random features and positive heads."""
    torch.manual_seed(0)
    state = {}
    for k, (out, inside, side) in enumerate(SHAPES):
        state[f"conv{k}.weight"] = nn.init.kaiming_normal_(torch.empty(out, inside, side, side))
        state[f"conv{k}.bias"] = torch.zeros(out)
        state[f"lin{k}.weight"] = torch.rand(1, out, 1, 1)
    path = tmp_path_factory.mktemp("weights") / "lpips.safetensors"
    save_file(state, path)
    return LPIPS(path)


def image(seed: int) -> torch.Tensor:
    return torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(seed)) * 2 - 1


def test_it_is_a_distance(lpips: LPIPS) -> None:
    a, b = image(0), image(1)
    assert torch.equal(lpips(a, a), torch.zeros(2))
    assert (lpips(a, b) > 0).all()
    torch.testing.assert_close(lpips(a, b), lpips(b, a))
    slight = lpips(a, a + 0.02 * image(2))
    assert (slight < lpips(a, b)).all()


def test_each_image_counts_for_itself(lpips: LPIPS) -> None:
    a, b = image(0), image(1)
    torch.testing.assert_close(lpips(a[1:], b[1:]), lpips(a, b)[1:])


def test_gradients_reach_the_images_and_not_the_features(lpips: LPIPS) -> None:
    a = image(0).requires_grad_()
    torch.autograd.backward(lpips(a, image(1)).sum())
    assert a.grad is not None
    assert a.grad.abs().sum() > 0
    assert not any(p.requires_grad for p in lpips.parameters())
