"""How real and synthetic tiles are mixed: shares, schedules, weights, balance and few labels.

Nothing here knows of files, Lightning or torchgeo. What is drawn follows from the seed and the
epoch alone.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from torch.utils.data import Sampler

from rsaug.errors import InputError

Schedule = Literal["mixed", "pretrain", "curriculum"]

_REAL, _SYNTHETIC = 0, 1


@dataclass(frozen=True)
class Mixture:
    """How large the share of synthetic tiles is, by epoch.

    Attributes:
        synthetic: Share of synthetic samples, 0 to 1; with a schedule that of the first epoch.
        schedule: ``mixed`` keeps the share; ``pretrain`` keeps it for `epochs` epochs, then takes
            `end`; ``curriculum`` goes from it to `end` in a straight line over `epochs` epochs.
        end: Share after that.
        epochs: Epochs until `end` is reached.
        per: Whether the share holds in each ``batch``, to a sample, or only in an ``epoch``.

    Raises:
        InputError: if a share is none, or there are too few epochs for the schedule.
    """

    synthetic: float = 0.5
    schedule: Schedule = "mixed"
    end: float = 0.0
    epochs: int = 0
    per: Literal["batch", "epoch"] = "batch"

    def __post_init__(self) -> None:
        """Check the numbers."""
        for name, share in (("synthetic", self.synthetic), ("end", self.end)):
            if not 0 <= share <= 1:
                raise InputError(f"The share {name!r} must lie between 0 and 1, not {share}.")
        if self.schedule not in ("mixed", "pretrain", "curriculum"):
            raise InputError(
                f"No schedule is called {self.schedule!r}; there are mixed, pretrain, curriculum."
            )
        if self.per not in ("batch", "epoch"):
            raise InputError(f"A share holds per 'batch' or per 'epoch', not {self.per!r}.")
        least = {"mixed": 0, "pretrain": 1, "curriculum": 2}[self.schedule]
        if self.epochs < least:
            raise InputError(
                f"The schedule {self.schedule!r} needs at least {least} epochs to change in, not "
                f"{self.epochs}; set 'epochs'."
            )

    def share(self, epoch: int) -> float:
        """Share of synthetic samples in an epoch, counted from 0."""
        if self.schedule == "mixed":
            return self.synthetic
        if self.schedule == "pretrain":
            return self.synthetic if epoch < self.epochs else self.end
        way = min(epoch / (self.epochs - 1), 1.0)
        return self.synthetic + way * (self.end - self.synthetic)


@dataclass(frozen=True, eq=False)
class Pool:
    """Items of one kind to draw from.

    Attributes:
        size: How many there are.
        weights: (n,) how often each is drawn, relative to the others; None for equally often.
        positive: (n,) whether each holds a road; None where it does not matter.

    Raises:
        InputError: if weights are negative, not finite or all 0, or of another number.
    """

    size: int
    weights: NDArray[np.float64] | None = None
    positive: NDArray[np.bool_] | None = None

    def __post_init__(self) -> None:
        """Check what there is an entry an item of."""
        for name, values in (("weights", self.weights), ("positive", self.positive)):
            if values is not None and len(values) != self.size:
                raise InputError(f"There are {len(values)} {name} for {self.size} items.")
        if self.weights is not None and self.size:
            good = np.isfinite(self.weights).all() and (self.weights >= 0).all()
            if not good or not self.weights.any():
                raise InputError("Weights must be numbers of at least 0, and not all of them 0.")

    def draw(
        self, count: int, rng: np.random.Generator, positives: float | None = None
    ) -> NDArray[np.intp]:
        """Numbers of ``count`` items in random order, (count,).

        Each is drawn as often as its weight asks for, rounded up or down by chance: without weights
        no item comes a second time before all others came once (systematic resampling, Kitagawa
        1996, on a random order).

        Args:
            count: How many to draw.
            rng: Where all randomness comes from.
            positives: Share of items with a road; of no effect where all items are of one kind.
        """
        every = np.arange(self.size)
        if positives is None or self.positive is None or len(set(self.positive.tolist())) < 2:
            drawn = self._systematic(every, count, rng)
        else:
            of_roads = round(count * positives)
            parts = [(every[self.positive], of_roads), (every[~self.positive], count - of_roads)]
            drawn = np.concatenate([self._systematic(part, n, rng) for part, n in parts])
        return rng.permutation(drawn)

    def _systematic(
        self, items: NDArray[np.intp], count: int, rng: np.random.Generator
    ) -> NDArray[np.intp]:
        if not count:
            return np.zeros(0, dtype=np.intp)
        items = rng.permutation(items)
        if self.weights is None:
            return items[np.arange(count) % len(items)]
        edges = np.cumsum(self.weights[items])
        if not edges[-1]:
            raise InputError("All items of a kind that is to be drawn have the weight 0.")
        edges /= edges[-1]
        drawn: NDArray[np.intp] = items[
            np.searchsorted(edges, (np.arange(count) + rng.random()) / count, side="right")
        ]
        return drawn


@dataclass(frozen=True)
class Plan:
    """What is drawn in an epoch.

    Attributes:
        numbers: (n,) numbers of items: real ones first, then synthetic ones.
        synthetic: (n,) whether each is synthetic.
    """

    numbers: NDArray[np.intp]
    synthetic: NDArray[np.bool_]


class MixedSampler(Sampler[int]):
    """Numbers of a dataset that has the real items first and the synthetic ones after them.

    An epoch is as long whatever the share is, so runs with other shares take as many steps. It
    begins anew from seed and epoch; `set_epoch` is what Lightning calls. Whoever does not call it
    has each pass count as an epoch.

    Args:
        real: Real items.
        synthetic: Synthetic items; there may be none where none is to be drawn.
        mixture: Their share.
        batch_size: Samples of a batch, over which a share per batch is held.
        length: Samples of an epoch; by default as many as there are real items, or synthetic ones
            where there are no real ones, in whole batches.
        positives: Share of samples with a road, of those pools that have both kinds.
        seed: Where all randomness comes from, with the epoch.

    Raises:
        InputError: if a pool is empty that the mixture draws from, or a number is out of range.
    """

    def __init__(
        self,
        real: Pool,
        synthetic: Pool,
        mixture: Mixture,
        batch_size: int,
        length: int | None = None,
        positives: float | None = None,
        seed: int = 0,
    ) -> None:
        if batch_size < 1 or (length is not None and length < 1):
            raise InputError("A batch and an epoch need at least one sample.")
        if positives is not None and not 0 <= positives <= 1:
            raise InputError(f"The share of positives must lie between 0 and 1, not {positives}.")
        shares = {mixture.share(epoch) for epoch in range(max(mixture.epochs, 1) + 1)}
        for name, pool, asked in (
            ("real", real, min(shares) < 1),
            ("synthetic", synthetic, max(shares) > 0),
        ):
            if asked and not pool.size:
                raise InputError(
                    f"The mixture draws {name} tiles, and there are none; give some, or set their "
                    f"share to 0."
                )
        self.pools = {_REAL: real, _SYNTHETIC: synthetic}
        self.mixture = mixture
        self.batch_size = batch_size
        self.length = length or math.ceil((real.size or synthetic.size) / batch_size) * batch_size
        self.positives = positives
        self.seed = seed
        self.epoch = 0
        self._told = False

    def __len__(self) -> int:
        """Samples of an epoch."""
        return self.length

    def set_epoch(self, epoch: int) -> None:
        """Say which epoch comes next, from 0."""
        self.epoch, self._told = epoch, True

    def __iter__(self) -> Iterator[int]:
        """The numbers of an epoch."""
        plan = self.plan(self.epoch)
        if not self._told:
            self.epoch += 1
        yield from plan.numbers.tolist()

    def plan(self, epoch: int) -> Plan:
        """What is drawn in an epoch; the same whenever it is asked for."""
        rng = np.random.default_rng((self.seed, epoch))
        kind = self._kinds(self.mixture.share(epoch), rng)
        numbers = np.zeros(self.length, dtype=np.intp)
        for which, first in ((_REAL, 0), (_SYNTHETIC, self.pools[_REAL].size)):
            rows = np.flatnonzero(kind == which)
            if len(rows):
                numbers[rows] = first + self.pools[which].draw(len(rows), rng, self.positives)
        return Plan(numbers, kind == _SYNTHETIC)

    def _kinds(self, share: float, rng: np.random.Generator) -> NDArray[np.intp]:
        """Of which kind each sample of an epoch is, (n,)."""
        if self.mixture.per == "epoch":
            kind = np.zeros(self.length, dtype=np.intp)
            kind[: round(self.length * share)] = _SYNTHETIC
            return rng.permutation(kind)
        # By the running total, so that what a batch is short of the next one has.
        ends = np.minimum(np.arange(0, self.length + self.batch_size, self.batch_size), self.length)
        totals = np.floor(ends * share + 0.5).astype(np.intp)
        kind = np.zeros(self.length, dtype=np.intp)
        for start, stop, count in zip(ends[:-1], ends[1:], np.diff(totals), strict=True):
            kind[start : start + count] = _SYNTHETIC
            rng.shuffle(kind[start:stop])
        return kind


@dataclass(frozen=True)
class FewLabels:
    """A part of the places, chosen so that a smaller part lies within every larger one.

    Attributes:
        places: How many places, or their share where it is below 1.
        seed: Which ones.
    """

    places: float
    seed: int = 0

    def choose(self, names: Collection[str]) -> list[str]:
        """The places that are chosen among those of these names, sorted.

        Raises:
            InputError: if more are asked for than there are, or none.
        """
        every = sorted(set(names))
        count = math.ceil(self.places * len(every)) if self.places < 1 else int(self.places)
        if not 0 < count <= len(every) or (self.places >= 1 and count != self.places):
            raise InputError(
                f"{self.places} places were asked for; give a whole number from 1 to {len(every)}, "
                "or a share between 0 and 1."
            )
        return sorted(sorted(every, key=lambda name: lot(name, self.seed))[:count])


def lot(name: str, seed: int = 0) -> float:
    """A number in [0, 1) that a name draws, the same on every machine."""
    digest = hashlib.sha256(f"{seed}:{name}".encode()).digest()
    return int.from_bytes(digest[:7], "big") / 2**56


def weights_of(names: Sequence[str], scores: Mapping[str, float]) -> NDArray[np.float64]:
    """The score of each item as its weight, (n,).

    Raises:
        InputError: if an item has no score, or one that is no weight.
    """
    missing = sorted({name for name in names if name not in scores})
    if missing:
        raise InputError(
            f"{len(missing)} of {len(set(names))} items have no score, {missing[0]!r} for one; a "
            "score of 0 leaves an item out."
        )
    return np.array([scores[name] for name in names], dtype=np.float64)
