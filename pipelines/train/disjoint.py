"""Whether the splits of tile folders have nothing in common: no place, no ground, no pixels."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import shapely
from pyproj import CRS, Transformer

from rsaug.errors import InputError
from rsaug.grid import Tile
from rsaug.pipelines.train.folder import image_path, read_whole_index
from rsaug.raster import read_rgb

# Of a pixel, that rounding of coordinates is no overlap.
_TOUCH = 0.01
_CORNERS_A_SIDE = 8
_NAMED = 5


@dataclass(frozen=True)
class Footprint:
    """An image and the ground that it shows.

    Attributes:
        folder: its tile folder.
        image: its id.
        split: its split.
        place: number of the folder, and place; None where no place is said.
        digest: SHA-256 of its pixels; None where they are all the same.
        tile: where it lies; None where it has no georeference.
    """

    folder: Path
    image: str
    split: str
    place: tuple[str, str] | None
    digest: bytes | None
    tile: Tile | None

    @property
    def name(self) -> str:
        """Folder, id and split, for messages."""
        return f"{self.folder.name}/{self.image} ({self.split})"


def footprints(folders: Sequence[Path]) -> list[Footprint]:
    """All images of some tile folders, of whatever split.

    Raises:
        InputError: if a folder has no index, or an image is missing or cannot be read.
    """
    found = []
    for nth, folder in enumerate(folders):
        index = read_whole_index(folder)
        if index["id"].duplicated().any():
            twice = sorted(set(index["id"][index["id"].duplicated()]))[:_NAMED]
            raise InputError(f"{folder / 'index.csv'} has more than one row for {twice}.")
        for entry in index.sort_values("id").to_dict("records"):
            found.append(_footprint(folder, nth, entry))
    return found


def _footprint(folder: Path, nth: int, entry: dict[Any, Any]) -> Footprint:
    path = image_path(folder, entry["id"])
    rgb = read_rgb(path)
    # White or black all over, two images have nothing in common but that.
    plain = (rgb == rgb[:, :1, :1]).all()
    digest = None if plain else hashlib.sha256(repr(rgb.shape).encode() + rgb.tobytes()).digest()
    place = entry.get("place")
    is_said = isinstance(place, str) or (place is not None and not np.isnan(place))
    return Footprint(
        folder=folder,
        image=str(entry["id"]),
        split=str(entry["split"]),
        place=(str(nth), str(place)) if is_said else None,
        digest=digest,
        tile=_tile_of(path),
    )


def _tile_of(path: Path) -> Tile | None:
    try:
        return Tile.from_raster(path)
    except InputError:
        return None


def check_disjoint(images: Sequence[Footprint]) -> None:
    """Check that no two images of different splits have anything in common.

    Images may touch. A place is one of a folder, as two folders can use the same names.

    Raises:
        InputError: for a place in two splits, ground that is in two, or pixels that are, naming the
            first few of them.
    """
    _refuse("places are in more than one split", _split_places(images))
    hint = ", or leave such images out with --leave-out-overlaps"
    _refuse(
        "pairs of images of different splits have the same pixels",
        [_pair(*pair) for pair in _pairs_of_pixels(images)],
        hint,
    )
    _refuse(
        "pairs of images of different splits overlap on the ground",
        [_pair(*pair) for pair in overlapping(images)],
        hint,
    )


def without_common(
    images: Sequence[Footprint], order: Sequence[str]
) -> tuple[list[Footprint], list[Footprint]]:
    """The images that may stay, and those that have pixels or ground in common with another split.

    Of two images in different splits that have something in common, the one goes whose split comes
    first in ``order``; splits that are not in it come last.
    """
    rank = {split: nth for nth, split in enumerate(order)}
    last = len(order)
    go = {
        min(pair, key=lambda image: rank.get(image.split, last)).name
        for pair in (*_pairs_of_pixels(images), *overlapping(images))
    }
    stay = [image for image in images if image.name not in go]
    return stay, [image for image in images if image.name in go]


def _pairs_of_pixels(images: Sequence[Footprint]) -> list[tuple[Footprint, Footprint]]:
    """All pairs of images of different splits with the same pixels."""
    same: defaultdict[bytes, list[Footprint]] = defaultdict(list)
    for image in images:
        if image.digest is not None:
            same[image.digest].append(image)
    pairs = (pair for group in same.values() for pair in combinations(group, 2))
    return [(a, b) for a, b in pairs if a.split != b.split]


def overlapping(images: Sequence[Footprint]) -> list[tuple[Footprint, Footprint]]:
    """Pairs of images of different splits with ground in common, in order."""
    placed = [image for image in images if image.tile is not None]
    if len({image.split for image in placed}) < 2:
        return []
    boxes = np.array([shapely.box(*_inside(image.tile)) for image in placed], dtype=object)
    world = np.array(
        [_projected(box, image.tile, CRS(4326)) for box, image in zip(boxes, placed, strict=True)]
    )
    left, right = shapely.STRtree(world).query(world)
    splits = np.array([image.split for image in placed])
    candidates = (left < right) & (splits[left] != splits[right])
    pairs = sorted(zip(left[candidates].tolist(), right[candidates].tolist(), strict=True))
    return [(placed[a], placed[b]) for a, b in pairs if _meet(boxes, placed, a, b)]


def _meet(boxes: Any, placed: Sequence[Footprint], a: int, b: int) -> bool:
    one, two = placed[a].tile, placed[b].tile
    if one is None or two is None:
        return False
    if one.crs == two.crs:
        return bool(boxes[a].intersects(boxes[b]))
    common = boxes[a].intersection(_projected(boxes[b], two, one.crs))
    # The edge of one is a curve in the CRS of the other; less than a pixel is no overlap.
    return bool(common.area > one.transform.a**2)


def _inside(tile: Tile | None) -> tuple[float, float, float, float]:
    """Bounds of a tile, less a hundredth of a pixel."""
    if tile is None:
        return (0.0, 0.0, 0.0, 0.0)
    left, bottom, right, top = tile.bounds
    margin = _TOUCH * tile.transform.a
    return left + margin, bottom + margin, right - margin, top - margin


def _projected(box: Any, tile: Tile | None, crs: CRS) -> Any:
    if tile is None or tile.crs == crs:
        return box
    left, bottom, right, top = box.bounds
    side = max(right - left, top - bottom) / _CORNERS_A_SIDE
    transformer = Transformer.from_crs(tile.crs, crs, always_xy=True)
    xy = shapely.get_coordinates(shapely.segmentize(box, side))
    return shapely.make_valid(shapely.Polygon(np.column_stack(transformer.transform(*xy.T))))


def _split_places(images: Iterable[Footprint]) -> list[str]:
    """Places that are in more than one split, and in which."""
    splits: defaultdict[tuple[str, str], list[str]] = defaultdict(list)
    for image in images:
        if image.place and image.split not in splits[image.place]:
            splits[image.place].append(image.split)
    return [f"{place[1]} ({' and '.join(of)})" for place, of in splits.items() if len(of) > 1]


def _pair(a: Footprint, b: Footprint) -> str:
    return f"{a.name} and {b.name}"


def _refuse(what: str, offenders: list[str], hint: str = "") -> None:
    if not offenders:
        return
    more = f" and {len(offenders) - _NAMED} more" if len(offenders) > _NAMED else ""
    raise InputError(
        f"{len(offenders)} {what}: {', '.join(offenders[:_NAMED])}{more}. Give each place to one "
        f"split in index.csv{hint}."
    )
