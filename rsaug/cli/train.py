"""``rsaug train``: models from tiles of one's own."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rsaug.cli.inputs import need_folder_name
from rsaug.cli.layer_options import device_option, flag, option, precision_option, seed_option
from rsaug.cli.train_sources import (
    check_sources,
    draw_weights,
    load_autoencoder,
    load_start,
    read_sources,
    say,
)
from rsaug.errors import InputError

if TYPE_CHECKING:
    from rsaug.pipelines.train.machine import Run

app = typer.Typer(help="Train models on tiles of your own.", no_args_is_help=True)

_TILES, _MODEL, _RECIPE = "Tiles", "What is trained", "How it is trained"
_MACHINE, _PROGRESS = "Machine", "Progress"
_MOST_STEPS, _MOST_SAMPLES = 100_000_000, 65_536
"""More than these are a slip."""

_Data = Annotated[
    list[Path] | None,
    typer.Option(
        "--data",
        help="Tile folder; give it again for further ones.",
        metavar="DIR",
        rich_help_panel=_TILES,
    ),
]
_PackOption = Annotated[
    list[Path] | None,
    typer.Option(
        "--pack",
        help="Training pack, instead of --data; give it again for further ones.",
        metavar="DIR",
        rich_help_panel=_TILES,
    ),
]
_Share = Annotated[
    list[float] | None,
    option("--share", _TILES, "Share of the samples from each --data or --pack.", "X", "by size"),
]
_Gsd = Annotated[
    float | None, option("--gsd", _TILES, "Metres a pixel of images without georeference.", "M")
]
_TileSize = Annotated[
    int | None,
    typer.Option(
        "--tile-size",
        help="Pixels a side of an example. [dim]Default: 256.[/]",
        metavar="N",
        min=1,
        max=8192,
        rich_help_panel=_TILES,
    ),
]
_Out = Annotated[
    Path,
    typer.Option(
        "--out",
        help="Folder of the result; a checkpoint goes beside it.",
        metavar="DIR",
        rich_help_panel=_PROGRESS,
    ),
]
_Seed = Annotated[
    int | None,
    seed_option(_RECIPE, "model"),
]
_Steps = Annotated[
    int | None,
    typer.Option(
        "--steps",
        help="Optimisation steps. [dim]Default: what made the default model; 10000 for a phase.[/]",
        metavar="N",
        min=1,
        max=_MOST_STEPS,
        rich_help_panel=_RECIPE,
    ),
]
_Batch = Annotated[
    int | None,
    typer.Option(
        "--batch",
        help="Samples a step, over all processes. [dim]Default: what made the default model.[/]",
        metavar="N",
        min=1,
        max=_MOST_SAMPLES,
        rich_help_panel=_RECIPE,
    ),
]
_LearningRate = Annotated[
    float | None,
    option(
        "--learning-rate",
        _RECIPE,
        "Highest rate of AdamW.",
        "X",
        "6e-4; in a phase 1e-5, with --lora 1e-4",
    ),
]
_Dropout = Annotated[
    str | None,
    option(
        "--dropout",
        _RECIPE,
        "How often a sample sees which conditions: ours, crs-diff, text, or a TOML file.",
        "NAME|FILE",
        "ours; in the phase text, text",
    ),
]
_From = Annotated[
    str | None,
    option(
        "--from",
        _MODEL,
        "Model to train on, one of ours or a Stable Diffusion 1.x.",
        "MODEL",
        "none, a new one",
    ),
]
_Autoencoder = Annotated[
    Path | None,
    option("--autoencoder", _MODEL, "Autoencoder of a new model.", "DIR", "the default model's"),
]
_PhaseOption = Annotated[
    str | None,
    option(
        "--phase",
        _MODEL,
        "text, the denoiser on text alone; conditions, all else under it; or joint, all.",
        "NAME",
        "joint",
    ),
]
_LoraRank = Annotated[
    int | None,
    typer.Option(
        "--lora",
        help="Train updates of this rank to the attention, not all weights; needs --from.",
        metavar="RANK",
        min=1,
        rich_help_panel=_MODEL,
    ),
]
_TrainText = Annotated[
    bool | None, flag("--train-text", _MODEL, "Train the text encoder of --from, too.")
]
_Device = Annotated[
    str | None,
    device_option(_MACHINE),
]
_Precision = Annotated[str | None, precision_option(_MACHINE)]
_Accumulate = Annotated[
    int | None,
    typer.Option(
        "--accumulate",
        help="Parts that a batch is computed in, for less memory. [dim]Default: 1.[/]",
        metavar="N",
        min=1,
        max=_MOST_SAMPLES,
        rich_help_panel=_MACHINE,
    ),
]
_Checkpointing = Annotated[
    bool | None,
    flag("--gradient-checkpointing", _MACHINE, "Less memory, a third more time."),
]
_PictureEvery = Annotated[
    int | None,
    option("--picture-every", _PROGRESS, "Steps between pictures in OUT-logs.", "N", "none"),
]
_Log = Annotated[Path | None, option("--log", _PROGRESS, "Folder for TensorBoard.", "DIR")]


@app.command()
def prepare(
    data: _Data = None,
    out: Annotated[
        Path,
        typer.Option(
            "--out",
            help="Folder of the pack; not there yet.",
            metavar="DIR",
            rich_help_panel=_PROGRESS,
        ),
    ] = Path("pack"),
    gsd: _Gsd = None,
    tile_size: _TileSize = None,
    image_quality: Annotated[
        int | None,
        typer.Option(
            "--image-quality",
            help="Quality of WebP images, for a smaller pack. [dim]Default: no loss.[/]",
            metavar="Q",
            min=1,
            max=100,
            rich_help_panel=_TILES,
        ),
    ] = None,
    leave_out_overlaps: Annotated[
        bool | None,
        flag(
            "--leave-out-overlaps",
            _TILES,
            "Leave out images in common with another split, rather than stop.",
        ),
    ] = None,
) -> None:
    """Make a training pack of tile folders: all that is made of tiles once, in one folder.

    It holds the splits "train" and "val", checked to have no place, ground or pixels in common with
    each other or with any other split, and a datasheet. Train with: rsaug train generator --pack
    """
    from rsaug.pipelines.extractors.landcover import WEIGHTS, LandcoverNet
    from rsaug.pipelines.train.prepare import PackOptions, prepare_pack

    check_sources(data, None, tile_size, gsd)
    made = prepare_pack(
        data or [],
        out,
        PackOptions(
            **_given(
                size=tile_size,
                gsd_m=gsd,
                quality=image_quality,
                leave_out_overlaps=leave_out_overlaps,
            )
        ),
        look=LandcoverNet.load().classify,
        networks={
            f"land cover: {path.name}": path for path in sorted(WEIGHTS.glob("*")) if path.is_file()
        },
        log=say,
    )
    for reason, count in made.left_out.items():
        say(f"left out: {count} {reason}")
    say(made.quality())
    counts = ", ".join(f"{tally.examples} {name}" for name, tally in made.tallies.items())
    say(f"{counts} examples, {made.size_bytes / 2**20:.1f} MiB, in {out}; see its DATASHEET.md")


@app.command()
def autoencoder(
    data: _Data = None,
    pack: _PackOption = None,
    start: Annotated[
        Path | None,
        option("--from", _MODEL, "Autoencoder to go on from.", "DIR", "none, a new one"),
    ] = None,
    out: _Out = Path("autoencoder"),
    lpips: Annotated[
        Path | None,
        option(
            "--lpips",
            _RECIPE,
            "LPIPS weights (safetensors); without them the loss is L1.",
            "FILE",
        ),
    ] = None,
    steps: _Steps = None,
    batch: _Batch = None,
    seed: _Seed = None,
    device: _Device = None,
    precision: _Precision = None,
    accumulate: _Accumulate = None,
    log: _Log = None,
) -> None:
    """Train the autoencoder that a generator works in; stop and start again as you like."""
    from rsaug.optional import require

    require("accelerate", extra="train")
    import numpy as np
    from diffusers import AutoencoderDC

    from rsaug.pipelines.train.autoencoder import AutoencoderRecipe, train_autoencoder
    from rsaug.pipelines.train.folder import read_chips
    from rsaug.pipelines.train.machine import leave_processes
    from rsaug.pipelines.train.packfile import load_chips

    need_folder_name(out, "--out")
    check_sources(data, pack)
    if lpips is not None and not lpips.is_file():
        raise InputError(f"There is no LPIPS file {lpips}.")
    run = _run(
        log_every=50,
        save_every=250,
        **_given(device=device, precision=precision, accumulate=accumulate, log_dir=log),
    )
    recipe = AutoencoderRecipe(**_given(seed=seed, steps=steps, batch=batch))
    model = load_autoencoder(start) if start else None
    if model is not None and not isinstance(model, AutoencoderDC):
        raise InputError(f"The autoencoder in {start} is no AutoencoderDC, which is trained here.")
    parts = [read_chips(folder, "train", 256) for folder in data or ()]
    parts += [load_chips(folder, 256) for folder in pack or ()]
    chips = np.concatenate(parts)
    say(f"{len(chips)} chips of 256x256 px")
    train_autoencoder(chips, out, lpips, recipe, say, start=model, run=run)
    leave_processes()


@app.command()
def generator(
    data: _Data = None,
    pack: _PackOption = None,
    share: _Share = None,
    gsd: _Gsd = None,
    tile_size: _TileSize = None,
    start: _From = None,
    autoencoder: _Autoencoder = None,
    phase: _PhaseOption = None,
    lora: _LoraRank = None,
    train_text: _TrainText = None,
    steps: _Steps = None,
    batch: _Batch = None,
    learning_rate: _LearningRate = None,
    dropout: _Dropout = None,
    seed: _Seed = None,
    device: _Device = None,
    precision: _Precision = None,
    accumulate: _Accumulate = None,
    gradient_checkpointing: _Checkpointing = None,
    out: _Out = Path("generator"),
    picture_every: _PictureEvery = None,
    log: _Log = None,
) -> None:
    """Train a generator on tile folders or training packs; stop and start again as you like.

    Of a tile folder the split "train" is taken. It holds index.csv (id, split), rgb/<id>.tif and
    roads.geojson, and if you have them landcover.geojson, nir/<id>.tif and captions.csv; or images/
    with masks/<id>.png. A pack is made with: rsaug train prepare
    """
    from rsaug.optional import require

    require("accelerate", extra="train")
    import functools
    import operator

    from rsaug.pipelines.train.generator import train_generator
    from rsaug.pipelines.train.machine import leave_processes
    from rsaug.pipelines.train.mix import read_mix
    from rsaug.pipelines.train.models import check_anew
    from rsaug.pipelines.train.recipe import recipe_for

    run = _run(
        **_given(
            device=device,
            precision=precision,
            accumulate=accumulate,
            checkpointing=gradient_checkpointing,
            picture_every=picture_every,
            log_dir=log,
        )
    )
    recipe = recipe_for(
        _phase(phase),
        lora_rank=lora or 0,
        **_given(
            steps=steps,
            batch=batch,
            learning_rate=learning_rate,
            mix=read_mix(dropout) if dropout else None,
            seed=seed,
            train_text=train_text,
        ),
    )
    recipe.check()
    need_folder_name(out, "--out")
    check_sources(data, pack, tile_size, gsd)
    if start is None:
        check_anew(recipe)
    model = load_start(start, autoencoder, recipe.seed)
    packs, shown = read_sources(data, pack, tile_size, gsd, pictures=bool(run.picture_every))
    weights = draw_weights(packs, share)
    say(f"{sum(map(len, packs))} examples from {len(packs)} folders")
    examples = functools.reduce(operator.add, packs)
    train_generator(examples, weights, model, out, recipe, say, run=run, validation=shown)
    leave_processes()
    say(f"The model is in {out}; use it with: rsaug synth --model {out}")


@app.command()
def decoder(
    start: Annotated[
        str,
        typer.Option("--from", help="Finished model.", metavar="MODEL", rich_help_panel=_MODEL),
    ],
    lpips: Annotated[
        Path,
        typer.Option(
            "--lpips",
            help="LPIPS weights (AlexNet, safetensors).",
            metavar="FILE",
            rich_help_panel=_RECIPE,
        ),
    ],
    data: _Data = None,
    pack: _PackOption = None,
    gsd: _Gsd = None,
    tile_size: _TileSize = None,
    steps: Annotated[
        int | None,
        typer.Option(
            "--steps",
            help="Optimisation steps. [dim]Default: 1500.[/]",
            metavar="N",
            min=1,
            max=_MOST_STEPS,
            rich_help_panel=_RECIPE,
        ),
    ] = None,
    batch: Annotated[
        int | None,
        typer.Option(
            "--batch",
            help="Images a step. [dim]Default: 4.[/]",
            metavar="N",
            min=1,
            max=_MOST_SAMPLES,
            rich_help_panel=_RECIPE,
        ),
    ] = None,
    seed: _Seed = None,
    device: _Device = None,
    precision: _Precision = None,
    out: _Out = Path("decoder"),
    log: _Log = None,
) -> None:
    """Train the decoder of a finished model on what its denoiser makes.

    All other weights stay as they are. Stop and start again as you like.
    """
    from rsaug.optional import require

    require("accelerate", extra="train")
    import functools
    import operator

    from rsaug.pipelines.train.decoder import DecoderRecipe, train_decoder
    from rsaug.pipelines.train.machine import leave_processes

    need_folder_name(out, "--out")
    check_sources(data, pack, tile_size, gsd)
    if not lpips.is_file():
        raise InputError(f"There is no LPIPS file {lpips}.")
    run = _run(
        log_every=25, save_every=100, **_given(device=device, precision=precision, log_dir=log)
    )
    recipe = DecoderRecipe(**_given(steps=steps, batch=batch, seed=seed))
    model = load_start(start, None, recipe.seed)
    packs, _ = read_sources(data, pack, tile_size, gsd, pictures=False)
    examples = functools.reduce(operator.add, packs)
    train_decoder(examples, model, out, lpips, recipe, say, run=run)
    leave_processes()
    say(f"The model is in {out}; use it with: rsaug synth --model {out}")


def _phase(name: str | None) -> Any:
    from typing import get_args

    from rsaug.pipelines.train.networks import Phase

    if name is not None and name not in get_args(Phase):
        raise InputError(f"No phase is called {name!r}; there are {', '.join(get_args(Phase))}.")
    return name or "joint"


def _run(**options: Any) -> Run:
    from rsaug.pipelines.train.machine import Run

    run = Run(**options)
    if run.log_dir is not None:
        need_folder_name(run.log_dir, "--log")
    run.check()
    return run


def _given(**options: Any) -> dict[str, Any]:
    """What was given on the command line; the rest is the recipe's own."""
    return {name: value for name, value in options.items() if value is not None}
