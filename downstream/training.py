"""Training of the road segmenter on real tiles."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from rsaug.downstream.losses import road_loss
from rsaug.downstream.roadtiles import RoadTiles
from rsaug.downstream.segmenter import RoadSegmenter, SegmenterConfig
from rsaug.errors import InputError
from rsaug.pipelines.train.loop import Loop, Schedule, seeded, turn, warmup_cosine
from rsaug.pipelines.train.machine import Run


@dataclass(frozen=True)
class SegmenterRecipe:
    """How the segmenter is trained.

    Attributes:
        steps: Optimiser steps.
        batch: Tiles a step.
        warmup: Steps of linear warm-up, before half a cosine.
        learning_rate: Highest rate of AdamW.
        weight_decay: Decoupled weight decay of AdamW.
        gain: Each band is multiplied by a random number within this of 1.
        shift: To each image, a random share of the full range within this of 0 is added.
        report_every: Steps between checkpoints, and between lines of the log.
        seed: Of the initial weights, of the order of tiles and of their augmentation.
    """

    steps: int = 700
    batch: int = 8
    warmup: int = 50
    learning_rate: float = 1e-3
    weight_decay: float = 1e-2
    gain: float = 0.2
    shift: float = 0.1
    report_every: int = 50
    seed: int = 0


def train_segmenter(
    tiles: RoadTiles,
    out: str | Path,
    config: SegmenterConfig,
    recipe: SegmenterRecipe,
    log: Callable[[str], None] = lambda line: None,
) -> RoadSegmenter:
    """Train on ``tiles`` and save to ``out``; goes on from a checkpoint if there is one.

    The last step's weights are kept, without any selection on held-out tiles. The same seed gives
    the same weights on the same machine and number of threads, interrupted or not.

    Args:
        tiles: Real tiles of the training split.
        out: Folder of the finished segmenter; the checkpoint goes beside it as ``<out>.ckpt``.
        config: Shape of the network.
        recipe: Schedule and augmentation.
        log: Where lines of progress go.

    Returns:
        The trained segmenter, ready to predict.

    Raises:
        InputError: if the tiles are of another split than ``train``, or the checkpoint was made
            by another recipe.
    """
    out = Path(out)
    if tiles.split != "train":
        raise InputError(
            f"A segmenter is trained on split 'train' only, not on {tiles.split!r}: what it is "
            "measured on must be new to it."
        )
    with seeded(recipe.seed, torch.device("cpu")):
        model = RoadSegmenter(config).train()
    made_by: dict[str, object] = {
        "config": asdict(config),
        "recipe": asdict(recipe),
        "data": {"split": tiles.split, "tiles": len(tiles), "places": len(set(tiles.places))},
    }
    schedule = Schedule(
        steps=recipe.steps,
        batch=recipe.batch,
        learning_rate=recipe.learning_rate,
        factor=lambda step: warmup_cosine(step, recipe.steps, recipe.warmup),
        weight_decay=recipe.weight_decay,
    )
    run = Run(device="cpu", log_every=recipe.report_every, save_every=recipe.report_every)
    loop = Loop(model, schedule, run, out, made_by, log)
    images, masks = torch.from_numpy(tiles.images), torch.from_numpy(tiles.masks)

    def losses(step: int, part: slice) -> dict[str, Tensor]:
        rng = np.random.default_rng((recipe.seed, step))
        x, y = draw_batch(images, masks, recipe, rng)
        return {"loss": road_loss(loop.forward(x[part]).float(), y[part])}

    def export() -> None:
        model.save(out)
        text = json.dumps(made_by, indent=2) + "\n"
        (out / "training.json").write_text(text, encoding="utf-8")

    loop.train(losses)
    loop.finish(export)
    return model.eval()


def draw_batch(
    images: Tensor, masks: Tensor, recipe: SegmenterRecipe, rng: np.random.Generator
) -> tuple[Tensor, Tensor]:
    """Random tiles, turned, mirrored and shifted in colour.

    Args:
        images: (n, 3, size, size) uint8.
        masks: (n, size, size) uint8, 0/1.
        recipe: Size of the batch and of the shifts.
        rng: Where all randomness comes from.

    Returns:
        Images (batch, 3, size, size) float in [0, 255] and masks (batch, size, size) float 0/1.
    """
    xs, ys = [], []
    for k in rng.integers(len(images), size=recipe.batch):
        quarter, mirror = int(rng.integers(4)), bool(rng.integers(2))
        gain = torch.from_numpy(rng.uniform(1 - recipe.gain, 1 + recipe.gain, (3, 1, 1))).float()
        shift = 255 * float(rng.uniform(-recipe.shift, recipe.shift))
        x = (images[k].float() * gain + shift).clamp(0, 255)
        xs.append(turn(x, quarter, mirror))
        ys.append(turn(masks[k].float(), quarter, mirror))
    return torch.stack(xs), torch.stack(ys)
