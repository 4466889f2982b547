"""What a sweep is asked: data, arms, pools of synthetic tiles, models, seeds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import MISSING, asdict, dataclass, field, fields
from importlib import resources
from pathlib import Path
from typing import Any, Literal

from rsaug import configfile
from rsaug.downstream.bench.strict import as_yaml, read_as
from rsaug.errors import InputError

Protocol = Literal["shipped model", "closed data", "upper bound"]
PROTOCOLS: tuple[Protocol, ...] = ("shipped model", "closed data", "upper bound")
"""What a result with synthetic tiles may be taken for; never mixed in one table."""

ArmKind = Literal["real", "synthetic", "mixed", "restyled", "scored", "pretrain"]
Augment = Literal["none", "light", "strong"]
Metric = Literal["iou", "f1", "relaxed_f1", "cldice", "apls"]
Labels = int | Literal["all"]

CONFIG_FILE = "config.yaml"
"""The configuration in the folder of a sweep."""


@dataclass(frozen=True)
class DataConfig:
    """Real tiles; names and meaning as of `rsaug.downstream.datamodules.RoadDataModule`.

    Attributes:
        root: Folder of the data set.
        dataset: Its name, as ``naip``, or the path of a class.
        options: What else the data set is given.
        eval_options: What it is given besides for the splits to measure on.
        label_split: The split that labels are from; ``val`` where a generator has seen ``train``.
        chip_size: Side of what is cut from tiles, in pixels; null for whole tiles.
        on_overlap: Of label places on ground of other splits: ``refuse`` them or ``drop`` them.
        drop_blank: Whether mostly white windows are left out of training.
    """

    root: str
    dataset: str = "naip"
    options: Mapping[str, Any] = field(default_factory=dict)
    eval_options: Mapping[str, Any] = field(default_factory=dict)
    label_split: Literal["train", "val"] = "train"
    chip_size: int | None = None
    on_overlap: Literal["refuse", "drop"] = "refuse"
    drop_blank: bool = False


@dataclass(frozen=True)
class PoolConfig:
    """Synthetic tiles of one making.

    Attributes:
        name: For tables.
        runs: Folders of ``rsaug synth``, or of ``rsaug restyle`` with ``--roads``.
        protocol: What its results may be taken for.
        kind: ``synthetic``, or ``restyled`` for real images in another look.
        generator_places: Places whose labels or images its generator was trained on: their names,
            ``default`` for those of the default model, or a file with one a line.
        variants: Which images of a tile are taken; null for all.
        scores: JSON of a score by item, for the arm ``scored``.
        label_places: Numbers of label places that it is for; null for all of the sweep.
        seeds: Seeds that it is for; null for all of the sweep.
    """

    name: str
    runs: tuple[str, ...]
    protocol: Protocol
    generator_places: Literal["default"] | tuple[str, ...] | str
    kind: Literal["synthetic", "restyled"] = "synthetic"
    variants: tuple[int, ...] | None = None
    scores: str | None = None
    label_places: tuple[Labels, ...] | None = None
    seeds: tuple[int, ...] | None = None


@dataclass(frozen=True)
class ArmConfig:
    """A way to train.

    Attributes:
        name: For tables.
        kind: ``real``; ``synthetic``; ``mixed``, ``restyled`` and ``scored``, where each batch has
            a share of tiles of a pool; ``pretrain``, on a pool first and on real tiles then.
        augment: Classical augmentation, of real and synthetic tiles alike.
        pools: Names of the pools to take; by default all of the kind that it needs.
        ratios: Shares of synthetic samples in a batch; by default those of the sweep.
        threshold: The least score of an item, of ``scored``.
        pretrain_share: Share of the steps that are made on the pool, of ``pretrain``.
    """

    name: str
    kind: ArmKind
    augment: Augment = "strong"
    pools: tuple[str, ...] | None = None
    ratios: tuple[float, ...] | None = None
    threshold: float | None = None
    pretrain_share: float = 0.5

    @property
    def shares(self) -> bool:
        """Whether its batches hold real and synthetic tiles side by side."""
        return self.kind in ("mixed", "restyled", "scored")

    @property
    def pool_kind(self) -> str | None:
        """The kind of pool that it needs; None for none."""
        if self.kind == "real":
            return None
        return "restyled" if self.kind == "restyled" else "synthetic"


@dataclass(frozen=True)
class ModelConfig:
    """A detector, trained from scratch.

    Attributes:
        architecture: As in segmentation_models_pytorch.
        encoder: The same.
    """

    architecture: str = "unet"
    encoder: str = "resnet18"

    @property
    def name(self) -> str:
        """For tables."""
        return f"{self.architecture}, {self.encoder}"


@dataclass(frozen=True)
class TrainingConfig:
    """How every detector of every arm is trained.

    Attributes:
        steps: Optimisation steps, the same for all.
        batch_size: Samples a step.
        learning_rate: Highest rate of AdamW.
        warmup: Steps of linear warm-up, before half a cosine; both begin anew after pretraining.
        weight_decay: Decoupled weight decay.
        precision: Format of products: ``no`` for float32, the same on every device; ``bf16``,
            ``fp16``.
    """

    steps: int = 700
    batch_size: int = 8
    learning_rate: float = 1e-3
    warmup: int = 50
    weight_decay: float = 1e-2
    precision: Literal["no", "bf16", "fp16"] = "no"


@dataclass(frozen=True)
class EvaluationConfig:
    """What is measured, and on what.

    Attributes:
        splits: ``val``, ``test`` or both.
        metrics: By name; the first is the one that curves are drawn of.
        slack_px: Pixels that a road may lie beside its label, of ``relaxed_f1``.
        gsd: Metres a pixel, of ``apls``; null for what the tiles say.
        resamples: Bootstrap samples behind each interval.
    """

    splits: tuple[Literal["val", "test"], ...] = ("val",)
    metrics: tuple[Metric, ...] = ("iou", "f1", "relaxed_f1", "cldice")
    slack_px: float = 3.0
    gsd: float | None = None
    resamples: int = 4000


@dataclass(frozen=True)
class BenchConfig:
    """A sweep.

    Attributes:
        data: Real tiles.
        arms: The ways to train.
        baseline: Name of the arm that all others are compared with.
        out: Folder of the results.
        title: Heading of the report.
        pools: Synthetic tiles.
        label_places: How many places of the label split a detector gets; ``all``.
        ratios: Shares of synthetic samples in a batch.
        models: The detectors.
        seeds: Of places, initial weights, order and augmentation.
        training: How detectors are trained.
        evaluation: What is measured.
    """

    data: DataConfig
    arms: tuple[ArmConfig, ...]
    baseline: str
    out: str
    title: str = "Road benchmark"
    pools: tuple[PoolConfig, ...] = ()
    label_places: tuple[Labels, ...] = ("all",)
    ratios: tuple[float, ...] = (0.5,)
    models: tuple[ModelConfig, ...] = (ModelConfig(),)
    seeds: tuple[int, ...] = (0, 1, 2)
    training: TrainingConfig = TrainingConfig()
    evaluation: EvaluationConfig = EvaluationConfig()

    def __post_init__(self) -> None:
        """Check that the parts go together."""
        _check_lists(self)
        _check_numbers(self)
        for arm in self.arms:
            _check_arm(self, arm)
        for pool in self.pools:
            _check_pool(self, pool)

    def arm(self, name: str) -> ArmConfig:
        """The arm of a name."""
        return next(arm for arm in self.arms if arm.name == name)

    def pool(self, name: str) -> PoolConfig:
        """The pool of a name."""
        return next(pool for pool in self.pools if pool.name == name)

    def pools_of(self, arm: ArmConfig) -> list[PoolConfig]:
        """The pools that an arm takes, one after the other."""
        return [
            pool
            for pool in self.pools
            if pool.kind == arm.pool_kind
            and (arm.pools is None or pool.name in arm.pools)
            and not (arm.kind == "scored" and pool.scores is None)
        ]

    def to_yaml(self) -> str:
        """As YAML, with every default written out."""
        return as_yaml(_as_lists(asdict(self)))


def read_config(path: Path, changes: Mapping[str, Any] | None = None) -> BenchConfig:
    """The configuration in a file.

    Args:
        path: The file; paths in it are relative to the working folder, as on the command line.
        changes: Values that replace those of the file, by key, ``data.root`` for one.

    Raises:
        InputError: if it cannot be read or is empty, a key is unknown or a value is of no use.
    """
    raw = configfile.read_config(path)
    if not raw:
        needed = [entry.name for entry in fields(BenchConfig) if entry.default is MISSING]
        raise InputError(f"{path} is empty; it needs at least the keys {', '.join(needed)}.")
    for key, value in (changes or {}).items():
        part = raw
        *outer, last = key.split(".")
        for name in outer:
            part = part.setdefault(name, {}) if isinstance(part, dict) else None
        if isinstance(part, dict):
            part[last] = value
    return read_as(BenchConfig, raw)


def ready_configs() -> dict[str, Path]:
    """The configurations that come with the package, by name."""
    folder = Path(str(resources.files("rsaug.downstream.bench") / "configs"))
    return {path.stem: path for path in sorted(folder.glob("*.yaml"))}


def find_config(name: str) -> Path:
    """The file of a configuration: a path, or the name of one that comes with the package.

    Raises:
        InputError: if there is none.
    """
    path = Path(name)
    ready = ready_configs()
    if not path.is_file() and name not in ready:
        raise InputError(
            f"There is no configuration {name}; give a file, or one of {', '.join(ready)}."
        )
    return path if path.is_file() else ready[name]


def _check_lists(config: BenchConfig) -> None:
    """Nothing is empty that must not be, and nothing comes twice."""
    lists: dict[str, Sequence[object]] = {
        "arms": [arm.name for arm in config.arms],
        "pools": [pool.name for pool in config.pools],
        "models": [model.name for model in config.models],
        "label_places": config.label_places,
        "ratios": config.ratios,
        "seeds": config.seeds,
        "evaluation.splits": config.evaluation.splits,
        "evaluation.metrics": config.evaluation.metrics,
    }
    for key, entries in lists.items():
        if not entries and key != "pools":
            raise InputError(f"The key {key!r} must have an entry at least.")
        twice = [entry for k, entry in enumerate(entries) if entry in entries[:k]]
        if twice:
            raise InputError(f"The key {key!r} has {twice[0]!r} twice; once is enough.")
    if config.baseline not in lists["arms"]:
        raise InputError(
            f"The key 'baseline' must be the name of an arm, not {config.baseline!r}; there are "
            f"{', '.join(map(str, lists['arms']))}."
        )
    if config.arm(config.baseline).kind != "real":
        raise InputError(f"The baseline {config.baseline!r} must be an arm of the kind 'real'.")


def _check_numbers(config: BenchConfig) -> None:
    training, evaluation = config.training, config.evaluation
    for key, number in (
        ("training.steps", training.steps),
        ("training.batch_size", training.batch_size),
        ("training.warmup", training.warmup),
        ("evaluation.resamples", evaluation.resamples),
        *((f"label_places[{k}]", n) for k, n in enumerate(config.label_places) if n != "all"),
    ):
        if isinstance(number, int) and number < 1:
            raise InputError(f"The key {key!r} must be 1 or more, not {number}.")
    if any(seed < 0 for seed in config.seeds):
        raise InputError("The key 'seeds' must hold whole numbers from 0 up.")
    if not training.learning_rate > 0 or not training.weight_decay >= 0:
        raise InputError("A learning rate must be above 0, and weight decay 0 or more.")
    if not evaluation.slack_px >= 0:
        raise InputError("The key 'evaluation.slack_px' must be a number of pixels from 0 up.")
    if config.data.label_split in evaluation.splits:
        raise InputError(
            f"The split {config.data.label_split!r} is both 'data.label_split' and in "
            "'evaluation.splits'; what is measured on must be new to a detector."
        )


def _check_arm(config: BenchConfig, arm: ArmConfig) -> None:
    where = f"The arm {arm.name!r}"
    for share in (*(arm.ratios or ()), *config.ratios):
        if not 0 < share < 1:
            raise InputError(
                f"{where} has the ratio {share}; a share of synthetic samples lies between 0 and "
                "1, and the arms 'real' and 'synthetic' are those without one."
            )
    if not 0 < arm.pretrain_share < 1:
        raise InputError(f"{where} has a 'pretrain_share' that is not between 0 and 1.")
    if (arm.kind == "scored") != (arm.threshold is not None):
        raise InputError(f"{where} is of the kind {arm.kind!r}; 'threshold' is for 'scored' only.")
    names = [pool.name for pool in config.pools]
    strange = [name for name in arm.pools or () if name not in names]
    if strange:
        raise InputError(f"{where} names the pool {strange[0]!r}; there are {names or 'none'}.")
    if arm.pool_kind is not None and not config.pools_of(arm):
        scores = " with 'scores'" if arm.kind == "scored" else ""
        raise InputError(f"{where} needs a pool of the kind {arm.pool_kind!r}{scores}.")


def _check_pool(config: BenchConfig, pool: PoolConfig) -> None:
    where = f"The pool {pool.name!r}"
    if not pool.runs:
        raise InputError(f"{where} has no folder; name some in 'runs'.")
    for key, own, all_ in (
        ("label_places", pool.label_places, config.label_places),
        ("seeds", pool.seeds, config.seeds),
    ):
        strange = [entry for entry in own or () if entry not in all_]
        if strange:
            raise InputError(f"{where} has {strange[0]!r} in {key!r}, which the sweep has not.")


def _as_lists(value: Any) -> Any:
    """Tuples as lists, which YAML has."""
    if isinstance(value, Mapping):
        return {key: _as_lists(entry) for key, entry in value.items()}
    return [_as_lists(entry) for entry in value] if isinstance(value, list | tuple) else value
