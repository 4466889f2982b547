"""APLS, ours against networkx and against the code of its authors: time and score, side by side.

    python tests/benchmarks/apls.py --junctions 100 300 1000 --out result.json
    python tests/benchmarks/apls.py --junctions 100 --authors DIR

All are given the same graphs, of blocks of bent streets, and the same parameters, and their scores
have to be the same. They take turns, a town of its own each round; given are the median and the
range of the rounds, of which the ratios are made as well. The code of the authors (CosmiQ/apls) is
not part of any installation: DIR is its folder with ``apls.py``. What that imports and does not
need for the score is replaced by stand-ins.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import io
import json
import os
import platform
import sys
import time
from collections.abc import Callable
from importlib.metadata import version
from itertools import pairwise
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock

import networkx as nx  # type: ignore[import-untyped]
import numpy as np

from rsaug.downstream.graph.roadgraph import Places, RoadGraph
from rsaug.downstream.metrics import apls_counts, apls_scores
from rsaug.downstream.metrics.paths import SNAP_M, SPACING_M, control_points

sys.path.insert(0, str(Path(__file__).parents[1]))
from roadtowns import town

Scorer = Callable[[RoadGraph, RoadGraph], list[float]]

# What the authors' code imports besides what it needs here.
_NOT_NEEDED = ("osgeo", "osgeo.gdal", "osgeo.ogr", "osgeo.osr", "fiona", "utm")
_FAR_NUMBER = 1_000_000
_MIN_PATH_M = 1e-3


def ours(found: RoadGraph, true: RoadGraph) -> list[float]:
    """APLS and its two directions by rsaug."""
    scores: list[float] = apls_scores(apls_counts(found, true)).tolist()
    return scores


def by_networkx(found: RoadGraph, true: RoadGraph) -> list[float]:
    """The same by networkx: nodes put in, Dijkstra's algorithm from all of them."""
    directions = []
    for own, other in ((true, found), (found, true)):
        points = control_points(own, SPACING_M)
        here = ways(own, points)
        there = ways(other, other.snap(own.points(points), SNAP_M))
        similar, routes = 0.0, 0
        for a, lengths in here.items():
            found_lengths = there.get(a, {})
            for b, length in lengths.items():
                if a == b or length < _MIN_PATH_M:
                    continue
                routes += 1
                if b in found_lengths:
                    similar += 1 - min(1.0, abs(length - found_lengths[b]) / length)
        directions.append(similar / routes)
    forward, backward = directions
    return [2 * forward * backward / (forward + backward), forward, backward]


def ways(graph: RoadGraph, places: Places) -> dict[int, dict[int, float]]:
    """Lengths of the ways between places, by their numbers."""
    stops: dict[int, list[tuple[float, int]]] = {}
    for number, (edge, along) in enumerate(
        zip(places.edge.tolist(), places.along_m.tolist(), strict=True)
    ):
        if edge >= 0:
            stops.setdefault(edge, []).append((along, number))
    whole = nx.Graph()
    for edge, (first, second) in enumerate(graph.edges.tolist()):
        length = float(graph.length_m[edge])
        own = [(0.0, -1 - first), *sorted(stops.get(edge, [])), (length, -1 - second)]
        for (start, a), (end, b) in pairwise(own):
            known = whole.get_edge_data(a, b, {"length": np.inf})["length"]
            whole.add_edge(a, b, length=min(known, end - start))
    numbers = [number for own in stops.values() for _, number in own]
    return {
        number: {
            other: length
            for other, length in nx.single_source_dijkstra_path_length(
                whole, number, weight="length"
            ).items()
            if other >= 0
        }
        for number in numbers
    }


def by_authors(folder: Path) -> Scorer:
    """The same by the code of the authors, with the parameters of their command line."""
    os.environ["MPLBACKEND"] = "agg"
    for name in _NOT_NEEDED:
        sys.modules[name] = MagicMock()
    sys.modules["utm"].from_latlon.side_effect = ValueError  # coordinates are metres already
    sys.path.insert(0, str(folder))
    with contextlib.redirect_stdout(io.StringIO()):
        theirs: Any = importlib.import_module("apls")

    def score(found: RoadGraph, true: RoadGraph) -> list[float]:
        with contextlib.redirect_stdout(io.StringIO()):
            made = theirs.make_graphs(
                numbered(true, 0),
                numbered(found, _FAR_NUMBER),
                linestring_delta=SPACING_M,
                is_curved_eps=-1,
                max_snap_dist=SNAP_M,
            )
            lengths, points = made[6:10], made[4:6]
            scores = theirs.compute_apls_metric(*lengths, *points, min_path_length=_MIN_PATH_M)
        return [float(value) for value in scores]

    return score


def numbered(graph: RoadGraph, first: int) -> Any:
    """The graph as the authors' code takes it; numbers of two graphs must not be the same."""
    made = nx.MultiGraph()
    for number, (x, y) in enumerate(graph.nodes.tolist(), start=first):
        made.add_node(number, x=x, y=y, lat=y, lon=x)
    for (a, b), line in zip(graph.edges.tolist(), graph.lines, strict=True):
        made.add_edge(
            first + a, first + b, length=line.length, geometry=line, inferred_speed_mps=1.0
        )
    return made


def take_turns(contenders: dict[str, Scorer], junctions: int, rounds: int) -> dict[str, Any]:
    """Seconds a pair of graphs of each contender, a pair a round."""
    times: dict[str, list[float]] = {name: [] for name in contenders}
    apart: dict[str, float] = dict.fromkeys(contenders, 0.0)
    points = []
    ours(*town(4, 0))
    for number in range(rounds):
        found, true = town(junctions, number)
        points.append(len(control_points(true)))
        scores = {}
        for name, score in contenders.items():
            began = time.perf_counter()
            scores[name] = score(found, true)
            times[name].append(time.perf_counter() - began)
        for name, values in scores.items():
            difference = np.abs(np.subtract(values, scores["ours"])).max()
            apart[name] = max(apart[name], float(difference))
    return {
        "junctions": junctions,
        "control_points": round(float(np.median(points))),
        "contenders": {
            name: {
                "seconds": round(float(np.median(taken)), 4),
                "range": [round(min(taken), 4), round(max(taken), 4)],
                "ratio_to_ours": round(float(np.median(np.divide(taken, times["ours"]))), 1),
                "largest_difference": apart[name],
            }
            for name, taken in times.items()
        },
    }


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--junctions", type=int, nargs="+", default=[100, 300, 1000])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--authors", type=Path, help="folder of the authors' apls.py")
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    contenders: dict[str, Scorer] = {"ours": ours, "networkx": by_networkx}
    if args.authors:
        contenders["authors"] = by_authors(args.authors)
    report = {
        "machine": {
            "python": platform.python_version(),
            "processor": platform.machine(),
            **{name: version(name) for name in ("networkx", "scipy", "shapely", "numpy")},
        },
        "rounds": args.rounds,
        "towns": [take_turns(contenders, size, args.rounds) for size in args.junctions],
    }
    text = json.dumps(report, indent=1)
    print(text)  # noqa: T201 - the result
    if args.out:
        args.out.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
