"""Generators for actors of a cluster; what they are to do is in the name of their model."""

from __future__ import annotations

import os
import signal
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from painter import Painter

from rsaug.errors import OutputError
from rsaug.grid import Tile
from rsaug.options import SynthOptions
from rsaug.requests import TileGenerator, TileRequest


class Mortal(Painter):
    """Kills its own process at tiles, each so many times.

    Args:
        marks: folder where deaths are counted.
        tiles: names of the tiles.
        deaths: how often.
    """

    def __init__(self, marks: Path, tiles: Sequence[str], deaths: int) -> None:
        super().__init__()
        self.marks, self.tiles, self.deaths = marks, tiles, deaths

    def generate(self, requests: Sequence[TileRequest]) -> list[NDArray[np.uint8]]:
        """Images of the requests, if it lives."""
        for request in requests:
            name = request.tile.name
            if name in self.tiles and len(list(self.marks.glob(f"{name}-*"))) < self.deaths:
                (self.marks / f"{name}-{os.getpid()}-{os.urandom(4).hex()}").touch()
                os.kill(os.getpid(), signal.SIGKILL)
        return super().generate(requests)


class Broke(Painter):
    """Finds the disk full."""

    def generate(self, requests: Sequence[TileRequest]) -> list[NDArray[np.uint8]]:
        """Raises."""
        raise OutputError("no space is left")


class Fresco(Painter):
    """Parts of one picture that depend on nothing beside them."""

    def reach(self, tile: Tile) -> tuple[range, range] | None:
        """The tiles to both sides."""
        return range(tile.row, tile.row + 1), range(tile.col - 1, tile.col + 2)


def load(options: SynthOptions, workers: int | None = None) -> TileGenerator:
    """What `options.model` names; ``mortal:`` is followed by folder, deaths and tiles."""
    kind, _, rest = options.model.partition(":")
    if kind == "mortal":
        marks, deaths, *tiles = rest.split(",")
        return Mortal(Path(marks), tiles, int(deaths))
    kinds = {"default": Painter, "broke": Broke, "fresco": Fresco}
    return Painter(grey=77) if kind == "grey" else kinds[kind]()
