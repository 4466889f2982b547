"""``rsaug synth`` as a job: dry runs, regions without seams, a cluster; ``status``, ``verify``."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import rasterio
from painter import contents, write_roads
from typer.testing import CliRunner, Result

from rsaug.cli import app

SMALL = ["--gsd", "0.5", "--tile-size", "64", "--steps", "3", "--roads", "town.gpkg"]
Command = Callable[..., Result]


@pytest.fixture
def synth(model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Command:
    """The command with the toy model, in an empty folder with ``town.gpkg``."""
    monkeypatch.chdir(tmp_path)
    write_roads(Path("town.gpkg"), rows=1, cols=1)

    def invoke(*options: str) -> Result:
        return CliRunner().invoke(app, ["synth", "--model", str(model), *SMALL, *options])

    return invoke


def rsaug(*options: str) -> Result:
    return CliRunner().invoke(app, [*options])


def test_a_dry_run_makes_nothing_and_says_what_it_would(synth: Command) -> None:
    result = synth("--dry-run", "--variants", "2")
    assert result.exit_code == 0, result.output
    assert not Path("town-synth").exists()
    assert "4 tiles, 0.0041 km2: 8 images." in result.stdout
    assert "8 to make: about" in result.stdout
    synth("--limit", "1")
    assert "4 images, of which 1 are there" in synth("--dry-run").stdout


def test_from_plan_to_verified_mosaic(synth: Command) -> None:
    result = synth("--seamless", "--overlap", "16", "--mosaic", "--workers", "2", "--seed", "3")
    assert result.exit_code == 0, result.output
    with rasterio.open("town-synth/mosaic.tif") as mosaic:
        assert mosaic.shape == (128, 128)
    assert "mosaic.tif" in result.stdout.replace("\n", "")

    status = rsaug("status", "town-synth")
    assert status.exit_code == 0
    assert "4 of 4 images are complete" in status.stdout
    assert json.loads(rsaug("status", "town-synth", "--json").stdout)["missing"] == 0

    verified = rsaug("verify", "town-synth", "--reproduce", "2")
    assert verified.exit_code == 0, verified.output
    assert "4 images looked at, 2 made again; all as it should be" in verified.stdout

    name = sorted(contents(Path("town-synth/images")))[0]
    Path("town-synth/images", name).unlink()
    assert rsaug("status", "town-synth").exit_code == 1
    broken = rsaug("verify", "town-synth", "--json")
    assert broken.exit_code == 1
    assert json.loads(broken.stdout)["findings"][0]["problem"] == "image: is missing"


def test_a_cluster_makes_the_same_bytes(synth: Command) -> None:
    pytest.importorskip("ray", reason="Ray is not installed")
    assert synth("--out", "one").exit_code == 0
    result = synth("--out", "many", "--engine", "ray", "--workers", "2")
    assert result.exit_code == 0, result.output
    assert contents(Path("many"), "[icm]*/*.tif") == contents(Path("one"), "[icm]*/*.tif")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--engine", "spark"], "No engine is called 'spark'"),
        (["--address", "host:1"], "give --engine ray with it"),
        (["--workers", "0"], "1 worker at least"),
        (["--overlap", "32"], "give --seamless with --overlap"),
        (["--seamless", "--overlap", "40"], "can overlap by 32, not 40"),
        (["--seamless", "--overlap", "9"], "overlap must be a multiple of 8"),
        (["--seamless", "--reuse", "2"], "leave --reuse or --seamless out"),
        (["--grain", "-1"], "strength of the grain must be a number from 0 up"),
        (["--prompts", "nowhere.gpkg"], "nowhere.gpkg"),
    ],
)
def test_what_cannot_be_is_refused(synth: Command, options: list[str], message: str) -> None:
    result = synth(*options)
    assert result.exit_code == 2
    assert message in result.output.replace("\n", " ")
    assert "Traceback" not in result.output


@pytest.mark.parametrize("command", ["status", "verify"])
def test_a_folder_of_something_else_is_refused(command: str, tmp_path: Path) -> None:
    result = rsaug(command, str(tmp_path))
    assert result.exit_code == 2
    assert "not the folder of a run" in result.output.replace("\n", " ")
