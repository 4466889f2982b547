"""One detector: trained in so many steps, then measured."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rsaug.downstream.bench.config import ArmConfig, ModelConfig, TrainingConfig
from rsaug.downstream.bench.draws import Batch, Shares, batches
from rsaug.downstream.bench.items import Items
from rsaug.downstream.losses import road_loss
from rsaug.downstream.segmenter import RoadSegmenter, SegmenterConfig
from rsaug.pipelines.train.loop import Loop, Schedule, seeded, warmup_cosine
from rsaug.pipelines.train.machine import Run

_LOSSES_KEPT = 20
# At least; a checkpoint takes as long as some steps.
_SAVE_EVERY = 100


@dataclass(frozen=True, eq=False)
class Task:
    """All that decides a detector's weights.

    Attributes:
        real: Real tiles; None for none.
        synthetic: Synthetic tiles; None for none.
        arm: How they are used.
        ratio: Share of synthetic samples in a batch; None where the arm has none.
        model: The network.
        training: Steps and optimiser.
        seed: Of the initial weights, the order of samples and their augmentation.
    """

    real: Items | None
    synthetic: Items | None
    arm: ArmConfig
    ratio: float | None
    model: ModelConfig
    training: TrainingConfig
    seed: int

    @property
    def shares(self) -> Shares:
        """How many samples of each step are synthetic."""
        batch = self.training.batch_size
        if self.arm.kind == "synthetic":
            return Shares(batch, 1.0)
        if self.arm.kind == "pretrain":
            return Shares(batch, pretrain=self.pretraining)
        return Shares(batch, self.ratio or 0.0)

    @property
    def pretraining(self) -> int:
        """Steps on synthetic tiles before those on real ones."""
        if self.arm.kind != "pretrain":
            return 0
        return math.floor(self.training.steps * self.arm.pretrain_share)

    def batches(self) -> Batch:
        """What draws the batch of a step."""
        return batches(self.real, self.synthetic, self.shares, self.arm.augment, self.seed)

    def network(self) -> RoadSegmenter:
        """The network with its initial weights, which follow from model and seed alone."""
        with seeded(self.seed, torch.device("cpu")):
            return RoadSegmenter(SegmenterConfig(self.model.architecture, self.model.encoder))

    def rate(self, step: int) -> float:
        """Share of the highest learning rate; warm-up and cosine begin anew on real tiles."""
        steps, first = self.training.steps, self.pretraining
        if step < first:
            return warmup_cosine(step, first, self.training.warmup)
        return warmup_cosine(step - first, steps - first, self.training.warmup)


@dataclass(frozen=True, eq=False)
class Fitted:
    """A trained detector.

    Attributes:
        model: Ready to predict.
        losses: Means of the loss over equal parts of the training, the first first.
        seconds: That training took.
        steps: That were made in this time; fewer than all after an interruption.
    """

    model: RoadSegmenter
    losses: list[float]
    seconds: float
    steps: int


def fit(
    task: Task,
    out: Path,
    device: str | None = None,
    log: Callable[[str], None] = lambda line: None,
) -> Fitted:
    """Train a detector; goes on from its checkpoint if there is one, and removes it at the end.

    Args:
        task: What is trained.
        out: Name of the checkpoint, ``<out>.ckpt``.
        device: Where; the GPU if there is one by default.
        log: Where lines of progress go.

    Raises:
        InputError: if there is no such architecture, encoder or device.
    """
    training = task.training
    schedule = Schedule(
        steps=training.steps,
        batch=training.batch_size,
        learning_rate=training.learning_rate,
        factor=task.rate,
        weight_decay=training.weight_decay,
    )
    every = max(_SAVE_EVERY, training.steps // 4)
    run = Run(device, training.precision, log_every=every, save_every=every)
    loop = Loop(task.network().train(), schedule, run, out, {"job": out.name}, log)
    batch = task.batches()
    history: list[tuple[int, Tensor]] = []

    def losses(step: int, part: slice) -> dict[str, Tensor]:
        x, y = (values[part].to(loop.device) for values in batch(step))
        loss = road_loss(loop.forward(x).float(), y)
        history.append((step, loss.detach()))
        return {"loss": loss}

    first, began = loop.step, time.monotonic()
    loop.train(losses)
    seconds = time.monotonic() - began
    loop.checkpoint.unlink(missing_ok=True)
    network = loop.network
    if not isinstance(network, RoadSegmenter):
        raise TypeError("The loop changed the network that it was given.")
    steps = training.steps - first
    return Fitted(network.eval(), _means(history, training.steps), seconds, steps)


def find(model: RoadSegmenter, items: Items) -> NDArray[np.uint8]:
    """Where a detector sees road in tiles, (n, rows, cols) uint8 0/1, from a half on."""
    return model.predict(items.images)


def _means(history: list[tuple[int, Any]], steps: int) -> list[float]:
    if not history:
        return []
    parts: dict[int, list[float]] = {}
    for step, loss in history:
        parts.setdefault(step * _LOSSES_KEPT // steps, []).append(float(loss))
    return [round(float(np.mean(values)), 5) for _, values in sorted(parts.items())]
