"""``rsaug upscale``: real images with smaller pixels."""

from __future__ import annotations

from typing import Annotated

import typer

from rsaug.cli import editing, layer_options
from rsaug.cli.config import Config
from rsaug.cli.layer_options import Json


def upscale(
    ctx: typer.Context,
    images: editing.Images,
    out: editing.Out,
    factor: Annotated[
        int,
        typer.Option(
            help="How many times the rows and columns: 2 or 4.",
            metavar="N",
            rich_help_panel=editing.IMAGES,
        ),
    ] = 2,
    strength: Annotated[
        float,
        typer.Option(
            help="How much detail is made up, from 0 to 1.",
            metavar="X",
            rich_help_panel=editing.IMAGES,
        ),
    ] = 0.5,
    prompt: editing.Prompt = None,
    negative_prompt: editing.NegativePrompt = None,
    style: editing.Style = None,
    style_strength: editing.StyleStrength = 1.0,
    date: editing.Date = None,
    gsd: editing.Gsd = None,
    seed: editing.Seed = 0,
    roads: editing.Roads = None,
    landcover: editing.Landcover = None,
    buildings: editing.Buildings = None,
    dem: editing.Dem = None,
    dsm: editing.Dsm = None,
    height_range: editing.HeightRange = None,
    controls: editing.Controls = None,
    extractor: editing.Extractors = None,
    model: editing.Model = "default",
    steps: editing.Steps = None,
    guidance: editing.Guidance = None,
    control_guidance: editing.ControlGuidance = None,
    grain: editing.Grain = 1.0,
    device: editing.Device = None,
    sign: layer_options.Sign = None,
    sign_key: layer_options.SignKey = None,
    timestamp_url: layer_options.TimestampUrl = None,
    config: Config = None,
    as_json: Json = False,
) -> None:
    """Enlarge real images, with detail that fits them: averaged down, they are what they were.

    The result covers the same ground. Road masks and maps are drawn from the layers at the smaller
    pixels, not enlarged. For [dim]town.tif[/dim] it writes [dim]images/town.tif[/dim]. Run again,
    it does only what is missing.
    """
    from rsaug.edits import Upscale

    given = dict(ctx.params)
    editing.run_edit(Upscale(given.pop("factor"), given.pop("strength")), given)
