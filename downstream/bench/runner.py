"""A sweep from beginning to end: what is missing is done, here or elsewhere, the rest is kept."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

from rsaug.downstream.bench.cluster import on_ray
from rsaug.downstream.bench.config import BenchConfig
from rsaug.downstream.bench.leaks import Leak
from rsaug.downstream.bench.plan import Job, World, jobs_of, load_world
from rsaug.downstream.bench.store import Store
from rsaug.downstream.bench.work import LOST, TRIES, Keyed, Outcome, Worker
from rsaug.errors import InputError, RunError
from rsaug.progress import Progress


@dataclass(frozen=True)
class How:
    """How a sweep is carried out; nothing here changes what is asked.

    Attributes:
        engine: ``local`` or ``ray``.
        workers: Processes, or actors of the cluster; 1 is this process where that is local.
        device: As torch has it; None for the GPU if there is one.
        address: Of the cluster; None for a new one on this machine.
    """

    engine: str = "local"
    workers: int = 1
    device: str | None = None
    address: str | None = None


@dataclass(frozen=True, eq=False)
class Prepared:
    """A sweep before anything is trained.

    Attributes:
        world: Its tiles, checked.
        worker: What would do its jobs here.
        keyed: All jobs with their keys; several can have one.
    """

    world: World
    worker: Worker
    keyed: tuple[Keyed, ...]

    @property
    def unique(self) -> list[Keyed]:
        """The first job of each key."""
        return [*{key: (job, key) for job, key in reversed(self.keyed)}.values()][::-1]


def prepare(config: BenchConfig, device: str | None = None) -> Prepared:
    """Read all tiles, look for leaks, lay out the jobs, and write down all three.

    Raises:
        Leak: if something that is measured on would be trained on; that is written down, too.
        InputError: if something cannot be used.
    """
    store = Store(Path(config.out))
    store.check()
    try:
        world = load_world(config)
    except Leak as leak:
        store.prepare(config)
        store.write_checks(leak.checks, str(leak))
        raise
    store.prepare(config)
    store.write_checks(world.checks)
    worker = Worker(config, device, loaded=world)
    keyed = tuple((job, world.key(job, worker.kind)) for job in jobs_of(world))
    store.write_plan(world, keyed, worker.kind)
    return Prepared(world, worker, keyed)


def run_jobs(
    prepared: Prepared,
    how: How,
    progress: Callable[[Progress], None] = lambda now: None,
    note: Callable[[str], None] = lambda text: None,
) -> Progress:
    """Do the jobs that are not done.

    Args:
        prepared: The sweep.
        how: Where they are done.
        progress: Called after each.
        note: Called with what went wrong.

    Returns:
        How many there are, were there, were done and failed.

    Raises:
        InputError: if there is no such engine, or no cluster.
        OutputError: if nothing can be written.
    """
    store = Store(Path(prepared.world.config.out))
    total, missing = len(prepared.unique), unfinished(prepared)
    now = Progress(total, kept=total - len(missing))
    progress(now)
    for outcome in _outcomes(prepared, missing, how, store):
        failed = outcome.reason is not None
        if failed:
            note(f"{outcome.job.name}: {outcome.reason}")
        now = Progress(now.total, now.kept, now.made + (not failed), now.failed + failed)
        progress(now)
    return now


def unfinished(prepared: Prepared) -> list[Keyed]:
    """The jobs that are not done."""
    store = Store(Path(prepared.world.config.out))
    return [(job, key) for job, key in prepared.unique if not store.has(key)]


def estimate(prepared: Prepared) -> dict[str, tuple[float, float]]:
    """Seconds a step and seconds to measure, of each model by name, timed on the baseline."""
    found = {}
    for job, _ in prepared.unique:
        if job.arm == prepared.world.config.baseline and job.model.name not in found:
            found[job.model.name] = prepared.worker.seconds(job)
    return found


def _outcomes(
    prepared: Prepared, missing: Sequence[Keyed], how: How, store: Store
) -> Iterator[Outcome]:
    if how.engine not in ("local", "ray"):
        raise InputError(f"An engine is 'local' or 'ray', not {how.engine!r}.")
    if not missing:
        return
    config = prepared.world.config
    if how.engine == "ray":
        yield from on_ray(config, missing, store, how.workers, how.device, how.address)
    elif how.workers > 1:
        yield from _in_processes(prepared, missing, how, store)
    else:
        for job, key in missing:
            yield prepared.worker.do(job, key)


def _in_processes(
    prepared: Prepared, missing: Sequence[Keyed], how: How, store: Store
) -> Iterator[Outcome]:
    """Outcomes from several processes; where one is lost, what it was at is tried once more."""
    waiting, losses = [*missing], dict.fromkeys((key for _, key in missing), 0)
    threads = max(1, (os.cpu_count() or 1) // how.workers)
    while waiting:
        lost: list[Keyed] = []
        # Not forked: torch's threads do not survive that.
        with ProcessPoolExecutor(
            min(how.workers, len(waiting)),
            mp_context=get_context("spawn"),
            initializer=_begin,
            initargs=(prepared.world.config, how.device, threads),
        ) as pool:
            futures: dict[Future[Outcome], Keyed] = {
                pool.submit(_do, job, key): (job, key) for job, key in waiting
            }
            for future in as_completed(futures):
                try:
                    yield future.result()
                except BrokenProcessPool:
                    lost.append(futures[future])
        # All that wait are told of a loss; only those that were begun can be to blame.
        lost.sort(key=waiting.index)
        for job, key in lost[: how.workers]:
            losses[key] += 1
            if losses[key] >= TRIES:
                store.write_failure(key, job, LOST)
                yield Outcome(key, job, LOST)
        waiting = [(job, key) for job, key in lost if losses[key] < TRIES]


_worker: Worker | None = None


def _begin(config: BenchConfig, device: str | None, threads: int) -> None:
    """Make what does the jobs of this process."""
    global _worker
    _worker = Worker(config, device, threads)


def _do(job: Job, key: str) -> Outcome:
    if _worker is None:
        raise RunError("A process was given a job before it had begun.")
    return _worker.do(job, key)
