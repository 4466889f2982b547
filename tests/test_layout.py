"""The plan of the house: which part knows which, what is declared, what is shipped."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
PARTS = {"rsaug": "rsaug", "pipelines": "rsaug.pipelines", "downstream": "rsaug.downstream"}
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
DECLARED: dict[str, list[str]] = {
    "": PROJECT["project"]["dependencies"],
    **PROJECT["project"]["optional-dependencies"],
}


def modules() -> Iterator[tuple[str, Path]]:
    """Dotted name and file of every module of the package."""
    for folder, package in PARTS.items():
        for path in sorted((ROOT / folder).rglob("*.py")):
            inner = path.relative_to(ROOT / folder).with_suffix("").parts
            yield ".".join((package, *inner)).removesuffix(".__init__"), path


MODULES = dict(modules())
# Libraries of extras under another name than their distribution's, where they are not installed.
DISTRIBUTIONS = {
    "cv2": ["opencv-python-headless"],
    "upath": ["universal-pathlib"],
    **packages_distributions(),
}


def imports(path: Path, *, at_import: bool = False) -> set[str]:
    """Names that a module imports, ever or when it is itself imported."""
    found: set[str] = set()
    waiting: list[ast.AST] = [ast.parse(path.read_text(encoding="utf-8"))]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} has a relative import"
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
        elif not (at_import and is_put_off(node)):
            waiting += ast.iter_child_nodes(node)
    return found


def is_put_off(node: ast.AST) -> bool:
    """Whether the statements inside do not run when the module is imported."""
    if isinstance(node, ast.If):
        return isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"
    return isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)


def within(name: str, package: str) -> bool:
    return name == package or name.startswith(f"{package}.")


def names(*groups: str) -> set[str]:
    """Distributions that the groups of dependencies name; "" is what is always installed."""
    return {
        canonicalize_name(Requirement(text).name) for group in groups for text in DECLARED[group]
    }


@pytest.mark.parametrize("module", MODULES)
def test_imports_run_one_way(module: str) -> None:
    path = MODULES[module]
    # The command line and the names that `import rsaug` offers lead to all three when used.
    is_door = within(module, "rsaug.cli") or module == "rsaug"
    used = imports(path, at_import=is_door)
    if within(module, "rsaug.downstream"):
        above = ["rsaug.cli"]
    elif within(module, "rsaug.pipelines"):
        above = ["rsaug.cli", "rsaug.downstream"]
    else:
        above = ["rsaug.pipelines", "rsaug.downstream"]
    assert not [name for name in used for part in above if within(name, part)]
    assert not [name for name in used if within(name, "pipelines") or within(name, "downstream")]


@pytest.mark.parametrize("module", MODULES)
def test_what_is_imported_is_declared(module: str) -> None:
    path = MODULES[module]
    # downstream as a whole is for those who install the extra `eval`.
    at_once = names("", "eval") if within(module, "rsaug.downstream") else names("")
    for used, allowed in (
        (imports(path), names(*DECLARED) - names("dev")),
        (imports(path, at_import=True), at_once),
    ):
        foreign = {name.partition(".")[0] for name in used} - sys.stdlib_module_names - {"rsaug"}
        for name in foreign:
            homes = {canonicalize_name(home) for home in DISTRIBUTIONS.get(name, [name])}
            assert homes & allowed, f"{name} is imported but not declared"


def test_every_folder_is_in_the_list_of_packages() -> None:
    packages = [name for name, path in MODULES.items() if path.name == "__init__.py"]
    assert sorted(PROJECT["tool"]["setuptools"]["packages"]) == sorted(packages)


def test_constraints_pin_what_is_declared() -> None:
    text = (ROOT / "constraints.txt").read_text(encoding="utf-8")
    pins = dict(re.findall(r"^([a-z0-9-]+)==([0-9.]+(?:post[0-9]+)?)$", text, re.MULTILINE))
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    assert len(pins) == len(lines), "a line is no plain name==version"
    for group in ("", "eval", "view", "dev"):
        for declared in map(Requirement, DECLARED[group]):
            assert declared.specifier.contains(pins[canonicalize_name(declared.name)])


@pytest.mark.parametrize(
    "page", [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))], ids=lambda page: page.name
)
def test_links_between_pages_lead_somewhere(page: Path) -> None:
    targets = re.findall(r"\]\(([^)#\s]+)[^)]*\)", page.read_text(encoding="utf-8"))
    missing = [name for name in targets if "://" not in name and not (page.parent / name).exists()]
    assert not missing
