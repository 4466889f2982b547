"""What there is without any extra: the help of every command, and which extra the rest needs.

The second part has something to try only where an extra is not installed; `.ci/core` sees to that.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import typer
from painter import write_roads
from typer.testing import CliRunner

from rsaug.cli import app
from rsaug.grid import TileGrid, parse_crs
from rsaug.raster import write_cog

SMALL = "--limit 1 --gsd 0.5 --tile-size 64"


def commands(of: Any, before: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Words of every command and group below one."""
    yield before
    for name, inner in getattr(of, "commands", {}).items():
        yield from commands(inner, (*before, name))


@pytest.mark.parametrize("words", [*commands(typer.main.get_command(app))], ids=" ".join)
def test_every_command_has_help(words: tuple[str, ...]) -> None:
    result = CliRunner().invoke(app, [*words, "--help"])
    assert result.exit_code == 0, result.output
    assert "Usage: " in result.output
    assert " ".join(words) in result.output


@pytest.mark.parametrize(
    ("command", "library", "extra"),
    [
        (f"synth --roads osm --aoi 24.94,60.16,24.95,60.17 {SMALL} --out out", "osmnx", "osm"),
        (f"synth --roads postgresql://h/db {SMALL} --out out", "psycopg", "postgis"),
        (f"synth --roads roads.gpkg {SMALL} --out s3://bucket/run", "upath", "s3"),
        (f"conditions --roads roads.gpkg {SMALL} --out s3://bucket/run", "upath", "s3"),
        (f"synth --roads roads.gpkg {SMALL} --engine ray --out out", "ray", "ray"),
        ("view out", "fastapi", "view"),
        ("vectorize mask.tif --out found.gpkg", "skimage", "graph"),
        ("train roads --real out --out detector", "torchgeo", "eval"),
    ],
)
def test_what_needs_an_extra_says_which(
    command: str, library: str, extra: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if find_spec(library) is not None:
        pytest.skip(f"{library} is installed")
    monkeypatch.chdir(tmp_path)
    write_roads(tmp_path / "roads.gpkg", rows=1, cols=1)
    (tmp_path / "out").mkdir()
    tile = TileGrid(parse_crs(32635), 0.6, 32).tile(0, 0)
    write_cog(tmp_path / "mask.tif", np.ones((1, 32, 32), np.uint8), tile)
    result = CliRunner().invoke(app, shlex.split(command))
    assert result.exit_code == 2, result.output
    said = " ".join(result.output.split())
    assert "error: This needs " in said, result.output
    assert said.endswith(f"; it comes with pip install 'rsaug[{extra}]'.")
