"""What can be said of an input before anything heavy is loaded."""

from __future__ import annotations

import math
from pathlib import Path

from rsaug.errors import InputError


def need_file(path: Path | str | None, option: str) -> None:
    """Check that a file that is named is there.

    Args:
        path: The file; None where none is named.
        option: As in ``--lpips``.

    Raises:
        InputError: if there is no such file.
    """
    try:
        there = path is None or Path(path).is_file()
    except (OSError, ValueError):  # a name that is no name: too long, or with a zero byte
        there = False
    if not there:
        raise InputError(f"There is no file {path} for {option}; check the name.")


def need_run(folder: Path) -> None:
    """Check that a folder is that of a run, as training and measuring take it.

    Raises:
        InputError: if it has no manifest.
    """
    try:
        there = (folder / "manifest.parquet").is_file()
    except (OSError, ValueError):
        there = False
    if not there:
        raise InputError(f"{folder} is no folder of rsaug synth: it has no manifest.parquet.")


def need_folder_name(path: Path, option: str) -> None:
    """Check that a folder can be made under a name, as far as can be said before.

    Raises:
        InputError: if there is a file of that name.
    """
    if path.exists() and not path.is_dir():
        raise InputError(f"{path} is a file; name a folder with {option}.")


def need_number(
    value: float | None, option: str, what: str = "a number", *, least: float | None = None
) -> None:
    """Check that a value is a number, and not below a limit.

    Args:
        value: The number; None where none is given.
        option: As in ``--slack``.
        what: What it is, as in "a number of metres".
        least: The limit.

    Raises:
        InputError: if it is not.
    """
    if value is None or (math.isfinite(value) and (least is None or value >= least)):
        return
    limit = "" if least is None else f" from {least:g} up"
    raise InputError(f"{option} is {what}{limit}, not {value:g}.")
