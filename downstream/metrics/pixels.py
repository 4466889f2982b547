"""Pixel metrics of road masks, from confusion counts.

Every score is one of the whole data set, for the road class alone: the counts of all tiles are
added first, then divided. Averages over tiles would give a tile with ten road pixels the weight of
one with ten thousand, and averages over classes would let the background decide.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from rsaug.errors import InputError

COUNTS = ("true_positive", "false_positive", "false_negative", "true_negative")


@dataclass(frozen=True)
class Scores:
    """Scores of the road class over a set of tiles, each in [0, 1]; NaN where it is 0 / 0."""

    iou: float
    precision: float
    recall: float
    f1: float

    def to_dict(self) -> dict[str, float | None]:
        """By name, for JSON: None in place of NaN."""
        return {name: None if np.isnan(x) else x for name, x in asdict(self).items()}


def confusion_counts(predicted: NDArray[Any], truth: NDArray[Any]) -> NDArray[np.int64]:
    """Pixels of each kind in each tile, (n, 4) in the order of `COUNTS`.

    Args:
        predicted: (n, rows, cols), 1 on road and 0 elsewhere, of any integer or boolean type.
        truth: The same, from the labels.

    Raises:
        InputError: if the shapes differ, there are not three axes, or a value is neither 0 nor 1.
    """
    if predicted.shape != truth.shape or predicted.ndim != 3:
        raise InputError(
            f"Masks must be two arrays of one shape (n, rows, cols), not {predicted.shape} and "
            f"{truth.shape}."
        )
    found, labelled = _as_bool(predicted, "predicted"), _as_bool(truth, "true")
    both = np.count_nonzero(found & labelled, axis=(1, 2))
    found_px = np.count_nonzero(found, axis=(1, 2))
    labelled_px = np.count_nonzero(labelled, axis=(1, 2))
    neither = truth.shape[1] * truth.shape[2] - found_px - labelled_px + both
    return np.stack([both, found_px - both, labelled_px - both, neither], axis=1).astype(np.int64)


def _as_bool(mask: NDArray[Any], name: str) -> NDArray[np.bool_]:
    road = mask.astype(bool)
    if not np.array_equal(mask, road):
        raise InputError(
            f"The {name} mask holds values other than 0 and 1 (the largest is {mask.max()}); "
            "threshold it first."
        )
    return road


def iou(counts: NDArray[Any]) -> NDArray[np.float64]:
    """Intersection over union (Jaccard index) of the road class: TP / (TP + FP + FN).

    Args:
        counts: (..., 4) in the order of `COUNTS`; add up tiles before, not after.

    Returns:
        (...) in [0, 1]; NaN where there is no road in either mask.
    """
    hit, false, missed = _split(counts)
    return _ratio(hit, hit + false + missed)


def precision(counts: NDArray[Any]) -> NDArray[np.float64]:
    """Share of the found road pixels that are road: TP / (TP + FP), (...); NaN if none is found."""
    hit, false, _ = _split(counts)
    return _ratio(hit, hit + false)


def recall(counts: NDArray[Any]) -> NDArray[np.float64]:
    """Share of the road pixels that are found: TP / (TP + FN), (...); NaN if there is no road."""
    hit, _, missed = _split(counts)
    return _ratio(hit, hit + missed)


def f1(counts: NDArray[Any]) -> NDArray[np.float64]:
    """Harmonic mean of precision and recall (Dice): 2 TP / (2 TP + FP + FN), (...); as `iou`."""
    hit, false, missed = _split(counts)
    return _ratio(2 * hit, 2 * hit + false + missed)


def total_scores(counts: NDArray[np.int64]) -> Scores:
    """Scores of all tiles together, from their (n, 4) counts."""
    total = counts.sum(axis=0)
    return Scores(*(float(score(total)) for score in (iou, precision, recall, f1)))


def relaxed_counts(
    predicted: NDArray[Any], truth: NDArray[Any], slack_px: float
) -> NDArray[np.int64]:
    """Counts for precision and recall that forgive roads a little beside their labels.

    A found pixel is right where a labelled one lies within the slack, a labelled one is found where
    a found one does (Mnih and Hinton 2012, "Learning to label aerial images from noisy data";
    there the slack is 3 pixels of 1 m). Distances are Euclidean, between pixel centres.

    Args:
        predicted: (n, rows, cols), 1 on road and 0 elsewhere.
        truth: The same, from the labels.
        slack_px: From 0, which makes them the counts behind `precision` and `recall`.

    Returns:
        (n, 4): found pixels that are right, found pixels, labelled pixels that are found, labelled
        pixels.

    Raises:
        InputError: as `confusion_counts`, or if the slack is negative or no number.
    """
    if not slack_px >= 0:
        raise InputError(f"The slack must be a number of pixels from 0 up, not {slack_px}.")
    confusion_counts(predicted, truth)
    counts = np.zeros((len(truth), 4), dtype=np.int64)
    for k, (found, labelled) in enumerate(zip(predicted > 0, truth > 0, strict=True)):
        right, reached = found & near(labelled, slack_px), labelled & near(found, slack_px)
        counts[k] = right.sum(), found.sum(), reached.sum(), labelled.sum()
    return counts


def relaxed_scores(counts: NDArray[Any]) -> NDArray[np.float64]:
    """Relaxed precision, recall and F1 of (..., 4) counts of `relaxed_counts`, (..., 3).

    F1 is the harmonic mean; 0 where nothing is right, NaN where there is no road in either mask.
    """
    right, found, reached, labelled = np.moveaxis(np.asarray(counts, dtype=np.float64), -1, 0)
    p, r = _ratio(right, found), _ratio(reached, labelled)
    product, total = np.nan_to_num(p * r), np.nan_to_num(p) + np.nan_to_num(r)
    mean = 2 * product / np.where(total == 0, 1.0, total)
    return np.stack([p, r, np.where(found + labelled == 0, np.nan, mean)], axis=-1)


def near(mask: NDArray[np.bool_], reach_px: float) -> NDArray[np.bool_]:
    """Where a pixel of the mask (rows, cols) lies within reach, between pixel centres."""
    if not mask.any():
        return np.zeros_like(mask)
    distance: NDArray[np.float64] = ndimage.distance_transform_edt(~mask)
    return distance <= reach_px


def road_scores(predicted: NDArray[Any], truth: NDArray[Any]) -> Scores:
    """Scores of (n, rows, cols) 0/1 masks against their labels, over all tiles together.

    >>> found, labels = np.array([[[1, 1, 0, 0]]]), np.array([[[1, 0, 1, 0]]])
    >>> road_scores(found, labels).precision
    0.5

    Raises:
        InputError: as `confusion_counts`.
    """
    return total_scores(confusion_counts(predicted, truth))


def _split(counts: NDArray[Any]) -> tuple[NDArray[np.float64], ...]:
    hit, false, missed, _ = np.moveaxis(np.asarray(counts, dtype=np.float64), -1, 0)
    return hit, false, missed


def _ratio(part: NDArray[np.float64], whole: NDArray[np.float64]) -> NDArray[np.float64]:
    empty = whole == 0
    return np.where(empty, np.nan, part / np.where(empty, 1.0, whole))
