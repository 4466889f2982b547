"""The tiles that a data module trains and measures on, and the checks that they go through."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from rsaug.downstream.datasets.chips import RoadChips
from rsaug.downstream.datasets.contract import DataNotFound
from rsaug.downstream.datasets.registry import dataset_class
from rsaug.downstream.datasets.synthetic import SyntheticRoads
from rsaug.downstream.datasets.tiles import RoadTile
from rsaug.downstream.leakage import overlaps, refuse_synthetic
from rsaug.downstream.mixing import FewLabels, Pool, weights_of
from rsaug.errors import InputError
from rsaug.jsontext import parse_json

OnOverlap = Literal["refuse", "drop", "report"]


@dataclass(frozen=True)
class RealTiles:
    """Where real tiles are from.

    Attributes:
        dataset: Name of a dataset, as `rsaug.downstream.datasets.datasets` lists them, or the path
            of a class.
        root: Its folder; None for the dataset's default.
        options: What else it is given, of every split.
        eval_options: What else it is given of the splits to measure on, laid over those.
        chip_size: Side of what is cut from its tiles; None for whole tiles.
        drop_blank: Whether mostly white windows are left out of training.
    """

    dataset: str
    root: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    eval_options: Mapping[str, Any] = field(default_factory=dict)
    chip_size: int | None = None
    drop_blank: bool = False

    def split(self, name: str) -> RoadChips:
        """The chips of a split; those to measure on are checked to be real.

        Raises:
            InputError: if the dataset is none of split road tiles, or synthetic.
            DataNotFound: if its files are not there.
        """
        kind = dataset_class(self.dataset)
        if getattr(kind, "synthetic", False):
            raise InputError(
                f"{self.dataset!r} is a synthetic dataset, and cannot stand in for a real one; "
                "name its folder as 'synthetic'."
            )
        options = {**self.options, **(self.eval_options if name != "train" else {})}
        if self.root is not None:
            options["root"] = self.root
        try:
            made = kind(split=name, **options)
            chips: RoadChips = made.chips(self.chip_size)
        except (TypeError, AttributeError) as error:
            raise InputError(
                f"The dataset {self.dataset!r} cannot be made with the options "
                f"{sorted(options)} and a split ({error})."
            ) from error
        if name != "train":
            refuse_synthetic(name, chips, sorted({tile.image for tile in made.tiles}))
            return chips
        return chips.without_blank() if self.drop_blank else chips


@dataclass(frozen=True, eq=False)
class TrainingTiles:
    """What is trained on: real chips, then synthetic ones.

    Attributes:
        real: The real chips.
        synthetic: The synthetic chips, one entry a run.
        notes: What was left out and why, one sentence each.
    """

    real: RoadChips
    synthetic: tuple[RoadChips, ...]
    notes: tuple[str, ...] = ()

    @property
    def tiles(self) -> list[RoadTile]:
        """The tiles that are looked at for the size of a pixel: real ones where there are any."""
        parts = (self.real,) if len(self.real) else self.synthetic
        return [tile for part in parts for tile in part.source.tiles]

    def pools(self, *, scores: str | None, balanced: bool) -> tuple[Pool, Pool]:
        """Real and synthetic chips to draw from.

        Args:
            scores: How often synthetic chips are drawn: a JSON file of scores by name, or the name
                of a number that the manifest has of each.
            balanced: Whether it matters which chips hold a road.

        Raises:
            InputError: if a chip has no score.
        """
        weights = None
        if scores is not None and self.synthetic:
            weights = np.concatenate([_weights(chips, scores) for chips in self.synthetic])
        return (
            Pool(len(self.real), None, self.real.holds_road() if balanced else None),
            Pool(
                sum(map(len, self.synthetic)),
                weights,
                _holds_road(self.synthetic) if balanced and self.synthetic else None,
            ),
        )


def training_tiles(
    real: RealTiles,
    runs: Sequence[str],
    held: Mapping[str, RoadChips],
    *,
    few: FewLabels | None = None,
    on_overlap: OnOverlap = "refuse",
    variants: Sequence[int] | None = None,
) -> TrainingTiles:
    """The tiles to train on, apart from the ground that is measured on.

    Args:
        real: Where real tiles are from.
        runs: Folders of ``rsaug synth``.
        held: What is measured on, by split.
        few: Which part of the real places is taken.
        on_overlap: What to do with training places on ground of another split.
        variants: Which images of a synthetic tile to take.

    Raises:
        InputError: if there is such a place and it is to be refused, or nothing is left.
    """
    synthetic = [SyntheticRoads(run, variants=variants).chips(real.chip_size) for run in runs]
    kept, notes = [], []
    for part in (real.split("train"), *synthetic):
        left, said = apart(part, held, on_overlap)
        kept.append(left)
        notes += said
    chips = kept[0]
    if few is not None:
        chosen = set(few.choose(chips.places))
        chips = chips.take([k for k, place in enumerate(chips.places) if place in chosen])
        notes.append(f"{len(chosen)} places of the training split are taken, {len(chips)} tiles")
    return TrainingTiles(chips, tuple(kept[1:]), tuple(notes))


def held_out(real: RealTiles) -> tuple[dict[str, RoadChips], list[str]]:
    """What is measured on, by split, as far as it is there; and what is not, in words.

    Raises:
        DataNotFound: if there is nothing to validate on.
    """
    found = {"val": real.split("val")}
    try:
        found["test"] = real.split("test")
    except DataNotFound as error:
        return found, [f"the test split was not compared with training: {error}"]
    return found, []


def apart(
    part: RoadChips, held: Mapping[str, RoadChips], on_overlap: OnOverlap
) -> tuple[RoadChips, list[str]]:
    """Training chips that may be used, and what is to be said of the others.

    Raises:
        InputError: if there are others, and they are to be refused.
    """
    if on_overlap not in ("refuse", "drop", "report"):
        raise InputError(f"on_overlap is 'refuse', 'drop' or 'report', not {on_overlap!r}.")
    found = overlaps(part, held)
    if not found:
        return part, []
    kind = "synthetic" if part.synthetic else "real"
    said = [f"{kind} tiles: {one}" for one in found]
    if on_overlap == "refuse":
        raise InputError(
            f"{'; '.join(said)}. A detector would be measured on what it has seen; set on_overlap "
            "to 'drop' to train without them, or to 'report' to go on as it is."
        )
    if on_overlap == "drop":
        gone = set(np.concatenate([one.items for one in found]).tolist())
        part = part.take([k for k in range(len(part)) if k not in gone])
        said = [f"{line}; left out" for line in said]
    warnings.warn("; ".join(said), UserWarning, stacklevel=3)
    return part, said


def _holds_road(parts: Sequence[RoadChips]) -> NDArray[np.bool_]:
    return np.concatenate([chips.holds_road() for chips in parts])


def _weights(chips: RoadChips, scores: str) -> NDArray[np.float64]:
    """The score of each chip, by the name of its tile."""
    if not scores.endswith(".json"):
        return weights_of(chips.names, chips.scores(scores))
    try:
        content = parse_json(Path(scores).read_text(encoding="utf-8"))
        known = {str(name): float(score) for name, score in content.items()}
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise InputError(f"{scores} holds no scores by name ({error}).") from error
    return weights_of(chips.names, known)
