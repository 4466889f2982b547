"""The command line: ``rsaug``. One module a command; the work is done elsewhere."""

from __future__ import annotations

from typing import Annotated

import typer

from rsaug.cli import (
    bench,
    conditions,
    decouple,
    doctor,
    evaluate,
    filter,
    init,
    inpaint,
    inspect,
    layouts,
    messages,
    models,
    predict,
    report,
    restyle,
    status,
    synth,
    train,
    train_roads,
    upscale,
    vectorize,
    verify,
    view,
)
from rsaug.cli.group import Commands, settle
from rsaug.cli.stopping import sigterm_like_ctrl_c

_FROM_LAYERS, _FROM_IMAGES = "From layers to images", "From images"
_RUNS, _DETECTORS, _SETUP = "What a run is worth", "Detectors and models", "Setting up"

app = typer.Typer(
    cls=Commands,
    name="rsaug",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command(
    "synth",
    short_help="Synthetic images with exact road masks, from roads.",
    rich_help_panel=_FROM_LAYERS,
)(synth.synth)
app.command(
    "conditions",
    short_help="Control maps, road masks and labels, without images.",
    rich_help_panel=_FROM_LAYERS,
)(conditions.conditions)
app.command(
    "inspect",
    short_help="What a layer holds, and what would be made of it.",
    rich_help_panel=_FROM_LAYERS,
)(inspect.inspect)
app.command(
    "restyle",
    short_help="Real images in another look, with the same labels.",
    rich_help_panel=_FROM_IMAGES,
)(restyle.restyle)
app.command(
    "inpaint",
    short_help="Clouds, seams and objects taken out of real images.",
    rich_help_panel=_FROM_IMAGES,
)(inpaint.inpaint)
app.command("upscale", short_help="Real images with smaller pixels.", rich_help_panel=_FROM_IMAGES)(
    upscale.upscale
)
app.command(
    "decouple",
    short_help="Real images taken apart into control maps and a caption.",
    rich_help_panel=_FROM_IMAGES,
)(decouple.decouple)
app.command("status", short_help="How far a run is.", rich_help_panel=_RUNS)(status.status)
app.command(
    "verify", short_help="Whether a run is whole, unaltered and marked.", rich_help_panel=_RUNS
)(verify.verify)
app.command("report", short_help="A run on one page.", rich_help_panel=_RUNS)(report.report)
app.command("view", short_help="A run on a map in the browser.", rich_help_panel=_RUNS)(view.view)
app.command(
    "evaluate", short_help="What the images of a run are worth, in numbers.", rich_help_panel=_RUNS
)(evaluate.evaluate)
app.command(
    "filter", short_help="Which images of a run are worth training on.", rich_help_panel=_RUNS
)(filter.filter_run)
app.command(
    "predict", short_help="Roads found in images by a detector.", rich_help_panel=_DETECTORS
)(predict.predict)
app.command(
    "vectorize", short_help="Road masks as lines with a width.", rich_help_panel=_DETECTORS
)(vectorize.vectorize)
app.command(
    "doctor",
    short_help="What is installed, what is not, and what mends it.",
    rich_help_panel=_SETUP,
)(doctor.doctor)
app.command("init", short_help="A file of options to be filled in.", rich_help_panel=_SETUP)(
    init.init
)
train.app.command("roads")(train_roads.roads)
app.add_typer(
    layouts.app,
    name="layouts",
    short_help="Roads and land cover of made-up towns, for synth.",
    rich_help_panel=_FROM_LAYERS,
)
app.add_typer(
    bench.app,
    name="bench",
    short_help="What synthetic tiles are worth beside real labels.",
    rich_help_panel=_RUNS,
)
app.add_typer(
    train.app,
    name="train",
    short_help="Generators and road detectors of your own.",
    rich_help_panel=_DETECTORS,
)
app.add_typer(
    models.app,
    name="models",
    short_help="What models there are, what is in one, how to get one.",
    rich_help_panel=_DETECTORS,
)

settle(app)


def _print_version(wanted: bool) -> None:
    if wanted:
        from rsaug import __version__

        typer.echo(f"rsaug {__version__}")
        raise typer.Exit


@app.callback()
def _rsaug(
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", metavar="", help="Say nothing but errors.")
    ] = False,
    verbose: Annotated[
        bool,
        typer.Option("--verbose", "-v", metavar="", help="Say also where an error arose."),
    ] = False,
    version: Annotated[
        bool,
        typer.Option(
            "--version",
            callback=_print_version,
            is_eager=True,
            metavar="",
            help="Show the version and exit.",
        ),
    ] = False,
) -> None:
    """Vector layers in, georeferenced synthetic aerial imagery with exact labels out."""
    if quiet and verbose:
        raise typer.BadParameter("--quiet and --verbose exclude each other.")
    volumes = messages.Volume
    messages.set_volume(volumes.QUIET if quiet else volumes.VERBOSE if verbose else volumes.NORMAL)


def main() -> None:
    """Run the command line."""
    with sigterm_like_ctrl_c():
        app()
