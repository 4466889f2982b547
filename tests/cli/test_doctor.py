"""``rsaug doctor``: what it finds, what mends it, and that a broken part does not end it."""

from __future__ import annotations

import json
import shutil
from importlib import metadata
from pathlib import Path

import pytest
from typer.testing import CliRunner

from rsaug import checks, checks_system
from rsaug.checks import Check, check_extras, check_packages, check_python, guarded
from rsaug.checks_system import check_gdal, check_machine, check_variables
from rsaug.cli import app, doctor
from rsaug.modelfiles import digest_of, model_files

ROOT = Path(__file__).parents[2]


def test_a_whole_installation_is_told_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RSAUG_CACHE", str(tmp_path / "cache"))
    result = CliRunner().invoke(app, ["doctor", "--json"])
    assert result.exit_code == 0, result.output
    said = json.loads(result.stdout)
    assert said["ok"]
    found = {check["name"]: check for check in said["checks"]}
    assert found["torch"]["found"].startswith(metadata.version("torch"))
    assert {found[name]["state"] for name in ("rasters", "vectors", "projections", "default")} == {
        "ok"
    }
    assert found["RSAUG_CACHE"]["found"] == str(tmp_path / "cache")
    assert not [*tmp_path.iterdir()]


def test_what_a_reader_sees(capsys: pytest.CaptureFixture[str]) -> None:
    doctor._show(
        [
            Check("Packages", "numpy", "ok", "2.0"),
            Check("Packages", "torch", "error", "is not installed", "pip install 'torch>=2.11'"),
            Check("Extras", "osm", "absent", "osmnx is not installed", "pip install 'rsaug[osm]'"),
        ]
    )
    shown = capsys.readouterr().out
    assert "1 packages are there and new enough" in shown
    assert "pip install 'torch>=2.11'" in shown
    assert "pip install 'rsaug[osm]'" in shown
    assert "rsaug synth cannot run here yet." in shown


def test_the_bounds_are_those_of_the_package() -> None:
    assert check_python().state == "ok"
    packages = {check.name for check in check_packages()}
    assert {"torch", "rasterio", "typer"} <= packages
    assert not {"ray", "pytest", "lightning"} & packages
    extras = {check.name: check for check in check_extras()}
    assert {"osm", "train", "eval", "view"} <= set(extras)
    assert "dev" not in extras
    for extra, check in extras.items():
        assert check.state == "ok" or check.fix == f"pip install 'rsaug[{extra}]'"


def test_what_is_missing_or_too_old_has_the_line_that_mends_it() -> None:
    from packaging.requirements import Requirement

    missing = checks._package("Packages", Requirement("no-such-package>=2"))
    assert (missing.state, missing.fix) == ("error", "pip install 'no-such-package>=2'")
    old = checks._package("Packages", Requirement("numpy>=999"))
    assert old.found == f"{metadata.version('numpy')}, but >=999 is needed"
    assert old.fix == "pip install 'numpy>=999'"


def test_what_cannot_even_be_looked_at_is_an_error() -> None:
    def broken() -> Check:
        raise ImportError("libgdal.so.34: cannot open shared object file")

    found = guarded("Geodata", "rasters", "pip install rasterio", broken)
    assert (found.state, found.fix) == ("error", "pip install rasterio")
    assert "libgdal" in found.found


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("import no_such_torch", "No module named 'no_such_torch'"),
        ("import os; os.kill(os.getpid(), 11)", "its process ended with -11"),
    ],
)
def test_a_broken_torch_is_told(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, code: str, said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(doctor, "_TORCH", code)
    result = CliRunner().invoke(app, ["doctor", "--json"])
    assert result.exit_code == 1
    found = {check["name"]: check for check in json.loads(result.stdout)["checks"]}
    assert found["torch"]["state"] == "error"
    assert said in found["torch"]["found"]


def test_weights_are_those_that_were_shipped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import rsaug.pipelines

    weights = ROOT / "pipelines/weights"
    files = {name: file.sha256 for name, file in model_files(weights / "default").items()}
    assert digest_of(files) == (weights / "default.sha256").read_text().strip()
    shutil.copytree(weights / "default/scheduler", tmp_path / "weights/default/scheduler")
    shutil.copy(weights / "default.sha256", tmp_path / "weights")
    monkeypatch.setattr(rsaug.pipelines, "__file__", str(tmp_path / "__init__.py"))
    assert doctor._check_weights().state == "error"


def test_gdal_without_a_driver_is_told() -> None:
    assert {check.state for check in check_gdal()} == {"ok"}
    found = checks_system._drivers("rasters", "3.9", {"GTiff": "rw"}, ("GTiff", "COG"), "rasterio")
    assert found.found == "GDAL 3.9 without COG"
    assert found.fix == "pip install --force-reinstall rasterio"


def test_the_machine_is_looked_at(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    found = {check.name: check for check in check_machine(tmp_path, file / "cache")}
    assert (found["cache"].state, found["cache"].fix[:18]) == ("warning", "export RSAUG_CACHE")
    assert found["locks"].state == found["disk"].state == found["results"].state == "ok"
    full = checks_system._space("disk", tmp_path, 1e9, "make room")
    assert (full.state, full.fix) == ("warning", "make room")


def test_variables_are_judged(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "many")
    monkeypatch.setenv("PROJ_LIB", str(tmp_path / "gone"))
    monkeypatch.setenv("NO_COLOR", "1")
    found = {check.name: check for check in check_variables()}
    assert (found["OMP_NUM_THREADS"].state, found["OMP_NUM_THREADS"].fix) == (
        "warning",
        "unset OMP_NUM_THREADS",
    )
    assert (found["PROJ_LIB"].state, found["NO_COLOR"].state) == ("warning", "ok")
    assert "RSAUG_NOMINATIM_URL" not in found
