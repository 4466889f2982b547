"""``rsaug init``: a file of options, to be filled in."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from rsaug.cli import conditions, inpaint, messages, restyle, synth, upscale
from rsaug.cli.config import template
from rsaug.cli.layer_options import names
from rsaug.errors import InputError, OutputError

_COMMANDS: dict[str, Callable[..., None]] = {
    "synth": synth.synth,
    "conditions": conditions.conditions,
    "restyle": restyle.restyle,
    "inpaint": inpaint.inpaint,
    "upscale": upscale.upscale,
}


def init(
    file: Annotated[
        Path | None,
        typer.Argument(
            help="Name of the new file. [dim]Default: COMMAND.yaml.[/dim]",
            metavar="FILE",
            show_default=False,
        ),
    ] = None,
    command: Annotated[
        str,
        typer.Option(
            "--for",
            help=f"Command that it is for: {', '.join(_COMMANDS)}.",
            metavar="COMMAND",
            autocompletion=names(*_COMMANDS),
        ),
    ] = "synth",
) -> None:
    """Write a file with every option of a command, its default and what it is for.

    [dim]rsaug init town.yaml[/dim], fill in the roads, then [dim]rsaug synth --config
    town.yaml[/dim].
    """
    if command not in _COMMANDS:
        raise InputError(f"No file is written for {command!r}, only for {', '.join(_COMMANDS)}.")
    path = file or Path(f"{command}.yaml")
    if path.suffix.lower() not in (".yaml", ".yml"):
        raise InputError(f"{path} is to be YAML; give a name that ends in .yaml.")
    try:
        with path.open("x", encoding="utf-8") as new:
            new.write(template(command, _COMMANDS[command]))
    except FileExistsError as error:
        raise InputError(f"{path} is there already; name another file, or remove it.") from error
    except OSError as error:
        raise OutputError(f"{path} cannot be written ({error.strerror or error}).") from error
    messages.line(f"{path}: set what you want, then run: rsaug {command} --config {path}")
