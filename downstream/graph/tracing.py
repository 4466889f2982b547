"""From the pixels of a skeleton to nodes and the chains of pixels between them."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.sparse import csgraph

from rsaug.downstream.graph.skeleton import SkeletonPixels


@dataclass(eq=False)
class Node:
    """A junction or an end.

    Attributes:
        xy: (2,) column and row of its place, in pixels from the corner of the raster.
        radius: Half the width of the road there, in pixels.
        to_edge: (4,) pixels to where the raster ends, to the left, right, top and bottom.
    """

    xy: NDArray[np.float64]
    radius: float
    to_edge: NDArray[np.float64]


@dataclass(eq=False)
class Chain:
    """Pixels of a skeleton in their order, between two nodes.

    Attributes:
        first: Number of the node at the start.
        second: Number of the node at the end.
        xy: (k, 2) columns and rows of the pixels' centres, in pixels from the corner of the raster.
        radius: (k,) pixels from the centre to the nearest one that is no road.
        count: (k,) road pixels that are nearest to each, NaN where that was not measured.
        shift: (k, 2) sum of the ways to those pixels.
    """

    first: int
    second: int
    xy: NDArray[np.float64]
    radius: NDArray[np.float64]
    count: NDArray[np.float64]
    shift: NDArray[np.float64]

    def turned(self) -> Chain:
        """The same from the other end."""
        arrays = (self.xy, self.radius, self.count, self.shift)
        return Chain(self.second, self.first, *(array[::-1] for array in arrays))

    def after(self, pixel: int) -> Chain:
        """The same without its pixels up to one, which is to be the node at its start."""
        arrays = (self.xy, self.radius, self.count, self.shift)
        return Chain(self.first, self.second, *(array[pixel + 1 :] for array in arrays))


@dataclass(eq=False)
class Sketch:
    """Nodes and chains on their way to a graph; both are numbered, and numbers are not used again.

    Attributes:
        nodes: By number.
        chains: By number.
        specks: Lone pixels, which are no road.
        at: Chains at each node; a loop is there twice.
    """

    nodes: dict[int, Node]
    chains: dict[int, Chain]
    specks: int = 0
    at: dict[int, list[int]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Index the chains by node."""
        self.at = {number: [] for number in self.nodes}
        for number, chain in self.chains.items():
            self.at[chain.first].append(number)
            self.at[chain.second].append(number)

    def remove(self, number: int) -> None:
        """Take a chain out, and nodes that are left without one."""
        chain = self.chains.pop(number)
        for node in {chain.first, chain.second}:
            self.at[node] = [other for other in self.at[node] if other != number]
            if not self.at[node]:
                del self.at[node], self.nodes[node]

    def points(self, chain: Chain) -> NDArray[np.float64]:
        """A chain's pixels with its nodes at both ends, (k + 2, 2)."""
        ends = self.nodes[chain.first].xy, self.nodes[chain.second].xy
        return np.concatenate([ends[0][None], chain.xy, ends[1][None]])

    def length(self, chain: Chain) -> float:
        """Length of a chain in pixels, from node to node."""
        return float(np.hypot(*np.diff(self.points(chain), axis=0).T).sum())

    def join(self, node: int) -> None:
        """Make one chain of the two at a node, which is no more."""
        a, b = self.at[node]
        one, two = self.chains[a], self.chains[b]
        one = one if one.second == node else one.turned()
        two = two if two.first == node else two.turned()
        here = self.nodes[node]
        joined = Chain(
            one.first,
            two.second,
            np.concatenate([one.xy, here.xy[None], two.xy]),
            np.concatenate([one.radius, [here.radius], two.radius]),
            np.concatenate([one.count, [np.nan], two.count]),
            np.concatenate([one.shift, np.zeros((1, 2)), two.shift]),
        )
        for number in (a, b):
            self.chains.pop(number)
            for end in (one.first, two.second):
                self.at[end] = [other for other in self.at[end] if other != number]
        del self.nodes[node], self.at[node]
        self.chains[a] = joined
        self.at[joined.first].append(a)
        self.at[joined.second].append(a)

    def join_all(self) -> None:
        """Do that at every node where two chains meet and no other."""
        for node in [*self.nodes]:
            if node in self.nodes and len({*self.at[node]}) == 2 == len(self.at[node]):
                self.join(node)


def trace(pixels: SkeletonPixels) -> Sketch:
    """Nodes and chains of a skeleton.

    Pixels are linked with their neighbours in rows and columns, and with diagonal ones where no
    third pixel links the two; those with other than two links are nodes, junctions that touch each
    other one node. A ring has a node at its first pixel.
    """
    if not len(pixels):
        return Sketch({}, {})
    links = _links(pixels.row, pixels.col)
    degree = np.bincount(links.ravel(), minlength=len(pixels))
    is_node = degree > 2
    chain_of = _chains(links, ~is_node)
    # Of a ring of pixels that meets no other, the first becomes a node.
    ends = np.zeros(len(pixels), dtype=np.int64)
    within = ~is_node[links].any(axis=1)
    np.add.at(ends, links[within].ravel(), 1)
    open_chains = np.unique(chain_of[(ends < 2) & ~is_node])
    ring = ~is_node & ~np.isin(chain_of, open_chains)
    _, first = np.unique(np.where(ring, chain_of, -1), return_index=True)
    is_node[first[ring[first]]] = True
    return _assemble(pixels, links, is_node, int((degree == 0).sum()))


