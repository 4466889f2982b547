"""What the data modules have in common: how training tiles are drawn, and what is said of them."""

from __future__ import annotations

import logging
from abc import abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Literal

import kornia.augmentation as K
import torch
from torch.utils.data import ConcatDataset, DataLoader
from torchgeo.datamodules import NonGeoDataModule

from rsaug.downstream.datamodules.sources import TrainingTiles
from rsaug.downstream.datasets.contract import Sample
from rsaug.downstream.mixing import MixedSampler, Mixture
from rsaug.errors import InputError

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Drawing:
    """How the samples of an epoch are drawn.

    Attributes:
        mixture: Share of synthetic samples by epoch.
        length: Samples of an epoch; None for as many as there are real tiles, or synthetic ones
            where none are real.
        positives: Share of samples with a road; None for as they come.
        scores: How often each synthetic tile is drawn: a JSON file of scores by name of the tile,
            or ``road_fraction``; None for equally often.
        seed: Of the order.
    """

    mixture: Mixture = field(default_factory=Mixture)
    length: int | None = None
    positives: float | None = None
    scores: str | None = None
    seed: int = 0


class RoadTilesModule(NonGeoDataModule):
    """Batches of road tiles to train on, and others to validate on.

    Batches hold ``image`` (float32, (n, 3, rows, cols), 0 to 1) and ``mask`` (int64, (n, rows,
    cols)).

    Args:
        dataset: Class of a dataset of road tiles.
        batch_size: Samples of a batch.
        num_workers: Processes that read.
        drawing: How the samples of an epoch are drawn.
        augment: Whether training samples are mirrored, turned and shifted in colour.

    Attributes:
        training: What is trained on; None until it is set up.
        train_sampler: What draws from it; None until then.
        notes: What a user should know of the tiles, one sentence each.
    """

    def __init__(
        self,
        dataset: type[Any],
        batch_size: int,
        num_workers: int,
        drawing: Drawing,
        *,
        augment: bool,
    ) -> None:
        super().__init__(dataset, batch_size, num_workers)
        self.drawing = drawing
        self.training: TrainingTiles | None = None
        self.train_sampler: MixedSampler | None = None
        self.notes: list[str] = []
        if augment:
            self.train_aug = _augmentations(self.mean, self.std)

    @property
    def validated_on(self) -> Literal["real", "synthetic"]:
        """What kind of tiles the scores of validation are of."""
        return "real"

    @abstractmethod
    def facts(self) -> dict[str, Any]:
        """What was trained and validated on, by names that say nothing of the machine.

        Raises:
            InputError: if it is not set up to train.
        """

    def train_on(self, training: TrainingTiles, notes: Iterable[str]) -> None:
        """Take tiles to train on, and say what there is to be said of them."""
        self.training, self.notes = training, [*notes, *training.notes]
        for note in self.notes:
            _log.info(note)
        parts = (training.real, *training.synthetic)
        self.train_dataset = ConcatDataset([part for part in parts if len(part)])
        how = self.drawing
        pools = training.pools(scores=how.scores, balanced=how.positives is not None)
        self.train_sampler = MixedSampler(
            *pools, how.mixture, self.batch_size, how.length, how.positives, how.seed
        )

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
