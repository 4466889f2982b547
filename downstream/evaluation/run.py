"""The evaluation of a run, from its folder to the report."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from rsaug.downstream.consistency import Segmenter
from rsaug.downstream.detector import RoadDetector, is_detector
from rsaug.downstream.evaluation.autoencoder import Autoencoder
from rsaug.downstream.evaluation.changes import Instruments, judge_changes
from rsaug.downstream.evaluation.detection import judge_roads
from rsaug.downstream.evaluation.distances import judge_looks
from rsaug.downstream.evaluation.faithfulness import judge_controls
from rsaug.downstream.evaluation.features import AerialEncoder, find_weights
from rsaug.downstream.evaluation.matching import read_settings
from rsaug.downstream.evaluation.novelty import judge_memory, judge_variety
from rsaug.downstream.evaluation.report import Report, Section
from rsaug.downstream.evaluation.tiles import (
    Tiles,
    check_comparable,
    locate,
    read_photos,
    read_real,
    read_run,
)
from rsaug.downstream.segmenter import CONFIG_FILE, WEIGHTS_FILE, RoadSegmenter
from rsaug.errors import InputError
from rsaug.pipelines.extractors.landcover import LandcoverNet
from rsaug.pipelines.train.losses import LPIPS
from rsaug.record import now

SLACK_M = 3.0
"""Slack of relaxed precision and recall: 3 pixels of 1 m in Mnih and Hinton 2012."""


@dataclass(frozen=True)
class Wanted:
    """What is to be evaluated, and with what.

    Attributes:
        run: Folder of ``rsaug synth``.
        real: Tile folder with a split ``val``, and ``train`` for memorization.
        detectors: Folders of road segmenters.
        features: Weights of the aerial encoder; by default those of the package geoembed.
        lpips: Weights of LPIPS.
        inception: Weights of Inception, for FID.
        baseline: Folder of a run of the same tiles and seeds with other settings.
        model: The model of the run: ``default``, a folder or a hub id; for its autoencoder.
        slack_m: How far beside its label a road may lie for relaxed scores.
        limit: At most so many tiles of the run, with all their variants.
        train_limit: At most so many training images are searched for copies.
        seed: Of bootstrap, subsets and pairs.
    """

    run: Path
    real: Path | None = None
    detectors: tuple[Path, ...] = ()
    features: Path | None = None
    lpips: Path | None = None
    inception: Path | None = None
    baseline: Path | None = None
    model: str | None = None
    slack_m: float = SLACK_M
    limit: int | None = None
    train_limit: int | None = None
    seed: int = 0


def evaluate_run(wanted: Wanted, note: Callable[[str], None] = lambda text: None) -> Report:
    """Measure everything that can be measured with what is at hand.

    Args:
        wanted: What, and with what.
        note: Called with what is being done.

    Raises:
        InputError: if something that is named cannot be used, or tiles cannot be compared.
        MissingExtra: if a library of the extra ``eval`` is not installed.
    """
    detectors = {name: load_detector(path) for name, path in _named(wanted.detectors)}
    lpips = None if wanted.lpips is None else load_lpips(wanted.lpips)
    note("Reading tiles")
    own = read_run(wanted.run, wanted.limit)
    real = None if wanted.real is None else read_real(wanted.real, "val")
    synthetic, paired = own, False
    if real is not None:
        check_comparable(own, real)
        synthetic, paired = locate(own, real)
    # Last, since they take longest: what is wrong with folders is told before.
    weights = wanted.features or find_weights()
    encoder = None if weights is None else AerialEncoder(weights)
    autoencoder = None
    if wanted.model is not None:
        note("Loading the model")
        autoencoder = Autoencoder.load(wanted.model)
    sections = [*_roads(wanted, detectors, synthetic, real, paired, note)]
    if wanted.baseline is not None:
        tools = Instruments(
            detectors, encoder, lpips, autoencoder, slack_m=wanted.slack_m, seed=wanted.seed
        )
        baseline, folder = wanted.baseline, wanted.real
        sections.append(judge_changes(wanted.run, synthetic, baseline, tools, folder, note))
    sections += _against_real(wanted, encoder, autoencoder, synthetic, real, note)
    note("Variety")
    sections.append(judge_variety(encoder, synthetic, real, lpips, seed=wanted.seed))
    note("Other controls")
    look = LandcoverNet.load().classify
    controls = judge_controls(wanted.run, own, real, wanted.real, look)
    return Report(
        title=f"Evaluation of {wanted.run.resolve().name}",
        created=now(),
        compared=_compared(wanted, own, real, detectors, autoencoder),
        sections=(*sections, *([controls] if controls else [])),
    )


def load_detector(folder: str | Path) -> RoadSegmenter | RoadDetector:
    """A frozen detector.

    Raises:
        InputError: if the folder holds none, with how to make one, or one that has seen synthetic
            tiles or looks at other bands than red, green and blue.
    """
    folder = Path(folder)
    if is_detector(folder):
        return _fit_to_judge(RoadDetector.load(folder), folder)
    if not (folder / CONFIG_FILE).is_file() or not (folder / WEIGHTS_FILE).is_file():
        raise InputError(
            f"{folder} holds no road detector; train one on real tiles with: python "
            "scripts/consistency.py train --data DIR --out DETECTOR."
        )
    return RoadSegmenter.load(folder)


def _fit_to_judge(detector: RoadDetector, folder: Path) -> RoadDetector:
    if detector.facts.get("data", {}).get("synthetic"):
        raise InputError(
            f"The detector in {folder} was trained on synthetic tiles, so it cannot say whether "
            "roads in such tiles look real; give one that was trained on real tiles alone."
        )
    if detector.config.in_channels != 3:
        raise InputError(
            f"The detector in {folder} looks at {detector.config.in_channels} bands; images of a "
            "run have 3."
        )
    return detector


def load_lpips(path: str | Path) -> LPIPS:
    """Perceptual distance with the weights in a file.

    Raises:
        InputError: if the file holds none.
    """
    from safetensors import SafetensorError

    try:
        return LPIPS(Path(path)).eval()
    except (OSError, SafetensorError, KeyError, RuntimeError) as error:
        raise InputError(f"{path} holds no weights of LPIPS ({error}).") from error


def _named(folders: tuple[Path, ...]) -> Iterator[tuple[str, Path]]:
    """Detectors under the names of their folders, numbered where these are the same."""
    seen: dict[str, int] = {}
    for folder in folders:
        name = folder.resolve().name
        seen[name] = seen.get(name, 0) + 1
        yield (name if seen[name] == 1 else f"{name} ({seen[name]})"), folder


def _roads(
    wanted: Wanted,
    detectors: Mapping[str, Segmenter],
    synthetic: Tiles,
    real: Tiles | None,
    paired: bool,
    note: Callable[[str], None],
) -> list[Section]:
    lacking = Section("roads", "Roads")
    if not detectors:
        sentence = (
            "Roads, which need a detector trained on real tiles (--detector); python "
            "scripts/consistency.py train makes one."
        )
        return [replace(lacking, missing=(sentence,))]
    if real is None:
        return [replace(lacking, missing=("Roads, which need real tiles (--real).",))]
    note("Roads")
    section = judge_roads(
        detectors, synthetic, real, paired=paired, slack_m=wanted.slack_m, seed=wanted.seed
    )
    return [section]


def _against_real(
    wanted: Wanted,
    encoder: AerialEncoder | None,
    autoencoder: Autoencoder | None,
    synthetic: Tiles,
    real: Tiles | None,
    note: Callable[[str], None],
) -> list[Section]:
    """Looks and memorization."""
    if real is None or wanted.real is None:
        return _without("Looks and memorization, which need real tiles (--real).")
    if encoder is None:
        return _without(
            "Looks and memorization, which need the weights of the package geoembed (pip install"
            " 'rsaug[geoembed]', or name its v3.npz with --features)."
        )
    try:
        photos = read_photos(wanted.real, "train", wanted.train_limit)
    except InputError as error:
        return _without(f"Looks and memorization, which need training tiles: {error}")
    looks = judge_looks(
        encoder,
        synthetic,
        real,
        photos,
        inception=wanted.inception,
        autoencoder=autoencoder,
        seed=wanted.seed,
        note=note,
    )
    return [looks, judge_memory(encoder, synthetic, real, photos, note=note)]


def _without(sentence: str) -> list[Section]:
    return [Section("looks", "Looks", missing=(sentence,)), Section("memory", "Memorization")]


def _compared(
    wanted: Wanted,
    own: Tiles,
    real: Tiles | None,
    detectors: Mapping[str, RoadSegmenter | RoadDetector],
    autoencoder: Autoencoder | None,
) -> dict[str, Any]:
    """What is compared, for the top of the report."""
    tiles = len(set(own.places.tolist()))
    facts: dict[str, Any] = {
        "run": wanted.run.resolve().name,
        "synthetic": f"{len(own)} of {own.of} images, {tiles} tiles, {own.gsd_m:g} m",
    }
    if real is not None and wanted.real is not None:
        facts["real"] = (
            f"{wanted.real.resolve().name}, split val: {len(real)} of {real.of} images (with "
            f"digitized roads, in the year of digitizing), {len(set(real.places.tolist()))} places"
        )
    if wanted.baseline is not None:
        facts["baseline"] = wanted.baseline.resolve().name
    for name, folder in _named(wanted.detectors):
        digest = _sha256(folder / WEIGHTS_FILE)[:12]
        facts[f"detector {name}"] = f"{detectors[name].config.name}, weights {digest}"
    if autoencoder is not None:
        facts["model"] = autoencoder.digest[:12] + _other_model(wanted.run, autoencoder.digest)
    return facts


def _other_model(run: Path, digest: str) -> str:
    """A warning where a run was made by another model than the one that is named."""
    made_by = read_settings(run).get("weights_sha256")
    if made_by is None or made_by == digest:
        return ""
    return f"; the run was made by another one, {str(made_by)[:12]}"


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
