"""Tiles in memory, real and synthetic, as the benchmark trains and measures on them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import shapely
from numpy.typing import NDArray

from rsaug.downstream.bench.config import DataConfig, PoolConfig
from rsaug.downstream.datamodules.sources import RealTiles
from rsaug.downstream.datasets.chips import PlainRoadTiles, RoadChips
from rsaug.downstream.datasets.contract import DataNotFound, PixelGrid
from rsaug.downstream.datasets.synthetic import SyntheticRoads
from rsaug.downstream.datasets.tiles import RoadTile
from rsaug.errors import InputError
from rsaug.grid import Tile
from rsaug.pipelines.train.folder import BLANK
from rsaug.raster import open_image

SPLITS = ("val", "test")
"""Splits to measure on; ground of either is never trained on."""

# As `RoadChips.without_blank` has it, which reads a tile anew for each of its windows.
_MOST_BLANK = 0.5


@dataclass(frozen=True, eq=False)
class Items:
    """Tiles, or equal windows of them, with road masks.

    Attributes:
        images: (n, 3, rows, cols) uint8 RGB.
        masks: (n, rows, cols) uint8, 1 on road.
        names: Name of each; that of a window has its number behind ``#``.
        tiles: Name of the tile of each.
        places: Place of each.
        outlines: (n,) polygon of each in degrees; None where it has no place on Earth.
        files: File of the tile of each.
        synthetic: Whether a model made them.
        gsd_m: Metres a pixel; None where it is not known, or not the same for all.
    """

    images: NDArray[np.uint8]
    masks: NDArray[np.uint8]
    names: tuple[str, ...]
    tiles: tuple[str, ...]
    places: tuple[str, ...]
    outlines: NDArray[np.object_]
    files: tuple[Path, ...]
    synthetic: bool
    gsd_m: float | None = None

    def __len__(self) -> int:
        """How many there are."""
        return len(self.images)

    def footprints(self) -> NDArray[np.object_]:
        """Outline of each in degrees, as `rsaug.downstream.leakage` asks for them."""
        return self.outlines

    def take(self, which: Sequence[int] | NDArray[np.intp]) -> Items:
        """Those items alone, in that order; all of them are not copied."""
        chosen = np.asarray(which, dtype=np.intp)
        if np.array_equal(chosen, np.arange(len(self))):
            return self
        return Items(
            self.images[chosen],
            self.masks[chosen],
            tuple(self.names[k] for k in chosen),
            tuple(self.tiles[k] for k in chosen),
            tuple(self.places[k] for k in chosen),
            self.outlines[chosen],
            tuple(self.files[k] for k in chosen),
            self.synthetic,
            self.gsd_m,
        )

    @cached_property
    def digests(self) -> tuple[str, ...]:
        """SHA-256 of image, mask and place of each."""
        return tuple(
            hashlib.sha256(
                b"\0".join(
                    (place.encode(), str(image.shape).encode(), image.tobytes(), mask.tobytes())
                )
            ).hexdigest()
            for place, image, mask in zip(self.places, self.images, self.masks, strict=True)
        )

    @property
    def digest(self) -> str:
        """SHA-256 of all items in their order."""
        return digest_of(self.digests)

    def digest_of(self, which: Sequence[int]) -> str:
        """The digest that those items alone would have."""
        return digest_of([self.digests[k] for k in which])


def digest_of(value: Any) -> str:
    """SHA-256 of what JSON can say."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def read_labelled(data: DataConfig) -> Items:
    """The tiles of the split that labels are from.

    Raises:
        DataNotFound: if there are none.
        InputError: if a file is no image that can be trained on.
    """
    # As training tiles, whichever split they are of: with the options of training alone.
    chips = RealTiles(data.dataset, data.root, data.options).split(data.label_split)
    return _read(_cut(chips, data), drop_blank=data.drop_blank)


def read_held(data: DataConfig, splits: Sequence[str]) -> tuple[dict[str, Items], list[str]]:
    """The tiles of the splits to measure on, by split; and of all others that are kept apart.

    Args:
        data: Where they are.
        splits: Those that are measured on, and have to be there.

    Returns:
        Tiles by split, and the splits that could not be looked at, a sentence each.

    Raises:
        DataNotFound: if a split that is measured on is not there.
        InputError: if a tile of one says of itself that a model made it.
    """
    real = RealTiles(data.dataset, data.root, data.options, data.eval_options)
    found, notes = {}, []
    for split in SPLITS:
        if split == data.label_split:
            continue
        try:
            found[split] = _read(_cut(real.split(split), data))
        except DataNotFound as error:
            if split in splits:
                raise
            notes.append(f"The split {split!r} was not compared with training: {error}")
    return found, notes


def read_pool(pool: PoolConfig, chip_size: int | None) -> Items:
    """The tiles of a pool.

    Raises:
        DataNotFound: if a folder is none of `rsaug synth` or of `rsaug restyle`.
        InputError: if its tiles are of several sizes, or one cannot be read.
    """
    parts = []
    for run in pool.runs:
        folder = Path(run)
        source = (
            SyntheticRoads(folder, variants=pool.variants)
            if (folder / "manifest.parquet").is_file()
            else EditedRoads(folder)
        )
        parts.append(_read(source.chips(chip_size)))
    return _joined(pool.name, parts)


