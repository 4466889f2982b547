"""What does jobs: in this process, in one of several, or in an actor of a cluster."""

from __future__ import annotations

import platform
import time
import traceback
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from rsaug.downstream.bench.config import BenchConfig
from rsaug.downstream.bench.fitting import Fitted, Task, find, fit
from rsaug.downstream.bench.measures import Counted, count_places
from rsaug.downstream.bench.plan import Job, World, load_world
from rsaug.downstream.bench.store import Result, Store
from rsaug.errors import InputError, OutputError
from rsaug.pipelines.train.machine import Run

TRIES = 2
"""How often a process may be lost over a job before the job counts as failed."""

LOST = "the process that was at it was killed, perhaps for want of memory"
"""The reason of such a job."""

Keyed = tuple[Job, str]
"""A job with its key."""

_TIMED = (2, 6)


@dataclass(frozen=True)
class Outcome:
    """What came of a job.

    Attributes:
        key: Of the job.
        job: The job.
        reason: Why it could not be done; None where it is.
    """

    key: str
    job: Job
    reason: str | None = None


@dataclass(eq=False)
class Worker:
    """Does jobs, one after the other.

    Attributes:
        config: What was asked.
        device: As torch has it; None for the GPU if there is one.
        threads: CPU threads; None for as many as torch takes.
        loaded: The tiles, where they are in memory already.
    """

    config: BenchConfig
    device: str | None = None
    threads: int | None = None
    loaded: World | None = None

    @cached_property
    def world(self) -> World:
        """The tiles."""
        if self.threads is not None:
            torch.set_num_threads(self.threads)
        return self.loaded or load_world(self.config)

    @cached_property
    def kind(self) -> str:
        """The kind of device and its format of numbers, which decide results."""
        run = Run(self.device, self.config.training.precision)
        return f"{run.check().type}, {run.products()}"

    def do(self, job: Job, key: str) -> Outcome:
        """Train and measure, and write what came of it; what goes wrong is noted.

        Raises:
            OutputError: if nothing can be written.
        """
        store = self._store
        try:
            result, masks = self._result(job, key)
            store.write(result, masks)
        except OutputError:
            raise
        # Whatever is wrong with one job, the others are to be done.
        except Exception as error:
            last = traceback.extract_tb(error.__traceback__)[-1]
            reason = f"{type(error).__name__}: {error} ({last.name}, line {last.lineno})"
            store.write_failure(key, job, reason)
            return Outcome(key, job, reason)
        return Outcome(key, job)

    def seconds(self, job: Job) -> tuple[float, float]:
        """Seconds a step, and seconds to measure a detector, from a few steps that are timed."""
        task = self._task(job)
        times = []
        for steps in _TIMED:
            short = replace(task, training=replace(task.training, steps=steps, warmup=1))
            fitted = fit(short, self._store.work("timed"), self.device)
            times.append(fitted.seconds)
        began = time.monotonic()
        self._measure(fitted)
        # The difference is without what happens once; where others work here, it can be too small.
        a_step = (times[1] - times[0]) / (_TIMED[1] - _TIMED[0])
        return max(a_step, times[1] / _TIMED[1] / 4), time.monotonic() - began

    @property
    def _store(self) -> Store:
        return Store(Path(self.config.out))

    def _task(self, job: Job) -> Task:
        world, arm = self.world, self.config.arm(job.arm)
        return Task(
            real=world.real(job),
            synthetic=world.synthetic(job),
            arm=arm,
            ratio=job.ratio,
            model=job.model,
            training=self.config.training,
            seed=job.seed,
        )

    def _result(self, job: Job, key: str) -> tuple[Result, NDArray[np.uint8] | None]:
        if self.world.key(job, self.kind) != key:
            raise InputError(
                f"The tiles, the software or the device ({self.kind}) of the process that was "
                "given this job are others than where the sweep was begun."
            )
        task = self._task(job)
        fitted = fit(task, self._store.work(key), self.device)
        began = time.monotonic()
        counted, masks = self._measure(fitted)
        facts = {
            "job": job.name,
            "decides": self.world.decides(job, self.kind),
            "real tiles": 0 if task.real is None else len(task.real),
            "synthetic tiles": 0 if task.synthetic is None else len(task.synthetic),
            "losses": fitted.losses,
            "seconds": round(fitted.seconds, 3),
            "steps in that time": fitted.steps,
            "seconds to measure": round(time.monotonic() - began, 3),
            "threads": torch.get_num_threads(),
            "processor": platform.processor() or platform.machine(),
        }
        kept = masks if job.seed == self.config.seeds[0] else None
        return Result(key, counted, facts), kept

    def _measure(self, fitted: Fitted) -> tuple[dict[str, Counted], NDArray[np.uint8]]:
        """Numbers by split, and the masks of the first split."""
        wanted = self.config.evaluation
        masks: dict[str, NDArray[np.uint8]] = {
            split: find(fitted.model, self.world.held[split]) for split in wanted.splits
        }
        counted = {
            split: count_places(found, self.world.held[split], wanted)
            for split, found in masks.items()
        }
        return counted, masks[wanted.splits[0]]
