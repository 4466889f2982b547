"""Changes: what settings did to images, from two runs of the same tiles and seeds."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rsaug.downstream.consistency import LEVEL, Segmenter, interval_of, resample
from rsaug.downstream.evaluation.appearance import (
    BY,
    GREEN,
    MEASURES,
    appearance,
    colour_distance,
    over_places,
)
from rsaug.downstream.evaluation.autoencoder import Autoencoder
from rsaug.downstream.evaluation.detection import COMPARED, find, scores
from rsaug.downstream.evaluation.features import AerialEncoder
from rsaug.downstream.evaluation.matching import (
    Matched,
    difference,
    match,
    read_settings,
    read_style,
)
from rsaug.downstream.evaluation.novelty import Pairs, perceptual, same_place_pairs, spread_row
from rsaug.downstream.evaluation.page import Figure, as_picture, side_by_side
from rsaug.downstream.evaluation.report import Row, Section, counted
from rsaug.downstream.evaluation.stylistic import style_rows
from rsaug.downstream.evaluation.tiles import Tiles
from rsaug.downstream.evaluation.years import year_rows
from rsaug.pipelines.train.losses import LPIPS

AIM_POINTS = 5.0
"""By less than so many points the IoU of roads is to change."""

_SHOWN = 8
_MOST_PAIRS = 200
_OURS, _THEIRS, _CHANGE = "this run", "the baseline", "difference"


@dataclass(frozen=True, eq=False)
class Instruments:
    """What changes are measured with; what is None is left out.

    Attributes:
        detectors: By name.
        encoder: Of aerial features.
        lpips: Perceptual distance.
        autoencoder: Of a model, for statistics of latents.
        slack_m: How far beside its label a road may lie for relaxed scores.
        seed: Of bootstrap and pairs.
    """

    detectors: Mapping[str, Segmenter]
    encoder: AerialEncoder | None
    lpips: LPIPS | None
    autoencoder: Autoencoder | None
    slack_m: float
    seed: int = 0


def judge_changes(
    run: Path,
    synthetic: Tiles,
    baseline: Path,
    instruments: Instruments,
    real_folder: Path | None = None,
    note: Callable[[str], None] = lambda text: None,
) -> Section:
    """What a run's settings changed against a baseline.

    Args:
        run: Folder of the run.
        synthetic: Its images.
        baseline: Folder of a run of the same tiles and seeds with other settings.
        instruments: What is measured with.
        real_folder: Tile folder; where it has several years of its val places, the difference
            between years is given beside.
        note: Called with what is being done.

    Raises:
        InputError: if the two runs cannot be compared, or a record cannot be read.
    """
    note("Matching the baseline")
    matched = match(run, synthetic, baseline)
    settings = read_settings(run), read_settings(baseline)
    seed = instruments.seed
    note("What the settings changed")
    looks = appearance(matched.ours.images), appearance(matched.theirs.images)
    rows = [*_distance_rows(matched, instruments), *_appearance_rows(matched.ours, *looks, seed)]
    if real_folder is not None:
        rows += year_rows(real_folder, "val", seed)
    style = read_style(run)
    styled: list[Row] = []
    if style is not None:
        styled = style_rows(style, matched.ours, matched.theirs, instruments.autoencoder, seed)
    roads, verdicts = _road_rows(matched, instruments)
    return Section(
        name="changes",
        title="What the settings changed",
        says=(_what(matched), *_says(matched, baseline, settings), *verdicts),
        rows=(*rows, *styled, *roads),
        facts={
            "baseline": baseline.resolve().name,
            "settings": {"run": settings[0], "baseline": settings[1]},
            "images": len(matched.ours),
            "unmatched": matched.unmatched,
            "aim_points": AIM_POINTS,
            "green_threshold": GREEN,
        },
        figures=_figures(matched),
        missing=_missing(instruments, has_style=style is not None),
    )


def _what(matched: Matched) -> str:
    return (
        "Two runs of the same tiles, road masks and seeds, image by image. Colours are CIE Lab "
        "means of an image, contrast the deviation of L*, green the share of pixels with excess "
        f"green above {GREEN:g}. Intervals of means: {LEVEL:.0%}, bootstrap over "
        f"{counted(len(set(matched.ours.places.tolist())), 'place')}; of distances: the middle 95 "
        "% of the pairs."
    )


def _says(
    matched: Matched, baseline: Path, settings: tuple[dict[str, Any], dict[str, Any]]
) -> list[str]:
    """What differs by the records, and what could not be matched or checked."""
    differs = difference(*settings)
    name = baseline.resolve().name
    says = [
        f"Settings here against {name}: {'; '.join(differs)}."
        if differs
        else f"By their records this run and {name} do not differ in any setting."
    ]
    if matched.unmatched:
        says.append(
            f"{counted(matched.unmatched, 'image')} of the run have no counterpart in {name} and "
            "are left out here."
        )
    if not matched.seeds_known:
        says.append("Some images do not say with which seed they were made, so noise may differ.")
    return says


def _missing(instruments: Instruments, *, has_style: bool) -> tuple[str, ...]:
    missing = []
    if not instruments.detectors:
        missing.append("Change of the roads, which needs a road detector (--detector).")
    if instruments.lpips is None and instruments.encoder is None:
        missing.append("Distance of the pairs, which needs --lpips or --features.")
    if has_style and instruments.autoencoder is None:
        missing.append("Latent statistics of the style image, which need the model (--model).")
    return tuple(missing)


def _distance_rows(matched: Matched, instruments: Instruments) -> list[Row]:
    """Perceptual and feature distances of the pairs, beside those of variants of a tile."""
    count = len(matched.ours)
    images = np.concatenate([matched.ours.images, matched.theirs.images])
    rng = np.random.default_rng(instruments.seed)
    pairs = np.stack([np.arange(count), np.arange(count) + count], axis=1)
    repeats = rng.permutation(same_place_pairs(matched.theirs.places))[:_MOST_PAIRS] + count
    sides: dict[str, Pairs] = {
        "this run to the baseline": pairs,
        "variants of a baseline tile": repeats,
    }
    rows = []
    features = None if instruments.encoder is None else instruments.encoder.embed(images)
    for of, which in sides.items():
        if not len(which):
            continue
        if instruments.lpips is not None:
            apart = perceptual(instruments.lpips, images, which)
            rows.append(spread_row("LPIPS", of, apart, "AlexNet", "pair"))
        if features is not None and instruments.encoder is not None:
            cosine = (features[which[:, 0]] * features[which[:, 1]]).sum(axis=1)
            by = instruments.encoder.name
            rows.append(spread_row("1 - cosine", of, 1 - cosine, by, "pair"))
    return rows


def _appearance_rows(
    tiles: Tiles, ours: NDArray[np.float64], theirs: NDArray[np.float64], seed: int
) -> list[Row]:
    n = counted(len(tiles), "image")
    rows = []
    for k, measure in enumerate(MEASURES):
        sides = {_OURS: ours[:, k], _THEIRS: theirs[:, k], _CHANGE: ours[:, k] - theirs[:, k]}
        rows += [
            Row(measure, of, *over_places(values, tiles.places, seed), n, BY)
            for of, values in sides.items()
        ]
    apart = over_places(colour_distance(ours, theirs), tiles.places, seed)
    return [*rows, Row("colour distance", "this run to the baseline", *apart, n, BY)]


def _road_rows(matched: Matched, instruments: Instruments) -> tuple[list[Row], list[str]]:
    """Scores of both runs by each detector, their change in points, and what it comes to."""
    rows: list[Row] = []
    changes: list[tuple[float, NDArray[np.float64]]] = []
    says = []
    n = (
        f"{counted(len(matched.ours), 'image')}, "
        f"{counted(len(set(matched.ours.places.tolist())), 'place')}"
    )
    for name, detector in instruments.detectors.items():
        sides = {
            of: find(detector, tiles, instruments.slack_m).counts
            for of, tiles in ((_OURS, matched.ours), (_THEIRS, matched.theirs))
        }
        total = {of: scores(counts.sum(axis=0)) for of, counts in sides.items()}
        drawn = {of: scores(resample(counts, instruments.seed)) for of, counts in sides.items()}
        for score in COMPARED:
            for of in sides:
                interval = interval_of(drawn[of][score])
                rows.append(Row(f"road {score}", of, float(total[of][score]), *interval, n, name))
            change = 100 * float(total[_OURS][score] - total[_THEIRS][score])
            spread = 100 * (drawn[_OURS][score] - drawn[_THEIRS][score])
            rows.append(_points(score, change, spread, n, name))
            if score == "IoU":
                changes.append((change, spread))
        says.append(f"{name}: {_verdict(*changes[-1])}")
    if len(changes) > 1:
        by = f"mean of {len(changes)} detectors"
        change = float(np.mean([value for value, _ in changes]))
        spread = np.mean([drawn for _, drawn in changes], axis=0)
        rows.append(_points("IoU", change, spread, f"{n}, {len(changes)} detectors", by))
        says.append(f"{by}: {_verdict(change, spread)}")
    return rows, says


def _points(score: str, change: float, drawn: NDArray[np.float64], n: str, by: str) -> Row:
    return Row(f"road {score}", "difference in points", change, *interval_of(drawn), n, by)


def _verdict(change: float, drawn: NDArray[np.float64]) -> str:
    """A sentence on what a change of the IoU in points means."""
    low, high = interval_of(drawn)
    # Adding 0 makes -0 a 0.
    shown, lower, upper = (f"{round(value, 1) + 0.0:+.1f}" for value in (change, low, high))
    said = f"the IoU of the roads changes by {shown} points ({lower} to {upper})"
    if not abs(change) < AIM_POINTS:
        return f"{said}; less than {AIM_POINTS:g} are aimed at."
    if low > -AIM_POINTS and high < AIM_POINTS:
        return f"{said}, less than {AIM_POINTS:g}: the roads stay."
    return f"{said}, less than {AIM_POINTS:g}, but of so few places that it may be more."


def _figures(matched: Matched) -> tuple[Figure, ...]:
    """Pairs side by side, spread evenly over the images."""
    count = len(matched.ours)
    return tuple(
        Figure(
            f"{matched.ours.names[k]}: the baseline, this run",
            side_by_side(*(as_picture(t.images[k]) for t in (matched.theirs, matched.ours))),
        )
        for k in np.linspace(0, count - 1, min(count, _SHOWN)).round().astype(int)
    )
