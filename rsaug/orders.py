"""From a tile to what is asked of the generator for it, and what made the image that comes back.

Whoever makes images of a plan asks here, so the same plan gives the same pixels whether they go to
files or stay in memory.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from rsaug.folder import item_name
from rsaug.grid import Tile
from rsaug.places import Places
from rsaug.provenance import Provenance, image_key
from rsaug.requests import (
    TileConditions,
    TileGenerator,
    TileRequest,
    derive_field_seed,
    derive_seed,
)


@dataclass(frozen=True, eq=False)
class Labelled:
    """A tile that images can be asked for.

    Attributes:
        mask: Road mask, uint8 0/1 (rows, cols).
        conditions: What its images are made from.
        context: Digest of the maps that they depend on: those of the tile, or of all in reach.
    """

    mask: NDArray[np.uint8]
    conditions: TileConditions
    context: str


@dataclass(frozen=True, eq=False)
class Order:
    """An image to make.

    Attributes:
        request: What to ask the generator for.
        mask: Road mask, uint8 0/1 (rows, cols).
        labels_key: What mask and control maps are made from.
        provenance: What the image is made from.
    """

    request: TileRequest
    mask: NDArray[np.uint8]
    labels_key: str
    provenance: Provenance

    @property
    def name(self) -> str:
        """Name of the image."""
        return item_name(self.request.tile.name, self.request.variant)


Made: TypeAlias = "tuple[Order, NDArray[np.uint8] | Exception]"
"""An order and its image, uint8 (3, rows, cols), or why there is none."""


@dataclass(frozen=True, eq=False)
class Orders:
    """What is asked of a generator for the tiles of a run.

    Attributes:
        places: What tiles are made from.
        generator: What makes the images.
        description: What it says of itself, with the marks that decide pixels.
        seed: Seed of the run.
    """

    places: Places
    generator: TileGenerator
    description: Mapping[str, object]
    seed: int

    def labelled(self, tile: Tile) -> Labelled:
        """A tile with its road mask and its control maps."""
        mask, conditions = self.places.labelled(tile)
        return Labelled(mask, conditions, self._context(tile, conditions))

    def order(self, found: Labelled, variant: int) -> Order:
        """One of the images of a tile."""
        conditions = found.conditions
        tile = conditions.tile
        is_part = found.context != conditions.key
        seed = (derive_field_seed if is_part else derive_seed)(self.seed, tile, variant)
        description = dict(self.description)
        if conditions.prompt is not None:
            description["prompt"] = conditions.prompt
        key = image_key(found.context, seed, description, conditions.regions)
        request = TileRequest(
            tile,
            conditions.controls,
            variant,
            seed,
            conditions.regions,
            conditions.prompt,
            self.places if is_part else None,
        )
        provenance = Provenance.of(description, key, seed, variant)
        return Order(request, found.mask, conditions.key, provenance)

    def generate(self, batch: Sequence[Order]) -> list[Made]:
        """Images of a batch; where that fails, of each order by itself, or why there is none."""
        try:
            images = self.generator.generate([order.request for order in batch])
            return list(zip(batch, images, strict=True))
        except Exception as error:
            if len(batch) == 1:
                return [(batch[0], error)]
        return [self.generate([order])[0] for order in batch]

    def _context(self, tile: Tile, conditions: TileConditions) -> str:
        reach = self.generator.reach(tile)
        if reach is None:
            return conditions.key
        rows, cols = reach
        keys = [[row, col, self.places.key(row, col)] for row in rows for col in cols]
        return hashlib.sha256(json.dumps([conditions.key, keys]).encode()).hexdigest()
