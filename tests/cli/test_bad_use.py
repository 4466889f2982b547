"""Every command of the application used badly: one sentence and exit code 2, never a traceback.

Options come from the commands' own declarations, so a new one is tried without being listed here,
and a new command without an entry in `GOOD` fails. Each option is given one bad value of several
kinds, chosen by its name; `ALWAYS` has what needed mending once, and what is particular.
"""

from __future__ import annotations

import contextlib
import io
import shutil
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

pytest.importorskip("torchgeo", reason="needs the extra `eval`")
pytest.importorskip("skimage", reason="needs the extra `graph`")

from badplace import EMPTY, FILE, FOLDER, LONG, MISSING, TEXT, UNUSUAL, make_place

from rsaug.cli import app
from rsaug.cli.config import Declared, declared

SMALL = "--gsd 0.5 --tile-size 64 --limit 1 --out out"
EDIT = "town.tif --out out --model model --steps 1"
LAYOUTS = "--places towns --gsd 1 --tile-size 120 --tiles 2 --out out"
TRAIN = "--data real --tile-size 64 --steps 1 --device cpu --out out"

GOOD = {
    "synth": f"--roads roads.gpkg --model model --steps 1 {SMALL}",
    "conditions": f"--roads roads.gpkg {SMALL}",
    "inspect": "roads.gpkg",
    "restyle": f"{EDIT} --extractor hed=offline",
    "inpaint": f"{EDIT} --mask clouds.gpkg",
    "upscale": EDIT,
    "decouple": "town.tif --out out --extractor hed=offline",
    "status": "run",
    "verify": "run",
    "report": "run --out out.html",
    "view": "run",
    "evaluate": "run --real tiles --limit 2",
    "filter": "run --real tiles",
    "predict": "detector town.tif --device cpu --out out",
    "vectorize": "mask.tif --out out.gpkg",
    "doctor": "",
    "init": "out.yaml",
    "layouts vary": LAYOUTS,
    "layouts recombine": LAYOUTS,
    "layouts grow": LAYOUTS,
    "layouts compare": "towns --places towns --side 120",
    "bench run": "sweep.yaml --dry-run --device cpu",
    "bench report": "swept",
    "train prepare": "--data real --tile-size 64 --out out",
    "train autoencoder": "--data real --steps 1 --device cpu --out out",
    "train generator": TRAIN,
    "train decoder": f"--from model --lpips lpips.safetensors {TRAIN}",
    "train roads": "--real tiles --arch fpn --encoder tu-resnet10t --steps 1 --out out",
    "models list": "",
    "models info": "model",
    "models convert": "last.ckpt out --clip folder",
    "models pull": "maker/model",
}
"""Arguments that each command can work with, in the folder of `badplace.make_place`."""

ANYTHING_GOES = {
    "doctor": "looks at what is there",
    "models list": "lists what is there",
    "init": "has a name of its own to write to",
    "layouts vary": "has places of its own",
    "layouts recombine": "has places of its own",
    "layouts grow": "has places of its own",
    "layouts compare": "has places of its own",
}
"""Commands that need no argument, and why."""

HARMLESS = {
    ("*", "--seed", "1000000000000"): "any seed is one",
    ("*", "--seed", "-1"): "any seed is one",
    ("*", "--reuse", "1000000000000"): "all of the network is computed once",
    ("synth", "--workers", "1000000000000"): "as many as are of use",
    ("*", "--road-rules", EMPTY): "no rule is changed",
    ("decouple", "--hed-weights", EMPTY): "is not read where hed is made by an operator",
    ("decouple", "--hed-weights", TEXT): "is not read where hed is made by an operator",
    ("*", "--picture-every", "1000000000000"): "no picture is made",
    ("predict", "--batch", "1000000000000"): "as many as there are",
    ("*", "--wording", "-1"): "wordings are counted round",
    ("*", "--wording", "1000000000000"): "wordings are counted round",
    ("*", "--annotators", "*"): "is not read where maps are made by operators",
    ("report", "--out", FILE): "is a name to write to",
    ("*", "--limit", "1000000000000"): "all there are",
    ("*", "--train-limit", "1000000000000"): "all there are",
    ("*", "--per-tile", "1000000000000"): "all there are",
    ("verify", "--reproduce", "1000000000000"): "all there are",
}
"""Values that look bad and are good, by command, option and value, and why."""

_FILES = ("FILE", "LAYER", "DIR", "IMAGE", "TOML", "PEM", "PNG", "MODEL", "OUT", "NPZ", "MASK")
_WRITTEN = ("--out", "--cache", "--log", "--vectors", "--picture")
"""Options for what is made, which does not have to be there."""

_FREE = ("--prompt", "--negative-prompt", "--source", "--watermark", "--host", "--only", "--model")
"""Texts of which any is good, or that a row of `ALWAYS` is about."""


def commands(of: typer.Typer = app, before: tuple[str, ...] = ()) -> Iterator[tuple[str, Any]]:
    """Every command by its words, and its function."""
    for command in of.registered_commands:
        assert command.callback is not None
        name = command.name or command.callback.__name__
        yield " ".join((*before, name)), command.callback
    for group in of.registered_groups:
        assert group.typer_instance is not None
        yield from commands(group.typer_instance, (*before, str(group.name)))


def bad_values(entry: Declared) -> list[str]:
    """What an option cannot be."""
    if entry.kind is int:
        return ["-1", "1000000000000", "1.5"]
    if entry.kind is float:
        return ["nan", "-1", "inf", "abc"]
    if entry.kind is bool:
        return []
    if entry.option in _WRITTEN:
        return [FILE]
    if any(part in entry.metavar for part in _FILES):
        return [MISSING, EMPTY, TEXT, FOLDER, UNUSUAL, LONG]
    return [] if entry.option in _FREE else ["ünknown"]


