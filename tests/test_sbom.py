"""The bill of materials: what is installed and needed, and nothing else; twice the same bytes."""

from __future__ import annotations

import json
import subprocess
import sys
import tomllib
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[1]


def made(folder: Path, *options: str) -> tuple[bytes, dict[str, Any]]:
    out = folder / "sbom.json"
    command = [sys.executable, str(ROOT / "scripts" / "sbom.py"), "--out", str(out), *options]
    subprocess.run(command, check=True, capture_output=True)
    return out.read_bytes(), json.loads(out.read_text())


@pytest.fixture(scope="module")
def core(tmp_path_factory: pytest.TempPathFactory) -> tuple[bytes, dict[str, Any]]:
    return made(tmp_path_factory.mktemp("core"))


def test_what_the_core_needs_is_listed_in_its_version(core: tuple[bytes, dict[str, Any]]) -> None:
    _, bill = core
    listed = {part["name"].lower().replace("_", "-"): part for part in bill["components"]}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    for line in project["dependencies"]:
        name = Requirement(line).name
        assert listed[name]["version"] == version(name)
        assert listed[name]["purl"].startswith(f"pkg:pypi/{name}@")
    assert "moto" not in listed  # only tests need it
    assert bill["metadata"]["component"]["name"] == "rsaug"
    assert sum("licenses" in part for part in bill["components"]) > 0.9 * len(bill["components"])


def test_dependencies_name_parts_of_the_bill(core: tuple[bytes, dict[str, Any]]) -> None:
    _, bill = core
    known = {part["bom-ref"] for part in bill["components"]}
    known.add(bill["metadata"]["component"]["bom-ref"])
    assert len(known) == len(bill["components"]) + 1
    assert {entry["ref"] for entry in bill["dependencies"]} == known
    needed = {ref for entry in bill["dependencies"] for ref in entry["dependsOn"]}
    assert needed == known - {bill["metadata"]["component"]["bom-ref"]}


def test_an_extra_adds_its_own_and_the_bytes_are_the_same(
    tmp_path: Path, core: tuple[bytes, dict[str, Any]]
) -> None:
    pytest.importorskip("s3fs")
    content, bill = made(tmp_path, "--extra", "s3")
    names = {part["name"] for part in bill["components"]}
    assert "s3fs" in names
    assert names > {part["name"] for part in core[1]["components"]}
    assert made(tmp_path, "--extra", "s3")[0] == content
