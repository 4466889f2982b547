"""Cleaning of a traced skeleton: what is there only because roads have a width is taken out.

A skeleton has spurs where the outline of a road has bumps, two junctions where roads cross, ends
that are half a width short where the raster ends, and gaps where something hides a road.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import KDTree

from rsaug.downstream.graph.tracing import Chain, Node, Sketch

_ROUNDS = 8
# An end is where the raster ends if that is no farther than half its width and so many pixels.
_NEAR_PX = 2.0
# How far the fork at a cut reaches, in half widths; far where the cut is slanting.
_CORNER = 3.0
# Into a corner, a skeleton comes nearer to the outline by more than this a pixel.
_TAPER, _STEPS = 0.4, 3
# A road that heads for an edge by less than this does not reach it.
_LEVEL = 0.2


@dataclass
class Cleaned:
    """What was changed, by count.

    Attributes:
        counts: By name; only what happened.
    """

    counts: dict[str, int] = field(default_factory=dict)

    def add(self, name: str, number: int = 1) -> None:
        """Count something."""
        if number:
            self.counts[name] = self.counts.get(name, 0) + number


def prune(sketch: Sketch, *, spur: float, done: Cleaned) -> None:
    """Take out dead ends that hardly reach beyond the road that they leave.

    Args:
        sketch: Changed in place.
        spur: A dead end goes where it reaches less than so many half widths of its junction beyond
            the road there.
        done: Counts ``spurs pruned``.
    """
    for _ in range(_ROUNDS):
        spurs: dict[int, list[int]] = {}
        for number, chain in sketch.chains.items():
            junction = _junction_of(sketch, chain)
            if junction is not None and _is_spur(sketch, chain, junction, spur):
                spurs.setdefault(junction, []).append(number)
        removed = 0
        for junction, numbers in spurs.items():
            if len(numbers) == len(sketch.at[junction]):
                # All that there is are spurs: a road hardly longer than wide. It keeps two.
                longest = sorted(numbers, key=lambda n: (-sketch.length(sketch.chains[n]), n))
                numbers = longest[2:]
            for number in numbers:
                sketch.remove(number)
            removed += len(numbers)
        done.add("spurs pruned", removed)
        sketch.join_all()
        if not removed:
            return


def _is_spur(sketch: Sketch, chain: Chain, junction: int, spur: float) -> bool:
    """Whether a dead end is none of a road.

    Where the raster cuts a road, what is left of it beside another may be short.
    """
    wide = sketch.nodes[junction].radius
    end = chain.second if chain.first == junction else chain.first
    length = sketch.length(chain)
    if not _is_cut(sketch.nodes[end]):
        return length + sketch.nodes[end].radius - wide < spur * wide
    if _tapering(chain if chain.first == end else chain.turned()) >= len(chain.xy):
        return length < _CORNER * wide
    return length + sketch.nodes[end].radius - wide < spur * wide / 3


def _is_cut(end: Node) -> bool:
    """Whether a road ends where the raster does."""
    return float(end.to_edge.min()) <= end.radius + _NEAR_PX


def _tapering(chain: Chain) -> int:
    """Over how many pixels from its start a chain's road gets wider."""
    wider = chain.radius[_STEPS:] - chain.radius[:-_STEPS]
    level = np.flatnonzero(wider < _STEPS * _TAPER)
    return int(level[0]) if len(level) else len(chain.radius)


def cut_corners(sketch: Sketch, done: Cleaned) -> None:
    """Take off the ends that run into a corner, where the raster cuts a road.

    There the skeleton of a road leaves its middle for one corner of the cut, or forks into both,
    and comes nearer to the outline on the way.

    Args:
        sketch: Changed in place.
        done: Counts ``ends cut``.
    """
    for number, node in sketch.nodes.items():
        if len(sketch.at[number]) != 1 or not _is_cut(node):
            continue
        own = sketch.at[number][0]
        chain = sketch.chains[own]
        chain = chain if chain.first == number else chain.turned()
        cut = _tapering(chain)
        if not 2 <= cut < len(chain.xy) - _STEPS:
            continue
        right, down = (chain.xy[cut] - node.xy).tolist()
        node.xy, node.radius = chain.xy[cut], float(chain.radius[cut])
        node.to_edge = node.to_edge + np.array([right, -right, down, -down])
        sketch.chains[own] = chain.after(cut)
        done.add("ends cut")


def _junction_of(sketch: Sketch, chain: Chain) -> int | None:
    """The junction that a dead end starts from; None for what is none."""
    degrees = len(sketch.at[chain.first]), len(sketch.at[chain.second])
    if degrees[0] == 1 and degrees[1] > 2:
        return chain.second
    if degrees[1] == 1 and degrees[0] > 2:
        return chain.first
    return None


def merge_junctions(sketch: Sketch, *, reach: float, done: Cleaned) -> None:
    """Make one junction of those that a piece of road no longer than it is wide joins.

    Args:
        sketch: Changed in place.
        reach: How long that may be, in half widths of the wider junction.
        done: Counts ``junctions merged`` and ``loops removed``.
    """
    parent = {node: node for node in sketch.nodes}

    def root(node: int) -> int:
        while parent[node] != node:
            node = parent[node]
        return node

    short = []
    for number, chain in sketch.chains.items():
        ends = chain.first, chain.second
        if ends[0] == ends[1] or any(len(sketch.at[end]) < 3 for end in ends):
            continue
        if sketch.length(chain) < reach * max(sketch.nodes[end].radius for end in ends):
            short.append(number)
            low, high = sorted(map(root, ends))
            parent[high] = low
    groups: dict[int, list[int]] = {}
    for node in sketch.nodes:
        groups.setdefault(root(node), []).append(node)
    for members in groups.values():
        if len(members) > 1:
            done.add("junctions merged", len(members) - 1)
            _move_together(sketch, members)
    for number in short:
        if number in sketch.chains:
            sketch.remove(number)
    _remove_loops(sketch, done)
    sketch.join_all()


