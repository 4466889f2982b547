"""A first road detector: trained on synthetic tiles alone, measured on those of another place.

    python scripts/first_detector.py north --measure south --out detector

It is for seeing the whole way before there are real tiles. The scores say how well roads are found
in synthetic imagery, and nothing of real imagery; ``rsaug train roads`` refuses synthetic tiles for
measuring for that reason, and is what to use once there are real ones.
"""

from __future__ import annotations

import argparse
import logging
import math
import sys
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Trainer, seed_everything
from torch.utils.data import DataLoader

from rsaug.downstream.datasets import SyntheticRoads
from rsaug.downstream.leakage import overlaps
from rsaug.downstream.tasks import RoadSegmentationTask
from rsaug.errors import InputError, RsaugError
from rsaug.pipelines.train.loop import turn

SHOWN = ("iou", "f1", "relaxed_f1", "cldice")


def train(
    run: Path, measure: Path, out: Path, *, arch: str, encoder: str, steps: int, seed: int
) -> dict[str, float]:
    """Train on one run of ``rsaug synth`` and measure on another one; saves the detector.

    Returns:
        IoU, precision, recall, F1, relaxed F1 and clDice of road on the tiles measured on, at the
        threshold that is best there.

    Raises:
        InputError: if a folder is that of no finished run, or both hold tiles of one place.
    """
    chips = SyntheticRoads(run, transforms=_turned).chips()
    held = SyntheticRoads(measure, transforms=_scaled).chips()
    if found := overlaps(chips, {"val": held}):
        raise InputError(f"{run} and {measure} share ground: {found[0]}. Take places apart.")
    seed_everything(seed, verbose=False)
    task = RoadSegmentationTask(model=arch, backbone=encoder)
    same: dict[str, Any] = {"logger": False, "enable_checkpointing": False, "devices": 1}
    same |= {"enable_model_summary": False}
    batches = DataLoader(chips, batch_size=8, shuffle=True, drop_last=len(chips) > 8)
    # As many epochs as hold the steps, so that the progress says of how many.
    epochs = math.ceil(steps / len(batches))
    trainer = Trainer(max_steps=steps, max_epochs=epochs, limit_val_batches=0, **same)
    trainer.fit(task, batches)
    judge, tiles = Trainer(**same, enable_progress_bar=False), DataLoader(held, batch_size=8)
    (first,) = judge.validate(task, tiles, verbose=False)
    task.use_threshold(round(float(first["val/threshold"]), 4))
    (scores,) = judge.validate(task, tiles, verbose=False)
    detector = task.model
    grid = chips.source.tiles[0].grid
    detector.config = replace(
        detector.config, gsd_m=None if grid is None else abs(grid.transform.a)
    )
    detector.facts = {
        "data": {"real": None, "synthetic": [{"run": run.resolve().name, "train": len(chips)}]},
        "measured_on": {"synthetic": [{"run": measure.resolve().name, "tiles": len(held)}]},
        "metrics": {name.replace("val/", "synthetic/"): value for name, value in scores.items()},
    }
    detector.save(out)
    return {name.removeprefix("val/"): float(value) for name, value in scores.items()}


def _scaled(sample: dict[str, Any]) -> dict[str, Any]:
    """Image in [0, 1] and mask alone."""
    return {"image": sample["image"] / 255, "mask": sample["mask"]}


def _turned(sample: dict[str, Any]) -> dict[str, Any]:
    """The same, turned and mirrored at random."""
    quarter, mirror = int(torch.randint(4, ())), bool(torch.randint(2, ()))
    return {name: turn(value, quarter, mirror) for name, value in _scaled(sample).items()}


def main() -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path, help="folder of rsaug synth to train on")
    parser.add_argument("--measure", type=Path, required=True, help="folder of another place")
    parser.add_argument(
        "--out", type=Path, default=Path("detector"), help="where the detector goes"
    )
    parser.add_argument("--arch", default="linknet")
    parser.add_argument("--encoder", default="tu-regnetx_002")
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    said = parser.parse_args()
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module="lightning")  # advice on speed
    same = {"arch": said.arch, "encoder": said.encoder, "steps": said.steps, "seed": said.seed}
    try:
        scores = train(said.run, said.measure, said.out, **same)
    except RsaugError as error:
        sys.stderr.write(f"error: {error}\n")
        return 2
    shown = ", ".join(
        f"{name} {scores[name]:.2f}" for name in ("iou", "f1", "relaxed_f1", "cldice")
    )
    sys.stdout.write(f"on synthetic tiles of another place: {shown}\n")
    sys.stdout.write(f"The detector is in {said.out}.\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
