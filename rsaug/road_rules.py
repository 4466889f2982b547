"""Rules for roads: which lines are roads, how wide and of which class; a file can override them.

The rules that come with rsaug are in ``rsaug/rules/roads.toml``. A user's file is laid over them: a
table key by key, anything else as a whole.
"""

from __future__ import annotations

import math
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from importlib import resources
from pathlib import Path
from typing import Any, Literal, cast, get_args

from rsaug.errors import InputError
from rsaug.osm_tags import FOOT_M

Cap = Literal["round", "flat", "square"]
Join = Literal["round", "mitre", "bevel"]

SOURCES = ("width", "est_width", "lanes", "highway", "default", "area")
"""Where a width can be from, besides a rule of its own; in the order in which they are asked."""

_UNITS_M = {"m": 1.0, "cm": 0.01, "ft": FOOT_M}
_ROLES = (
    "highway",
    "area_highway",
    "width",
    "est_width",
    "lanes",
    "oneway",
    "layer",
    "bridge",
    "tunnel",
    "covered",
    "junction",
    "area",
)
_WITH_UNIT = ("width", "est_width")
_TABLES = ("defaults", "highway", "aliases", "columns", "oneway")
# A file of rules is written by hand; anything larger is another file.
_MOST_BYTES = 1 << 20
_MOST_CLASSES = 255


@dataclass(frozen=True)
class Kind:
    """One kind of road.

    Attributes:
        road_class: Number of its class, 1 for the highest.
        width_m: Width of a road for both directions.
        oneway_width_m: Width of one carriageway for one direction.
    """

    road_class: int
    width_m: float
    oneway_width_m: float

    def width(self, oneway: bool) -> float:
        """Its width, of a road for one direction or for both."""
        return self.oneway_width_m if oneway else self.width_m


@dataclass(frozen=True)
class Column:
    """A column of a layer.

    Attributes:
        name: Its name.
        unit_m: Metres that a plain number in it stands for.
    """

    name: str
    unit_m: float = 1.0


@dataclass(frozen=True)
class Rule:
    """A rule for roads that carry certain tags, tried before anything else.

    Attributes:
        name: Its name in the report.
        where: By column what a feature has to say, in lower case; True for anything but nothing and
            ``no``, False for nothing or ``no``. All of them have to hold.
        width_m: The width that it gives, if any.
        road_class: The number of the class that it gives, if any.
        drop: Whether such a feature is left out.
    """

    name: str
    where: Mapping[str, frozenset[str] | bool]
    width_m: float | None = None
    road_class: int | None = None
    drop: bool = False


@dataclass(frozen=True)
class RoadRules:
    """Rules for roads, as `read_rules` reads them.

    Attributes:
        classes: Names of the classes; the number of a class is its position, from 1.
        kinds: Kinds of road by the value of ``highway``; None for what is no road for vehicles.
        aliases: Other words for kinds of road.
        rules: What is tried first, in order.
        columns: By role the columns to ask, in order.
        default_class: Number of the class of a line of which nothing is known.
        width_m: Its width.
        lane_width_m: Width of a lane.
        max_width_m: The widest width that is believed.
        cap: How the surface ends where a line ends.
        join: How it turns where a line bends.
        oneway_yes: Values of ``oneway`` that mean one direction.
        oneway_no: Values that mean both.
        oneway_implied: Kinds of road for one direction where ``oneway`` says nothing.
        named: Roles whose columns a file of the user names, so that a layer has to have them.
    """

    classes: tuple[str, ...]
    kinds: Mapping[str, Kind | None]
    aliases: Mapping[str, str]
    rules: tuple[Rule, ...]
    columns: Mapping[str, tuple[Column, ...]]
    default_class: int
    width_m: float
    lane_width_m: float
    max_width_m: float
    cap: Cap
    join: Join
    oneway_yes: frozenset[str]
    oneway_no: frozenset[str]
    oneway_implied: frozenset[str]
    named: tuple[str, ...] = ()

    @cached_property
    def sources(self) -> tuple[str, ...]:
        """Everything that can give a width, the strongest first."""
        return (*(rule.name for rule in self.rules if rule.width_m is not None), *SOURCES)

    @cached_property
    def reads(self) -> tuple[str, ...]:
        """Names of all columns that the rules look at, sorted."""
        names = {column.name for columns in self.columns.values() for column in columns}
        asked = {name for rule in self.rules for name in rule.where}
        return tuple(sorted(names | (asked - set(self.columns))))

    def kind(self, value: str) -> Kind | None:
        """The kind of road that a value of ``highway``, in lower case, says; None if no road."""
        return self.kinds.get(self.aliases.get(value, value))

    def is_known(self, value: str) -> bool:
        """Whether a value of ``highway`` is in the table, as a road or as none."""
        return self.aliases.get(value, value) in self.kinds


