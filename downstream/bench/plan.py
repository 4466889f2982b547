"""The jobs of a sweep: which detectors are trained, and on what."""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from importlib.metadata import version
from types import ModuleType
from typing import Any

from rsaug import __version__
from rsaug.downstream import architectures, losses, segmenter
from rsaug.downstream.bench import augment, draws, fitting, measures
from rsaug.downstream.bench.config import (
    ArmConfig,
    BenchConfig,
    ModelConfig,
    PoolConfig,
    Protocol,
)
from rsaug.downstream.bench.items import Items, digest_of, read_held, read_labelled
from rsaug.downstream.bench.leaks import Check, find_leaks
from rsaug.downstream.bench.protocols import Pool, check_protocol, load_pool
from rsaug.downstream.graph import masks as graph_masks
from rsaug.downstream.metrics import cldice, paths, pixels
from rsaug.downstream.mixing import FewLabels
from rsaug.errors import InputError
from rsaug.pipelines.train import loop

_DECIDING: tuple[ModuleType, ...] = (
    architectures,
    augment,
    cldice,
    draws,
    fitting,
    graph_masks,
    loop,
    losses,
    measures,
    paths,
    pixels,
    segmenter,
)
"""Modules in which a change can change a number."""

_LIBRARIES = ("numpy", "scipy", "segmentation-models-pytorch", "timm", "torch")


@dataclass(frozen=True)
class Job:
    """One detector to be trained and measured.

    Attributes:
        arm: Name of the arm.
        pool: Name of the pool; None for real tiles alone.
        protocol: Of the pool.
        labels: Number of label places.
        ratio: Share of synthetic samples in a batch; None where the arm has none.
        model: The detector.
        seed: The seed.
    """

    arm: str
    pool: str | None
    protocol: Protocol | None
    labels: int
    ratio: float | None
    model: ModelConfig
    seed: int

    @property
    def name(self) -> str:
        """In words."""
        parts = [self.arm, self.pool, f"{self.labels} places"]
        parts += [None if self.ratio is None else f"{self.ratio:.0%} synthetic"]
        return ", ".join(filter(None, [*parts, self.model.name, f"seed {self.seed}"]))


@dataclass(frozen=True, eq=False)
class World:
    """Everything that jobs are made of, in memory.

    Attributes:
        config: What was asked.
        labelled: Tiles that labels are from, apart from all that is measured on.
        held: Tiles to measure on, by split.
        pools: Synthetic tiles, by name.
        checks: What the search for leaks came to.
        notes: What could not be looked at.
    """

    config: BenchConfig
    labelled: Items
    held: Mapping[str, Items]
    pools: Mapping[str, Pool]
    checks: tuple[Check, ...]
    notes: tuple[str, ...]

    def places(self, labels: int, seed: int) -> list[str]:
        """The label places of a detector; those of a smaller number are among those of a larger."""
        return FewLabels(labels, seed).choose(self.labelled.places)

    def real(self, job: Job) -> Items | None:
        """The label tiles that a detector is trained on; None for none."""
        chosen = self._real(job)
        return None if chosen is None else self.labelled.take(chosen)

    def synthetic(self, job: Job) -> Items | None:
        """The synthetic tiles that a detector is trained on; None for none.

        Raises:
            InputError: if none may be used.
        """
        chosen = self._synthetic(job)
        if chosen is None or job.pool is None:
            return None
        return self.pools[job.pool].items.take(chosen)

    def _real(self, job: Job) -> list[int] | None:
        if self.config.arm(job.arm).kind == "synthetic":
            return None
        chosen = set(self.places(job.labels, job.seed))
        return [k for k, place in enumerate(self.labelled.places) if place in chosen]

    def _synthetic(self, job: Job) -> list[int] | None:
        if job.pool is None:
            return None
        threshold = self.config.arm(job.arm).threshold
        return self.pools[job.pool].usable(self.places(job.labels, job.seed), threshold)

    def key(self, job: Job, device: str) -> str:
        """Digest of all that decides the numbers of a job, 24 hexadecimal digits.

        Jobs of two names can have one key: a detector of synthetic tiles alone is the same for all
        numbers of labels.
        """
        return digest_of(self.decides(job, device))[:24]

    def decides(self, job: Job, device: str) -> dict[str, Any]:
        """What `key` is made of."""
        arm = self.config.arm(job.arm)
        real, synthetic = self._real(job), self._synthetic(job)
        pool = self.labelled if job.pool is None else self.pools[job.pool].items
        evaluation = asdict(self.config.evaluation)
        del evaluation["resamples"]
        splits = self.config.evaluation.splits
        return {
            "augment": arm.augment,
            "ratio": job.ratio,
            "pretrain_share": arm.pretrain_share if arm.kind == "pretrain" else None,
            "model": asdict(job.model),
            "seed": job.seed,
            "training": asdict(self.config.training),
            "evaluation": evaluation,
            "real": None if real is None else self.labelled.digest_of(real),
            "synthetic": None if synthetic is None else pool.digest_of(synthetic),
            "held": {split: self.held[split].digest for split in splits},
            "device": device,
            **made_with(),
        }


