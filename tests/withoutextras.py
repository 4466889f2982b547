"""Tests where only the core is installed: what asks for an extra by its name is skipped.

``PYTHONPATH=tests pytest -p withoutextras``, as `.ci/core` does. Skipped are tests that fail after
`MissingExtra` was raised, which names the extra, be it told as an exit code of a command, and
those that themselves import a library that is not there. A library that our own code misses without
saying which extra it belongs to stays an error.
"""

from __future__ import annotations

import traceback
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

import pytest

from rsaug.optional import MissingExtra

_TESTS = Path(__file__).parent
_asked_for: list[str] = []


def pytest_configure() -> None:
    """Take note of every extra that is asked for."""
    plain = MissingExtra.__init__

    def noted(self: MissingExtra, *args: Any, **named: Any) -> None:
        _asked_for.append(str(args[0]))
        plain(self, *args, **named)

    MissingExtra.__init__ = noted  # type: ignore[assignment, method-assign]


def reason(error: BaseException) -> str | None:
    """Why what ends in this error cannot be done without extras, None if it is a fault."""
    if _asked_for:
        return _asked_for[-1]
    for each in _chain(error):
        # Of a fixture that was tried for another test.
        if isinstance(each, MissingExtra):
            return str(each)
        if isinstance(each, ModuleNotFoundError) and _is_raised_by_a_test(each):
            return f"without extras: {each}"
    return None


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__


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
    _asked_for.clear()
    report = yield
    call = report.call
    if call.excinfo is not None and (said := reason(call.excinfo.value)) is not None:
        report.outcome = "skipped"
        report.longrepr = (str(collector.path), 1, f"Skipped: {said}")
    return report


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None]:
    """A test that fails for want of an extra is skipped."""
    yield from _skipping()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_setup(item: pytest.Item) -> Generator[None]:
    """So is one whose fixtures do."""
    yield from _skipping()


def _skipping() -> Generator[None]:
    _asked_for.clear()
    try:
        yield
    except Exception as error:
        if (said := reason(error)) is None:
            raise
        pytest.skip(said)
