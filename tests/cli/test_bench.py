"""``rsaug bench`` at toy size."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

pytest.importorskip("segmentation_models_pytorch", reason="needs the extra `eval`")

from benchdata import asked, make_data

from rsaug.cli import app
from rsaug.downstream.bench.strict import as_yaml


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Data, and a configuration beside them that names other folders."""
    folder = make_data(tmp_path_factory.mktemp("bench"))
    raw = asked(Path("nowhere"), Path("nowhere"), seeds=[0], label_places=["all"])
    (folder / "sweep.yaml").write_text(as_yaml(raw), encoding="utf-8")
    return folder


def bench(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["bench", *map(str, arguments)])


def here(folder: Path, *more: str) -> Result:
    """A run with the folders of this machine."""
    places = ["--root", folder / "tiles", "--pool", f"painted={folder / 'run'}"]
    out = ["--out", folder / "out", "--device", "cpu"]
    return bench("run", folder / "sweep.yaml", *places, *out, *more)


def test_a_sweep_is_estimated_run_and_reported(folder: Path) -> None:
    result = here(folder, "--dry-run", "--workers", "2")
    assert result.exit_code == 0, result.output
    assert "linknet, tu-lcnet_035: 3 detectors" in result.stdout
    assert "3 of 3 detectors are to be trained, 3 steps each: about" in result.stdout
    assert not list((folder / "out" / "jobs").iterdir())
    result = here(folder)
    assert result.exit_code == 0, result.output
    assert "3 of 3 detectors are done, 0 were there before, 0 failed" in result.stderr
    result = bench("report", folder / "out")
    assert result.exit_code == 0, result.output
    assert (folder / "out" / "report.html").is_file()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("run none", "There is no configuration none"),
        ("run toy --pool synth", "--pool is NAME=DIR, not 'synth'"),
        ("run toy --pool other=x", "has no pool 'other'; there are synth"),
        ("run toy --root nowhere --out OUT", "nowhere is no folder"),
        ("run EMPTY --root nowhere --out OUT", "empty.yaml is empty"),
        ("run EMPTY --pool synth=x --out OUT", "empty.yaml is empty"),
        ("report OUT", "is no folder of rsaug bench run"),
    ],
)
def test_bad_input_ends_in_one_sentence(tmp_path: Path, arguments: str, message: str) -> None:
    (tmp_path / "empty.yaml").touch()
    named = {"OUT": str(tmp_path / "new"), "EMPTY": str(tmp_path / "empty.yaml")}
    result = bench(*(named.get(word, word) for word in arguments.split()))
    assert result.exit_code == 2
    sentence = result.stderr.splitlines()[-1]
    assert sentence.startswith("error: ")
    assert message in sentence
    assert not (tmp_path / "new").exists()
