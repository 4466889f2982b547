"""``rsaug inpaint``: clouds, seams and objects taken out of real images."""

from __future__ import annotations

from typing import Annotated

import typer

from rsaug.cli import editing, layer_options
from rsaug.cli.config import Config
from rsaug.cli.layer_options import Json


def inpaint(
    ctx: typer.Context,
    images: editing.Images,
    out: editing.Out,
    mask: Annotated[
        str,
        typer.Option(
            help="What to fill in: areas, or a raster that is not 0 there.",
            metavar="LAYER|FILE",
            rich_help_panel=editing.IMAGES,
        ),
    ],
    resamplings: Annotated[
        int,
        typer.Option(
            help="How often each step is done; more fit better and take longer.",
            metavar="N",
            rich_help_panel=editing.MODEL,
        ),
    ] = 10,
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
    labels: editing.Labels = None,
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
    """Fill in what a mask covers: clouds, seams, objects that should not be there.

    Outside the mask no pixel changes. Layers say what is under it: with [dim]--roads[/dim] a road
    goes on. For [dim]town.tif[/dim] it writes [dim]images/town.tif[/dim] and
    [dim]filled/town.tif[/dim], which says where the image is made up. Run again, it does only what
    is missing.
    """
    from rsaug.edits import Inpaint

    given = dict(ctx.params)
    editing.run_edit(Inpaint(given.pop("resamplings")), given)
