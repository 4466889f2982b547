"""TOPO against a plain version in networkx, and by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from plainpaths import plain_topo, plain_walk
from roadtowns import line, town, turned

from rsaug.downstream.graph.roadgraph import Places, RoadGraph
from rsaug.downstream.metrics import relaxed_scores, topo_counts
from rsaug.downstream.metrics.topo import walked
from rsaug.errors import InputError

WALK: dict[str, Any] = {"radius_m": 90.0, "interval_m": 7.0, "match_m": 6.0, "spacing_m": 200.0}


@given(st.integers(2, 9), st.integers(0, 2**20))
@settings(max_examples=15, deadline=None)
def test_counts_are_those_of_the_plain_version(junctions: int, seed: int) -> None:
    found, true = town(junctions, seed, shift_m=2.0, drop=0.2)
    if not (len(found.lines) and len(true.lines)):
        return
    assert topo_counts(found, true, **WALK).tolist() == plain_topo(found, true, **WALK)


def test_places_of_a_walk_by_hand() -> None:
    # Around a square of 40 m from a corner: both ways meet at the far corner, which counts once.
    square = RoadGraph.of(
        [
            line((0, 0), (40, 0)),
            line((40, 0), (40, 40)),
            line((0, 40), (40, 40)),
            line((0, 0), (0, 40)),
        ]
    )
    start = Places(np.array([0]), np.array([0.0]))
    places = square.points(walked(square, start, 300, 10))
    assert len(places) == 1 + 2 * 7 + 1
    assert sorted(map(tuple, places.round(5).tolist())) == plain_walk(square, (0, 0), 300, 10)
    near = square.points(walked(square, start, 40, 10))
    assert len(near) == 1 + 2 * 4


def test_half_a_street_and_a_street_too_many() -> None:
    street = RoadGraph.of([line((0, 0), (100, 0))])
    half = RoadGraph.of([line((0, 0), (50, 0))])
    # One seed, at the start: holes at 0, 10, ..., 100.
    start: dict[str, Any] = {"interval_m": 10.0, "match_m": 4.0, "radius_m": 300.0}
    counts = topo_counts(half, street, spacing_m=50, **start)
    # Seeds at both ends and in the middle; none is near the far end of the half street.
    assert counts[3] == 33
    assert counts[1] == 12
    assert counts[0] == counts[2] == 12
    fork = RoadGraph.of([line((0, 0), (100, 0)), line((0, 0), (0, 100))])
    precision, recall, _ = relaxed_scores(topo_counts(fork, street, **start))
    assert recall == 1
    assert precision == pytest.approx(33 / 63, abs=0.02)


@pytest.mark.parametrize("aside", [9.9, 10.1])
def test_defaults_are_as_published(aside: float) -> None:
    """Seeds each 50 m, holes each 5 m as far as 300 m, found by marbles up to 10 m away."""
    road, beside = (RoadGraph.of([line((0, y), (700, y))]) for y in (0, aside))
    holes = sum(1 + min(x, 300) // 5 + min(700 - x, 300) // 5 for x in range(0, 701, 50))
    found = holes if aside < 10 else 0
    assert topo_counts(beside, road).tolist() == [found, found, found, holes]


def test_two_ways_meet_inside_an_edge() -> None:
    # 100 m one way and 160 m the other: they meet 130 m along the longer one.
    ring = RoadGraph.of(
        [line((0, 0), (100, 0)), line((0, 0), (0, 30), (100, 30), (100, 0))],
    )
    first = int(np.argmin(ring.length_m))
    places = ring.points(walked(ring, Places(np.array([first]), np.array([0.0])), 300, 30))
    shorter = [(0, 0), (30, 0), (60, 0), (90, 0)]
    # The last is 100 and 20 m away, by the shorter way.
    longer = [(0, 30), (30, 30), (60, 30), (90, 30), (100, 20)]
    np.testing.assert_allclose(sorted(places.round(6).tolist()), sorted(shorter + longer))


def test_a_walk_ends_inside_an_edge() -> None:
    street = RoadGraph.of([line((0, 0), (80.5, 0))])
    places = walked(street, Places(np.array([0]), np.array([40.25])), 40, 10)
    assert sorted(places.along_m) == pytest.approx([40.25 + at for at in range(-40, 41, 10)])


def test_it_is_1_of_a_graph_and_itself_and_does_not_turn() -> None:
    found, true = town(16, 8)
    assert relaxed_scores(topo_counts(true, true)).tolist() == [1, 1, 1]
    once = topo_counts(found, true, **WALK)
    assert 0.5 < relaxed_scores(once)[2] < 1
    again = topo_counts(turned(found, 90), turned(true, 90), **WALK)
    np.testing.assert_array_equal(again, once)


def test_where_there_is_no_road() -> None:
    empty, street = RoadGraph.empty(), RoadGraph.of([line((0, 0), (100, 0))])
    assert np.isnan(relaxed_scores(topo_counts(empty, empty))).all()
    missed = relaxed_scores(topo_counts(empty, street))
    assert missed[1:].tolist() == [0, 0]
    # Seeds are on true roads, so nothing is ever found wrong where there is none.
    assert topo_counts(street, empty).tolist() == [0, 0, 0, 0]


def test_fewer_seeds_are_a_sample() -> None:
    found, true = town(16, 8)
    few = topo_counts(found, true, max_seeds=3, seed=1, **WALK)
    assert (few < topo_counts(found, true, **WALK)).all()
    np.testing.assert_array_equal(few, topo_counts(found, true, max_seeds=3, seed=1, **WALK))
    unsaid = topo_counts(found, true, max_seeds=3, **WALK)
    np.testing.assert_array_equal(unsaid, topo_counts(found, true, max_seeds=3, seed=0, **WALK))
    assert not np.array_equal(unsaid, few)


@pytest.mark.parametrize("name", ["radius_m", "interval_m", "match_m", "spacing_m"])
def test_numbers_out_of_range_are_refused(name: str) -> None:
    with pytest.raises(InputError, match=f"{name} must be a positive"):
        topo_counts(RoadGraph.empty(), RoadGraph.empty(), **{name: 0})
