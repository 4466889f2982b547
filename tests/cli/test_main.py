"""The command line as a whole."""

from __future__ import annotations

import subprocess
import sys

from typer.testing import CliRunner

from rsaug import __version__
from rsaug.cli import app


def test_version() -> None:
    result = CliRunner().invoke(app, ["--version"])
    assert (result.exit_code, result.output) == (0, f"rsaug {__version__}\n")


def test_help_names_every_command_and_option() -> None:
    assert {"synth", "train"} <= set(CliRunner().invoke(app, ["--help"]).output.split())
    shown = CliRunner().invoke(app, ["synth", "--help"], env={"COLUMNS": "120"}).output
    assert {"--roads", "--landcover", "--buildings", "--aoi", "--gsd", "--config"} <= set(
        shown.split()
    )


def test_help_does_not_wait_for_heavy_libraries() -> None:
    code = (
        "import sys; from typer.testing import CliRunner; from rsaug.cli import app\n"
        "CliRunner().invoke(app, ['synth', '--help'])\n"
        "heavy = {'torch', 'numpy', 'geopandas', 'rasterio', 'diffusers', 'pyproj', 'shapely'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
