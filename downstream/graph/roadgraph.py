"""A road graph: junctions and ends as nodes, the road between two of them as an edge."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray
from pyproj import CRS
from scipy import sparse
from scipy.sparse import csgraph

from rsaug.errors import InputError
from rsaug.optional import require

NOWHERE = -1
"""Edge of a place that is not on the graph."""

# Ends of lines this near to a node are at it; far below a pixel, far above rounding.
_AT_NODE_M = 1e-3


@dataclass(frozen=True, eq=False)
class Places:
    """Places along the edges of a graph.

    Attributes:
        edge: (n,) positions of edges, `NOWHERE` for a place that is not on the graph.
        along_m: (n,) metres from the start of the edge's line.
    """

    edge: NDArray[np.intp]
    along_m: NDArray[np.float64]

    def __len__(self) -> int:
        """How many there are."""
        return len(self.edge)

    def at(self, rows: NDArray[Any] | slice) -> Places:
        """Some of them."""
        return Places(self.edge[rows], self.along_m[rows])

    @property
    def there(self) -> NDArray[np.bool_]:
        """(n,) which are on the graph."""
        there: NDArray[np.bool_] = self.edge != NOWHERE
        return there


@dataclass(frozen=True, eq=False)
class RoadGraph:
    """Roads as nodes and edges in a plane, in metres; two-way, with parallel edges and loops.

    Coordinates are those of the CRS times ``metres_a_unit``, so that lengths are metres on the
    ground.

    Attributes:
        nodes: (n, 2) x and y in metres; every node has an edge.
        edges: (m, 2) positions of the nodes that each edge joins, equal for a loop.
        lines: (m,) shapely lines, from the first node of the edge to the second.
        width_m: (m,) width of the road in metres, NaN where it is not known.
        crs: CRS, None for a graph without a place on Earth.
        metres_a_unit: Metres on the ground that one unit of the CRS is.

    Raises:
        InputError: if the arrays do not fit each other, a line does not run from node to node or
            has no length, or a node has no edge.
    """

    nodes: NDArray[np.float64]
    edges: NDArray[np.intp]
    lines: NDArray[np.object_]
    width_m: NDArray[np.float64]
    crs: CRS | None = None
    metres_a_unit: float = 1.0

    def __post_init__(self) -> None:
        """Check that it is a graph."""
        n, m = len(self.nodes), len(self.edges)
        shapes = (self.nodes.shape, self.edges.shape, self.lines.shape, self.width_m.shape)
        if shapes != ((n, 2), (m, 2), (m,), (m,)):
            raise InputError(
                "A graph needs nodes (n, 2), edges (m, 2), lines (m,) and widths (m,), not "
                f"{', '.join(map(str, shapes))}."
            )
        if m and not 0 <= self.edges.min() <= self.edges.max() < n:
            raise InputError(f"The edges name nodes outside of 0 to {n - 1}.")
        if (self.degree == 0).any():
            raise InputError(f"{int((self.degree == 0).sum())} nodes have no edge; leave them out.")
        if m:
            self._check_lines()

    def _check_lines(self) -> None:
        if not (shapely.get_type_id(self.lines) == 1).all():
            raise InputError("The lines of a graph are to be shapely LineStrings.")
        ends = np.stack([_end(self.lines, 0), _end(self.lines, -1)], axis=1)
        apart = np.abs(ends - self.nodes[self.edges]).max(axis=(1, 2))
        if not (apart <= _AT_NODE_M).all():
            raise InputError(
                f"{int((~(apart <= _AT_NODE_M)).sum())} lines do not run from node to node, the "
                f"first is line {int(np.argmax(~(apart <= _AT_NODE_M)))}."
            )
        if not (self.length_m > 0).all():
            raise InputError(f"{int((self.length_m <= 0).sum())} lines have no length.")

    @classmethod
    def empty(cls, crs: CRS | None = None, metres_a_unit: float = 1.0) -> RoadGraph:
        """A graph without a road."""
        return cls(
            np.zeros((0, 2)),
            np.zeros((0, 2), dtype=np.intp),
            np.zeros(0, dtype=object),
            np.zeros(0),
            crs,
            metres_a_unit,
        )

    @classmethod
    def of(
        cls,
        lines: Sequence[shapely.LineString] | NDArray[np.object_],
        width_m: NDArray[np.float64] | None = None,
        crs: CRS | None = None,
        metres_a_unit: float = 1.0,
    ) -> RoadGraph:
        """The graph of lines that meet at their ends and nowhere else.

        Ends within a millimetre of each other are one node; nodes are numbered by x, then y.
        `rsaug.downstream.graph.lines` cuts lines at their crossings first.

        Args:
            lines: (m,) lines in metres; those shorter than two millimetres are left out, and of
                lines that are the same, in either direction, all but the first.
            width_m: (m,) widths, by default not known.
            crs: See the class.
            metres_a_unit: See the class.
        """
        shapes = np.empty(len(lines), dtype=object)
        shapes[:] = lines
        width = np.full(len(shapes), np.nan) if width_m is None else np.asarray(width_m, np.float64)
        kept = np.flatnonzero(shapely.length(shapes) > 2 * _AT_NODE_M)
        first: dict[bytes, int] = {}
        for row, wkb in zip(
            kept.tolist(), shapely.to_wkb(shapely.normalize(shapes[kept])), strict=True
        ):
            first.setdefault(wkb, row)
        kept = np.fromiter(first.values(), dtype=np.intp)
        shapes, width = shapes[kept], width[kept]
        if not len(shapes):
            return cls.empty(crs, metres_a_unit)
        ends = np.stack([_end(shapes, 0), _end(shapes, -1)], axis=1).reshape(-1, 2)
        number, nodes = _merged(ends)
        edges = number.reshape(-1, 2)
        return cls(nodes, edges, _fastened(shapes, nodes[edges]), width, crs, metres_a_unit)

    @cached_property
    def length_m(self) -> NDArray[np.float64]:
        """(m,) length of each edge."""
        lengths: NDArray[np.float64] = shapely.length(self.lines)
        return lengths

    @cached_property
    def degree(self) -> NDArray[np.intp]:
        """(n,) how many ends of edges are at each node; a loop has two."""
        return np.bincount(self.edges.ravel(), minlength=len(self.nodes)).astype(np.intp)

    @cached_property
    def component(self) -> NDArray[np.int32]:
        """(n,) number of the part that each node belongs to; parts are not connected."""
        labels: NDArray[np.int32] = csgraph.connected_components(self._weights, directed=False)[1]
        return labels

    @cached_property
    def _weights(self) -> Any:
        """(n, n) sparse lengths of the shortest edge between two nodes, loops left out."""
        first, second = np.sort(self.edges, axis=1).T
        order = np.lexsort((self.length_m, second, first))
        order = order[first[order] != second[order]]
        pair = first[order] * len(self.nodes) + second[order]
        kept = order[np.concatenate([[True], pair[1:] != pair[:-1]])[: len(order)]]
        shape = (len(self.nodes), len(self.nodes))
        entries = (self.length_m[kept], (first[kept], second[kept]))
        return sparse.csr_matrix(entries, shape=shape)

    def node_distances(
        self, sources: NDArray[np.intp], limit_m: float = np.inf
    ) -> NDArray[np.float64]:
        """Metres along the roads from some nodes to all, (k, n); infinite beyond the limit.

        Dijkstra's algorithm as scipy has it.
        """
        if not len(sources):
            return np.zeros((0, len(self.nodes)))
        distances: NDArray[np.float64] = csgraph.dijkstra(
            self._weights, directed=False, indices=sources, limit=limit_m
        )
        return distances

    def distances(self, start: Places, end: Places) -> NDArray[np.float64]:
        """Metres along the roads from places to places, (k, l); infinite where there is no way.

        A way leaves an edge at one of its ends, or stays on it; so no node has to be put in.
        """
        result = np.full((len(start), len(end)), np.inf)
        rows, cols = np.flatnonzero(start.there), np.flatnonzero(end.there)
        if not (len(rows) and len(cols)):
            return result
        start, end = start.at(rows), end.at(cols)
        sources, source_of = np.unique(self.edges[start.edge], return_inverse=True)
        source_of = source_of.reshape(-1, 2)
        between = self.node_distances(sources)
        # To the places from the nodes first, of which there are fewer than places.
        arrive = np.minimum(
            *(between[:, self.edges[end.edge, k]] + self._to_end(end, k) for k in range(2))
        )
        found = arrive[source_of[:, 0]]
        found += self._to_end(start, 0)[:, None]
        other = arrive[source_of[:, 1]]
        other += self._to_end(start, 1)[:, None]
        np.minimum(found, other, out=found)
        same = np.nonzero(start.edge[:, None] == end.edge)
        straight = np.abs(start.along_m[same[0]] - end.along_m[same[1]])
        found[same] = np.minimum(found[same], straight)
        result[np.ix_(rows, cols)] = found
        return result

    def _to_end(self, places: Places, end: int) -> NDArray[np.float64]:
        """Metres from places to the first or second node of their edges."""
        return self.length_m[places.edge] - places.along_m if end else places.along_m

    def points(self, places: Places) -> NDArray[np.float64]:
        """Coordinates of places, (n, 2); NaN for those that are not on the graph."""
        xy = np.full((len(places), 2), np.nan)
        there = places.there
        at = shapely.line_interpolate_point(self.lines[places.edge[there]], places.along_m[there])
        xy[there] = shapely.get_coordinates(at)
        return xy

    @cached_property
    def _tree(self) -> shapely.STRtree:
        return shapely.STRtree(self.lines)

    def snap(self, xy: NDArray[np.float64], reach_m: float) -> Places:
        """The places on the graph nearest to points (n, 2); nowhere for those out of reach.

        Of edges that are equally near it is the first.
        """
        edge = np.full(len(xy), NOWHERE, dtype=np.intp)
        along = np.full(len(xy), np.nan)
        if len(xy) and len(self.lines):
            points = shapely.points(xy)
            row, found = self._tree.query_nearest(points, max_distance=np.nextafter(reach_m, 1e300))
            order = np.lexsort((found, row))
            row, first = np.unique(row[order], return_index=True)
            found = found[order][first]
            near = shapely.distance(points[row], self.lines[found]) <= reach_m
            row, found = row[near], found[near]
            edge[row] = found
            along[row] = shapely.line_locate_point(self.lines[found], points[row])
        return Places(edge, along)

    def node_places(self, nodes: NDArray[np.intp] | None = None) -> Places:
        """The places of nodes, by default of all, each on its first edge."""
        ends = self.edges.ravel()
        order = np.argsort(ends, kind="stable")
        first = order[np.searchsorted(ends[order], np.arange(len(self.nodes)))]
        edge, is_second = first // 2, first % 2 == 1
        along = np.where(is_second, self.length_m[edge], 0.0) if len(edge) else np.zeros(0)
        places = Places(edge.astype(np.intp), along)
        return places if nodes is None else places.at(nodes)

    def places_along(self, spacing_m: float, shortest_m: float = 0.0) -> Places:
        """Places inside the edges that cut each into equal parts no longer than the spacing.

        Args:
            spacing_m: The longest part; an edge that is not longer is cut in the middle.
            shortest_m: Edges below this length have none.
        """
        parts = np.maximum(np.ceil(self.length_m / spacing_m), 2).astype(np.intp)
        number = np.where(self.length_m < shortest_m, 0, parts - 1)
        edge = np.repeat(np.arange(len(self.lines)), number)
        nth = np.arange(len(edge)) - np.repeat(np.cumsum(number) - number, number) + 1
        return Places(edge, nth * self.length_m[edge] / parts[edge])

    def without_pseudo_nodes(self) -> RoadGraph:
        """The graph with edges joined where two of them meet and no other; rings keep one node.

        The width of a joined edge is the mean over its length of what is known.
        """
        joins = np.flatnonzero(self.degree == 2)
        loops = np.unique(self.edges[self.edges[:, 0] == self.edges[:, 1], 0])
        joins = np.setdiff1d(joins, loops)
        if not len(joins):
            return self
        is_join = np.isin(self.edges, joins)
        ends = np.flatnonzero(is_join.ravel())
        ends = ends[np.argsort(self.edges.ravel()[ends], kind="stable")]
        pairs = ends.reshape(-1, 2) // 2
        links = sparse.coo_matrix((np.ones(len(pairs)), pairs.T), shape=(len(self.lines),) * 2)
        number = csgraph.connected_components(links, directed=False)[1]
        order = np.argsort(number, kind="stable")
        groups = np.split(order, np.flatnonzero(np.diff(number[order])) + 1)
        lines, widths = [], []
        for group in groups:
            lines += self._joined(group)
            known = group[~np.isnan(self.width_m[group])]
            weight = self.length_m[known]
            widths.append(
                float(np.average(self.width_m[known], weights=weight)) if len(known) else np.nan
            )
        return RoadGraph.of(lines, np.array(widths), self.crs, self.metres_a_unit)

    def _joined(self, group: NDArray[np.intp]) -> list[shapely.LineString]:
        """One line of the lines of edges that follow each other."""
        if len(group) == 1:
            return [self.lines[group[0]]]
        at: dict[int, list[int]] = {}
        for edge in group.tolist():
            for node in self.edges[edge].tolist():
                at.setdefault(node, []).append(edge)
        ends = sorted(n for n, own in at.items() if len(own) == 1 or self.degree[n] != 2)
        node = ends[0] if ends else min(at)
        left, parts = {*group.tolist()}, []
        while left:
            edge = next(e for e in at[node] if e in left)
            left.remove(edge)
            xy = shapely.get_coordinates(self.lines[edge])
            first, second = self.edges[edge].tolist()
            parts.append(xy if first == node else xy[::-1])
            node = second if first == node else first
        whole = np.concatenate([parts[0], *(part[1:] for part in parts[1:])])
        return [shapely.LineString(whole)]

    def only(self, edges: NDArray[np.bool_] | NDArray[np.intp]) -> RoadGraph:
        """The graph of some of the edges, with the nodes that they join."""
        kept = self.edges[edges]
        used, number = np.unique(kept, return_inverse=True)
        return replace(
            self,
            nodes=self.nodes[used],
            edges=number.reshape(-1, 2).astype(np.intp),
            lines=self.lines[edges],
            width_m=self.width_m[edges],
        )

    def to_networkx(self) -> Any:
        """The graph as a networkx.MultiGraph.

        Nodes are numbered as here and have ``x`` and ``y``; edges have ``length``, ``geometry`` and
        ``width``, all in metres.

        Raises:
            MissingExtra: if networkx is not installed.
        """
        networkx = require("networkx", extra="graph")
        graph = networkx.MultiGraph(crs=self.crs)
        for number, (x, y) in enumerate(self.nodes.tolist()):
            graph.add_node(number, x=x, y=y)
        for (first, second), line, length, width in zip(
            self.edges.tolist(),
            self.lines,
            self.length_m.tolist(),
            self.width_m.tolist(),
            strict=True,
        ):
            graph.add_edge(first, second, length=length, geometry=line, width=width)
        return graph

    @classmethod
    def from_networkx(cls, graph: Any, crs: CRS | None = None) -> RoadGraph:
        """A graph of networkx, as `to_networkx` writes it, and as osmnx does once projected.

        Directions are dropped, and with them the second of two edges with the same line. An edge
        without ``geometry`` is straight; ``width`` may be missing. Coordinates are taken as metres.

        Raises:
            InputError: if a node has no ``x`` or ``y``.
        """
        lines, widths = [], []
        for first, second, data in graph.edges(data=True):
            try:
                ends = [(graph.nodes[n]["x"], graph.nodes[n]["y"]) for n in (first, second)]
            except KeyError as error:
                raise InputError(f"A node of the graph has no {error}.") from error
            lines.append(data.get("geometry") or shapely.LineString(ends))
            width = data.get("width")
            widths.append(float(width) if isinstance(width, int | float) else np.nan)
        return cls.of(lines, np.array(widths), crs)


def _end(lines: NDArray[np.object_], which: int) -> NDArray[np.float64]:
    ends: NDArray[np.float64] = shapely.get_coordinates(shapely.get_point(lines, which))
    return ends


def _merged(ends: NDArray[np.float64]) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    """Number of the node of each end, and the nodes by x, then y."""
    tree = shapely.STRtree(shapely.points(ends))
    pairs = tree.query(shapely.points(ends), predicate="dwithin", distance=_AT_NODE_M)
    links = sparse.coo_matrix((np.ones(pairs.shape[1]), pairs), shape=(len(ends),) * 2)
    count, label = csgraph.connected_components(links, directed=False)
    order = np.lexsort((ends[:, 1], ends[:, 0], label))
    _, first = np.unique(label[order], return_index=True)
    nodes = ends[order[first]]
    rank = np.empty(count, dtype=np.intp)
    by_place = np.lexsort((nodes[:, 1], nodes[:, 0]))
    rank[by_place] = np.arange(count)
    return rank[label], nodes[by_place]


def _fastened(lines: NDArray[np.object_], ends: NDArray[np.float64]) -> NDArray[np.object_]:
    """Lines with their ends exactly at the nodes (m, 2, 2)."""
    xy, row = shapely.get_coordinates(lines, return_index=True)
    first = np.concatenate([[True], row[1:] != row[:-1]])
    last = np.concatenate([row[1:] != row[:-1], [True]])
    xy[first], xy[last] = ends[:, 0], ends[:, 1]
    fastened: NDArray[np.object_] = shapely.linestrings(xy, indices=row)
    return fastened
