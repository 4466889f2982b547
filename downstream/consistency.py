"""Consistency: are the roads of synthetic tiles found where their masks say, as real roads are?

A segmenter that has seen only real tiles segments real held-out tiles and synthetic tiles made
from the same road masks. Consistency is the ratio of the two road IoUs. The IoU on real tiles is
what this segmenter can do at all; a ratio of 1 means that synthetic roads are as easy to find and
as true to their masks as real ones.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from rsaug.conditions.stack import ControlStack
from rsaug.downstream.metrics import Scores, confusion_counts, iou, total_scores
from rsaug.errors import InputError
from rsaug.requests import TileGenerator, TileRequest

if TYPE_CHECKING:
    from rsaug.downstream.roadtiles import RoadTiles

RESAMPLES = 10_000
"""Bootstrap samples behind each interval."""

LEVEL = 0.95
"""Share of the bootstrap samples that an interval holds."""

_TOO_LOW, _TOO_HIGH = 0.9, 1.1


class Segmenter(Protocol):
    """What finds roads in tiles; `rsaug.downstream.segmenter.RoadSegmenter` is one."""

    def predict(self, images: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Road masks (n, rows, cols), 0/1, of uint8 RGB images (n, 3, rows, cols)."""


@dataclass(frozen=True, eq=False)
class ConsistencyResult:
    """Scores of a segmenter on one set of tiles.

    Attributes:
        scores: Of all tiles together.
        interval: Of the IoU: `LEVEL` of the bootstrap samples of places lie within.
        tiles: How many tiles there are.
        places: Names of the places, sorted.
        counts: (len(places), 4) confusion counts of each place, in the order of
            `rsaug.downstream.metrics.COUNTS`.
    """

    scores: Scores
    interval: tuple[float, float]
    tiles: int
    places: tuple[str, ...]
    counts: NDArray[np.int64]

    def to_dict(self) -> dict[str, object]:
        """Scores, interval and n, ready for JSON."""
        return {
            **self.scores.to_dict(),
            "iou_interval": _json_pair(self.interval),
            "tiles": self.tiles,
            "places": len(self.places),
        }


@dataclass(frozen=True, eq=False)
class Comparison:
    """A segmenter on synthetic tiles against the same segmenter on real ones.

    Attributes:
        real: Scores on real tiles.
        synthetic: Scores on synthetic tiles of the same places and masks.
        ratio: Synthetic IoU over real IoU.
        interval: Of the ratio; each bootstrap sample draws the same places on both sides.
    """

    real: ConsistencyResult
    synthetic: ConsistencyResult
    ratio: float
    interval: tuple[float, float]

    def to_dict(self) -> dict[str, object]:
        """Both sides, the ratio and the IoU of each place, ready for JSON."""
        sides = zip(iou(self.real.counts), iou(self.synthetic.counts), strict=True)
        return {
            "ratio": self.ratio,
            "ratio_interval": _json_pair(self.interval),
            "bootstrap": {"level": LEVEL, "over": "places", "resamples": RESAMPLES},
            "real": self.real.to_dict(),
            "synthetic": self.synthetic.to_dict(),
            "iou_by_place": {
                place: {"real": _json_number(real), "synthetic": _json_number(synthetic)}
                for place, (real, synthetic) in zip(self.real.places, sides, strict=True)
            },
        }

    def to_text(self) -> str:
        """The comparison as a table for a reader, with a word on what the ratio means."""
        header = f"{'':10} {'IoU':>6}  {'interval':<14} {'precision':>9} {'recall':>6} {'F1':>6}"
        return "\n".join(
            [
                f"{header} {'tiles':>6} {'places':>6}",
                _row("real", self.real),
                _row("synthetic", self.synthetic),
                f"{'ratio':10} {self.ratio:6.3f}  {_pair(self.interval)}",
                "",
                f"Intervals: {LEVEL:.0%}, bootstrap over places, {RESAMPLES} resamples.",
                verdict(self.ratio),
            ]
        )


def evaluate(
    segmenter: Segmenter,
    images: NDArray[np.uint8],
    masks: NDArray[np.uint8],
    groups: NDArray[Any] | Sequence[str],
    *,
    seed: int = 0,
) -> ConsistencyResult:
    """Scores of the segmenter on tiles against the masks that they belong to.

    Args:
        segmenter: Trained on none of these places.
        images: (n, 3, rows, cols) uint8 RGB, real or synthetic.
        masks: (n, rows, cols) 0/1.
        groups: (n,) name of the place of each tile. Tiles of one place (years, variants) are no
            independent evidence, so the bootstrap draws places, not tiles.
        seed: Of the bootstrap.

    Raises:
        InputError: if the arrays do not fit each other, are empty, or the masks are not 0/1.
    """
    if not len(images) == len(masks) == len(groups) or len(images) == 0:
        raise InputError(
            f"There are {len(images)} images, {len(masks)} masks and {len(groups)} places; as many "
            "of each, and at least one, are needed."
        )
    by_tile = confusion_counts(segmenter.predict(images), masks)
    places, place_of = np.unique(np.asarray(groups, dtype=np.str_), return_inverse=True)
    counts = np.zeros((len(places), by_tile.shape[1]), dtype=np.int64)
    np.add.at(counts, place_of, by_tile)
    return ConsistencyResult(
        scores=total_scores(counts),
        interval=interval_of(iou(resample(counts, seed))),
        tiles=len(images),
        places=tuple(places.tolist()),
        counts=counts,
    )


