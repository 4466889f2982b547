"""APLS and TOPO again, the plain and slow way: networkx, nodes put in one by one, no arrays."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping

import networkx as nx  # type: ignore[import-untyped]
import shapely

from rsaug.downstream.graph.roadgraph import RoadGraph

Points = Mapping[object, tuple[float, float]]


def with_points(
    graph: RoadGraph, points: Points, reach_m: float
) -> tuple[nx.Graph, dict[object, object]]:
    """The graph with nodes where points are nearest to it, and the node of each point in reach."""
    on_edge: dict[int, list[tuple[float, object]]] = {k: [] for k in range(len(graph.lines))}
    node_of: dict[object, object] = {}
    for name, xy in points.items():
        point = shapely.Point(xy)
        distance, edge = min((line.distance(point), k) for k, line in enumerate(graph.lines))
        if distance <= reach_m:
            on_edge[edge].append((graph.lines[edge].project(point), name))
            node_of[name] = name
    whole: nx.Graph = nx.Graph()
    for k, line in enumerate(graph.lines):
        first, second = (("node", int(n)) for n in graph.edges[k])
        stops: list[tuple[float, object]] = [(0.0, first), *sorted(on_edge[k], key=lambda s: s[0])]
        stops.append((line.length, second))
        for (start, a), (end, b) in itertools.pairwise(stops):
            known = whole.get_edge_data(a, b, {"length": math.inf})["length"]
            whole.add_edge(a, b, length=min(known, end - start))
    return whole, node_of


def own_points(graph: RoadGraph, spacing_m: float, label: str) -> Points:
    """Control points of a graph by name."""
    points: dict[object, tuple[float, float]] = {
        (label, "n", k): (float(x), float(y)) for k, (x, y) in enumerate(graph.nodes.tolist())
    }
    for k, line in enumerate(graph.lines):
        if line.length < 0.75 * spacing_m:
            continue
        parts = 2 if line.length <= spacing_m else math.ceil(line.length / spacing_m)
        for nth in range(1, parts):
            at = line.interpolate(line.length * nth / parts)
            points[(label, k, nth)] = (at.x, at.y)
    return points


def one_way(own: RoadGraph, other: RoadGraph, spacing_m: float, snap_m: float) -> tuple[float, int]:
    """Similarity of the routes of one graph in the other, summed, and how many routes there are."""
    points = own_points(own, spacing_m, "p")
    here, node_here = with_points(own, points, 1e-6)
    there, node_there = with_points(other, points, snap_m)
    ways_here = dict(nx.all_pairs_dijkstra_path_length(here, weight="length"))
    ways_there = dict(nx.all_pairs_dijkstra_path_length(there, weight="length"))
    similar, routes = 0.0, 0
    for a in points:
        for b in points:
            length = ways_here[node_here[a]].get(node_here[b])
            if a == b or length is None or length < 1e-3:
                continue
            routes += 1
            if a in node_there and b in node_there:
                found = ways_there[a].get(b)
                if found is not None:
                    similar += 1 - min(1.0, abs(length - found) / length)
    return similar, routes


def plain_apls(found: RoadGraph, true: RoadGraph, spacing_m: float, snap_m: float) -> list[float]:
    """The numbers of `apls_counts`."""
    return [*one_way(found, true, spacing_m, snap_m), *one_way(true, found, spacing_m, snap_m)]


def plain_walk(
    graph: RoadGraph, start: tuple[float, float], radius_m: float, interval_m: float
) -> list[tuple[float, float]]:
    """Places at multiples of the interval from a start on the graph, by looking at every edge."""
    whole, _ = with_points(graph, {"start": start}, 1e-6)
    reach = nx.single_source_dijkstra_path_length(whole, "start", weight="length")
    places: set[tuple[float, float]] = set()
    start_at = {
        k: line.project(shapely.Point(start))
        for k, line in enumerate(graph.lines)
        if line.distance(shapely.Point(start)) < 1e-6
    }
    edge_of_start = min(start_at)
    for k, line in enumerate(graph.lines):
        ends: list[object] = [("node", int(n)) for n in graph.edges[k]]
        pieces = [(0.0, ends[0], line.length, ends[1])]
        if k == edge_of_start:
            at = start_at[k]
            pieces = [(0.0, ends[0], at, "start"), (at, "start", line.length, ends[1])]
        for low, a, high, b in pieces:
            for from_node, begin, direction in ((a, low, 1), (b, high, -1)):
                walked = reach.get(from_node, math.inf)
                turn = 0
                while walked + (high - low) >= turn * interval_m <= radius_m + 1e-9:
                    along = turn * interval_m - walked
                    turn += 1
                    if not 0 <= along <= high - low:
                        continue
                    other = reach.get(b if from_node == a else a, math.inf)
                    if walked + along <= other + (high - low) - along + 1e-9:
                        point = line.interpolate(begin + direction * along)
                        places.add((round(point.x, 5), round(point.y, 5)))
    return sorted(places)


def plain_topo(
    found: RoadGraph,
    true: RoadGraph,
    *,
    radius_m: float,
    interval_m: float,
    match_m: float,
    spacing_m: float,
) -> list[int]:
    """The numbers of `topo_counts`."""
    counts = [0, 0, 0, 0]
    for seed in own_points(true, spacing_m, "s").values():
        holes = plain_walk(true, seed, radius_m, interval_m)
        point = shapely.Point(seed)
        distance, edge = min((line.distance(point), k) for k, line in enumerate(found.lines))
        marbles: list[tuple[float, float]] = []
        if distance <= match_m:
            line = found.lines[edge]
            at = line.interpolate(line.project(point))
            marbles = plain_walk(found, (at.x, at.y), radius_m, interval_m)
        pairs: nx.Graph = nx.Graph()
        pairs.add_nodes_from(("m", k) for k in range(len(marbles)))
        pairs.add_nodes_from(("h", k) for k in range(len(holes)))
        pairs.add_edges_from(
            (("m", i), ("h", j))
            for i, m in enumerate(marbles)
            for j, h in enumerate(holes)
            if math.dist(m, h) <= match_m
        )
        top = [("m", k) for k in range(len(marbles))]
        filled = len(nx.bipartite.hopcroft_karp_matching(pairs, top)) // 2
        counts = [
            counts[0] + filled,
            counts[1] + len(marbles),
            counts[2] + filled,
            counts[3] + len(holes),
        ]
    return counts
