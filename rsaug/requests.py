"""What is asked of a generator of images, and what it is seeded with."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from pyproj import CRS

from rsaug.conditions.stack import ControlStack
from rsaug.grid import Tile, crs_name


@dataclass(frozen=True, eq=False)
class TileConditions:
    """What the pixels of a tile are made from.

    Attributes:
        tile: Where.
        controls: The control maps.
        regions: Where a control holds, (rows, cols) in [0, 1] by its name; everywhere unless named.
        prompt: Text of this place; None for that of the run.
        key: Digest of all of it.
    """

    tile: Tile
    controls: ControlStack
    regions: Mapping[str, NDArray[np.float32]] = field(default_factory=dict)
    prompt: str | None = None
    key: str = ""


class Surroundings(Protocol):
    """What any tile of a run's grid is made from."""

    def at(self, row: int, col: int) -> TileConditions:
        """That of the tile at a row and a column of the grid."""


@dataclass(frozen=True, eq=False)
class TileRequest:
    """One image to make.

    Attributes:
        tile: Where.
        controls: From what.
        variant: Which of the images of the tile, from 0.
        seed: Seed of this image; see `derive_seed` and `derive_field_seed`.
        regions: Where a control holds, (rows, cols) in [0, 1] by its name; everywhere unless named.
        prompt: Text of this place; None for that of the run.
        around: What the tiles around are made from; only for a generator that asks for it.
    """

    tile: Tile
    controls: ControlStack
    variant: int
    seed: int
    regions: Mapping[str, NDArray[np.float32]] = field(default_factory=dict)
    prompt: str | None = None
    around: Surroundings | None = None


class TileGenerator(Protocol):
    """What makes images."""

    batch_size: int
    """How many requests are best made at once."""

    def generate(self, requests: Sequence[TileRequest]) -> list[NDArray[np.uint8]]:
        """RGB of each request, uint8 (3, rows, cols).

        An image depends on its own request only, never on what is made beside it.
        """

    def describe(self) -> dict[str, object]:
        """Everything besides a request that decides its image, JSON-able.

        Understood are ``model``, ``weights_sha256``, ``prompt``, ``date``, ``steps``, ``guidance``,
        ``control_guidance``, ``guidance_interval`` and ``scheduler``; ``device``, ``dtype`` and
        ``versions`` of libraries by name; and ``network``, which may have its ``architecture``,
        number of ``parameters``, kind of ``artifact``, ``sha256`` and ``size`` of its ``files`` by
        their paths, and which of these is its ``definition``. See also
        `rsaug.provenance.VOLATILE`.
        """

    def reach(self, tile: Tile) -> tuple[range, range] | None:
        """Rows and columns of the tiles whose conditions a tile's pixels depend on.

        None where it is that tile's alone. Else an image is a part of a field, and its seed that of
        the field.
        """

    def seconds_per_tile(self, tile_size: int) -> float:
        """How long an image takes, about."""

    def sees(self, control: str) -> bool:
        """Whether it was trained on a control; what it was not is neither given nor recorded."""

    def notes(self, gsd_m: float, controls: Sequence[str] = ()) -> list[str]:
        """What was asked for that it cannot follow, one sentence each."""


def described(generator: TileGenerator) -> dict[str, object]:
    """What a generator says of itself; a model's folder by its name, wherever it lies."""
    description = generator.describe()
    model = description.get("model")
    if isinstance(model, str) and Path(model).is_dir():
        description["model"] = Path(model).resolve().name
    return description


def derive_seed(run_seed: int, tile: Tile, variant: int) -> int:
    """The seed of one image, from 0 to 2**63 - 1.

    It depends on the run's seed, on the tile's place in the grid of its CRS, GSD and size, and on
    the variant; not on the area of interest, nor on which tiles are made, nor on their order.
    """
    place = (_crs_id(tile.crs), f"{tile.gsd_m:.6f}", tile.shape, tile.row, tile.col)
    return _seed(run_seed, *place, variant)


def derive_field_seed(run_seed: int, tile: Tile, variant: int) -> int:
    """The seed of the field that an image is a part of, from 0 to 2**63 - 1.

    It is the same for all tiles of a variant; the field's noise belongs to its pixels.
    """
    return _seed(run_seed, _crs_id(tile.crs), f"{tile.gsd_m:.6f}", "field", variant)


def _seed(*parts: object) -> int:
    digest = hashlib.sha256(repr(parts).encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


@lru_cache(maxsize=8)
def _crs_id(crs: CRS) -> str:
    return crs_name(crs) if crs.to_authority() else crs.to_wkt()
