"""What the tags of lines say of roads: whether they are any, how wide, of which class and level.

Values are read once each, however many features carry them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from typing import Any

import geopandas as gpd
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from rsaug.osm_tags import parse_lanes, parse_layer, parse_length_m
from rsaug.road_rules import Column, RoadRules, Rule, as_text

NO = frozenset({"", "no", "false", "f", "0", "none"})
"""Values of a tag that say that there is none."""

ROUND = frozenset({"roundabout", "circular"})
"""Values of ``junction`` of a road that goes around."""

_MOST_LEVELS = 50
# A layer can have as many meaningless values as features; the report names the most frequent.
_MOST_NAMED = 20
_MOST_LETTERS = 40


@dataclass(frozen=True, eq=False)
class Coded:
    """The values of one tag of n features, each distinct value once.

    Attributes:
        codes: (n,) position of each feature's value.
        values: The distinct values, lower-case text, "" for none; a value can be there twice.
    """

    codes: NDArray[np.intp]
    values: tuple[str, ...]

    @classmethod
    def of(cls, column: pd.Series) -> Coded:
        """The values of a column."""
        try:
            codes, found = pd.factorize(column)
        except TypeError:  # Lists, as osmnx has them where it merges lines.
            codes, found = pd.factorize(pd.Series([_said(cell) for cell in column], dtype=object))
        values = (*(_said(value) for value in found.to_numpy(dtype=object)), "")
        return cls(np.where(codes < 0, len(values) - 1, codes), values)

    @classmethod
    def nothing(cls, number: int) -> Coded:
        """No value for any of so many features."""
        return cls(np.zeros(number, dtype=np.intp), ("",))

    def map(self, read: Callable[[str], object], dtype: type[Any]) -> NDArray[Any]:
        """What a function makes of each feature's value, (n,)."""
        table = np.empty(len(self.values), dtype=dtype)
        for code, value in enumerate(self.values):
            table[code] = read(value)
        mapped: NDArray[Any] = table[self.codes]
        return mapped

    def where(self, condition: Callable[[str], bool]) -> NDArray[np.bool_]:
        """For which features a condition holds, (n,)."""
        holds = np.array([condition(value) for value in self.values], dtype=bool)
        return holds[self.codes]

    def at(self, rows: NDArray[np.intp]) -> Coded:
        """The values of some of the features."""
        return Coded(self.codes[rows], self.values)

    def instead(self, other: Coded, rows: NDArray[np.bool_]) -> Coded:
        """These values, in some rows those of another tag."""
        codes = np.where(rows, other.codes + len(self.values), self.codes)
        return Coded(codes, self.values + other.values)

    def counts(self, rows: NDArray[np.bool_]) -> Counter[str]:
        """How many of some features have each value."""
        number = np.bincount(self.codes[rows], minlength=len(self.values))
        counts: Counter[str] = Counter()
        for value, count in zip(self.values, number.tolist(), strict=True):
            if count:
                counts[value] += count
        return counts


