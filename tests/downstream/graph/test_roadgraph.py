"""Road graphs: distances against networkx, places, joining, there and back."""

from __future__ import annotations

from itertools import product
from typing import Any

import networkx as nx  # type: ignore[import-untyped]
import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from plainpaths import with_points
from roadtowns import line, town

from rsaug.downstream.graph.roadgraph import NOWHERE, Places, RoadGraph
from rsaug.errors import InputError

# A loop at a node, two roads side by side, and one apart.
ODD = RoadGraph.of(
    [
        line((0, 0), (10, 0)),
        line((0, 0), (5, 8), (10, 0)),
        line((10, 0), (20, 0), (20, 10), (10, 0)),
        line((50, 0), (60, 0)),
    ],
    np.array([4.0, 5.0, np.nan, 3.0]),
)


@given(st.integers(2, 12), st.integers(0, 2**20))
@settings(max_examples=20, deadline=None)
def test_distances_are_those_of_networkx(junctions: int, seed: int) -> None:
    graph, _ = town(junctions, seed)
    if not len(graph.lines):
        return
    rng = np.random.default_rng(seed)
    edge = rng.integers(0, len(graph.lines), 6)
    places = Places(edge, rng.random(6) * graph.length_m[edge])
    distances = graph.distances(places, places)
    points: dict[object, tuple[float, float]] = {
        k: (x, y) for k, (x, y) in enumerate(graph.points(places).tolist())
    }
    whole, _ = with_points(graph, points, 1e-6)
    for a, b in product(range(len(places)), repeat=2):
        try:
            expected = nx.dijkstra_path_length(whole, a, b, weight="length")
        except nx.NetworkXNoPath:
            expected = np.inf
        assert distances[a, b] == pytest.approx(expected, abs=1e-6)


def test_loops_and_roads_side_by_side() -> None:
    assert ODD.degree.tolist() == [2, 4, 1, 1]
    assert len({*ODD.component.tolist()}) == 2
    # Of two roads the shorter counts; round the loop it is the shorter way from either side.
    assert ODD.node_distances(np.array([0]))[0].tolist() == [0, 10, np.inf, np.inf]
    loop = int(np.argmax(ODD.edges[:, 0] == ODD.edges[:, 1]))
    length = float(ODD.length_m[loop])
    near_end = Places(np.array([loop]), np.array([length - 1]))
    near_start = Places(np.array([loop]), np.array([1.0]))
    assert ODD.distances(near_end, near_start)[0, 0] == pytest.approx(2)
    assert ODD.distances(near_start, Places(np.array([NOWHERE]), np.zeros(1)))[0, 0] == np.inf


def test_points_snap_to_the_nearest_place_in_reach() -> None:
    places = ODD.snap(np.array([[4.0, -1.0], [55.0, 2.0], [55.0, 2.1], [500.0, 0.0]]), 2.0)
    assert places.there.tolist() == [True, True, False, False]
    np.testing.assert_allclose(ODD.points(places)[:2], [[4, 0], [55, 0]])
    rng = np.random.default_rng(0)
    graph, _ = town(16, 0)
    points = rng.uniform(0, 240, (200, 2))
    snapped = graph.points(graph.snap(points, 30.0))
    nearest = shapely.distance(shapely.points(points)[:, None], graph.lines[None]).min(axis=1)
    np.testing.assert_array_equal(np.isnan(snapped[:, 0]), nearest > 30)
    apart = np.hypot(*(snapped - points).T)
    np.testing.assert_allclose(apart[nearest <= 30], nearest[nearest <= 30], atol=1e-9)


def test_places_cut_edges_into_equal_parts() -> None:
    graph = RoadGraph.of([line((0, 0), (30, 0)), line((0, 0), (0, 45)), line((0, 0), (-120, 0))])
    along: dict[int, list[float]] = {round(length): [] for length in graph.length_m.tolist()}
    places = graph.places_along(50, shortest_m=37.5)
    for edge, at in zip(places.edge, places.along_m, strict=True):
        along[round(float(graph.length_m[edge]))].append(round(float(at), 6))
    assert along == {30: [], 45: [22.5], 120: [40, 80]}


