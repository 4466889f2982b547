"""A short training at toy size, as a program: to be run in several processes, or killed."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from toy import TOY, toy_autoencoder
from toytraining import road_pack

from rsaug.pipelines.train.generator import train_generator
from rsaug.pipelines.train.machine import Run, leave_processes
from rsaug.pipelines.train.recipe import GeneratorRecipe


def short_run(
    out: Path, steps: int, batch: int, accumulate: int, log: Callable[[str], None]
) -> None:
    """Train to ``out``; each step has a line, each third one a checkpoint."""
    pack = road_pack()
    recipe = GeneratorRecipe(
        steps=steps, batch=batch, warmup=1, learning_rate=1e-3, preset=TOY, ema_decay=0.9
    )
    run = Run(device="cpu", precision="no", accumulate=accumulate, log_every=1, save_every=3)
    weights, vae = np.ones(len(pack)), toy_autoencoder()
    train_generator(pack, weights, vae, out, recipe, log, run=run)


def main(out: str, steps: str, batch: str, *accumulate: str) -> None:
    """One run to ``out-<parts>`` for each number of parts of a batch."""
    torch.set_num_threads(1)
    for parts in accumulate:
        short_run(
            Path(f"{out}-{parts}"),
            int(steps),
            int(batch),
            int(parts),
            lambda line: print(line, flush=True),  # noqa: T201, read by the test
        )
    leave_processes()


if __name__ == "__main__":
    main(*sys.argv[1:])
