"""Arms with one seed see the same real samples in the same order, changed in the same way."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("segmentation_models_pytorch", reason="needs the extra `eval`")

from benchdata import squares

from rsaug.downstream.bench.augment import augment
from rsaug.downstream.bench.draws import Sequence, Shares, batches


@given(
    batch=st.integers(1, 12),
    share=st.floats(0, 1),
    steps=st.integers(1, 40),
    pretrain=st.integers(0, 20),
)
def test_shares_are_kept_over_any_number_of_steps(
    batch: int, share: float, steps: int, pretrain: int
) -> None:
    shares = Shares(batch, share, pretrain)
    real: list[int] = []
    made: list[int] = []
    for step in range(steps):
        ours, theirs = shares.of_step(step)
        assert len(ours) + len(theirs) == batch
        real, made = [*real, *ours], [*made, *theirs]
    # No sample of a sequence is left out or comes twice.
    assert real == [*range(len(real))]
    assert made == [*range(len(made))]
    first = min(steps, pretrain) * batch
    assert abs(len(made) - first - (steps * batch - first) * share) < 1


def test_an_order_goes_through_all_items_before_any_comes_again() -> None:
    order = Sequence(5, seed=3, kind=0)
    drawn = [order.item(k) for k in range(15)]
    assert Counter(drawn) == dict.fromkeys(range(5), 3)
    assert drawn == [Sequence(5, seed=3, kind=0).item(k) for k in range(15)]
    assert drawn != [Sequence(5, seed=3, kind=1).item(k) for k in range(15)]


def test_half_as_many_real_samples_are_the_same_at_half_the_speed() -> None:
    real, made = squares([0, 2, 4], seed=1), squares([6, 8], seed=2)
    alone = batches(real, None, Shares(4), "strong", seed=7)
    mixed = batches(real, made, Shares(4, 0.5), "strong", seed=7)
    x, _ = alone(0)
    halves = torch.cat([mixed(step)[0][:2] for step in (0, 1)])
    assert torch.equal(x, halves)
    later = batches(real, made, Shares(4, pretrain=2), "strong", seed=7)
    assert torch.equal(later(2)[0], x)
    assert not torch.equal(later(0)[0], x)
    other = batches(real, None, Shares(4), "strong", seed=8)
    assert not torch.equal(other(0)[0], x)


def test_roads_stay_under_their_pixels() -> None:
    mask = np.zeros((64, 64), np.uint8)
    mask[20:34, :] = 1
    image = np.repeat(200 * mask[None], 3, axis=0)
    for seed in range(12):
        x, y = augment(
            torch.from_numpy(image), torch.from_numpy(mask), "light", np.random.default_rng(seed)
        )
        assert torch.equal(x[0], 200 * y)
        x, y = augment(
            torch.from_numpy(image), torch.from_numpy(mask), "strong", np.random.default_rng(seed)
        )
        assert set(np.unique(y.numpy()).tolist()) <= {0.0, 1.0}
        assert x.min() >= 0
        assert x.max() <= 255
        # Light, noise and a grey square change values, and not where the bright ones are.
        assert x[0][y > 0].median() > x[0][y == 0].median() + 50


def test_nothing_is_changed_where_nothing_is_asked_for() -> None:
    image = torch.arange(48, dtype=torch.uint8).view(3, 4, 4)
    x, y = augment(image, torch.ones(4, 4, dtype=torch.uint8), "none", np.random.default_rng(0))
    assert torch.equal(x, image.float())
    assert y.min() == 1
