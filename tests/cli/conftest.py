"""A model that the commands can work with."""

from __future__ import annotations

from pathlib import Path

import pytest
from toy import toy_pipeline


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a model of toy size."""
    folder = tmp_path_factory.mktemp("models") / "toy"
    toy_pipeline().save_pretrained(folder)
    return folder
