"""Real and synthetic road tiles for Lightning: one training, measured on real tiles alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from rsaug.downstream.datamodules.base import Drawing, RoadTilesModule
from rsaug.downstream.datamodules.sources import OnOverlap, RealTiles, held_out, training_tiles
from rsaug.downstream.datasets.chips import RoadChips
from rsaug.downstream.datasets.registry import dataset_class
from rsaug.downstream.mixing import FewLabels, Mixture, Schedule
from rsaug.errors import InputError


class RoadDataModule(RoadTilesModule):
    """Trains on real and synthetic tiles in any proportion, validates and tests on real ones.

    Every argument can be set in a YAML file for ``torchgeo fit``; see ``docs/datasets.md``. Batches
    hold ``image`` (float32, (n, 3, rows, cols), 0 to 1) and ``mask`` (int64, (n, rows, cols)).

    Synthetic tiles never get into validation or test: a dataset that is synthetic is refused there,
    and so is any file that says of itself that a model made it. Training places, real or synthetic,
    that lie on ground of the other splits are refused unless `on_overlap` says otherwise.

    Args:
        dataset: Real tiles, by the name of their dataset: ``naip``, ``massachusetts``,
            ``deepglobe``, ``spacenet``, one of another package, or the path of a class.
        root: Their folder.
        options: What else the dataset is given.
        eval_options: What it is given besides for validation and test.
        synthetic: Folders of ``rsaug synth``.
        variants: Which images of a synthetic tile to take, from 0; by default all.
        batch_size: Samples of a batch.
        num_workers: Processes that read.
        chip_size: Side of what is cut from tiles, in pixels; by default tiles are whole.
        synthetic_share: Share of synthetic samples; with a schedule that of the first epoch.
        schedule: ``mixed``, ``pretrain`` or ``curriculum``; see `rsaug.downstream.mixing.Mixture`.
        end_share: Share that the schedule ends with.
        schedule_epochs: Epochs until then.
        share_per: Whether the share holds in each ``batch`` or only in an ``epoch``.
        length: Samples of an epoch; by default as many as there are real tiles.
        positives: Share of samples with a road; by default as they come.
        scores: How often each synthetic tile is drawn: a JSON file of scores by name of the tile,
            or ``road_fraction``.
        label_places: How many real training places to take, or their share where below 1.
        seed: Of the order of samples and of the places.
        augment: Whether training samples are mirrored, turned and shifted in colour.
        on_overlap: Of training places on ground of other splits: ``refuse`` them, ``drop`` them, or
            ``report`` them in a warning.
        drop_blank: Whether mostly white windows are left out of training.

    Raises:
        InputError: if a name or a number is of no use.
    """

    def __init__(
        self,
        dataset: str = "naip",
        root: str | None = None,
        options: dict[str, Any] | None = None,
        eval_options: dict[str, Any] | None = None,
        synthetic: list[str] | None = None,
        variants: list[int] | None = None,
        batch_size: int = 8,
        num_workers: int = 0,
        chip_size: int | None = None,
        synthetic_share: float = 0.5,
        schedule: Schedule = "mixed",
        end_share: float = 0.0,
        schedule_epochs: int = 0,
        share_per: Literal["batch", "epoch"] = "batch",
        length: int | None = None,
        positives: float | None = None,
        scores: str | None = None,
        label_places: float | None = None,
        seed: int = 0,
        augment: bool = True,
        on_overlap: OnOverlap = "refuse",
        drop_blank: bool = False,
    ) -> None:
        runs = list(synthetic or [])
        mixture = Mixture(
            synthetic_share if runs else 0.0,
            schedule if runs else "mixed",
            end_share,
            schedule_epochs,
            share_per,
        )
        super().__init__(
            dataset_class(dataset),
            batch_size,
            num_workers,
            Drawing(mixture, length, positives, scores, seed),
            augment=augment,
        )
        self.real = RealTiles(
            dataset, root, options or {}, eval_options or {}, chip_size, drop_blank
        )
        self.runs = runs
        self.variants = variants
        self.few = None if label_places is None else FewLabels(label_places, seed)
        self.on_overlap = on_overlap

    def setup(self, stage: str) -> None:
        """Find the tiles of a stage, and check that what is measured on is apart from training.

        Args:
            stage: ``fit``, ``validate`` or ``test``.
        """
        if stage == "fit":
            held, notes = held_out(self.real)
            training = training_tiles(
                self.real,
                self.runs,
                held,
                few=self.few,
                on_overlap=self.on_overlap,
                variants=self.variants,
            )
            self.train_on(training, notes)
            self.val_dataset = held["val"]
        elif stage == "validate":
            self.val_dataset = self.real.split("val")
        elif stage == "test":
            self.test_dataset = self.real.split("test")
        else:
            raise InputError(f"RoadDataModule has nothing for the stage {stage!r}.")

    def facts(self) -> dict[str, Any]:
        """What was trained and validated on, by names that say nothing of the machine.

        Raises:
            InputError: if it is not set up to train.
        """
        if self.training is None or not isinstance(self.val_dataset, RoadChips):
            raise InputError("Nothing was trained on.")
        runs = zip(self.runs, self.training.synthetic, strict=True)
        return {
            "real": {
                "dataset": self.real.dataset,
                "folder": Path(self.real.root or "").name,
                "train": len(self.training.real),
                "val": len(self.val_dataset),
            },
            "synthetic": [
                {"run": Path(run).resolve().name, "train": len(part)} for run, part in runs
            ],
            "synthetic_share": self.drawing.mixture.synthetic,
            "notes": [*self.notes],
        }
