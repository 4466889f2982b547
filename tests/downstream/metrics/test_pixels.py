"""Road metrics against counting pixel by pixel."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from rsaug.downstream.metrics import (
    COUNTS,
    Scores,
    confusion_counts,
    f1,
    iou,
    road_scores,
    total_scores,
)
from rsaug.errors import InputError


@st.composite
def mask_pairs(draw: st.DrawFn) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Predicted and true masks of one small shape, from empty to full."""
    shape = draw(st.tuples(st.integers(1, 3), st.integers(1, 5), st.integers(1, 5)))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    shares = draw(st.tuples(*[st.sampled_from([0.0, 0.2, 0.5, 1.0])] * 2))
    predicted, truth = ((rng.random(shape) < share).astype(np.uint8) for share in shares)
    return predicted, truth


def count_by_hand(
    predicted: NDArray[np.uint8], truth: NDArray[np.uint8]
) -> tuple[int, int, int, int]:
    """True positives, false positives, false negatives and true negatives, one pixel at a time."""
    pairs = list(zip(predicted.ravel().tolist(), truth.ravel().tolist(), strict=True))
    return pairs.count((1, 1)), pairs.count((1, 0)), pairs.count((0, 1)), pairs.count((0, 0))


@given(mask_pairs())
def test_counts_of_each_tile_are_those_counted_by_hand(
    pair: tuple[NDArray[np.uint8], NDArray[np.uint8]],
) -> None:
    predicted, truth = pair
    expected = [count_by_hand(p, t) for p, t in zip(predicted, truth, strict=True)]
    assert confusion_counts(predicted, truth).tolist() == [list(row) for row in expected]


@given(mask_pairs())
def test_scores_are_those_of_all_pixels_together(
    pair: tuple[NDArray[np.uint8], NDArray[np.uint8]],
) -> None:
    hit, false, missed, _ = count_by_hand(*pair)
    scores = road_scores(*pair)
    for score, part, whole in (
        (scores.iou, hit, hit + false + missed),
        (scores.precision, hit, hit + false),
        (scores.recall, hit, hit + missed),
        (scores.f1, 2 * hit, 2 * hit + false + missed),
    ):
        np.testing.assert_equal(score, part / whole if whole else np.nan)


@given(mask_pairs())
def test_iou_and_f1_are_symmetric_and_bound_to_each_other(
    pair: tuple[NDArray[np.uint8], NDArray[np.uint8]],
) -> None:
    there, back = confusion_counts(*pair), confusion_counts(*pair[::-1])
    np.testing.assert_array_equal(iou(there), iou(back))
    np.testing.assert_allclose(f1(there), 2 * iou(there) / (1 + iou(there)))


def test_counts_are_in_the_order_of_their_names() -> None:
    predicted, truth = np.array([[[1, 1, 1, 0, 0, 0]]]), np.array([[[1, 0, 0, 1, 1, 1]]])
    counts = confusion_counts(predicted, truth)[0].tolist()
    assert dict(zip(COUNTS, counts, strict=True)) == {
        "true_positive": 1,
        "false_positive": 2,
        "false_negative": 3,
        "true_negative": 0,
    }


def test_a_small_tile_does_not_weigh_as_much_as_a_large_one() -> None:
    # All of 1 road pixel found on one tile, none of 99 on another: 1 %, not the mean of 50 %.
    counts = np.array([[1, 0, 0, 99], [0, 0, 99, 1]])
    assert total_scores(counts).iou == 0.01


def test_undefined_scores_are_null_in_json() -> None:
    empty = np.zeros((1, 2, 2), dtype=np.uint8)
    scores = road_scores(empty, empty)
    assert np.isnan(scores.iou)
    assert set(scores.to_dict().values()) == {None}
    assert Scores(0.5, 0.5, 1.0, 0.6).to_dict()["recall"] == 1.0


@pytest.mark.parametrize(
    ("predicted", "truth", "reason"),
    [
        (np.zeros((1, 2, 2)), np.zeros((1, 2, 3)), "one shape"),
        (np.zeros((2, 2)), np.zeros((2, 2)), "one shape"),
        (np.full((1, 2, 2), 255, dtype=np.uint8), np.ones((1, 2, 2)), "predicted mask.*255"),
        (np.ones((1, 2, 2)), np.full((1, 2, 2), 0.5), "true mask"),
    ],
)
def test_what_is_no_mask_is_refused(
    predicted: NDArray[np.generic], truth: NDArray[np.generic], reason: str
) -> None:
    with pytest.raises(InputError, match=reason):
        confusion_counts(predicted, truth)
