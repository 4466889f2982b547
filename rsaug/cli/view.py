"""``rsaug view``: a map over a run, in the browser."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from rsaug.cli import messages
from rsaug.cli.layer_options import option

_SHOWN, _SERVER = "What is shown", "Server"

_Run = Annotated[str, typer.Argument(help="Folder of a run of rsaug synth.", metavar="DIR")]
_Real = Annotated[
    Path | None,
    option(
        "--real", _SHOWN, "Real imagery to look at beside it: a raster, or a folder.", "FILE|DIR"
    ),
]
_Host = Annotated[
    str,
    typer.Option(
        help="Where to listen. [dim]Default: this machine alone.[/dim]",
        metavar="HOST",
        show_default=False,
        rich_help_panel=_SERVER,
    ),
]
_Port = Annotated[
    int | None,
    typer.Option(
        help="Port; 0 is any that is free. [dim]Default: the first free one from 8600 on.[/dim]",
        min=0,
        max=65535,
        metavar="N",
        rich_help_panel=_SERVER,
    ),
]
_Open = Annotated[
    bool,
    typer.Option(
        "--open", help="Open the page in the browser.", metavar="", rich_help_panel=_SERVER
    ),
]


def view(
    run: _Run,
    real: _Real = None,
    host: _Host = "127.0.0.1",
    port: _Port = None,
    open_page: _Open = False,
) -> None:
    """Look at a run on a map, and accept or reject its images.

    A server of this machine, for this machine alone unless --host says otherwise: the page asks
    nothing of the network. Nothing outside of DIR and --real is read, and only decisions are
    written. Ctrl-C ends it.
    """
    from rsaug.errors import InputError
    from rsaug.optional import require
    from rsaug.storage import in_store

    if in_store(run):
        raise InputError(f"{run} is in a store; copy the run to a folder of this machine.")
    for library in ("fastapi", "uvicorn", "rio_tiler"):
        require(library, extra="view")
    from rsaug.viewer.server import serve, warning
    from rsaug.viewer.view import View

    seen = View(Path(run), real)
    if (caution := warning(host)) is not None:
        messages.note(caution)
    if left := len(seen.catalogue.unreadable):
        messages.note(f"{left} items cannot be shown; rsaug verify {run} says why.")
    try:
        serve(seen, host, port, lambda address: _say_ready(address, open_page=open_page))
    except KeyboardInterrupt:
        # To be stopped is how a server ends.
        return


def _say_ready(address: str, *, open_page: bool) -> None:
    typer.echo(address)
    messages.line("Ctrl-C ends it.")
    if open_page:
        import webbrowser

        webbrowser.open(address)
