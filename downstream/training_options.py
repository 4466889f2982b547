"""What a road detector is trained on and how, as arguments of Lightning's command line."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rsaug.errors import InputError
from rsaug.pipelines.train.machine import Precision, Run

ROADS_FILE = "roads.geojson"
"""The centrelines of a folder of tiles."""

TASK = "rsaug.downstream.tasks.RoadSegmentationTask"
DATA = "rsaug.downstream.datamodules.RoadDataModule"
SYNTHETIC_DATA = "rsaug.downstream.datamodules.SyntheticDataModule"
FOLDER = "rsaug.downstream.roadfolder.RoadFolder"

EPOCHS, BATCH = 20, 8

_PRECISIONS: dict[Precision, str] = {"no": "32-true", "bf16": "bf16-mixed", "fp16": "16-mixed"}
"""As Lightning names them."""


@dataclass(frozen=True)
class TrainingOptions:
    """What is trained on what; whatever is None is as a configuration has it, or by default.

    Attributes:
        config: YAML file in the manner of torchgeo: ``model``, ``data``, ``trainer``.
        real: Folder of real tiles.
        dataset: Its kind, as `RoadDataModule` has it; by default that of the configuration, and
            without one told by what is in the folder.
        synthetic: Folders of ``rsaug synth``; without real tiles they are all that is trained on.
        val: What is validated on where no real tile is trained on: folders of ``rsaug synth``, or
            one of real tiles; none for a part of the synthetic tiles.
        ratio: Share of synthetic tiles.
        arch: Architecture.
        encoder: Encoder.
        loss: Losses with weights.
        auxiliary: Weight of the loss of centreline and direction.
        chip_size: Side of what is cut from tiles, in pixels.
        batch: Tiles a step.
        learning_rate: Highest rate of AdamW.
        steps: Optimisation steps, in place of epochs.
        epochs: How often as many tiles are seen as there are real ones, or synthetic ones where
            no real one is trained on.
        workers: Processes that read.
        device: ``cpu``, ``cuda``, ``cuda:1``.
        precision: Format of products: ``no`` for float32, ``bf16``, ``fp16``. Without a
            configuration, by default what `rsaug.pipelines.train.machine.Run` takes.
        seed: Of everything that is random.
    """

    config: Path | None = None
    real: Path | None = None
    dataset: str | None = None
    synthetic: tuple[Path, ...] = ()
    val: tuple[Path, ...] = ()
    ratio: float | None = None
    arch: str | None = None
    encoder: str | None = None
    loss: str | None = None
    auxiliary: float | None = None
    chip_size: int | None = None
    batch: int | None = None
    learning_rate: float | None = None
    steps: int | None = None
    epochs: int | None = None
    workers: int | None = None
    device: str | None = None
    precision: Precision | None = None
    seed: int | None = None

    def arguments(self) -> list[str]:
        """The same as arguments of Lightning's command line.

        Raises:
            InputError: if something is missing, or two things exclude each other.
        """
        self._check()
        run = Run(self.device, self.precision)
        run.check()
        begin: dict[str, Any] = {}
        if self.config is None:
            data = SYNTHETIC_DATA if self.real is None else DATA
            begin = {"model": TASK, "data": data, "trainer.max_epochs": EPOCHS}
            begin |= {"data.init_args.on_overlap": "drop", "data.init_args.batch_size": BATCH}
            begin |= {"seed_everything": 0, "trainer.precision": _PRECISIONS[run.products()]}
        first = [] if self.config is None else ["--config", str(self.config)]
        given = {name: value for name, value in self._given().items() if value is not None}
        return first + [f"--{name}={_written(value)}" for name, value in (begin | given).items()]

    def _check(self) -> None:
        """Check that there is something to train on, and that no two things exclude each other."""
        if self.config is None and self.real is None and not self.synthetic:
            raise InputError(
                "Give tiles to train on: --real with a folder of real tiles, --synthetic with one "
                "of rsaug synth, or both; or --config with a YAML file that names them."
            )
        if self.config is not None and not self.config.is_file():
            raise InputError(f"There is no configuration {self.config}.")
        if self.steps is not None and self.epochs is not None:
            raise InputError("--steps and --epochs exclude each other; give one.")
        if self.config is None:
            self._check_tiles()

    def _check_tiles(self) -> None:
        """Check what is said of tiles where no configuration says anything."""
        if self.ratio is not None and not self.synthetic:
            raise InputError("--ratio is the share of synthetic tiles; name some by --synthetic.")
        if self.ratio is not None and self.real is None:
            raise InputError(
                "--ratio is the share of synthetic tiles beside real ones; without --real all are "
                "synthetic, so leave it out."
            )
        if self.val and self.real is not None:
            raise InputError(
                "--val is for training without real tiles; those of --real have a split val, which "
                "is validated on. Leave --val or --real out."
            )
        if self.dataset is not None and self.real is None and self._val_folder() is None:
            raise InputError(
                "--dataset says how real tiles are read; name some by --real or --val."
            )

    def _val_folder(self) -> Path | None:
        """The folder of real tiles to validate on, where --val names one.

        Raises:
            InputError: if there are several, or some of each kind.
        """
        real = [folder for folder in self.val if not is_run(folder)]
        if len(real) > 1 or (real and len(self.val) > 1):
            raise InputError(
                "--val takes folders of rsaug synth, or one folder of real tiles; "
                f"{real[0]} is no folder of rsaug synth."
            )
        return real[0] if real else None

    def _given(self) -> dict[str, Any]:
        """By name of the argument; None where it is not given."""
        model, data = "model.init_args.", "data.init_args."
        dataset, root, val = self.dataset, self.real, self.val
        if self.real is None and (folder := self._val_folder()) is not None:
            root, val = folder, ()
        if root is not None and self.config is None:
            dataset = dataset or kind_of(root)
        accelerator, _, number = (self.device or "").partition(":")
        by_steps = self.steps is not None
        return {
            f"{model}model": self.arch,
            f"{model}backbone": self.encoder,
            f"{model}loss": self.loss,
            f"{model}auxiliary": self.auxiliary,
            f"{model}lr": self.learning_rate,
            f"{data}dataset": dataset,
            f"{data}root": None if root is None else str(root),
            f"{data}synthetic": [str(run) for run in self.synthetic] or None,
            f"{data}val": [str(run) for run in val] or None,
            f"{data}synthetic_share": self.ratio,
            f"{data}chip_size": self.chip_size,
            f"{data}batch_size": self.batch,
            f"{data}num_workers": self.workers,
            f"{data}seed": self.seed,
            "seed_everything": self.seed,
            "trainer.max_epochs": -1 if by_steps else self.epochs,
            "trainer.max_steps": self.steps,
            "trainer.accelerator": accelerator or None,
            "trainer.precision": self.precision and _PRECISIONS[self.precision],
            "trainer.devices": [int(number)] if number.isdigit() else None,
        }


def is_run(folder: Path) -> bool:
    """Whether a folder is one of ``rsaug synth``."""
    return (folder / "run.json").is_file()


def kind_of(folder: Path) -> str:
    """Which dataset reads a folder, by what is in it.

    Raises:
        InputError: if that cannot be told.
    """
    if not folder.is_dir():
        raise InputError(f"{folder} is no folder of tiles.")
    if (folder / "index.csv").is_file():
        if (folder / ROADS_FILE).is_file():
            return FOLDER
        if (folder / "masks").is_dir():
            return "massachusetts"
    raise InputError(
        f"{folder} has neither index.csv with {ROADS_FILE} nor index.csv with masks/, so how it is "
        "to be read has to be said: --dataset naip, massachusetts, deepglobe or spacenet."
    )


def _written(value: Any) -> str:
    return json.dumps(value) if isinstance(value, list | dict) else str(value)
