"""Tests that need torchgeo are skipped where it is not installed; a conftest takes this up."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest


class _Skipped(pytest.Module):
    """A module that is not even imported."""

    def collect(self) -> Iterator[pytest.Item]:
        """Nothing, for a reason."""
        pytest.skip("torchgeo is not installed; it comes with the extra 'eval'")


def pytest_pycollect_makemodule(
    module_path: Path, parent: pytest.Collector
) -> pytest.Module | None:
    """The module as it is where torchgeo is installed, else one that is skipped."""
    if find_spec("torchgeo") is not None:
        return None
    skipped: pytest.Module = _Skipped.from_parent(parent, path=module_path)
    return skipped
