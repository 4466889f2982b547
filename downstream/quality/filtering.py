"""``rsaug filter``: which images of a run are worth training on, from the run to its files."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from rsaug.downstream.consistency import Segmenter
from rsaug.downstream.evaluation.detection import overlay
from rsaug.downstream.evaluation.features import find_weights
from rsaug.downstream.evaluation.page import as_picture, side_by_side
from rsaug.downstream.evaluation.run import SLACK_M, load_detector
from rsaug.downstream.evaluation.tiles import read_run
from rsaug.downstream.quality.features import CachedEncoder
from rsaug.downstream.quality.judging import TRAIN, Reference, judge, read_reference
from rsaug.downstream.quality.selection import CRITERIA, Rules, Selection, select
from rsaug.errors import InputError, OutputError
from rsaug.files import write_whole
from rsaug.pictures import Panel, contact_sheet

FOLDER = "quality"
"""Folder of the results in the folder of the run."""

SCORES, TABLE, REPORT, SHEET, CACHE = (
    "scores.json",
    "images.csv",
    "report.json",
    "sheet.jpg",
    "features.npz",
)

_SHOWN = 6
_DECIMALS = 6


@dataclass(frozen=True)
class Wanted:
    """What is to be filtered, and by what.

    Attributes:
        run: Folder of ``rsaug synth``.
        detectors: Folders of road detectors, trained on real tiles alone.
        real: Tile folder, of which the split ``train`` is taken.
        features: Weights of the aerial encoder; by default those of the package geoembed.
        cache: File of features; by default in the folder of the results.
        rules: Which images are kept.
        weigh: Whether kept images are drawn by their score, else all alike.
        slack_m: How far beside its label a road may lie for the relaxed F1.
        train_limit: At most so many training images.
    """

    run: Path
    detectors: tuple[Path, ...] = ()
    real: Path | None = None
    features: Path | None = None
    cache: Path | None = None
    rules: Rules = field(default_factory=lambda: Rules(keep=0.8))
    weigh: bool = False
    slack_m: float = SLACK_M
    train_limit: int | None = None


@dataclass(frozen=True, eq=False)
class Filtered:
    """What came of it.

    Attributes:
        table: A row an image; see `rsaug.downstream.quality.judging.judge`, and ``score``,
            ``weight``.
        report: Rates, least values and correlations, ready for JSON.
        sheet: The best and the worst images, uint8 (rows, cols, 3).
    """

    table: pd.DataFrame
    report: dict[str, Any]
    sheet: NDArray[np.uint8]

    def write(self, run: Path) -> Path:
        """Write the four files; the folder they are in.

        Raises:
            OutputError: if they cannot be written.
        """
        from PIL import Image

        folder = run / FOLDER
        try:
            folder.mkdir(exist_ok=True)
        except OSError as error:
            raise OutputError(f"{folder} cannot be made ({error.strerror}).") from error
        scores = dict(zip(self.table["id"], self.table["weight"].tolist(), strict=True))
        write_whole(folder / SCORES, (json.dumps(scores, indent=0) + "\n").encode())
        write_whole(folder / TABLE, self.table.to_csv(index=False, lineterminator="\n").encode())
        write_whole(folder / REPORT, (json.dumps(self.report, indent=1) + "\n").encode())
        picture = io.BytesIO()
        Image.fromarray(self.sheet).save(picture, "JPEG", quality=88)
        write_whole(folder / SHEET, picture.getvalue())
        return folder


def filter_images(wanted: Wanted, note: Callable[[str], None] = lambda text: None) -> Filtered:
    """Score the images of a run and say which are kept.

    Args:
        wanted: What, and by what.
        note: Called with what is being done.

    Raises:
        InputError: if something that is named cannot be used, or there is nothing to score by.
        MissingExtra: if a library of the extra ``eval`` is not installed.
    """
    if not wanted.detectors and wanted.real is None:
        raise InputError(
            "There is nothing to score by; give a detector (--detector) or real tiles (--real)."
        )
    detectors = {str(k): load_detector(folder) for k, folder in enumerate(wanted.detectors)}
    encoder = reference = None
    if wanted.real is not None:
        encoder = _encoder(wanted)
        reference = read_reference(wanted.real, encoder, wanted.train_limit, note=note)
    table = judge(wanted.run, detectors, reference, encoder, slack_m=wanted.slack_m, note=note)
    if encoder is not None:
        encoder.save()
    rules = _with_copies(wanted.rules, reference)
    # Rounded before anything is decided, so that the table tells why.
    for name in table.select_dtypes("number"):
        table[name] = table[name].round(_DECIMALS)
    values = {name: table[name].to_numpy(float) for name in CRITERIA if name in table}
    names = table["id"].to_numpy(dtype=np.str_)
    chosen = select(values, names, table["tile"].to_numpy(dtype=np.str_), rules)
    weight = chosen.score if wanted.weigh else np.ones(len(table))
    table["score"] = chosen.score.round(_DECIMALS)
    table["weight"] = np.where(chosen.kept, weight, 0.0).round(_DECIMALS)
    note("Pictures")
    sheet = _sheet(wanted.run, table, detectors, reference)
    return Filtered(table, _report(wanted, table, values, chosen, rules, reference), sheet)


def _encoder(wanted: Wanted) -> CachedEncoder:
    weights = wanted.features or find_weights()
    if weights is None:
        raise InputError(
            "Realism and novelty need the weights of the package geoembed: pip install "
            "'rsaug[geoembed]', or name its v3.npz with --features."
        )
    return CachedEncoder(weights, wanted.cache or wanted.run / FOLDER / CACHE)


def _with_copies(rules: Rules, reference: Reference | None) -> Rules:
    """The rules, and that no image is as near to a training tile as another year of its place."""
    if reference is None or reference.another_year is None or "novelty" in rules.least:
        return rules
    least = {**rules.least, "novelty": round(reference.another_year, _DECIMALS)}
    return Rules(rules.keep, least, rules.per_tile)


def _report(
    wanted: Wanted,
    table: pd.DataFrame,
    values: Mapping[str, NDArray[np.float64]],
    chosen: Selection,
    rules: Rules,
    reference: Reference | None,
) -> dict[str, Any]:
    n = len(table)
    columns = [name for name in (*CRITERIA, "road_share") if name in table]
    matrix = table[columns].corr(method="spearman").to_numpy(float)
    thirds = pd.qcut(table["road_share"].rank(method="first"), min(3, n), labels=False)
    return {
        "run": wanted.run.resolve().name,
        "detectors": [folder.resolve().name for folder in wanted.detectors],
        "real": None
        if reference is None
        else {"split": TRAIN, "images": len(reference.photos), "of": reference.photos.of},
        "rules": {"keep": rules.keep, "least": rules.least, "per_tile": rules.per_tile},
        "images": n,
        "kept": int(chosen.kept.sum()),
        "passed": {name: int(passed.sum()) for name, passed in chosen.passed.items()},
        "values": {
            name: [round(float(x), 4) for x in np.quantile(value, [0.05, 0.25, 0.5, 0.75, 0.95])]
            for name, value in values.items()
        },
        "correlations": {
            f"{columns[i]}, {columns[k]}": None
            if np.isnan(r := matrix[i, k])
            else round(float(r), 3)
            for i, k in combinations(range(len(columns)), 2)
        },
        "kept_by_road_share": [
            round(float(chosen.kept[(thirds == k).to_numpy()].mean()), 3) for k in range(min(3, n))
        ],
    }


def _sheet(
    run: Path,
    table: pd.DataFrame,
    detectors: Mapping[str, Segmenter],
    reference: Reference | None,
) -> NDArray[np.uint8]:
    """The best and the worst images: as they are, what is found in them, the nearest real one."""
    order = table.sort_values(["score", "id"], ascending=[False, True])
    count = min(_SHOWN, (len(order) + 1) // 2)
    shown = pd.concat([order.head(count), order.tail(len(order) - count).tail(count)])
    tiles = read_run(run, only=shown["id"].tolist())
    at = {name: k for k, name in enumerate(tiles.names.tolist())}
    found = next(iter(detectors.values())).predict(tiles.images) if detectors else None
    real = {} if reference is None else {name: k for k, name in enumerate(reference.photos.names)}
    panels = []
    for row in shown.to_dict("records"):
        k = at[row["id"]]
        image = as_picture(tiles.images[k])
        parts = [image]
        if found is not None:
            parts.append(overlay(image, found[k], tiles.masks[k]))
        if reference is not None:
            parts.append(as_picture(reference.photos.images[real[row["nearest"]]]))
        values = (f"{name} {row[name]:.2f}" for name in CRITERIA if name in row)
        kept = "kept" if row["weight"] > 0 else "dropped"
        panels.append(
            Panel(f"{row['score']:.2f} {kept}: {', '.join(values)}", side_by_side(*parts))
        )
    return contact_sheet(panels, 2)
