"""Metrics of paths: are ways through the found roads as long as through the true ones?

Both come from sums that are added up over tiles: a tile counts by its routes, of which there are as
many as pairs of control points. Whoever wants every tile to count the same, as the SpaceNet
challenges have it, takes the scores of each tile and averages them.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from rsaug.downstream.graph.roadgraph import Places, RoadGraph
from rsaug.errors import InputError

SPACING_M = 50.0
"""Between control points on a road: Van Etten et al. 2018."""

SNAP_M = 4.0
"""How far a control point may be from the other graph: Van Etten et al. 2018."""

PATH_KINDS = ("correct", "too_short", "too_long", "infeasible")
"""What `connectivity_counts` counts."""

Between = Literal["nodes", "junctions", "control points"]

# An edge below this share of the spacing has no control point inside, as in the code of APLS.
_SHORT = 0.75
# Routes whose lengths are held at once: 32 MiB a matrix.
_ROUTES_AT_ONCE = 1 << 22


def apls_counts(
    predicted: RoadGraph,
    truth: RoadGraph,
    *,
    spacing_m: float = SPACING_M,
    snap_m: float = SNAP_M,
    min_path_m: float = 1e-3,
    max_points: int | None = None,
    seed: int = 0,
) -> NDArray[np.float64]:
    """Numbers behind APLS of one tile, float64 (4,): add those of all tiles, then `apls_scores`.

    Average path length similarity (Van Etten, Lindenbaum and Bacastow 2018, "SpaceNet: A remote
    sensing dataset and challenge series", section 5.2): 1 minus the mean over all routes of
    ``min(1, |L - L'| / L)``, where L is the length in one graph and L' in the other; both ways
    round, then the harmonic mean. What the paper leaves open is as in the code that the authors
    published (CosmiQ/apls 0.1), run with its own defaults:

    - Control points are all nodes, and points inside every edge of at least 0.75 times the spacing:
      one in the middle of edges up to the spacing, else as many as cut it into ``ceil(length /
      spacing)`` equal parts.
    - A control point goes to the nearest place on the other graph, on an edge or at a node, if that
      is within ``snap_m``. Several may go to one place. (There, the later of two that go to one
      node takes its name, and the earlier one is lost. That is a slip of the code, not of the
      metric; with ``allow_renaming=False`` it does not happen.)
    - Routes are ordered pairs of control points that are connected in the graph they are from. One
      is 1 apart where either point finds no place on the other graph, or no way joins them there.
    - No route is more than 1 apart, however long the detour.
    - Routes shorter than ``min_path_m`` do not count, here also where a point finds no place.

    Args:
        predicted: The graph found.
        truth: The true one, in the same plane.
        spacing_m: Metres between control points.
        snap_m: Metres from a control point to the other graph at most.
        min_path_m: The shortest route that counts.
        max_points: Take so many control points of a graph at random where there are more; None for
            all.
        seed: Chooses them.

    Returns:
        (4,): similarity of found routes to true ones, summed; number of found routes; similarity of
        true routes, summed; number of true routes.

    Raises:
        InputError: if a number is out of range, or the graphs are in different CRS.
    """
    check_graphs(predicted, truth, spacing_m=spacing_m, snap_m=snap_m)
    if not min_path_m >= 0:
        raise InputError(f"min_path_m must be a length from 0 up, not {min_path_m}.")
    if max_points is not None and max_points < 2:
        raise InputError(f"max_points must be at least 2, not {max_points}: a route needs two.")
    counts = []
    for number, (own, other) in enumerate(((predicted, truth), (truth, predicted))):
        points = some_of(control_points(own, spacing_m), max_points, seed + number)
        similar, routes = 0.0, 0
        for length, there in _routes(own, other, points, snap_m):
            counted = np.isfinite(length) & (length >= min_path_m) & (length > 0)
            length, there = length[counted], there[counted]
            # Infinite where there is no way: as far apart as can be.
            apart = np.minimum(np.abs(length - there) / length, 1.0)
            similar += float((1 - apart).sum())
            routes += len(length)
        counts += [similar, float(routes)]
    return np.array(counts)


def apls_scores(counts: NDArray[Any]) -> NDArray[np.float64]:
    """APLS and its two directions of (..., 4) counts of `apls_counts`, (..., 3).

    In this order: the harmonic mean; true routes in the found graph (which falls with gaps); found
    routes in the true graph (which falls with roads that are not there). The mean is 0 where one
    side has routes and the other has none, NaN where neither has any.
    """
    found, routes, true, true_routes = np.moveaxis(np.asarray(counts, dtype=np.float64), -1, 0)
    backward, forward = _ratio(found, routes), _ratio(true, true_routes)
    a, b = np.nan_to_num(forward), np.nan_to_num(backward)
    mean = 2 * a * b / np.where(a + b == 0, 1.0, a + b)
    mean = np.where(routes + true_routes == 0, np.nan, mean)
    return np.stack([mean, forward, backward], axis=-1)


def apls(predicted: RoadGraph, truth: RoadGraph, **options: Any) -> float:
    """APLS of one tile, in [0, 1]; NaN where neither graph has a route. Options: `apls_counts`.

    >>> import shapely
    >>> street = RoadGraph.of([shapely.LineString([(0, 0), (100, 0)])])
    >>> half = RoadGraph.of([shapely.LineString([(0, 0), (50, 0)])])
    >>> apls(street, street), round(apls(half, street), 3)
    (1.0, 0.5)
    """
    return float(apls_scores(apls_counts(predicted, truth, **options))[0])


def control_points(graph: RoadGraph, spacing_m: float = SPACING_M) -> Places:
    """The control points of APLS: all nodes, then points inside the edges; see `apls_counts`."""
    nodes = graph.node_places()
    inside = graph.places_along(spacing_m, shortest_m=_SHORT * spacing_m)
    return Places(
        np.concatenate([nodes.edge, inside.edge]), np.concatenate([nodes.along_m, inside.along_m])
    )


def connectivity_counts(
    predicted: RoadGraph,
    truth: RoadGraph,
    *,
    between: Between = "nodes",
    snap_m: float = SNAP_M,
    tolerance: float = 0.05,
    spacing_m: float = SPACING_M,
    max_points: int | None = None,
    seed: int = 0,
) -> NDArray[np.int64]:
    """True routes by what became of them, int64 (4,): add those of all tiles, then score.

    The path metric of Wegner, Montoya-Zegarra and Schindler 2013 ("A higher-order CRF model for
    road network extraction"), which others call TLTS (too long, too short), over all pairs rather
    than a random sample of them. A pair counts once, and only if it is connected in truth.

    Args:
        predicted: The graph found.
        truth: The true one, in the same plane.
        between: What the routes join: all nodes that are junctions or ends of roads, junctions
            alone (three roads or more), or the control points of APLS.
        snap_m: Metres from a true point to the found graph at most.
        tolerance: A route is correct where its length differs by no more than this share.
        spacing_m: Metres between control points.
        max_points: Take so many points at random where there are more; None for all.
        seed: Chooses them.

    Returns:
        (4,) in the order of `PATH_KINDS`. Infeasible are those of which an end has no road near, or
        that no way joins.

    Raises:
        InputError: if a number is out of range, or the graphs are in different CRS.
    """
    check_graphs(predicted, truth, spacing_m=spacing_m, snap_m=snap_m)
    if not 0 <= tolerance < 1:
        raise InputError(f"The tolerance must be a share from 0 to below 1, not {tolerance}.")
    points = some_of(_joined(truth, between, spacing_m), max_points, seed)
    counts = np.zeros(4, dtype=np.int64)
    first = 0
    for length, there in _routes(truth, predicted, points, snap_m):
        row = first + np.arange(len(length))
        first += len(length)
        once = np.arange(len(points)) > row[:, None]
        counted = np.isfinite(length) & (length > 0) & once
        length, there = length[counted], there[counted]
        ratio = there / length
        joined = np.isfinite(ratio)
        short, long = ratio < 1 - tolerance, (ratio > 1 + tolerance) & joined
        wrong = int(short.sum()), int(long.sum()), int((~joined).sum())
        counts += np.array([len(ratio) - sum(wrong), *wrong])
    return counts


def connectivity_scores(counts: NDArray[Any]) -> NDArray[np.float64]:
    """Shares of true routes of (..., 4) counts of `connectivity_counts`, (..., 2).

    The share that is connected in the found graph, whatever the length, and the share that is
    correct; NaN where there is no route.
    """
    counts = np.asarray(counts, dtype=np.float64)
    routes = counts.sum(axis=-1)
    return np.stack([_ratio(routes - counts[..., 3], routes), _ratio(counts[..., 0], routes)], -1)


def connectivity(predicted: RoadGraph, truth: RoadGraph, **options: Any) -> float:
    """Share of true routes that are connected in the found graph; options: `connectivity_counts`.

    NaN where truth has no route.
    """
    return float(connectivity_scores(connectivity_counts(predicted, truth, **options))[0])


def _joined(graph: RoadGraph, between: Between, spacing_m: float) -> Places:
    if between == "control points":
        return control_points(graph, spacing_m)
    if between == "nodes":
        return graph.node_places(np.flatnonzero(graph.degree != 2))
    if between == "junctions":
        return graph.node_places(np.flatnonzero(graph.degree >= 3))
    raise InputError(f"between={between!r} is not known; it is nodes, junctions or control points.")


def _routes(
    own: RoadGraph, other: RoadGraph, points: Places, snap_m: float
) -> Iterator[tuple[NDArray[np.float64], NDArray[np.float64]]]:
    """Lengths of the routes between points in their own graph and in the other, some rows a turn.

    The first is infinite where a point is joined with itself or not at all, the second where there
    is no way.
    """
    snapped = other.snap(own.points(points), snap_m)
    step = max(1, _ROUTES_AT_ONCE // max(1, len(points)))
    for start in range(0, len(points), step):
        rows = slice(start, start + step)
        length = own.distances(points.at(rows), points)
        length[np.arange(len(length)), start + np.arange(len(length))] = np.inf
        yield length, other.distances(snapped.at(rows), snapped)


def some_of(points: Places, most: int | None, seed: int) -> Places:
    """As many of the points as are wanted, chosen at random, in their order; None for all."""
    if most is None or len(points) <= most:
        return points
    rng = np.random.default_rng(seed)
    return points.at(np.sort(rng.choice(len(points), most, replace=False)))


def check_graphs(predicted: RoadGraph, truth: RoadGraph, **lengths: float) -> None:
    """Refuse two graphs in different CRS, and parameters, by name, that are no lengths.

    Raises:
        InputError: if one is.
    """
    if predicted.crs != truth.crs:
        raise InputError("The two graphs are in different CRS; make both in one.")
    for name, value in lengths.items():
        if not (np.isfinite(value) and value > 0):
            raise InputError(f"{name} must be a positive number of metres, not {value}.")


def _ratio(part: NDArray[np.float64], whole: NDArray[np.float64]) -> NDArray[np.float64]:
    empty = whole == 0
    return np.where(empty, np.nan, part / np.where(empty, 1.0, whole))
