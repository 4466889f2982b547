"""Class sets: which classes there are, how they look, and what map data belongs to which.

A class set is a TOML file; `rsaug/rules/classes-*.toml` are those that come along. The control map
``seg`` is always in LoveDA's classes; label masks can be in any set.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rsaug.errors import InputError

MOST_CLASSES = 255
ANY = "*"
"""Stands in a table of tags for every value but ``no``."""

_BUILT_IN = resources.files("rsaug.rules")
_COLOUR = re.compile(r"#([0-9a-f]{2})([0-9a-f]{2})([0-9a-f]{2})", re.IGNORECASE)
_MOST_BYTES = 1 << 20


@dataclass(frozen=True)
class LandClass:
    """One class.

    Attributes:
        name: Its name.
        value: Its number in label files, 0 to 255.
        colour: Red, green and blue, 0 to 255 each.
    """

    name: str
    value: int
    colour: tuple[int, int, int]


@dataclass(frozen=True)
class ClassSet:
    """Classes, and what of map data belongs to which.

    Attributes:
        name: Its name.
        classes: In order of priority: the later covers the earlier. The first is background, what
            nothing covers.
        column: The column whose values name a class, if any.
        buildings: Class of features with a tag ``building`` and of layers of buildings, if any.
        roads: Class of the road map, if any.
        values: Class by the value of ``column``; every class's own name is one.
        tags: Class by key and value of a tag; the keys in the order in which they are asked.
    """

    name: str
    classes: tuple[LandClass, ...]
    column: str | None = None
    buildings: str | None = None
    roads: str | None = None
    values: Mapping[str, str] = field(default_factory=dict)
    tags: Mapping[str, Mapping[str, str]] = field(default_factory=dict)

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Names of the classes by rising number in label files."""
        return tuple(c.name for c in sorted(self.classes, key=lambda c: c.value))

    @cached_property
    def priority(self) -> tuple[str, ...]:
        """Names of the classes from the lowest to the highest."""
        return tuple(c.name for c in self.classes)

    @cached_property
    def value_of_rank(self) -> NDArray[np.uint8]:
        """Number in label files by place in the priority, uint8 (classes,)."""
        return np.array([c.value for c in self.classes], dtype=np.uint8)

    @cached_property
    def palette(self) -> NDArray[np.uint8]:
        """Colour by number in label files, RGB uint8 (256, 3); black where there is no class."""
        colours = np.zeros((256, 3), dtype=np.uint8)
        for c in self.classes:
            colours[c.value] = c.colour
        return colours

    def values_of(self, levels: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Numbers in label files of levels, uint8 of the same shape.

        Args:
            levels: Places in the priority plus one; 0 is nothing, which is the first class too.
        """
        table = np.concatenate([self.value_of_rank[:1], self.value_of_rank])
        values: NDArray[np.uint8] = table[levels]
        return values

    def rank(self, name: str) -> int:
        """Place of a class in the priority, 0 for background.

        Raises:
            InputError: if there is no class of that name.
        """
        if name not in self.priority:
            raise InputError(
                f"The class set {self.name!r} has no class {name!r}; it has {list(self.priority)}."
            )
        return self.priority.index(name)

    def rank_of_any(self, names: Sequence[str]) -> int | None:
        """Place of the first of several names that is a class or one of its values, if any is."""
        for name in names:
            if name in self.priority:
                return self.rank(name)
            if name in self.values:
                return self.rank(self.values[name])
        return None


@dataclass(frozen=True)
class RasterTable:
    """Which class the numbers of a land-cover raster are.

    Attributes:
        name: Its name.
        title: The raster's name for readers.
        classes: Names of the class by number of the raster: one, several for several class sets, of
            which each takes the first that it has, or none where nothing is known.
        titles: What the raster's makers call the number.
    """

    name: str
    title: str
    classes: Mapping[int, tuple[str, ...]]
    titles: Mapping[int, str] = field(default_factory=dict)

    def ranks(self, classes: ClassSet) -> dict[int, int]:
        """Place in the set's priority by number of the raster, for those that mean a class of it.

        Raises:
            InputError: if a number's names are classes neither of this set nor of LoveDA.
        """
        ranks = {}
        for number, names in self.classes.items():
            rank = classes.rank_of_any(names)
            if rank is not None:
                ranks[number] = rank
            elif names and LOVEDA.rank_of_any(names) is None:
                raise InputError(
                    f"The raster table {self.name!r} has {number} as {' or '.join(names)}, which "
                    f"is no class of {classes.name!r}: {list(classes.priority)}. Give a list to "
                    'name classes of several sets, as in ["tree", "forest"], or "" for no class.'
                )
        return ranks

    def call(self, number: int) -> str:
        """The number with what it is called, for reports."""
        title = self.titles.get(number)
        return f"{number} ({title})" if title else str(number)


def class_sets() -> tuple[str, ...]:
    """Names of the class sets that come along."""
    return _built_in("classes-")


def raster_tables() -> tuple[str, ...]:
    """Names of the raster tables that come along."""
    return _built_in("raster-")


def read_class_set(name: str | Path) -> ClassSet:
    """The class set of a name in `class_sets`, or of a TOML file.

    Raises:
        InputError: if there is none, or the file says something that cannot be used.
    """
    return _class_set(_read(name, "classes-", "class set"))


def read_raster_table(name: str | Path) -> RasterTable:
    """The raster table of a name in `raster_tables`, or of a TOML file.

    Raises:
        InputError: if there is none, or the file says something that cannot be used.
    """
    return _raster_table(_read(name, "raster-", "raster table"))


def _built_in(prefix: str) -> tuple[str, ...]:
    names = (entry.name for entry in _BUILT_IN.iterdir())
    return tuple(
        sorted(
            name.removeprefix(prefix).removesuffix(".toml")
            for name in names
            if name.startswith(prefix) and name.endswith(".toml")
        )
    )


@dataclass(frozen=True)
class _Table:
    """A table of a TOML file that knows its place, for messages."""

    where: str
    content: Mapping[str, Any]

    def wrong(self, key: str, wanted: str) -> InputError:
        """What is wrong with a key."""
        given = f"{self.content[key]!r:.80}" if key in self.content else "missing"
        return InputError(f"{self.where}: {key} is {given}; {wanted}.")

    def only(self, *keys: str) -> None:
        """Refuse keys that are not known."""
        for key in self.content:
            if key not in keys:
                raise InputError(f"{self.where}: {key!r} is not known here; use {', '.join(keys)}.")

    def text(self, key: str, default: str | None = None) -> str | None:
        """A text that is not empty."""
        value = self.content.get(key, default)
        if value is not None and (not isinstance(value, str) or not value.strip()):
            raise self.wrong(key, "a text is needed")
        return value

    def name(self, key: str = "name") -> str:
        """A text that has to be there."""
        value = self.text(key)
        if value is None:
            raise self.wrong(key, "a text is needed")
        return value

    def texts(self, key: str) -> tuple[str, ...]:
        """A list of texts or whole numbers, lower case and without spaces around."""
        values = self.content.get(key, [])
        if not isinstance(values, list) or not all(
            type(value) is int or (isinstance(value, str) and value.strip()) for value in values
        ):
            raise self.wrong(key, 'a list of texts is needed, as in ["wood", "scrub"]')
        return tuple(str(value).strip().lower() for value in values)

    def table(self, key: str) -> _Table:
        """A table inside."""
        value = self.content.get(key, {})
        if not isinstance(value, dict):
            raise self.wrong(key, f"a table is needed, [{key}]")
        return _Table(f"{self.where}, [{key}]", value)

    def tables(self, key: str) -> list[_Table]:
        """A list of tables inside."""
        value = self.content.get(key, [])
        if not isinstance(value, list) or not all(isinstance(entry, dict) for entry in value):
            raise self.wrong(key, f"tables are needed, each under [[{key}]]")
        return [_Table(f"{self.where}, {key} {n}", entry) for n, entry in enumerate(value, 1)]


def _read(name: str | Path, prefix: str, what: str) -> _Table:
    built_in = _built_in(prefix)
    if isinstance(name, str) and name in built_in:
        text = _BUILT_IN.joinpath(f"{prefix}{name}.toml").read_bytes()
    else:
        try:
            with Path(name).open("rb") as file:
                text = file.read(_MOST_BYTES + 1)
        except OSError as error:
            raise InputError(
                f"{name} is neither a {what} that comes along ({', '.join(built_in)}) nor a file "
                f"that can be read ({error.strerror})."
            ) from error
    if len(text) > _MOST_BYTES:
        raise InputError(f"{name} is larger than a {what} can be; is it another file?")
    try:
        return _Table(str(name), tomllib.loads(text.decode()))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError, ValueError) as error:
        raise InputError(f"{name} is no TOML file: {str(error).splitlines()[0]}.") from error


def _class_set(table: _Table) -> ClassSet:
    table.only("name", "column", "buildings", "roads", "tag_order", "class")
    entries = table.tables("class")
    if not 1 <= len(entries) <= MOST_CLASSES:
        raise InputError(
            f"{table.where} has {len(entries)} classes; 1 to {MOST_CLASSES} are needed, each under "
            "[[class]], the first for what nothing covers."
        )
    classes = tuple(_land_class(entry) for entry in entries)
    for key in ("name", "value"):
        seen: dict[object, int] = {}
        for n, c in enumerate(classes, 1):
            first = seen.setdefault(getattr(c, key), n)
            if first != n:
                raise entries[n - 1].wrong(key, f"class {first} has it already; give another")
    names = {c.name for c in classes}
    for key in ("buildings", "roads"):
        if (chosen := table.text(key)) is not None and chosen not in names:
            raise table.wrong(key, f"it has to be the name of a class, one of {sorted(names)}")
    own = {c.name.strip().lower(): c.name for c in classes}
    return ClassSet(
        name=table.name(),
        classes=classes,
        column=table.text("column", "class"),
        buildings=table.text("buildings"),
        roads=table.text("roads"),
        values=_by_value(entries, "values", classes, own),
        tags=_tags(table, entries, classes),
    )


def _land_class(entry: _Table) -> LandClass:
    entry.only("name", "value", "colour", "values", "tags")
    value = entry.content.get("value")
    # In Python, though not in TOML, true is a number.
    if type(value) is not int or not 0 <= value <= 255:
        raise entry.wrong("value", "a whole number from 0 to 255 is needed")
    return LandClass(entry.name(), value, _colour(entry))


def _colour(entry: _Table) -> tuple[int, int, int]:
    colour = entry.content.get("colour")
    if isinstance(colour, str) and (match := _COLOUR.fullmatch(colour)):
        red, green, blue = (int(part, 16) for part in match.groups())
        return red, green, blue
    if (
        isinstance(colour, list)
        and len(colour) == 3
        and all(type(part) is int and 0 <= part <= 255 for part in colour)
    ):
        return colour[0], colour[1], colour[2]
    raise entry.wrong("colour", 'write it as "#00ff00" or [0, 255, 0]')


def _by_value(
    entries: Sequence[_Table],
    key: str,
    classes: Sequence[LandClass],
    start: Mapping[str, str] | None = None,
) -> dict[str, str]:
    """Class by value, from a list of values under ``key`` in each class."""
    found = dict(start or {})
    for entry, c in zip(entries, classes, strict=True):
        for value in entry.texts(key):
            if found.setdefault(value, c.name) != c.name:
                raise entry.wrong(key, f"{value!r} is of class {found[value]!r} already; take one")
    return found


def _tags(
    table: _Table, entries: Sequence[_Table], classes: Sequence[LandClass]
) -> dict[str, dict[str, str]]:
    """Class by key and value of a tag."""
    tables = [entry.table("tags") for entry in entries]
    used = list(dict.fromkeys(key for entry in tables for key in entry.content))
    order = table.texts("tag_order")
    for key in order:
        if key not in used:
            raise table.wrong("tag_order", f"no class has {key!r} under its [class.tags]")
    keys = [*order, *(key for key in used if key not in order)]
    return {key: _by_value(tables, key, classes) for key in keys}


def _raster_table(table: _Table) -> RasterTable:
    table.only("name", "title", "values", "titles")
    name = table.name()
    values, titles = table.table("values"), table.table("titles")
    if not values.content:
        raise InputError(f'{table.where} has no number under [values], as in 10 = "forest".')
    classes = {_number(values, key): _names(values, key) for key in values.content}
    return RasterTable(
        name=name,
        title=table.text("title", name) or name,
        classes=classes,
        titles={_number(titles, key): titles.name(key) for key in titles.content},
    )


def _number(table: _Table, key: str) -> int:
    if not re.fullmatch(r"-?[0-9]{1,9}", key):
        raise InputError(f"{table.where}: {key!r} is no whole number of a raster.")
    return int(key)


def _names(table: _Table, key: str) -> tuple[str, ...]:
    value = table.content[key]
    if value == "":
        return ()
    return table.texts(key) if isinstance(value, list) else (table.name(key).strip().lower(),)


LOVEDA = read_class_set("loveda")
"""LoveDA's classes, those of the control map ``seg``."""
