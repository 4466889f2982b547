"""Roads: do detectors that have only seen real tiles find them where the masks say?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rsaug.downstream.consistency import (
    LEVEL,
    RESAMPLES,
    Segmenter,
    interval_of,
    resample,
    verdict,
)
from rsaug.downstream.evaluation.page import Figure, as_picture, side_by_side
from rsaug.downstream.evaluation.report import Row, Section, counted
from rsaug.downstream.evaluation.tiles import Tiles
from rsaug.downstream.metrics import (
    confusion_counts,
    iou,
    precision,
    recall,
    relaxed_counts,
    relaxed_scores,
)
from rsaug.errors import InputError

_SHOWN = 6
# Right, wrong and missed road pixels on a picture.
_RIGHT, _WRONG, _MISSED = (40, 160, 60), (215, 48, 39), (33, 102, 172)


@dataclass(frozen=True, eq=False)
class Found:
    """What a detector found in tiles.

    Attributes:
        masks: (n, rows, cols) uint8, 1 where it sees road.
        places: Names of the places, sorted.
        counts: (places, 8) those of `confusion_counts`, then those of `relaxed_counts`.
        tiles: How many tiles there are.
    """

    masks: NDArray[np.uint8]
    places: tuple[str, ...]
    counts: NDArray[np.int64]
    tiles: int

    def only(self, places: Sequence[str]) -> NDArray[np.int64]:
        """Counts of some places, (n, 8)."""
        return self.counts[np.isin(self.places, [*places])]


def find(detector: Segmenter, tiles: Tiles, slack_m: float) -> Found:
    """Let a detector look at tiles and count by place.

    Args:
        detector: Trained on none of these tiles.
        tiles: Images with road masks.
        slack_m: How far beside its label a road may lie for relaxed precision and recall.
    """
    masks = detector.predict(tiles.images)
    slack_px = slack_m / tiles.gsd_m
    by_tile = np.concatenate(
        [confusion_counts(masks, tiles.masks), relaxed_counts(masks, tiles.masks, slack_px)], axis=1
    )
    places, place_of = np.unique(tiles.places, return_inverse=True)
    counts = np.zeros((len(places), by_tile.shape[1]), dtype=np.int64)
    np.add.at(counts, place_of, by_tile)
    return Found(masks, tuple(places.tolist()), counts, len(tiles))


def scores(counts: NDArray[np.int64]) -> dict[str, NDArray[np.float64]]:
    """IoU and the others of (..., 8) counts, added up before; (...) each."""
    strict, relaxed = counts[..., :4], relaxed_scores(counts[..., 4:])
    return {
        "IoU": iou(strict),
        "precision": precision(strict),
        "recall": recall(strict),
        "relaxed precision": relaxed[..., 0],
        "relaxed recall": relaxed[..., 1],
        "relaxed F1": relaxed[..., 2],
    }


def ratios(
    synthetic: Found, real: Found, *, paired: bool, seed: int = 0
) -> dict[str, tuple[float, float, float]]:
    """Ratio of synthetic over real IoU and relaxed F1, with its interval.

    Args:
        synthetic: Found in synthetic tiles.
        real: Found in real tiles.
        paired: Whether they are of the same places; each bootstrap sample then draws the same on
            both sides, else each side draws by itself.
        seed: Of the bootstrap.

    Raises:
        InputError: if no road is found in the real tiles.
    """
    ours, theirs = scores(synthetic.counts.sum(axis=0)), scores(real.counts.sum(axis=0))
    drawn = scores(resample(synthetic.counts, seed))
    drawn_real = scores(resample(real.counts, seed if paired else seed + 1))
    result = {}
    for name in ("IoU", "relaxed F1"):
        if not theirs[name] > 0:
            raise InputError(
                "The detector finds no road in the real tiles, so it cannot judge synthetic ones; "
                "train it longer."
            )
        there = drawn_real[name] > 0
        low, high = interval_of(drawn[name][there] / drawn_real[name][there])
        result[name] = float(ours[name] / theirs[name]), low, high
    return result


def judge_roads(
    detectors: Mapping[str, Segmenter],
    synthetic: Tiles,
    real: Tiles,
    *,
    paired: bool,
    slack_m: float,
    seed: int = 0,
) -> Section:
    """What detectors find in synthetic tiles against what they find in real ones.

    Args:
        detectors: By name.
        synthetic: Tiles of the run.
        real: Real tiles that no detector was trained on.
        paired: Whether every synthetic tile lies on a real one and has its mask; the real ones are
            then those places alone.
        slack_m: See `find`.
        seed: Of the bootstrap.
    """
    if paired:
        real = real.take(np.isin(real.places, synthetic.places))
    rows: list[Row] = []
    facts: dict[str, Any] = {}
    figures: list[Figure] = []
    says = [_what(paired, slack_m)]
    for name, detector in detectors.items():
        found, found_real = (find(detector, tiles, slack_m) for tiles in (synthetic, real))
        for of, side in (("synthetic", found), ("real", found_real)):
            rows += _rows(of, side, name, seed)
        ratio = ratios(found, found_real, paired=paired, seed=seed)
        n = f"{found.tiles} : {found_real.tiles}"
        rows += [Row(f"{of} ratio", "synthetic / real", *r, n, name) for of, r in ratio.items()]
        cities = _by_city(synthetic, found, real, found_real)
        rows += [
            Row("IoU", f"{side}, {city}", value, n=counted(n, "tile"), by=name)
            for city, sides in cities.items()
            for side, (value, n) in sides.items()
        ]
        facts[name] = {"iou_by_city": cities, "ratio": {of: list(r) for of, r in ratio.items()}}
        says.append(f"{name}: {verdict(ratio['IoU'][0])}")
        figures += _figures(name, synthetic, found, "synthetic")
        figures += _figures(name, real, found_real, "real", most=_SHOWN // 2)
    return Section(
        name="roads",
        title="Roads",
        says=tuple(says),
        rows=tuple(rows),
        facts={
            "paired": paired,
            "slack_m": slack_m,
            "bootstrap": {"level": LEVEL, "over": "places", "resamples": RESAMPLES},
            "detectors": facts,
        },
        figures=tuple(figures),
    )


def _what(paired: bool, slack_m: float) -> str:
    who = (
        "both on the same places and masks"
        if paired
        else "on other places, so that a difference of the places counts too"
    )
    return (
        "Detectors trained on real tiles look for roads in synthetic and in real tiles, "
        f"{who}. A ratio of 1 says that synthetic roads are found as well as real ones. Relaxed "
        f"scores forgive {slack_m:g} m. Intervals: {LEVEL:.0%}, bootstrap over places."
    )


def _rows(of: str, side: Found, by: str, seed: int) -> list[Row]:
    n = f"{counted(side.tiles, 'tile')}, {counted(len(side.places), 'place')}"
    drawn = scores(resample(side.counts, seed))
    return [
        Row(name, of, float(value), *interval_of(drawn[name]), n, by)
        for name, value in scores(side.counts.sum(axis=0)).items()
    ]


def _by_city(
    synthetic: Tiles, found: Found, real: Tiles, found_real: Found
) -> dict[str, dict[str, tuple[float, int]]]:
    """IoU and number of tiles of each city that both sides have, by side."""
    shared = sorted(({*synthetic.cities.tolist()} & {*real.cities.tolist()}) - {""})
    result: dict[str, dict[str, tuple[float, int]]] = {}
    for city in shared:
        result[city] = {}
        for of, tiles, side in (("synthetic", synthetic, found), ("real", real, found_real)):
            here = tiles.cities == city
            counts = side.only(tiles.places[here].tolist()).sum(axis=0)
            result[city][of] = float(scores(counts)["IoU"]), int(here.sum())
    return result


def _figures(name: str, tiles: Tiles, found: Found, of: str, most: int = _SHOWN) -> list[Figure]:
    """The tiles of the lowest IoU, in which there is road, beside what was found in them."""
    by_tile = iou(confusion_counts(found.masks, tiles.masks))
    worst = np.argsort(np.where(np.isnan(by_tile), np.inf, by_tile), kind="stable")[:most]
    figures = []
    for k in worst[~np.isnan(by_tile[worst])]:
        image = as_picture(tiles.images[k])
        seen = overlay(image, found.masks[k], tiles.masks[k])
        caption = (
            f"{of} {tiles.names[k]}, among the lowest IoU ({by_tile[k]:.2f}) by {name}; green found"
            ", blue missed, red wrong"
        )
        figures.append(Figure(caption, side_by_side(image, seen)))
    return figures


def overlay(
    image: NDArray[np.uint8], found: NDArray[np.uint8], truth: NDArray[np.uint8]
) -> NDArray[np.uint8]:
    """A picture (rows, cols, 3) with road pixels found, missed and wrong in colour."""
    picture = image.astype(np.float32)
    for where, colour in (
        (found & truth, _RIGHT),
        (found & ~truth & 1, _WRONG),
        (truth & ~found & 1, _MISSED),
    ):
        there = where > 0
        picture[there] = 0.45 * picture[there] + 0.55 * np.array(colour, dtype=np.float32)
    return np.rint(picture).astype(np.uint8)
