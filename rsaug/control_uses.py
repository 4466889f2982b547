"""How controls are to be used, as it is written on the command line."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from rsaug.errors import InputError

T = TypeVar("T")

Interval = tuple[float, float]
"""First and last moment of the denoising, from 0 (all noise) to 1 (the finished image)."""

MOST_STRENGTH = 10.0


@dataclass(frozen=True)
class Use:
    """How one control is used.

    Attributes:
        strength: 0 is absence, 1 the plain model, more is more.
        interval: When it is given.
        region: File of the region that it holds in; None for everywhere.
    """

    strength: float = 1.0
    interval: Interval = (0.0, 1.0)
    region: str | None = None

    @property
    def idle(self) -> bool:
        """Whether it is as good as not given."""
        return self.strength == 0 or self.interval[0] == self.interval[1]


def read_uses(strength: str | None, interval: str | None, regions: Sequence[str]) -> dict[str, Use]:
    """Uses by control, of those that are named.

    Args:
        strength: As in ``road=0.8,seg=1.2``.
        interval: As in ``hed=0-0.5,seg=0.2-1``.
        regions: Each as in ``seg=parks.geojson``.

    Raises:
        InputError: for text of another form, a name that is no control, or a number out of range.
    """
    # With the command line this module is imported before NumPy, and the stack needs it.
    from rsaug.conditions.stack import SLOTS

    strengths = _by_control("--control-strength", (strength or "").split(","), read_strength)
    intervals = _by_control("--control-interval", (interval or "").split(","), read_interval)
    files = _by_control("--control-region", regions, str)
    return {
        name: Use(strengths.get(name, 1.0), intervals.get(name, (0.0, 1.0)), files.get(name))
        for name in SLOTS
        if name in strengths or name in intervals or name in files
    }


def check_uses(uses: Mapping[str, Use], controls: Sequence[str]) -> list[str]:
    """Sentences on what uses mean for the road mask as a label.

    Raises:
        InputError: if a control is not among those that are given, or no road is drawn any more.
    """
    for name in uses:
        if name not in controls:
            raise InputError(
                f"The control {name!r} is to be used in some way, but the controls are "
                f"{', '.join(controls)}; add it to --controls."
            )
    drawing = [name for name in ("road", "seg") if name in controls]
    if all(name in uses and uses[name].idle for name in drawing):
        raise InputError(
            f"With {' and '.join(drawing)} at no strength, or for no step, nothing draws roads, so "
            "the road mask would be no label of the images."
        )
    # Without a road map it is the land cover, with the roads on top, that says where they are.
    name = drawing[0]
    use = uses.get(name)
    if use is None or (use.strength >= 1 and use.region is None and use.interval == (0.0, 1.0)):
        return []
    return [
        f"The {name} control is not used in full, so images need not have every road of their "
        "mask; check them before they train anything."
    ]


def check_guidance(scale: float, interval: Interval) -> list[str]:
    """Sentences on what guidance of the controls means for the road mask as a label.

    Args:
        scale: Guidance scale of the controls.
        interval: When guidance is on; outside, controls are followed as trained.

    Raises:
        InputError: if the controls are not followed at any time.
    """
    if scale >= 1 or interval[0] == interval[1]:
        return []
    if scale == 0 and interval == (0.0, 1.0):
        raise InputError(
            "At a guidance scale of 0 the controls are not followed, so the road mask would be no "
            "label of the images; give --control-guidance 1 or more."
        )
    return [
        f"At a guidance scale of {scale:g} the controls are followed less than as trained, so "
        "images need not have every road of their mask; check them before they train anything."
    ]


def read_strength(text: str) -> float:
    """A strength from text.

    Raises:
        InputError: if it is no number from 0 to `MOST_STRENGTH`.
    """
    value = _number(text)
    if not 0 <= value <= MOST_STRENGTH:
        raise InputError(f"A strength is a number from 0 to {MOST_STRENGTH:g}, not {text!r}.")
    return value


def read_interval(text: str) -> Interval:
    """An interval from text such as ``0-0.6``.

    Raises:
        InputError: if it is no part of 0 to 1.
    """
    first, dash, last = text.partition("-")
    ends = (_number(first), _number(last))
    if not (dash and 0 <= ends[0] <= ends[1] <= 1):
        raise InputError(f"An interval is a part of 0 to 1, as in 0-0.6, not {text!r}.")
    return ends


def _by_control(option: str, texts: Sequence[str], read: Callable[[str], T]) -> dict[str, T]:
    from rsaug.conditions.stack import SLOTS

    found: dict[str, T] = {}
    for text in texts:
        if not text.strip():
            continue
        name, equals, value = (part.strip() for part in text.partition("="))
        if not (equals and value):
            raise InputError(f"{option} {text!r} is not NAME=VALUE, as in road=...")
        if name not in SLOTS:
            raise InputError(f"No control is called {name!r}; there are {', '.join(SLOTS)}.")
        if name in found:
            raise InputError(f"{option} is given twice for {name}; give it once.")
        found[name] = read(value)
    return found


def _number(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        return math.nan
    return value if math.isfinite(value) else math.nan
