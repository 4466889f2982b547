"""How commands end: exit codes, one sentence, what is left out with ``-q``; stops by signals."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import typer
from painter import write_roads
from tilefolder import make_tile_folder
from typer.testing import CliRunner, Result

from rsaug.cli import app, display, messages
from rsaug.cli.group import Commands, settle
from rsaug.cli.stopping import Terminated, exit_code, how_to_go_on, sigterm_like_ctrl_c
from rsaug.errors import InputError, OutputError, RunError
from rsaug.progress import Progress


def lightning_stops() -> None:
    """Ends as Lightning's trainer does."""
    try:
        raise KeyboardInterrupt
    except KeyboardInterrupt:
        sys.exit(1)


def lightning_is_terminated() -> None:
    """Ends as Lightning's trainer does where nothing was raised when SIGTERM arrived."""
    exceptions = pytest.importorskip("lightning.pytorch.utilities.exceptions")
    raise exceptions.SIGTERMException


def sample(body: Callable[[], object]) -> Result:
    """What an application comes to whose one command, ``train roads``, does that."""
    inner = typer.Typer()
    inner.command("roads")(lambda: body() and None)
    inner.command("planes")(lambda: None)
    outer = typer.Typer(cls=Commands, name="rsaug")
    outer.add_typer(inner, name="train")
    outer.command("synth")(lambda: None)
    settle(outer)
    return CliRunner().invoke(outer, ["train", "roads"], prog_name="rsaug")


def failing(error: BaseException) -> Callable[[], object]:
    def body() -> object:
        raise error

    return body


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (InputError("Give another."), 2, "error: Give another."),
        (OutputError("The disk is full."), 2, "error: The disk is full."),
        (RunError("Nothing can be made."), 1, "error: Nothing can be made."),
        (MemoryError(), 1, "error: There is not enough memory; ask for less at once"),
        (OSError(28, "No space left on device", "a.tif"), 2, "error: a.tif: No space left"),
        (KeyboardInterrupt(), 130, "note: Stopped. The same command goes on from the last whole"),
        (Terminated(), 143, "note: Stopped. The same command goes on from the last whole"),
    ],
)
def test_every_end_is_one_sentence_and_a_code(error: BaseException, code: int, said: str) -> None:
    result = sample(failing(error))
    assert (result.exit_code, result.stdout) == (code, "")
    (sentence,) = result.stderr.splitlines()
    assert sentence.startswith(said)


def test_what_lightning_makes_of_ctrl_c_is_a_stop() -> None:
    result = sample(lightning_stops)
    assert result.exit_code == 130
    assert "last whole epoch" in result.stderr
    assert sample(lambda: sys.exit(7)).exit_code == 7


def test_what_lightning_makes_of_sigterm_is_a_stop() -> None:
    result = sample(lightning_is_terminated)
    assert result.exit_code == 143
    assert "last whole epoch" in result.stderr


def test_a_fault_is_not_hidden() -> None:
    result = sample(failing(KeyError("x")))
    assert isinstance(result.exception, KeyError)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["synht"], "error: No such command 'synht'. Did you mean 'synth'? See rsaug --help."),
        (["synth", "--tiles", "3"], "see rsaug synth --help."),
        (["synth", "--limit", "x"], "see rsaug synth --help."),
        (["synth", "-q"], "error: -q goes before the command, as in rsaug -q synth."),
        (["status"], "error: Missing argument 'DIR'; see rsaug status --help."),
        (["-q", "-v", "status", "x"], "exclude each other"),
    ],
)
def test_what_the_parser_refuses_is_one_sentence(arguments: list[str], said: str) -> None:
    result = CliRunner().invoke(app, arguments, prog_name="rsaug")
    assert (result.exit_code, result.stdout) == (2, "")
    (sentence,) = result.stderr.splitlines()
    assert said in sentence


def test_quiet_leaves_errors_and_verbose_says_where(tmp_path: Path) -> None:
    def status(*before: str) -> Result:
        return CliRunner().invoke(app, [*before, "status", str(tmp_path)])

    assert status("-q").stderr == status().stderr
    loud = status("-v").stderr
    assert "Traceback" in loud
    assert loud.endswith(status().stderr)
    new = tmp_path / "new.yaml"
    assert CliRunner().invoke(app, ["-q", "init", str(new)]).stderr == ""
    assert new.is_file()
    assert not messages.is_verbose()


def test_no_colours_where_nobody_sees_them(monkeypatch: pytest.MonkeyPatch) -> None:
    coloured = CliRunner().invoke(app, ["status", "nowhere"], color=True)
    assert "\x1b" not in coloured.stderr


def test_json_is_one_document_and_numbers_that_are_none_are_null(
    capsys: pytest.CaptureFixture[str],
) -> None:
    messages.write_json({"a": float("nan"), "b": [float("inf"), 1.5], "c": ("ä", Path)[:1]})
    assert json.loads(capsys.readouterr().out) == {"a": None, "b": [None, 1.5], "c": ["ä"]}


