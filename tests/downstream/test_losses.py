"""Losses of road masks: least where the mask is met, deaf to what is not known."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from rsaug.downstream.losses import (
    LOSSES,
    RoadLoss,
    read_terms,
    road_loss,
    signed_distance,
    soft_skeleton,
)
from rsaug.errors import InputError


def crossing(size: int = 48) -> torch.Tensor:
    """Masks (1, size, size) of two roads that cross."""
    masks = torch.zeros(1, size, size, dtype=torch.int64)
    masks[:, 20:27] = 1
    masks[:, :, 30:35] = 1
    return masks


@pytest.mark.parametrize("name", LOSSES)
def test_a_loss_is_least_where_the_mask_is_met(name: str) -> None:
    masks = crossing()
    loss = RoadLoss({name: 1.0})
    right = 40.0 * masks - 20
    assert loss(right, masks) < loss(0 * right, masks) < loss(-right, masks)


@pytest.mark.parametrize("name", LOSSES)
def test_what_is_not_known_has_no_say(name: str) -> None:
    masks = crossing()
    masks[:, :, 40:] = 255
    logits = torch.randn(1, 48, 48, generator=torch.Generator().manual_seed(0))
    loss = RoadLoss(name, ignore_index=255)
    other = logits.clone()
    other[:, :, 40:] = 17
    assert torch.equal(loss(logits, masks), loss(other, masks))
    logits.requires_grad_()
    loss(logits, masks).backward()
    assert logits.grad is not None
    assert logits.grad[:, :, :40].abs().sum() > 0
    assert not logits.grad[:, :, 40:].any()


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("value", [0, 255], ids=["no road", "nothing known"])
def test_masks_without_a_road_give_a_number(name: str, value: int) -> None:
    masks = torch.full((2, 16, 16), value)
    logits = torch.zeros(2, 16, 16, requires_grad=True)
    loss = RoadLoss(name, ignore_index=255)(logits, masks)
    loss.backward()
    assert torch.isfinite(loss)
    assert torch.isfinite(logits.grad if logits.grad is not None else torch.tensor(torch.nan)).all()


def test_terms_are_added_up_with_their_weights() -> None:
    masks = crossing()
    logits = torch.randn(1, 48, 48, generator=torch.Generator().manual_seed(1))
    parts = {name: RoadLoss(name)(logits, masks) for name in LOSSES}
    mixed = RoadLoss("bce+0.5*cldice + 2*boundary")(logits, masks)
    expected = parts["bce"] + 0.5 * parts["cldice"] + 2 * parts["boundary"]
    torch.testing.assert_close(mixed, expected)
    torch.testing.assert_close(road_loss(logits, masks.float()), parts["bce"] + parts["dice"])
    assert read_terms("bce+0.5*cldice") == {"bce": 1.0, "cldice": 0.5}


@pytest.mark.parametrize(
    ("terms", "message"),
    [
        ("bce+lovasz", "No loss is called 'lovasz'; there are bce, dice"),
        ("half*bce", "'half[*]bce' is no term of a loss"),
        ({"bce": -1.0}, "weights above 0"),
        ({}, "weights above 0"),
    ],
)
def test_other_terms_are_refused(terms: str | dict[str, float], message: str) -> None:
    with pytest.raises(InputError, match=message):
        RoadLoss(terms)


def test_a_gap_costs_more_by_its_skeleton_than_by_its_pixels() -> None:
    masks = torch.zeros(1, 32, 96, dtype=torch.int64)
    masks[:, 12:19] = 1
    gap, thin = masks.clone(), masks.clone()
    gap[:, :, 40:56] = 0
    # As many pixels less, off the road's edge.
    thin[:, 12, 0:96] = 0
    thin[:, 13, 0:16] = 0
    assert gap.sum() == thin.sum()
    logits = [40.0 * found - 20 for found in (gap, thin)]
    for name, more in (("dice", 1.01), ("cldice", 3)):
        cost = [float(RoadLoss(name)(found, masks)) for found in logits]
        assert (cost[0] > more * cost[1]) == (name == "cldice")


def test_a_soft_skeleton_lies_in_the_middle_of_a_road() -> None:
    masks = torch.zeros(1, 40, 40)
    masks[:, 15:22] = 1
    rows = soft_skeleton(masks)[0, :, 5:35]
    assert (rows[18] == 1).all()
    assert not rows[[*range(18), *range(19, 40)]].any()


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 2**16))
def test_signed_distance_is_that_to_the_nearest_pixel_of_the_other_kind(seed: int) -> None:
    road = ndimage.binary_dilation(np.random.default_rng(seed).random((9, 11)) < 0.05)
    found = signed_distance(road)
    if not road.any():
        assert not found.any()
        return
    place = np.argwhere(np.ones_like(road))
    for (row, col), value in np.ndenumerate(found):
        others = place[road[tuple(place.T)] != road[row, col]]
        if len(others):
            nearest = np.hypot(*(others - (row, col)).T).min()
            assert value == pytest.approx((0.5 - nearest) if road[row, col] else nearest - 0.5)