def compare(real: ConsistencyResult, synthetic: ConsistencyResult, *, seed: int = 0) -> Comparison:
    """The ratio of the synthetic IoU to the real one, and its interval over places.

    Args:
        real: From `evaluate` on real tiles.
        synthetic: From `evaluate` on tiles made from the masks of the same places, with any number
            of variants.
        seed: Of the bootstrap.

    Raises:
        InputError: if the two are not of the same places and masks, or no road was found in the
            real tiles.
    """
    if real.places != synthetic.places:
        odd = sorted(set(real.places) ^ set(synthetic.places))
        raise InputError(
            f"Real and synthetic tiles must be of the same places, but {len(odd)} are on one side "
            f"only, e.g. {odd[0]!r}."
        )
    differ = np.flatnonzero(_road_share(real.counts) != _road_share(synthetic.counts))
    if len(differ):
        raise InputError(
            f"Synthetic tiles must be made from the masks of the real ones, but the road masks of "
            f"{real.places[differ[0]]!r} differ."
        )
    if not real.scores.iou > 0:
        raise InputError(
            "The segmenter finds no road in the real tiles, so it cannot judge synthetic ones; "
            "train it longer."
        )
    # One seed and as many places on both sides: the same places are drawn.
    real_iou, synthetic_iou = (iou(resample(side.counts, seed)) for side in (real, synthetic))
    found = real_iou > 0
    return Comparison(
        real=real,
        synthetic=synthetic,
        ratio=synthetic.scores.iou / real.scores.iou,
        interval=interval_of(synthetic_iou[found] / real_iou[found]),
    )


def synthesise(
    generator: TileGenerator, tiles: RoadTiles, *, variants: int = 1, seed: int = 0
) -> RoadTiles:
    """Synthetic tiles from the road masks of ``tiles`` alone, the variants of a tile together.

    Args:
        generator: What makes the images.
        tiles: Their masks, grid and places are used, their images are not.
        variants: Synthetic tiles per real one.
        seed: Of all tiles.

    Returns:
        ``variants`` times as many tiles, with the same masks, places and split.
    """
    pairs = [(k, variant) for k in range(len(tiles)) for variant in range(variants)]
    images: list[NDArray[np.uint8]] = []
    for first in range(0, len(pairs), generator.batch_size):
        batch = pairs[first : first + generator.batch_size]
        images += generator.generate(
            [place_request(tiles, k, variant, seed) for k, variant in batch]
        )
    repeated = np.repeat(np.arange(len(tiles)), variants)
    return replace(
        tiles,
        images=np.stack(images),
        masks=tiles.masks[repeated],
        places=tiles.places[repeated],
        tiles=tuple(tiles.tiles[k] for k in repeated),
    )


def place_request(
    tiles: RoadTiles, k: int, variant: int, seed: int, **maps: NDArray[np.generic]
) -> TileRequest:
    """What to ask a generator for the tile ``tiles[k]``: its road map and further ``maps``.

    The seed follows from the name of the place: a tile taken from a raster has no position in a
    grid, which is what seeds go by in a run.
    """
    digest = hashlib.sha256(f"{seed}/{tiles.places[k]}/{variant}".encode()).digest()
    return TileRequest(
        tile=tiles.tiles[k],
        controls=ControlStack.from_maps(tiles.masks.shape[1:], road=tiles.masks[k], **maps),
        variant=variant,
        seed=int.from_bytes(digest[:8], "big") >> 1,
    )


def resample(counts: NDArray[Any], seed: int) -> NDArray[Any]:
    """Total counts (RESAMPLES, k) of as many places, drawn with replacement from (places, k)."""
    places = len(counts)
    rng = np.random.default_rng(seed)
    times_drawn = rng.multinomial(places, np.full(places, 1 / places), size=RESAMPLES)
    totals: NDArray[Any] = times_drawn @ counts
    return totals


def interval_of(samples: NDArray[np.float64]) -> tuple[float, float]:
    """Middle `LEVEL` of the samples that are defined; NaN if none is."""
    samples = samples[~np.isnan(samples)]
    if not len(samples):
        return np.nan, np.nan
    low, high = np.quantile(samples, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)


def _road_share(counts: NDArray[np.int64]) -> NDArray[np.float64]:
    """Share of each place's pixels that is road; the same for any number of variants."""
    hit, _, missed, _ = counts.T
    share: NDArray[np.float64] = (hit + missed) / counts.sum(axis=1)
    return share


def verdict(ratio: float) -> str:
    """A sentence on what a ratio of IoUs means."""
    if ratio > _TOO_HIGH:
        return (
            f"Above {_TOO_HIGH}: the synthetic roads are easier to find than real ones. Look for "
            "what they lack: cars, shadows, trees over the road, worn surfaces, car parks beside."
        )
    if ratio < _TOO_LOW:
        return (
            f"Below {_TOO_LOW}: roads are missing from the synthetic tiles, lie beside their "
            "masks, or do not look like roads."
        )
    return f"Between {_TOO_LOW} and {_TOO_HIGH}: synthetic roads are found as well as real ones."


def _row(name: str, result: ConsistencyResult) -> str:
    s = result.scores
    return (
        f"{name:10} {s.iou:6.3f}  {_pair(result.interval):<14} {s.precision:9.3f} {s.recall:6.3f} "
        f"{s.f1:6.3f} {result.tiles:6d} {len(result.places):6d}"
    )


def _pair(interval: tuple[float, float]) -> str:
    return f"{interval[0]:.3f} to {interval[1]:.3f}"


def _json_pair(interval: tuple[float, float]) -> list[float | None]:
    return [_json_number(x) for x in interval]


def _json_number(x: float) -> float | None:
    """JSON has no NaN."""
    return None if np.isnan(x) else float(x)