@lru_cache
def default_rules() -> RoadRules:
    """The rules that come with rsaug."""
    return _rules(_shipped(), "roads.toml")


def read_rules(path: Path | str) -> RoadRules:
    """The rules that come with rsaug, with those of a TOML file laid over them.

    Raises:
        InputError: if the file cannot be read, or a key, a type or a number in it is of no use.
    """
    try:
        content = Path(path).read_bytes()
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror}).") from error
    if len(content) > _MOST_BYTES:
        raise InputError(f"{path} has {len(content)} bytes; a file of road rules is far smaller.")
    try:
        own = tomllib.loads(content.decode())
    # ValueError: also a number of more digits than Python reads.
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path} is not valid TOML ({error}).") from error
    rules = _rules(_laid_over(_shipped(), own), str(path))
    return replace(rules, named=tuple(own.get("columns", {})))


def _shipped() -> dict[str, Any]:
    return tomllib.loads((resources.files("rsaug.rules") / "roads.toml").read_text("utf-8"))


def _laid_over(base: dict[str, Any], own: dict[str, Any]) -> dict[str, Any]:
    """The base with the values of another table in it, tables inside in the same way."""
    merged = dict(base)
    for key, value in own.items():
        below = merged.get(key)
        if isinstance(value, dict) and isinstance(below, dict):
            merged[key] = _laid_over(below, value)
        else:
            merged[key] = value
    return merged


class _Table:
    """A table of a file, read key by key with its types checked.

    Args:
        values: What the file says.
        where: File and table, for messages.
        known: Names of the keys that there can be; None for any.
    """

    def __init__(self, values: object, where: str, known: tuple[str, ...] | None = None) -> None:
        if not isinstance(values, dict):
            raise InputError(f"{where} must be a table, not {values!r}.")
        unknown = [key for key in values if known is not None and key not in known]
        if unknown:
            raise InputError(
                f"{where} has no key {unknown[0]!r}; the keys are {', '.join(known or ())}."
            )
        self.values, self.where = values, where

    def wrong(self, key: str, expected: str) -> InputError:
        """What to raise for a value that is of no use."""
        given = repr(self.values[key]) if key in self.values else "missing"
        return InputError(f"{self.where}: {key} must be {expected}, not {given}.")

    def table(self, key: str, known: tuple[str, ...] | None = None) -> _Table:
        """A table inside this one."""
        return _Table(self.values.get(key), f"{self.where}: {key}", known)

    def metres(self, key: str) -> float:
        """A positive length."""
        value = self.values.get(key)
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        try:
            metres = float(cast(float, value)) if is_number else math.nan
        except OverflowError:
            metres = math.inf
        if not (math.isfinite(metres) and metres > 0):
            raise self.wrong(key, "a positive, finite number of metres")
        return metres

    def metres_if_any(self, key: str) -> float | None:
        """A positive length, None where the key is not there."""
        return self.metres(key) if key in self.values else None

    def text(self, key: str) -> str:
        """Text of at least one character."""
        value = self.values.get(key)
        if not isinstance(value, str) or not value.strip():
            raise self.wrong(key, "text")
        return value.strip()

    def one_of(self, key: str, choices: tuple[str, ...]) -> str:
        """One of a few words."""
        if (value := self.values.get(key)) not in choices:
            raise self.wrong(key, f"one of {', '.join(choices)}")
        return cast(str, value)

    def words(self, key: str) -> list[str]:
        """A list of words, in lower case."""
        value = self.values.get(key)
        if not isinstance(value, list) or not all(isinstance(word, str) for word in value):
            raise self.wrong(key, "a list of words")
        return [word.strip().lower() for word in value]

    def class_number(self, key: str, classes: tuple[str, ...]) -> int:
        """The number of a class by its name."""
        return classes.index(self.one_of(key, classes)) + 1


