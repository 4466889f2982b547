"""Jobs of a sweep on a Ray cluster, an actor a GPU or a share of the CPUs.

The data, the pools and the folder of the sweep must lie where all machines see them under the same
path. An actor that is lost is replaced, and what it was at is tried once more.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from rsaug.downstream.bench.config import BenchConfig
from rsaug.downstream.bench.store import Store
from rsaug.downstream.bench.work import LOST, TRIES, Keyed, Outcome, Worker
from rsaug.errors import InputError
from rsaug.optional import require


def on_ray(
    config: BenchConfig,
    missing: Sequence[Keyed],
    store: Store,
    workers: int,
    device: str | None,
    address: str | None,
) -> Iterator[Outcome]:
    """Outcomes of jobs, as they are done.

    Args:
        config: The sweep.
        missing: Jobs with their keys.
        store: Where the results go.
        workers: How many actors.
        device: As torch has it; None for the GPU if there is one.
        address: Of the cluster, as Ray takes it; None for a new one on this machine.

    Raises:
        MissingExtra: if Ray is not installed.
        InputError: if there is no such cluster.
    """
    ray = require("ray", extra="ray")
    with _connected(ray, address):
        resources = ray.cluster_resources()
        cpus = max(1, int(resources.get("CPU", 1)) // workers)
        gpus = 1 if resources.get("GPU") else 0
        kind = ray.remote(num_cpus=cpus, num_gpus=gpus)(Worker)
        waiting, losses = [*missing][::-1], dict.fromkeys((key for _, key in missing), 0)
        idle = [kind.remote(config, device, cpus) for _ in range(min(workers, len(missing)))]
        running: dict[Any, tuple[Any, Keyed]] = {}
        while waiting or running:
            while waiting and idle:
                actor, (job, key) = idle.pop(), waiting.pop()
                running[actor.do.remote(job, key)] = actor, (job, key)
            ready, _ = ray.wait([*running], num_returns=1)
            actor, (job, key) = running.pop(ready[0])
            try:
                outcome = ray.get(ready[0])
            except ray.exceptions.RayActorError:
                actor = kind.remote(config, device, cpus)
                losses[key] += 1
                if losses[key] < TRIES:
                    waiting.append((job, key))
                else:
                    store.write_failure(key, job, LOST)
                    yield Outcome(key, job, LOST)
            else:
                yield outcome
            idle.append(actor)


@contextmanager
def _connected(ray: Any, address: str | None) -> Iterator[None]:
    """A cluster, that of the caller where there is one already."""
    if ray.is_initialized():
        yield
        return
    # Its reports of use would be a request to the outside that nobody asked for.
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    quiet = {"include_dashboard": False, "log_to_driver": False, "configure_logging": False}
    try:
        ray.init(address=address or "local", **quiet)
    except (ConnectionError, ValueError, RuntimeError) as error:
        raise InputError(f"There is no Ray cluster at {address} ({error}).") from error
    try:
        yield
    finally:
        ray.shutdown()
