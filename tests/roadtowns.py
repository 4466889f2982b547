"""Small road graphs, true and found, for tests and the benchmark of metrics."""

from __future__ import annotations

import numpy as np
import shapely
from numpy.typing import NDArray

from rsaug.downstream.graph.roadgraph import RoadGraph


def town(
    junctions: int, seed: int, *, shift_m: float = 0.8, drop: float = 0.12, block_m: float = 80.0
) -> tuple[RoadGraph, RoadGraph]:
    """A found and a true graph: blocks of bent streets, in the found one moved and with gaps."""
    rng = np.random.default_rng(seed)
    side = int(np.ceil(np.sqrt(junctions)))
    col, row = np.arange(junctions) % side, np.arange(junctions) // side
    xy = np.stack([col, row], axis=1) * block_m + rng.normal(0, block_m / 10, (junctions, 2))
    pairs = [(k, k + 1) for k in range(junctions - 1) if (k + 1) % side]
    pairs += [(k, k + side) for k in range(junctions - side)]
    pairs = [pair for pair in pairs if rng.random() > 0.15]
    bends = [(xy[a] + xy[b]) / 2 + rng.normal(0, block_m / 25, 2) for a, b in pairs]
    moved = xy + rng.normal(0, shift_m, xy.shape)
    true = [line(xy[a], bend, xy[b]) for (a, b), bend in zip(pairs, bends, strict=True)]
    found = [
        line(moved[a], bend + rng.normal(0, shift_m, 2), moved[b])
        for (a, b), bend in zip(pairs, bends, strict=True)
        if rng.random() > drop
    ]
    return RoadGraph.of(found), RoadGraph.of(true)


def line(*points: NDArray[np.float64] | tuple[float, float]) -> shapely.LineString:
    """A line through points."""
    return shapely.LineString(np.array(points))


def turned(graph: RoadGraph, degrees: float = 0.0, *, mirror: bool = False) -> RoadGraph:
    """The graph turned around the origin, or mirrored first."""
    angle = np.radians(degrees)
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    flip = np.diag([-1.0 if mirror else 1.0, 1.0])
    return RoadGraph.of(
        [shapely.transform(own, lambda xy: xy @ flip @ turn) for own in graph.lines], graph.width_m
    )
