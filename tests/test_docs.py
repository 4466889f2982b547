"""Every command and every block of Python in the documentation is one that works."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import typer
from docblocks import Block, Line, blocks, commands, resolve
from docnames import GIVEN, NOT_RUN
from docplace import make_place, write_certificates, write_detectors
from typer.testing import CliRunner

import rsaug
from rsaug.cli import app

ROOT = Path(__file__).parents[1]
COMMANDS = commands()
SYNTH = "--model toy --limit 1 --steps 1 --tile-size 128 --gsd 0.5 --workers 1"
EDIT = "--model toy --steps 1"

# What is given besides, so that a command is done in no time; what is given twice counts as it is
# given last.
BESIDES = {
    "synth": SYNTH,
    "conditions": "--limit 1",
    "restyle": f"{EDIT} --extractor hed=offline",
    "inpaint": f"{EDIT} --resamplings 1",
    "upscale": EDIT,
    "decouple": "--extractor hed=offline --extractor mlsd=offline",
    "layouts vary": "--places towns --landcover towns/landcover.geojson --tiles 1 --gsd 1 "
    "--tile-size 120",
    "predict": "--window 64 --overlap 0",
    "train roads": "--arch linknet --encoder tu-resnet10t --steps 1 --batch 2 --device cpu",
}

# In place of that, for commands that begin so.
INSTEAD = {
    "synth --roads roads.geojson --aoi region.geojson --all": SYNTH.replace("--limit 1", ""),
}

# The same for calls from Python.
SMALL: dict[str, Any] = {"model": "toy", "steps": 1, "tile_size": 128, "workers": 1}

# Commands that are only checked against their options, by how they begin, and why.
ONLY_READ = {
    "bench": "trains dozens of detectors; tests/cli/test_bench.py does it at toy size",
    "decouple town.tif --out decoupled --extractor depth=controlnet-aux": "needs DPT's weights",
    "evaluate": "loads three encoders; tests/cli/test_evaluate.py does it at toy size",
    "filter": "loads an encoder; tests/cli/test_filter.py does it at toy size",
    "layouts grow": "draws whole towns; tests/cli/test_layouts.py does it",
    "layouts compare": "takes three layouts; tests/cli/test_layouts.py does it at toy size",
    "layouts recombine": "takes as long as all the others; tests/cli/test_layouts.py does it",
    "models convert": "needs the published checkpoint; tests/cli/test_models.py makes a small one",
    "models info crs-diff": "needs the published checkpoint",
    "predict detector-real": "takes the detector that is trained before; as the other predictions",
    "status s3:": "needs a store; tests/cli/test_jobs.py starts one",
    "synth --config s3:": "needs a store; tests/cli/test_jobs.py starts one",
    "synth --roads layouts-": "takes layouts; tests/cli/test_layouts.py does both",
    "synth --roads roads.geojson --device cuda": "needs a GPU",
    "synth --roads roads.geojson --engine ray": "starts a cluster; tests/test_ray_engine.py does",
    "synth --roads roads.geojson --sign chain.pem --sign-key key.pem --timestamp-url": "needs an "
    "authority on the network",
    "synth --roads roads.geojson --landcover landcover.geojson --aoi town.geojson": "all "
    "windows around a tile; tests/pipelines/test_seamless_tiles.py makes small ones",
    "synth --roads s3:": "needs a store; tests/cli/test_jobs.py starts one",
    "synth --roads town.osm.pbf": "needs an extract of OpenStreetMap",
    "train generator": "trains for hours; tests/cli/test_train.py does it at toy size",
    "train prepare --data DATA": "needs the data set",
    "train prepare --data my-tiles": "loads the networks that measure; tests/cli/test_train.py",
    "train roads --config": "needs the data set; tests/cli/test_train_roads.py has a small one",
    "train roads --real DIR": "as the one of docs/detectors.md",
    "train roads --real my-tiles --synthetic north": "as the one of docs/detectors.md",
    "verify roads-synth --reproduce": "needs the model of the run; tests/cli/test_jobs.py does it",
    "view": "serves until it is stopped; tests/viewer starts and stops it",
    "verify s3:": "needs a store; tests/cli/test_jobs.py starts one",
}

# What commands may end with besides 0.
EXITS = {"verify picture.jpg --watermark NAME": 1}


def root() -> Any:
    return typer.main.get_command(app)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = make_place(tmp_path_factory.mktemp("docs") / "place")
    write_detectors(folder)
    write_certificates(folder)
    return folder


@pytest.fixture
def place(whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of a folder with everything that the pages name, to work in."""
    folder = shutil.copytree(whole, tmp_path / "place", symlinks=True)
    monkeypatch.chdir(folder)
    return folder


@pytest.mark.parametrize("line", COMMANDS, ids=str)
def test_commands_are_as_the_command_line_takes_them(
    line: Line, whole: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(whole)  # a record that is named is read
    path, command, rest = resolve(root(), line.words[1:])
    command.make_context(" ".join(path), rest)


def test_a_wrong_command_is_seen() -> None:
    with pytest.raises(LookupError, match="no command 'train planes'"):
        resolve(root(), ("train", "planes"))
    _, command, rest = resolve(root(), ("synth", "--rodas", "roads.geojson"))
    with pytest.raises(Exception, match="--rodas"):
        command.make_context("synth", rest)
    _, command, rest = resolve(root(), ("synth", "--gsd", "wide"))
    with pytest.raises(Exception, match="valid number"):
        command.make_context("synth", rest)


def matching(word: str) -> list[str]:
    """Files that a word of the command line stands for, as a shell has it."""
    return sorted(map(str, Path().glob(word))) if "*" in word else [word]


def starting(table: Mapping[str, str], said: str) -> str | None:
    """What a table has for a command, by how that begins."""
    return next((value for start, value in table.items() if said.startswith(start)), None)


@pytest.mark.parametrize(
    "line",
    [line for line in COMMANDS if not starting(ONLY_READ, " ".join(line.words[1:]))],
    ids=str,
)
def test_commands_do_what_they_are_there_for(line: Line, place: Path) -> None:
    path, _, _ = resolve(root(), line.words[1:])
    said = " ".join(line.words[1:])
    besides = starting(INSTEAD, said) or BESIDES.get(" ".join(path), "")
    words = [name for word in line.words[1:] for name in matching(word)]
    result = CliRunner().invoke(app, [*words, *besides.split()])
    assert result.exit_code == EXITS.get(said, 0), result.output


def test_nothing_is_excused_that_is_not_there() -> None:
    said = [" ".join(line.words[1:]) for line in COMMANDS]
    starts = [*ONLY_READ, *INSTEAD, *EXITS]
    assert not [start for start in starts if not any(one.startswith(start) for one in said)]
    assert {named(block) for block in blocks("python")} == {*GIVEN, *NOT_RUN}


def named(block: Block) -> str:
    return f"{block.page}:{block.number}"


@pytest.mark.parametrize("page", sorted({name.split(":")[0] for name in GIVEN}))
@pytest.mark.filterwarnings("ignore::UserWarning")  # what a page's example warns of is no fault
def test_python_does_what_it_is_there_for(
    page: str, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rsaug, "synthesize", partial(rsaug.synthesize, **SMALL))
    names: dict[str, Any] = {}  # a block goes on where the one before it on the page ended
    for block in blocks("python"):
        if block.page == page and named(block) in GIVEN:
            names |= GIVEN[named(block)]()
            exec(compile(block.text, str(block), "exec"), names)
