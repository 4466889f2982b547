"""scripts/place_run.py from a tile folder to runs that are compared, with a toy model."""

from __future__ import annotations

import json
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from scriptfile import load_script
from tilefolder import make_tile_folder
from toy import toy_pipeline
from typer.testing import CliRunner, Result

from rsaug.downstream.evaluation.matching import difference, match, read_settings, read_style
from rsaug.downstream.evaluation.tiles import locate, read_real, read_run
from rsaug.record import read_record


@pytest.fixture(scope="module")
def script() -> ModuleType:
    """The script as a module."""
    return load_script("place_run")


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with ``tiles`` and a toy ``model``."""
    folder = tmp_path_factory.mktemp("work")
    make_tile_folder(folder / "tiles")
    toy_pipeline().save_pretrained(folder / "model")
    return folder


def make(script: ModuleType, work: Path, out: str, *options: str) -> Result:
    command = ["make", "--data", str(work / "tiles"), "--out", str(work / out)]
    common = ["--model", str(work / "model"), "--steps", "2", "--variants", "2"]
    return CliRunner().invoke(script.app, [*command, *common, *options])


def test_runs_of_other_settings_lie_on_the_same_real_tiles(script: ModuleType, work: Path) -> None:
    look = work / "tiles" / "rgb" / "a_2018.tif"
    asked = ("--prompt", "desert", "--year", "2018", "--style", str(look), "--guidance", "3")
    for out, options in (("plain", ()), ("asked", asked)):
        result = make(script, work, out, *options)
        assert result.exit_code == 0, result.output
    ours, real = read_run(work / "asked"), read_real(work / "tiles", "val")
    placed, paired = locate(ours, real)
    assert paired
    assert placed.places.tolist() == ["c", "c", "d", "d"]
    matched = match(work / "asked", ours, work / "plain")
    assert (len(matched.ours), matched.unmatched, matched.seeds_known) == (4, 0, True)
    assert not np.array_equal(matched.ours.images, matched.theirs.images)
    said = difference(read_settings(work / "asked"), read_settings(work / "plain"))
    assert {line.partition(":")[0] for line in said} == {
        "prompt",
        "date",
        "style",
        "guidance",
        "control guidance",
    }
    style = read_style(work / "asked")
    assert style is not None
    assert style.samefile(look)
    record = read_record(work / "asked" / "run.json")
    assert record.options.date is not None
    assert (record.options.date.isoformat(), record.options.steps) == ("2018-07-01", 2)
    assert record.generator["model"] == "model"
    document = json.loads((work / "asked" / "run.json").read_text())
    assert document["places"] == ["c", "d"]
    assert document["controls"] == ["road"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--year", "2018", "--date", "2018-07-01"), "either --date or --year"),
        (("--date", "July"), "'July' is no date"),
    ],
)
def test_a_mistake_ends_in_one_sentence(
    script: ModuleType, work: Path, options: tuple[str, ...], message: str
) -> None:
    result = make(script, work, "wrong", *options)
    assert result.exit_code == 2
    assert message in result.stderr
    assert not (work / "wrong").exists()
