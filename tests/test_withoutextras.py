"""What `.ci/core` skips: what fails for want of an extra, and nothing else that fails."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

pytest_plugins = ["pytester"]

PLUGIN = Path(__file__).with_name("withoutextras.py")

SKIPPED = """
import subprocess
import sys

import pytest
from typer.testing import CliRunner

from rsaug.cli import app
from rsaug.optional import MissingExtra, require

VIEW = ["view", "."]


@pytest.fixture
def library():
    return require("no_such_library", extra="image")


@pytest.fixture
def nothing(monkeypatch):
    monkeypatch.setitem(sys.modules, "fastapi", None)


def test_raised():
    require("no_such_library", extra="image")


def test_in_a_fixture(library):
    pass


def test_raised_from():
    try:
        require("no_such_library", extra="image")
    except MissingExtra as error:
        raise ValueError("no pictures") from error


def test_exit_code_of_a_command(nothing):
    result = CliRunner().invoke(app, VIEW)
    assert result.exit_code == 0, result.output


def test_output_of_a_command(nothing):
    result = CliRunner().invoke(app, VIEW)
    assert "http://" in result.output


def test_command_as_a_program():
    code = "import sys; sys.modules['fastapi'] = None; from rsaug.cli import main; main()"
    subprocess.run([sys.executable, "-c", code, *VIEW], check=True, capture_output=True)


def test_import():
    import no_such_library
"""

FAILED = """
import pytest

from rsaug.grid import parse_crs
from rsaug.optional import MissingExtra, require


def missing():
    with pytest.raises(MissingExtra) as caught:
        require("no_such_library", extra="image")
    return str(caught.value)


def test_after_doing_without():
    missing()
    assert 1 + 1 == 3


def test_while_doing_without():
    try:
        require("no_such_library", extra="image")
    except MissingExtra:
        parse_crs("no such system")


def test_after_a_note():
    assert not f"note: Curves are not drawn. {missing()}"


def test_the_wrong_error():
    with pytest.raises(ValueError):
        raise TypeError("of another kind")


def test_nothing_was_raised():
    with pytest.raises(MissingExtra):
        pass


def test_library_that_lacks_another():
    import broken_library
"""


def test_only_what_lacks_an_extra_is_skipped(
    pytester: pytest.Pytester, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "broken_library.py").write_text("import what_it_needs\n")
    monkeypatch.setenv("PYTHONPATH", f"{pytester.path}:{tmp_path}")
    pytester.makepyfile(
        withoutextras=PLUGIN.read_text(),
        test_skipped=SKIPPED,
        test_failed=FAILED,
        test_not_collected="import no_such_library",
        test_core="from rsaug.optional import require\n"
        "def test_it(): require('no_such_library', extra='image')",
    )
    result = pytester.runpytest_subprocess("-p", "withoutextras", "-v", "-p", "no:cacheprovider")
    ended = dict(re.findall(r"^test_\w+\.py::(\w+) (\w+)", result.stdout.str(), re.MULTILINE))
    expected = dict.fromkeys(re.findall(r"def (test_\w+)", SKIPPED), "SKIPPED")
    expected |= dict.fromkeys(re.findall(r"def (test_\w+)", FAILED), "FAILED")
    assert ended == {**expected, "test_it": "FAILED"}
    result.assert_outcomes(skipped=8, failed=7)
