"""``rsaug verify``: whether a run's folder is what it says."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def verify(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder of a run of rsaug synth.")],
    reproduce: Annotated[
        int,
        typer.Option(min=0, metavar="N", help="Make N images again and compare them."),
    ] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Check that a run is whole, unaltered and marked as synthetic, and that it can be made again.

    Every file is compared with its checksum, and the tags inside with the catalogue. Exit code 0
    when all is as it should be, else 1.
    """
    import json

    from rsaug.cli.synth import load_generator
    from rsaug.verification import verify as look

    found = look(folder, reproduce, load_generator)
    typer.echo(json.dumps(found.to_dict(), indent=2) if as_json else found.to_text())
    if found.findings:
        raise typer.Exit(1)
