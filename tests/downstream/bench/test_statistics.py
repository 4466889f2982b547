"""Intervals hold the true value about as often as they say."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
from numpy.typing import NDArray

pytest.importorskip("segmentation_models_pytorch", reason="needs the extra `eval`")

from rsaug.downstream.bench.statistics import average, difference
from rsaug.downstream.metrics import iou
from rsaug.errors import InputError

Floats = NDArray[np.float64]
TRIALS = 150


def share(counts: Floats) -> Floats:
    """The first number over the second."""
    part: Floats = counts[..., 0] / counts[..., 1]
    return part


def table(rng: np.random.Generator, of_places: Floats, gain: float = 0.0, seeds: int = 5) -> Floats:
    """Scores of seeds by places, of which each has a deviation of its own, as numbers to add."""
    shape = seeds, len(of_places)
    values = 0.5 + gain + of_places + rng.normal(0, 0.03, (seeds, 1)) + rng.normal(0, 0.05, shape)
    return np.stack([values, np.ones(shape)], axis=-1)


@pytest.mark.parametrize("seeds", [3, 5])
def test_intervals_hold_the_true_value_as_often_as_they_say(seeds: int) -> None:
    rng = np.random.default_rng(0)
    score_held = gain_held = 0
    for _ in range(TRIALS):
        places = rng.normal(0, 0.1, 24)
        theirs, ours = table(rng, places, seeds=seeds), table(rng, places, 0.04, seeds)
        score = average([theirs], share, 200)
        gain = difference([(ours, theirs)], share, 200)
        score_held += score.low <= 0.5 <= score.high
        gain_held += gain.low <= 0.04 <= gain.high
    # Four standard deviations of a count around 95 %, and none is far too wide.
    for held in (score_held, gain_held):
        assert 0.95 - 4 * np.sqrt(0.95 * 0.05 / TRIALS) <= held / TRIALS < 1


def test_pairs_see_what_places_hide() -> None:
    rng = np.random.default_rng(1)
    places = rng.normal(0, 0.2, 30)
    theirs, ours = table(rng, places), table(rng, places, 0.1)
    gain = difference([(ours, theirs)], share, 400)
    assert gain.is_clear
    scores = [average([side], share, 400) for side in (ours, theirs)]
    assert scores[0].low < scores[1].high
    assert gain.value == pytest.approx(scores[0].value - scores[1].value)
    assert gain.high - gain.low < scores[0].high - scores[0].low


def test_scores_are_those_of_all_places_together() -> None:
    counts = np.array([[[3, 1, 0, 9], [0, 0, 4, 9]], [[1, 1, 2, 9], [2, 0, 0, 9]]], dtype=float)
    found = average([counts], iou, 50)
    assert found.value == pytest.approx(np.mean([3 / 8, 3 / 6]))
    assert found.low < found.value < found.high


def test_the_mean_over_detectors_is_paired_too() -> None:
    rng = np.random.default_rng(2)
    places = rng.normal(0, 0.1, 10)
    pairs = [(table(rng, places, gain), table(rng, places)) for gain in (0.1, 0.3)]
    both = difference(pairs, share, 100)
    each = [difference([pair], share, 100).value for pair in pairs]
    assert both.value == pytest.approx(np.mean(each))


def test_one_seed_says_nothing_of_others() -> None:
    rng = np.random.default_rng(3)
    places = rng.normal(0, 0.1, 40)
    one = average([table(rng, places, seeds=1)], share, 300)
    assert one.low < one.value < one.high
    alone = average([table(rng, places[:1], seeds=1)], share, 300)
    assert np.isnan([alone.low, alone.high]).all()
    same = np.ones((2, 3, 2))
    assert difference([(same, same)], share, 20) == (0, 0, 0)


def test_what_is_not_defined_stays_so() -> None:
    nothing = average([np.zeros((2, 3, 4))], iou, 20)
    assert np.isnan(nothing).all()
    half = np.zeros((2, 3, 4))
    half[1, :, 0] = 1
    assert average([half], iou, 20).value == 1


def test_only_what_is_of_one_shape_is_compared() -> None:
    compare = partial(difference, score=share, samples=10)
    with pytest.raises(InputError, match="the same seeds and places"):
        compare([(np.ones((2, 3, 2)), np.ones((2, 4, 2)))])
