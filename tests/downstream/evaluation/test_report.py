"""The report as JSON, CSV and a page of its own."""

from __future__ import annotations

import base64
import csv
import io
import json
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from rsaug.downstream.evaluation.page import Figure
from rsaug.downstream.evaluation.report import Report, Row, Section, number, span
from rsaug.errors import OutputError

NAN = float("nan")
HOSTILE = '<script src="https://example.org/x.js"></script> & "quoted"'


@pytest.fixture
def report() -> Report:
    """A report whose texts are made to break a page."""
    picture = np.full((20, 30, 3), 77, dtype=np.uint8)
    rows = (Row("IoU", "synthetic, a", 0.5, 0.25, 0.75, "2 tiles", HOSTILE), Row("F", "b", NAN))
    section = Section(
        name="roads",
        title=f"Roads {HOSTILE}",
        says=(HOSTILE,),
        rows=rows,
        facts={"low": NAN, "inner": [{"n": 1}]},
        figures=(Figure(HOSTILE, picture),),
        missing=(HOSTILE,),
    )
    return Report(HOSTILE, "2026-01-01T00:00:00Z", {"run": HOSTILE}, (section,))


class Tags(HTMLParser):
    """Collects the tags of a page with their attributes, and that they are closed in order."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note a tag."""
        self.found.append((tag, dict(attrs)))
        if tag not in {"meta", "img"}:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        """Note that it is closed."""
        assert self.open.pop() == tag


def test_the_page_needs_nothing_besides_and_runs_nothing(report: Report) -> None:
    page = Tags()
    page.feed(report.to_html())
    assert page.open == []
    assert not {"script", "link", "iframe", "object"} & {tag for tag, _ in page.found}
    sources = [attributes["src"] for tag, attributes in page.found if "src" in attributes]
    assert len(sources) == 1
    kind, data = str(sources[0]).split(",")
    assert kind == "data:image/jpeg;base64"
    picture = np.asarray(Image.open(io.BytesIO(base64.b64decode(data))))
    assert picture.shape == (20, 30, 3)
    assert abs(picture.astype(int) - 77).max() <= 2
    assert not re.search(r"""(src|href)=["']?http""", report.to_html())


def test_json_and_csv_hold_the_same_numbers(report: Report) -> None:
    document = json.loads(report.to_json())
    lines = list(csv.DictReader(io.StringIO(report.to_csv())))
    numbers = document["roads"]["numbers"]
    assert [line["measure"] for line in lines] == [entry["measure"] for entry in numbers]
    assert float(lines[0]["value"]) == numbers[0]["value"] == 0.5
    assert numbers[1]["value"] is None
    assert lines[1]["value"] == ""
    assert document["roads"]["inner"] == [{"n": 1}]
    assert lines[0]["by"] == HOSTILE


def test_all_three_are_written_whole(report: Report, tmp_path: Path) -> None:
    folder = report.write(tmp_path)
    assert sorted(path.name for path in folder.iterdir()) == [
        "report.csv",
        "report.html",
        "report.json",
    ]
    assert (folder / "report.json").read_text(encoding="utf-8") == report.to_json()
    assert report.write(str(tmp_path)) == folder
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="cannot be made"):
        report.write(tmp_path / "file")


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.12345, "0.123"), (12.3456, "12.346"), (0.00123, "0.0012"), (0.0, "0.000"), (NAN, "-")],
)
def test_numbers_for_a_reader(value: float, text: str) -> None:
    assert number(value) == text
    assert span(value, 1) == ("" if text == "-" else f"{text} to 1.000")
