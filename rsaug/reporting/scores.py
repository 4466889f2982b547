"""What ``rsaug filter`` and ``rsaug evaluate`` found, as they left it in the run's folder."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from typing import Any

from rsaug.jsontext import parse_json
from rsaug.reporting.run import Run, mapping, number
from rsaug.storage import AnyPath, read

FILTER, EVALUATION = "quality", "evaluation"
"""Folders of the two in that of a run."""

_MOST_ROWS = 60


def filter_scores(run: Run) -> dict[str, Any] | None:
    """What ``rsaug filter`` says; None where it has not been run or left nothing to read.

    Returns:
        ``images``, ``kept``, ``rules`` and ``values`` as in its ``report.json``, and ``scores``:
        that of each image from 0 to 1, by name.
    """
    report = _json(run.folder.root / FILTER / "report.json")
    if report is None:
        return None
    return {
        "images": number(report.get("images")),
        "kept": number(report.get("kept")),
        "detectors": [str(name) for name in _list(report.get("detectors"))],
        "rules": mapping(report, "rules"),
        "values": {
            str(name): [number(value) for value in _list(values)]
            for name, values in mapping(report, "values").items()
        },
        "scores": _scores(run.folder.root / FILTER / "images.csv"),
    }


def evaluation_rows(run: Run) -> list[dict[str, Any]] | None:
    """The numbers of ``rsaug evaluate``, at most some dozens; None where there are none.

    Returns:
        A mapping a number: ``section``, ``measure``, ``of``, ``value``, ``low``, ``high``, ``n``
        and ``by`` as in its ``report.json``.
    """
    report = _json(run.folder.root / EVALUATION / "report.json")
    if report is None:
        return None
    rows = []
    for section in report.values():
        if not isinstance(section, Mapping):
            continue
        for entry in _list(section.get("numbers")):
            if isinstance(entry, Mapping):
                texts = {name: str(entry.get(name) or "") for name in ("measure", "of", "n", "by")}
                numbers = {name: number(entry.get(name)) for name in ("value", "low", "high")}
                rows.append({"section": str(section.get("title") or ""), **texts, **numbers})
    return rows[:_MOST_ROWS] or None


def _scores(path: AnyPath) -> dict[str, float]:
    try:
        lines = csv.DictReader(io.StringIO(read(path).decode()))
        found = {str(row["id"]): float(row["score"]) for row in lines}
    except (OSError, ValueError, KeyError, TypeError, csv.Error):
        return {}
    return {name: score for name, score in found.items() if 0 <= score <= 1}


def _json(path: AnyPath) -> dict[str, Any] | None:
    try:
        found = parse_json(read(path))
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []
