"""The checks before anything is trained: nothing of what is measured on may be trained on.

Four kinds of leaks are looked for, by place, by ground, by pixels and by marks of provenance. One
that is found ends the sweep, unless real label places reach a little into ground of another split
and are to be dropped for it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rsaug.downstream.bench.items import Items
from rsaug.downstream.bench.protocols import Pool, check_declared
from rsaug.downstream.leakage import is_synthetic, overlap
from rsaug.errors import InputError


class Leak(InputError):
    """Something that is measured on would be trained on.

    Args:
        message: What and where.
        checks: What was looked at until then.
    """

    def __init__(self, message: str, checks: Sequence[Check]) -> None:
        super().__init__(message)
        self.checks = tuple(checks)


@dataclass(frozen=True)
class Check:
    """What one check came to.

    Attributes:
        kind: ``place``, ``ground``, ``pixels`` or ``provenance``.
        of: What was compared with what.
        compared: How many items, in words.
        found: How many of them leak.
        says: What was found and what was done about it.
    """

    kind: str
    of: str
    compared: str
    found: int = 0
    says: str = "nothing found"

    def to_dict(self) -> dict[str, Any]:
        """Ready for JSON."""
        return asdict(self)


def find_leaks(
    labelled: Items,
    held: Mapping[str, Items],
    pools: Sequence[Pool],
    *,
    label_split: str,
    drop: bool,
) -> tuple[Items, list[Check]]:
    """The label tiles that may be trained on, and what was checked.

    Args:
        labelled: Tiles that labels are from.
        held: Tiles to measure on, by split.
        pools: Synthetic tiles.
        label_split: The split of the label tiles.
        drop: Whether label places on ground of another split are left out; else they are a leak.

    Raises:
        Leak: if something leaks.
    """
    checks: list[Check] = []
    _check_provenance(label_split, labelled, held, checks)
    for split, items in held.items():
        _check_places(label_split, labelled, split, items, checks)
        for pool in pools:
            _check_pool_places(pool, split, items, checks)
    kept = _check_ground(label_split, labelled, held, drop, checks)
    for pool in pools:
        check_declared(pool)
        for split, items in held.items():
            found = overlap(pool.items, split, items)
            of = f"pool {pool.config.name!r} and {split}"
            _note(checks, "ground", of, len(pool.items), len(items), len(found.items), str(found))
    _check_pixels(label_split, kept, held, pools, checks)
    return kept, checks


def pixel_hashes(image: NDArray[np.uint8]) -> Iterator[bytes]:
    """Digests of a square image (3, rows, cols) in its eight turns, as it is first.

    An image that is not square has those four that keep its sides.
    """
    for mirrored in (image, image[..., ::-1]):
        for quarter in range(4):
            turned = np.rot90(mirrored, quarter, (-2, -1))
            if turned.shape == image.shape:
                yield hashlib.blake2b(
                    np.ascontiguousarray(turned).tobytes(), digest_size=16
                ).digest()


def _check_provenance(
    label_split: str, labelled: Items, held: Mapping[str, Items], checks: list[Check]
) -> None:
    """No image of a real split says of itself that a model made it."""
    for split, items in {label_split: labelled, **held}.items():
        files = sorted(set(items.files))
        marked = [file for file in files if is_synthetic(file)]
        says = f"{marked[0].name} for one is marked as synthetic" if marked else ""
        of = f"files of {split}"
        _note(checks, "provenance", of, len(files), None, len(marked), says, "file")


def _check_places(
    label_split: str, labelled: Items, split: str, items: Items, checks: list[Check]
) -> None:
    shared = sorted(set(labelled.places) & set(items.places))
    says = f"the place {shared[0]!r} for one is in both" if shared else ""
    count = len(set(labelled.places)), len(set(items.places))
    _note(checks, "place", f"{label_split} and {split}", *count, len(shared), says, "place")


def _check_pool_places(pool: Pool, split: str, items: Items, checks: list[Check]) -> None:
    """Neither a generator nor a layout is of a place that is measured on."""
    places = set(items.places)
    known = sorted(pool.generator_places & places)
    says = f"it was trained on {known[0]!r} for one" if known else ""
    of = f"generator of pool {pool.config.name!r} and {split}"
    count = len(pool.generator_places), len(places)
    _note(checks, "place", of, *count, len(known), says, "place")
    names = {name.rpartition("/")[2] for name in (*pool.items.places, *pool.items.tiles)}
    named = sorted(names & (places | set(items.tiles)))
    says = f"a tile is called {named[0]!r} as one there is" if named else ""
    of = f"layouts of pool {pool.config.name!r} and {split}"
    _note(checks, "place", of, len(pool.items), len(places), len(named), says)


def _check_ground(
    label_split: str,
    labelled: Items,
    held: Mapping[str, Items],
    drop: bool,
    checks: list[Check],
) -> Items:
    """The label tiles that lie on no ground that is measured on."""
    gone: set[int] = set()
    for split, items in held.items():
        found = overlap(labelled, split, items)
        of = f"{label_split} and {split}"
        if drop and len(found.items):
            compared = f"{len(labelled)} and {len(items)} tiles"
            says = f"{found}; left out"
            checks.append(Check("ground", of, compared, len(found.items), says))
            gone |= set(found.items.tolist())
            continue
        says = f"{found}; set 'data.on_overlap' to drop, to train without them"
        _note(checks, "ground", of, len(labelled), len(items), len(found.items), says)
    if not gone:
        return labelled
    return labelled.take([k for k in range(len(labelled)) if k not in gone])


def _check_pixels(
    label_split: str,
    labelled: Items,
    held: Mapping[str, Items],
    pools: Sequence[Pool],
    checks: list[Check],
) -> None:
    """No image is one that is measured on, nor is a synthetic one a real one, however turned."""
    real = {split: _hashes(items) for split, items in held.items()}
    trained = {label_split: labelled, **{f"pool {p.config.name!r}": p.items for p in pools}}
    for name, items in trained.items():
        against = dict(real)
        if items.synthetic:
            against[label_split] = _hashes(labelled)
        for split, known in against.items():
            exact, turned, first = _twins(items, known)
            found = exact + turned
            says = (
                f"{exact} are the same and {turned} the same but turned, {first} for one"
                if found
                else ""
            )
            sizes = len(items), len(known)
            _note(checks, "pixels", f"{name} and {split}", *sizes, found, says)


def _hashes(items: Items) -> set[bytes]:
    """Digests of the images as they are; those of one colour say nothing and are left out."""
    return {next(pixel_hashes(image)) for image in items.images if image.min() != image.max()}


def _twins(items: Items, known: set[bytes]) -> tuple[int, int, str]:
    """How many images are known as they are, and turned; and the name of the first."""
    exact = turned = 0
    first = ""
    for name, image in zip(items.names, items.images, strict=True):
        if image.min() == image.max():
            continue
        as_it_is, *others = pixel_hashes(image)
        if as_it_is in known:
            exact += 1
        elif not known.isdisjoint(others):
            turned += 1
        else:
            continue
        first = first or name
    return exact, turned, first


def _note(
    checks: list[Check],
    kind: str,
    of: str,
    ours: int,
    theirs: int | None,
    found: int,
    says: str,
    unit: str = "tile",
) -> None:
    """Add a check; one that found something ends all."""
    compared = f"{ours} {unit}s" if theirs is None else f"{ours} and {theirs} {unit}s"
    if not found:
        checks.append(Check(kind, of, compared))
        return
    checks.append(Check(kind, of, compared, found, says))
    raise Leak(f"There is a leak by {kind}, {of}: {found} of {compared}; {says}.", checks)
