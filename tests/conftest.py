"""Folders that tests read, and how hypothesis goes about them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import settings

# A busy machine takes longer; hypothesis has a limit of 200 ms an example by itself.
settings.register_profile("tests", deadline=None)
settings.load_profile("tests")

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="session")
def examples_dir() -> Path:
    """The folder of the examples."""
    return ROOT / "examples"


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """The folder of the data sets for training and measuring; skips where there is none."""
    folder = Path(os.environ.get("RSAUG_DATA", ROOT.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"no data sets in {folder}; RSAUG_DATA can name another folder")
    return folder
