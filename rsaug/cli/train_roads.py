"""``rsaug train roads``: a road detector from real tiles, synthetic ones, or both."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from rsaug.cli.inputs import need_folder_name
from rsaug.cli.layer_options import device_option, option, precision_option, seed_option
from rsaug.cli.train_sources import say
from rsaug.errors import InputError

_TILES, _MODEL, _RECIPE = "Tiles", "What is trained", "How it is trained"
_MACHINE, _RESULT = "Machine", "Result"
_MOST = 1_000_000
"""Steps, epochs or tiles a step; more is a slip, and its lists alone fill the memory."""

_SPLITS = {"val": "val", "synthetic_val": "val, synthetic tiles", "test": "test"}
"""What a score is of, by what its name begins with."""

_Config = Annotated[
    Path | None,
    option(
        "--config",
        _RECIPE,
        "YAML in the manner of torchgeo: model, data, trainer; other options go over it.",
        "FILE",
    ),
]
_Real = Annotated[
    Path | None,
    option(
        "--real",
        _TILES,
        "Folder of real tiles, to train and to validate on. Without it, --synthetic is all.",
        "DIR",
    ),
]
_Dataset = Annotated[
    str | None,
    option(
        "--dataset",
        _TILES,
        "How that is read: naip, massachusetts, deepglobe, spacenet, or the path of a class.",
        "NAME",
        "told by what is in it",
    ),
]
_Synthetic = Annotated[
    list[Path] | None,
    option("--synthetic", _TILES, "Folder of rsaug synth; give it again for further ones.", "DIR"),
]
_Val = Annotated[
    list[Path] | None,
    option(
        "--val",
        _TILES,
        "Without --real, what to validate on: real tiles, or further folders of rsaug synth.",
        "DIR",
        "a fifth of --synthetic",
    ),
]
_Ratio = Annotated[
    float | None,
    option("--ratio", _TILES, "With --real, share of synthetic tiles in each batch.", "X", "0.5"),
]
_ChipSize = Annotated[
    int | None,
    option("--chip-size", _TILES, "Pixels a side that are cut from tiles.", "N", "whole tiles"),
]
_Gsd = Annotated[
    float | None, option("--gsd", _TILES, "Metres a pixel of tiles that do not say it.", "M")
]
_Arch = Annotated[
    str | None,
    option(
        "--arch",
        _MODEL,
        "unet, unetplusplus, linknet, dlinknet, deeplabv3plus, segformer, upernet, fpn, ...",
        "NAME",
        "unet",
    ),
]
_Encoder = Annotated[
    str | None,
    option(
        "--encoder",
        _MODEL,
        "As segmentation-models-pytorch names it; of timm with tu- before it.",
        "NAME",
        "resnet34",
    ),
]
_Loss = Annotated[
    str | None,
    option(
        "--loss",
        _RECIPE,
        "bce, dice, focal, cldice, boundary, added up with weights.",
        "TERMS",
        "bce+dice",
    ),
]
_Auxiliary = Annotated[
    float | None,
    option(
        "--auxiliary",
        _RECIPE,
        "Weight of also learning centrelines and directions.",
        "X",
        "0, not at all",
    ),
]
_Batch = Annotated[int | None, option("--batch", _RECIPE, "Tiles a step.", "N", "8")]
_Rate = Annotated[
    float | None, option("--learning-rate", _RECIPE, "Highest rate of AdamW.", "X", "1e-3")
]
_Steps = Annotated[
    int | None, option("--steps", _RECIPE, "Optimisation steps, in place of epochs.", "N")
]
_Epochs = Annotated[
    int | None,
    option(
        "--epochs",
        _RECIPE,
        "How often as many tiles are seen as there are real ones, else synthetic ones.",
        "N",
        "20",
    ),
]
_Seed = Annotated[
    int | None,
    seed_option(_RECIPE, "detector"),
]
_Workers = Annotated[
    int | None,
    typer.Option(
        "--workers",
        help="Processes that read tiles. [dim]Default: 0.[/dim]",
        metavar="N",
        min=0,
        max=1024,
        rich_help_panel=_MACHINE,
    ),
]
_Device = Annotated[
    str | None,
    device_option(_MACHINE),
]
_Precision = Annotated[str | None, precision_option(_MACHINE)]
_Test = Annotated[
    bool,
    typer.Option(
        "--test",
        help="Measure on the test split, too, once at the end.",
        metavar="",
        rich_help_panel=_RESULT,
    ),
]
_Out = Annotated[
    Path,
    typer.Option(
        "--out",
        help="Folder of the result; checkpoints and scores by epoch go beside it.",
        metavar="DIR",
        rich_help_panel=_RESULT,
    ),
]


def roads(
    config: _Config = None,
    real: _Real = None,
    dataset: _Dataset = None,
    synthetic: _Synthetic = None,
    val: _Val = None,
    ratio: _Ratio = None,
    chip_size: _ChipSize = None,
    gsd: _Gsd = None,
    arch: _Arch = None,
    encoder: _Encoder = None,
    loss: _Loss = None,
    auxiliary: _Auxiliary = None,
    batch: _Batch = None,
    learning_rate: _Rate = None,
    steps: _Steps = None,
    epochs: _Epochs = None,
    seed: _Seed = None,
    workers: _Workers = None,
    device: _Device = None,
    precision: _Precision = None,
    test: _Test = False,
    out: _Out = Path("roads-detector"),
) -> None:
    """Train a road detector on real tiles, on synthetic ones, or on both.

    With real tiles it is validated on those alone. Without, on synthetic tiles of other ground than
    it is trained on, which says nothing about real imagery. Stop and start again as you like: it
    goes on from the last whole epoch. Find roads with: rsaug predict
    """
    from rsaug.optional import require

    need_folder_name(out, "--out")
    if gsd is not None and not 0 < gsd < float("inf"):
        raise InputError(f"--gsd must be above 0, not {gsd:g}.")
    for name, number in (("steps", steps), ("epochs", epochs), ("batch", batch)):
        if number is not None and number < 1:
            raise InputError(f"--{name} must be 1 or more, not {number}.")
        if number is not None and number > _MOST:
            raise InputError(f"--{name} must be {_MOST} at most, not {number}.")
    require("torchgeo", extra="eval")
    require("skimage", extra="graph")
    from rsaug.downstream.detector_training import train_detector
    from rsaug.downstream.training_options import TrainingOptions
    from rsaug.pipelines.train.machine import Run, read_precision

    run = Run(device, read_precision(precision))
    run.check()
    options = TrainingOptions(
        config=config,
        real=real,
        dataset=dataset,
        synthetic=tuple(synthetic or ()),
        val=tuple(val or ()),
        ratio=ratio,
        arch=arch,
        encoder=encoder,
        loss=loss,
        auxiliary=auxiliary,
        chip_size=chip_size,
        batch=batch,
        learning_rate=learning_rate,
        steps=steps,
        epochs=epochs,
        workers=workers,
        device=device,
        precision=run.precision,
        seed=seed,
    )
    detector = train_detector(options, out, gsd_m=gsd, test=test, log=say)
    scores = detector.facts["metrics"]
    for split, tiles in _SPLITS.items():
        shown = [
            f"{name} {scores[f'{split}/{name}']:.3f}"
            for name in ("iou", "f1", "relaxed_f1", "cldice")
            if scores.get(f"{split}/{name}") is not None
        ]
        if shown:
            say(f"{tiles}: {', '.join(shown)}, road from {detector.config.threshold:g} on")
    say(f"The detector is in {out}; use it with: rsaug predict {out} IMAGE")
