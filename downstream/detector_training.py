"""The training of a road detector: from a configuration to a folder that stands for itself."""

from __future__ import annotations

import io
import json
import logging
import pickle
import warnings
from argparse import ArgumentError
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning.fabric.plugins.io import TorchCheckpointIO
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.fabric.utilities.warnings import PossibleUserWarning
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback, Checkpoint, ModelCheckpoint
from lightning.pytorch.cli import LightningCLI

from rsaug import __version__
from rsaug.downstream.datamodules.base import RoadTilesModule
from rsaug.downstream.datasets.contract import CLASSES
from rsaug.downstream.datasets.tiles import RoadTile
from rsaug.downstream.detector import RoadDetector, make_folder
from rsaug.downstream.graph.masks import ground_gsd_m
from rsaug.downstream.tasks import RoadSegmentationTask
from rsaug.downstream.training_options import TrainingOptions
from rsaug.errors import InputError, RsaugError
from rsaug.files import write_whole
from rsaug.grid import Tile
from rsaug.pipelines.train.checkpoint import checkpoint_path
from rsaug.storage import place

_VERSIONS = ("torch", "lightning", "torchgeo", "segmentation-models-pytorch")
_MADE_BY, _LAST, _BEST = "made_by.json", "last.ckpt", "best"
_TRIED = ("Does not validate", "Subtypes", "Errors", "<class", "Expected a <class 'None", "Given")
_SHOWN = ("val/top_iou", "val/relaxed_f1", "val/cldice")


def train_detector(
    options: TrainingOptions,
    out: str | Path,
    *,
    gsd_m: float | None = None,
    test: bool = False,
    log: Callable[[str], None] = lambda line: None,
) -> RoadDetector:
    """Train a detector and save it to ``out``; goes on from the last whole epoch if there is one.

    Of all epochs the weights with the highest validation IoU at its own best threshold are kept,
    and that threshold with them. The same seed gives the same weights on the same machine and
    number of threads, interrupted or not.

    Args:
        options: What is trained on what.
        out: Folder of the detector; checkpoints go to ``<out>.ckpt``, scores by epoch to
            ``<out>-logs``.
        gsd_m: Metres a pixel of the tiles, where they do not say it.
        test: Whether to measure on the test split, too, once at the end.
        log: Where lines of progress go.

    Returns:
        The detector, ready to predict; `RoadDetector.facts` has its scores.

    Raises:
        InputError: if an input or an option cannot be used, or the checkpoint is of another run.
    """
    out = Path(out)
    folder = checkpoint_path(out)
    with _quiet():
        cli = _configured(options.arguments(), folder, out.with_name(f"{out.name}-logs"), log)
        task, data, trainer = cli.model, cli.datamodule, cli.trainer
        asked = json.loads(cli.parser.dump(cli.config, format="json"))
        # What a configuration says counts, not where it lies.
        asked.pop("config", None)
        if test:
            data.setup("test")  # what is not there is said before anything is trained
        data.setup("fit")
        _check_same(folder, asked)
        for note in data.notes:
            log(note)
        gsd_m = gsd_m or _gsd_m(data.training.tiles)
        last = _checkpoint(folder / _LAST)
        trainer.fit(task, datamodule=data, ckpt_path=last, weights_only=True)
        scores = _choose_threshold(trainer, task, data, folder / f"{_BEST}.ckpt")
        if test:
            scores |= trainer.test(task, datamodule=data, verbose=False)[0]
    return _export(task, data, asked, scores, out, gsd_m)


