"""The criteria of each image of a run: true to its mask, like real ones, no copy."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from rsaug.downstream.consistency import Segmenter
from rsaug.downstream.evaluation.features import cut
from rsaug.downstream.evaluation.novelty import nearest, same_place_pairs
from rsaug.downstream.evaluation.tiles import Tiles, check_comparable, read_photos, read_run
from rsaug.downstream.metrics import confusion_counts, iou, relaxed_counts, relaxed_scores
from rsaug.downstream.quality.features import CachedEncoder
from rsaug.downstream.quality.manifold import Manifold
from rsaug.errors import InputError
from rsaug.folder import RunFolder
from rsaug.manifest import read_manifest

TRAIN = "train"
"""The only split that images are compared with."""

_AT_ONCE = 64
_FEWEST_REPEATS = 20


@dataclass(frozen=True, eq=False)
class Reference:
    """Real training tiles that images are held against.

    Attributes:
        photos: The tiles.
        manifold: Of the features of their windows.
        whole: (n, d) features of whole tiles.
        another_year: Median distance of two photographs of one place; None where there are too few.
    """

    photos: Tiles
    manifold: Manifold
    whole: NDArray[np.float32]
    another_year: float | None


def read_reference(
    folder: Path,
    encoder: CachedEncoder,
    limit: int | None = None,
    *,
    split: str = TRAIN,
    note: Callable[[str], None] = lambda text: None,
) -> Reference:
    """The training tiles of a folder with their features.

    Args:
        folder: Tile folder.
        encoder: What features are of.
        limit: At most so many images, spread evenly.
        split: ``train``; nothing else is taken.
        note: Called with what is being done.

    Raises:
        InputError: if the folder or the split is of no use.
    """
    if split != TRAIN:
        raise InputError(
            f"Images are held against real tiles of the split {TRAIN!r} alone, not of {split!r}: "
            "what is chosen by tiles that are measured on spoils what is measured."
        )
    photos = read_photos(folder, split, limit)
    note(f"Features of {len(photos)} training tiles")
    windows, tile_of = cut(photos.images)
    manifold = Manifold.of(encoder.embed(windows), photos.places[tile_of])
    whole = encoder.embed(photos.images)
    pairs = same_place_pairs(photos.places)
    usual = None
    if len(pairs) >= _FEWEST_REPEATS:
        usual = float(np.median(1 - (whole[pairs[:, 0]] * whole[pairs[:, 1]]).sum(axis=1)))
    return Reference(photos, manifold, whole, usual)


def judge(
    run: Path,
    detectors: Mapping[str, Segmenter],
    reference: Reference | None,
    encoder: CachedEncoder | None,
    *,
    slack_m: float,
    note: Callable[[str], None] = lambda text: None,
) -> pd.DataFrame:
    """The criteria of each image of a run, a row an image, sorted by name.

    Columns are ``id``, ``tile``, ``variant``, ``road_share``; with detectors ``consistency``, the
    mean IoU, and ``f1``, the mean relaxed F1, over detectors; with a reference ``realism``, the
    geometric mean of the realism scores of its windows, ``density``, ``novelty``, 1 - cosine to the
    nearest training tile in any of eight orientations, and ``nearest``, its name.

    Args:
        run: Folder of ``rsaug synth``.
        detectors: By name, trained on real tiles alone.
        reference: Real training tiles.
        encoder: What their features are of.
        slack_m: How far beside its label a road may lie for the relaxed F1.
        note: Called with what is being done.

    Raises:
        InputError: if the run is of no use, or its tiles cannot be compared with the real ones.
    """
    rows = []
    names = image_names(run)
    for first in range(0, len(names), _AT_ONCE):
        note(f"Images, {first} of {len(names)}")
        tiles = read_run(run, only=names[first : first + _AT_ONCE])
        columns: dict[str, object] = {
            "id": tiles.names,
            "tile": tiles.places,
            "variant": tiles.variants,
            "road_share": tiles.masks.mean(axis=(1, 2)),
        }
        if detectors:
            columns |= _consistency(tiles, detectors, slack_m)
        if reference is not None and encoder is not None:
            check_comparable(tiles, reference.photos)
            columns |= _looks(tiles, reference, encoder)
        rows.append(pd.DataFrame(columns))
    return pd.concat(rows, ignore_index=True).sort_values("id", ignore_index=True)


def image_names(run: Path) -> list[str]:
    """Names of the images of a run, sorted.

    Raises:
        InputError: if it is no run, or an empty one.
    """
    manifest = RunFolder(run).manifest
    if not manifest.is_file():
        raise InputError(f"{run} is no folder of rsaug synth: it has no manifest.parquet.")
    try:
        table = read_manifest(manifest, ["id"])
    except (OSError, ValueError) as error:
        raise InputError(f"{manifest} is no manifest of rsaug synth ({error}).") from error
    if table.empty:
        raise InputError(f"{run} holds no image; let rsaug synth finish first.")
    return sorted(table["id"].astype(str))


def _consistency(
    tiles: Tiles, detectors: Mapping[str, Segmenter], slack_m: float
) -> dict[str, NDArray[np.float64]]:
    scores = [
        road_scores(detector.predict(tiles.images), tiles.masks, slack_m / tiles.gsd_m)
        for detector in detectors.values()
    ]
    mean = np.mean(scores, axis=0)
    return {"consistency": mean[:, 0], "f1": mean[:, 1]}


def road_scores(
    found: NDArray[np.uint8], masks: NDArray[np.uint8], slack_px: float
) -> NDArray[np.float64]:
    """IoU and relaxed F1 of each tile, (n, 2); 1 where there is no road and none is found."""
    strict = iou(confusion_counts(found, masks))
    relaxed = relaxed_scores(relaxed_counts(found, masks, slack_px))[:, 2]
    scores = np.stack([strict, relaxed], axis=1)
    # Relaxed scores are not defined where a side is empty; one side alone is all wrong.
    empty = ~(found.any(axis=(1, 2)) | masks.any(axis=(1, 2)))
    scores[empty] = 1.0
    return np.nan_to_num(scores, nan=0.0)


def _looks(tiles: Tiles, reference: Reference, encoder: CachedEncoder) -> dict[str, object]:
    windows, tile_of = cut(tiles.images)
    features = encoder.embed(windows)
    log_realism = np.log(reference.manifold.realism(features))
    density = reference.manifold.density(features)
    count = np.bincount(tile_of)
    found = nearest(encoder, tiles.images, reference.whole)
    return {
        "realism": np.exp(np.bincount(tile_of, log_realism) / count),
        "density": np.bincount(tile_of, density) / count,
        "novelty": found.distances.astype(np.float64),
        "nearest": reference.photos.names[found.which],
    }
