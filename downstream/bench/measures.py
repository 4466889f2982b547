"""Scores from numbers that are counted place by place, and only then added up and divided."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from rsaug.downstream.bench.config import EvaluationConfig, Metric
from rsaug.downstream.bench.items import Items
from rsaug.downstream.graph.masks import graph_of_mask
from rsaug.downstream.metrics import (
    apls_counts,
    apls_scores,
    cldice_counts,
    confusion_counts,
    f1,
    iou,
    relaxed_counts,
    relaxed_scores,
)
from rsaug.errors import InputError

WIDTH = 4
"""Numbers that a place has of each count."""

Masks = NDArray[np.uint8]
Counts = NDArray[np.float64]


class Score(NamedTuple):
    """A score of road masks.

    Attributes:
        title: For readers.
        counted: Name of the numbers that it comes from, of `count_places`.
        of: From numbers (..., `WIDTH`), added up before, to the score (...), NaN where undefined.
    """

    title: str
    counted: str
    of: Callable[[Counts], Counts]


SCORES: Mapping[Metric, Score] = {
    "iou": Score("IoU", "pixels", iou),
    "f1": Score("F1", "pixels", f1),
    "relaxed_f1": Score("relaxed F1", "relaxed", lambda counts: relaxed_scores(counts)[..., 2]),
    "cldice": Score("clDice", "skeleton", lambda counts: relaxed_scores(counts)[..., 2]),
    "apls": Score("APLS", "paths", lambda counts: apls_scores(counts)[..., 0]),
}
"""Every score that can be asked for."""


@dataclass(frozen=True, eq=False)
class Counted:
    """Numbers of the places of a split.

    Attributes:
        places: Names, sorted.
        counts: (places, `WIDTH`) by name of the count.
    """

    places: tuple[str, ...]
    counts: Mapping[str, Counts]

    def to_dict(self) -> dict[str, Any]:
        """Ready for JSON."""
        numbers = {name: counts.tolist() for name, counts in self.counts.items()}
        return {"places": [*self.places], **numbers}

    @classmethod
    def from_dict(cls, raw: Mapping[str, Any]) -> Counted:
        """What `to_dict` made."""
        places = tuple(raw["places"])
        counts = {
            name: np.array(values, dtype=np.float64).reshape(len(places), WIDTH)
            for name, values in raw.items()
            if name != "places"
        }
        return cls(places, counts)


def count_places(found: Masks, items: Items, wanted: EvaluationConfig) -> Counted:
    """Numbers of what was found in tiles, by place.

    Args:
        found: (n, rows, cols) uint8, 1 where road was found.
        items: The tiles.
        wanted: Which scores are wanted.

    Raises:
        InputError: if paths are to be measured, and the size of a pixel is not known.
    """
    names = dict.fromkeys(SCORES[metric].counted for metric in wanted.metrics)
    places, place_of = np.unique(items.places, return_inverse=True)
    counts = {}
    for name in names:
        by_tile = _count(name, found, items, wanted)
        counts[name] = np.zeros((len(places), WIDTH))
        np.add.at(counts[name], place_of, by_tile)
    return Counted(tuple(places.tolist()), counts)


def gsd_of(items: Items, wanted: EvaluationConfig) -> float | None:
    """Metres a pixel, where paths are to be measured.

    Raises:
        InputError: if it is not known.
    """
    if "apls" not in wanted.metrics:
        return None
    gsd_m = wanted.gsd or items.gsd_m
    if gsd_m is None:
        raise InputError(
            "APLS needs the size of a pixel, and the tiles do not say it; set 'evaluation.gsd' to "
            "metres a pixel."
        )
    return gsd_m


def _count(name: str, found: Masks, items: Items, wanted: EvaluationConfig) -> NDArray[Any]:
    """Numbers of each tile, (n, `WIDTH`)."""
    if name == "pixels":
        return confusion_counts(found, items.masks)
    if name == "relaxed":
        return relaxed_counts(found, items.masks, wanted.slack_px)
    if name == "skeleton":
        return cldice_counts(found, items.masks)
    gsd_m = gsd_of(items, wanted)
    pairs: Sequence[tuple[Masks, Masks]] = [*zip(found, items.masks, strict=True)]
    # Both graphs are made of masks, in the same way, so that what that costs is on both sides.
    graphs = [tuple(graph_of_mask(mask, gsd_m or 1.0) for mask in pair) for pair in pairs]
    return np.stack([apls_counts(ours, theirs) for ours, theirs in graphs])
