"""Which samples a step takes, so that arms with one seed differ in nothing but what they must.

Real and synthetic samples are two endless sequences. The k-th real sample and how it is augmented
follow from the seed, the tiles and k alone. An arm with half as many real samples in a batch goes
along the same sequence at half the speed.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from rsaug.downstream.bench.augment import augment
from rsaug.downstream.bench.config import Augment
from rsaug.downstream.bench.items import Items

_REAL, _SYNTHETIC = 0, 1
_ORDER, _CHANGES = 0, 1


@dataclass(frozen=True)
class Sequence:
    """An endless sequence of numbers: all items in random order, then again in another.

    Attributes:
        size: How many items there are.
        seed: Of the order.
        kind: Tells two sequences of one seed apart.
    """

    size: int
    seed: int
    kind: int

    def item(self, k: int) -> int:
        """Number of the k-th sample."""
        turn, at = divmod(k, self.size)
        rng = np.random.default_rng((self.seed, self.kind, _ORDER, turn))
        return int(rng.permutation(self.size)[at])

    def rng(self, k: int) -> np.random.Generator:
        """What the augmentation of the k-th sample comes from."""
        return np.random.default_rng((self.seed, self.kind, _CHANGES, k))


@dataclass(frozen=True)
class Shares:
    """How many samples of a step are synthetic.

    Attributes:
        batch: Samples a step.
        share: Share of synthetic samples in each batch.
        pretrain: Steps at the beginning that are of synthetic samples alone.
    """

    batch: int
    share: float = 0.0
    pretrain: int = 0

    def synthetic_before(self, step: int) -> int:
        """Synthetic samples in all steps before one, rounded down after each batch alone."""
        first = min(step, self.pretrain)
        return first * self.batch + math.floor((step - first) * self.batch * self.share + 1e-9)

    def of_step(self, step: int) -> tuple[range, range]:
        """Numbers in their sequences of the real and of the synthetic samples of a step."""
        before, after = self.synthetic_before(step), self.synthetic_before(step + 1)
        real = step * self.batch - before
        return range(real, real + self.batch - (after - before)), range(before, after)


@dataclass(frozen=True, eq=False)
class Source:
    """Tiles to draw from, as tensors.

    Attributes:
        images: (n, 3, rows, cols) uint8.
        masks: (n, rows, cols) uint8.
        sequence: Their order.
    """

    images: Tensor
    masks: Tensor
    sequence: Sequence

    @classmethod
    def of(cls, items: Items | None, seed: int, kind: int) -> Source | None:
        """Items to draw from; None for none."""
        if items is None or not len(items):
            return None
        images, masks = torch.from_numpy(items.images), torch.from_numpy(items.masks)
        return cls(images, masks, Sequence(len(items), seed, kind))

    def sample(self, k: int, how: Augment) -> tuple[Tensor, Tensor]:
        """The k-th sample, augmented."""
        item = self.sequence.item(k)
        return augment(self.images[item], self.masks[item], how, self.sequence.rng(k))


Batch = Callable[[int], tuple[Tensor, Tensor]]
"""From a step to images (batch, 3, rows, cols) in [0, 255] and masks (batch, rows, cols)."""


def batches(
    real: Items | None, synthetic: Items | None, shares: Shares, how: Augment, seed: int
) -> Batch:
    """What draws the batch of a step.

    Args:
        real: Real tiles; None where none are drawn.
        synthetic: Synthetic tiles; None where none are drawn.
        shares: How many of each.
        how: Augmentation of both.
        seed: Of order and augmentation.
    """
    sources = Source.of(real, seed, _REAL), Source.of(synthetic, seed, _SYNTHETIC)

    def batch(step: int) -> tuple[Tensor, Tensor]:
        drawn = [
            source.sample(k, how)
            for source, numbers in zip(sources, shares.of_step(step), strict=True)
            if source is not None
            for k in numbers
        ]
        images, masks = zip(*drawn, strict=True)
        return torch.stack(images), torch.stack(masks)

    return batch
