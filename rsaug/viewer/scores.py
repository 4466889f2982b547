"""What ``rsaug filter`` said of the images of a run: ``quality/images.csv`` and ``scores.json``."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Collection, Mapping

from rsaug.viewer.catalogue import number
from rsaug.viewer.confined import Confined

WEIGHT = "weight"
_FOLDER = "quality"
_FIRST = ("score", WEIGHT)
_MOST_COLUMNS = 40


def read_scores(folder: Confined, names: Collection[str]) -> dict[str, dict[str, float]]:
    """Numbers by name of a criterion and name of an image; empty without a filter.

    Args:
        folder: Of the run.
        names: Its images; what is said of others is left out.
    """
    known = {*names}
    found: dict[str, dict[str, float]] = {}
    for name, row in _rows(folder):
        if name in known:
            for column, value in row.items():
                found.setdefault(column, {})[name] = value
    weights = folder.json(f"{_FOLDER}/scores.json") or {}
    numbers = {name: number(value) for name, value in weights.items() if name in known}
    said = {name: value for name, value in numbers.items() if value is not None}
    if said:
        found[WEIGHT] = said
    first = [column for column in _FIRST if column in found]
    return {column: found[column] for column in dict.fromkeys([*first, *found])}


def dropped(scores: Mapping[str, Mapping[str, float]]) -> set[str]:
    """Images that the filter dropped."""
    return {name for name, weight in scores.get(WEIGHT, {}).items() if weight <= 0}


def _rows(folder: Confined) -> list[tuple[str, dict[str, float]]]:
    """Images of the table and the numbers said of each."""
    content = folder.read(f"{_FOLDER}/images.csv")
    if content is None:
        return []
    rows = []
    try:
        for row in csv.DictReader(io.StringIO(content.decode("utf-8"), newline="")):
            columns = [name for name in row if isinstance(name, str) and name != "id"]
            values = {name: _number(row[name]) for name in columns[:_MOST_COLUMNS]}
            kept = {name: value for name, value in values.items() if value is not None}
            rows.append((str(row.get("id")), kept))
    except (UnicodeDecodeError, csv.Error):
        return []
    return rows


def _number(text: object) -> float | None:
    try:
        value = float(str(text))
    except ValueError:
        return None
    return value if math.isfinite(value) else None
