"""How far a run is and what it came to, in numbers and in words."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from rsaug.storage import AnyPath

MANY_TILES = 500
"""More tiles than this are not made unless they are asked for."""


@dataclass(frozen=True)
class Progress:
    """How far a run is, in what it makes: images, or tiles of conditions.

    Attributes:
        total: How many there are in the run.
        kept: How many were there before.
        made: How many are made and written by now.
        failed: How many could not be made.
    """

    total: int
    kept: int = 0
    made: int = 0
    failed: int = 0

    @property
    def done(self) -> int:
        """How many are complete."""
        return self.kept + self.made


@dataclass(frozen=True, eq=False)
class RunReport:
    """What a run came to.

    Attributes:
        folder: Where it is.
        tiles: Number of tiles.
        progress: How many were made.
        strangers: What other runs made in the folder, which is not in the manifest.
        seconds: How long making them took.
        failed: What could not be made, and why, by the name of the image.
        mosaics: Files of all images, and of all masks, as one.
    """

    folder: AnyPath
    tiles: int
    progress: Progress
    strangers: int
    seconds: float
    failed: Mapping[str, str] = field(default_factory=dict)
    mosaics: tuple[AnyPath, ...] = ()


def in_words(seconds: float) -> str:
    """A duration for a reader, in two units at most."""
    seconds = round(seconds) if seconds >= 10 else round(seconds, 1)
    if seconds < 60:
        return f"{seconds:g} s"
    minutes, hours = int(seconds) // 60, int(seconds) // 3600
    if minutes < 60:
        return f"{minutes} min {int(seconds) % 60} s"
    if hours < 48:
        return f"{hours} h {minutes % 60} min"
    return f"{hours // 24} days {hours % 24} h"