@dataclass(eq=False)
class Tags:
    """The tags of features under some rules.

    Attributes:
        features: The features.
        rules: Where to look, and what values mean.
        ignored: How many tags could not be used, by reason; filled by what reads them.
    """

    features: gpd.GeoDataFrame
    rules: RoadRules
    ignored: Counter[str] = field(default_factory=Counter)
    _read: dict[Hashable, Coded] = field(default_factory=dict)

    def __len__(self) -> int:
        """How many features there are."""
        return len(self.features)

    def column(self, name: str) -> Coded:
        """The values of a column, which need not be there."""
        if name not in self._read:
            there = name in self.features and name != self.features.geometry.name
            coded = Coded.of(self.features[name]) if there else Coded.nothing(len(self))
            self._read[name] = coded
        return self._read[name]

    def of(self, role: str) -> Coded:
        """What the columns of a role say, the first that says something."""
        if ("role", role) not in self._read:
            columns = self.rules.columns.get(role, ())
            coded = Coded.nothing(len(self))
            for column in columns:
                if column.name in self.features:
                    coded = coded.instead(self.column(column.name), coded.where(_is_empty))
            self._read["role", role] = coded
        return self._read["role", role]

    def at(self, rows: NDArray[np.intp]) -> Tags:
        """The tags of some of the features, nothing of them ignored yet."""
        read = {key: coded.at(rows) for key, coded in self._read.items()}
        return Tags(self.features.iloc[rows], self.rules, Counter(), read)

    def has(self, role: str) -> bool:
        """Whether the layer has a column of a role."""
        return any(column.name in self.features for column in self.rules.columns.get(role, ()))

    def meeting(self, rule: Rule) -> NDArray[np.bool_]:
        """Which features meet all conditions of a rule, (n,)."""
        meets = np.ones(len(self), dtype=bool)
        for name, wanted in rule.where.items():
            coded = self.of(name) if name in self.rules.columns else self.column(name)
            if isinstance(wanted, bool):
                meets &= coded.where(_is_set) == wanted
            else:
                meets &= coded.where(wanted.__contains__)
        return meets

    def ignore(self, coded: Coded, rows: NDArray[np.bool_], name: str, why: str) -> None:
        """Count tags that could not be used, the most frequent by their value."""
        counts = coded.counts(rows)
        for value, count in counts.most_common(_MOST_NAMED):
            self.ignored[f"{name} {why} ({name}={shortened(value)!r})"] += count
        if len(counts) > _MOST_NAMED:
            named = sum(count for _, count in counts.most_common(_MOST_NAMED))
            self.ignored[f"{name} {why} (other values)"] += sum(counts.values()) - named


def no_road(tags: Tags, highway: Coded) -> NDArray[np.object_]:
    """Why a feature is no road, "" where it is one, (n,).

    In a layer without a column of kinds, a line without one is a road.
    """
    rules = tags.rules
    why = np.full(len(tags), "", dtype=object)
    asked = tags.has("highway")

    def reason(value: str) -> str:
        if value in NO:
            return "no highway tag" if asked else ""
        if not rules.is_known(value):
            return f"unknown kind of road (highway={shortened(value)!r})"
        return "" if rules.kind(value) else f"not a road (highway={value})"

    for rule in rules.rules:
        if rule.drop:
            why[tags.meeting(rule)] = f"by rule {rule.name!r}"
    because = highway.map(reason, object)
    return np.where(because == "", why, because)


def out_of_sight(tags: Tags) -> NDArray[np.object_]:
    """Why a feature cannot be seen from above, "" where it can, (n,)."""
    why = np.full(len(tags), "", dtype=object)
    for role in ("covered", "tunnel"):
        because = tags.of(role).map(
            lambda value, role=role: (  # type: ignore[misc]
                f"out of sight ({role}={shortened(value)})" if _is_set(value) else ""
            ),
            object,
        )
        why = np.where(because == "", why, because)
    return why


def one_way(tags: Tags, highway: Coded) -> NDArray[np.bool_]:
    """Which roads are for one direction, by tag or as a motorway or a roundabout, (n,)."""
    rules, coded = tags.rules, tags.of("oneway")
    silent = coded.where(_is_empty)
    known = rules.oneway_yes | rules.oneway_no
    strange = coded.where(lambda value: value not in known) & ~silent
    tags.ignore(coded, strange, "oneway", "not understood")
    implied = highway.where(lambda value: rules.aliases.get(value, value) in rules.oneway_implied)
    implied |= tags.of("junction").where(ROUND.__contains__)
    yes: NDArray[np.bool_] = coded.where(rules.oneway_yes.__contains__)
    return yes | ((silent | strange) & implied)


def levels(tags: Tags) -> NDArray[np.int16]:
    """Above which roads each lies, int16 (n,): ``layer``, else 1 for a bridge, -1 for a tunnel."""
    coded = tags.of("layer")
    level = np.zeros(len(tags), dtype=np.int16)
    level[tags.of("tunnel").where(_is_set)] = -1
    level[tags.of("bridge").where(_is_set)] = 1
    said = coded.map(lambda value: np.nan if (n := parse_layer(value)) is None else n, np.float64)
    strange = np.isnan(said) & ~coded.where(_is_empty)
    tags.ignore(coded, strange, "layer", "not understood")
    far = np.abs(said) > _MOST_LEVELS
    if far.any():
        tags.ignored["layer out of range"] += int(far.sum())
    good = ~np.isnan(said) & ~far
    level[good] = said[good].astype(np.int16)
    return level