def load_world(config: BenchConfig) -> World:
    """All tiles of a sweep, checked for leaks.

    Raises:
        Leak: if something that is measured on would be trained on.
        InputError: if a file cannot be read, or a pool is not what it is declared as.
    """
    data = config.data
    labelled = read_labelled(data)
    held, notes = read_held(data, config.evaluation.splits)
    for split in config.evaluation.splits:
        measures.gsd_of(held[split], config.evaluation)
    pools = {pool.name: load_pool(pool, labelled, data.chip_size) for pool in config.pools}
    kept, checks = find_leaks(
        labelled,
        held,
        [*pools.values()],
        label_split=data.label_split,
        drop=data.on_overlap == "drop",
    )
    world = World(config, kept, held, pools, tuple(checks), tuple(notes))
    _check_protocols(world)
    return world


def jobs_of(world: World) -> list[Job]:
    """The jobs of a sweep: all arms of a model and seed together, few labels first."""
    config = world.config
    return [
        job
        for seed in config.seeds
        for model in config.models
        for labels in config.label_places
        for arm in config.arms
        for job in _jobs_of_arm(world, arm, labels, model, seed)
    ]


def label_count(world: World, labels: int | str) -> int:
    """A number of label places; ``all`` as a number.

    Raises:
        InputError: if there are not so many.
    """
    most = len(set(world.labelled.places))
    if labels == "all":
        return most
    if int(labels) > most:
        raise InputError(
            f"'label_places' asks for {labels} places; the split {world.config.data.label_split!r} "
            f"has {most}."
        )
    return int(labels)


def made_with() -> dict[str, Any]:
    """Versions of all software that can change a number."""
    return {
        "rsaug": __version__,
        "code": _code(),
        "versions": {name: version(name) for name in _LIBRARIES},
    }


@lru_cache(maxsize=1)
def _code() -> str:
    """Digest of the source of the deciding modules."""
    sources = [inspect.getsource(module) for module in _DECIDING]
    return hashlib.sha256("\0".join(sources).encode()).hexdigest()[:16]


def _jobs_of_arm(
    world: World, arm: ArmConfig, labels: int | str, model: ModelConfig, seed: int
) -> Iterator[Job]:
    count = label_count(world, labels)
    if arm.kind == "real":
        yield Job(arm.name, None, None, count, None, model, seed)
        return
    for pool in world.config.pools_of(arm):
        if not _is_for(pool, labels, seed):
            continue
        ratios: Sequence[float | None] = (
            (arm.ratios or world.config.ratios) if arm.shares else [None]
        )
        for ratio in ratios:
            yield Job(arm.name, pool.name, pool.protocol, count, ratio, model, seed)


def _is_for(pool: PoolConfig, labels: int | str, seed: int) -> bool:
    return (pool.label_places is None or labels in pool.label_places) and (
        pool.seeds is None or seed in pool.seeds
    )


def _check_protocols(world: World) -> None:
    """Each pool is what it is declared as for every detector that it is for."""
    for pool in world.pools.values():
        for labels in world.config.label_places:
            for seed in world.config.seeds:
                if _is_for(pool.config, labels, seed):
                    count = label_count(world, labels)
                    what = f"a detector with {count} places (seed {seed})"
                    check_protocol(pool, world.places(count, seed), what)
