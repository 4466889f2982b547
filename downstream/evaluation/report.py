"""The report: sections of numbers and pictures, as JSON, CSV and a page."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from rsaug import __version__
from rsaug.downstream.evaluation.page import Figure, Table, render
from rsaug.errors import OutputError
from rsaug.files import write_whole

FOLDER = "evaluation"
"""Folder of the report in the folder of the run."""


class Row(NamedTuple):
    """One number of the report.

    Attributes:
        measure: What is measured.
        of: In which tiles, or of what against what.
        value: The number; NaN where it is not defined.
        low: Lower end of its interval or spread; NaN where there is none.
        high: Upper end.
        n: Of how many images, windows or pairs; in words where that says more.
        by: Detector or extractor.
    """

    measure: str
    of: str
    value: float
    low: float = math.nan
    high: float = math.nan
    n: str = ""
    by: str = ""


@dataclass(frozen=True)
class Section:
    """What one measure found.

    Attributes:
        name: A word, its key in JSON.
        title: Heading.
        says: What is measured and how to read it, in sentences.
        rows: The numbers.
        facts: Further numbers and settings, ready for JSON.
        figures: Pictures with captions.
        missing: What could not be measured and why, a sentence each.
    """

    name: str
    title: str
    says: tuple[str, ...] = ()
    rows: tuple[Row, ...] = ()
    facts: Mapping[str, Any] = field(default_factory=dict)
    figures: tuple[Figure, ...] = ()
    missing: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Everything but the pictures, ready for JSON."""
        return {
            "title": self.title,
            "says": list(self.says),
            "numbers": [plain(row._asdict()) for row in self.rows],
            "missing": list(self.missing),
            **plain(self.facts),
        }


@dataclass(frozen=True)
class Report:
    """Everything that an evaluation found.

    Attributes:
        title: Heading.
        created: When, ISO 8601 in UTC.
        compared: What with what: folders, numbers, digests.
        sections: What each measure found.
    """

    title: str
    created: str
    compared: Mapping[str, Any]
    sections: tuple[Section, ...]

    @property
    def missing(self) -> list[str]:
        """What could not be measured and why, a sentence each."""
        return [sentence for section in self.sections for sentence in section.missing]

    def to_dict(self) -> dict[str, Any]:
        """Ready for JSON."""
        return {
            "software": f"rsaug {__version__}",
            "created": self.created,
            "compared": plain(self.compared),
            **{section.name: section.to_dict() for section in self.sections},
        }

    def to_json(self) -> str:
        """As JSON; what is not defined is null."""
        return json.dumps(self.to_dict(), indent=2, ensure_ascii=False, allow_nan=False) + "\n"

    def to_csv(self) -> str:
        """All numbers, one a line; what is not defined is empty."""
        file = io.StringIO()
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["section", *Row._fields])
        for section in self.sections:
            for row in section.rows:
                cells = ["" if isinstance(v, float) and math.isnan(v) else v for v in row]
                writer.writerow([section.name, *cells])
        return file.getvalue()

    def to_html(self) -> str:
        """As one page that needs nothing besides."""
        parts = [
            (section.title, section.says, _table(section.rows), section.figures, section.missing)
            for section in self.sections
        ]
        return render(self.title, _facts(self.compared, self.created), parts)

    def write(self, folder: str | Path) -> Path:
        """Write ``report.json``, ``report.csv`` and ``report.html``, each whole.

        Args:
            folder: Folder of the run; they go into `FOLDER` in it.

        Returns:
            That folder.

        Raises:
            OutputError: if that is not possible.
        """
        target = Path(folder) / FOLDER
        try:
            target.mkdir(exist_ok=True)
        except OSError as error:
            raise OutputError(f"{target} cannot be made ({error.strerror}).") from error
        write_whole(target / "report.json", self.to_json().encode())
        write_whole(target / "report.csv", self.to_csv().encode())
        write_whole(target / "report.html", self.to_html().encode())
        return target


def counted(count: int, noun: str) -> str:
    """A number of things for a reader."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def number(value: float) -> str:
    """A number for a reader, with three digits that count."""
    if math.isnan(value):
        return "-"
    return f"{value:.3f}" if abs(value) >= 0.0995 or value == 0 else f"{value:.2g}"


def span(low: float, high: float) -> str:
    """An interval for a reader; "" where there is none."""
    return "" if math.isnan(low) or math.isnan(high) else f"{number(low)} to {number(high)}"


def plain(value: Any) -> Any:
    """A value as JSON has it: lists and dictionaries, None in place of NaN."""
    if isinstance(value, Mapping):
        return {str(key): plain(entry) for key, entry in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [plain(entry) for entry in value]
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    return value


def as_facts(thing: Any) -> dict[str, Any]:
    """The attributes of a dataclass, ready for JSON."""
    facts: dict[str, Any] = plain(asdict(thing))
    return facts


def _table(rows: Sequence[Row]) -> Table | None:
    if not rows:
        return None
    cells = [
        (row.measure, row.of, number(row.value), span(row.low, row.high), row.n, row.by)
        for row in rows
    ]
    return Table(("measure", "of", "value", "interval", "n", "by"), cells)


def _facts(compared: Mapping[str, Any], created: str) -> list[tuple[str, str]]:
    shown = [(key.replace("_", " "), str(value)) for key, value in compared.items()]
    return [*shown, ("made", f"{created}, rsaug {__version__}")]