class EditedRoads(PlainRoadTiles):
    """Real images that ``rsaug restyle --roads`` gave another look, with their road masks.

    Args:
        root: The folder, with ``images/<name>.tif`` and ``masks/<name>.tif``.

    Raises:
        DataNotFound: if there are none.
    """

    synthetic: ClassVar[bool] = True
    road_from = 1

    def __init__(self, root: Path) -> None:
        images = sorted((root / "images").glob("*.tif"))
        if not images or not (root / "run.json").is_file():
            raise DataNotFound(
                f"{root} is the folder of no finished run: give one of rsaug synth, or of rsaug "
                "restyle, with run.json and images/ in it."
            )
        without = [path.name for path in images if not (root / "masks" / path.name).is_file()]
        if without:
            raise DataNotFound(
                f"{len(without)} of {len(images)} images of {root} have no road mask, "
                f"{without[0]} for one; edit them with --roads."
            )
        super().__init__([_edited(path, root / "masks" / path.name) for path in images])


def _edited(path: Path, mask: Path) -> RoadTile:
    with open_image(path) as src:
        shape, placed = src.shape, src.crs is not None
    grid = None
    if placed:
        tile = Tile.from_raster(path)
        grid = PixelGrid(tile.crs, tile.transform, tile.shape)
    return RoadTile(path.stem, path.stem, path, shape, grid, mask)


def _cut(chips: RoadChips, data: DataConfig) -> RoadChips:
    return chips.source.chips(data.chip_size)


def _read(chips: RoadChips, *, drop_blank: bool = False) -> Items:
    """Chips with their pixels; a tile is read once, however many windows it is cut into."""
    images, masks, names, kept = [], [], [], []
    last, image, mask = -1, np.zeros(0, np.uint8), np.zeros(0, np.uint8)
    count = 0
    for k, (number, window) in enumerate(chips.windows):
        tile = chips.source.tiles[number]
        if number != last:
            image, mask = chips.source.read_image(tile), chips.source.read_mask(tile)
            last, count = number, 0
        rows, cols = window.toslices()
        whole = (window.height, window.width) == tile.shape
        name = tile.name if whole else f"{tile.name}#{count}"
        count += 1
        if drop_blank and is_white(image[:, rows, cols]):
            continue
        images.append(image[:, rows, cols])
        masks.append(mask[rows, cols])
        names.append(name)
        kept.append(k)
    shapes = {image.shape for image in images}
    if len(shapes) != 1:
        raise InputError(
            f"Tiles are of {len(shapes)} sizes, of which no batch can be made; set "
            "'data.chip_size' to cut them to one."
        )
    chips = chips.take(kept)
    tiles = [chips.source.tiles[number] for number, _ in chips.windows]
    return Items(
        np.stack(images),
        np.stack(masks),
        tuple(names),
        tuple(tile.name for tile in tiles),
        tuple(tile.place for tile in tiles),
        chips.footprints(),
        tuple(tile.image for tile in tiles),
        chips.synthetic,
        _gsd_m(tiles),
    )


def _joined(name: str, parts: Sequence[Items]) -> Items:
    """The items of several runs, each named with its run where there are several."""
    shapes = sorted({part.images.shape[1:] for part in parts})
    if len(shapes) > 1:
        raise InputError(f"The runs of the pool {name!r} have tiles of the sizes {shapes}.")
    if len(parts) == 1:
        return parts[0]
    sizes = {part.gsd_m for part in parts}
    return Items(
        np.concatenate([part.images for part in parts]),
        np.concatenate([part.masks for part in parts]),
        tuple(f"{k}/{item}" for k, part in enumerate(parts) for item in part.names),
        tuple(f"{k}/{item}" for k, part in enumerate(parts) for item in part.tiles),
        tuple(f"{k}/{item}" for k, part in enumerate(parts) for item in part.places),
        np.concatenate([part.outlines for part in parts]),
        tuple(file for part in parts for file in part.files),
        all(part.synthetic for part in parts),
        sizes.pop() if len(sizes) == 1 else None,
    )


def is_white(image: NDArray[np.uint8]) -> bool:
    """Whether most of an image (3, rows, cols) is white, as map sheets are without data."""
    return bool((image.min(axis=0) >= BLANK).mean() > _MOST_BLANK)


def _gsd_m(tiles: Sequence[RoadTile]) -> float | None:
    sides = {
        round(tile.grid.resolution[0], 4)
        for tile in tiles
        if tile.grid is not None and tile.grid.crs.is_projected
    }
    return sides.pop() if len(sides) == 1 else None


def places_under(items: Items, real: Items) -> list[frozenset[str]]:
    """The real places that each item lies on or is named after, one set an item.

    Args:
        items: Synthetic tiles.
        real: Real tiles.
    """
    found: list[set[str]] = [set() for _ in range(len(items))]
    tile_place = dict(zip(real.tiles, real.places, strict=True))
    known = set(real.places)
    for under, tile, place in zip(found, items.tiles, items.places, strict=True):
        for name in (tile.rpartition("/")[2], place.rpartition("/")[2]):
            under |= {tile_place[name]} if name in tile_place else {name} & known
    here = np.flatnonzero([outline is not None for outline in items.outlines])
    there = np.flatnonzero([outline is not None for outline in real.outlines])
    if len(here) and len(there):
        ours, theirs = items.outlines[here], real.outlines[there]
        pairs = shapely.STRtree(theirs).query(ours, predicate="intersects")
        shared = shapely.area(shapely.intersection(ours[pairs[0]], theirs[pairs[1]]))
        # Neighbours share an edge, give or take rounding.
        for k, other in pairs.T[shared > 1e-3 * shapely.area(ours[pairs[0]])]:
            found[here[k]].add(real.places[there[other]])
    return [frozenset(under) for under in found]