def _move_together(sketch: Sketch, members: list[int]) -> None:
    """Make the first node stand for all."""
    keep = members[0]
    every = [sketch.nodes[member] for member in members]
    sketch.nodes[keep] = Node(
        np.mean([node.xy for node in every], axis=0),
        max(node.radius for node in every),
        every[0].to_edge,
    )
    for member in members[1:]:
        for number in {*sketch.at[member]}:
            chain = sketch.chains[number]
            chain.first = keep if chain.first == member else chain.first
            chain.second = keep if chain.second == member else chain.second
        sketch.at[keep] += sketch.at.pop(member)
        del sketch.nodes[member]


def _remove_loops(sketch: Sketch, done: Cleaned) -> None:
    """Take out loops that are inside the road, and the longer of two that lie side by side."""
    for number, chain in [*sketch.chains.items()]:
        if chain.first == chain.second:
            radius = sketch.nodes[chain.first].radius
            if sketch.length(chain) < 4 * radius and len(sketch.at[chain.first]) > 2:
                sketch.remove(number)
                done.add("loops removed")
    by_ends: dict[tuple[int, int], list[int]] = {}
    for number, chain in sketch.chains.items():
        if chain.first != chain.second:
            pair = min(chain.first, chain.second), max(chain.first, chain.second)
            by_ends.setdefault(pair, []).append(number)
    for pair, numbers in by_ends.items():
        lengths = {n: sketch.length(sketch.chains[n]) for n in numbers}
        numbers.sort(key=lambda n: (lengths[n], n))
        radius = max(sketch.nodes[node].radius for node in pair)
        for number in numbers[1:]:
            if lengths[number] < 2 * radius:
                sketch.remove(number)
                done.add("loops removed")


def extend_to_edge(sketch: Sketch, done: Cleaned) -> None:
    """Lengthen ends that are about half a width from where the raster ends, up to there.

    Args:
        sketch: Changed in place.
        done: Counts ``ends taken to the edge``.
    """
    for number, node in sketch.nodes.items():
        if len(sketch.at[number]) != 1 or not _is_cut(node):
            continue
        x, y = heading(sketch, number).tolist()
        left, right, top, bottom = node.to_edge.tolist()
        across = (right if x > 0 else left) / abs(x) if abs(x) > _LEVEL else np.inf
        along = (bottom if y > 0 else top) / abs(y) if abs(y) > _LEVEL else np.inf
        distance = min(across, along)
        if 0 < distance <= 1.5 * node.radius + _NEAR_PX:
            node.xy = node.xy + distance * np.array([x, y])
            done.add("ends taken to the edge")


def heading(sketch: Sketch, end: int) -> NDArray[np.float64]:
    """Direction (2,) in which a road leaves at an end, of length one.

    From the pixels within two widths; the last half width is left out where there is more, since
    the skeleton bends to a corner there.
    """
    node = sketch.nodes[end]
    chain = sketch.chains[sketch.at[end][0]]
    chain = chain if chain.first == end else chain.turned()
    xy = sketch.points(chain)
    away = np.concatenate([[0.0], np.hypot(*np.diff(xy, axis=0).T).cumsum()])
    used = xy[(away >= node.radius) & (away <= 4 * node.radius + 6)]
    if len(used) < 4:
        used = xy[: max(4, len(used))]
    way = used[: len(used) // 2].mean(axis=0) - used[len(used) // 2 :].mean(axis=0)
    length = float(np.hypot(*way))
    return way / length if length > 0 else np.zeros(2)


def bridge(sketch: Sketch, *, gap: float, angle: float, done: Cleaned) -> None:
    """Join ends that face each other across a gap, the nearest first, each once.

    Args:
        sketch: Changed in place.
        gap: Pixels between two ends at most.
        angle: Degrees that either road may turn into the gap.
        done: Counts ``gaps bridged``.
    """
    ends = [number for number in sorted(sketch.nodes) if len(sketch.at[number]) == 1]
    if len(ends) < 2 or gap <= 0:
        return
    xy = np.array([sketch.nodes[end].xy for end in ends])
    facing = np.array([heading(sketch, end) for end in ends])
    pairs = KDTree(xy).query_pairs(gap, output_type="ndarray")
    way = xy[pairs[:, 1]] - xy[pairs[:, 0]]
    length = np.hypot(*way.T)
    pairs, way, length = pairs[length > 0], way[length > 0], length[length > 0]
    way = way / length[:, None]
    least = np.cos(np.radians(angle))
    straight = (facing[pairs[:, 0]] * way).sum(axis=1) >= least
    straight &= -(facing[pairs[:, 1]] * way).sum(axis=1) >= least
    used: set[int] = set()
    for k in np.lexsort((pairs[:, 1], pairs[:, 0], length)):
        a, b = (ends[n] for n in pairs[k].tolist())
        if not straight[k] or {a, b} & used or sketch.at[a] == sketch.at[b]:
            continue
        used |= {a, b}
        number = max(sketch.chains) + 1
        empty = np.zeros(0)
        sketch.chains[number] = Chain(a, b, np.zeros((0, 2)), empty, empty, np.zeros((0, 2)))
        sketch.at[a].append(number)
        sketch.at[b].append(number)
        done.add("gaps bridged")
    sketch.join_all()