def _configured(
    arguments: Sequence[str], folder: Path, logs: Path, log: Callable[[str], None]
) -> LightningCLI:
    """Task, data and trainer of a configuration.

    Raises:
        InputError: if it cannot be used.
    """
    same: dict[str, Any] = {"dirpath": folder}
    same |= {"enable_version_counter": False, "auto_insert_metric_name": False}
    best = ModelCheckpoint(
        filename=_BEST,
        monitor=RoadSegmentationTask.monitor,
        mode=RoadSegmentationTask.mode,
        save_on_train_epoch_end=False,
        **same,
    )
    last = ModelCheckpoint(filename="last", save_on_train_epoch_end=True, **same)
    seeds = _SeededEpochs()
    try:
        cli = LightningCLI(
            RoadSegmentationTask,
            RoadTilesModule,
            save_config_callback=None,
            trainer_defaults={
                "callbacks": [seeds, best, _History(logs, log), last],
                "logger": False,
                "enable_progress_bar": False,
                "enable_model_summary": False,
                "num_sanity_val_steps": 0,
                "devices": 1,
            },
            seed_everything_default=0,
            parser_kwargs={"exit_on_error": False},
            subclass_mode_model=True,
            subclass_mode_data=True,
            args=[*arguments],
            load_from_checkpoint_support=False,
            run=False,
        )
    except ArgumentError as error:
        raise InputError(_sentence(str(error.message))) from error
    except (ValueError, MisconfigurationException) as error:
        # What a class has against its arguments is wrapped in what else the parser tried.
        raise _first_cause(error) or InputError(_sentence(str(error))) from error
    seeds.seed = int(cli.config["seed_everything"])
    cli.trainer.strategy.checkpoint_io = _WholeCheckpoints()
    return cli


def _sentence(message: str) -> str:
    """What is wrong with a configuration, in one line: the parser also says what it tried."""
    lines = [line.strip(" -") for line in message.splitlines()]
    said = [line for line in lines if line and not line.startswith(_TRIED)]
    return f"The configuration cannot be used: {'; '.join(said).replace(':;', ':')}."


def _first_cause(error: BaseException) -> RsaugError | None:
    """The error of ours that another one came of, if there is one."""
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, RsaugError):
        cause = cause.__cause__ or cause.__context__
    return cause


class _WholeCheckpoints(TorchCheckpointIO):
    """Has a checkpoint take the place of the last one once it is on the disk as a whole.

    Lightning's own is copied there from the folder for temporary files, if that lies on another
    file system, and a copy that is stopped half-way has replaced a checkpoint that was whole.
    """

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None
    ) -> None:
        """Write a checkpoint."""
        file = io.BytesIO()
        torch.save(checkpoint, file)
        target = place(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        write_whole(target, file.getvalue())


class _SeededEpochs(Callback):
    """Has what is random in an epoch follow from the seed and the epoch, so that a run can go on.

    Attributes:
        seed: The seed.
    """

    seed = 0

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Begin the epoch."""
        entropy = np.random.SeedSequence((self.seed, trainer.current_epoch)).generate_state(1)
        torch.manual_seed(int(entropy[0]))


class _History(Checkpoint):
    """Writes the scores of each epoch as a line of JSON, and says the main ones.

    Args:
        folder: Where ``history.jsonl`` goes.
        log: Where lines for the user go.
    """

    # It is a Checkpoint only to be called after the task has logged its own scores.

    def __init__(self, folder: Path, log: Callable[[str], None]) -> None:
        self.path, self.say = folder / "history.jsonl", log

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write a line."""
        scores = {name: _plain(value) for name, value in sorted(trainer.callback_metrics.items())}
        facts = {"epoch": trainer.current_epoch, "step": trainer.global_step, **scores}
        make_folder(self.path.parent)
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(facts) + "\n")
        shown = [f"loss {scores['train/loss']:.4g}"] if scores.get("train/loss") is not None else []
        shown += [f"{n} {scores[n]:.3f}" for n in _SHOWN if scores.get(n) is not None]
        self.say(f"epoch {facts['epoch']}, step {facts['step']}: {', '.join(shown)}")


def _choose_threshold(
    trainer: Trainer, task: RoadSegmentationTask, data: RoadTilesModule, best: Path
) -> dict[str, Any]:
    """Take the best weights and their threshold; the scores of validation with both."""
    same: dict[str, Any] = {"datamodule": data, "verbose": False}
    kept = _checkpoint(best)
    found: dict[str, Any] = {}
    if kept is None or trainer.max_steps > 0:
        # So many steps end within an epoch, and what they have come to is not validated yet.
        found = dict(*trainer.validate(task, **same))
    if kept is not None:
        last = {name: value.clone() for name, value in task.state_dict().items()}
        before: dict[str, Any] = dict(
            *trainer.validate(task, ckpt_path=kept, weights_only=True, **same)
        )
        if not found or before[task.monitor] > found[task.monitor]:
            found = before
        else:
            task.load_state_dict(last)
    if "val/threshold" not in found:
        raise InputError(
            "Nothing was validated, so no threshold can be chosen; leave out of the trainer what "
            "keeps it from validating, such as limit_val_batches: 0."
        )
    task.use_threshold(round(float(found["val/threshold"]), 4))
    return dict(*trainer.validate(task, **same))


