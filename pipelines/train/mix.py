"""How often a sample sees which conditions: a table, read from TOML.

The tables that come with rsaug are in ``pipelines/train/mixes``: ``ours``, ``crs-diff`` and
``text``.
"""

from __future__ import annotations

import itertools
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np

from rsaug.conditions.stack import SLOTS
from rsaug.errors import InputError

MIXES = ("ours", "crs-diff", "text")
"""Names of the tables that come with rsaug."""

_RATES = ("drop_text", "drop_content", "drop_metadata", "drop_field", "drop_all")
# A table is written by hand; anything larger is another file.
_MOST_BYTES = 1 << 16


@dataclass(frozen=True)
class ConditionMix:
    """How often a sample sees what.

    Attributes:
        controls: (share, slots given) of each combination.
        drop_text: probability that a sample goes without text.
        drop_content: the same of the content image.
        drop_metadata: probability that all metadata is dropped.
        drop_field: probability of each field to be dropped, where not all are.
        drop_all: probability that a sample without controls goes without text and content too.
    """

    controls: tuple[tuple[float, tuple[str, ...]], ...]
    drop_text: float = 0.0
    drop_content: float = 0.0
    drop_metadata: float = 0.0
    drop_field: float = 0.0
    drop_all: float = 0.0

    @property
    def slots(self) -> tuple[str, ...]:
        """Slots that occur at all, in the stack's order."""
        used = {slot for share, slots in self.controls if share > 0 for slot in slots}
        return tuple(slot for slot in SLOTS if slot in used)

    def draw_slots(self, rng: np.random.Generator) -> tuple[str, ...]:
        """The slots that a sample is given."""
        odds = np.array([share for share, _ in self.controls])
        return self.controls[rng.choice(len(odds), p=odds / odds.sum())][1]


def read_mix(source: str | Path) -> ConditionMix:
    """A table by its name, or from a TOML file.

    It has the five rates of `ConditionMix`, and either ``controls``, a list of
    ``{ share, given }``, or ``independent``, by which each map is dropped on its own.

    Raises:
        InputError: if there is no such table or file, or it is no such table.
    """
    if source in MIXES:
        text = (resources.files(__package__) / "mixes" / f"{source}.toml").read_text("utf-8")
        return _parse(tomllib.loads(text), str(source))
    path = Path(source)
    if not path.is_file():
        raise InputError(
            f"There is no table of conditions {str(source)!r}: it is {', '.join(MIXES)} or a file."
        )
    content = path.read_bytes()[: _MOST_BYTES + 1]
    if len(content) > _MOST_BYTES:
        raise InputError(f"{path} is no table of conditions: it is larger than 64 KiB.")
    try:
        table = tomllib.loads(content.decode())
    # ValueError: also a number of more digits than Python reads.
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path} is no TOML: {error}.") from error
    return _parse(table, str(path))


def independent_controls(
    keep_all: float, drop_all: float, drop_each: Mapping[str, float]
) -> tuple[tuple[float, tuple[str, ...]], ...]:
    """The share of each combination of slots where each is dropped on its own.

    Args:
        keep_all: share of the samples that are given every slot.
        drop_all: share of those that are given none.
        drop_each: probability of each slot to be dropped in the others.
    """
    names = tuple(slot for slot in SLOTS if slot in drop_each)
    combinations = []
    for kept in itertools.product((True, False), repeat=len(names)):
        share = 1 - keep_all - drop_all
        for name, there in zip(names, kept, strict=True):
            share *= 1 - drop_each[name] if there else drop_each[name]
        share += keep_all * all(kept) + drop_all * (not any(kept))
        given = tuple(name for name, there in zip(names, kept, strict=True) if there)
        combinations.append((share, given))
    return tuple(combinations)


def _parse(table: dict[str, Any], where: str) -> ConditionMix:
    kinds = {"controls", "independent"} & table.keys()
    _check_keys(table, {*_RATES, *(kinds or {"controls"})}, where)
    if len(kinds) != 1:
        raise InputError(f"{where} has both controls and independent; keep one of them.")
    rates = {name: _probability(table[name], f"{name} in {where}") for name in _RATES}
    if "controls" in table:
        controls = _read_controls(table["controls"], where)
    else:
        controls = _read_independent(table["independent"], where)
    if sum(share for share, _ in controls) <= 0:
        raise InputError(f"{where} gives no combination of controls a share above 0.")
    return ConditionMix(controls, **rates)


def _read_controls(rows: Any, where: str) -> tuple[tuple[float, tuple[str, ...]], ...]:
    if not isinstance(rows, list) or not rows:
        raise InputError(f"controls in {where} must be a list of {{ share, given }}.")
    controls = []
    for row in rows:
        _check_keys(row, {"share", "given"}, f"controls in {where}")
        share = _probability(row["share"], f"share in {where}")
        given = row["given"]
        if not isinstance(given, list) or not all(name in SLOTS for name in given):
            raise InputError(f"given in {where} must name controls of {list(SLOTS)}, not {given}.")
        controls.append((share, tuple(given)))
    return tuple(controls)


def _read_independent(row: Any, where: str) -> tuple[tuple[float, tuple[str, ...]], ...]:
    place = f"independent in {where}"
    _check_keys(row, {"keep_all", "drop_all", "drop_each"}, place)
    each = row["drop_each"]
    if not isinstance(each, dict) or not each or not each.keys() <= set(SLOTS):
        raise InputError(f"drop_each in {where} must name controls of {list(SLOTS)}, not {each}.")
    keep, drop = (
        _probability(row[name], f"{name} of {place}") for name in ("keep_all", "drop_all")
    )
    if keep + drop > 1:
        raise InputError(f"keep_all and drop_all of {place} are above 1 together.")
    odds = {name: _probability(value, f"drop_each of {place}") for name, value in each.items()}
    return independent_controls(keep, drop, odds)


def _check_keys(table: Any, expected: set[str], where: str) -> None:
    given = set(table) if isinstance(table, dict) else set()
    if given != expected:
        unknown, missing = sorted(given - expected), sorted(expected - given)
        parts = [f"does not know {unknown}"] * bool(unknown) + [f"lacks {missing}"] * bool(missing)
        raise InputError(f"{where} {' and '.join(parts)}.")


def _probability(value: Any, what: str) -> float:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not is_number or not 0 <= value <= 1:
        raise InputError(f"{what} must be a number from 0 to 1, not {value!r}.")
    return float(value)
