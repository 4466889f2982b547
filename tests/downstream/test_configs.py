"""The configurations of the package name what there is."""

from __future__ import annotations

import inspect
import re
import subprocess
import sys
from pathlib import Path

import pytest

from rsaug.downstream.configs import config_names, config_path
from rsaug.errors import InputError

pytest.importorskip("torchgeo", reason="torchgeo comes with the extra 'eval'")


def keys(text: str, block: str) -> list[str]:
    """Names of the arguments under ``init_args`` of a block."""
    part = re.split(rf"(?m)^{block}:\n", text)[1]
    part = re.split(r"(?m)^\S", part)[0]
    return re.findall(r"(?m)^    (\w+):", part)


@pytest.mark.parametrize("name", config_names())
def test_arguments_are_those_of_the_classes(name: str) -> None:
    from rsaug.downstream.datamodules import RoadDataModule
    from rsaug.downstream.tasks import RoadSegmentationTask

    text = config_path(name).read_text(encoding="utf-8")
    for block, kind in (("model", RoadSegmentationTask), ("data", RoadDataModule)):
        known = set(inspect.signature(kind.__init__).parameters)
        assert keys(text, block)
        assert set(keys(text, block)) <= known


def test_every_dataset_has_one() -> None:
    assert set(config_names()) == {"deepglobe", "massachusetts", "naip", "spacenet", "tiny"}


def test_where_one_lies_is_said() -> None:
    command = [sys.executable, "-m", "rsaug.downstream.configs"]
    done = subprocess.run([*command, "naip"], capture_output=True, text=True, check=True)
    assert Path(done.stdout.strip()) == config_path("naip")
    listed = subprocess.run(command, capture_output=True, text=True, check=True)
    assert listed.stdout.split() == config_names()
    failed = subprocess.run([*command, "nothing"], capture_output=True, text=True, check=False)
    assert failed.returncode == 2
    assert "there are deepglobe" in failed.stderr
    with pytest.raises(InputError, match="No configuration"):
        config_path("../naip")
