"""The command line: ``rsaug``. One module a command; the work is done elsewhere."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from rsaug.cli import (
    bench,
    conditions,
    decouple,
    evaluate,
    filter,
    inpaint,
    inspect,
    layouts,
    models,
    predict,
    restyle,
    status,
    synth,
    train,
    train_roads,
    upscale,
    vectorize,
    verify,
)
from rsaug.errors import RsaugError


class Commands(TyperGroup):
    """Commands that end in one sentence and exit code 2 where something is wrong with the input."""

    def invoke(self, ctx: Any) -> Any:
        """Run the command."""
        try:
            return super().invoke(ctx)
        except RsaugError as error:
            typer.secho("error: ", err=True, nl=False, fg=typer.colors.RED, bold=True)
            typer.echo(error, err=True)
            raise typer.Exit(2) from error


app = typer.Typer(
    cls=Commands,
    name="rsaug",
    no_args_is_help=True,
    add_completion=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("synth")(synth.synth)
app.command("status")(status.status)
app.command("verify")(verify.verify)
app.command("conditions")(conditions.conditions)
app.command("inspect")(inspect.inspect)
app.command("decouple")(decouple.decouple)
app.command("restyle")(restyle.restyle)
app.command("inpaint")(inpaint.inpaint)
app.command("upscale")(upscale.upscale)
app.command("evaluate")(evaluate.evaluate)
app.command("filter")(filter.filter_run)
app.command("predict")(predict.predict)
app.command("vectorize")(vectorize.vectorize)
train.app.command("roads")(train_roads.roads)
app.add_typer(layouts.app, name="layouts")
app.add_typer(train.app, name="train")
app.add_typer(models.app, name="models")
app.add_typer(bench.app, name="bench")


def _print_version(wanted: bool) -> None:
    if wanted:
        from rsaug import __version__

        typer.echo(f"rsaug {__version__}")
        raise typer.Exit


@app.callback()
def _rsaug(
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


def main() -> None:
    """Run the command line."""
    app()