def cases(command: str, entries: list[Declared], every: bool = False) -> Iterator[list[str]]:
    """Arguments of bad uses of a command, for each argument and option one, or all.

    Args:
        command: Its words.
        entries: What it takes.
        every: All bad values rather than one, drawn by the option's name.
    """
    good = GOOD[command].split()
    if command not in ANYTHING_GOES:
        yield []
    yield [*good, "--no-such-option"]
    place = 0
    for entry in entries:
        values = bad_values(entry)
        drawn = zlib.crc32(f"{command}{entry.option or entry.param}".encode())
        for value in values if every or not values else [values[drawn % len(values)]]:
            if entry.option:
                names = (
                    (command, entry.option, value),
                    ("*", entry.option, value),
                    ("*", entry.option, "*"),
                )
                if not any(name in HARMLESS for name in names):
                    yield [*good, entry.option, value]
            elif place < len(good) and not good[place].startswith("-"):
                yield [*good[:place], value, *good[place + 1 :]]
        place += not entry.option


ALWAYS = [
    ("synth", "No roads are given"),
    ("synth --config not-there.yaml", "cannot be read (No such file"),
    ("synth --config folder", "cannot be read (Is a directory"),
    ("synth --config empty.yaml", "No roads are given"),
    ("synth --config empty.json", "is no JSON"),
    ("synth --config text.yaml", "is no YAML"),
    ("synth --config town.tif", "is no text"),
    ("synth --config wrong.yaml", "the key 'tile_sise', which is no option; did you mean 'tile_"),
    ("synth --config type.yaml", "'big' for 'tile_size', which must be a whole number."),
    ("conditions --config wrong.yaml", "did you mean 'tile_size'?"),
    ("upscale town.tif --out out --config record.json", "the record of a run"),
    ("status tiles", "not the folder of a run"),
    ("status town.tif", "town.tif is a file; name the folder"),
    ("verify tiles", "not the folder of a run"),
    ("train roads --real tiles --workers -1", "'--workers'"),
    ("train roads --real tiles --batch 1000000000000", "--batch must be 1000000 at most"),
    ("restyle town.tif --out out --model model --dem text.tif", "text.tif is not a raster"),
    ("verify run --trust not-there.pem", "not-there.pem cannot be read (No such file"),
    ("verify run --trust text.tif", "text.tif holds no certificate in PEM"),
    ("verify run --reproduce -1", "'--reproduce'"),
    ("evaluate tiles --real tiles", "tiles is no folder of rsaug synth"),
    ("filter tiles --real tiles", "tiles is no folder of rsaug synth"),
    ("evaluate run --slack inf", "--slack is a number of metres from 0 up, not inf"),
    ("vectorize mask.tif --threshold nan --out out.gpkg", "--threshold is a number, not nan"),
    ("layouts grow --tiles 1000000000000", "'--tiles'"),
    ("predict model town.tif --out out", "model"),
    ("models info detector", "no CRS-Diff model"),
    ("bench run empty.yaml", "empty.yaml is empty; it needs at least the keys data"),
    ("bench report tiles", "is no folder of rsaug bench run"),
    ("train generator --data run", "run"),
    ("train generator", "Give tiles to train on"),
    ("init folder/none/new.yaml", "cannot be written (No such file"),
    ("init out.toml", "give a name that ends in .yaml"),
    ("init --for dance", "No file is written for 'dance'"),
    ("models info", "Missing argument"),
    ("synht", "Did you mean 'synth'?"),
]
"""Uses that are bad, and what is said of them."""

Run = Callable[[list[str]], tuple[int, str, str]]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_place(tmp_path_factory.mktemp("bad"))


@pytest.fixture
def run(place: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """The command, in the folder, whatever it raises raised here; exit code, stdout, stderr."""
    monkeypatch.chdir(place)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    root: Any = typer.main.get_command(app)

    def invoke(arguments: list[str]) -> tuple[int, str, str]:
        out, err = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            code = root.main(arguments, prog_name="rsaug", standalone_mode=False)
        return code, out.getvalue(), err.getvalue()

    return invoke


def shown(arguments: list[str]) -> str:
    return " ".join(word if len(word) < 60 else f"{word[:20]}..." for word in arguments)


def fault(run: Run, arguments: list[str], message: str = "") -> str:
    """What is wrong with how a bad use ends; "" where nothing is."""
    before = {*Path().iterdir()}
    try:
        code, out, err = run(arguments)
    except Exception as error:
        return f"{shown(arguments)}: {type(error).__name__}: {error}"
    # The plan of a sweep is written before anything is looked at.
    new = {*Path().iterdir()} - before - {Path("swept")}
    for path in new:
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    *notes, last = err.splitlines() or [""]
    one = last.startswith("error: ") and all(note.startswith("note: ") for note in notes)
    if code != 2 or out or new or not one or message not in last:
        made = ", ".join(sorted(map(str, new)))
        return f"{shown(arguments)}: exit code {code}, made {made!r}, {out[:200]!r}, {err[:600]!r}"
    return ""


FUNCTIONS = dict(commands())


def test_every_command_has_an_entry() -> None:
    assert set(FUNCTIONS) == set(GOOD)


@pytest.mark.parametrize("command", sorted(FUNCTIONS))
def test_bad_use_ends_in_one_sentence(run: Run, command: str) -> None:
    faults = [
        wrong
        for arguments in cases(command, declared(FUNCTIONS[command]))
        if (wrong := fault(run, [*command.split(), *arguments]))
    ]
    assert not faults, "\n".join(faults)


@pytest.mark.parametrize(("use", "message"), ALWAYS)
def test_what_is_said_says_what_to_do(run: Run, use: str, message: str) -> None:
    assert not fault(run, use.split(), message)
