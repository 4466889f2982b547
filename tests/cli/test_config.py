"""``--config`` and ``rsaug init``: options in a file, as they are declared."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import pytest
import typer
from painter import write_roads
from typer.testing import CliRunner, Result

from rsaug.cli import app, conditions, synth
from rsaug.cli.config import Config, declared, options_of, template
from rsaug.configfile import read_config
from rsaug.errors import InputError


def rsaug(*options: object) -> Result:
    return CliRunner().invoke(app, [*map(str, options)])


def write(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def sample(
    images: Annotated[list[Path], typer.Argument(metavar="IMAGE...")],
    out: Annotated[Path, typer.Option("--out", metavar="DIR")],
    share: Annotated[list[float] | None, typer.Option("--share")] = None,
    gsd: Annotated[float, typer.Option("--gsd", min=0.1, max=100)] = 0.6,
    start: Annotated[str | None, typer.Option("--from", metavar="NAME|FILE")] = None,
    tile_size: Annotated[int | None, typer.Option(min=8)] = None,
    all: Annotated[bool | None, typer.Option("--all")] = None,
    config: Config = None,
) -> None:
    """Every kind of option that commands have."""


def test_what_a_file_says_is_what_the_command_line_would(tmp_path: Path) -> None:
    (tmp_path / "there.toml").touch()
    text = (
        "images: [a.tif, /b.tif]\nout: deep/out\nshare: [1, 0.5]\ngsd: 2\nfrom: there.toml\n"
        "tile-size: 64\nall: true\n"
    )
    assert options_of(sample, write(tmp_path / "run.yaml", text)) == {
        "images": [f"{tmp_path}/a.tif", "/b.tif"],
        "out": f"{tmp_path}/deep/out",
        "share": [1, 0.5],
        "gsd": 2,
        "start": f"{tmp_path}/there.toml",
        "tile_size": 64,
        "all": True,
    }
    assert options_of(sample, write(tmp_path / "b.yaml", "from: name\ngsd:\n")) == {"start": "name"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("tilesize: 64", "has the key 'tilesize', which is no option; did you mean 'tile_size'?"),
        ("config: a.yaml", "has the key 'config', which is no option"),
        ("tile_size: 64.0", "has 64.0 for 'tile_size', which must be a whole number from 8 up."),
        ("tile_size: 4", "has 4 for 'tile_size', which must be a whole number from 8 up."),
        ("tile_size: true", "has True for 'tile_size'"),
        ("tile_size: 64\ntile-size: 32", "has the key 'tile_size' twice"),
        ("gsd: wide", "has 'wide' for 'gsd', which must be a number from 0.1 to 100."),
        ("gsd: .nan", "has nan for 'gsd'"),
        ("gsd: .inf", "has inf for 'gsd'"),
        ("from: 3", "has 3 for 'from', which must be a text. Put it in quotes."),
        ("from: no", "has False for 'from', which must be a text. Put it in quotes."),
        ("all: 1", "has 1 for 'all', which must be true or false."),
        ("images: a.tif", "has 'a.tif' for 'images', which must be a list, each entry a path."),
        ("share: [1, x]", "has 'x' for 'share', which must be a list, each entry a number."),
    ],
)
def test_what_does_not_fit_is_refused_in_a_sentence(
    tmp_path: Path, text: str, message: str
) -> None:
    with pytest.raises(InputError) as caught:
        options_of(sample, write(tmp_path / "run.yaml", text))
    assert message in str(caught.value)
    assert str(caught.value).startswith(f"{tmp_path}/run.yaml ")


def test_every_option_of_a_command_can_be_in_its_file() -> None:
    import inspect

    for command, never in ((synth.synth, 3), (conditions.conditions, 3)):
        assert len(declared(command)) == len(inspect.signature(command).parameters) - never
        assert all(entry.help for entry in declared(command))


@pytest.mark.parametrize("command", ["synth", "conditions", "restyle", "inpaint", "upscale"])
def test_the_file_of_init_is_taken_as_it_is_and_with_all_remarks_away(
    tmp_path: Path, command: str
) -> None:
    path = tmp_path / "new.yaml"
    assert rsaug("init", path, "--for", command).exit_code == 0
    from rsaug.cli.init import _COMMANDS

    known = {entry.key for entry in declared(_COMMANDS[command])}
    filled = "\n".join(
        line.removeprefix("# ")
        for line in path.read_text().splitlines()
        if line.removeprefix("# ").partition(":")[0] in known
    )
    assert set(read_config(write(tmp_path / "all.yaml", filled))) == known
    needed = {entry.param for entry in declared(_COMMANDS[command]) if entry.needed}
    assert set(options_of(_COMMANDS[command], path)) == needed
    assert set(options_of(_COMMANDS[command], tmp_path / "all.yaml")) >= needed
    before = path.read_bytes()
    again = rsaug("init", path, "--for", command)
    assert (again.exit_code, path.read_bytes()) == (2, before)
    assert "is there already" in again.stderr


def test_the_file_says_what_the_help_says() -> None:
    text = template("synth", synth.synth)
    assert "\n# Metres a pixel. Default: 0.6.\n# gsd: 0.6\n" in text
    assert "\nroads: roads.geojson\n" in text
    assert "[dim]" not in text
    assert max(map(len, text.splitlines())) <= 100


def test_a_run_from_a_file_is_the_run_of_its_options(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "project").mkdir()
    write_roads(tmp_path / "project/town.gpkg", rows=1, cols=2)
    options: dict[str, Any] = {"gsd": 0.5, "tile_size": 128, "steps": 1, "model": str(model)}
    text = json.dumps({"roads": "town.gpkg", "limit": 2, "date": "2020-06-01", **options})
    write(tmp_path / "project/run.yaml", text)
    monkeypatch.chdir(tmp_path)
    result = rsaug("synth", "--config", "project/run.yaml", "--limit", "1", "--json")
    assert result.exit_code == 0, result.output
    said = json.loads(result.stdout)
    assert (said["made"], said["folder"]) == (1, "town-synth")
    recorded = json.loads(Path("town-synth/run.json").read_text())["options"]
    assert (recorded["limit"], recorded["date"]) == (1, "2020-06-01")
    assert recorded["roads"] == "../project/town.gpkg"
    again = rsaug("synth", "--config", "town-synth/run.json", "--json")
    assert json.loads(again.stdout)["kept"] == 1


def test_the_record_of_a_run_is_no_file_of_options_for_others(tmp_path: Path) -> None:
    path = write(tmp_path / "run.json", '{"options": {"roads": "a.gpkg"}}')
    result = rsaug("upscale", "a.tif", "--out", tmp_path / "out", "--config", path)
    assert result.exit_code == 2
    assert "is the record of a run" in result.stderr
