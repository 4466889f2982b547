"""The parts of an installation of rsaug as a software bill of materials, CycloneDX 1.6 in JSON.

    python scripts/sbom.py --extra fast --extra s3 --out sbom.json

It is made from what is installed, by the requirements of each package in turn, so it says which
versions run and not which could; without ``--extra`` it is that of the core. The result has no time
and no random number in it: the same installation gives the same bytes.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path
from typing import Annotated, Any

import typer
from packaging.requirements import Requirement

app = typer.Typer(add_completion=False)

_ROOT = "rsaug"


def closure(
    root: str, extras: Iterable[str]
) -> tuple[dict[str, Distribution], dict[str, set[str]]]:
    """All installed packages that one needs, by name, and which of them each needs.

    Raises:
        PackageNotFoundError: if the package itself is not installed.
    """
    found = {_plain(root): distribution(root)}
    needs: dict[str, set[str]] = {}
    waiting = [(_plain(root), frozenset(extras))]
    seen = set(waiting)
    while waiting:
        name, wanted = waiting.pop()
        here = needs.setdefault(name, set())
        for line in found[name].requires or []:
            requirement = Requirement(line)
            marker = requirement.marker
            if marker and not any(marker.evaluate({"extra": extra}) for extra in (*wanted, "")):
                continue
            other = _plain(requirement.name)
            try:
                found.setdefault(other, distribution(other))
            except PackageNotFoundError:
                continue  # of an extra that is not installed
            here.add(other)
            step = other, frozenset(requirement.extras)
            if step not in seen:
                seen.add(step)
                waiting.append(step)
    return found, needs


def bill(root: str, extras: Iterable[str]) -> dict[str, Any]:
    """The bill of materials of a package; https://cyclonedx.org/docs/1.6/json."""
    found, needs = closure(root, extras)
    own = _plain(root)
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {"component": _component(found[own], "application")},
        "components": [_component(found[name], "library") for name in sorted(found) if name != own],
        "dependencies": [
            {"ref": _purl(found[name]), "dependsOn": sorted(_purl(found[n]) for n in needs[name])}
            for name in sorted(needs)
        ],
    }


def _component(package: Distribution, kind: str) -> dict[str, Any]:
    said = _licence(package)
    licence = {"licenses": [said]} if said else {}
    return {
        "type": kind,
        "bom-ref": _purl(package),
        "name": package.metadata["Name"],
        "version": package.version,
        "purl": _purl(package),
        **licence,
    }


def _licence(package: Distribution) -> dict[str, Any] | None:
    """The licence as an expression where it is one, else by name; None where nothing is said."""
    facts = package.metadata
    if "License-Expression" in facts:
        return {"expression": facts["License-Expression"]}
    name = "".join(facts.get_all("License") or [])
    if not name or "\n" in name or len(name) > 80:
        # Some write the whole text there.
        named = [line for line in facts.get_all("Classifier") or [] if line.startswith("License")]
        name = named[0].rpartition(" :: ")[2] if named else ""
    return {"license": {"name": name}} if name else None


def _purl(package: Distribution) -> str:
    """https://github.com/package-url/purl-spec: a local version's plus is written as %2B."""
    return f"pkg:pypi/{_plain(package.metadata['Name'])}@{package.version.replace('+', '%2B')}"


def _plain(name: str) -> str:
    """A name as PEP 503 writes it."""
    return re.sub(r"[-_.]+", "-", name).lower()


@app.command()
def main(
    extra: Annotated[list[str] | None, typer.Option(help="An extra of rsaug; repeatable.")] = None,
    out: Annotated[Path, typer.Option(help="File of the bill.")] = Path("sbom.json"),
) -> None:
    """Write the bill of materials of the installed rsaug."""
    document = bill(_ROOT, extra or ())
    out.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
    typer.echo(f"{out}: {len(document['components'])} packages")


if __name__ == "__main__":
    app()