def lane_numbers(tags: Tags) -> NDArray[np.uint8]:
    """Whole lanes that the tag says, uint8 (n,), 0 where it says none; 1.5 lanes are one."""
    lanes = tags.of("lanes").map(lambda value: parse_lanes(value) or 0.0, np.float64)
    return np.where((lanes >= 0.5) & (lanes < 256), np.maximum(lanes, 1), 0).astype(np.uint8)


def widths(
    tags: Tags, highway: Coded, oneway: NDArray[np.bool_]
) -> tuple[NDArray[np.float64], NDArray[np.intp]]:
    """Width in metres of each road, and which of `RoadRules.sources` gave it, (n,) each.

    Args:
        tags: Tags of roads.
        highway: Their kinds.
        oneway: (n,) whether a road is for one direction.
    """
    rules = tags.rules
    both, one = (
        highway.map(
            lambda value, oneway=oneway: (  # type: ignore[misc]
                np.nan if (kind := rules.kind(value)) is None else kind.width(oneway)
            ),
            np.float64,
        )
        for oneway in (False, True)
    )
    by_kind = np.where(oneway, one, both)
    width_m = np.where(np.isnan(by_kind), rules.width_m, by_kind)
    default, kind = rules.sources.index("default"), rules.sources.index("highway")
    source = np.where(np.isnan(by_kind), default, kind)
    # From the weakest source to the strongest, each writing over the one before.
    for role in ("lanes", "est_width", "width"):
        for column in reversed(rules.columns.get(role, ())):
            metres = _tagged_m(tags, role, column)
            good = ~np.isnan(metres)
            width_m[good], source[good] = metres[good], rules.sources.index(role)
    for rule in reversed(rules.rules):
        if rule.width_m is not None:
            rows = tags.meeting(rule)
            width_m[rows], source[rows] = rule.width_m, rules.sources.index(rule.name)
    return width_m, source


def _tagged_m(tags: Tags, role: str, column: Column) -> NDArray[np.float64]:
    """Width in metres that a column says, NaN where it says none of use, (n,)."""
    rules, coded = tags.rules, tags.column(column.name)

    def read(value: str) -> float:
        if role == "lanes":
            lanes = parse_lanes(value)
            return np.nan if lanes is None else lanes * rules.lane_width_m
        length = parse_length_m(value, column.unit_m)
        return np.nan if length is None else length

    metres = coded.map(read, np.float64)
    said = ~np.isnan(metres)
    tags.ignore(coded, ~said & ~coded.where(_is_empty), column.name, "not understood")
    far = said & ~((metres > 0) & (metres <= rules.max_width_m))
    if far.any():
        tags.ignored[f"{column.name} out of range"] += int(far.sum())
    return np.where(far, np.nan, metres)


def class_numbers(tags: Tags, highway: Coded) -> NDArray[np.uint8]:
    """Number of each road's class, uint8 (n,), 1 for the highest."""
    rules = tags.rules

    def number(value: str) -> int:
        kind = rules.kind(value)
        return rules.default_class if kind is None else kind.road_class

    numbers = highway.map(number, np.uint8)
    for rule in reversed(rules.rules):
        if rule.road_class is not None:
            numbers[tags.meeting(rule)] = rule.road_class
    return numbers


def shortened(value: str) -> str:
    """A value for a message, cut where it is long."""
    return value if len(value) <= _MOST_LETTERS else value[:_MOST_LETTERS] + "..."


def is_yes(coded: Coded) -> NDArray[np.bool_]:
    """Which features have a tag that says something other than no, (n,)."""
    return coded.where(_is_set)


def _is_set(value: str) -> bool:
    return value not in NO


def _is_empty(value: str) -> bool:
    return value == ""


def _said(value: object) -> str:
    if value is None or value is pd.NA or value is pd.NaT:
        return ""
    if isinstance(value, float) and value != value:
        return ""
    return as_text(value)
