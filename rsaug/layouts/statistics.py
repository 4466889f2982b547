"""What layouts are like in numbers, for grown ones to be held against real ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any

import geopandas as gpd
import numpy as np
import pandas as pd
import shapely
from numpy.typing import NDArray
from scipy import sparse
from scipy.sparse import csgraph

from rsaug.errors import InputError
from rsaug.layouts.layout import Layout

WIDTHS_M = (0.0, 4.0, 6.0, 8.0, 10.0, 12.0, 16.0, 100.0)
"""Edges of the bins of widths."""

JOINED_M = 6.0
"""Junctions nearer to each other are one, as where a street meets both lines of a wide one."""

_REACH_M = 1.0  # An end that lies within another road's surface and so much meets that road.
_GRID_M = 0.25  # Ends and crossings nearer than this are one.
_LOOP = 3.0
_UNKNOWN_WIDTH_M = 6.0


@dataclass(frozen=True)
class LayoutStatistics:
    """Statistics of a set of layouts; deviations are over layouts.

    Attributes:
        layouts: How many.
        km2: Their area together.
        empty: Share of layouts without a road.
        road_km_per_km2: Length of road lines, mean and deviation.
        junctions_per_km2: Places where three or more roads meet, mean and deviation.
        ends_per_km2: Dead ends, mean and deviation.
        degrees: Share of the junctions and dead ends by the number of roads there, ``1`` to ``5+``.
        widths: Share of the length of road by width in metres, as ``4-6``.
        kinds: Share of the length of road by ``highway``; alleys by themselves.
        width_m: Mean width by length.
        covered: Share of the ground by class of land cover, overlaps counted in each.
        areas_per_km2: Number of areas by class.
    """

    layouts: int
    km2: float
    empty: float
    road_km_per_km2: tuple[float, float]
    junctions_per_km2: tuple[float, float]
    ends_per_km2: tuple[float, float]
    degrees: dict[str, float]
    widths: dict[str, float]
    kinds: dict[str, float]
    width_m: float
    covered: dict[str, float]
    areas_per_km2: dict[str, float]

    def to_dict(self) -> dict[str, Any]:
        """All of it, ready for JSON."""
        rounded: dict[str, Any] = _rounded(asdict(self))
        return rounded


def layout_statistics(layouts: Sequence[Layout]) -> LayoutStatistics:
    """Statistics of layouts; what lies beyond their squares does not count.

    Raises:
        InputError: if there is no layout.
    """
    if not layouts:
        raise InputError("There is no layout to measure.")
    km2 = np.array([layout.side_m**2 / 1e6 for layout in layouts])
    cuts = [_within(layout) for layout in layouts]
    km = np.array([shapely.length(roads.geometry.to_numpy()).sum() / 1000 for roads in cuts])
    degrees = [_degrees(roads, layout) for roads, layout in zip(cuts, layouts, strict=True)]
    junctions = np.array([(degree >= 3).sum() for degree in degrees])
    ends = np.array([(degree == 1).sum() for degree in degrees])
    every = np.concatenate(degrees)
    by_degree = {str(n): (every == n).sum() for n in (1, 3, 4)} | {"5+": (every >= 5).sum()}
    roads = pd.concat(
        [
            pd.DataFrame(
                {
                    "kind": _kinds(part),
                    "width": _widths(part),
                    "m": shapely.length(part.geometry.to_numpy()),
                }
            )
            for part in cuts
        ]
    )
    length = roads["m"].sum() or np.nan
    widths, _ = np.histogram(roads["width"], WIDTHS_M, weights=roads["m"])
    bins = [f"{low:g}-{high:g}" for low, high in pairwise(WIDTHS_M)]
    areas = pd.concat(
        [
            pd.DataFrame(
                {
                    "class": layout.areas["class"].astype(str),
                    "km2": shapely.area(layout.areas.geometry.to_numpy()) / 1e6,
                }
            )
            for layout in layouts
        ]
    ).groupby("class")["km2"]
    total = float(km2.sum())
    return LayoutStatistics(
        layouts=len(layouts),
        km2=total,
        empty=float((km == 0).mean()),
        road_km_per_km2=_spread(km / km2),
        junctions_per_km2=_spread(junctions / km2),
        ends_per_km2=_spread(ends / km2),
        degrees={name: float(n / max(len(every), 1)) for name, n in by_degree.items()},
        widths={name: float(m / length) for name, m in zip(bins, widths, strict=True)},
        kinds={str(k): float(m / length) for k, m in roads.groupby("kind")["m"].sum().items()},
        width_m=float((roads["width"] * roads["m"]).sum() / length),
        covered={str(name): float(sum_ / total) for name, sum_ in areas.sum().items()},
        areas_per_km2={str(name): float(n / total) for name, n in areas.count().items()},
    )


def _within(layout: Layout) -> gpd.GeoDataFrame:
    shapes = shapely.intersection(layout.roads.geometry.to_numpy(), layout.square)
    there = shapely.length(shapes) > 0
    return layout.roads[there].set_geometry(list(shapes[there]))


def _kinds(roads: gpd.GeoDataFrame) -> NDArray[np.object_]:
    kinds: NDArray[np.object_] = (
        roads["highway"].fillna("unknown").astype(str).to_numpy(dtype=object)
    )
    kinds[(roads["service"] == "alley").to_numpy()] = "alley"
    return kinds


def _widths(roads: gpd.GeoDataFrame) -> NDArray[np.float64]:
    widths: NDArray[np.float64] = (
        pd.to_numeric(roads["width"], errors="coerce").fillna(_UNKNOWN_WIDTH_M).to_numpy(float)
    )
    return widths


def _degrees(roads: gpd.GeoDataFrame, layout: Layout) -> NDArray[np.intp]:
    """How many roads meet at each place where not two do, but for the edge of the square."""
    degrees = [np.empty(0, dtype=np.intp)]
    level = roads["layer"].fillna("0").astype(str).to_numpy()
    for this in np.unique(level):
        part = roads[level == this]
        lines, owner = shapely.get_parts(part.geometry.to_numpy(), return_index=True)
        half = _widths(part)[owner] / 2
        # A ring within its own width is a paved disc, where one turns, and no road that meets one.
        disc = shapely.is_closed(lines) & (shapely.length(lines) <= 2 * np.pi * half)
        lines, half = lines[~disc], half[~disc]
        if len(lines):
            pieces = shapely.union_all(_met(lines, half), grid_size=_GRID_M)
            degrees.append(_counted(shapely.get_parts(pieces), layout.side_m))
    return np.concatenate(degrees)


def _met(lines: NDArray[np.object_], half: NDArray[np.float64]) -> NDArray[np.object_]:
    """Lines, and for those that end within another's surface a piece that leads to its middle."""
    tree = shapely.STRtree(lines)
    more = []
    for k, line in enumerate(lines):
        for end in (shapely.get_point(line, 0), shapely.get_point(line, -1)):
            near = tree.query(end, predicate="dwithin", distance=half.max() + _REACH_M)
            gaps = shapely.distance(end, lines[near])
            found = (near != k) & (gaps <= half[near] + _REACH_M)
            if found.any() and gaps[found].min() > _GRID_M:
                first = near[found][gaps[found].argmin()]
                more.append(_longer(shapely.shortest_line(end, lines[first])))
    return np.concatenate([lines, np.array(more, dtype=object)])


