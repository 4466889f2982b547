"""Tests where only the core is installed: what fails for want of an extra is skipped.

``PYTHONPATH=tests pytest -p withoutextras``, as `.ci/core` does. Only the failure itself counts,
not what was asked for before it. Skipped are tests that end

- in `MissingExtra`, or in an error that was raised from it;
- in an error that carries the sentence in which a command ended, so an assertion on a command has
  to name its output;
- in an import, by a file of tests, of a library that is not there.

A library that our own code misses without saying which extra it belongs to stays an error, and so
does whatever fails after an extra was tried and done without. Tests of what is said about extras
are never skipped here.
"""

from __future__ import annotations

import re
import traceback
from collections.abc import Generator, Iterator
from pathlib import Path
from subprocess import CalledProcessError

import pytest

from rsaug.optional import MissingExtra

_TESTS = Path(__file__).parent
_ABOUT_EXTRAS = ("test_core.py", "test_optional.py", "test_withoutextras.py")

# As `rsaug.cli.messages.error` tells it when it ends a command; a note has no such beginning.
# Within the picture of a string in an assertion the quotes can have a backslash.
_ENDED = re.compile(
    r"error: (This needs \S+, which is not installed; it comes with pip install \\?'rsaug\[\w+\])"
)


def reason(error: BaseException) -> str | None:
    """Why what ends in this error cannot be done without extras, None if it is a fault."""
    for each in _chain(error):
        if isinstance(each, MissingExtra):
            return str(each)
        if isinstance(each, ModuleNotFoundError) and _is_raised_by_a_test(each):
            return f"without extras: {each}"
        if (ended := _ENDED.search(_said(each))) is not None:
            return f"A command ended: {ended[1]}'."
    return None


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """The error, and what it was raised from.

    Not what was being handled when it was raised: that may be an extra which is done without.
    """
    while error is not None:
        yield error
        error = error.__cause__


def _said(error: BaseException) -> str:
    """The error's text, and what a command printed that `subprocess` ran."""
    if isinstance(error, CalledProcessError):
        parts = (error.stdout, error.stderr)
        return "\n".join(
            part.decode(errors="replace") if isinstance(part, bytes) else part or ""
            for part in parts
        )
    return str(error)


def _is_raised_by_a_test(error: ModuleNotFoundError) -> bool:
    """Whether it was a file of tests that imports what is missing."""
    files = [frame.filename for frame in traceback.extract_tb(error.__traceback__)]
    ours = [name for name in files if "importlib" not in name]
    return bool(ours) and Path(ours[-1]).is_relative_to(_TESTS)


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(
    collector: pytest.Collector,
) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """A module that cannot be imported for want of an extra is skipped."""
    report = yield
    call = report.call
    if call.excinfo is not None and (said := reason(call.excinfo.value)) is not None:
        report.outcome = "skipped"
        report.longrepr = (str(collector.path), 1, f"Skipped: {said}")
    return report


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None]:
    """A test that fails for want of an extra is skipped."""
    yield from _skipping(item)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_setup(item: pytest.Item) -> Generator[None]:
    """So is one whose fixtures do."""
    yield from _skipping(item)


def _skipping(item: pytest.Item) -> Generator[None]:
    try:
        yield
    except (Exception, pytest.fail.Exception) as error:
        said = None if item.path.name in _ABOUT_EXTRAS else reason(error)
        if said is None:
            raise
        pytest.skip(said)
