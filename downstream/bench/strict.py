"""Dataclasses from YAML, of which nothing is guessed: an unknown key or a wrong type is refused."""

from __future__ import annotations

import difflib
import types
from collections.abc import Mapping
from dataclasses import MISSING, Field, fields, is_dataclass
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

import yaml

from rsaug.configfile import shown
from rsaug.errors import InputError

Kind = TypeVar("Kind")

_NAMES = {str: "a text", bool: "true or false", int: "a whole number", float: "a number"}


def as_yaml(value: Any) -> str:
    """A value of texts, numbers, lists and mappings as YAML."""
    text: str = yaml.safe_dump(value, sort_keys=False, allow_unicode=True, width=100)
    return text


def read_as(kind: type[Kind], raw: Any, where: str = "") -> Kind:
    """A dataclass from a mapping.

    Understood are texts, numbers, true and false, choices (`Literal`), lists (``tuple[X, ...]``),
    mappings to anything, other dataclasses, and several of these in one (``X | Y``).

    Args:
        kind: The dataclass.
        raw: The mapping, as YAML has it.
        where: Name of what is read, for messages.

    Raises:
        InputError: if a key is unknown, missing or of another type; one sentence says which key
            and what is expected.
    """
    if not isinstance(raw, Mapping):
        raise InputError(f"{_named(where)} must be keys with values, not {shown(raw)}.")
    hints = get_type_hints(kind)
    known: dict[str, Field[Any]] = {field.name: field for field in fields(kind)}  # type: ignore[arg-type]  # a dataclass
    for key in raw:
        if key not in known:
            near = difflib.get_close_matches(str(key), known, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(known)}."
            raise InputError(f"There is no key {_inside(where, key)!r}; {hint}")
    values = {}
    for name, field in known.items():
        inside = _inside(where, name)
        if name in raw:
            values[name] = _value(hints[name], raw[name], inside)
        elif field.default is MISSING and field.default_factory is MISSING:
            raise InputError(f"The key {inside!r} is missing; it is {_expected(hints[name])}.")
    return kind(**values)


def _value(hint: Any, raw: Any, where: str) -> Any:
    """A value of a type; InputError where it is of another."""
    origin = get_origin(hint)
    if origin in (Union, types.UnionType):
        return _one_of(hint, raw, where)
    if origin is Literal:
        fits = any(type(raw) is type(choice) and raw == choice for choice in get_args(hint))
        return raw if fits else _refuse(hint, raw, where)
    if origin is tuple:
        if not isinstance(raw, list):
            return _refuse(hint, raw, where)
        inner = get_args(hint)[0]
        return tuple(_value(inner, entry, f"{where}[{k}]") for k, entry in enumerate(raw))
    if is_dataclass(hint):
        return read_as(hint, raw, where)  # type: ignore[arg-type]  # a class, not an instance
    if origin is not None and issubclass(origin, Mapping):
        return dict(raw) if isinstance(raw, Mapping) else _refuse(hint, raw, where)
    return _plain(hint, raw, where)


def _plain(hint: Any, raw: Any, where: str) -> Any:
    if hint is Any:
        return raw
    # In Python true is a number; here it is none.
    number = isinstance(raw, int | float) and not isinstance(raw, bool)
    if hint is float and number:
        return float(raw)
    if hint is int and number and isinstance(raw, int):
        return raw
    if hint in (str, bool) and isinstance(raw, hint):
        return raw
    if hint is types.NoneType and raw is None:
        return None
    return _refuse(hint, raw, where)


def _one_of(hint: Any, raw: Any, where: str) -> Any:
    """The first of several types that a value is of."""
    kinds = get_args(hint)
    for kind in kinds:
        # A mapping can only be meant as the dataclass among them, whose own message says more.
        if is_dataclass(kind) and isinstance(raw, Mapping):
            return _value(kind, raw, where)
    for kind in kinds:
        if is_dataclass(kind):
            continue
        try:
            return _value(kind, raw, where)
        except InputError:
            continue
    return _refuse(hint, raw, where)


def _refuse(hint: Any, raw: Any, where: str) -> Any:
    note = ""
    if isinstance(raw, str) and _looks_like_number(raw) and "number" in _expected(hint):
        note = " YAML takes this for a text; write it out, as 0.001."
    raise InputError(f"The key {where!r} must be {_expected(hint)}, not {shown(raw)}.{note}")


def _expected(hint: Any) -> str:
    """A type in words."""
    origin = get_origin(hint)
    if origin in (Union, types.UnionType):
        return " or ".join(_expected(kind) for kind in get_args(hint))
    if origin is Literal:
        return " or ".join(repr(choice) for choice in get_args(hint))
    if origin is tuple:
        return f"a list, each entry {_expected(get_args(hint)[0])}"
    if hint is types.NoneType:
        return "null"
    return _NAMES.get(hint, "keys with values")


def _looks_like_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _inside(where: str, key: object) -> str:
    return f"{where}.{key}" if where else str(key)


def _named(where: str) -> str:
    return f"The key {where!r}" if where else "A configuration"