def test_progress_in_a_log_is_lines(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(display, "_SECONDS_A_LINE", 0.0)
    with display.working("Loading") as say:
        say("Reading tiles")
        say("Novelty")
    with display.Display("tile") as bar:
        bar.status("Reading the layers")
        bar.progress(Progress(4))
        bar.progress(Progress(4, kept=1, made=1))
        bar.note("Something to know.")
    said = capsys.readouterr()
    assert said.out == ""
    assert not {"\r", "\x1b"} & set(said.err)
    lines = said.err.splitlines()
    assert lines[:2] == ["Reading tiles", "Novelty"]
    assert lines[-2].startswith("2 of 4 tiles, ")
    assert lines[-1] == "note: Something to know."
    monkeypatch.setattr(messages, "_now", messages.Volume.QUIET)
    with display.working("Loading") as say, display.Display() as bar:
        say("Reading tiles")
        bar.progress(Progress(4, made=1))
        bar.note("Something to know.")
    assert capsys.readouterr().err == ""


def test_sigterm_ends_like_ctrl_c_and_is_put_back() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(KeyboardInterrupt) as caught, sigterm_like_ctrl_c():
        signal.raise_signal(signal.SIGTERM)
    assert exit_code(caught.value) == 143
    assert signal.getsignal(signal.SIGTERM) is before
    assert how_to_go_on("inspect") == "Run the same command again; it begins anew."


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_stop_that_python_drops_is_raised_all_the_same(number: int, code: int) -> None:
    def left_early() -> Iterator[None]:
        try:
            yield
        finally:
            signal.raise_signal(number)

    def work() -> None:
        next(left_early())
        time.sleep(60)

    said, before = sys.unraisablehook, signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt) as caught, sigterm_like_ctrl_c():
            work()
    finally:
        signal.signal(signal.SIGINT, before)
    assert exit_code(caught.value) == code
    assert sys.unraisablehook is said


def start(folder: Path, *arguments: object) -> subprocess.Popen[str]:
    """The command as a process of its own, which hears Ctrl-C."""
    code = (
        "import signal\nsignal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "from rsaug.cli import main\nmain()"
    )
    command = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.Popen(
        command,
        cwd=folder,
        env={**os.environ, "COLUMNS": "200"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def stop(process: subprocess.Popen[str], number: int, begun: Callable[[], bool]) -> tuple[int, str]:
    """Send a signal once something has begun; exit code and what was said on stderr."""
    while process.poll() is None and not begun():
        time.sleep(0.05)
    process.send_signal(number)
    try:
        _, err = process.communicate(timeout=300)
    except subprocess.TimeoutExpired:
        process.kill()
        pytest.fail("the signal did not end it")
    assert "Traceback" not in err
    return process.returncode, err


def test_a_run_is_stopped_by_sigterm(model: Path, tmp_path: Path) -> None:
    write_roads(tmp_path / "town.gpkg", rows=1, cols=40)
    small = ["--gsd", 0.5, "--tile-size", 128, "--steps", 20]
    process = start(tmp_path, "synth", "--model", model, "--roads", "town.gpkg", *small)
    out = tmp_path / "town-synth"
    code, err = stop(process, signal.SIGTERM, lambda: any(out.glob("items/*.json")))
    assert code == 143
    assert " of 40 images are complete; the same command goes on from there." in err
    assert {p.stem for p in (out / "items").iterdir()} == {p.stem for p in out.glob("images/*")}
    assert not [*out.rglob("*.part")]


SLOW = """
import time
from pathlib import Path

from lightning.pytorch import Callback


def left_early():
    try:
        yield
    finally:
        Path("writing").touch()
        time.sleep(60)


class SlowCheckpoint(Callback):
    def on_save_checkpoint(self, trainer, pl_module, checkpoint):
        if Path("roads-detector.ckpt/last.ckpt").is_file():
            next(left_early())
"""


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_detector_in_training_is_stopped_while_a_checkpoint_is_written(
    tmp_path: Path, number: int, code: int
) -> None:
    """By one signal, which arrives where Python drops what is raised."""
    pytest.importorskip("torchgeo", reason="needs the extra `eval`")
    import torch

    make_tile_folder(tmp_path / "tiles")
    (tmp_path / "slow.py").write_text(SLOW, encoding="utf-8")
    folder = "rsaug.downstream.roadfolder.RoadFolder"
    asked = {
        "trainer": {"callbacks": [{"class_path": "slow.SlowCheckpoint"}]},
        "model": {"class_path": "rsaug.downstream.tasks.RoadSegmentationTask"},
        "data": {
            "class_path": "rsaug.downstream.datamodules.RoadDataModule",
            "init_args": {"dataset": folder, "root": "tiles"},
        },
    }
    (tmp_path / "roads.yaml").write_text(json.dumps(asked), encoding="utf-8")
    small = ["--arch", "fpn", "--encoder", "tu-resnet10t", "--batch", 2, "--device", "cpu"]
    process = start(
        tmp_path, "train", "roads", "--config", "roads.yaml", "--epochs", 10_000, *small
    )
    found = stop(process, number, (tmp_path / "writing").exists)
    assert found[0] == code
    assert "The same command goes on from the last whole epoch" in found[1]
    assert not (tmp_path / "roads-detector").exists()
    checkpoints = tmp_path / "roads-detector.ckpt"
    assert not [*checkpoints.glob(".*")]
    whole = torch.load(checkpoints / "last.ckpt", weights_only=True)
    assert whole["global_step"] == 2 * (whole["epoch"] + 1)
