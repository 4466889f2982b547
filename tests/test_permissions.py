"""Files and folders that may not be read or written: one sentence, and nothing half-done."""

from __future__ import annotations

import shlex
import shutil
from pathlib import Path

import pytest
from painter import Painter, contents, write_roads
from typer.testing import CliRunner
from withoutrights import like_a_user, rights

from rsaug.cli import app
from rsaug.errors import OutputError
from rsaug.options import SynthOptions
from rsaug.synthesis import make_plan, run
from rsaug.verification import verify

SMALL = "--gsd 0.5 --tile-size 128 --limit 1"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with roads and a run of three images, to be copied."""
    folder = tmp_path_factory.mktemp("made")
    write_roads(folder / "roads.gpkg", rows=1, cols=3)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        make("run")
    (folder / "shut").mkdir()
    return folder


@pytest.fixture
def place(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of that kind to work in."""
    shutil.copytree(made, tmp_path / "place")
    monkeypatch.chdir(tmp_path / "place")
    return tmp_path / "place"


def asked(out: str) -> SynthOptions:
    return SynthOptions(roads="roads.gpkg", gsd=0.5, tile_size=128, out=out)


def make(out: str) -> None:
    run(make_plan(asked(out)), Painter())


def test_rights_are_laid_aside_and_taken_up_again(tmp_path: Path) -> None:
    with rights(tmp_path, 0o500):
        with like_a_user(), pytest.raises(PermissionError):
            (tmp_path / "a").write_text("a")
        assert not list(tmp_path.iterdir())
    (tmp_path / "a").write_text("a")


@pytest.mark.parametrize(
    ("shut", "mode", "command"),
    [
        ("shut", 0o500, f"conditions --roads roads.gpkg {SMALL} --out shut/out"),
        ("shut", 0o500, f"conditions --roads roads.gpkg {SMALL} --out shut"),
        ("shut", 0o500, "report run --out shut/report.html"),
        ("shut", 0o500, "init shut/options.yaml"),
        ("roads.gpkg", 0o000, f"conditions --roads roads.gpkg {SMALL} --out out"),
        ("roads.gpkg", 0o000, "inspect roads.gpkg"),
        ("run", 0o000, "status run"),
        ("run", 0o000, "verify run"),
        ("run", 0o000, "report run --out report.html"),
        ("run/run.json", 0o000, "status run"),
        ("run/run.json", 0o000, "verify run"),
        ("run/items", 0o000, "status run"),
        ("run/items", 0o000, "verify run"),
        ("shut", 0o000, f"synth --roads roads.gpkg {SMALL} --model shut --out out"),
        ("shut", 0o000, "models info shut"),
    ],
)
def test_what_is_refused_is_one_sentence(place: Path, shut: str, mode: int, command: str) -> None:
    before = contents(place / "run")
    with rights(place / shut, mode), like_a_user():
        result = CliRunner().invoke(app, shlex.split(command))
    said = result.output.strip().splitlines()
    assert result.exit_code in (1, 2), result.output
    assert said[-1].startswith("error: "), result.output
    assert "Traceback" not in result.output
    assert Path(shut).name in result.output
    assert not list((place / "shut").iterdir())
    assert contents(place / "run") == before


def test_a_run_whose_folder_is_shut_goes_on_when_it_is_open(place: Path) -> None:
    out = place / "again"

    def shut() -> None:
        if (out / "images").is_dir() and list((out / "images").glob("*.tif")):
            (out / "images").chmod(0o500)

    with like_a_user():
        with pytest.raises(OutputError, match="images"):
            run(make_plan(asked("again")), Painter(before_each=shut))
        assert not list(out.rglob("*.part"))
        assert 0 < len(list((out / "images").glob("*.tif"))) < 3
        (out / "images").chmod(0o700)
        make("again")
    assert verify(out).findings == ()
    found, wanted = contents(out), contents(place / "run")
    pixels = [name for name in wanted if name.endswith(".tif")]
    assert len(pixels) >= 6
    assert [found[name] for name in pixels] == [wanted[name] for name in pixels]
