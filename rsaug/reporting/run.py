"""What a run's folder holds, read with no trust in it: the record and its images.

Of what cannot be read it is said so, and the rest is read.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from rsaug.errors import InputError
from rsaug.folder import RunFolder
from rsaug.jsontext import parse_json
from rsaug.quarantine import Failure, failures
from rsaug.storage import AnyPath, entries, place, read

Kind = Literal["synth", "conditions", "restyle", "inpaint", "upscale"]

EDITS: tuple[Kind, ...] = ("restyle", "inpaint", "upscale")
"""Commands that work on real images."""

ROOMS = ("", "images", "masks", "conditions", "filled", "labels", "items", "content", "channels")
_RASTERS = ("image", "mask", "conditions", "labels", "filled")

Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class Piece:
    """One image of a run, or one tile where none are made.

    Attributes:
        name: Its name.
        tile: Name of its tile.
        variant: Which of the images of its tile.
        files: Its rasters by what they are, as far as they lie in the run.
        said: What its item says, by name; empty for a run without items.
        box: (left, bottom, right, top) in the CRS; None where that is not known.
        crs: Code of the CRS; "" where that is not known.
        whole: Whether all files are there in the sizes that the item says.
        written: When it was written, seconds since 1970.
    """

    name: str
    tile: str
    variant: int
    files: Mapping[str, AnyPath]
    said: Mapping[str, Any]
    box: Box | None
    crs: str
    whole: bool
    written: float

    @property
    def road_share(self) -> float | None:
        """Share of the tile that is road, from 0 to 1, as its item says."""
        value = number(self.said.get("rsaug:road_fraction"))
        return value if value is not None and 0 <= value <= 1 else None

    @property
    def seed(self) -> int | None:
        """Its seed."""
        value = self.said.get("rsaug:seed")
        return value if isinstance(value, int) and not isinstance(value, bool) else None


@dataclass(frozen=True)
class Run:
    """A run as its folder tells it.

    Attributes:
        folder: Where it is.
        kind: The command that made it.
        record: Content of ``run.json``.
        pieces: Its images by name.
        asked: How many it is to have.
        unreadable: Names of items that cannot be read.
        failed: What could not be made.
        besides: Images that the collection does not list.
        bytes: Size of all files.
    """

    folder: RunFolder
    kind: Kind
    record: Mapping[str, Any]
    pieces: tuple[Piece, ...]
    asked: int
    unreadable: tuple[str, ...] = ()
    failed: tuple[Failure, ...] = ()
    besides: int = 0
    bytes: int = 0

    @property
    def name(self) -> str:
        """What it is called: the name of its folder."""
        root = self.folder.root
        return (root.resolve() if isinstance(root, Path) else root).name

    @property
    def noun(self) -> str:
        """What it makes, of one."""
        return "tile" if self.kind == "conditions" else "image"

    @property
    def missing(self) -> int:
        """How many images are still to be made, those that failed with them."""
        return max(0, self.asked - sum(piece.whole for piece in self.pieces))

    @property
    def options(self) -> Mapping[str, Any]:
        """What was asked."""
        return mapping(self.record, "options")

    @property
    def generator(self) -> Mapping[str, Any]:
        """What the generator says of itself."""
        return mapping(self.record, "generator")


def read_run(where: AnyPath | str) -> Run:
    """The run in a folder.

    Raises:
        InputError: if it is not the folder of a run of ``rsaug synth``, ``conditions``,
            ``restyle``, ``inpaint`` or ``upscale``.
    """
    folder = RunFolder(place(where))
    record = folder.read_record()
    if not isinstance(record.get("options"), dict):
        raise InputError(f"{folder.record} is no record of a run: it has no 'options'.")
    kind = _kind(folder, record)
    try:
        pieces, unreadable = _edited(folder, record) if kind in EDITS else _items(folder)
        failed = tuple(failures(folder))
        size = sum(file.size for room in ROOMS for file in entries(_room(folder, room)))
    except OSError as error:
        raise InputError(f"{folder.root} cannot be read ({error.strerror}).") from error
    return Run(
        folder=folder,
        kind=kind,
        record=record,
        pieces=pieces,
        asked=_asked(kind, record),
        unreadable=unreadable,
        failed=failed,
        besides=_besides(folder, {piece.name for piece in pieces}),
        bytes=size,
    )


def mapping(content: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """A mapping in a mapping; empty where there is none."""
    value = content.get(name)
    return value if isinstance(value, Mapping) else {}


def number(value: object) -> float | None:
    """A finite number; None for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if math.isfinite(value) else None


