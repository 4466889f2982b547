"""``rsaug report``: a run on one page."""

from __future__ import annotations

from typing import Annotated

import typer

from rsaug.cli.layer_options import Json


def report(
    folder: Annotated[
        str,
        typer.Argument(
            metavar="DIR", help="Folder of rsaug synth, conditions, restyle, inpaint or upscale."
        ),
    ],
    out: Annotated[
        str | None,
        typer.Option(
            metavar="FILE", help="Where to write the page.", show_default="DIR/report.html"
        ),
    ] = None,
    tiles: Annotated[
        int, typer.Option(min=0, max=200, metavar="N", help="How many images to show, at most.")
    ] = 24,
    as_json: Json = False,
) -> None:
    """Put a run on one page: pictures, map, what is in it, what was left out, how to make it again.

    The page needs no network and no file beside it. It can be made while the run goes on. With
    --json the numbers are printed, and a page is written only where --out names one.
    """
    from rsaug.cli import messages
    from rsaug.reporting.report import make_report

    found = make_report(folder, tiles)
    if as_json:
        typer.echo(found.to_json(), nl=False)
    if out is not None or not as_json:
        where = found.write(out)
        (messages.line if as_json else typer.echo)(f"report: {where}")
