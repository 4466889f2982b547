"""This process: one generator, fed and relieved by threads."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from rsaug.engines import Work
from rsaug.grid import Tile
from rsaug.workshop import Outcome, Workshop


class LocalEngine:
    """Runs a plan in this process. How many images are made at once is the generator's business."""

    def run(self, work: Work, tiles: Sequence[Tile], done: Callable[[Outcome], None]) -> None:
        """Make what is missing of some tiles' images; see `rsaug.engines.Engine`."""
        Workshop(work.places, work.record, work.generator).make(tiles, done)
