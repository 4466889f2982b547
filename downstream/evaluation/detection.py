"""Roads: do detectors that have only seen real tiles find them where the masks say?"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

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
from rsaug.downstream.evaluation.report import Row, Section, counted, span
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


class Measure(NamedTuple):
    """A score of road masks that comes from numbers which are added up over tiles.

    Attributes:
        names: Of its scores.
        width: How many numbers a tile has.
        count_tiles: From found and labelled masks (n, rows, cols) and the slack in pixels to the
            numbers of each tile, (n, `width`).
        score: From numbers (..., `width`), added up before, to the scores, (..., len(`names`)).
    """

    names: tuple[str, ...]
    width: int
    count_tiles: Callable[[NDArray[np.uint8], NDArray[np.uint8], float], NDArray[Any]]
    score: Callable[[NDArray[Any]], NDArray[np.float64]]


MEASURES = (
    Measure(
        ("IoU", "precision", "recall"),
        4,
        lambda found, truth, slack_px: confusion_counts(found, truth),
        lambda counts: np.stack([iou(counts), precision(counts), recall(counts)], axis=-1),
    ),
    Measure(
        ("relaxed precision", "relaxed recall", "relaxed F1"),
        4,
        relaxed_counts,
        relaxed_scores,
    ),
)
"""What detectors are measured by: a further score of masks is a further entry here."""

Cities = dict[str, dict[str, tuple[float, int]]]
"""By city and side an IoU and the number of tiles behind it."""

COMPARED = ("IoU", "relaxed F1")
"""Scores of which ratios and changes are given."""


@dataclass(frozen=True, eq=False)
class Found:
    """What a detector found in tiles.

    Attributes:
        masks: (n, rows, cols) uint8, 1 where it sees road.
        places: Names of the places, sorted.
        counts: (places, k) numbers of all `MEASURES`, one after the other.
        tiles: How many tiles there are.
    """

    masks: NDArray[np.uint8]
    places: tuple[str, ...]
    counts: NDArray[Any]
    tiles: int

    def only(self, places: Sequence[str]) -> NDArray[Any]:
        """Numbers of some places, (n, k)."""
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
        [m.count_tiles(masks, tiles.masks, slack_px) for m in MEASURES], axis=1
    )
    places, place_of = np.unique(tiles.places, return_inverse=True)
    counts = np.zeros((len(places), by_tile.shape[1]), dtype=by_tile.dtype)
    np.add.at(counts, place_of, by_tile)
    return Found(masks, tuple(places.tolist()), counts, len(tiles))


def scores(counts: NDArray[Any]) -> dict[str, NDArray[np.float64]]:
    """IoU and the others of numbers (..., k) of `MEASURES`, added up before; (...) each."""
    result: dict[str, NDArray[np.float64]] = {}
    first = 0
    for measure in MEASURES:
        values = measure.score(counts[..., first : first + measure.width])
        result |= {name: values[..., k] for k, name in enumerate(measure.names)}
        first += measure.width
    return result


class Ratios(NamedTuple):
    """Ratios of synthetic over real scores.

    Attributes:
        value: Of all places.
        drawn: Of each bootstrap sample of places in which a real road is found.
    """

    value: float
    drawn: NDArray[np.float64]


def ratios(synthetic: Found, real: Found, *, paired: bool, seed: int = 0) -> dict[str, Ratios]:
    """Ratios of synthetic over real IoU and relaxed F1.

    Args:
        synthetic: Found in synthetic tiles.
        real: Found in real tiles.
        paired: Whether they are of the same places; each bootstrap sample then draws the same on
            both sides, else each side draws by itself.
        seed: Of the bootstrap; the same one draws the same places for every detector.

    Raises:
        InputError: if no road is found in the real tiles.
    """
    ours, theirs = scores(synthetic.counts.sum(axis=0)), scores(real.counts.sum(axis=0))
    drawn = scores(resample(synthetic.counts, seed))
    drawn_real = scores(resample(real.counts, seed if paired else seed + 1))
    result = {}
    for name in COMPARED:
        if not theirs[name] > 0:
            raise InputError(
                "The detector finds no road in the real tiles, so it cannot judge synthetic ones; "
                "train it longer."
            )
        there = np.where(drawn_real[name] > 0, drawn_real[name], np.nan)
        result[name] = Ratios(float(ours[name] / theirs[name]), drawn[name] / there)
    return result


@dataclass(frozen=True, eq=False)
class Opinion:
    """What one detector says of synthetic and real tiles.

    Attributes:
        name: Of the detector.
        synthetic: What it found in synthetic tiles.
        real: What it found in real tiles.
        ratios: See `ratios`.
        cities: IoU and number of tiles by city and side.
    """

    name: str
    synthetic: Found
    real: Found
    ratios: Mapping[str, Ratios]
    cities: Cities

    @property
    def n(self) -> str:
        """Tiles on both sides."""
        return f"{self.synthetic.tiles} : {self.real.tiles} tiles"


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
    opinions: list[Opinion] = []
    figures: list[Figure] = []
    # As many pictures of several detectors as of one, but for some of each.
    most = max(2, _SHOWN // len(detectors))
    for name, detector in detectors.items():
        found, found_real = (find(detector, tiles, slack_m) for tiles in (synthetic, real))
        ratio = ratios(found, found_real, paired=paired, seed=seed)
        cities = _by_city(synthetic, found, real, found_real)
        opinions.append(Opinion(name, found, found_real, ratio, cities))
        figures += _figures(name, synthetic, found, "synthetic", most)
        figures += _figures(name, real, found_real, "real", most // 2)
    rows = [row for opinion in opinions for row in _opinion_rows(opinion, seed)]
    says = [f"{o.name}: {verdict(o.ratios['IoU'].value)}" for o in opinions]
    facts: dict[str, Any] = {o.name: _opinion_facts(o) for o in opinions}
    if len(opinions) > 1:
        mean = mean_rows(opinions)
        rows += mean
        says.append(_mean_sentence(opinions, mean[0]))
    return Section(
        name="roads",
        title="Roads",
        says=(_what(paired, slack_m), *says),
        rows=tuple(rows),
        facts={
            "paired": paired,
            "slack_m": slack_m,
            "bootstrap": {"level": LEVEL, "over": "places", "resamples": RESAMPLES},
            "detectors": facts,
        },
        figures=tuple(figures),
    )


def mean_rows(opinions: Sequence[Opinion]) -> list[Row]:
    """Means of the ratios over detectors, their spread, and means by city.

    The interval of a mean is over places, each sample drawing the same ones for all detectors. It
    does not hold the choice of the detectors, which the deviation over them says something of.
    """
    by = f"mean of {len(opinions)} detectors"
    n = f"{opinions[0].n}, {len(opinions)} detectors"
    rows = []
    for of in COMPARED:
        values = np.array([opinion.ratios[of].value for opinion in opinions])
        drawn = np.mean([opinion.ratios[of].drawn for opinion in opinions], axis=0)
        rows.append(
            Row(f"{of} ratio", "synthetic / real", float(values.mean()), *interval_of(drawn), n, by)
        )
        deviation = float(values.std(ddof=1))
        rows.append(
            Row(
                f"{of} ratio",
                "deviation over detectors, lowest to highest",
                deviation,
                float(values.min()),
                float(values.max()),
                counted(len(opinions), "detector"),
                by,
            )
        )
    return rows + _city_rows(_mean_cities([opinion.cities for opinion in opinions]), by)


def _mean_cities(every: Sequence[Cities]) -> Cities:
    """Means of the IoU over detectors, by city and side."""
    return {
        city: {
            side: (float(np.mean([cities[city][side][0] for cities in every])), n)
            for side, (_, n) in sides.items()
        }
        for city, sides in every[0].items()
    }


def _mean_sentence(opinions: Sequence[Opinion], mean: Row) -> str:
    order = sorted(opinions, key=lambda opinion: opinion.ratios["IoU"].value)
    low, high = (f"{o.ratios['IoU'].value:.2f} ({o.name})" for o in (order[0], order[-1]))
    return (
        f"Mean IoU ratio of {len(opinions)} detectors: {mean.value:.2f} "
        f"({span(mean.low, mean.high)} over places), from {low} to {high}. {verdict(mean.value)}"
    )


def _opinion_rows(opinion: Opinion, seed: int) -> list[Row]:
    rows = [
        row
        for of, side in (("synthetic", opinion.synthetic), ("real", opinion.real))
        for row in _rows(of, side, opinion.name, seed)
    ]
    for of, ratio in opinion.ratios.items():
        interval = interval_of(ratio.drawn)
        rows.append(
            Row(f"{of} ratio", "synthetic / real", ratio.value, *interval, opinion.n, opinion.name)
        )
    return rows + _city_rows(opinion.cities, opinion.name)


def _opinion_facts(opinion: Opinion) -> dict[str, Any]:
    return {
        "iou_by_city": opinion.cities,
        "ratio": {of: [r.value, *interval_of(r.drawn)] for of, r in opinion.ratios.items()},
    }


def _city_rows(cities: Cities, by: str) -> list[Row]:
    """Road IoU of both sides of each city, and their ratio."""
    rows = []
    for city, sides in cities.items():
        for side, (value, n) in sides.items():
            rows.append(Row("IoU", f"{side}, {city}", value, n=counted(n, "tile"), by=by))
        (ours, n), (theirs, n_real) = sides["synthetic"], sides["real"]
        ratio = ours / theirs if theirs > 0 else np.nan
        rows.append(Row("IoU ratio", city, ratio, n=f"{n} : {n_real} tiles", by=by))
    return rows


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


def _by_city(synthetic: Tiles, found: Found, real: Tiles, found_real: Found) -> Cities:
    """IoU and number of tiles of each city that both sides have, by side."""
    shared = sorted(({*synthetic.cities.tolist()} & {*real.cities.tolist()}) - {""})
    result: Cities = {}
    for city in shared:
        result[city] = {}
        for of, tiles, side in (("synthetic", synthetic, found), ("real", real, found_real)):
            here = tiles.cities == city
            counts = side.only(tiles.places[here].tolist()).sum(axis=0)
            result[city][of] = float(scores(counts)["IoU"]), int(here.sum())
    return result


def _figures(name: str, tiles: Tiles, found: Found, of: str, most: int) -> list[Figure]:
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