def counts(content: Mapping[str, Any], name: str) -> dict[str, float]:
    """Numbers above 0 by name, of a mapping in a mapping; what is none is left out."""
    found = ((str(key), number(value)) for key, value in mapping(content, name).items())
    return {key: value for key, value in found if value is not None and value > 0}


def _kind(folder: RunFolder, record: Mapping[str, Any]) -> Kind:
    command = record.get("command")
    for edit in EDITS:
        if command == edit:
            return edit
    if command not in (None, "synth", "conditions"):
        raise InputError(
            f"{folder.root} holds a run of rsaug {command}; reports are made of synth, "
            "conditions, restyle, inpaint and upscale."
        )
    return "synth" if "images" in record else "conditions"


def _asked(kind: Kind, record: Mapping[str, Any]) -> int:
    value = record.get("tiles" if kind == "conditions" else "images")
    if isinstance(value, list):
        return len(value)
    return int(number(value) or 0)


def _items(folder: RunFolder) -> tuple[tuple[Piece, ...], tuple[str, ...]]:
    """The pieces of a run with items, and the names of items that cannot be read."""
    pieces, unreadable = [], []
    for file in folder.item_files():
        name = file.name.removesuffix(".json")
        try:
            item = parse_json(read(folder.item(name)))
            said, assets = item["properties"], item["assets"]
            files = dict(_assets(folder, assets))
            tile = str(said.get("rsaug:tile", name))
            variant = int(number(said.get("rsaug:variant")) or 0)
            box, crs = _box(said.get("proj:bbox")), said.get("proj:code")
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            unreadable.append(name)
            continue
        whole = folder.is_whole(name)
        crs = crs if isinstance(crs, str) else ""
        pieces.append(Piece(name, tile, variant, files, said, box, crs, whole, file.modified))
    return tuple(pieces), tuple(unreadable)


def _assets(folder: RunFolder, assets: Mapping[str, Any]) -> Iterator[tuple[str, AnyPath]]:
    for what in _RASTERS:
        if what in assets and (path := folder.asset(str(assets[what]["href"]))) is not None:
            yield what, path


def _edited(
    folder: RunFolder, record: Mapping[str, Any]
) -> tuple[tuple[Piece, ...], tuple[str, ...]]:
    """The pieces of a run that edited images: what lies in ``images`` and is in the record."""
    listed = record.get("images")
    seeds = {
        str(image["name"]): image.get("seed")
        for image in (listed if isinstance(listed, list) else ())
        if isinstance(image, dict) and "name" in image
    }
    rooms = {"mask": "masks", "conditions": "conditions", "filled": "filled"}
    there = {
        room: {f.name.removesuffix(".tif") for f in entries(folder.root / room, ".tif")}
        for room in rooms.values()
    }
    pieces = []
    for file in entries(folder.root / "images", ".tif"):
        name = file.name.removesuffix(".tif")
        hrefs = {"image": f"../images/{file.name}"} | {
            what: f"../{room}/{file.name}" for what, room in rooms.items() if name in there[room]
        }
        found = {what: folder.asset(href) for what, href in hrefs.items()}
        files = {what: path for what, path in found.items() if path is not None}
        said = {"rsaug:seed": seeds.get(name)}
        pieces.append(Piece(name, name, 0, files, said, None, "", True, file.modified))
    return tuple(pieces), ()


def _box(value: object) -> Box | None:
    if not isinstance(value, list) or len(value) != 4:
        return None
    edges = [number(edge) for edge in value]
    left, bottom, right, top = edges
    if left is None or bottom is None or right is None or top is None:
        return None
    return (left, bottom, right, top) if left < right and bottom < top else None


def _besides(folder: RunFolder, names: set[str]) -> int:
    """How many pieces the collection does not list, where there is one."""
    try:
        links = parse_json(read(folder.collection))["links"]
        listed = {Path(str(link["href"])).stem for link in links if link.get("rel") == "item"}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return 0
    return len(names - listed)


def _room(folder: RunFolder, room: str) -> AnyPath:
    return folder.root / room if room else folder.root
