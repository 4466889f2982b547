"""One score from several criteria, and what is kept by it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rsaug.downstream.quality.selection import Rules, combined, select
from rsaug.errors import InputError

VALUES = st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), min_size=1, max_size=20)


def columns(pairs: list[tuple[int, int]]) -> dict[str, np.ndarray]:
    table = np.array(pairs, dtype=float)
    return {"consistency": table[:, 0], "realism": table[:, 1]}


def names_of(n: int) -> np.ndarray:
    return np.array([f"n{k:03d}" for k in range(n)])


@given(VALUES)
def test_the_score_rises_with_each_criterion(pairs: list[tuple[int, int]]) -> None:
    score = combined(columns(pairs))
    assert ((score > 0) & (score < 1)).all()
    table = np.array(pairs)
    for k in range(len(table)):
        no_worse = (table >= table[k]).all(axis=1)
        assert (score[no_worse] >= score[k] - 1e-12).all()
        better = no_worse & (table > table[k]).any(axis=1)
        assert (score[better] > score[k]).all()


@given(VALUES, st.floats(0.01, 1.0), st.permutations(range(20)))
def test_the_share_is_kept_and_the_order_of_images_is_of_no_matter(
    pairs: list[tuple[int, int]], keep: float, order: list[int]
) -> None:
    names = names_of(len(pairs))
    chosen = select(columns(pairs), names, names, Rules(keep))
    assert chosen.kept.sum() == np.ceil(keep * len(pairs) - 1e-9)
    assert chosen.score[chosen.kept].min() >= chosen.score[~chosen.kept].max(initial=0)
    mixed = [k for k in order if k < len(pairs)]
    again = select(columns([pairs[k] for k in mixed]), names[mixed], names[mixed], Rules(keep))
    assert set(names[mixed][again.kept]) == set(names[chosen.kept])


def test_what_misses_a_least_value_is_dropped_whatever_its_score() -> None:
    values = {
        "consistency": np.array([0.9, 0.8, 0.1, 0.7]),
        "novelty": np.array([0.01, 0.3, 0.3, 0.3]),
    }
    rules = Rules(1.0, {"novelty": 0.1, "consistency": 0.5})
    chosen = select(values, names_of(4), names_of(4), rules)
    assert chosen.kept.tolist() == [False, True, False, True]
    assert chosen.score[[0, 2]].tolist() == [0, 0]
    assert chosen.passed["novelty"].tolist() == [False, True, True, True]


def test_of_a_tile_only_the_best_images_are_kept() -> None:
    values = {"consistency": np.array([0.1, 0.9, 0.5, 0.2])}
    tiles = np.array(["a", "a", "b", "b"])
    chosen = select(values, names_of(4), tiles, Rules(1.0, per_tile=1))
    assert chosen.kept.tolist() == [False, True, True, False]


@pytest.mark.parametrize(
    ("rules", "message"),
    [
        ({"keep": 0.0}, "--keep is a share above 0"),
        ({"per_tile": 0}, "--per-tile is at least 1"),
        ({"least": {"beauty": 1.0}}, "No criterion is called 'beauty'"),
        ({"least": {"realism": float("nan")}}, "--min-realism is a number"),
        ({"least": {"realism": 1.0}}, "realism was not measured"),
        ({"least": {"consistency": 2.0}}, "No image reaches the least values"),
    ],
)
def test_rules_of_no_use_are_refused(rules: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        select({"consistency": np.ones(2)}, names_of(2), names_of(2), Rules(**rules))  # type: ignore[arg-type]  # what is tried
