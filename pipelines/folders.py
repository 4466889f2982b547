"""Folders of models: what the index of one says, and that a new one appears whole or not at all."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from safetensors import SafetensorError

from rsaug.errors import InputError, OutputError
from rsaug.jsontext import parse_json

INDEX = "model_index.json"
PIPELINE = "CRSDiffPipeline"

SETTINGS = (
    "guide_controls",
    "trained_controls",
    "default_steps",
    "default_guidance",
    "default_control_guidance",
    "grain",
)
"""What a pipeline is configured with besides its components."""

RECORD = "conversion.json"
"""Beside the components: what the model was converted from."""


def read_index(folder: Path) -> dict[str, Any]:
    """The index of a model: its settings, and library and class of each component.

    Raises:
        InputError: if the folder is no CRS-Diff model.
    """
    index = read_json(folder / INDEX)
    if index.get("_class_name") != PIPELINE:
        raise InputError(
            f"{folder} is no CRS-Diff model: its index names {index.get('_class_name')!r}."
        )
    return index


def read_json(path: Path) -> dict[str, Any]:
    """The object in a JSON file.

    Raises:
        InputError: if there is no such file or it holds something else.
    """
    try:
        value = parse_json(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise InputError(f"{path.parent} is no CRS-Diff model: it has no {path.name}.") from error
    except (OSError, ValueError) as error:
        raise InputError(f"{path} cannot be read as JSON.") from error
    if not isinstance(value, dict):
        raise InputError(f"{path} holds no JSON object.")
    return value


def check_new(out: Path) -> None:
    """Raise InputError unless a folder can be made at ``out`` without touching what is there."""
    if out.is_symlink() or (out.exists() and not (out.is_dir() and not any(out.iterdir()))):
        raise InputError(f"{out} exists and is not an empty folder; give a new one.")


def write_folder(out: Path, fill: Callable[[Path], None]) -> None:
    """Make a folder: ``fill`` fills one beside it, which gets its name at the end.

    Raises:
        OutputError: if it cannot be written; nothing is left then.
    """
    part: Path | None = None
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        part = Path(tempfile.mkdtemp(prefix=f".{out.name}.", suffix=".part", dir=out.parent))
        fill(part)
        part.chmod(0o755)
        part.replace(out)
    except OSError as error:
        raise OutputError(f"{out} could not be written ({error.strerror or error}).") from error
    except SafetensorError as error:
        raise OutputError(f"{out} could not be written ({error}).") from error
    finally:
        if part is not None:
            shutil.rmtree(part, ignore_errors=True)
