"""Road surfaces from road lines: which lines are roads, and how wide each is."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import geopandas as gpd
import numpy as np
import pandas as pd
import shapely
from numpy.typing import NDArray
from pyproj import CRS

from rsaug.errors import InputError
from rsaug.grid import linear_unit_m, point_scale, to_lonlat
from rsaug.osm_tags import NOT_ROADS, parse_length_m
from rsaug.vectors import clean

DEFAULT_WIDTHS_M: Mapping[str, float] = MappingProxyType(
    {
        "motorway": 12.0,
        "motorway_link": 7.0,
        "trunk": 11.0,
        "trunk_link": 6.5,
        "primary": 10.0,
        "primary_link": 6.0,
        "secondary": 9.0,
        "secondary_link": 6.0,
        "tertiary": 8.0,
        "tertiary_link": 5.5,
        "unclassified": 6.0,
        "residential": 7.0,
        "living_street": 5.5,
        "service": 4.5,
        "track": 3.0,
        "road": 6.0,
        "busway": 6.5,
        "raceway": 10.0,
        "escape": 5.0,
    }
)
"""Width of the paved surface by ``highway``, where neither ``width`` nor ``lanes`` says it.

Motorways and trunk roads are for one carriageway, which is how OpenStreetMap draws them.
"""

PLAIN_WIDTH_M = 6.0
"""Width of every line of a layer that has no ``highway`` column."""

LANE_WIDTH_M = 3.5
MAX_WIDTH_M = 100.0
RULES = ("width", "lanes", "highway", "default")

# A circle of eight segments a quarter is within 0.5 % of its radius: 2 cm for a road of 8 m.
_SEGMENTS_A_QUARTER = 8
_FALSE = {"", "no", "false", "f", "0", "none"}


@dataclass(frozen=True)
class WidthReport:
    """Which rule gave how many roads their width, and what was left out.

    Attributes:
        by_rule: Roads by rule: ``width``, ``lanes``, ``highway``, ``default``.
        ignored: Tags that could not be used, by reason; the next rule was taken instead.
        dropped: Features that are no road surface, by reason.
    """

    by_rule: dict[str, int]
    ignored: dict[str, int]
    dropped: dict[str, int]

    def to_dict(self) -> dict[str, dict[str, int]]:
        """The report as plain dictionaries, ready for JSON."""
        return {
            "by_rule": dict(self.by_rule),
            "ignored": dict(self.ignored),
            "dropped": dict(self.dropped),
        }

    def lines(self) -> list[str]:
        """The report as lines for a reader, at most three."""
        given = ", ".join(f"{count} by {rule}" for rule, count in self.by_rule.items() if count)
        lines = [f"{sum(self.by_rule.values())} roads; width {given}"]
        if self.ignored:
            lines.append(f"tags not used: {_listed(self.ignored)}")
        if self.dropped:
            lines.append(f"{sum(self.dropped.values())} left out: {_listed(self.dropped)}")
        return lines


@dataclass(frozen=True, eq=False)
class Roads:
    """Road surfaces and how they came about.

    Attributes:
        surfaces: Polygons with the columns ``width_m``, ``rule`` and ``highway``; the index is
            that of the lines.
        report: What was taken, by which rule, and what was left out.
    """

    surfaces: gpd.GeoDataFrame
    report: WidthReport


def road_surfaces(lines: gpd.GeoDataFrame, crs: CRS) -> Roads:
    """Surfaces of the roads among ``lines``: each line widened to its road's width, round at ends.

    The width of a road is, in this order: its ``width`` tag, its ``lanes`` times 3.5 m, the table
    `DEFAULT_WIDTHS_M` by its ``highway``. In a layer without a ``highway`` column every line is a
    road, 6 m wide unless ``width`` or ``lanes`` says otherwise. Left out are lines that are no road
    for vehicles, not built, or out of sight in a tunnel.

    Args:
        lines: Features in any CRS, tagged as in OpenStreetMap.
        crs: Projected CRS of the result.

    Raises:
        InputError: if there is no line, or no line is a road.
    """
    kept, dropped = clean(lines, crs)
    is_line = shapely.get_dimensions(kept.geometry.to_numpy()) == 1
    if dropped and kept.empty:
        raise InputError(f"None of the {len(lines)} features can be used: {_listed(dropped)}.")
    if not is_line.any():
        kinds = ", ".join(sorted(set(lines.geom_type.dropna()))) or "no geometry at all"
        raise InputError(f"The layer holds no line, only {kinds}; roads are read from lines.")
    why_not = _reasons_against(kept)
    why_not[~is_line] = "not a line"
    is_road = why_not == ""
    dropped |= Counter(why_not[~is_road].tolist())
    if not is_road.any():
        raise InputError(f"None of the {len(lines)} features is a road: {_listed(dropped)}.")

    roads = kept[is_road]
    width_m, rule, ignored = _widths(roads)
    surfaces = gpd.GeoDataFrame(
        {
            "width_m": width_m,
            "rule": rule,
            "highway": _column(roads, "highway"),
        },
        geometry=shapely.buffer(
            roads.geometry.to_numpy(),
            width_m / 2 * _units_a_metre(roads),
            quad_segs=_SEGMENTS_A_QUARTER,
        ),
        crs=crs,
        index=roads.index,
    )
    by_rule = {name: int((rule == name).sum()) for name in RULES}
    return Roads(surfaces, WidthReport(by_rule, ignored, dropped))


def _reasons_against(features: gpd.GeoDataFrame) -> NDArray[np.object_]:
    """For each feature why it is no road surface, "" if it is one."""
    why = np.full(len(features), "", dtype=object)
    for tag in ("covered", "tunnel"):
        for value, rows in _rows_by_value(features, tag):
            if value not in _FALSE:
                why[rows] = f"out of sight ({tag}={value})"
    if "highway" not in features:
        return why
    for value, rows in _rows_by_value(features, "highway"):
        if value in NOT_ROADS:
            why[rows] = f"not a road (highway={value})"
        elif value in _FALSE:
            why[rows] = "no highway tag"
        elif value not in DEFAULT_WIDTHS_M:
            why[rows] = f"unknown kind of road (highway={value!r})"
    return why


def _widths(
    roads: gpd.GeoDataFrame,
) -> tuple[NDArray[np.float64], NDArray[np.object_], dict[str, int]]:
    """Width in metres and the rule that gave it, per road, and the tags that were not usable."""
    width_m = np.full(len(roads), PLAIN_WIDTH_M)
    rule = np.full(len(roads), "default", dtype=object)
    ignored: Counter[str] = Counter()
    # From the weakest rule to the strongest, each writing over the one before.
    for value, rows in _rows_by_value(roads, "highway"):
        if value:
            width_m[rows], rule[rows] = DEFAULT_WIDTHS_M[value], "highway"
    for name, read in (("lanes", _lanes_width_m), ("width", parse_length_m)):
        for value, rows in _rows_by_value(roads, name):
            length = read(value)
            if value == "":
                continue
            if length is None:
                ignored[f"{name} not understood ({name}={value!r})"] += len(rows)
            elif not 0 < length <= MAX_WIDTH_M:
                ignored[f"{name} out of range"] += len(rows)
            else:
                width_m[rows], rule[rows] = length, name
    return width_m, rule, dict(ignored)


def _lanes_width_m(lanes: str) -> float | None:
    """Width that a number of lanes takes, or None when it is no number."""
    try:
        return float(lanes) * LANE_WIDTH_M
    except ValueError:
        return None


def _rows_by_value(features: gpd.GeoDataFrame, name: str) -> Iterator[tuple[str, NDArray[np.intp]]]:
    """Each value of a tag and the positions of the features that have it, in one pass."""
    codes, values = pd.factorize(_column(features, name))
    order = np.argsort(codes, kind="stable")
    starts = np.searchsorted(codes[order], np.arange(len(values)))
    yield from zip(values, np.split(order, starts[1:]), strict=True)


def _column(features: gpd.GeoDataFrame, name: str) -> NDArray[np.object_]:
    """Values of a tag as lower-case text, "" where there is none."""
    if name not in features:
        return np.full(len(features), "", dtype=object)
    values = features[name]
    return np.array(
        [str(value).strip().lower() for value in values.astype(object).where(values.notna(), "")],
        dtype=object,
    )


def _units_a_metre(features: gpd.GeoDataFrame) -> NDArray[np.float64]:
    """Units of the CRS that one metre on the ground takes at each feature."""
    points = shapely.point_on_surface(features.geometry.to_numpy())
    lon, lat = to_lonlat(features.crs).transform(shapely.get_x(points), shapely.get_y(points))
    scale = point_scale(features.crs, np.asarray(lon), np.asarray(lat))
    return scale / linear_unit_m(features.crs)


def _listed(counts: Mapping[str, int], most: int = 6) -> str:
    """Counts in words, the largest first."""
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    words = [f"{count} {reason}" for reason, count in ordered[:most]]
    if len(ordered) > most:
        words.append(f"{sum(count for _, count in ordered[most:])} for other reasons")
    return ", ".join(words)
