"""``rsaug verify``: whether a run's folder is what it says."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from rsaug.cli import messages
from rsaug.cli.group import FAILED
from rsaug.cli.layer_options import Json

if TYPE_CHECKING:
    from rsaug.mark_verification import ImageMarks
    from rsaug.verification import Verification


def verify(
    folder: Annotated[
        str, typer.Argument(metavar="DIR|FILE", help="Folder of a run of rsaug synth; an image.")
    ],
    reproduce: Annotated[
        int,
        typer.Option(min=0, metavar="N", help="Make N images again and compare them."),
    ] = 0,
    trust: Annotated[
        str | None,
        typer.Option(metavar="PEM", help="Certificates that are trusted to vouch for signers."),
    ] = None,
    watermark: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Of an image alone: a name to look for in its pixels."),
    ] = None,
    discard: Annotated[
        bool,
        typer.Option(
            "--discard",
            help="Remove images that are not as they should be; the next run makes them again.",
        ),
    ] = False,
    as_json: Json = False,
) -> None:
    """Check that a run is whole, unaltered and marked as synthetic, and that it can be made again.

    Every file is compared with its checksum, the tags inside with the catalogue, and signatures and
    watermarks, where there are any, are checked, all without the network. Of an image alone, its
    marks are told. Exit code 0 when all is as it should be, else 1.
    """
    from pathlib import Path

    from rsaug.cli.synth_run import load_generator
    from rsaug.credentials import read_anchors
    from rsaug.errors import InputError
    from rsaug.mark_verification import look_at_image
    from rsaug.storage import place
    from rsaug.verification import verify as look

    where = place(folder)
    if trust is not None:
        read_anchors(trust)
    if isinstance(where, Path) and where.is_file():
        if reproduce or discard:
            raise InputError("An image alone cannot be made again; name the folder of its run.")
        marks = look_at_image(where, watermark, trust)
        _show(marks, as_json)
        raise typer.Exit(0 if marks.in_order else FAILED)
    if watermark is not None:
        raise InputError("The watermark of a run is named in its record; leave --watermark out.")
    found = look(where, reproduce, load_generator, trust, discard=discard)
    _show(found, as_json)
    if found.findings:
        raise typer.Exit(FAILED)


def _show(found: Verification | ImageMarks, as_json: bool) -> None:
    if as_json:
        messages.write_json(found.to_dict())
    else:
        typer.echo(found.to_text())
