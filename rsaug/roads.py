"""Road surfaces from road lines: which lines are roads, how wide they are, and which is on top."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import geopandas as gpd
import numpy as np
import pandas as pd
import shapely
from numpy.typing import NDArray
from pyproj import CRS

from rsaug.errors import InputError
from rsaug.grid import crs_name, linear_unit_m, point_scale, to_lonlat
from rsaug.road_rules import RoadRules, default_rules
from rsaug.road_tags import (
    ROUND,
    Coded,
    Tags,
    class_numbers,
    is_yes,
    lane_numbers,
    levels,
    no_road,
    one_way,
    out_of_sight,
    widths,
)
from rsaug.shapes import Shapes
from rsaug.vectors import clean

MITRE_LIMIT = 5.0
"""How far a mitred bend may reach, in half widths; beyond, it is cut."""

# A circle of eight segments a quarter is within 0.5 % of its radius: 2 cm for a road of 8 m.
_SEGMENTS_A_QUARTER = 8
# The time for the surface of one line goes with the square of its vertices where it crosses itself,
# so lines of more vertices than this are widened in parts of so many.
_MANY_VERTICES, _PART_VERTICES = 1000, 100
_ONE_LINE, _COLLECTION = (1, 2), 7  # Of shapely's types: line or ring, mixed collection.

Counts = Mapping[str, int]
Row = tuple[str, str, int, float]


@dataclass(frozen=True)
class WidthReport:
    """Which rule gave how many roads their width, and what was left out.

    Attributes:
        by_rule: Roads by what gave their width: rules of a user by name, then `road_rules.SOURCES`.
        ignored: Tags that could not be used, by reason; the next rule was taken instead.
        dropped: Features that are no road surface, by reason.
        by_class: Roads by class.
        km_by_rule: Kilometres of road line, by what gave the width.
        km_by_class: Kilometres of road line, by class.
    """

    by_rule: dict[str, int]
    ignored: dict[str, int]
    dropped: dict[str, int]
    by_class: dict[str, int] = field(default_factory=dict)
    km_by_rule: dict[str, float] = field(default_factory=dict)
    km_by_class: dict[str, float] = field(default_factory=dict)

    def to_dict(self) -> dict[str, dict[str, int] | dict[str, float]]:
        """The report as plain dictionaries, ready for JSON."""
        return {
            "by_rule": dict(self.by_rule),
            "ignored": dict(self.ignored),
            "dropped": dict(self.dropped),
            "by_class": dict(self.by_class),
            "km_by_rule": dict(self.km_by_rule),
            "km_by_class": dict(self.km_by_class),
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

    def rows(self) -> list[Row]:
        """The report as rows of a table: what it is about, name, count, kilometres of road line."""
        rows: list[Row] = []
        for what, counts, km in (
            ("width by", self.by_rule, self.km_by_rule),
            ("class", self.by_class, self.km_by_class),
            ("tag not used", self.ignored, {}),
            ("left out", self.dropped, {}),
        ):
            rows += [(what, name, n, km.get(name, 0.0)) for name, n in counts.items() if n]
        return rows


@dataclass(frozen=True, eq=False)
class Roads:
    """Road surfaces and how they came about.

    Burned in their order, the surfaces give bridges over roads over tunnels, and on one level roads
    of a higher class over those of a lower one. The order does not depend on that of the lines.

    Attributes:
        surfaces: Polygons with the columns ``width_m`` (NaN for areas), ``rule`` (what gave the
            width), ``highway``, ``road_class`` (uint8, number in `RoadRules.classes`), ``lanes``
            (uint8, as tagged, 0 where not), ``oneway`` and ``level``; the index is that of the
            lines, and repeats for the parts of a line of very many vertices.
        lines: (n,) the line of each surface, None for an area.
        half_widths: (n,) half the width of each in units of the CRS, 0 for an area.
        rules: The rules that made them.
        report: What was taken, by which rule, and what was left out.
    """

    surfaces: gpd.GeoDataFrame
    lines: NDArray[np.object_]
    half_widths: NDArray[np.float64]
    rules: RoadRules = field(repr=False)
    report: WidthReport

    @cached_property
    def shapes(self) -> Shapes:
        """The surfaces, to be looked up by place and burned."""
        return Shapes.of(self.surfaces)

    def to_dict(self) -> dict[str, dict[str, int] | dict[str, float]]:
        """What was taken, by which rule, and what was left out."""
        return self.report.to_dict()

    @cached_property
    def road_class(self) -> NDArray[np.uint8]:
        """(n,) number of the class of each surface."""
        numbers: NDArray[np.uint8] = self.surfaces["road_class"].to_numpy()
        return numbers

    @cached_property
    def lanes(self) -> NDArray[np.uint8]:
        """(n,) lanes of each surface as tagged, 0 where not."""
        lanes: NDArray[np.uint8] = self.surfaces["lanes"].to_numpy()
        return lanes


def road_surfaces(
    lines: gpd.GeoDataFrame,
    crs: CRS,
    rules: RoadRules | None = None,
    *,
    tunnels: bool = False,
    allow_none: bool = False,
) -> Roads:
    """Surfaces of the roads among ``lines``: each line widened to its road's width on the ground.

    The width is what the first of these says: a rule of the user's own, ``width:carriageway``,
    ``width``, ``est_width``, ``lanes`` times the width of a lane, the table of kinds by
    ``highway``, which has another width for one carriageway of one direction. In a layer without a
    column of kinds every line is a road. Left out are lines that are no road for vehicles, not
    built, or out of sight in a tunnel.

    Polygons are surfaces as they are where they are tagged ``area:highway`` or ``highway`` and
    ``area=yes``; those of a roundabout stand for their outline.

    Args:
        lines: Features in any CRS, tagged as in OpenStreetMap or as the rules say.
        crs: Projected CRS of the result.
        rules: By default those that come with rsaug.
        tunnels: Whether to take roads out of sight as well, below all others.
        allow_none: Whether there may be no road.

    Raises:
        InputError: if there is no line, or no line is a road, or the layer lacks a column that the
            rules of a user name.
    """
    rules = rules or default_rules()
    kept, dropped = clean(lines, crs)
    tags = Tags(kept, rules)
    for role in rules.named:
        if not tags.has(role):
            names = [column.name for column in rules.columns[role]]
            raise InputError(
                f"The rules name {names} as the columns of {role!r}, and the layer has none of "
                f"them; it has {[*kept.columns.drop(kept.geometry.name)]}."
            )
    geometry, is_area, why = _geometries(tags)
    if not allow_none:
        _refuse_without_lines(lines, kept, why, dropped)
    mapped_area = tags.of("area_highway")
    highway = tags.of("highway").instead(mapped_area, is_area & is_yes(mapped_area))
    hidden = out_of_sight(tags)
    for reason in (no_road(tags, highway), *([] if tunnels else [hidden])):
        why = np.where(reason == "", why, reason)
    units = np.ones(len(kept))
    units[why == ""] = _units_a_metre(geometry[why == ""], crs)
    why[~np.isfinite(units)] = f"beyond where {crs_name(crs)} has a scale"
    dropped = dict(Counter(dropped) + Counter(why[why != ""].tolist()))
    picked = np.flatnonzero(why == "")
    if not len(picked) and not allow_none:
        raise InputError(f"None of the {len(lines)} features is a road: {_listed(dropped)}.")
    geometry, units = geometry[picked], units[picked]
    part = tags.at(picked)
    facts, source = _facts(part, highway.at(picked), is_area[picked], hidden[picked] != "")
    facts["half_width"] = np.nan_to_num(facts["width_m"].to_numpy() / 2 * units)
    km = np.where(is_area[picked], 0.0, shapely.length(geometry)) / units / 1000
    report = _report(facts, source, km, rules, dict(part.ignored), dropped)
    return _laid_out(facts, geometry, crs, rules, report)


def _refuse_without_lines(
    lines: gpd.GeoDataFrame, kept: gpd.GeoDataFrame, why: NDArray[np.object_], dropped: Counts
) -> None:
    if dropped and kept.empty:
        raise InputError(f"None of the {len(lines)} features can be used: {_listed(dropped)}.")
    if not (why == "").any():
        kinds = ", ".join(sorted(set(lines.geom_type.dropna()))) or "no geometry at all"
        raise InputError(f"The layer holds no line, only {kinds}; roads are read from lines.")


def _geometries(
    tags: Tags,
) -> tuple[NDArray[np.object_], NDArray[np.bool_], NDArray[np.object_]]:
    """Line or area of each feature, which are areas, and why a feature is neither ("" if it is)."""
    shapes = tags.features.geometry.to_numpy().copy()
    kind = shapely.get_type_id(shapes)
    for row in np.flatnonzero((kind == _COLLECTION) & (shapely.get_dimensions(shapes) == 1)):
        parts = shapely.get_parts(shapely.get_parts(shapes[row]))
        shapes[row] = shapely.multilinestrings(parts[shapely.get_dimensions(parts) == 1])
    said = is_yes(tags.of("area_highway")) | (is_yes(tags.of("area")) & is_yes(tags.of("highway")))
    for row in np.flatnonzero(said & np.isin(kind, _ONE_LINE) & shapely.is_closed(shapes)):
        if shapely.is_simple(shapes[row]):
            shapes[row] = shapely.polygons(shapely.get_coordinates(shapes[row]))
    dimension = shapely.get_dimensions(shapes)
    is_area = said & (dimension == 2)
    around = ~is_area & (dimension == 2) & tags.of("junction").where(ROUND.__contains__)
    shapes[around] = shapely.boundary(shapes[around])
    why = np.where(is_area | around | (dimension == 1), "", "not a line").astype(object)
    return shapes, is_area, why


def _facts(
    tags: Tags, highway: Coded, is_area: NDArray[np.bool_], hidden: NDArray[np.bool_]
) -> tuple[pd.DataFrame, NDArray[np.intp]]:
    """The columns of `Roads.surfaces` and ``hidden``, a row a feature, and what gave the widths."""
    rules = tags.rules
    oneway = one_way(tags, highway) & ~is_area
    width_m, source = widths(tags, highway, oneway)
    width_m[is_area], source[is_area] = np.nan, rules.sources.index("area")
    facts = pd.DataFrame(
        {
            "width_m": width_m,
            "rule": np.array(rules.sources, dtype=object)[source],
            "highway": highway.map(str, object),
            "road_class": class_numbers(tags, highway),
            "lanes": lane_numbers(tags),
            "oneway": oneway,
            "level": levels(tags),
            "hidden": hidden,
        },
        index=tags.features.index,
    )
    return facts, source


def _report(
    facts: pd.DataFrame,
    source: NDArray[np.intp],
    km: NDArray[np.float64],
    rules: RoadRules,
    ignored: dict[str, int],
    dropped: dict[str, int],
) -> WidthReport:
    number = facts["road_class"].to_numpy().astype(np.intp) - 1
    return WidthReport(
        by_rule=_by_name(rules.sources, np.bincount(source, minlength=len(rules.sources))),
        ignored=ignored,
        dropped=dropped,
        by_class=_by_name(rules.classes, np.bincount(number, minlength=len(rules.classes))),
        km_by_rule=_by_name(rules.sources, np.bincount(source, km, len(rules.sources)).round(3)),
        km_by_class=_by_name(rules.classes, np.bincount(number, km, len(rules.classes)).round(3)),
    )


def _by_name(names: tuple[str, ...], numbers: NDArray[Any]) -> dict[str, Any]:
    return dict(zip(names, numbers.tolist(), strict=True))


def _laid_out(
    facts: pd.DataFrame,
    geometry: NDArray[np.object_],
    crs: CRS,
    rules: RoadRules,
    report: WidthReport,
) -> Roads:
    """The surfaces in the order in which they cover each other."""
    order = _order(facts, geometry)
    facts, surfaces = facts.iloc[order], geometry[order]
    lines = surfaces.copy()
    if rules.cap == "flat" or (rules.cap, rules.join) == ("round", "round"):
        surfaces, lines, row = _cut(surfaces)
        facts = facts.iloc[row]
    half = facts["half_width"].to_numpy()
    is_line = half > 0
    surfaces[is_line] = shapely.buffer(
        surfaces[is_line],
        half[is_line],
        quad_segs=_SEGMENTS_A_QUARTER,
        cap_style=rules.cap,
        join_style=rules.join,
        mitre_limit=MITRE_LIMIT,
    )
    lines[~is_line] = None
    frame = gpd.GeoDataFrame(
        facts.drop(columns=["hidden", "half_width"]), geometry=surfaces, crs=crs
    )
    return Roads(frame, lines, half, rules, report)


def _order(facts: pd.DataFrame, geometry: NDArray[np.object_]) -> NDArray[np.intp]:
    """Positions from the lowest road to the highest, the same whatever the order of the features.

    What is hidden is lowest, then it goes by level, by class, and in the end by place.
    """
    keys = np.stack(
        [
            ~facts["hidden"].to_numpy(),
            facts["level"].to_numpy(),
            -facts["road_class"].to_numpy().astype(np.int16),
            *shapely.bounds(geometry).reshape(-1, 4).T,
            shapely.length(geometry),
            facts["half_width"].to_numpy(),
            facts["lanes"].to_numpy(),
        ]
    ).astype(np.float64)
    order = np.lexsort(keys[::-1])
    same = (keys[:, order[1:]] == keys[:, order[:-1]]).all(axis=0)
    ends = np.flatnonzero(np.concatenate([[False], same, [False]]))
    if not len(ends):
        return order
    # The few that are alike in everything, by what they are made of.
    group = np.cumsum(np.concatenate([[0], ~same]))[: len(order)]
    alike = np.flatnonzero(np.bincount(group)[group] > 1)
    wkb = shapely.to_wkb(geometry[order[alike]])
    words = facts["highway"].to_numpy()[order[alike]]
    ranked = sorted(range(len(alike)), key=lambda n: (group[alike[n]], wkb[n], words[n]))
    order[alike] = order[alike[ranked]]
    return order


def _cut(
    lines: NDArray[np.object_],
) -> tuple[NDArray[np.object_], NDArray[np.object_], NDArray[np.intp]]:
    """Lines, those of very many vertices in parts.

    Returns:
        (n,) what to widen, (n,) the lines themselves and (n,) the position of the line that each is
        a part of. What is widened reaches a segment into the part before, so that both draw the
        bend between them and neither ends there.
    """
    long = shapely.get_num_coordinates(lines) > _MANY_VERTICES
    long &= shapely.get_dimensions(lines) == 1
    if not long.any():
        return lines, lines.copy(), np.arange(len(lines))
    parts = [_parts(line) if cut else [(line, line)] for line, cut in zip(lines, long, strict=True)]
    row = np.repeat(np.arange(len(lines)), [len(of_line) for of_line in parts])
    pairs = np.empty((len(row), 2), dtype=object)
    pairs[:] = [pair for of_line in parts for pair in of_line]
    return pairs[:, 0], pairs[:, 1], row


def _parts(line: shapely.Geometry) -> list[tuple[shapely.LineString, shapely.LineString]]:
    parts = []
    for single in shapely.get_parts(line):
        xy = shapely.get_coordinates(single)
        if len(xy) <= _MANY_VERTICES:
            parts.append((single, single))
            continue
        drawn = np.concatenate([xy, xy[1:2]]) if shapely.is_closed(single) else xy
        for start in range(0, len(drawn) - 2, _PART_VERTICES - 2):
            stop = start + _PART_VERTICES
            # A ring's last part may be nothing but the bend where it closes.
            own = xy[min(start + 1, len(xy) - 2) if start else 0 : stop]
            parts.append((shapely.LineString(drawn[start:stop]), shapely.LineString(own)))
    return parts


def _units_a_metre(geometry: NDArray[np.object_], crs: CRS) -> NDArray[np.float64]:
    """Units of the CRS that one metre on the ground takes at each feature."""
    points = shapely.point_on_surface(geometry)
    lon, lat = to_lonlat(crs).transform(shapely.get_x(points), shapely.get_y(points))
    return point_scale(crs, np.asarray(lon), np.asarray(lat)) / linear_unit_m(crs)


def _listed(counts: Counts, most: int = 6) -> str:
    """Counts in words, the largest first."""
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    words = [f"{count} {reason}" for reason, count in ordered[:most]]
    if len(ordered) > most:
        words.append(f"{sum(count for _, count in ordered[most:])} for other reasons")
    return ", ".join(words)
