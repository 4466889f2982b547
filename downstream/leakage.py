"""What must not happen between training and measuring: synthetic images, or the same ground.

Synthetic images are for training alone. They are told by their dataset and by what is embedded in
their files, so that renaming or moving them hides nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import shapely
from numpy.typing import NDArray

from rsaug.errors import InputError
from rsaug.provenance import read_provenance, read_xmp
from rsaug.rasterfile import without_place

# IPTC's terms for media that a model made, wholly or in part, end in this.
_MADE_BY_MODEL = "rainedAlgorithmicMedia"
# Tiles that share an edge overlap by rounding; in shares of the smaller one.
_SHARED_EDGE = 1e-3


class Held(Protocol):
    """Items that a detector is trained or measured on."""

    @property
    def synthetic(self) -> bool:
        """Whether a model made them."""

    @property
    def names(self) -> Sequence[str]:
        """Name of each item's tile."""

    @property
    def places(self) -> Sequence[str]:
        """Place of each item."""

    def footprints(self) -> NDArray[np.object_]:
        """Outline of each item in degrees; None where it has none."""


@dataclass(frozen=True, eq=False)
class Overlap:
    """Training items on ground that is measured on.

    Attributes:
        items: (n,) numbers of all items of the places concerned, ascending.
        places: Those places, sorted.
        split: The split that they were compared with.
    """

    items: NDArray[np.intp]
    places: tuple[str, ...]
    split: str

    def __str__(self) -> str:
        shown = ", ".join(self.places[:3]) + (", ..." if len(self.places) > 3 else "")
        return (
            f"{len(self.places)} training places ({len(self.items)} tiles) lie on ground of the "
            f"split {self.split!r}: {shown}"
        )


def is_synthetic(path: Path) -> bool:
    """Whether an image says of itself that a model made it, or a part of it.

    Raises:
        InputError: if the file cannot be read.
    """
    with without_place():
        return read_provenance(path) is not None or _MADE_BY_MODEL in (read_xmp(path) or "")


def refuse_synthetic(split: str, held: Held, images: Iterable[Path]) -> None:
    """Refuse to measure on images that a model made.

    Args:
        split: What they are for.
        held: The items.
        images: Their files; what is embedded in each is read.

    Raises:
        InputError: if they are of a synthetic dataset, or a file says that it is synthetic.
    """
    why = "what is measured on them says nothing of real imagery. Give real tiles."
    if held.synthetic:
        raise InputError(f"The split {split!r} is made of synthetic tiles; {why}")
    marked = [path for path in images if is_synthetic(path)]
    if marked:
        raise InputError(
            f"{len(marked)} images of the split {split!r} are marked as synthetic, {marked[0]} for "
            f"one; {why}"
        )


def overlap(train: Held, split: str, held: Held) -> Overlap:
    """The training places of which a tile lies on ground of a split that is measured on.

    Tiles without a place on Earth are compared by the name of their place.
    """
    concerned = set(_on_ground_of(train, held))
    outlines, others = train.footprints(), held.footprints()
    if any(outline is None for outline in (*outlines, *others)) and not train.synthetic:
        concerned |= set(train.places) & set(held.places)
    items = [k for k, place in enumerate(train.places) if place in concerned]
    return Overlap(np.array(items, dtype=np.intp), tuple(sorted(concerned)), split)


def overlaps(train: Held, held: Mapping[str, Held]) -> list[Overlap]:
    """Where training items lie on ground of other splits, of those where any do."""
    found = [overlap(train, split, items) for split, items in held.items()]
    return [one for one in found if len(one.items)]


def _on_ground_of(train: Held, held: Held) -> set[str]:
    """Places of items that share ground with an item of another set."""
    ours, theirs = train.footprints(), held.footprints()
    here = np.flatnonzero([outline is not None for outline in ours])
    there = theirs[[outline is not None for outline in theirs]]
    if not len(here) or not len(there):
        return set()
    pairs = shapely.STRtree(there).query(ours[here], predicate="intersects")
    mine, other = ours[here[pairs[0]]], there[pairs[1]]
    shared = shapely.area(shapely.intersection(mine, other))
    least = _SHARED_EDGE * np.minimum(shapely.area(mine), shapely.area(other))
    return {train.places[here[k]] for k in pairs[0][shared > least]}
