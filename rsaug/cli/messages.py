"""What commands say besides their results: errors, notes and how far they are, all on stderr.

Results are the only thing on stdout, as text for a reader or, with ``--json``, as one document.
"""

from __future__ import annotations

import json
import math
import os
import sys
from collections.abc import Mapping
from enum import Enum
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from rich.console import Console


class Volume(Enum):
    """How much is said on stderr."""

    QUIET = "errors alone"
    NORMAL = "errors, notes and progress"
    VERBOSE = "also where an error arose"


_now = Volume.NORMAL


def set_volume(volume: Volume) -> None:
    """Say as much from now on."""
    global _now
    _now = volume


def is_quiet() -> bool:
    """Whether nothing but errors is said."""
    return _now is Volume.QUIET


def is_verbose() -> bool:
    """Whether everything is said."""
    return _now is Volume.VERBOSE


def error(sentence: str) -> None:
    """Say why a command ends, on one line; the middle of endless words is left out."""
    words = (
        word if len(word) <= 300 else f"{word[:100]}...{word[-50:]}" for word in sentence.split()
    )
    _say("error: ", " ".join(words), typer.colors.RED)


def note(sentence: str) -> None:
    """Say something that the user should know."""
    if not is_quiet():
        _say("note: ", sentence, typer.colors.YELLOW)


def line(text: str) -> None:
    """Say where something is, or how far."""
    if not is_quiet():
        typer.echo(text, err=True)


def console_for_progress() -> Console:
    """Where progress is shown; nowhere if nothing but errors is to be said."""
    from rich.console import Console

    return Console(stderr=True, highlight=False, quiet=is_quiet())


def write_json(value: Any) -> None:
    """Write a result as one JSON document to stdout; numbers that are none become null."""
    typer.echo(json.dumps(_finite(value), indent=2, ensure_ascii=False, allow_nan=False))


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: _finite(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(inner) for inner in value]
    return value


def _say(label: str, sentence: str, colour: str) -> None:
    coloured = sys.stderr.isatty() and not os.environ.get("NO_COLOR")
    typer.echo(
        (typer.style(label, fg=colour, bold=True) if coloured else label) + sentence, err=True
    )
