"""TOPO: what can be reached from a place along the found roads, and along the true ones?"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.sparse import csgraph
from scipy.spatial import KDTree

from rsaug.downstream.graph.roadgraph import Places, RoadGraph
from rsaug.downstream.metrics.paths import check_graphs, control_points, some_of

# Far below what is measured, far above rounding: in metres, and as a share of an interval.
_HAIR_M, _HAIR = 1e-6, 1e-9
# Farther than any walk, for nodes that none leads to.
_FAR_M = 1e9


def topo_counts(
    predicted: RoadGraph,
    truth: RoadGraph,
    *,
    radius_m: float = 300.0,
    interval_m: float = 5.0,
    match_m: float = 10.0,
    spacing_m: float = 50.0,
    max_seeds: int | None = None,
    seed: int = 0,
) -> NDArray[np.int64]:
    """Numbers behind TOPO of one tile, int64 (4,): add all tiles', then `relaxed_scores`.

    From a seed on a true road one walks along all roads, and drops a hole each so many metres; from
    the place on the found graph nearest to the seed likewise, and drops marbles. A marble is right
    where it falls in a hole, a hole is found where a marble falls in it, one marble a hole
    (Biagioni and Eriksson 2012, "Inferring road maps from global positioning system traces"). The
    defaults are the parameters that He et al. 2020 ("Sat2Graph") publish for large tiles: 300 m, an
    interval of 5 m, a matching distance of 10 m; for small ones they walk 150 m.

    What the papers leave open is settled so:

    - Seeds are the control points of APLS on the true graph, not a random sample, unless
      ``max_seeds`` asks for one.
    - Distances are along the roads, shortest way; a hole lies wherever that is a multiple of the
      interval, at the seed as well. So they do not hang on how a graph is cut into edges.
    - Marbles and holes are matched so that as many as possible are (a maximum matching), whatever
      their order, and each at most once.
    - Where no found road lies within ``match_m`` of the seed, all its holes are missed.

    A found road that no walk leads to is never counted as wrong: that is so by definition.

    Args:
        predicted: The graph found.
        truth: The true one, in the same plane.
        radius_m: How far to walk.
        interval_m: Metres between holes, and between marbles.
        match_m: Metres from a marble to its hole at most, and from a seed to its start.
        spacing_m: Metres between seeds on an edge.
        max_seeds: Take so many seeds at random where there are more; None for all.
        seed: Chooses them.

    Returns:
        (4,): marbles in holes, marbles, filled holes, holes; for `relaxed_scores`, which makes
        precision, recall and F1 of them.

    Raises:
        InputError: if a number is out of range, or the graphs are in different CRS.
    """
    lengths = {"radius_m": radius_m, "interval_m": interval_m, "match_m": match_m}
    check_graphs(predicted, truth, spacing_m=spacing_m, **lengths)
    seeds = some_of(control_points(truth, spacing_m), max_seeds, seed)
    starts = predicted.snap(truth.points(seeds), match_m)
    counts = np.zeros(4, dtype=np.int64)
    for k in range(len(seeds)):
        holes = truth.points(walked(truth, seeds.at(slice(k, k + 1)), radius_m, interval_m))
        marbles = np.zeros((0, 2))
        if starts.there[k]:
            start = starts.at(slice(k, k + 1))
            marbles = predicted.points(walked(predicted, start, radius_m, interval_m))
        filled = _most_pairs(marbles, holes, match_m)
        counts += np.array([filled, len(marbles), filled, len(holes)])
    return counts


def walked(graph: RoadGraph, start: Places, radius_m: float, interval_m: float) -> Places:
    """Places at multiples of an interval from a start, the shortest way along the roads.

    Args:
        graph: The graph.
        start: One place on it.
        radius_m: How far to go.
        interval_m: The interval.
    """
    here, along = int(start.edge[0]), float(start.along_m[0])
    length = graph.length_m
    first, second = graph.edges.T
    # From both ends of the edge that the start is on, each with what is left to it.
    nodes = np.array([first[here], second[here]])
    left = np.array([along, length[here] - along])
    reach = (graph.node_distances(nodes, radius_m) + left[:, None]).min(axis=0)
    reach = np.minimum(reach, _FAR_M)
    near = np.flatnonzero(np.minimum(reach[first], reach[second]) <= radius_m)
    near = near[near != here]
    # The start cuts its own edge in two.
    edge = np.concatenate([near, [here, here]])
    begin = np.concatenate([np.zeros(len(near) + 1), [along]])
    stretch = np.concatenate([length[near], left])
    from_first = np.concatenate([reach[first[near]], reach[nodes[:1]], [0.0]])
    from_second = np.concatenate([reach[second[near]], [0.0], reach[nodes[1:]]])
    # A walk into a stretch goes on to where the walk from its other end is as long.
    meet = np.clip((stretch + from_second - from_first) / 2, 0, stretch)
    ahead = from_first + np.minimum(meet, stretch - _HAIR_M)
    row, at = _multiples(from_first, ahead, radius_m, interval_m)
    behind = from_second + stretch - meet - _HAIR_M
    back, at_back = _multiples(from_second, behind, radius_m, interval_m)
    # Nodes belong to several edges and count once.
    turn = np.rint(reach / interval_m) * interval_m
    hit = (np.abs(reach - turn) < _HAIR_M) & (turn > 0) & (reach <= radius_m + _HAIR_M)
    at_nodes = graph.node_places(np.flatnonzero(hit))
    return Places(
        np.concatenate([start.edge, edge[row], edge[back], at_nodes.edge]),
        np.concatenate(
            [
                start.along_m,
                begin[row] + at - from_first[row],
                (begin + stretch)[back] - (at_back - from_second[back]),
                at_nodes.along_m,
            ]
        ),
    )


def _multiples(
    low: NDArray[np.float64], high: NDArray[np.float64], most: float, step: float
) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    """Row and value of the multiples of a step above ``low`` and up to ``high`` and ``most``."""
    first = np.floor(low / step + _HAIR) + 1
    last = np.floor(np.minimum(high, most) / step + _HAIR)
    number = np.maximum(last - first + 1, 0).astype(np.intp)
    row = np.repeat(np.arange(len(low)), number)
    nth = np.arange(len(row)) - np.repeat(np.cumsum(number) - number, number)
    return row, (first[row] + nth) * step


def _most_pairs(marbles: NDArray[np.float64], holes: NDArray[np.float64], match_m: float) -> int:
    """How many marbles can lie in holes, each in one of its own."""
    if not (len(marbles) and len(holes)):
        return 0
    near = KDTree(marbles).sparse_distance_matrix(KDTree(holes), match_m, output_type="coo_matrix")
    links = sparse.csr_matrix((np.ones(len(near.row)), (near.row, near.col)), shape=near.shape)
    return int((csgraph.maximum_bipartite_matching(links) >= 0).sum())
