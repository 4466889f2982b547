"""``rsaug restyle``: real images in another season, sensor or look."""

from __future__ import annotations

from typing import Annotated

import typer

from rsaug.cli import editing, layer_options
from rsaug.cli.config import Config
from rsaug.cli.layer_options import Json


def restyle(
    ctx: typer.Context,
    images: editing.Images,
    out: editing.Out,
    strength: Annotated[
        float,
        typer.Option(
            help="How much is made anew, from 0 to 1.",
            metavar="X",
            rich_help_panel=editing.IMAGES,
        ),
    ] = 0.6,
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
    """Make real images anew in another look, on the same pixels and with the same labels.

    Roads, land cover and soft edges hold it to the place: from the layers that are given, else read
    off the image. For [dim]town.tif[/dim] it writes [dim]images/town.tif[/dim], with
    [dim]--roads[/dim] the road mask, and the labels as they are. Run again, it does only what is
    missing.
    """
    from rsaug.edits import Restyle

    given = dict(ctx.params)
    editing.run_edit(Restyle(given.pop("strength")), given)
