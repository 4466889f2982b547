"""``rsaug synth``: images and labels from roads."""

from __future__ import annotations

import warnings
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from rsaug.cli import layer_options, messages
from rsaug.cli.config import RunConfig
from rsaug.cli.group import FAILED
from rsaug.cli.layer_options import (
    CONTROLS,
    MARKS,
    RUN,
    Json,
    device_option,
    flag,
    option,
    read_date,
    without_opposites,
)
from rsaug.cli.stopping import exit_code
from rsaug.errors import InputError, OutputError
from rsaug.options import SynthOptions
from rsaug.record import Record, read_record

if TYPE_CHECKING:
    from rsaug.engines import Engine
    from rsaug.requests import TileGenerator
    from rsaug.synthesis import Plan

_IMAGES, _MODEL = "Images", "Model"
SCHEDULERS = ("ddim", "dpm++", "euler", "unipc")
DTYPES = ("float32", "bfloat16", "float16")
"""What a shell completes; the names in the help."""


_Controls = Annotated[
    str | None,
    option(
        "--controls",
        _IMAGES,
        "Control maps for the model: mlsd,hed,sketch,road,depth,seg.",
        "NAMES",
        "road, and seg with land cover",
        known=CONTROLS,
    ),
]
_ControlStrength = Annotated[
    str | None,
    option(
        "--control-strength",
        _IMAGES,
        "How strongly maps are followed: 0 is not at all, more than 1 is more.",
        "road=1.2,...",
    ),
]
_ControlInterval = Annotated[
    str | None,
    option(
        "--control-interval",
        _IMAGES,
        "When maps are given, from 0, all noise, to 1, the image.",
        "hed=0-0.5,...",
    ),
]
_ControlRegion = Annotated[
    list[str] | None,
    option(
        "--control-region",
        _IMAGES,
        "Where a map holds: areas or a raster. May be given for each.",
        "seg=FILE",
    ),
]
_Prompt = Annotated[str | None, option("--prompt", _IMAGES, "What it should look like.", "TEXT")]
_Style = Annotated[str | None, option("--style", _IMAGES, "Image to take the look of.", "IMAGE")]
_NegativePrompt = Annotated[
    str | None,
    option("--negative-prompt", _IMAGES, "What it should not look like.", "TEXT"),
]
_StyleStrength = Annotated[
    float | None,
    option("--style-strength", _IMAGES, "How much of the style to take.", "X", "1"),
]
_Date = Annotated[str | None, option("--date", _IMAGES, "Date to imitate.", "2024-06-01")]
_Variants = Annotated[int | None, option("--variants", _IMAGES, "Images a tile.", "N", "1")]
_Seamless = Annotated[
    bool | None,
    flag("--seamless", _IMAGES, "Tiles that continue each other, all over the area of interest."),
]
_Overlap = Annotated[
    int | None,
    option(
        "--overlap", _IMAGES, "Pixels that neighbouring windows share, with --seamless.", "N", "64"
    ),
]
_Prompts = Annotated[
    str | None,
    option("--prompts", _IMAGES, "Areas with a column prompt: texts by place.", "LAYER"),
]
_Mosaic = Annotated[
    bool | None, flag("--mosaic", _IMAGES, "Also one raster of all images, and one of all masks.")
]
_Engine = Annotated[
    str, option("--engine", RUN, "What runs it: local or ray.", "NAME", known=("local", "ray"))
]
_Address = Annotated[
    str | None,
    option("--address", RUN, "Ray cluster, with --engine ray.", "HOST:PORT", "a new one here"),
]
_Workers = Annotated[
    int | None,
    option(
        "--workers",
        RUN,
        "Images made at once on a CPU; with --engine ray, actors.",
        "N",
        "one a core; one a GPU",
    ),
]
_DryRun = Annotated[
    bool, flag("--dry-run", RUN, "Say what would be made, how long it takes and how much space.")
]
_Seed = Annotated[int | None, option("--seed", _IMAGES, "Same seed, same images.", "N", "0")]
_Model = Annotated[
    str | None, option("--model", _MODEL, "A model's folder or hub id.", "MODEL", "default")
]
_Steps = Annotated[
    int | None, option("--steps", _MODEL, "Denoising steps.", "N", "the model's own")
]
_Guidance = Annotated[
    float | None,
    option(
        "--guidance", _MODEL, "Guidance scale of text and style; 1 is none.", "X", "the model's own"
    ),
]
_ControlGuidance = Annotated[
    float | None,
    option(
        "--control-guidance",
        _MODEL,
        "Guidance scale of the maps; 1 is none.",
        "X",
        "the model's own",
    ),
]
_GuidanceInterval = Annotated[
    str | None,
    option("--guidance-interval", _MODEL, "When guidance is on.", "A-B", "0-1"),
]
_GuidanceRescale = Annotated[
    float | None,
    option(
        "--guidance-rescale",
        _MODEL,
        "Share in which contrast is brought back to that without guidance.",
        "X",
        "0",
    ),
]
_Scheduler = Annotated[
    str | None,
    option(
        "--scheduler",
        _MODEL,
        "ddim, dpm++, euler or unipc.",
        "NAME",
        "the model's own",
        known=SCHEDULERS,
    ),
]
_Reuse = Annotated[
    int | None,
    option(
        "--reuse",
        _MODEL,
        "Compute all of the network every N steps only; 2 is a third faster and nearly the same.",
        "N",
        "1",
    ),
]
_Grain = Annotated[
    float | None,
    option(
        "--grain",
        _IMAGES,
        "How much of the model's grain, the finest detail as noise, images are given.",
        "X",
        "1",
    ),
]
_Device = Annotated[
    str | None,
    device_option(_MODEL),
]
_DType = Annotated[
    str | None,
    option(
        "--dtype",
        _MODEL,
        "float32, bfloat16 or float16.",
        "NAME",
        "bfloat16 on a GPU, float32 on a CPU",
        known=DTYPES,
    ),
]
_Compile = Annotated[
    bool | None,
    flag("--compile", _MODEL, "Compile the networks first, which pays for many tiles."),
]
_Offload = Annotated[
    str | None,
    option(
        "--offload",
        _MODEL,
        "For small GPUs: bring networks to it one at a time.",
        "model|layer",
        known=("model", "layer"),
    ),
]
_VaeTiling = Annotated[
    bool | None,
    flag("--vae-tiling", _MODEL, "For small GPUs: decode large tiles in blended pieces."),
]
_Watermark = Annotated[
    str | None,
    option("--watermark", MARKS, "Name to write into the pixels, invisibly.", "NAME"),
]
_Out = Annotated[
    str | None, option("--out", RUN, "Folder of the results.", "DIR", "./<roads>-synth")
]


