"""``rsaug status``: how far a run is."""

from __future__ import annotations

from typing import Annotated

import typer

from rsaug.cli import messages
from rsaug.cli.group import FAILED
from rsaug.cli.layer_options import Json


def status(
    folder: Annotated[
        str,
        typer.Argument(metavar="DIR", help="Folder of a run of rsaug synth or rsaug conditions."),
    ],
    as_json: Json = False,
) -> None:
    """Say how far a run is: what is complete, missing, broken or failed, and how long it takes.

    Reads the folder alone, also while the run goes on. Exit code 0 when all is complete, else 1.
    """
    import time
    from pathlib import Path

    from rsaug.errors import InputError
    from rsaug.status import read_status
    from rsaug.storage import place

    where = place(folder)
    if isinstance(where, Path) and where.is_file():
        raise InputError(f"{folder} is a file; name the folder of a run.")
    found = read_status(where, time.time())
    if as_json:
        messages.write_json(found.to_dict())
    else:
        typer.echo(found.to_text())
    if found.missing or found.broken:
        raise typer.Exit(FAILED)
