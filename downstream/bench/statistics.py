"""Means, differences and their intervals, over seeds and places at once.

Every detector of an arm, one a seed, is measured on the same places, so seeds and places are
crossed, and a result is a table of seeds by places. Both are drawn anew, as in the pigeonhole
bootstrap (Owen 2007, "The pigeonhole bootstrap", Annals of Applied Statistics 1(2), 386-411). Two
arms are compared on the same seeds and places in every draw.

With three or five seeds, percentiles of such draws are too narrow: the bootstrap's variance of n
things is (n - 1) / n of what it should be, and quantiles as of a normal distribution are too little
(Hesterberg 2015, "What teachers should know about the bootstrap", The American Statistician 69(4),
371-386). So seeds and places are drawn apart, each variance is set right, and the interval is
Student's, with as many degrees of freedom as Satterthwaite gives their sum (1946, "An approximate
distribution of estimates of variance components", Biometrics Bulletin 2(6), 110-114). What the two
do together is in both parts, which makes it a little too wide rather than too narrow.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from rsaug.errors import InputError

LEVEL = 0.95
"""What an interval should hold the true value in."""

_SEED = 0

Floats = NDArray[np.float64]
ScoreOf = Callable[[Floats], Floats]


class Estimate(NamedTuple):
    """A number with its interval.

    Attributes:
        value: The number; NaN where it is not defined.
        low: Lower end of the interval; NaN where there is none.
        high: Upper end.
    """

    value: float
    low: float
    high: float

    @property
    def is_clear(self) -> bool:
        """Whether 0 lies outside of the interval."""
        return self.low > 0 or self.high < 0


def average(tables: Sequence[Floats], score: ScoreOf, samples: int) -> Estimate:
    """A score with its interval: the mean over seeds, then over detectors.

    Args:
        tables: Numbers (seeds, places, k) that are added up over places, a table a detector; all of
            the same seeds and places.
        score: From numbers (..., k) to scores (...).
        samples: Bootstrap samples.

    Raises:
        InputError: if the tables are of several shapes.
    """
    _check_shapes(tables)
    return _estimate(
        lambda seeds, places: np.mean(
            [mean_scores(counts, score, seeds, places) for counts in tables], axis=0
        ),
        (tables[0].shape[0], tables[0].shape[1]),
        samples,
    )


def difference(pairs: Sequence[tuple[Floats, Floats]], score: ScoreOf, samples: int) -> Estimate:
    """How much higher the first of a pair is, with its interval, in the mean over pairs.

    Args:
        pairs: Numbers (seeds, places, k) of an arm and of the baseline, of the same seeds and
            places in the same order; a pair a detector.
        score: From numbers (..., k) to scores (...).
        samples: Bootstrap samples.

    Raises:
        InputError: if the numbers are of several shapes.
    """
    _check_shapes([side for pair in pairs for side in pair])
    return _estimate(
        lambda seeds, places: np.mean(
            [
                mean_scores(ours, score, seeds, places) - mean_scores(theirs, score, seeds, places)
                for ours, theirs in pairs
            ],
            axis=0,
        ),
        (pairs[0][0].shape[0], pairs[0][0].shape[1]),
        samples,
    )


def mean_scores(counts: Floats, score: ScoreOf, seeds: Floats, places: Floats) -> Floats:
    """Means over seeds of the scores of all places, (samples,).

    Args:
        counts: (seeds, places, k) numbers that are added up over places.
        score: From numbers (..., k) to scores (...).
        seeds: (samples, seeds) how often each is drawn.
        places: (samples, places) how often each is drawn.

    Returns:
        NaN where no drawn seed has a score.
    """
    if (places == places[0]).all():
        found = score(np.tensordot(places[:1], counts, axes=(1, 1)))
    else:
        found = score(np.tensordot(places, counts, axes=(1, 1)))
    weights = np.where(np.isnan(found), 0.0, seeds)
    total = weights.sum(axis=-1)
    added = (np.nan_to_num(found) * weights).sum(axis=-1)
    return np.where(total > 0, added / np.where(total > 0, total, 1.0), np.nan)


def _estimate(
    of: Callable[[Floats, Floats], Floats], sizes: tuple[int, int], samples: int
) -> Estimate:
    """A number with its interval, from what gives it for draws of seeds and of places.

    Args:
        of: From how often seeds and places are drawn, (samples, n) each, to numbers (samples,).
        sizes: How many seeds and places there are.
        samples: Bootstrap samples.
    """
    rng = np.random.default_rng(_SEED)
    value = float(of(np.ones((1, sizes[0])), np.ones((1, sizes[1])))[0])
    parts = []
    for axis, count in enumerate(sizes):
        # One alone cannot be drawn anew, and says nothing of how others would be.
        if count < 2:
            continue
        weights = [np.ones((samples, size)) for size in sizes]
        weights[axis] = rng.multinomial(count, np.full(count, 1 / count), samples).astype(float)
        found = of(weights[0], weights[1])
        found = found[~np.isnan(found)]
        if len(found) > 1:
            parts.append((float(np.var(found)) * count / (count - 1), count - 1))
    variance = sum(part for part, _ in parts)
    if np.isnan(value) or not parts:
        return Estimate(value, float("nan"), float("nan"))
    if variance == 0:
        return Estimate(value, value, value)
    freedom = variance**2 / sum(part**2 / own for part, own in parts)
    reach = float(stats.t.ppf((1 + LEVEL) / 2, freedom)) * float(np.sqrt(variance))
    return Estimate(value, value - reach, value + reach)


def _check_shapes(tables: Sequence[Floats]) -> None:
    shapes = {table.shape for table in tables}
    if len(shapes) != 1:
        raise InputError(
            f"Only numbers of the same seeds and places can be compared, not {sorted(shapes)}."
        )