def synth(
    ctx: typer.Context,
    roads: layer_options.NeededRoads = None,
    landcover: layer_options.Landcover = None,
    landcover_raster: layer_options.LandcoverRaster = None,
    landcover_table: layer_options.LandcoverTable = None,
    buildings: layer_options.Buildings = None,
    parcels: layer_options.Parcels = None,
    dem: layer_options.Dem = None,
    dsm: layer_options.Dsm = None,
    height_range: layer_options.HeightRange = None,
    reference: layer_options.Reference = None,
    road_rules: layer_options.RoadRules = None,
    tunnels: layer_options.Tunnels = None,
    aoi: layer_options.Aoi = None,
    gsd: layer_options.Gsd = None,
    tile_size: layer_options.TileSize = None,
    crs: layer_options.Crs = None,
    controls: _Controls = None,
    control_strength: _ControlStrength = None,
    control_interval: _ControlInterval = None,
    control_region: _ControlRegion = None,
    prompt: _Prompt = None,
    prompts: _Prompts = None,
    negative_prompt: _NegativePrompt = None,
    style: _Style = None,
    style_strength: _StyleStrength = None,
    date: _Date = None,
    variants: _Variants = None,
    seamless: _Seamless = None,
    overlap: _Overlap = None,
    mosaic: _Mosaic = None,
    seed: _Seed = None,
    model: _Model = None,
    steps: _Steps = None,
    guidance: _Guidance = None,
    control_guidance: _ControlGuidance = None,
    guidance_interval: _GuidanceInterval = None,
    guidance_rescale: _GuidanceRescale = None,
    scheduler: _Scheduler = None,
    reuse: _Reuse = None,
    grain: _Grain = None,
    device: _Device = None,
    dtype: _DType = None,
    compile: _Compile = None,
    offload: _Offload = None,
    vae_tiling: _VaeTiling = None,
    watermark: _Watermark = None,
    sign: layer_options.Sign = None,
    sign_key: layer_options.SignKey = None,
    timestamp_url: layer_options.TimestampUrl = None,
    limit: layer_options.Limit = None,
    all: layer_options.All = None,
    out: _Out = None,
    config: RunConfig = None,
    engine: _Engine = "local",
    address: _Address = None,
    workers: _Workers = None,
    dry_run: _DryRun = False,
    as_json: Json = False,
) -> None:
    """Make georeferenced synthetic images with exact road masks from road lines.

    [dim]rsaug synth --roads roads.geojson[/dim] is all it takes: every tile with a road in it, in
    the folder roads-synth. Run again, it does only what is missing.
    """
    given = {name: value for name, value in ctx.params.items() if value is not None}
    how = _How(
        *(given.pop(name, None) for name in ("engine", "address", "workers", "dry_run", "as_json"))
    )
    given.pop("config", None)
    if "date" in given:
        given["date"] = read_date(given["date"])
    if "control_region" in given:
        given["control_region"] = tuple(given["control_region"])
    if config is not None:
        earlier = read_record(config, without_opposites(given))
        _synthesize(earlier.options, earlier, how)
    elif roads is None:
        raise InputError("No roads are given; name a file with --roads, or a run with --config.")
    else:
        _synthesize(SynthOptions(**given), None, how)


