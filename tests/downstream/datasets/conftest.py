"""What these tests need to be installed, and the folders that they read."""

from __future__ import annotations

from pathlib import Path

import pytest
from runfolder import painted_run
from withtorchgeo import pytest_pycollect_makemodule

__all__ = ["pytest_pycollect_makemodule"]


@pytest.fixture(scope="session")
def painted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of two images a tile."""
    return painted_run(tmp_path_factory.mktemp("painted"))
