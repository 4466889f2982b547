"""The one training loop: device, precision, parts of a batch, averages, checkpoints and logs.

On accelerate: the same code runs on a CPU, a GPU, or in several processes. A step has one batch,
whatever the machine: it is drawn from the seed and the step, cut into equal parts, and each process
takes its own, one after another where gradients are accumulated. So neither the number of processes
nor that of the parts changes what is learned, up to rounding.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from rsaug.pictures import Picture, write_png
from rsaug.pipelines.train.checkpoint import (
    Stateful,
    Trained,
    checkpoint_path,
    resume,
    save_checkpoint,
)
from rsaug.pipelines.train.ema import Ema
from rsaug.pipelines.train.machine import Run, cut_batch, make_accelerator

Losses = Callable[[int, slice], Mapping[str, Tensor]]
"""From a step and a part of its batch to scalars; ``loss`` is what is minimised."""


@dataclass(frozen=True)
class Schedule:
    """Steps and optimiser of a run.

    Attributes:
        steps: optimisation steps.
        batch: samples a step, over all processes and parts.
        learning_rate: highest rate of AdamW.
        factor: share of that rate at a step.
        weight_decay: decoupled weight decay of AdamW.
        betas: decay of its two averages.
        ema_decay: decay of the averaged weights; None for none.
    """

    steps: int
    batch: int
    learning_rate: float
    factor: Callable[[int], float]
    weight_decay: float
    betas: tuple[float, float] = (0.9, 0.999)
    ema_decay: float | None = None


class Loop:
    """A training run that goes on from its checkpoint, in one process or one of several.

    Args:
        network: what is trained; only weights that have a gradient are.
        schedule: steps and optimiser.
        run: device and the like.
        out: where results go: the checkpoint is ``<out>.ckpt``, pictures go to ``<out>-logs``.
        made_by: what else decides the run; see `rsaug.pipelines.train.checkpoint.resume`.
        log: where lines of progress go.

    Raises:
        InputError: if the batch cannot be cut into equal parts, the device cannot do this, or the
            checkpoint is of another run.
        MissingExtra: without accelerate, or without TensorBoard where it is to be written.
    """

    def __init__(
        self,
        network: nn.Module,
        schedule: Schedule,
        run: Run,
        out: Path,
        made_by: Mapping[str, object],
        log: Callable[[str], None],
    ) -> None:
        self.schedule, self.run, self.out, self.log = schedule, run, out, log
        self.accelerator = make_accelerator(run)
        self.parts = cut_batch(
            schedule.batch,
            self.accelerator.num_processes,
            run.accumulate,
            self.accelerator.process_index,
        )
        self.device: torch.device = self.accelerator.device
        self.network = network.to(self.device)
        self.trained = [p for p in network.parameters() if p.requires_grad]
        self.ema = Ema(self.trained, schedule.ema_decay) if schedule.ema_decay else None
        optimizer = torch.optim.AdamW(
            self.trained,
            lr=schedule.learning_rate,
            betas=schedule.betas,
            weight_decay=schedule.weight_decay,
        )
        self.forward, self.optimizer = self.accelerator.prepare(_Shell(network), optimizer)
        scaler = self.accelerator.scaler
        self._state: dict[str, Stateful] = {
            "network": Trained(network),
            "optimizer": self.optimizer,
            **({"ema": self.ema} if self.ema else {}),
            **({"scaler": scaler} if scaler else {}),
        }
        self._made_by = dict(made_by)
        self.checkpoint = checkpoint_path(out)
        self.step = resume(self.checkpoint, self._state, self._made_by)
        self._recent: list[dict[str, Tensor]] = []

    def train(self, losses: Losses, picture: Callable[[], Picture] | None = None) -> None:
        """Train to the last step.

        Args:
            losses: the losses of a part of a step's batch, by way of `forward`.
            picture: shows what has been learned so far; called with averaged weights in place.
        """
        began, first = time.monotonic(), self.step
        while self.step < self.schedule.steps:
            self._recent.append(self._train_step(losses))
            last = self.step == self.schedule.steps
            if self.step % self.run.save_every == 0 or last:
                self.save()
            if self.step % self.run.log_every == 0 or last:
                self._report((time.monotonic() - began) / (self.step - first))
            if picture and self.run.picture_every and self.step % self.run.picture_every == 0:
                self._show(picture)
        self.accelerator.wait_for_everyone()

    def save(self) -> None:
        """Write the checkpoint; the first process does, the others wait."""
        if self.accelerator.is_main_process:
            save_checkpoint(self.checkpoint, self._state, self.step, self._made_by)
        self.accelerator.wait_for_everyone()

    def finish(self, export: Callable[[], None]) -> None:
        """Write the result with averaged weights in place; the first process does."""
        if self.ema:
            self.ema.swap()
        if self.accelerator.is_main_process:
            export()
        for tracker in self.accelerator.trackers:
            tracker.finish()
        self.accelerator.wait_for_everyone()

    def _train_step(self, losses: Losses) -> dict[str, Tensor]:
        rate = self.schedule.learning_rate * self.schedule.factor(self.step)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.forward.train()
        found: list[Mapping[str, Tensor]] = []
        for part in self.parts:
            with self.accelerator.accumulate(self.forward):
                each = losses(self.step, part)
                self.accelerator.backward(each["loss"])
                if self.accelerator.sync_gradients:
                    self.accelerator.clip_grad_norm_(self.trained, 1.0)
                self.optimizer.step()
                self.optimizer.zero_grad(set_to_none=True)
            found.append({name: value.detach() for name, value in each.items()})
        if self.ema:
            self.ema.update()
        self.step += 1
        return {name: torch.stack([f[name] for f in found]).mean() for name in found[0]}

    def _report(self, seconds: float) -> None:
        """Write a line and the numbers for TensorBoard, over all processes since the last one."""
        names = self._recent[0].keys()
        means = {name: torch.stack([r[name] for r in self._recent]).mean() for name in names}
        values = {name: self.accelerator.reduce(m, "mean").item() for name, m in means.items()}
        self._recent.clear()
        rate = self.optimizer.param_groups[0]["lr"]
        pace = {"learning_rate": rate, "samples_per_second": self.schedule.batch / seconds}
        self.accelerator.log(values | pace, step=self.step)
        if self.accelerator.is_main_process:
            numbers = ", ".join(f"{name} {value:.6g}" for name, value in values.items())
            self.log(f"step {self.step}: {numbers}, {seconds:.2f} s/step")

    def _show(self, picture: Callable[[], Picture]) -> None:
        if self.accelerator.is_main_process:
            if self.ema:
                self.ema.swap()
            self.network.eval()
            with self.accelerator.autocast():
                sheet = picture()
            if self.ema:
                self.ema.swap()
            folder = self.out.with_name(self.out.name + "-logs")
            folder.mkdir(parents=True, exist_ok=True)
            write_png(folder / f"step-{self.step:06d}.png", sheet)
            for tracker in self.accelerator.trackers:
                tracker.log_images({"pictures": sheet[None]}, step=self.step, dataformats="NHWC")
        self.accelerator.wait_for_everyone()


class _Shell(nn.Module):
    """What accelerate changes the forward of, so that the network itself stays as it was."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, *args: Any) -> Any:
        return self.network(*args)


def warmup_cosine(step: int, steps: int, warmup: int, floor: float = 0.02) -> float:
    """Factor on the learning rate: linear over ``warmup``, then half a cosine down to ``floor``."""
    if step < warmup:
        return (step + 1) / warmup
    progress = min(1.0, (step - warmup) / max(1, steps - warmup))
    return floor + (1 - floor) * 0.5 * (1 + math.cos(math.pi * progress))


@contextmanager
def seeded(seed: int, device: torch.device) -> Iterator[None]:
    """Everything random in torch inside follows from ``seed``, and nothing outside does."""
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(seed)
        yield


def turn(batch: Tensor, quarter: int, mirror: bool) -> Tensor:
    """``batch`` (..., h, w) turned by quarter circles, then mirrored: a symmetry of the square."""
    out = torch.rot90(batch, quarter, (-2, -1))
    return out.flip(-1) if mirror else out
