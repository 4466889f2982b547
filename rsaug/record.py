"""The record of a run, ``run.json``: what was asked, what was read, what made the images.

It holds everything needed to run again, so it is a configuration, too. Paths in it are relative to
the folder that it lies in: a project moves as a whole.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import json
import os
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Self, get_type_hints

from rsaug import __version__
from rsaug.errors import InputError

_DECIDING = ("gsd", "tile_size", "crs", "prompt", "date", "steps", "guidance", "scheduler", "seed")


@dataclass(frozen=True)
class SynthOptions:
    """What a run is asked for; None leaves the choice to the data or the model.

    Attributes:
        roads: Vector file with the roads; like the other vector files, a layer can be named after
            a bar: ``town.gpkg|layername=roads``.
        landcover: Vector file with areas of land cover.
        buildings: Vector file with buildings.
        aoi: Vector file with the area of interest, or "west,south,east,north" in degrees.
        gsd: Side of a pixel in metres.
        tile_size: Side of a tile in pixels.
        crs: Projected CRS.
        prompt: Text for the model.
        style: Image whose look is taken over.
        date: Date of acquisition to imitate.
        variants: Images a tile.
        steps: Denoising steps.
        guidance: Classifier-free guidance scale.
        scheduler: Name of a scheduler.
        seed: Seed of the run.
        model: ``default``, a folder or a hub id.
        device: Where the model runs.
        limit: How many tiles at most.
        all: Make every tile, however many.
        out: Folder of the results; None for `name` in the working directory.

    Raises:
        InputError: for a number that makes no run.
    """

    roads: str
    landcover: str | None = None
    buildings: str | None = None
    aoi: str | None = None
    gsd: float = 0.6
    tile_size: int = 256
    crs: str | None = None
    prompt: str | None = None
    style: str | None = None
    date: dt.date | None = None
    variants: int = 1
    steps: int | None = None
    guidance: float | None = None
    scheduler: str | None = None
    seed: int = 0
    model: str = "default"
    device: str | None = None
    limit: int | None = None
    all: bool = False
    out: str | None = None

    def __post_init__(self) -> None:
        """Check what can be checked without a file or a model."""
        if self.variants < 1:
            raise InputError(f"The number of variants must be at least 1, not {self.variants}.")
        if self.limit is not None and self.limit < 1:
            raise InputError(f"The limit must be at least 1 tile, not {self.limit}.")
        if self.limit is not None and self.all:
            raise InputError(f"A limit of {self.limit} tiles and all tiles exclude each other.")

    @property
    def name(self) -> str:
        """Name of the data set: that of the road file without its endings, and ``-synth``."""
        return f"{Path(_split_layer(self.roads)[0]).name.split('.')[0]}-synth"

    @property
    def folder(self) -> Path:
        """Folder of the results."""
        return Path(self.name if self.out is None else self.out)

    def files(self) -> dict[str, Path]:
        """The files to read, by option."""
        names = ["roads", "landcover", "buildings", "style"]
        if self.aoi is not None and not is_box(self.aoi):
            names.append("aoi")
        given = {name: getattr(self, name) for name in names}
        return {
            name: Path(_split_layer(value)[0]) for name, value in given.items() if value is not None
        }

    def _with_paths(self, move: Callable[[str], str], base: Path) -> Self:
        """The options with every path moved; ``base`` is what they are relative to now."""
        names = [*self.files(), *(["out"] if self.out is not None else [])]
        if self.model != "default" and (base / self.model).is_dir():
            names.append("model")
        moved: dict[str, Any] = {}
        for name in names:
            path, layer = _split_layer(getattr(self, name))
            moved[name] = move(path) + layer
        return replace(self, **moved)


@dataclass(frozen=True)
class Record:
    """What a run was asked and what it worked with.

    Attributes:
        options: Every option, resolved.
        inputs: SHA-256 of each input file, by option.
        generator: What the generator says of itself.
        created: When the data set was begun: ISO 8601, UTC.
        results: What was found in the input and what is made of it, for readers.
    """

    options: SynthOptions
    inputs: Mapping[str, str]
    generator: Mapping[str, object]
    created: str
    results: Mapping[str, object] = field(default_factory=dict)

    def to_json(self) -> bytes:
        """The record as it is written into the folder of the results."""
        folder = self.options.folder.resolve()
        moved = replace(self.options, out=str(folder))._with_paths(
            lambda path: _relative(Path(path).resolve(), folder), Path()
        )
        date = moved.date.isoformat() if moved.date else None
        document = {
            "software": f"rsaug {__version__}",
            "created": self.created,
            "options": asdict(moved) | {"date": date},
            "inputs": dict(self.inputs),
            "generator": dict(self.generator),
            **self.results,
        }
        return (json.dumps(document, indent=2, ensure_ascii=False) + "\n").encode()

    def differences(self, other: Record) -> list[str]:
        """In what another run differs, as far as images can show it, in words."""
        ours, theirs = self._deciding(), other._deciding()
        names = list(dict.fromkeys([*ours, *theirs]))
        return [name for name in names if (ours.get(name) or None) != (theirs.get(name) or None)]

    def _deciding(self) -> dict[str, object]:
        """What decides the images, by a name for readers."""
        box = self.options.aoi if self.options.aoi and is_box(self.options.aoi) else None
        return {
            **{name.replace("_", " "): getattr(self.options, name) for name in _DECIDING},
            "area of interest": box,
            **{f"{name} file": digest for name, digest in self.inputs.items()},
            "weights": self.generator.get("weights_sha256"),
        }


def read_record(path: Path | str, overrides: Mapping[str, Any] | None = None) -> Record:
    """The record in a ``run.json``, or in a hand-written file that has at least ``options``.

    Args:
        path: The file; paths in it are relative to its folder.
        overrides: Options that replace those of the file.

    Raises:
        InputError: if the file is missing, no JSON or not of this form.
    """
    path = Path(path)
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{path} cannot be read as the record of a run ({error}).") from error
    given = document.get("options") if isinstance(document, dict) else None
    if not isinstance(given, dict):
        raise InputError(f"{path} is no record of a run: it has no 'options'.")
    options = _options(path, given)
    folder = path.resolve().parent
    options = options._with_paths(lambda file: _near(folder / file), folder)
    if overrides:
        options = replace(options, **overrides)
    return Record(
        options=options,
        inputs=_dictionary(document, "inputs"),
        generator=_dictionary(document, "generator"),
        created=str(document.get("created") or now()),
    )


def now() -> str:
    """The time, as records have it."""
    return dt.datetime.now(dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def is_box(aoi: str) -> bool:
    """Whether an area of interest is given as four numbers rather than as a file."""
    return aoi.count(",") == 3


def file_sha256(path: Path) -> str:
    """SHA-256 of a file; of a Shapefile, of all its parts in the order of their names.

    Raises:
        InputError: if the file cannot be read.
    """
    parts = [path]
    if path.suffix.lower() == ".shp":
        parts = sorted(part for part in path.parent.glob(f"{path.stem}.*") if part.is_file())
    digest = hashlib.sha256()
    try:
        for part in parts:
            with part.open("rb") as file:
                while block := file.read(1 << 20):
                    digest.update(block)
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror}).") from error
    return digest.hexdigest()


def _options(path: Path, given: Mapping[str, Any]) -> SynthOptions:
    """Options from JSON, their types checked."""
    hints = get_type_hints(SynthOptions)
    values = dict(given)
    for name, value in given.items():
        if name not in hints:
            raise InputError(f"{path} has an option {name!r} that is not known.")
        if name == "date" and isinstance(value, str):
            value = values[name] = _date(path, value)
        # JSON has one kind of number; True is not one.
        whole_for_real = type(value) is int and name in {"gsd", "guidance"}
        is_flag = isinstance(value, bool) and name != "all"
        if is_flag or not (isinstance(value, hints[name]) or whole_for_real):
            raise InputError(f"{path} has {value!r} for the option {name!r}, of a wrong type.")
    if "roads" not in values:
        raise InputError(f"{path} names no road file; add 'roads' to its 'options'.")
    return SynthOptions(**values)


def _date(path: Path, text: str) -> dt.date:
    try:
        return dt.date.fromisoformat(text)
    except ValueError as error:
        raise InputError(f"{path} has {text!r} for a date; write it as 2024-06-01.") from error


def _dictionary(document: Mapping[str, Any], name: str) -> dict[str, Any]:
    value = document.get(name)
    return value if isinstance(value, dict) else {}


def _split_layer(path: str) -> tuple[str, str]:
    """A path and what follows it: the name of a layer after a bar, or nothing."""
    file, bar, layer = path.partition("|")
    return file, bar + layer


def _relative(path: Path, folder: Path) -> str:
    try:
        return Path(os.path.relpath(path, folder)).as_posix()
    except ValueError:  # on another drive
        return path.as_posix()


def _near(path: Path) -> str:
    """A path relative to the working directory where it lies under it, else absolute."""
    path, here = path.resolve(), Path.cwd()
    return str(path.relative_to(here) if path.is_relative_to(here) else path)