def test_joined_where_two_roads_meet() -> None:
    parts = [
        line((0, 0), (10, 0)),
        line((20, 0), (10, 0)),
        line((20, 0), (30, 5)),
        line((20, 0), (30, -5)),
    ]
    graph = RoadGraph.of(parts, np.array([4.0, 8.0, np.nan, 6.0]))
    joined = graph.without_pseudo_nodes()
    assert len(joined.lines) == 3
    assert joined.length_m.sum() == pytest.approx(graph.length_m.sum())
    long = int(np.argmax(joined.length_m))
    assert joined.width_m[long] == 6
    ring = RoadGraph.of([line((0, 0), (9, 0)), line((9, 0), (9, 9)), line((9, 9), (0, 0))])
    once = ring.without_pseudo_nodes()
    assert (len(once.nodes), len(once.lines)) == (1, 1)
    assert once.length_m[0] == pytest.approx(ring.length_m.sum())


@given(st.integers(2, 16), st.integers(0, 2**20))
@settings(max_examples=20, deadline=None)
def test_joining_changes_no_way(junctions: int, seed: int) -> None:
    graph, _ = town(junctions, seed)
    joined = graph.without_pseudo_nodes()
    assert not ((joined.degree == 2) & ~loop_nodes(joined)).any()
    assert joined.length_m.sum() == pytest.approx(graph.length_m.sum())
    here, there = joined.snap(graph.nodes, 1e-3), graph.node_places()
    np.testing.assert_allclose(
        joined.distances(here, here), graph.distances(there, there), atol=1e-6
    )


def loop_nodes(graph: RoadGraph) -> np.ndarray:
    """(n,) which nodes have a loop."""
    loops = graph.edges[graph.edges[:, 0] == graph.edges[:, 1], 0]
    return np.isin(np.arange(len(graph.nodes)), loops)


def test_the_order_of_the_lines_makes_the_same_nodes() -> None:
    graph, _ = town(20, 1)
    back = RoadGraph.of(graph.lines[::-1])
    np.testing.assert_array_equal(back.nodes, graph.nodes)
    np.testing.assert_array_equal(back.edges[::-1], graph.edges)


def test_to_networkx_and_back() -> None:
    theirs = ODD.to_networkx()
    assert theirs.number_of_edges() == 4
    assert sum(data["length"] for *_, data in theirs.edges(data=True)) == pytest.approx(
        ODD.length_m.sum()
    )
    ours = RoadGraph.from_networkx(theirs)
    np.testing.assert_array_equal(ours.nodes, ODD.nodes)
    assert sorted(ours.length_m) == pytest.approx(sorted(ODD.length_m))
    # osmnx has two-way streets twice, and straight ones without a geometry.
    both = nx.MultiDiGraph()
    both.add_node(1, x=0.0, y=0.0)
    both.add_node(2, x=10.0, y=0.0)
    both.add_edge(1, 2, length=10.0)
    both.add_edge(2, 1, length=10.0)
    assert RoadGraph.from_networkx(both).length_m.tolist() == [10]
    both.add_edge(1, 3)
    with pytest.raises(InputError, match="has no 'x'"):
        RoadGraph.from_networkx(both)


def test_an_empty_graph() -> None:
    empty = RoadGraph.empty()
    assert len(empty.node_places()) == len(empty.places_along(50)) == 0
    assert not empty.snap(np.zeros((3, 2)), 10).there.any()
    assert len(empty.without_pseudo_nodes().lines) == 0
    assert len(RoadGraph.of([line((0, 0), (0, 0.001))]).lines) == 0


def test_lines_that_are_the_same_are_one() -> None:
    lines = [line((0, 0), (5, 1), (9, 0)), line((9, 0), (5, 1), (0, 0)), line((0, 0), (9, 0))]
    graph = RoadGraph.of(lines, np.array([3.0, 4.0, 5.0]))
    assert graph.width_m.tolist() == [3, 5]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"edges": np.array([[0, 9], [0, 1], [1, 1], [2, 3]])}, "nodes outside of 0 to 3"),
        ({"edges": np.array([[0, 1], [0, 1], [1, 1], [3, 2]])}, "from node to node"),
        ({"nodes": np.array([*ODD.nodes, [1.0, 1.0]])}, "1 nodes have no edge"),
        ({"width_m": np.zeros(2)}, "widths"),
    ],
)
def test_what_is_no_graph_is_refused(change: dict[str, np.ndarray], said: str) -> None:
    parts: dict[str, Any] = {
        name: getattr(ODD, name) for name in ("nodes", "edges", "lines", "width_m")
    }
    with pytest.raises(InputError, match=said):
        RoadGraph(**{**parts, **change})


def test_some_of_the_edges() -> None:
    apart = ODD.only(ODD.length_m == 10)
    assert len(apart.lines) == 2
    assert apart.degree.tolist() == [1, 1, 1, 1]
