"""Novelty: do variants differ, and is no tile a copy of a training tile?"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from rsaug.downstream.evaluation.features import AerialEncoder
from rsaug.downstream.evaluation.page import Figure, as_picture, side_by_side
from rsaug.downstream.evaluation.report import Row, Section, counted
from rsaug.downstream.evaluation.tiles import Tiles
from rsaug.pipelines.train.losses import LPIPS

_MOST_PAIRS = 200
_SHOWN, _EXAMPLES = 6, 6
_TURNS = tuple((quarter, mirror) for quarter in range(4) for mirror in (False, True))
# Of real tiles that are no copies, this share counts as suspiciously near.
_SUSPECT = 0.05
_FEWEST_REPEATS = 20

Pairs = NDArray[np.intp]
"""Positions of the two images of each pair, (n, 2)."""


@dataclass(frozen=True, eq=False)
class Nearest:
    """The nearest training image of each image.

    Attributes:
        distances: (n,) 1 - cosine of the features, from 0 to 2.
        which: (n,) position of the nearest.
        turns: (n,) position in the eight orientations in which the image was the nearest.
    """

    distances: NDArray[np.float32]
    which: NDArray[np.intp]
    turns: NDArray[np.intp]


def turned(images: NDArray[np.uint8], turn: int) -> NDArray[np.uint8]:
    """Images (n, 3, rows, cols) in one of the eight orientations of a square, 0 as they are."""
    quarter, mirror = _TURNS[turn]
    out = np.rot90(images, quarter, (-2, -1))
    return np.ascontiguousarray(out[..., ::-1] if mirror else out)


def nearest(
    encoder: AerialEncoder, images: NDArray[np.uint8], training: NDArray[np.float32]
) -> Nearest:
    """Search the nearest training image for each image in all eight orientations.

    Generators are trained on tiles turned and mirrored, so a copy may lie in any orientation.

    Args:
        encoder: What features are of; images are taken whole.
        images: (n, 3, rows, cols) uint8, square.
        training: (m, d) features of the training images, unit vectors.
    """
    cosine = np.stack(
        [encoder.embed(turned(images, turn)) @ training.T for turn in range(len(_TURNS))]
    )
    best = cosine.max(axis=0)
    which = best.argmax(axis=1)
    each = np.arange(len(images))
    return Nearest(1 - best[each, which], which, cosine[:, each, which].argmax(axis=0))


def same_place_pairs(places: NDArray[np.str_]) -> Pairs:
    """Pairs of images of one place, (n, 2); all of them."""
    order = np.argsort(places, kind="stable")
    groups = np.split(order, np.flatnonzero(places[order][1:] != places[order][:-1]) + 1)
    found = [pair for group in groups for pair in combinations(sorted(group.tolist()), 2)]
    return np.array(found, dtype=np.intp).reshape(-1, 2)


def other_place_pairs(places: NDArray[np.str_], count: int, seed: int = 0) -> Pairs:
    """Random pairs of images of different places, at most ``count``, each once; (n, 2)."""
    first, second = np.triu_indices(len(places), k=1)
    here = np.flatnonzero(places[first] != places[second])
    drawn = np.random.default_rng(seed).permutation(here)[:count]
    return np.stack([first[drawn], second[drawn]], axis=1)


def judge_memory(
    encoder: AerialEncoder,
    synthetic: Tiles,
    real: Tiles,
    photos: Tiles,
    *,
    note: Callable[[str], None] = lambda text: None,
) -> Section:
    """Distance of synthetic tiles to the nearest training tile, beside that of real val tiles.

    Args:
        encoder: What features are of.
        synthetic: Tiles of the run.
        real: Real tiles that the generator was not trained on.
        photos: The training tiles, every year.
        note: Called with what is being done.
    """
    note(f"Features of {len(photos)} training tiles")
    training = encoder.embed(photos.images)
    note("Nearest training tiles")
    ours, theirs = (nearest(encoder, tiles.images, training) for tiles in (synthetic, real))
    searched = f"{len(photos)} of {photos.of} training images, 8 orientations"
    of = "to the nearest training tile"
    suspect = float(np.quantile(theirs.distances, _SUSPECT))
    share = float((ours.distances < suspect).mean())
    rows = [
        spread_row(of, "synthetic", ours.distances, encoder.name),
        spread_row(of, "real val", theirs.distances, encoder.name),
        Row(
            f"nearer than {_SUSPECT:.0%} of real val",
            "synthetic",
            share,
            n=counted(len(synthetic), "tile"),
            by=encoder.name,
        ),
    ]
    says = [
        f"1 - cosine of features of whole tiles, median and middle 95 %; searched: {searched}. "
        "Real val tiles are no copies, so synthetic tiles should not lie nearer than they do.",
        f"{share:.0%} of the synthetic tiles lie nearer than {suspect:.3f}, as {_SUSPECT:.0%} of "
        "the real val tiles do.",
    ]
    facts: dict[str, Any] = {"searched": searched, "extractor": encoder.name, "suspect": suspect}
    pairs = same_place_pairs(photos.places)
    if len(pairs) >= _FEWEST_REPEATS:
        apart = 1 - (training[pairs[:, 0]] * training[pairs[:, 1]]).sum(axis=1)
        usual = float(np.median(apart))
        copies = int((ours.distances <= usual).sum())
        rows.append(spread_row("of one place, two years", "training", apart, encoder.name, "pair"))
        facts |= {"as_another_year": usual, "copies": copies}
        says.append(
            f"{copies} of {len(synthetic)} synthetic tiles lie as near as two photographs of one "
            f"place usually do ({usual:.3f})."
        )
    return Section(
        name="memory",
        title="Memorization",
        says=tuple(says),
        rows=tuple(rows),
        facts={**facts, "nearest": _table(synthetic, photos, ours)},
        figures=_figures(synthetic, photos, ours),
    )


def judge_variety(
    encoder: AerialEncoder | None,
    synthetic: Tiles,
    real: Tiles | None,
    lpips: LPIPS | None,
    *,
    seed: int = 0,
) -> Section:
    """Distances between variants of a tile, beside those between different tiles.

    Args:
        encoder: What features are of; without it only the perceptual distance is measured.
        synthetic: Tiles of the run.
        real: Real tiles.
        lpips: Perceptual distance; without it only that of the features is measured.
        seed: Of the pairs that are drawn.
    """
    rng = np.random.default_rng(seed)
    of_variants = same_place_pairs(synthetic.places)
    sides: list[tuple[str, Tiles, Pairs]] = [
        ("variants of a synthetic tile", synthetic, rng.permutation(of_variants)[:_MOST_PAIRS]),
        (
            "different synthetic tiles",
            synthetic,
            other_place_pairs(synthetic.places, _MOST_PAIRS, seed),
        ),
    ]
    if real is not None:
        pairs = other_place_pairs(real.places, _MOST_PAIRS, seed)
        sides.append(("different real tiles", real, pairs))
    missing = []
    if not len(of_variants):
        missing.append("Variants against each other; the run has one image a tile (--variants).")
    if lpips is None:
        missing.append("LPIPS, which needs the weights of AlexNet and its heads (--lpips).")
    rows = []
    for of, tiles, pairs in sides:
        if not len(pairs):
            continue
        if encoder is not None:
            features = _embedded(encoder, tiles, pairs)
            apart = np.array([1 - float(features[a] @ features[b]) for a, b in pairs])
            rows.append(spread_row("1 - cosine", of, apart, encoder.name, "pair"))
        if lpips is not None:
            distance = perceptual(lpips, tiles.images, pairs)
            rows.append(spread_row("LPIPS", of, distance, "AlexNet", "pair"))
    return Section(
        name="variety",
        title="Variety",
        says=(
            "Distances between pairs of tiles, median and middle 95 %. Variants share their roads "
            "and controls, so they may lie nearer than different tiles; near 0 they are one image.",
        ),
        rows=tuple(rows),
        figures=_examples(synthetic, real),
        missing=tuple(missing),
    )


def _embedded(encoder: AerialEncoder, tiles: Tiles, pairs: Pairs) -> dict[int, NDArray[np.float32]]:
    """Features of the images that occur in pairs, by their position."""
    used = np.unique(pairs)
    return dict(zip(used.tolist(), encoder.embed(tiles.images[used]), strict=True))


@torch.inference_mode()
def perceptual(
    lpips: LPIPS, images: NDArray[np.uint8], pairs: Pairs, batch: int = 8
) -> NDArray[np.float32]:
    """LPIPS of pairs of images (n, 3, rows, cols) uint8, (pairs,)."""
    out = np.empty(len(pairs), dtype=np.float32)
    for first in range(0, len(pairs), batch):
        part = pairs[first : first + batch]
        a, b = (torch.from_numpy(images[part[:, k]]).float() / 127.5 - 1 for k in range(2))
        out[first : first + batch] = lpips(a, b).numpy()
    return out


def spread_row(
    measure: str, of: str, values: NDArray[np.generic], by: str, unit: str = "tile"
) -> Row:
    """Median of values and the middle 95 % of them."""
    low, middle, high = (float(v) for v in np.quantile(np.asarray(values), [0.025, 0.5, 0.975]))
    return Row(measure, of, middle, low, high, counted(len(values), unit), by)


def _table(synthetic: Tiles, photos: Tiles, found: Nearest) -> list[dict[str, Any]]:
    order = np.argsort(found.distances, kind="stable")
    return [
        {
            "tile": str(synthetic.names[k]),
            "training_tile": str(photos.names[found.which[k]]),
            "distance": float(found.distances[k]),
        }
        for k in order
    ]


def _figures(synthetic: Tiles, photos: Tiles, found: Nearest) -> tuple[Figure, ...]:
    """The synthetic tiles nearest to a training tile, turned as that lies, beside it."""
    figures = []
    for k in np.argsort(found.distances, kind="stable")[:_SHOWN]:
        ours = as_picture(turned(synthetic.images[k][None], int(found.turns[k]))[0])
        theirs = as_picture(photos.images[found.which[k]])
        caption = (
            f"{synthetic.names[k]}, turned as it fits, and its nearest training tile "
            f"{photos.names[found.which[k]]}, {found.distances[k]:.3f} apart"
        )
        figures.append(Figure(caption, side_by_side(ours, theirs)))
    return tuple(figures)


def _examples(synthetic: Tiles, real: Tiles | None) -> tuple[Figure, ...]:
    """A few tiles, spread evenly: the real one where there is one, the mask, the variants."""
    places = np.unique(synthetic.places)
    shown = places[np.linspace(0, len(places) - 1, min(_EXAMPLES, len(places))).round().astype(int)]
    figures = []
    for place in shown:
        at = np.flatnonzero(synthetic.places == place)
        there = [] if real is None else np.flatnonzero(real.places == place)[:1].tolist()
        pictures = [] if real is None else [as_picture(real.images[k]) for k in there]
        pictures.append(np.repeat(synthetic.masks[at[0]][..., None] * np.uint8(255), 3, axis=2))
        pictures += [as_picture(synthetic.images[k]) for k in at[:3]]
        what = ("the real tile, " if there else "") + "the road mask, synthetic ones"
        figures.append(Figure(f"{place}: {what}", side_by_side(*pictures)))
    return tuple(figures)
