"""The documentation as a site: built with warnings as errors, whole, and by itself."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "scripts"))

from command_reference import command_reference, walk  # noqa: E402  # of scripts/


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The built site."""
    for name in ("mkdocs", "material", "mkdocstrings", "latex2mathml"):
        if importlib.util.find_spec(name) is None:
            pytest.skip(f"needs the extra `docs`: {name} is not installed")
    folder = tmp_path_factory.mktemp("site")
    mkdocs = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)]
    done = subprocess.run(mkdocs, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    omitted = re.findall(r"^  - (?!files/)\S+\.md$", done.stderr, re.MULTILINE)
    assert not omitted, "pages that are in no part of the navigation"
    return folder


def test_every_page_is_built_and_nothing_is_asked_for_elsewhere(site: Path) -> None:
    pages = {path.relative_to(ROOT / "docs") for path in (ROOT / "docs").rglob("*.md")}
    pages |= {path.relative_to(ROOT / "docs") for path in (ROOT / "docs").rglob("*.ipynb")}
    assert not [page for page in pages if not (site / page).with_suffix(".html").is_file()]
    asked = re.compile(r'<(?:script|img|iframe|link)\b[^>]*\b(?:src|href)="?(?:https?:)?//[^"\s>]+')
    for page in site.rglob("*.html"):
        assert not asked.findall(page.read_text(encoding="utf-8")), page


def test_links_to_the_repository_lead_to_pages(site: Path) -> None:
    page = (site / "roads.html").read_text(encoding="utf-8")
    assert 'href="files/rsaug/rules/roads.toml.html"' in page
    assert "lane_width_m" in (site / "files/rsaug/rules/roads.toml.html").read_text("utf-8")
    assert 'href="helsinki.html"' in (site / "index.html").read_text(encoding="utf-8")


def test_the_page_of_commands_has_every_command_and_option(site: Path) -> None:
    page = (site / "commands.html").read_text(encoding="utf-8")
    commands = [*_commands()]
    assert len(commands) > 25
    for words, command in commands:
        assert f"rsaug {' '.join(words)}<a" in page
        for option in command.params:
            assert all(f"{name}" in page for name in option.opts if name.startswith("-"))


def test_pipes_and_emphasis_of_help_are_kept() -> None:
    text = command_reference()
    assert "`--landcover-table NAME\\|FILE`" in text
    assert "**Needed.**" in text
    assert "[/" not in text


def test_the_search_works_from_files(site: Path, tmp_path: Path) -> None:
    import shutil

    browser = shutil.which("chromium")
    if browser is None:
        pytest.skip("there is no Chromium")
    flags = "--headless --no-sandbox --disable-gpu --disable-background-networking --no-first-run"
    more = ["--disable-component-update", "--disable-sync", f"--user-data-dir={tmp_path}"]
    shown = ["--virtual-time-budget=20000", "--dump-dom", f"file://{site}/index.html?q=clDice"]
    done = subprocess.run(
        [browser, *flags.split(), *more, *shown], capture_output=True, text=True, timeout=300
    )
    assert re.search(
        r'<a href="[^"]*metrics\.html[^"]*" class="md-search-result__link"', done.stdout
    )


def _commands() -> Iterator[tuple[tuple[str, ...], Any]]:
    import typer

    from rsaug.cli import app

    for words, command in walk(typer.main.get_command(app), ()):
        if words:
            yield words, command
