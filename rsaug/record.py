"""The record of a run, ``run.json``: what was asked, what was read, what made the images.

It holds everything needed to run again, so it is a configuration, too. Paths in it are relative to
the folder that it lies in: a project moves as a whole.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Generic, TypeVar, get_type_hints

from rsaug import __version__
from rsaug.errors import InputError
from rsaug.jsontext import parse_json
from rsaug.options import RunOptions, SynthOptions, is_box
from rsaug.storage import AnyPath, is_remote, place, read

Options = TypeVar("Options", bound=RunOptions)

_DECIDING = (
    "gsd",
    "tile_size",
    "crs",
    "tunnels",
    "height_range",
    "control_strength",
    "control_interval",
    "prompt",
    "negative_prompt",
    "style_strength",
    "date",
    "steps",
    "guidance",
    "control_guidance",
    "guidance_interval",
    "guidance_rescale",
    "scheduler",
    "reuse",
    "grain",
    "seamless",
    "overlap",
    "vae_tiling",
    "watermark",
    "seed",
)
_REAL = {"gsd", "guidance", "control_guidance", "guidance_rescale", "style_strength", "grain"}


@dataclass(frozen=True)
class Record(Generic[Options]):
    """What a run was asked and what it worked with.

    Attributes:
        options: Every option, resolved.
        inputs: SHA-256 of each input file, by option.
        generator: What the generator says of itself.
        created: When the data set was begun: ISO 8601, UTC.
        results: What was found in the input and what is made of it, for readers.
    """

    options: Options
    inputs: Mapping[str, str]
    generator: Mapping[str, object]
    created: str
    results: Mapping[str, object] = field(default_factory=dict)

    def to_json(self) -> bytes:
        """The record as it is written into the folder of the results."""
        folder = self.options.folder.resolve()
        moved = replace(self.options, out=str(folder)).with_paths(
            lambda path: _relative(path, folder), Path()
        )
        document = {
            "software": f"rsaug {__version__}",
            "created": self.created,
            "options": {name: _plain(value) for name, value in asdict(moved).items()},
            "inputs": dict(self.inputs),
            "generator": dict(self.generator),
            **self.results,
        }
        return (json.dumps(document, indent=2, ensure_ascii=False) + "\n").encode()

    def differences(self, other: Record[Options]) -> list[str]:
        """In what another run differs, as far as images can show it, in words."""
        ours, theirs = self._deciding(), other._deciding()
        names = list(dict.fromkeys([*ours, *theirs]))
        if not ("controls" in self.results and "controls" in other.results):
            names.remove("controls")
        return [name for name in names if (ours.get(name) or None) != (theirs.get(name) or None)]

    def _deciding(self) -> dict[str, object]:
        """What decides the images, by a name for readers."""
        box = self.options.aoi if self.options.aoi and is_box(self.options.aoi) else None
        return {
            **{name.replace("_", " "): getattr(self.options, name, None) for name in _DECIDING},
            "controls": self.results.get("controls"),
            "area of interest": box,
            **{f"{name.replace('_', ' ')} file": digest for name, digest in self.inputs.items()},
            "weights": self.generator.get("weights_sha256"),
        }


def read_record(
    path: AnyPath | str, overrides: Mapping[str, Any] | None = None
) -> Record[SynthOptions]:
    """The record of a run of ``rsaug synth``; see `read_record_of`."""
    return read_record_of(SynthOptions, path, overrides)


def read_record_of(
    kind: type[Options], path: AnyPath | str, overrides: Mapping[str, Any] | None = None
) -> Record[Options]:
    """The record in a ``run.json``, or in a hand-written file that has at least ``options``.

    Args:
        kind: Whose options they are.
        path: The file; paths in it are relative to its folder.
        overrides: Options that replace those of the file.

    Raises:
        InputError: if the file is missing, no JSON or not of this form.
    """
    path = place(path)
    try:
        document = parse_json(read(path))
    except (OSError, ValueError) as error:
        raise InputError(f"{path} cannot be read as the record of a run ({error}).") from error
    given = document.get("options") if isinstance(document, dict) else None
    if not isinstance(given, dict):
        raise InputError(f"{path} is no record of a run: it has no 'options'.")
    options = _options(kind, path, given)
    folder = path.resolve().parent
    base = folder if isinstance(folder, Path) else Path()
    try:
        options = options.with_paths(lambda file: _located(file, folder), base)
    except (OSError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        # A zero byte in a name, or more letters than a name can have.
        raise InputError(f"{path} names a file that there cannot be ({error}).") from error
    if overrides:
        options = replace(options, **overrides)
    return Record(
        options=options,
        inputs=_dictionary(document, "inputs"),
        generator=_dictionary(document, "generator"),
        created=str(document.get("created") or now()),
        # The rest is for readers; of the options this is what they came to.
        results={name: document[name] for name in ("controls",) if name in document},
    )


def now() -> str:
    """The time, as records have it."""
    return dt.datetime.now(dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def file_sha256(path: Path) -> str:
    """SHA-256 of a file; of a Shapefile or a folder, of all its parts in the order of their names.

    Raises:
        InputError: if the file cannot be read.
    """
    parts = [path]
    if path.suffix.lower() == ".shp":
        parts = sorted(part for part in path.parent.glob(f"{path.stem}.*") if part.is_file())
    elif path.is_dir():
        parts = sorted(part for part in path.rglob("*") if part.is_file())
    digest = hashlib.sha256()
    try:
        for part in parts:
            with part.open("rb") as file:
                while block := file.read(1 << 20):
                    digest.update(block)
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror}).") from error
    return digest.hexdigest()


def _options(kind: type[Options], path: AnyPath, given: Mapping[str, Any]) -> Options:
    """Options from JSON, their types checked."""
    hints = {name: hint for name, hint in get_type_hints(kind).items() if name in _fields(kind)}
    values = dict(given)
    for name, value in given.items():
        if name not in hints:
            raise InputError(f"{path} has an option {name!r} that is not known.")
        if name == "date" and isinstance(value, str):
            value = values[name] = _date(path, value)
        if hints[name] == tuple[str, ...]:
            values[name] = _texts(path, name, value)
            continue
        # JSON has one kind of number; True is not one.
        whole_for_real = type(value) is int and name in _REAL
        is_flag = isinstance(value, bool) and hints[name] is not bool
        if is_flag or not (isinstance(value, hints[name]) or whole_for_real):
            raise InputError(f"{path} has {value!r} for the option {name!r}, of a wrong type.")
    if kind is SynthOptions and values.get("roads") is None:
        raise InputError(f"{path} names no road file; add 'roads' to its 'options'.")
    return kind(**values)


def _fields(kind: type[RunOptions]) -> set[str]:
    return {field.name for field in fields(kind)}


def _plain(value: object) -> object:
    """A value as JSON has it."""
    return value.isoformat() if isinstance(value, dt.date) else value


def _texts(path: AnyPath, name: str, value: object) -> tuple[str, ...]:
    if not (isinstance(value, list) and all(isinstance(text, str) for text in value)):
        raise InputError(
            f"{path} has {value!r} for the option {name!r}; a list of texts is needed."
        )
    return tuple(value)


def _date(path: AnyPath, text: str) -> dt.date:
    try:
        return dt.date.fromisoformat(text)
    except ValueError as error:
        raise InputError(f"{path} has {text!r} for a date; write it as 2024-06-01.") from error


def _dictionary(document: Mapping[str, Any], name: str) -> dict[str, Any]:
    value = document.get(name)
    return value if isinstance(value, dict) else {}


def _relative(path: str, folder: AnyPath) -> str:
    """A path as it is written into a record in a folder: as seen from there, if that is here."""
    if path == str(folder):
        return "."
    if is_remote(path):
        return path
    here = Path(path).resolve()
    if not isinstance(folder, Path):
        return str(here)
    try:
        return Path(os.path.relpath(here, folder)).as_posix()
    except ValueError:  # on another drive
        return here.as_posix()


def _located(path: str, folder: AnyPath) -> str:
    """A path from a record in a folder: relative to the working directory where it lies below."""
    if is_remote(path):
        return path
    if not isinstance(folder, Path):
        return str(folder) if path == "." else path
    found, here = (folder / path).resolve(), Path.cwd()
    return str(found.relative_to(here) if found.is_relative_to(here) else found)
