"""``rsaug status``: how far a run is."""

from __future__ import annotations

from typing import Annotated

import typer


def status(
    folder: Annotated[str, typer.Argument(metavar="DIR", help="Folder of a run of rsaug synth.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Say how far a run is: what is complete, missing, broken or failed, and how long it takes.

    Reads the folder alone, also while the run goes on. Exit code 0 when all is complete, else 1.
    """
    import json
    import time

    from rsaug.status import read_status
    from rsaug.storage import place

    found = read_status(place(folder), time.time())
    typer.echo(json.dumps(found.to_dict(), indent=2) if as_json else found.to_text())
    if found.missing or found.broken:
        raise typer.Exit(1)
