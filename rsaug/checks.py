"""Whether what rsaug stands on is there: Python and packages, against the package's own metadata.

The bounds are those that an installation was made by, so that none is written down twice.
"""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from importlib import metadata
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from packaging.requirements import Requirement

State = Literal["ok", "absent", "warning", "error"]


@dataclass(frozen=True)
class Check:
    """What was found of one thing.

    Attributes:
        group: What it belongs to.
        name: What was looked at.
        state: ``ok``; ``absent`` for an optional part that is not installed; ``warning`` for what
            some commands will trip over; ``error`` for what ``rsaug synth`` cannot do without.
        found: What was found.
        fix: The line to run, or the thing to do; "" where nothing is to be done.
    """

    group: str
    name: str
    state: State
    found: str
    fix: str = ""

    def to_dict(self) -> dict[str, Any]:
        """The attributes by name."""
        return asdict(self)


def guarded(group: str, name: str, fix: str, look: Callable[[], Check]) -> Check:
    """What a look comes to, an error where it cannot even be taken.

    Libraries with a part in C fail in many ways when that part does not fit, so whatever they
    raise is caught.
    """
    try:
        return look()
    except Exception as error:
        said = " ".join(str(error).split()) or type(error).__name__
        return Check(group, name, "error", said[:300], fix)


def check_python() -> Check:
    """The interpreter against ``Requires-Python``."""
    from packaging.specifiers import SpecifierSet

    asked = (metadata.metadata("rsaug").get_all("Requires-Python") or [""])[0]
    found = platform.python_version()
    fits = found in SpecifierSet(asked, prereleases=True)
    fix = "" if fits else f"install Python {asked} and rsaug in an environment of it"
    where = f"{found}, {platform.system()} {platform.machine()}"
    return Check("Python", "python", "ok" if fits else "error", where, fix)


def check_packages() -> list[Check]:
    """Each package that rsaug cannot do without against its lower bound."""
    return [_package("Packages", needed) for needed in _requirements() if needed.marker is None]


def check_extras() -> list[Check]:
    """Each extra, by whether all its packages are there; those of developers are left out."""
    found = []
    for extra in sorted(_extras()):
        parts = [_package("Extras", needed) for needed in _of_extra(extra)]
        wrong = [part for part in parts if part.state != "ok"]
        if wrong:
            too_old = any(part.state == "error" and "is needed" in part.found for part in wrong)
            said = ", ".join(f"{part.name} {part.found}" for part in wrong)
            state: State = "warning" if too_old else "absent"
            found.append(Check("Extras", extra, state, said, f"pip install 'rsaug[{extra}]'"))
        else:
            said = ", ".join(f"{part.name} {part.found}" for part in parts)
            found.append(Check("Extras", extra, "ok", said))
    return found


def _package(group: str, needed: Requirement) -> Check:
    lower = str(needed.specifier)
    try:
        version = metadata.version(needed.name)
    except metadata.PackageNotFoundError:
        version = ""
    fix = f"pip install '{needed.name}{lower}'"
    if not version:
        return Check(group, needed.name, "error", "is not installed", fix)
    if not needed.specifier.contains(version, prereleases=True):
        return Check(group, needed.name, "error", f"{version}, but {lower} is needed", fix)
    return Check(group, needed.name, "ok", version)


def _requirements() -> Iterator[Requirement]:
    from packaging.requirements import Requirement

    for line in metadata.requires("rsaug") or ():
        yield Requirement(line)


def _extras() -> set[str]:
    asked = metadata.metadata("rsaug").get_all("Provides-Extra") or []
    return {*asked} - {"dev", "docs"}


def _of_extra(extra: str) -> Iterator[Requirement]:
    for needed in _requirements():
        marker = needed.marker
        if (
            marker is not None
            and marker.evaluate({"extra": extra})
            and not marker.evaluate({"extra": ""})
        ):
            yield needed
