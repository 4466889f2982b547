"""Roads found in synthetic tiles against roads found in real ones."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray
from runfolder import random_masks, tiles_with

from rsaug.downstream.consistency import Segmenter
from rsaug.downstream.evaluation.detection import (
    MEASURES,
    Found,
    find,
    judge_roads,
    overlay,
    ratios,
    scores,
)
from rsaug.downstream.metrics import confusion_counts, relaxed_counts, relaxed_scores
from rsaug.errors import InputError

MASKS = arrays(np.uint8, (2, 7, 9), elements=st.integers(0, 1))


class NearlyAll:
    """A detector that takes everything for road but what is left of a column."""

    def predict(self, images: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """1 from the fourth column on."""
        masks = np.ones((len(images), *images.shape[2:]), dtype=np.uint8)
        masks[:, :, :3] = 0
        return masks


class BrightIsRoad:
    """A detector that takes every bright pixel for road."""

    def predict(self, images: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """1 where the red band is bright."""
        return (images[:, 0] > 127).astype(np.uint8)


def by_all_pairs(
    predicted: NDArray[np.uint8], truth: NDArray[np.uint8], slack_px: float
) -> list[int]:
    """Relaxed counts of one tile, from the distance of every pixel to every other."""
    found, labelled = np.argwhere(predicted), np.argwhere(truth)

    def near(a: NDArray[np.intp], b: NDArray[np.intp]) -> int:
        return sum(any(np.hypot(*(p - q)) <= slack_px for q in b) for p in a)

    return [near(found, labelled), len(found), near(labelled, found), len(labelled)]


@given(MASKS, MASKS, st.sampled_from([0.0, 1.0, 1.5, 2.0, 3.0, 5.0]))
def test_relaxed_counts_are_those_of_all_pairs(
    predicted: NDArray[np.uint8], truth: NDArray[np.uint8], slack: float
) -> None:
    expected = [by_all_pairs(p, t, slack) for p, t in zip(predicted, truth, strict=True)]
    assert relaxed_counts(predicted, truth, slack).tolist() == expected


@given(MASKS, MASKS)
def test_without_slack_relaxed_scores_are_the_strict_ones(
    predicted: NDArray[np.uint8], truth: NDArray[np.uint8]
) -> None:
    strict = confusion_counts(predicted, truth).sum(axis=0)
    relaxed = relaxed_scores(relaxed_counts(predicted, truth, 0).sum(axis=0))
    both = scores(np.concatenate([strict, relaxed_counts(predicted, truth, 0).sum(axis=0)]))
    np.testing.assert_allclose(relaxed[0], both["precision"])
    np.testing.assert_allclose(relaxed[1], both["recall"])
    # The strict F1 is Dice.
    hit, false, missed, _ = strict.tolist()
    road = 2 * hit + false + missed
    np.testing.assert_allclose(relaxed[2], 2 * hit / road if road else np.nan)


@pytest.mark.parametrize("slack", [-1.0, float("nan")])
def test_a_slack_below_nothing_is_refused(slack: float) -> None:
    mask = np.zeros((1, 4, 4), dtype=np.uint8)
    with pytest.raises(InputError, match="from 0 up"):
        relaxed_counts(mask, mask, slack)


def test_a_road_a_little_beside_its_label_is_forgiven_in_metres() -> None:
    masks = random_masks(3)
    shifted = np.roll(masks, 4, axis=1 + 1)
    shifted[:, :, :4] = 0
    tiles = tiles_with(masks, shifted, ["a", "b", "c"])
    # 4 pixels of 0.6 m are 2.4 m.
    strict, relaxed = (
        scores(find(BrightIsRoad(), tiles, s).counts.sum(axis=0)) for s in (2.3, 2.5)
    )
    assert strict["relaxed precision"] < 1
    assert relaxed["relaxed precision"] == 1
    assert strict["IoU"] == relaxed["IoU"] < 0.5


def test_the_same_on_both_sides_is_a_ratio_of_one() -> None:
    masks = random_masks(6)
    seen = np.stack([np.roll(mask, k, axis=1) for k, mask in enumerate(masks)])
    tiles = tiles_with(masks, seen, list("aabbcd"))
    found = find(BrightIsRoad(), tiles, 3.0)
    assert found.places == ("a", "b", "c", "d")
    for ratio in ratios(found, found, paired=True).values():
        assert ratio.value == 1
        assert (ratio.drawn == 1).all()
    value, drawn = ratios(found, found, paired=False)["IoU"]
    low, high = np.quantile(drawn, [0.025, 0.975])
    assert low < value == 1 < high


def test_a_detector_that_sees_nothing_cannot_judge() -> None:
    masks = random_masks(2)
    blind = find(BrightIsRoad(), tiles_with(masks, 0 * masks, ["a", "b"]), 3.0)
    with pytest.raises(InputError, match="train it longer"):
        ratios(blind, blind, paired=True)


def test_only_the_places_of_the_run_are_compared_with() -> None:
    masks = random_masks(3)
    worse = masks.copy()
    worse[2] = 0
    real = tiles_with(masks, worse, ["a", "b", "c"], city="town")
    synthetic = tiles_with(masks[:2], masks[:2], ["a", "b"], city="town")
    section = judge_roads({"it": BrightIsRoad()}, synthetic, real, paired=True, slack_m=3.0)
    values = {(row.measure, row.of): (row.value, row.n) for row in section.rows}
    assert values["IoU ratio", "synthetic / real"] == (1.0, "2 : 2 tiles")
    assert values["IoU", "synthetic, town"] == (1.0, "2 tiles")
    assert values["IoU ratio", "town"] == (1.0, "2 : 2 tiles")
    assert len(section.figures) == 4


def test_colours_say_what_was_found() -> None:
    found, truth = np.array([[1, 1, 0, 0]], np.uint8), np.array([[1, 0, 1, 0]], np.uint8)
    right, wrong, missed, nothing = overlay(np.zeros((1, 4, 3), np.uint8), found, truth)[0].tolist()
    assert max(right) == right[1]
    assert max(wrong) == wrong[0]
    assert max(missed) == missed[2]
    assert nothing == [0, 0, 0]


def test_places_are_drawn_whole() -> None:
    counts = np.array([[1, 0, 0, 9, 1, 1, 1, 1]] * 3)
    found = Found(np.zeros((3, 1, 1), np.uint8), ("a", "b", "c"), counts, 3)
    assert found.only(["a", "c"]).tolist() == counts[:2].tolist()


def test_several_detectors_have_a_mean_and_a_spread() -> None:
    masks = random_masks(6)
    seen = np.stack([np.roll(mask, k % 3, axis=1) for k, mask in enumerate(masks)])
    names = list("abcdef")
    real = tiles_with(masks, seen, names, city="town")
    synthetic = tiles_with(masks, np.roll(seen, 1, axis=2), names, city="town")
    detectors: dict[str, Segmenter] = {"bright": BrightIsRoad(), "all": NearlyAll()}
    section = judge_roads(detectors, synthetic, real, paired=True, slack_m=0.0)
    every = {(row.by, row.measure, row.of): row for row in section.rows}
    each = [every[name, "IoU ratio", "synthetic / real"] for name in detectors]
    by = "mean of 2 detectors"
    mean = every[by, "IoU ratio", "synthetic / real"]
    assert mean.value == pytest.approx(np.mean([row.value for row in each]))
    # Everything is road in both, so this detector's ratio is 1 in every sample of places.
    assert (each[1].low, each[1].high) == (1, 1)
    assert mean.low == pytest.approx((each[0].low + 1) / 2)
    spread = every[by, "IoU ratio", "deviation over detectors, lowest to highest"]
    assert (spread.low, spread.high) == tuple(sorted(row.value for row in each))
    assert spread.value == pytest.approx(np.std([row.value for row in each], ddof=1))
    towns = [every[name, "IoU", "synthetic, town"].value for name in detectors]
    assert every[by, "IoU", "synthetic, town"].value == pytest.approx(np.mean(towns))
    assert all(row.n for row in section.rows)
    assert f"Mean IoU ratio of 2 detectors: {mean.value:.2f}" in section.says[-1]


def test_scores_are_the_numbers_of_all_measures_in_their_order() -> None:
    assert sum(measure.width for measure in MEASURES) == 8
    names = [name for measure in MEASURES for name in measure.names]
    assert list(scores(np.ones((3, 8)))) == names
