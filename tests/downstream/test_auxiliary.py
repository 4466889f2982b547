"""Centrelines and directions of masks."""

from __future__ import annotations

import numpy as np
import pytest
import torch

pytest.importorskip("skimage", reason="needs the extra `graph`")

from rsaug.downstream.auxiliary import auxiliary_loss, auxiliary_targets


@pytest.mark.parametrize("degrees", [0, 30, 60, 90, 135])
def test_direction_is_twice_the_angle_of_the_road(degrees: float) -> None:
    rows, cols = np.mgrid[:96, :96] - 47.5
    angle = np.radians(degrees)
    away = np.abs(rows * np.cos(angle) - cols * np.sin(angle))
    heat, cosine, sine = auxiliary_targets(away < 5)
    inside = (away < 4) & (np.hypot(rows, cols) < 30)
    found = np.arctan2(sine[inside], cosine[inside])
    off = np.angle(np.exp(1j * (found - 2 * angle)))
    assert np.degrees(np.abs(off)).max() / 2 < 15
    assert np.degrees(np.abs(off)).mean() / 2 < 4
    assert heat[(away < 0.6) & inside].min() > 0.5
    assert not cosine[away >= 5].any()


def test_no_road_has_neither() -> None:
    assert not auxiliary_targets(np.zeros((8, 8), bool)).any()


def test_the_loss_is_least_where_the_targets_are_met_and_deaf_to_the_unknown() -> None:
    masks = torch.zeros(1, 32, 32, dtype=torch.int64)
    masks[:, 10:17] = 1
    targets = torch.from_numpy(auxiliary_targets(masks[0].numpy() > 0))[None]
    right = torch.cat([torch.logit(targets[:, :1].clamp(1e-4, 1 - 1e-4)), targets[:, 1:]], dim=1)
    assert auxiliary_loss(right, masks) < auxiliary_loss(0 * right, masks)
    assert auxiliary_loss(0 * right, masks) < auxiliary_loss(-right, masks)
    masks[:, :, 24:] = 255
    other = right.clone()
    other[..., 24:] = 9
    torch.testing.assert_close(auxiliary_loss(right, masks, 255), auxiliary_loss(other, masks, 255))
