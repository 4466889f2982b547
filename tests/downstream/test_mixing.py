"""Shares, schedules, weights, balance and few labels."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rsaug.downstream.mixing import FewLabels, MixedSampler, Mixture, Pool, lot, weights_of
from rsaug.errors import InputError

SHARES = st.floats(0, 1)


@given(SHARES, st.integers(1, 12), st.integers(1, 90), st.integers(0, 5))
def test_every_batch_has_the_share(share: float, batch: int, length: int, epoch: int) -> None:
    sampler = MixedSampler(Pool(7), Pool(5), Mixture(share), batch, length)
    synthetic = sampler.plan(epoch).synthetic
    for start in range(0, length, batch):
        part = synthetic[start : start + batch]
        assert abs(part.sum() - share * len(part)) <= 1
    assert abs(synthetic.sum() - share * length) <= 0.5 + 1e-9


def test_share_of_an_epoch_alone() -> None:
    sampler = MixedSampler(Pool(40), Pool(5), Mixture(0.25, per="epoch"), 4)
    plans = [sampler.plan(epoch).synthetic for epoch in range(20)]
    assert all(plan.sum() == 10 for plan in plans)
    by_batch = np.array(plans).reshape(-1, 4).sum(axis=1)
    assert set(by_batch) > {0, 1, 2}


def test_numbers_are_of_their_kind() -> None:
    plan = MixedSampler(Pool(30), Pool(12), Mixture(0.5), 6).plan(0)
    assert (plan.numbers[plan.synthetic] >= 30).all()
    assert (plan.numbers[plan.synthetic] < 42).all()
    assert sorted(plan.numbers[~plan.synthetic]) == sorted(set(plan.numbers[~plan.synthetic]))


def test_epochs_are_as_long_whatever_the_share_is() -> None:
    lengths = {len(MixedSampler(Pool(30), Pool(5), Mixture(share), 8)) for share in (0, 0.3, 1)}
    assert lengths == {32}
    assert len(MixedSampler(Pool(0), Pool(5), Mixture(1.0), 8)) == 8


def test_the_same_seed_and_epoch_draw_the_same() -> None:
    first, second = (MixedSampler(Pool(30), Pool(12), Mixture(0.5), 6, seed=3) for _ in range(2))
    runs = [list(first), list(first)]
    assert runs[0] != runs[1]
    for epoch in (1, 0):
        second.set_epoch(epoch)
        assert list(second) == list(second) == runs[epoch]
    other = MixedSampler(Pool(30), Pool(12), Mixture(0.5), 6, seed=4)
    assert list(other) != runs[0]


def test_schedules() -> None:
    mixed = Mixture(0.4)
    pretrain = Mixture(1.0, "pretrain", end=0.1, epochs=3)
    curriculum = Mixture(1.0, "curriculum", end=0.2, epochs=5)
    assert [mixed.share(epoch) for epoch in (0, 50)] == [0.4, 0.4]
    assert [pretrain.share(epoch) for epoch in range(5)] == [1, 1, 1, 0.1, 0.1]
    shares = [curriculum.share(epoch) for epoch in range(7)]
    assert shares == pytest.approx([1, 0.8, 0.6, 0.4, 0.2, 0.2, 0.2])
    sampler = MixedSampler(Pool(20), Pool(20), curriculum, 10)
    assert [int(sampler.plan(epoch).synthetic.sum()) for epoch in range(5)] == [20, 16, 12, 8, 4]


@given(st.integers(1, 40), st.integers(1, 120))
def test_nothing_comes_again_before_all_came(size: int, count: int) -> None:
    times = np.bincount(Pool(size).draw(count, np.random.default_rng(0)), minlength=size)
    assert times.max() - times.min() <= 1
    assert times.sum() == count


@given(st.lists(st.floats(0, 10), min_size=2, max_size=20), st.integers(1, 60), st.integers(0, 99))
def test_weights_decide_how_often(weights: list[float], count: int, seed: int) -> None:
    values = np.array(weights)
    if values.max() < 1e-3:
        return
    drawn = Pool(len(values), values).draw(count, np.random.default_rng(seed))
    wanted = count * values / values.sum()
    times = np.bincount(drawn, minlength=len(values))
    assert (np.abs(times - wanted) < 1 + 1e-6).all()
    assert times[values == 0].sum() == 0


def test_positives_are_balanced() -> None:
    positive = np.arange(20) < 15
    pool = Pool(20, positive=positive)
    drawn = pool.draw(40, np.random.default_rng(0), positives=0.5)
    assert positive[drawn].sum() == 20
    sampler = MixedSampler(pool, Pool(6, positive=np.ones(6, bool)), Mixture(0.5), 8, 40, 0.25)
    plan = sampler.plan(0)
    assert positive[plan.numbers[~plan.synthetic]].sum() == 5
    assert plan.synthetic.sum() == 20


@given(st.sets(st.text("abcdefgh", min_size=1), min_size=20, max_size=40), st.integers(0, 3))
def test_fewer_places_lie_within_more(names: set[str], seed: int) -> None:
    eight, sixteen, share = (FewLabels(n, seed).choose(names) for n in (8, 16, 0.2))
    assert (len(eight), len(sixteen), len(share)) == (8, 16, -(-len(names) // 5))
    assert set(eight) < set(sixteen)
    assert set(share) <= set(eight) or set(eight) <= set(share)
    assert FewLabels(8, seed).choose(sorted(names, reverse=True)) == eight


def test_few_labels_are_the_same_everywhere() -> None:
    names = [f"place_{number}" for number in range(100)]
    assert FewLabels(2).choose(names) == sorted(sorted(names, key=lot)[:2])
    assert lot("place_7") == pytest.approx(0.358471, abs=1e-6)
    assert FewLabels(2, seed=1).choose(names) != FewLabels(2).choose(names)


@pytest.mark.parametrize("places", [0, 21, 2.5, -1])
def test_places_that_there_are_not(places: float) -> None:
    with pytest.raises(InputError, match="places were asked for"):
        FewLabels(places).choose([str(number) for number in range(20)])


def test_scores_become_weights() -> None:
    assert weights_of(["b", "a", "b"], {"a": 1, "b": 0.5}).tolist() == [0.5, 1, 0.5]
    with pytest.raises(InputError, match="1 of 2 items have no score, 'c' for one"):
        weights_of(["a", "c", "a"], {"a": 1})


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"synthetic": 1.2}, "between 0 and 1"),
        ({"end": -1}, "between 0 and 1"),
        ({"schedule": "warmup"}, "No schedule is called 'warmup'"),
        ({"schedule": "pretrain"}, "at least 1 epochs"),
        ({"schedule": "curriculum", "epochs": 1}, "at least 2 epochs"),
        ({"per": "step"}, "not 'step'"),
    ],
)
def test_other_mixtures_are_refused(options: dict[str, object], said: str) -> None:
    with pytest.raises(InputError, match=said):
        Mixture(**options)  # type: ignore[arg-type]


def test_empty_pools_are_refused() -> None:
    with pytest.raises(InputError, match="draws synthetic tiles, and there are none"):
        MixedSampler(Pool(3), Pool(0), Mixture(0.5), 2)
    with pytest.raises(InputError, match="draws real tiles, and there are none"):
        MixedSampler(Pool(0), Pool(3), Mixture(1.0, "pretrain", epochs=2), 2)
    assert len(list(MixedSampler(Pool(3), Pool(0), Mixture(0.0), 2))) == 4


def test_other_pools_are_refused() -> None:
    with pytest.raises(InputError, match="2 weights for 3 items"):
        Pool(3, np.ones(2))
    for weights in ([0.0, 0.0], [1.0, -1.0], [1.0, np.nan]):
        with pytest.raises(InputError, match="at least 0"):
            Pool(2, np.array(weights))
    pool = Pool(2, np.array([1.0, 0.0]), np.array([True, False]))
    with pytest.raises(InputError, match="weight 0"):
        pool.draw(4, np.random.default_rng(0), positives=0.5)
    with pytest.raises(InputError, match="at least one sample"):
        MixedSampler(Pool(3), Pool(3), Mixture(0.5), 0)
    with pytest.raises(InputError, match="share of positives"):
        MixedSampler(Pool(3), Pool(3), Mixture(0.5), 2, positives=2)
