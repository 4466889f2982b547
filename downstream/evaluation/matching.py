"""Matching: two runs of the same tiles and seeds, image by image, and what their records say."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from rsaug.downstream.evaluation.tiles import Tiles, position, read_run
from rsaug.errors import InputError
from rsaug.folder import RunFolder
from rsaug.jsontext import parse_json
from rsaug.provenance import VOLATILE, read_provenance
from rsaug.record import file_sha256

# What a generator says of itself that is no setting, or is said better by the options.
_NO_SETTINGS = {*VOLATILE, "style_sha256", "vae_tiling"}
_FILES = ("style", "landcover", "landcover_raster", "buildings", "dem", "dsm", "reference")
_OF_STYLE = "style"


@dataclass(frozen=True, eq=False)
class Matched:
    """Two runs, image by image.

    Attributes:
        ours: Images of the run.
        theirs: Images of the baseline of the same tiles and variants, in the same order.
        unmatched: Images of the run that the baseline has no counterpart of.
        seeds_known: Whether all images say with which seed they were made; then they are the same.
    """

    ours: Tiles
    theirs: Tiles
    unmatched: int
    seeds_known: bool


def match(run: Path, synthetic: Tiles, baseline: Path) -> Matched:
    """Find the counterpart of each image of a run in another run.

    Args:
        run: Folder of the run.
        synthetic: Its images.
        baseline: Folder of a run of the same tiles and seeds, with other settings.

    Raises:
        InputError: if the baseline is no run, has no image of the same tile and variant, or is of
            other road masks or other seeds.
    """
    if run.resolve() == baseline.resolve():
        raise InputError(f"{baseline} is the run itself; a baseline is another run of its tiles.")
    theirs = read_run(baseline, only=synthetic.names.tolist())
    ours = synthetic.take(np.isin(synthetic.names, theirs.names))
    if ours.images.shape != theirs.images.shape:
        raise InputError(
            f"The images in {baseline} have {theirs.images.shape[2]} rows, those in {run} have "
            f"{ours.images.shape[2]}; make both with the same --tile-size."
        )
    for k, name in enumerate(ours.names):
        if position(ours.tiles[k]) != position(theirs.tiles[k]):
            raise InputError(
                f"{name} lies elsewhere in {baseline} than in {run}; a baseline is of the same "
                "tiles."
            )
        if not np.array_equal(ours.masks[k], theirs.masks[k]):
            raise InputError(
                f"The road masks of {name} differ between {run} and {baseline}; a baseline is of "
                "the same roads."
            )
    known = _check_seeds(run, baseline, ours)
    return Matched(ours, theirs, len(synthetic) - len(ours), known)


def _check_seeds(run: Path, baseline: Path, tiles: Tiles) -> bool:
    """Refuse images of other seeds; whether all seeds are known."""
    known = True
    for name in tiles.names.tolist():
        made = [read_provenance(RunFolder(folder).image(name)) for folder in (run, baseline)]
        seeds = [provenance.seed for provenance in made if provenance is not None]
        if len({*seeds}) > 1:
            raise InputError(
                f"{name} was made from other noise in {baseline} than in {run} (seeds {seeds[0]} "
                f"and {seeds[1]}), so not only settings differ; make both with the same --seed."
            )
        known = known and len(seeds) == 2
    return known


def read_settings(folder: Path) -> dict[str, Any]:
    """What ``run.json`` says of a run's settings, by their names; empty where there is none.

    Prompt, date, guidance and the like as the generator had them, the controls that it was given,
    the seed, and the names of the files that shaped the images.

    Raises:
        InputError: if there is a record that cannot be read.
    """
    document = _document(folder)
    options, generator = _part(document, "options"), _part(document, "generator")
    settings = {name: value for name, value in generator.items() if name not in _NO_SETTINGS}
    if "controls" in document:
        settings["controls"] = document["controls"]
    settings["seed"] = options.get("seed", document.get("seed"))
    digests = _part(document, "inputs")
    for name in _FILES:
        if isinstance(value := options.get(name), str):
            # Two files may be of one name.
            digest = str(digests.get(name, ""))[:8]
            settings[name] = f"{Path(value).name} ({digest})" if digest else Path(value).name
    return {name: value for name, value in settings.items() if value not in (None, "", {}, [])}


def read_style(folder: Path) -> Path | None:
    """The style image of a run; None where it had none.

    Raises:
        InputError: if it had one that is gone, or is another file than it was.
    """
    document = _document(folder)
    named = _part(document, "options").get(_OF_STYLE)
    if not isinstance(named, str):
        return None
    path = folder / named
    if not path.is_file():
        raise InputError(f"The style image of {folder} is no longer at {path}.")
    digest = _part(document, "inputs").get(_OF_STYLE)
    if digest is not None and digest != file_sha256(path):
        raise InputError(f"{path} is not the style image that {folder} was made with.")
    return path


def difference(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> list[str]:
    """In what two runs differ by their records, in words: each setting, here against there."""
    names = [name for name in {**ours, **theirs} if ours.get(name) != theirs.get(name)]
    return [
        f"{name.replace('_', ' ')}: {_words(ours.get(name))} against {_words(theirs.get(name))}"
        for name in names
    ]


def _words(value: object) -> str:
    if value is None:
        return "none"
    if isinstance(value, str):
        return repr(value)
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return json.dumps(value) if isinstance(value, dict) else str(value)


def _document(folder: Path) -> dict[str, Any]:
    path = RunFolder(folder).record
    if not path.is_file():
        return {}
    try:
        document = parse_json(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{path} cannot be read as the record of a run ({error}).") from error
    return document if isinstance(document, dict) else {}


def _part(document: Mapping[str, Any], name: str) -> dict[str, Any]:
    part = document.get(name)
    return part if isinstance(part, dict) else {}