def _rules(values: dict[str, Any], file: str) -> RoadRules:
    top = _Table(values, file, ("classes", *_TABLES, "rule"))
    classes = tuple(top.words("classes"))
    if not 0 < len(classes) <= _MOST_CLASSES or len(set(classes)) < len(classes) or "" in classes:
        raise top.wrong("classes", f"1 to {_MOST_CLASSES} different names")
    defaults = top.table(
        "defaults", ("width_m", "class", "lane_width_m", "max_width_m", "cap", "join")
    )
    oneway = top.table("oneway", ("yes", "no", "implied_by"))
    kinds = _kinds(top.table("highway"), classes)
    aliases = top.table("aliases")
    for word in aliases.values:
        aliases.one_of(word, tuple(kinds))
    return RoadRules(
        classes=classes,
        kinds=kinds,
        aliases={word.lower(): kind for word, kind in aliases.values.items()},
        rules=_own_rules(top, classes),
        columns=_columns(top.table("columns", _ROLES)),
        default_class=defaults.class_number("class", classes),
        width_m=defaults.metres("width_m"),
        lane_width_m=defaults.metres("lane_width_m"),
        max_width_m=defaults.metres("max_width_m"),
        cap=cast(Cap, defaults.one_of("cap", get_args(Cap))),
        join=cast(Join, defaults.one_of("join", get_args(Join))),
        oneway_yes=frozenset(oneway.words("yes")),
        oneway_no=frozenset(oneway.words("no")),
        oneway_implied=frozenset(oneway.words("implied_by")),
    )


def _kinds(table: _Table, classes: tuple[str, ...]) -> dict[str, Kind | None]:
    kinds: dict[str, Kind | None] = {}
    for name, value in table.values.items():
        if value is False:
            kinds[name.lower()] = None
            continue
        if not isinstance(value, dict):
            raise table.wrong(name, "false or a table with class and width_m")
        kind = table.table(name, ("class", "width_m", "oneway_width_m"))
        width = kind.metres("width_m")
        oneway = kind.metres_if_any("oneway_width_m")
        kinds[name.lower()] = Kind(kind.class_number("class", classes), width, oneway or width)
    return kinds


def _columns(table: _Table) -> dict[str, tuple[Column, ...]]:
    columns = {}
    for role, value in table.values.items():
        entries = value if isinstance(value, list) else [value]
        columns[role] = tuple(_column(table, role, entry) for entry in entries)
    return columns


def _column(table: _Table, role: str, entry: object) -> Column:
    if isinstance(entry, str) and entry.strip():
        return Column(entry.strip())
    if not isinstance(entry, dict) or role not in _WITH_UNIT:
        unit = ', or a table such as { column = "W", unit = "ft" },' if role in _WITH_UNIT else ""
        raise table.wrong(role, f"the name of a column{unit} or a list of them")
    inner = _Table(entry, f"{table.where}.{role}", ("column", "unit"))
    return Column(inner.text("column"), _UNITS_M[inner.one_of("unit", tuple(_UNITS_M))])


def _own_rules(top: _Table, classes: tuple[str, ...]) -> tuple[Rule, ...]:
    entries = top.values.get("rule", [])
    if not isinstance(entries, list):
        raise top.wrong("rule", "written as [[rule]], one table a rule")
    rules = tuple(_own_rule(entry, top.where, n, classes) for n, entry in enumerate(entries, 1))
    names = [rule.name for rule in rules]
    for name in names:
        if names.count(name) > 1 or name in SOURCES:
            raise InputError(
                f"{top.where}: a rule's name must be its own, but {name!r} is taken; the names "
                f"{', '.join(SOURCES)} are kept for the other sources of a width."
            )
    return rules


def _own_rule(entry: object, file: str, number: int, classes: tuple[str, ...]) -> Rule:
    table = _Table(entry, f"{file}: rule {number}", ("name", "where", "width_m", "class", "drop"))
    drop = table.values.get("drop", False)
    if not isinstance(drop, bool):
        raise table.wrong("drop", "true or false")
    rule = Rule(
        name=table.text("name"),
        where=_conditions(table.table("where")),
        width_m=table.metres_if_any("width_m"),
        road_class=table.class_number("class", classes) if "class" in table.values else None,
        drop=drop,
    )
    if rule.width_m is None and rule.road_class is None and not drop:
        raise InputError(f"{table.where} gives nothing; give width_m, class or drop = true.")
    return rule


def _conditions(table: _Table) -> dict[str, frozenset[str] | bool]:
    if not table.values:
        raise InputError(f"{table.where} is empty; name a column and what it has to say.")
    conditions: dict[str, frozenset[str] | bool] = {}
    for column, value in table.values.items():
        words = value if isinstance(value, list) else [value]
        if isinstance(value, bool):
            conditions[column] = value
        elif words and all(type(word) in (str, int, float) for word in words):
            conditions[column] = frozenset(as_text(word) for word in words)
        else:
            raise table.wrong(column, "a word, a number, true, false or a list of words or numbers")
    return conditions


def as_text(value: object) -> str:
    """What a cell of a table says, in lower case: whole numbers without a point, lists by ``;``."""
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    if isinstance(value, list | tuple | set) or hasattr(value, "tolist"):
        value = value.tolist() if hasattr(value, "tolist") else value
        if isinstance(value, list | tuple | set):
            return ";".join(as_text(part) for part in value)
        return as_text(value)
    return str(value).strip().lower()