@dataclass(frozen=True)
class _How:
    """What runs a plan; nothing here changes what comes of it.

    Attributes:
        engine: ``local`` or ``ray``.
        address: Of a Ray cluster.
        workers: How many images are made at once, or actors.
        dry_run: Whether only to say what would be made.
        as_json: Whether what came of it is said as JSON.
    """

    engine: str = "local"
    address: str | None = None
    workers: int | None = None
    dry_run: bool | None = False
    as_json: bool = False

    def __post_init__(self) -> None:
        """Check what can be checked without a cluster."""
        if self.engine not in ("local", "ray"):
            raise InputError(f"No engine is called {self.engine!r}; there are local and ray.")
        if self.address is not None and self.engine != "ray":
            raise InputError("--address is that of a Ray cluster; give --engine ray with it.")
        if self.workers is not None and self.workers < 1:
            raise InputError(f"There must be 1 worker at least, not {self.workers}.")

    def make_engine(self) -> Engine | None:
        """The engine; None for this process."""
        if self.engine == "local":
            return None
        from rsaug.engines.ray import RayEngine

        return RayEngine(load_generator, self.address, self.workers)


def _synthesize(options: SynthOptions, earlier: Record[SynthOptions] | None, how: _How) -> None:
    """Run with a display of its progress, and say what came of it."""
    from rsaug import synthesis
    from rsaug.cli.display import Display, show_summary, summary_of

    with Display() as display, warnings.catch_warnings():
        # What diffusers will rename one day is no news to who wants images.
        warnings.filterwarnings("ignore", module=r"diffusers\.")
        try:
            display.status("Reading the layers")
            plan = synthesis.make_plan(options, earlier)
            display.status("Loading the model")
            engine = how.make_engine()
            generator = load_generator(plan.options, how.workers if engine is None else 1)
            if how.dry_run:
                _foretell(plan, generator, as_json=how.as_json)
                return
            report = synthesis.run(plan, generator, display.progress, display.note, engine)
        except OutputError as error:
            raise OutputError(f"{error} {display.where_it_stands}") from error
        except KeyboardInterrupt as stop:
            display.note(f"Stopped. {display.where_it_stands}")
            raise typer.Exit(exit_code(stop)) from stop
    if how.as_json:
        messages.write_json(summary_of(plan.options, plan.scene, report))
    else:
        show_summary(plan.options, plan.scene, report, "image")
    if report.failed:
        raise typer.Exit(FAILED)


def _foretell(plan: Plan, generator: TileGenerator, *, as_json: bool) -> None:
    """Say what a plan will take."""
    from rsaug.estimate import estimate
    from rsaug.progress import in_words

    found = estimate(plan, generator)
    if as_json:
        messages.write_json({"dry_run": True, **asdict(found)})
        return
    missing = found.images - found.present
    there = f", of which {found.present} are there" if found.present else ""
    typer.echo(f"{found.tiles} tiles, {found.area_km2:.3g} km2: {found.images} images{there}.")
    typer.echo(
        f"{missing} to make: about {in_words(found.seconds)} on this machine and "
        f"{found.bytes / 1e9:.2g} GB. Nothing is made in a dry run."
    )


def load_generator(options: SynthOptions, workers: int | None = None) -> TileGenerator:
    """What makes the images of a run.

    Args:
        options: What the run is asked for.
        workers: On a CPU, how many images are made at once; None for as many as there are cores.

    Raises:
        InputError: for a model that cannot be loaded or a value it cannot work with.
    """
    from rsaug.cli.libraries import hush_diffusers
    from rsaug.pipelines.loading import generator_for

    # The display has a bar of its own.
    hush_diffusers()
    return generator_for(options, workers)
