"""What runs a plan: this process, or a cluster. The same plan gives the same bytes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from rsaug.grid import Tile
from rsaug.options import SynthOptions
from rsaug.places import Places
from rsaug.record import Record
from rsaug.requests import TileGenerator
from rsaug.workshop import Outcome


@dataclass(frozen=True, eq=False)
class Work:
    """What is to be run.

    Attributes:
        record: What the run was asked.
        places: What tiles are made from.
        generator: What makes the images, in this process.
    """

    record: Record[SynthOptions]
    places: Places
    generator: TileGenerator


class Engine(Protocol):
    """What runs a plan."""

    def run(self, work: Work, tiles: Sequence[Tile], done: Callable[[Outcome], None]) -> None:
        """Make what is missing of some tiles' images.

        Args:
            work: How.
            tiles: Tiles of the grid.
            done: Called in this thread with what came of each image, once it is on the disk.

        Raises:
            OutputError: if something cannot be written.
        """
