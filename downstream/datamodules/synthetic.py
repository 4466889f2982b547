"""Synthetic road tiles alone for Lightning, for as long as there are no real ones to train on."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from torch.utils.data import ConcatDataset

from rsaug.downstream.datamodules.base import Drawing, RoadTilesModule
from rsaug.downstream.datamodules.sources import (
    OnOverlap,
    RealTiles,
    TrainingTiles,
    apart,
    held_out,
)
from rsaug.downstream.datasets.chips import RoadChips
from rsaug.downstream.datasets.registry import dataset_class
from rsaug.downstream.datasets.synthetic import SyntheticRoads
from rsaug.downstream.mixing import Mixture
from rsaug.errors import InputError

_NOTHING_OF_REAL = (
    "validated on synthetic tiles: the scores say how well roads are found in such tiles, and "
    "nothing about real imagery"
)


class SyntheticDataModule(RoadTilesModule):
    """Trains on synthetic tiles alone, and validates on real ones or on synthetic ones elsewhere.

    It is for seeing what can be had without a real tile. Scores on synthetic tiles say nothing
    about real imagery, so they go by another name in a detector's facts, and nothing is tested on
    such tiles; `RoadDataModule` does not measure on them at all. Batches are as there.

    Where nothing is named to validate on, a part of each run is held out: the tiles of its northern
    or eastern end, whichever way it is longer. Training tiles on ground that is measured on are
    refused unless `on_overlap` says otherwise.

    Args:
        synthetic: Folders of ``rsaug synth`` to train on.
        val: Folders of ``rsaug synth`` to validate on.
        dataset: Real tiles to validate and to test on, by the name of their dataset, as
            `RoadDataModule` has it; None for none.
        root: Their folder.
        options: What else the dataset is given.
        val_share: Share of each run that is held out where nothing else is validated on, as near
            as whole rows or columns of tiles come to it.
        variants: Which images of a synthetic tile to take, from 0; by default all.
        batch_size: Samples of a batch.
        num_workers: Processes that read.
        chip_size: Side of what is cut from tiles, in pixels; by default tiles are whole.
        length: Samples of an epoch; by default as many as there are training tiles.
        positives: Share of samples with a road; by default as they come.
        scores: How often each tile is drawn: a JSON file of scores by name of the tile, or
            ``road_fraction``.
        seed: Of the order of samples.
        augment: Whether training samples are mirrored, turned and shifted in colour.
        on_overlap: Of training places on ground that is measured on: ``refuse`` them, ``drop``
            them, or ``report`` them in a warning.

    Raises:
        InputError: if there is nothing to train on, or two things are to be validated on.
    """

    def __init__(
        self,
        synthetic: list[str],
        val: list[str] | None = None,
        dataset: str | None = None,
        root: str | None = None,
        options: dict[str, Any] | None = None,
        val_share: float = 0.2,
        variants: list[int] | None = None,
        batch_size: int = 8,
        num_workers: int = 0,
        chip_size: int | None = None,
        length: int | None = None,
        positives: float | None = None,
        scores: str | None = None,
        seed: int = 0,
        augment: bool = True,
        on_overlap: OnOverlap = "refuse",
    ) -> None:
        if not synthetic:
            raise InputError("There is no run of rsaug synth to train on; name one as 'synthetic'.")
        if val and dataset is not None:
            raise InputError("Validate on real tiles or on synthetic ones: name either, not both.")
        if not 0 < val_share < 1:
            raise InputError(f"val_share must lie between 0 and 1, not {val_share:g}.")
        drawing = Drawing(Mixture(1.0), length, positives, scores, seed)
        kind = dataset_class(dataset or "synthetic")
        super().__init__(kind, batch_size, num_workers, drawing, augment=augment)
        real = None if dataset is None else RealTiles(dataset, root, options or {}, {}, chip_size)
        self.real = real
        self.runs, self.val_runs, self.val_share = [*synthetic], [*(val or ())], val_share
        self.variants, self.chip_size, self.on_overlap = variants, chip_size, on_overlap
        self._val: list[RoadChips] = []

    @property
    def validated_on(self) -> Literal["real", "synthetic"]:
        """What kind of tiles the scores of validation are of."""
        return "synthetic" if self.real is None else "real"

    def setup(self, stage: str) -> None:
        """Find the tiles of a stage, and check that what is measured on is apart from training.

        Args:
            stage: ``fit``, ``validate`` or ``test``.

        Raises:
            InputError: if nothing is left to train on, or there is nothing of the stage.
        """
        if stage == "test" and self.real is not None:
            self.test_dataset = self.real.split("test")
        elif stage == "fit":
            self._setup_fit()
        elif stage != "validate" or self.val_dataset is None:
            raise InputError(
                f"Without real tiles there is nothing for the stage {stage!r}; what is tested on "
                "has to be real."
            )

    def _setup_fit(self) -> None:
        parts = [self._chips(run) for run in self.runs]
        on_overlap, notes = self.on_overlap, ["trained on synthetic tiles alone"]
        if self.real is not None:
            held, said = held_out(self.real)
            self._val = [held["val"]]
            notes += said
        else:
            if self.val_runs:
                self._val = [self._chips(run) for run in self.val_runs]
            else:
                parts, said = self._hold_out(parts)
                on_overlap = "drop"  # of one run what lies on ground that was cut off another
                notes += said
            held = {f"val {k}" if k else "val": chips for k, chips in enumerate(self._val)}
            notes.append(_NOTHING_OF_REAL)
        kept = []
        for part in parts:
            left, said = apart(part, held, on_overlap)
            kept.append(left)
            notes += said
        if not sum(map(len, kept)):
            raise InputError(
                "Nothing is left to train on: every training tile lies on ground that is validated "
                "on. Validate on tiles of another place."
            )
        self.val_dataset = self._val[0] if len(self._val) == 1 else ConcatDataset(self._val)
        self.train_on(TrainingTiles(self._val[0].take([]), tuple(kept)), notes)

    def _hold_out(self, parts: Sequence[RoadChips]) -> tuple[list[RoadChips], list[str]]:
        """What is left of the runs to train on, and what was taken off them, in words."""
        cuts = [hold_out(part, self.val_share) for part in parts]
        self._val = [val for _, val, _ in cuts]
        said = [
            f"held out to validate on: {_tiles(val)} at the {end} end of {_name(run)}; "
            f"{_tiles(train)} left to train on"
            for run, (train, val, end) in zip(self.runs, cuts, strict=True)
        ]
        return [train for train, _, _ in cuts], said

    def _chips(self, run: str) -> RoadChips:
        return SyntheticRoads(run, variants=self.variants).chips(self.chip_size)

    def facts(self) -> dict[str, Any]:
        """What was trained and validated on, by names that say nothing of the machine.

        Raises:
            InputError: if it is not set up to train.
        """
        if self.training is None:
            raise InputError("Nothing was trained on.")
        real: dict[str, Any] | None = None
        runs: list[dict[str, Any]] = [
            {"run": _name(run), "train": len(part)}
            for run, part in zip(self.runs, self.training.synthetic, strict=True)
        ]
        if self.real is not None:
            real = {"dataset": self.real.dataset, "folder": Path(self.real.root or "").name}
            real |= {"train": 0, "val": len(self._val[0])}
        elif self.val_runs:
            vals = zip(self.val_runs, self._val, strict=True)
            runs += [{"run": _name(run), "val": len(val)} for run, val in vals]
        else:
            runs = [{**run, "val": len(val)} for run, val in zip(runs, self._val, strict=True)]
        share = self.drawing.mixture.synthetic
        return {
            "real": real,
            "synthetic": runs,
            "synthetic_share": share,
            "notes": [*self.notes],
        }


def hold_out(chips: RoadChips, share: float) -> tuple[RoadChips, RoadChips, str]:
    """Training and validation chips of one run, parted by a straight line across its ground.

    What is held out is the northern or the eastern end, whichever way the run is longer, in whole
    rows or columns of tiles. Tiles on both sides of the line share an edge, so a road may go
    across, but no ground.

    Args:
        chips: Chips of a run, all in one CRS.
        share: Share to be held out; what is nearest to it is.

    Returns:
        Chips to train on, chips to validate on, and which end these are of.

    Raises:
        InputError: if the run is of one place.
    """
    centres = _centres(chips)
    axis = int(np.argmax(np.ptp(centres, axis=0)))
    along = centres[:, axis]
    lines = np.unique(along)[1:]
    if not len(lines):
        raise InputError(
            "The run to train on is of one place, so no other place of it can be held out to "
            "validate on; make more tiles, or name what to validate on."
        )
    shares = np.array([(along >= line).mean() for line in lines])
    held = along >= lines[np.argmin(np.abs(shares - share))]
    train, val = (chips.take(np.flatnonzero(part)) for part in (~held, held))
    return train, val, ("eastern", "northern")[axis]


def _centres(chips: RoadChips) -> NDArray[np.float64]:
    """(x, y) of the middle of each chip's tile in the CRS of the run, (n, 2), to a millimetre."""
    middles = []
    for number, _ in chips.windows:
        grid = chips.source.tiles[number].grid
        if grid is None:
            raise InputError(f"The tile {chips.source.tiles[number].name} has no place on Earth.")
        left, bottom, right, top = grid.bounds
        middles.append(((left + right) / 2, (bottom + top) / 2))
    return np.round(np.array(middles), 3)


def _tiles(chips: RoadChips) -> str:
    return f"{len(chips)} tile{'s' * (len(chips) != 1)}"


def _name(run: str) -> str:
    return Path(run).resolve().name
