"""Real and synthetic road tiles for Lightning: one training, measured on real tiles alone."""

from __future__ import annotations

import logging
from typing import Any, Literal

import kornia.augmentation as K
import torch
from torch.utils.data import ConcatDataset, DataLoader
from torchgeo.datamodules import NonGeoDataModule

from rsaug.downstream.datamodules.sources import (
    OnOverlap,
    RealTiles,
    TrainingTiles,
    held_out,
    training_tiles,
)
from rsaug.downstream.datasets.contract import Sample
from rsaug.downstream.datasets.registry import dataset_class
from rsaug.downstream.mixing import FewLabels, MixedSampler, Mixture, Schedule
from rsaug.errors import InputError

_log = logging.getLogger(__name__)


class RoadDataModule(NonGeoDataModule):
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
        super().__init__(dataset_class(dataset), batch_size, num_workers)
        self.real = RealTiles(
            dataset, root, options or {}, eval_options or {}, chip_size, drop_blank
        )
        self.runs = list(synthetic or [])
        self.variants = variants
        self.mixture = Mixture(
            synthetic_share if self.runs else 0.0,
            schedule if self.runs else "mixed",
            end_share,
            schedule_epochs,
            share_per,
        )
        self.length = length
        self.positives = positives
        self.scores = scores
        self.few = None if label_places is None else FewLabels(label_places, seed)
        self.seed = seed
        self.on_overlap = on_overlap
        self.training: TrainingTiles | None = None
        self.train_sampler: MixedSampler | None = None
        self.notes: list[str] = []
        if augment:
            self.train_aug = _augmentations(self.mean, self.std)

    def setup(self, stage: str) -> None:
        """Find the tiles of a stage, and check that what is measured on is apart from training.

        Args:
            stage: ``fit``, ``validate`` or ``test``.
        """
        if stage == "fit":
            held, self.notes = held_out(self.real)
            self.training = training_tiles(
                self.real,
                self.runs,
                held,
                few=self.few,
                on_overlap=self.on_overlap,
                variants=self.variants,
            )
            self.notes += self.training.notes
            for note in self.notes:
                _log.info(note)
            self.val_dataset = held["val"]
            parts = (self.training.real, *self.training.synthetic)
            self.train_dataset = ConcatDataset([part for part in parts if len(part)])
            pools = self.training.pools(scores=self.scores, balanced=self.positives is not None)
            self.train_sampler = MixedSampler(
                *pools, self.mixture, self.batch_size, self.length, self.positives, self.seed
            )
        elif stage == "validate":
            self.val_dataset = self.real.split("val")
        elif stage == "test":
            self.test_dataset = self.real.split("test")
        else:
            raise InputError(f"RoadDataModule has nothing for the stage {stage!r}.")

    def train_dataloader(self) -> DataLoader[Sample]:
        """Batches in the proportion of real and synthetic tiles that the epoch asks for."""
        if self.train_sampler is None or self.train_dataset is None:
            raise InputError("There is nothing to train on yet; call setup('fit') first.")
        return DataLoader(
            self.train_dataset,
            batch_size=self.batch_size,
            sampler=self.train_sampler,
            num_workers=self.num_workers,
            collate_fn=self.collate_fn,
            persistent_workers=self.num_workers > 0,
        )


def _augmentations(mean: torch.Tensor, std: torch.Tensor) -> K.AugmentationSequential:
    """Mirrored, turned by quarters and shifted in colour, after normalising to [0, 1]."""
    return K.AugmentationSequential(
        K.Normalize(mean=mean, std=std),
        K.RandomHorizontalFlip(p=0.5),
        K.RandomVerticalFlip(p=0.5),
        K.RandomRotation90(times=(0, 3), p=1.0),
        K.ColorJitter(brightness=0.2, contrast=0.2, saturation=0.2, hue=0.02, p=0.8),
        data_keys=None,
        keepdim=True,
    )
