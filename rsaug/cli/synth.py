"""``rsaug synth``: images and labels from roads."""

from __future__ import annotations

from typing import Annotated

import typer

from rsaug.cli import layer_options
from rsaug.cli.config import RunConfig
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
from rsaug.cli.synth_run import How, carry_out
from rsaug.errors import InputError
from rsaug.options import SynthOptions
from rsaug.record import read_record

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
    how = How(
        *(given.pop(name, None) for name in ("engine", "address", "workers", "dry_run", "as_json"))
    )
    given.pop("config", None)
    if "date" in given:
        given["date"] = read_date(given["date"])
    if "control_region" in given:
        given["control_region"] = tuple(given["control_region"])
    if config is not None:
        earlier = read_record(config, without_opposites(given))
        carry_out(earlier.options, earlier, how)
    elif roads is None:
        raise InputError("No roads are given; name a file with --roads, or a run with --config.")
    else:
        carry_out(SynthOptions(**given), None, how)
