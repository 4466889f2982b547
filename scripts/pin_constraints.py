"""Write constraints.txt: the versions of everything that rsaug with its extras brings in here."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.metadata import distribution
from pathlib import Path

import typer
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

CONSTRAINTS = Path(__file__).parents[1] / "constraints.txt"
EXTRAS = (
    "fast",
    "decouple",
    "osm",
    "postgis",
    "sd15",
    "train",
    "eval",
    "geoembed",
    "graph",
    "view",
    "xarray",
    "docs",
    "ray",
    "s3",
    "c2pa",
    "dev",
)
HEADER = """\
# The versions that are tested together, on Python 3.11 and Linux. Made by `make constraints`.
# CUDA's packages are missing on purpose: torch pins its own.
"""

# Requirements of torch for Linux with CUDA, of which it names the exact versions itself.
_TORCHS_OWN = ("cuda-", "nvidia-", "triton")


def requirements(name: str, extras: tuple[str, ...]) -> Iterator[Requirement]:
    """What an installed distribution requires here, with these extras."""
    for text in distribution(name).requires or []:
        requirement = Requirement(text)
        marker = requirement.marker
        if marker is None or any(marker.evaluate({"extra": extra}) for extra in ("", *extras)):
            yield requirement


def closure(name: str, extras: tuple[str, ...]) -> set[str]:
    """Names of everything that a distribution brings in, itself left out."""
    found: set[tuple[str, tuple[str, ...]]] = set()
    waiting = [(name, extras)]
    while waiting:
        for requirement in requirements(*waiting.pop()):
            needed = canonicalize_name(requirement.name)
            one = (needed, tuple(sorted(requirement.extras)))
            if one not in found and not needed.startswith(_TORCHS_OWN):
                found.add(one)
                waiting.append(one)
    return {needed for needed, _ in found}


def main() -> None:
    """Write constraints.txt from what is installed."""
    names = sorted(closure("rsaug", EXTRAS))
    # A local part such as +cpu says where a build came from, not which version it is.
    pins = [f"{name}=={distribution(name).version.partition('+')[0]}" for name in names]
    CONSTRAINTS.write_text(HEADER + "\n".join(pins) + "\n", encoding="utf-8")
    typer.echo(f"{len(pins)} versions in {CONSTRAINTS.name}")


if __name__ == "__main__":
    typer.run(main)
