"""``rsaug report``: a page, or the same as JSON."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from pages import assert_stands_alone
from painter import Painter, write_roads
from typer.testing import CliRunner, Result

from rsaug.cli import app
from rsaug.options import SynthOptions
from rsaug.synthesis import make_plan, run


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A run of two tiles, in the working directory."""
    monkeypatch.chdir(tmp_path)
    roads = str(write_roads(Path("town.gpkg"), rows=1, cols=2))
    run(make_plan(SynthOptions(roads=roads, gsd=0.5, tile_size=128)), Painter())
    return Path("town-synth")


def report(*options: str) -> Result:
    return CliRunner().invoke(app, ["report", *options])


def test_a_page_in_the_folder_of_the_run(folder: Path) -> None:
    result = report(str(folder))
    assert (result.exit_code, result.stdout) == (0, "report: town-synth/report.html\n")
    page = assert_stands_alone((folder / "report.html").read_text(encoding="utf-8"))
    assert "2 of 2" in page.text
    # It is no part of the run: nothing that is looked at has changed.
    assert CliRunner().invoke(app, ["verify", str(folder)]).exit_code == 0


def test_numbers_alone_or_with_a_page_elsewhere(folder: Path) -> None:
    result = report(str(folder), "--json")
    assert json.loads(result.stdout)["complete"] == 2
    assert not (folder / "report.html").exists()
    result = report(str(folder), "--json", "--out", "page.html", "--tiles", "1")
    assert json.loads(result.stdout)["complete"] == 2
    assert "report: page.html" in result.stderr
    assert Path("page.html").read_text(encoding="utf-8").count("<img") == 3


def test_what_cannot_be_is_told_in_one_sentence(folder: Path) -> None:
    result = report("nowhere")
    assert result.exit_code == 2
    assert "error: nowhere has no run.json" in result.stderr
    result = report(str(folder), "--out", "no/folder/page.html")
    assert result.exit_code == 2
    assert "could not be written" in result.stderr
