"""From criteria to one score an image, and to which images are kept."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from rsaug.errors import InputError

CRITERIA = ("consistency", "realism", "novelty")
"""Names of the criteria; of each, more is better."""

RANKED = ("consistency", "realism")
"""Those that the score is made of. An image need not be as new as can be, only no copy."""


@dataclass(frozen=True)
class Rules:
    """What an image has to have to be kept.

    Attributes:
        keep: Share of all images that is kept, those of the highest scores.
        least: Lowest value by criterion; images below any are dropped.
        per_tile: At most so many images of one tile, the best; None for all.

    Raises:
        InputError: if a number is of no use.
    """

    keep: float = 1.0
    least: Mapping[str, float] = field(default_factory=dict)
    per_tile: int | None = None

    def __post_init__(self) -> None:
        """Check the numbers."""
        if not 0 < self.keep <= 1:
            raise InputError(f"--keep is a share above 0 and up to 1, not {self.keep}.")
        if self.per_tile is not None and self.per_tile < 1:
            raise InputError(f"--per-tile is at least 1, not {self.per_tile}.")
        for name, value in self.least.items():
            if name not in CRITERIA:
                raise InputError(f"No criterion is called {name!r}; there are {CRITERIA}.")
            if not math.isfinite(value):
                raise InputError(f"--min-{name} is a number, not {value}.")


@dataclass(frozen=True, eq=False)
class Selection:
    """Which images are kept.

    Attributes:
        score: (n,) from 0 to 1, 0 where a value is below what the rules ask for.
        passed: (n,) by criterion with a least value, whether it is reached.
        kept: (n,) whether the image is kept.
    """

    score: NDArray[np.float64]
    passed: dict[str, NDArray[np.bool_]]
    kept: NDArray[np.bool_]


def combined(values: Mapping[str, NDArray[np.float64]]) -> NDArray[np.float64]:
    """One score an image, (n,), above 0 and below 1: it rises with each criterion.

    The geometric mean of the ranks by `RANKED`, as far as they are there, each from 0.5 / n for the
    lowest to 1 - 0.5 / n for the highest, the mean of their ranks where values are the same. Ranks
    make an IoU and a quotient of distances comparable without a scale that somebody chose.

    Raises:
        InputError: if none of the criteria is there that the score is made of.
    """
    ranks = [
        (rankdata(values[name]) - 0.5) / len(values[name]) for name in RANKED if name in values
    ]
    if not ranks:
        raise InputError(
            "There is nothing to score by; give a detector (--detector) or real tiles (--real)."
        )
    score: NDArray[np.float64] = np.exp(np.mean(np.log(ranks), axis=0))
    return score


def select(
    values: Mapping[str, NDArray[np.float64]],
    names: NDArray[np.str_],
    tiles: NDArray[np.str_],
    rules: Rules,
) -> Selection:
    """Which images are kept: first the least values, then the best of each tile, then the share.

    Args:
        values: (n,) by criterion, none of them NaN.
        names: (n,) of the images; of equal scores the first by name is kept.
        tiles: (n,) of their tiles.
        rules: What they have to have.

    Raises:
        InputError: if a criterion of the rules was not measured, or nothing is kept.
    """
    absent = [name for name in rules.least if name not in values]
    if absent:
        raise InputError(
            f"--min-{absent[0]} was given, but {absent[0]} was not measured: consistency needs "
            "--detector, the others --real."
        )
    passed = {name: values[name] >= least for name, least in rules.least.items()}
    score = combined(values)
    good = np.all([*passed.values(), np.ones(len(names), dtype=bool)], axis=0)
    score = np.where(good, score, 0.0)
    order = np.lexsort((names, -score))
    kept = np.zeros(len(names), dtype=bool)
    most = math.ceil(rules.keep * len(names) - 1e-9)
    seen: dict[str, int] = {}
    for k in order:
        if most == 0 or not good[k]:
            break
        tile = str(tiles[k])
        if rules.per_tile is not None and seen.get(tile, 0) >= rules.per_tile:
            continue
        seen[tile] = seen.get(tile, 0) + 1
        kept[k] = True
        most -= 1
    if not kept.any():
        raise InputError("No image reaches the least values; lower them.")
    return Selection(score, passed, kept)
