"""``rsaug synth``: images and labels from roads."""

from __future__ import annotations

import datetime as dt
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rsaug.errors import InputError, OutputError
from rsaug.record import Record, SynthOptions, read_record

if TYPE_CHECKING:
    from rsaug.pipelines.generate import CRSDiffGenerator

_INTERRUPTED = 130  # 128 and the number of the signal, as shells have it
_LAYERS, _IMAGES, _MODEL, _RUN = "Layers and place", "Images", "Model", "Run"


def _option(name: str, panel: str, help: str, metavar: str, default: str | None = None) -> Any:
    """An option that is None unless given, so that a recorded run can fill it; shows a default."""
    shown = f"{help} [dim]Default: {default}.[/dim]" if default else help
    return typer.Option(name, help=shown, metavar=metavar, rich_help_panel=panel)


_Roads = Annotated[
    str | None,
    _option(
        "--roads", _LAYERS, "Roads: lines with OpenStreetMap tags. [bold]Needed.[/bold]", "FILE"
    ),
]
_Landcover = Annotated[
    str | None,
    _option("--landcover", _LAYERS, "Land cover: areas with OSM tags or a class.", "FILE"),
]
_Buildings = Annotated[
    str | None, _option("--buildings", _LAYERS, "Buildings: areas, whatever their tags.", "FILE")
]
_Aoi = Annotated[
    str | None,
    _option(
        "--aoi", _LAYERS, "Area of interest, or west,south,east,north.", "FILE|BOX", "the roads"
    ),
]
_Gsd = Annotated[float | None, _option("--gsd", _LAYERS, "Metres a pixel.", "M", "0.6")]
_TileSize = Annotated[int | None, _option("--tile-size", _LAYERS, "Pixels a side.", "N", "256")]
_Crs = Annotated[str | None, _option("--crs", _LAYERS, "Projected CRS.", "EPSG:N", "UTM zone")]
_Prompt = Annotated[str | None, _option("--prompt", _IMAGES, "What it should look like.", "TEXT")]
_Style = Annotated[str | None, _option("--style", _IMAGES, "Image to take the look of.", "IMAGE")]
_Date = Annotated[str | None, _option("--date", _IMAGES, "Date to imitate.", "2024-06-01")]
_Variants = Annotated[int | None, _option("--variants", _IMAGES, "Images a tile.", "N", "1")]
_Seed = Annotated[int | None, _option("--seed", _IMAGES, "Same seed, same images.", "N", "0")]
_Model = Annotated[
    str | None, _option("--model", _MODEL, "A model's folder or hub id.", "MODEL", "default")
]
_Steps = Annotated[
    int | None, _option("--steps", _MODEL, "Denoising steps.", "N", "the model's own")
]
_Guidance = Annotated[
    float | None,
    _option("--guidance", _MODEL, "Guidance scale; 1 is none.", "X", "the model's own"),
]
_Scheduler = Annotated[
    str | None,
    _option("--scheduler", _MODEL, "ddim, dpm++, euler or unipc.", "NAME", "the model's own"),
]
_Device = Annotated[
    str | None,
    _option("--device", _MODEL, "cpu, cuda, cuda:1, ...", "NAME", "a GPU if there is one"),
]
_Limit = Annotated[int | None, _option("--limit", _RUN, "Make the first N tiles only.", "N")]
_All = Annotated[
    bool | None,
    typer.Option(
        "--all", help="Make every tile, even above 500.", rich_help_panel=_RUN, metavar=""
    ),
]
_Out = Annotated[
    str | None, _option("--out", _RUN, "Folder of the results.", "DIR", "./<roads>-synth")
]
_Config = Annotated[
    Path | None,
    _option("--config", _RUN, "A run.json to run again; options given here go first.", "RUN.JSON"),
]


def synth(
    ctx: typer.Context,
    roads: _Roads = None,
    landcover: _Landcover = None,
    buildings: _Buildings = None,
    aoi: _Aoi = None,
    gsd: _Gsd = None,
    tile_size: _TileSize = None,
    crs: _Crs = None,
    prompt: _Prompt = None,
    style: _Style = None,
    date: _Date = None,
    variants: _Variants = None,
    seed: _Seed = None,
    model: _Model = None,
    steps: _Steps = None,
    guidance: _Guidance = None,
    scheduler: _Scheduler = None,
    device: _Device = None,
    limit: _Limit = None,
    all: _All = None,
    out: _Out = None,
    config: _Config = None,
) -> None:
    """Make georeferenced synthetic images with exact road masks from road lines.

    [dim]rsaug synth --roads roads.geojson[/dim] is all it takes: every tile with a road in it, in
    the folder roads-synth. Run again, it does only what is missing.
    """
    given = {name: value for name, value in ctx.params.items() if value is not None}
    given.pop("config", None)
    if "date" in given:
        given["date"] = _read_date(given["date"])
    if config is not None:
        earlier = read_record(config, _without_opposites(given))
        _synthesize(earlier.options, earlier)
    elif roads is None:
        raise InputError("No roads are given; name a file with --roads, or a run with --config.")
    else:
        _synthesize(SynthOptions(**given), None)


def _synthesize(options: SynthOptions, earlier: Record | None) -> None:
    """Run with a display of its progress, and say what came of it."""
    from rsaug import synthesis
    from rsaug.cli.display import Display

    with Display() as display, warnings.catch_warnings():
        # What diffusers will rename one day is no news to who wants images.
        warnings.filterwarnings("ignore", module=r"diffusers\.")
        try:
            display.status("Reading the layers")
            plan = synthesis.make_plan(options, earlier)
            display.status("Loading the model")
            generator = _load_generator(plan.options)
            report = synthesis.run(plan, generator, display.progress, display.note)
        except OutputError as error:
            raise OutputError(f"{error} {display.where_it_stands}") from error
        except KeyboardInterrupt as interrupt:
            display.note(f"Stopped. {display.where_it_stands}")
            raise typer.Exit(_INTERRUPTED) from interrupt
    display.summary(plan, report)


def _load_generator(options: SynthOptions) -> CRSDiffGenerator:
    from diffusers.utils import logging

    from rsaug.pipelines.generate import load_generator

    # The display has a bar of its own.
    logging.disable_progress_bar()
    logging.set_verbosity_error()
    return load_generator(
        options.model,
        prompt=options.prompt,
        style=Path(options.style) if options.style else None,
        date=options.date,
        steps=options.steps,
        guidance=options.guidance,
        scheduler=options.scheduler,
        device=options.device,
        tile_size=options.tile_size,
    )


def _without_opposites(given: dict[str, Any]) -> dict[str, Any]:
    """Options that replace recorded ones; a limit replaces "all", and the other way round."""
    opposite: dict[str, Any] = {}
    if given.get("all"):
        opposite["limit"] = None
    elif "limit" in given:
        opposite["all"] = False
    return opposite | given


def _read_date(text: str) -> dt.date:
    try:
        return dt.date.fromisoformat(text)
    except ValueError as error:
        raise InputError(f"--date {text!r} is no date; write it as 2024-06-01.") from error
