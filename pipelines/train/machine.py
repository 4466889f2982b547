"""What a training runs on: device, precision, processes, and each process's part of a batch."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import torch

from rsaug.errors import InputError
from rsaug.optional import require

Precision = Literal["no", "bf16", "fp16"]


@dataclass(frozen=True)
class Run:
    """How a training is carried out; nothing here changes what is learned, up to rounding.

    Attributes:
        device: ``cpu``, ``cuda``, ``cuda:1``, ...; the GPU where there is one.
        precision: format of products: ``no`` for float32, else bfloat16 or float16; None for
            bfloat16 where the device is fast at it, else float32.
        accumulate: into how many parts a process cuts its share of a batch, to save memory.
        checkpointing: compute activations twice rather than keep them.
        log_every: steps between lines of the log.
        save_every: steps between checkpoints.
        picture_every: steps between pictures; 0 for none.
        log_dir: folder for TensorBoard; None for none.
    """

    device: str | None = None
    precision: Precision | None = None
    accumulate: int = 1
    checkpointing: bool = False
    log_every: int = 25
    save_every: int = 200
    picture_every: int = 0
    log_dir: Path | None = None

    def check(self) -> torch.device:
        """The device, where all of this can be had.

        Raises:
            InputError: for a number, device or precision that cannot be.
            MissingExtra: without TensorBoard where it is to be written.
        """
        from rsaug.pipelines.models import pick_device

        read_precision(self.precision)
        if min(self.accumulate, self.log_every, self.save_every) < 1 or self.picture_every < 0:
            raise InputError("Parts of a batch, and steps between anything, must be 1 or more.")
        device = pick_device(self.device)
        if self.precision == "fp16" and device.type == "cpu":
            raise InputError("The CPU cannot train in fp16; take bf16.")
        if self.log_dir is not None:
            require("tensorboard", extra="train")
        return device

    def products(self) -> Precision:
        """The precision, or what the device is best at.

        Raises:
            InputError: for a run that cannot be.
        """
        device = self.check()
        if self.precision is not None:
            return self.precision
        if device.type == "cpu":
            return "bf16" if multiplies_bfloat16() else "no"
        return "bf16" if device.type != "cuda" or torch.cuda.is_bf16_supported() else "no"


def read_precision(name: str | None) -> Precision | None:
    """A format of products by its name; None for none.

    Raises:
        InputError: if there is no such format.
    """
    known: tuple[Precision, ...] = get_args(Precision)
    for precision in known:
        if name == precision:
            return precision
    if name is not None:
        raise InputError(f"No precision is called {name!r}; there are {', '.join(known)}.")
    return None


def multiplies_bfloat16() -> bool:
    """Whether the CPU has instructions for products in bfloat16.

    Where it has none they are emulated, which takes two to ten times as long as float32; AVX-512
    alone does not have them.
    """
    features = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    return any(getattr(torch.cpu, name, lambda: False)() for name in features)


def make_accelerator(run: Run) -> Any:
    """The accelerator of a run.

    Raises:
        InputError: for a run that cannot be.
        MissingExtra: without the libraries for it.
    """
    accelerate = require("accelerate", extra="train")
    device = run.check()
    # It keeps its first device and precision for the life of the process, and has no other way to
    # let go of them. What joins it to other processes has to stay.
    alone = not torch.distributed.is_initialized()
    accelerate.state.AcceleratorState._reset_state(reset_partial_state=alone)
    accelerate.state.GradientState._reset_state()
    logged = {}
    if run.log_dir is not None:
        logged = {"log_with": "tensorboard", "project_dir": str(run.log_dir)}
    with _default_device(device):
        accelerator = accelerate.Accelerator(
            cpu=device.type == "cpu",
            mixed_precision=run.products(),
            gradient_accumulation_steps=run.accumulate,
            **logged,
        )
    if logged:
        accelerator.init_trackers("")
    return accelerator


def leave_processes() -> None:
    """Part from the other processes of a training, at the end of the program."""
    if torch.distributed.is_initialized():
        torch.distributed.barrier()
        torch.distributed.destroy_process_group()


@contextmanager
def _default_device(device: torch.device) -> Iterator[None]:
    """What accelerate takes where the user names one GPU of several."""
    name = "ACCELERATE_TORCH_DEVICE"
    if device.index is None or name in os.environ:
        yield
        return
    os.environ[name] = str(device)
    try:
        yield
    finally:
        del os.environ[name]


def cut_batch(batch: int, processes: int, accumulate: int, process: int) -> list[slice]:
    """The parts of a batch that one process takes, in their order.

    Raises:
        InputError: if the batch cannot be cut into equal parts.
    """
    count = processes * accumulate
    if batch % count:
        raise InputError(
            f"A batch of {batch} cannot be cut into {processes} x {accumulate} equal parts, for "
            f"{processes} processes with {accumulate} each; choose another --batch or --accumulate."
        )
    size = batch // count
    starts = [(k * processes + process) * size for k in range(accumulate)]
    return [slice(start, start + size) for start in starts]
