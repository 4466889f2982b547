"""A run at toy size to look at."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from runfolder import painted_run

from rsaug.viewer.view import View


@pytest.fixture(scope="session")
def painted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of a few tiles of 64 pixels, two variants; not to be altered."""
    return painted_run(tmp_path_factory.mktemp("painted"))


@pytest.fixture
def folder(painted: Path, tmp_path: Path) -> Path:
    """A copy of the run, to be altered."""
    return Path(shutil.copytree(painted, tmp_path / "run"))


@pytest.fixture
def view(folder: Path) -> View:
    """The run as it is looked at, nothing read ahead."""
    return View(folder)
