"""What every tile of a run's grid is made from, with the last ones remembered."""

from __future__ import annotations

import hashlib
import json
import threading
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from rsaug.grid import Tile
from rsaug.prompts import Prompts
from rsaug.provenance import controls_key
from rsaug.regions import Region
from rsaug.requests import TileConditions
from rsaug.scene import Scene

_KEPT_BYTES = 256 * 2**20
"""How much of the maps of the last tiles is remembered: 54 tiles of 256 pixels."""

_KEYS_KEPT = 200_000


@dataclass(frozen=True, eq=False)
class Places:
    """What every tile of the grid is made from; the last ones asked for are remembered.

    Attributes:
        scene: The layers.
        controls: Names of the control maps.
        regions: Where controls hold that do not hold everywhere, by name.
        prompts: Texts by place.
    """

    scene: Scene
    controls: tuple[str, ...]
    regions: Mapping[str, Region] = field(default_factory=dict)
    prompts: Prompts | None = None
    _kept: OrderedDict[tuple[int, int], tuple[NDArray[np.uint8], TileConditions]] = field(
        default_factory=OrderedDict
    )
    _keys: OrderedDict[tuple[int, int], str] = field(default_factory=OrderedDict)
    _lock: threading.RLock = field(default_factory=threading.RLock)

    def at(self, row: int, col: int) -> TileConditions:
        """What the tile at a row and a column is made from."""
        return self.labelled(self.scene.grid.tile(row, col))[1]

    def labelled(self, tile: Tile) -> tuple[NDArray[np.uint8], TileConditions]:
        """Road mask of a tile, uint8 0/1 (rows, cols), and what it is made from."""
        with self._lock:
            return self._labelled(tile)

    def key(self, row: int, col: int) -> str:
        """Digest of all that the tile at a row and a column is made from."""
        if (row, col) not in self._keys:
            found = self.at(row, col)
            parts = [found.key, found.prompt]
            parts += [
                f"{name} {hashlib.sha256(region.tobytes()).hexdigest()}"
                for name, region in sorted(found.regions.items())
            ]
            self._keys[row, col] = hashlib.sha256(json.dumps(parts).encode()).hexdigest()
            while len(self._keys) > _KEYS_KEPT:
                self._keys.popitem(last=False)
        return self._keys[row, col]

    def _labelled(self, tile: Tile) -> tuple[NDArray[np.uint8], TileConditions]:
        place = (tile.row, tile.col)
        if place in self._kept:
            self._kept.move_to_end(place)
            return self._kept[place]
        mask, controls = self.scene.controls(tile, self.controls)
        regions = {name: region.at(tile) for name, region in self.regions.items()}
        prompt = self.prompts.at(tile) if self.prompts else None
        key = controls_key(tile, controls)
        found = mask, TileConditions(tile, controls, regions, prompt, key)
        self._kept[place] = found
        while (len(self._kept) - 1) * controls.maps.nbytes > _KEPT_BYTES:
            self._kept.popitem(last=False)
        return found
