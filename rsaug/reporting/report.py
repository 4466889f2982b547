"""The report of a run: one page, or the same numbers as JSON."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rsaug import __version__
from rsaug.errors import InputError
from rsaug.files import write_whole
from rsaug.htmlpage import Html, page, tag
from rsaug.reporting import charts, views
from rsaug.reporting.contents import distributions, left_out, scores, seeds_and_time
from rsaug.reporting.facts import Facts, gather
from rsaug.reporting.header import header
from rsaug.reporting.origin import asked, made_by
from rsaug.reporting.views import contact_sheet, place_map
from rsaug.storage import AnyPath

PAGE = "report.html"
"""Name of the page in the folder of the run, unless it is put elsewhere."""

SHOWN = 24
"""So many images are shown unless it is said otherwise."""

MOST_SHOWN = 200
_PICTURES = 4_000_000
"""Pictures take so many characters of the page at most."""

_LINKS = {
    "sheet": "Images",
    "map": "Where",
    "contents": "What is in it",
    "left-out": "What was left out",
    "time": "Seeds and time",
    "scores": "Scores",
    "asked": "What was asked",
    "origin": "Model and provenance",
}


@dataclass(frozen=True, eq=False)
class Report:
    """The report of a run.

    Attributes:
        facts: What it says.
    """

    facts: Facts

    def to_json(self) -> str:
        """The numbers as JSON; what is not known is null."""
        plain = _plain(self.facts.to_dict())
        return json.dumps(plain, indent=2, ensure_ascii=False, allow_nan=False) + "\n"

    def to_html(self) -> str:
        """The page, which needs nothing besides itself."""
        found = self.facts
        parts = {
            "sheet": contact_sheet(found, _PICTURES),
            "map": place_map(found),
            "contents": distributions(found),
            "left-out": left_out(found),
            "time": seeds_and_time(found),
            "scores": scores(found),
            "asked": asked(found),
            "origin": made_by(found),
        }
        there = {key: part for key, part in parts.items() if part is not None}
        links = tag("nav", *(tag("a", _LINKS[key], href=f"#{key}") for key in there))
        foot = tag("p", f"Made by rsaug {__version__}, {found.created}.", class_="small soft")
        body: list[Html] = [header(found), links, *there.values(), foot]
        return page(f"{found.run.name}: report", body, charts.STYLE + views.STYLE)

    def write(self, path: AnyPath | str | None = None) -> AnyPath | str:
        """Write the page, whole or not at all.

        Args:
            path: Where; by default `PAGE` in the folder of the run.

        Returns:
            Where it is.

        Raises:
            InputError: if the name is not that of a page.
            OutputError: if it cannot be written.
        """
        if path is not None and not str(path).lower().endswith((".html", ".htm")):
            raise InputError(f"A report is a page: name it {path}.html, for instance, not {path}.")
        target = self.facts.run.folder.root / PAGE if path is None else path
        write_whole(target, self.to_html().encode())
        return target


def make_report(where: AnyPath | str, shown: int = SHOWN) -> Report:
    """The report of the run in a folder, complete or not.

    Args:
        where: Folder of ``rsaug synth``, ``conditions``, ``restyle``, ``inpaint`` or ``upscale``.
        shown: How many images it shows, at most; 0 for none.

    Raises:
        InputError: if it is the folder of no such run, or the number is none from 0 to
            `MOST_SHOWN`.
    """
    if not 0 <= shown <= MOST_SHOWN:
        raise InputError(f"A report shows 0 to {MOST_SHOWN} images, not {shown}.")
    return Report(gather(where, shown))


def _plain(value: Any) -> Any:
    """A value as JSON has it: None in place of what is no finite number, text for a path."""
    if isinstance(value, Mapping):
        return {str(key): _plain(entry) for key, entry in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_plain(entry) for entry in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return str(value) if isinstance(value, Path) else value
