"""Several images at once on a CPU, each computed by one core.

One thread an image scales better over cores than all cores on every product, and it makes the
result the same on any number of cores: products that are cut over threads round differently.
"""

from __future__ import annotations

import copy
import os
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor, wait
from typing import TypeVar

import torch

from rsaug.pipelines.pipeline import CRSDiffPipeline

T = TypeVar("T")
R = TypeVar("R")

_MOST = 16


class Lanes:
    """Threads that run a pipeline side by side; weights are shared, schedulers are not.

    Args:
        pipe: the pipeline, on the CPU.
        count: how many threads.
    """

    def __init__(self, pipe: CRSDiffPipeline, count: int) -> None:
        self.count, self._pipe = count, pipe
        self._own = threading.local()
        self._threads = ThreadPoolExecutor(
            count, "rsaug-lane", initializer=torch.set_num_threads, initargs=(1,)
        )

    def map(self, function: Callable[[CRSDiffPipeline, T], R], items: Iterable[T]) -> list[R]:
        """``function`` of a pipeline and each item, in the order of the items.

        Raises:
            Exception: what ``function`` raises, for the first such item; none is at work any more.
        """
        running = [self._threads.submit(self._run, function, item) for item in items]
        try:
            return [future.result() for future in running]
        except BaseException as error:
            for future in running:
                future.cancel()
            if isinstance(error, Exception):
                # Whoever tries again needs the memory that these still hold.
                wait(running)
            raise

    def _run(self, function: Callable[[CRSDiffPipeline, T], R], item: T) -> R:
        if not hasattr(self._own, "pipe"):
            self._own.pipe = own_scheduler(self._pipe)
        return function(self._own.pipe, item)


def own_scheduler(pipe: CRSDiffPipeline) -> CRSDiffPipeline:
    """The same pipeline, of the same class, with a scheduler that nobody else steps."""
    twin: CRSDiffPipeline = copy.copy(pipe)
    # A shallow copy shares the dictionary of its settings, too, which names the components.
    twin._internal_dict = copy.copy(pipe._internal_dict)
    object.__setattr__(twin, "scheduler", copy.deepcopy(pipe.scheduler))
    return twin


def cores() -> int:
    """Cores that this process may use, as far as lanes are worth having."""
    affinity = getattr(os, "sched_getaffinity", None)
    available = len(affinity(0)) if affinity else os.cpu_count() or 1
    return min(_MOST, available)
