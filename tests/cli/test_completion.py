"""What a shell completes, and that the help does not speak of it."""

from __future__ import annotations

import pytest
from typer.testing import CliRunner

from rsaug.cli import app, conditions, layer_options, synth
from rsaug.cli.layer_options import names


def completed(line: str) -> list[str]:
    """What bash is told to complete the last word of a line to."""
    words = line.split(" ")
    environment = {
        "_RSAUG_COMPLETE": "complete_bash",
        "COMP_WORDS": line,
        "COMP_CWORD": str(len(words) - 1),
    }
    result = CliRunner().invoke(app, [], prog_name="rsaug", env=environment)
    return result.stdout.split()


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("rsaug insp", ["inspect"]),
        ("rsaug models in", ["info"]),
        ("rsaug synth --sched", ["--scheduler"]),
        ("rsaug synth --scheduler d", ["ddim", "dpm++"]),
        ("rsaug synth --controls road,s", ["road,sketch", "road,seg"]),
        ("rsaug init --for in", ["inpaint"]),
    ],
)
def test_a_shell_completes(line: str, expected: list[str]) -> None:
    assert completed(line) == expected


def test_help_is_not_cluttered_by_it() -> None:
    assert "completion" not in CliRunner().invoke(app, ["--help"]).output


def test_names_are_those_that_there_are() -> None:
    from rsaug.classes import raster_tables
    from rsaug.conditions.road_channels import CHANNELS
    from rsaug.conditions.stack import SLOTS
    from rsaug.pipelines.acceleration import DTYPES
    from rsaug.pipelines.settings import SCHEDULERS

    assert set(layer_options.CONTROLS) == set(SLOTS)
    assert set(layer_options.TABLES) == set(raster_tables())
    assert set(synth.SCHEDULERS) == set(SCHEDULERS)
    assert set(synth.DTYPES) == set(DTYPES)
    assert set(conditions.CHANNELS) <= {channel.name for channel in CHANNELS}
    assert names("a", "b")("") == ["a", "b"]
