"""Pairs of images, orientations, and the perceptual distance of pairs."""

from __future__ import annotations

from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from runfolder import random_masks, tiles_with
from safetensors.torch import save_file

from rsaug.downstream.evaluation.novelty import (
    judge_variety,
    other_place_pairs,
    perceptual,
    same_place_pairs,
    turned,
)
from rsaug.pipelines.train.losses import LPIPS

PLACES = st.lists(st.sampled_from("abcd"), min_size=1, max_size=12).map(np.array)


@given(PLACES)
def test_pairs_are_all_of_one_place_or_none(places: np.ndarray) -> None:
    every = set(combinations(range(len(places)), 2))
    same = {(a, b) for a, b in every if places[a] == places[b]}
    assert {(int(a), int(b)) for a, b in same_place_pairs(places)} == same
    assert len(same_place_pairs(places)) == len(same)
    others = other_place_pairs(places, 1000)
    assert {(int(a), int(b)) for a, b in others} == every - same
    assert len(others) == len(every - same)
    assert len(other_place_pairs(places, 3)) == min(3, len(every - same))


def test_there_are_eight_orientations() -> None:
    image = np.arange(2 * 3 * 4 * 4, dtype=np.uint8).reshape(2, 3, 4, 4)
    forms = [turned(image, turn) for turn in range(8)]
    assert len({form.tobytes() for form in forms}) == 8
    np.testing.assert_array_equal(forms[0], image)


@pytest.fixture
def lpips(tmp_path: Path) -> LPIPS:
    """LPIPS with weights at random, none of the heads negative."""
    torch.manual_seed(0)
    shapes = [(64, 3, 11), (192, 64, 5), (384, 192, 3), (256, 384, 3), (256, 256, 3)]
    state = {}
    for k, (outputs, inputs, side) in enumerate(shapes):
        state[f"conv{k}.weight"] = 0.05 * torch.randn(outputs, inputs, side, side)
        state[f"conv{k}.bias"] = torch.zeros(outputs)
        state[f"lin{k}.weight"] = torch.rand(1, outputs, 1, 1)
    save_file(state, tmp_path / "lpips.safetensors")
    return LPIPS(tmp_path / "lpips.safetensors").eval()


def test_variants_are_compared_and_copies_show(lpips: LPIPS) -> None:
    masks = random_masks(4, seed=2)
    images = np.random.default_rng(1).integers(0, 255, (4, 3, 32, 32), dtype=np.uint8)
    images[1] = images[0]
    tiles = tiles_with(masks, masks, list("aabb"))
    tiles = type(tiles)(**{**vars(tiles), "images": images})
    distances = perceptual(lpips, images, np.array([[0, 1], [2, 3]]))
    assert distances[0] == 0 < distances[1]
    section = judge_variety(None, tiles, None, lpips)
    rows = {row.of: row for row in section.rows}
    assert set(rows) == {"variants of a synthetic tile", "different synthetic tiles"}
    assert rows["variants of a synthetic tile"].n == "2 pairs"
    assert rows["variants of a synthetic tile"].value == pytest.approx(distances.mean(), rel=1e-5)
    assert section.missing == ()


def test_what_cannot_be_compared_is_said() -> None:
    masks = random_masks(2)
    section = judge_variety(None, tiles_with(masks, masks, ["a", "b"]), None, None)
    assert section.rows == ()
    assert len(section.missing) == 2