def _longer(line: shapely.LineString) -> shapely.LineString:
    """A piece that surely crosses the line to which it leads."""
    a, b = shapely.get_coordinates(line)
    return shapely.linestrings([a, b + (b - a) / np.hypot(*(b - a)) * 2 * _GRID_M])


def _counted(pieces: NDArray[np.object_], side_m: float) -> NDArray[np.intp]:
    """Roads that leave each cluster of ends of pieces, of those clusters that not two leave."""
    ends = np.concatenate([shapely.get_point(pieces, k) for k in (0, -1)])
    xy, node = np.unique(shapely.get_coordinates(ends).round(2), axis=0, return_inverse=True)
    node = node.ravel()
    inside: NDArray[np.bool_] = np.all((xy > _GRID_M) & (xy < side_m - _GRID_M), axis=1)
    points = shapely.points(xy)
    pairs = shapely.STRtree(points).query(points, predicate="dwithin", distance=JOINED_M)
    # Where roads leave the square is no junction, however near it lies to one.
    pairs = pairs[:, inside[pairs[0]] & inside[pairs[1]]]
    ones = np.ones(pairs.shape[1], dtype=bool)
    graph = sparse.coo_array((ones, (pairs[0], pairs[1])), shape=(len(xy), len(xy)))
    count, group = csgraph.connected_components(graph, directed=False)
    first, last = group[node[: len(pieces)]], group[node[len(pieces) :]]
    # A short piece within a cluster is a part of the junction; a long one is a loop.
    leaves = (first != last) | (shapely.length(pieces) > _LOOP * JOINED_M)
    degree = np.bincount(first[leaves], minlength=count) + np.bincount(
        last[leaves], minlength=count
    )
    kept = np.zeros(count, dtype=bool)
    kept[group[inside]] = True
    found: NDArray[np.intp] = degree[kept & ((degree == 1) | (degree >= 3))]
    return found


def _spread(values: NDArray[np.float64]) -> tuple[float, float]:
    return float(values.mean()), float(values.std())


def _rounded(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _rounded(entry) for key, entry in value.items()}
    if isinstance(value, tuple):
        return [_rounded(entry) for entry in value]
    return round(value, 5) if isinstance(value, float) else value
