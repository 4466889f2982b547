"""APLS and connectivity against a plain version in networkx, and by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from plainpaths import plain_apls
from pyproj import CRS
from roadtowns import line, town, turned

from rsaug.downstream.graph.roadgraph import RoadGraph
from rsaug.downstream.metrics import (
    apls,
    apls_counts,
    apls_scores,
    connectivity,
    connectivity_counts,
    connectivity_scores,
    paths,
)
from rsaug.downstream.metrics.paths import PATH_KINDS, control_points, some_of
from rsaug.errors import InputError

EMPTY = RoadGraph.empty()
STREET = RoadGraph.of([line((0, 0), (100, 0))])
SQUARE = RoadGraph.of(
    [line((0, 0), (100, 0), (100, 100)), line((100, 100), (0, 100)), line((0, 100), (0, 0))]
)


@given(st.integers(2, 12), st.integers(0, 2**20), st.sampled_from([20.0, 50.0, 1000.0]))
@settings(max_examples=25, deadline=None)
def test_apls_is_that_of_the_plain_version(junctions: int, seed: int, spacing_m: float) -> None:
    found, true = town(junctions, seed, shift_m=2.0, drop=0.2)
    if not (len(found.lines) and len(true.lines)):
        return
    counts = apls_counts(found, true, spacing_m=spacing_m)
    expected = plain_apls(found, true, spacing_m, 4.0)
    np.testing.assert_allclose(counts, expected, rtol=0, atol=1e-6)


def test_apls_by_hand() -> None:
    # Control points at 0, 50 and 100; of the six routes the four to and from the far end are lost.
    half = RoadGraph.of([line((0, 0), (50, 0))])
    np.testing.assert_allclose(apls_counts(half, STREET), [6, 6, 2, 6])
    # A bend that makes the way a quarter longer: both directions lose by it.
    bent = RoadGraph.of([line((0, 0), (50, 37.5), (100, 0))])
    counts = apls_counts(bent, STREET, spacing_m=1000)
    np.testing.assert_allclose(counts, [2 * (1 - 25 / 125), 2, 2 * (1 - 25 / 100), 2])


def test_a_detour_costs_no_more_than_a_missing_way() -> None:
    around = RoadGraph.of([line((0, 0), (0, 500), (100, 500), (100, 0))])
    missing = RoadGraph.of([line((0, 0), (0, 500)), line((100, 500), (100, 0))])
    ends: dict[str, Any] = {"spacing_m": 5000.0, "snap_m": 1.0}
    assert apls_counts(around, STREET, **ends)[2] == apls_counts(missing, STREET, **ends)[2] == 0


@pytest.mark.parametrize("metric", [apls, connectivity])
def test_points_within_four_metres_are_on_the_other_graph(metric: Any) -> None:
    for aside, expected in ((3.9, 1), (4.1, 0)):
        assert metric(RoadGraph.of([line((0, aside), (100, aside))]), STREET) == expected


def test_routes_shorter_than_asked_for_do_not_count() -> None:
    # Control points at 0, 50 and 100: four routes of 50 m and two of 100 m.
    for shortest, routes in ((0.0, 6), (50.0, 6), (50.1, 2), (100.1, 0)):
        assert apls_counts(STREET, STREET, min_path_m=shortest).tolist() == [routes] * 4


@pytest.mark.parametrize("metric", [apls_counts, connectivity_counts])
def test_how_many_routes_are_held_at_once_changes_nothing(
    metric: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    found, true = town(12, 5)
    whole = metric(found, true)
    for held in (1, 100):
        monkeypatch.setattr(paths, "_ROUTES_AT_ONCE", held)
        np.testing.assert_allclose(metric(found, true), whole)


def test_points_that_snap_to_one_place_are_all_kept() -> None:
    # Both junctions of the true graph are nearest to the one end that is found.
    true = RoadGraph.of([line((0, 0), (3, 0)), line((3, 0), (3, 60)), line((0, 0), (0, -60))])
    found = RoadGraph.of([line((1.5, 0), (1.5, 60)), line((1.5, 0), (1.5, -60))])
    counts = apls_counts(found, true, spacing_m=1000)
    np.testing.assert_allclose(counts, plain_apls(found, true, 1000, 4.0), atol=1e-9)
    # No point is lost: of all true routes the two between the junctions alone are gone.
    assert counts[3] - counts[2] < 4


@pytest.mark.parametrize("metric", [apls, connectivity])
def test_a_graph_is_like_itself_however_it_is_turned(metric: Any) -> None:
    found, true = town(20, 1, drop=0.25)
    assert metric(true, true) == 1
    once = metric(found, true)
    assert 0 < once < 1 - 1e-3
    for degrees, mirror in ((90, False), (180, True), (37, False)):
        again = metric(turned(found, degrees, mirror=mirror), turned(true, degrees, mirror=mirror))
        assert again == pytest.approx(once, abs=1e-9)


def test_a_ring_has_ways_though_it_has_no_junction() -> None:
    assert apls(SQUARE, SQUARE) == 1
    assert np.isnan(connectivity(SQUARE, SQUARE))
    assert connectivity(SQUARE, SQUARE, between="control points") == 1


def test_how_a_road_is_cut_into_lines_does_not_matter_to_ways() -> None:
    whole = RoadGraph.of([line((0, 0), (60, 0), (60, 60))])
    pieces = RoadGraph.of([line((0, 0), (60, 0)), line((60, 60), (60, 0))])
    assert apls(pieces, whole) == apls(whole, pieces) == 1
    assert len(pieces.without_pseudo_nodes().lines) == 1


def test_tiles_are_added_and_not_averaged() -> None:
    found, true = town(12, 5)
    parts = [apls_counts(found, true), apls_counts(STREET, STREET), apls_counts(EMPTY, SQUARE)]
    whole = apls_scores(np.sum(parts, axis=0))
    routes = sum(part[3] for part in parts)
    assert whole[1] == pytest.approx(sum(part[2] for part in parts) / routes)
    assert whole[0] == pytest.approx(2 * whole[1] * whole[2] / (whole[1] + whole[2]))


@pytest.mark.parametrize(
    ("found", "true", "expected"),
    [
        (EMPTY, EMPTY, [np.nan, np.nan, np.nan]),
        (EMPTY, STREET, [0, 0, np.nan]),
        (STREET, EMPTY, [0, np.nan, 0]),
    ],
)
def test_where_there_is_no_road(found: RoadGraph, true: RoadGraph, expected: list[float]) -> None:
    np.testing.assert_equal(apls_scores(apls_counts(found, true)), expected)


def test_a_sample_is_that_of_its_seed() -> None:
    found, true = town(30, 1)
    few = apls_counts(found, true, max_points=15, seed=4)
    np.testing.assert_array_equal(few, apls_counts(found, true, max_points=15, seed=4))
    assert few[3] <= 15 * 14
    assert not np.array_equal(few, apls_counts(found, true, max_points=15, seed=5))
    scores = [apls_scores(apls_counts(found, true, max_points=40, seed=k))[0] for k in range(20)]
    assert np.mean(scores) == pytest.approx(apls(found, true), abs=0.05)


@pytest.mark.parametrize("metric", [apls_counts, connectivity_counts])
def test_without_a_seed_it_is_0(metric: Any) -> None:
    found, true = town(30, 1)
    few = metric(found, true, max_points=15)
    np.testing.assert_array_equal(few, metric(found, true, max_points=15, seed=0))
    assert not np.array_equal(few, metric(found, true, max_points=15, seed=1))


def test_a_sample_has_points_once_and_in_their_order() -> None:
    points = control_points(town(12, 5)[1])
    places = [*zip(points.edge.tolist(), points.along_m.tolist(), strict=True)]
    for most in (2, len(places) - 1, len(places), None):
        few = some_of(points, most, 3)
        rows = [places.index(own) for own in zip(few.edge, few.along_m, strict=True)]
        assert rows == sorted(set(rows))
        assert len(rows) == (most or len(places))
    assert apls_counts(STREET, STREET, max_points=2).tolist() == [2] * 4


def test_paths_by_what_became_of_them() -> None:
    true = RoadGraph.of(
        [line((0, 0), (100, 0)), line((0, 0), (-100, 0)), line((0, 0), (0, 100)), *far_road()]
    )
    # To the east as it was, to the west 8 % longer, to the north missing.
    found = RoadGraph.of(
        [line((0, 0), (100, 0)), line((0, 0), (-50, -20.4), (-100, 0)), *far_road()]
    )
    counts = dict(zip(PATH_KINDS, connectivity_counts(found, true, snap_m=3).tolist(), strict=True))
    # Pairs of the four nodes, and that of the far road.
    assert counts == {"correct": 3, "too_short": 0, "too_long": 1, "infeasible": 3}
    shares = connectivity_scores(np.array([*counts.values()]))
    assert shares.tolist() == [4 / 7, 3 / 7]
    # In the other direction the bend is a junction no more, and the straight way is 4 % shorter.
    back = connectivity_counts(true, found, snap_m=3, tolerance=0.03)
    assert back.tolist() == [1, 1, 0, 0]


def test_a_way_is_correct_where_it_differs_by_no_more_than_the_tolerance() -> None:
    # As long, 4 % longer and 6 % longer.
    kinds = [connectivity_counts(detour(aside), STREET).argmax() for aside in (0, 2, 3)]
    assert [PATH_KINDS[kind] for kind in kinds] == ["correct", "correct", "too_long"]
    for found, true in ((detour(25), STREET), (STREET, detour(50))):
        assert connectivity_counts(found, true, tolerance=0.5).tolist() == [1, 0, 0, 0]
    assert connectivity_counts(STREET, STREET, tolerance=0).tolist() == [1, 0, 0, 0]
    # Connected it is however long.
    assert connectivity_counts(detour(50), STREET).tolist() == [0, 0, 1, 0]
    assert connectivity(detour(50), STREET) == 1


def detour(aside_m: float) -> RoadGraph:
    """The street by another way, longer by twice as much."""
    return RoadGraph.of([line((0, 0), (0, aside_m), (100, aside_m), (100, 0))])


def far_road() -> list[Any]:
    """A road that is connected with nothing."""
    return [line((1000, 0), (1100, 0))]


def test_routes_between_junctions_alone() -> None:
    _, true = town(25, 2)
    junctions = int((true.degree >= 3).sum())
    counts = connectivity_counts(true, true, between="junctions")
    assert 0 < counts.sum() <= junctions * (junctions - 1) / 2
    assert counts.sum() == counts[0]
    assert np.isnan(connectivity(STREET, STREET, between="junctions"))


def test_junctions_join_three_roads_and_a_bend_is_none() -> None:
    streets = [line((x, 0), (x + 50, 0)) for x in (0, 50, 100)]
    tree = RoadGraph.of([*streets, *(line((x, 0), (x, 70)) for x in (50, 100))])
    assert connectivity_counts(tree, tree, between="junctions").tolist() == [1, 0, 0, 0]
    assert connectivity_counts(tree, tree).tolist() == [6 * 5 / 2, 0, 0, 0]
    bend = RoadGraph.of([line((0, 0), (50, 0)), line((50, 0), (50, 50))])
    assert connectivity_counts(bend, bend).tolist() == [1, 0, 0, 0]


@pytest.mark.parametrize(
    ("metric", "options", "said"),
    [
        (apls_counts, {"snap_m": 0}, "snap_m must be a positive"),
        (apls_counts, {"spacing_m": np.nan}, "spacing_m must be a positive"),
        (apls_counts, {"min_path_m": -1}, "min_path_m"),
        (apls_counts, {"max_points": 1}, "a route needs two"),
        (connectivity_counts, {"tolerance": 1}, "tolerance"),
        (connectivity_counts, {"between": "towns"}, "between='towns'"),
    ],
)
def test_numbers_out_of_range_are_refused(metric: Any, options: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError, match=said):
        metric(STREET, STREET, **options)


def test_graphs_of_two_crs_are_refused() -> None:
    with pytest.raises(InputError, match="different CRS"):
        apls(STREET, RoadGraph.empty(CRS.from_epsg(32635)))