def _links(row: NDArray[np.int64], col: NDArray[np.int64]) -> NDArray[np.intp]:
    """Pairs of linked pixels, (m, 2); the pixels are by row and column."""
    wide = int(col.max()) + 3
    key = (row + 1) * wide + col + 1

    def find(down: int, right: int) -> NDArray[np.intp]:
        """Position of a neighbour, -1 where there is none."""
        wanted = key + down * wide + right
        at = np.minimum(np.searchsorted(key, wanted), len(key) - 1)
        return np.where(key[at] == wanted, at, -1)

    east, south, west = find(0, 1), find(1, 0), find(0, -1)
    never = np.zeros(len(key), dtype=bool)
    pairs = [
        (east, never),
        (south, never),
        (find(1, 1), (east >= 0) | (south >= 0)),
        (find(1, -1), (west >= 0) | (south >= 0)),
    ]
    found = []
    for neighbour, linked_by_third in pairs:
        there = (neighbour >= 0) & ~linked_by_third
        found.append(np.stack([np.flatnonzero(there), neighbour[there]], axis=1))
    return np.concatenate(found)


def _components(links: NDArray[np.intp], n: int) -> NDArray[np.int32]:
    graph = sparse.coo_matrix((np.ones(len(links)), links.T), shape=(n, n))
    labels: NDArray[np.int32] = csgraph.connected_components(graph, directed=False)[1]
    return labels


def _chains(links: NDArray[np.intp], in_chain: NDArray[np.bool_]) -> NDArray[np.int32]:
    """Number of each pixel's chain; pixels of nodes have numbers of their own."""
    return _components(links[in_chain[links].all(axis=1)], len(in_chain))


def _assemble(
    pixels: SkeletonPixels, links: NDArray[np.intp], is_node: NDArray[np.bool_], specks: int
) -> Sketch:
    n = len(pixels)
    xy = np.stack([pixels.col, pixels.row], axis=1).astype(np.float64) + 0.5
    cluster = _components(links[is_node[links].all(axis=1)], n)
    nodes: dict[int, Node] = {}
    for group in _groups(np.flatnonzero(is_node), cluster):
        nodes[int(cluster[group[0]])] = Node(
            xy[group].mean(axis=0), float(pixels.radius[group].max()), pixels.to_edge[group[0]]
        )
    attached: dict[int, list[int]] = {}
    for a, b in links[is_node[links].sum(axis=1) == 1].tolist():
        pixel, node = (b, a) if is_node[a] else (a, b)
        attached.setdefault(pixel, []).append(int(cluster[node]))
    chains: dict[int, Chain] = {}
    degree = np.bincount(links.ravel(), minlength=n)
    in_chain = ~is_node & (degree > 0)
    for number, group in enumerate(_ordered(links, in_chain, n)):
        ends = _ends(group, attached)
        for k, (end, pixel) in enumerate(zip(ends, (group[0], group[-1]), strict=True)):
            if end is None:
                # Numbers from n on are those of ends, two a pixel at most.
                ends[k] = n + 2 * int(pixel) + k
                nodes[n + 2 * int(pixel) + k] = Node(
                    xy[pixel], float(pixels.radius[pixel]), pixels.to_edge[pixel]
                )
        own = pixels.at(group)
        chains[number] = Chain(
            int(ends[0] or 0), int(ends[1] or 0), xy[group], own.radius, own.count, own.shift
        )
    return Sketch(nodes, chains, specks)


def _ends(group: NDArray[np.intp], attached: dict[int, list[int]]) -> list[int | None]:
    """Junctions at the two ends of a chain, None for a free end."""
    first, last = (sorted(attached.get(int(pixel), ())) for pixel in (group[0], group[-1]))
    if len(group) == 1:
        return [first[0] if first else None, first[1] if len(first) > 1 else None]
    return [first[0] if first else None, last[0] if last else None]


def _groups(pixels: NDArray[np.intp], label: NDArray[np.int32]) -> list[NDArray[np.intp]]:
    """Pixels by their label."""
    if not len(pixels):
        return []
    order = pixels[np.argsort(label[pixels], kind="stable")]
    return np.split(order, np.flatnonzero(np.diff(label[order])) + 1)


def _ordered(
    links: NDArray[np.intp], in_chain: NDArray[np.bool_], n: int
) -> list[NDArray[np.intp]]:
    """Pixels of each chain from one end to the other."""
    own = links[in_chain[links].all(axis=1)]
    pixels = np.flatnonzero(in_chain)
    if not len(pixels):
        return []
    chain = _components(own, n)
    degree = np.bincount(own.ravel(), minlength=n)
    ends = pixels[degree[pixels] < 2]
    _, first = np.unique(chain[ends], return_index=True)
    graph = sparse.coo_matrix((np.ones(len(own)), own.T), shape=(n, n)).tocsr()
    steps = csgraph.dijkstra(
        graph, directed=False, indices=ends[first], unweighted=True, min_only=True
    )
    order = pixels[np.lexsort((steps[pixels], chain[pixels]))]
    return np.split(order, np.flatnonzero(np.diff(chain[order])) + 1)
