"""The wheel, installed and used where a user's own folders have our folders' names."""

from __future__ import annotations

import resource
import shutil
import statistics
import subprocess
import sys
import sysconfig
import zipfile
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path, PurePosixPath

import pytest

ROOT = Path(__file__).parents[1]
BUILT_FROM = [
    "pyproject.toml",
    "MANIFEST.in",
    "LICENSE",
    "NOTICE",
    "README.md",
    "tests",
    "examples",
]
PARTS = {"rsaug": "rsaug", "pipelines": "rsaug/pipelines", "downstream": "rsaug/downstream"}

CORE_IMPORTS = """
import importlib, pkgutil, sys, rsaug
for module in pkgutil.walk_packages(rsaug.__path__, "rsaug."):
    if not module.name.startswith(("rsaug.pipelines", "rsaug.downstream")):
        importlib.import_module(module.name)
print(*sorted({"torch", "diffusers", "transformers"} & set(sys.modules)))
"""
CLI_IMPORTS = """
import sys, rsaug.cli
print(*sorted({"geopandas", "rasterio", "odc.geo", "torch", "numpy"} & set(sys.modules)))
"""
WHERE_FROM = """
import rsaug, rsaug.pipelines, rsaug.downstream, rsaug.pipelines.generate
for module in (rsaug, rsaug.pipelines, rsaug.downstream, rsaug.pipelines.generate):
    print(module.__file__)
"""


@dataclass(frozen=True)
class Installation:
    """A virtual environment with the wheel in it.

    Attributes:
        bin: Where its commands are.
        packages: Where its packages are.
    """

    bin: Path
    packages: Path


def run(*command: Path | str, cwd: Path | None = None) -> str:
    """What a command writes; it has to succeed."""
    result = subprocess.run(command, cwd=cwd, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    return result.stdout


@pytest.fixture(scope="module")
def dist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with the source distribution and, built from that, the wheel."""
    source = tmp_path_factory.mktemp("source")
    for name in BUILT_FROM:
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copy(ROOT / name, source / name)
    for name in PARTS:
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    run(sys.executable, "-m", "build", "--no-isolation", source)
    return source / "dist"


@pytest.fixture(scope="module")
def wheel(dist: Path) -> Path:
    """The wheel."""
    (path,) = dist.glob("*.whl")
    return path


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Installation:
    """The wheel in an environment that lends everything but rsaug from the one that runs this."""
    venv = tmp_path_factory.mktemp("installed") / "venv"
    run(sys.executable, "-m", "venv", "--without-pip", venv)
    places = {"base": str(venv), "platbase": str(venv)}
    folders = [Path(sysconfig.get_path(name, "venv", places)) for name in ("scripts", "purelib")]
    home = Installation(*folders)
    # A .pth file in a folder that is itself named by one is not run: the editable rsaug stays out.
    lent = sysconfig.get_path("purelib")
    (home.packages / "lent.pth").write_text(f"{lent}\n", encoding="utf-8")
    pip = (sys.executable, "-m", "pip", "--python", home.bin / "python")
    run(*pip, "install", "--no-deps", "--no-index", "--ignore-installed", wheel)
    return home


@pytest.fixture
def hostile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder, first on Python's path, with packages of a user that happen to have our names."""
    for name in ("pipelines", "downstream"):
        (tmp_path / name).mkdir()
        text = f'raise RuntimeError("this is the {name} of somebody else")\n'
        (tmp_path / name / "__init__.py").write_text(text, encoding="utf-8")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    return tmp_path


def test_wheel_holds_the_package_and_nothing_else(wheel: Path) -> None:
    files = {PurePosixPath(name) for name in zipfile.ZipFile(wheel).namelist()}
    information = f"rsaug-{version('rsaug')}.dist-info"
    assert {path.parts[0] for path in files} == {"rsaug", information}
    shipped = {
        PurePosixPath(inside, path.relative_to(ROOT / folder))
        for folder, inside in PARTS.items()
        for pattern in (
            *("**/*.py", "py.typed", "**/*.toml", "**/*.yaml", "**/*.gz"),
            "weights/**/*",
            "viewer/static/**/*",
        )
        for path in (ROOT / folder).glob(pattern)
        if path.is_file()
    }
    assert {path for path in files if path.parts[0] == "rsaug"} == shipped
    assert {path.name for path in files if "licenses" in path.parts} == {"LICENSE", "NOTICE"}


def test_installed_package_is_not_shadowed(installed: Installation, hostile: Path) -> None:
    files = run(installed.bin / "python", "-c", WHERE_FROM, cwd=hostile).split()
    assert len(files) == 4
    assert all(Path(file).is_relative_to(installed.packages / "rsaug") for file in files)


def test_installed_command_answers(installed: Installation, hostile: Path) -> None:
    assert run(installed.bin / "rsaug", "--version", cwd=hostile).split()[-1] == version("rsaug")
    assert "synth" in run(installed.bin / "rsaug", "--help", cwd=hostile)


@pytest.mark.parametrize("script", [CORE_IMPORTS, CLI_IMPORTS], ids=["core", "command line"])
def test_import_is_light(script: str) -> None:
    assert run(sys.executable, "-c", script).split() == []


def test_help_takes_half_a_second_of_work() -> None:
    command = Path(sysconfig.get_path("scripts")) / "rsaug"

    def seconds() -> float:
        """Processor time of one call: a busy machine does not change it."""
        before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
        run(command, "--help")
        return resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime - before

    assert statistics.median(seconds() for _ in range(3)) < 0.5