def _export(
    task: RoadSegmentationTask,
    data: RoadTilesModule,
    asked: Mapping[str, Any],
    scores: Mapping[str, Any],
    out: Path,
    gsd_m: float | None,
) -> RoadDetector:
    detector = task.model
    detector.config = replace(detector.config, gsd_m=gsd_m)
    detector.facts = {
        "classes": [*CLASSES],
        "metrics": {_named(name, data): _plain(value) for name, value in scores.items()},
        "data": data.facts(),
        "training": {**_recipe(asked["model"]["init_args"]), "seed": asked["seed_everything"]},
        "versions": {"rsaug": __version__, **{name: version(name) for name in _VERSIONS}},
    }
    detector.save(out)
    return detector.cpu().eval()


def _recipe(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments of the task, a file of weights by its name alone."""
    weights = arguments.get("weights")
    named = {"weights": Path(weights).name} if isinstance(weights, str) else {}
    return {**arguments, **named}


def _named(score: str, data: RoadTilesModule) -> str:
    """A score by a name that says if it is one on synthetic tiles."""
    return f"synthetic_{score}" if data.validated_on == "synthetic" else score


def _checkpoint(path: Path) -> str | None:
    """A checkpoint, if it is there and holds nothing but numbers and their names.

    Raises:
        InputError: if it cannot be read as such.
    """
    if not path.is_file():
        return None
    try:
        torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except (OSError, EOFError, RuntimeError, ValueError, pickle.UnpicklingError) as error:
        raise InputError(f"{path} is no checkpoint of this training; remove it.") from error
    return str(path)


def _check_same(folder: Path, asked: Mapping[str, Any]) -> None:
    """Note what decides a run beside its checkpoints, or compare it with what is noted.

    Raises:
        InputError: if the checkpoints are of another run.
    """
    path = folder / _MADE_BY
    text = json.dumps(asked, indent=2, sort_keys=True) + "\n"
    if not path.is_file():
        make_folder(folder)
        write_whole(path, text.encode())
    elif path.read_text(encoding="utf-8") != text:
        raise InputError(
            f"{folder} was made by other options or from other data; remove it, or train to "
            "another folder."
        )


def _gsd_m(tiles: Sequence[RoadTile]) -> float | None:
    """Metres a pixel on the ground, the median of tiles in a projected CRS; None of no such."""
    sides = [
        ground_gsd_m(Tile.from_transform(tile.grid.transform, tile.grid.shape, tile.grid.crs))
        for tile in tiles
        if tile.grid is not None and tile.grid.crs.is_projected and tile.grid.is_square
    ]
    return round(float(np.median(sides)), 4) if sides else None


def _plain(value: Any) -> float | None:
    """A number for JSON; None for one that is none."""
    number = float(value)
    return None if np.isnan(number) else number


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep Lightning from saying what is no news here; errors and true warnings stay."""
    loggers = [logging.getLogger(f"lightning.{part}") for part in ("pytorch", "fabric")]
    before = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            # "The dataloader does not have many workers", and the like.
            warnings.simplefilter("ignore", PossibleUserWarning)
            # Lightning calls torch and its parser by names that newer releases have others for.
            for kind in (DeprecationWarning, FutureWarning):
                warnings.filterwarnings("ignore", category=kind, module="lightning")
            # The data module's notes are lines of the log.
            warnings.filterwarnings("ignore", ".* lie on ground of the split", UserWarning)
            # This command line's arguments are typer's, not those of the process.
            warnings.filterwarnings("ignore", "LightningCLI's args parameter", UserWarning)
            # There are the notes of what made it.
            warnings.filterwarnings("ignore", "Checkpoint directory .* is not empty", UserWarning)
            yield
    finally:
        for logger, level in zip(loggers, before, strict=True):
            logger.setLevel(level)
