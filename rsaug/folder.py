"""The folder of a run: where each file lies, and which files are there already."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from rsaug.errors import InputError, OutputError
from rsaug.jsontext import parse_json
from rsaug.storage import AnyPath, Entry, alone, entries, read, size_of, told

ROOMS = ("images", "masks", "conditions", "items")
"""Folders of a run of ``rsaug synth``."""


@dataclass(frozen=True)
class RunFolder:
    """Paths of a run's results.

    Attributes:
        root: The folder.
    """

    root: AnyPath

    @property
    def record(self) -> AnyPath:
        """What the run was asked."""
        return self.root / "run.json"

    @property
    def collection(self) -> AnyPath:
        """The STAC collection."""
        return self.root / "collection.json"

    @property
    def manifest(self) -> AnyPath:
        """The items as a table."""
        return self.root / "manifest.parquet"

    @property
    def model(self) -> AnyPath:
        """The generator as a STAC item."""
        return self.root / "model.json"

    def mosaic(self, variant: int) -> AnyPath:
        """All images of a variant as one."""
        return self.root / f"{item_name('mosaic', variant)}.tif"

    @property
    def mosaic_mask(self) -> AnyPath:
        """All road masks as one."""
        return self.root / "mosaic_mask.tif"

    def image(self, item: str) -> AnyPath:
        """Image of an item."""
        return self.root / "images" / f"{item}.tif"

    def mask(self, tile: str) -> AnyPath:
        """Road mask of a tile."""
        return self.root / "masks" / f"{tile}.tif"

    def conditions(self, tile: str) -> AnyPath:
        """Control stack of a tile."""
        return self.root / "conditions" / f"{tile}.tif"

    def item(self, item: str) -> AnyPath:
        """STAC item."""
        return self.root / "items" / f"{item}.json"

    @property
    def quarantine(self) -> AnyPath:
        """Notes on what could not be made."""
        return self.root / "quarantine"

    def quarantined(self, item: str) -> AnyPath:
        """Why an image could not be made."""
        return self.quarantine / f"{item}.json"

    def href(self, path: AnyPath) -> str:
        """A file of the run as its items name it."""
        inside = PurePosixPath(path.as_posix()).relative_to(self.root.as_posix())
        return f"../{inside}"

    def asset(self, href: str) -> AnyPath | None:
        """The file that an item of the run names; None if that lies outside of the run."""
        inside = PurePosixPath(posixpath.normpath(posixpath.join("items", href)))
        if inside.is_absolute() or ".." in inside.parts or "://" in href:
            return None
        root = self.root
        # A link may lead elsewhere.
        if isinstance(root, Path) and not (root / inside).resolve().is_relative_to(root.resolve()):
            return None
        return root / inside

    def check(self) -> None:
        """Refuse a folder that is something else than the folder of a run.

        Raises:
            InputError: if it is a file, or holds files but no record of a run, or is in a store
                that cannot be reached.
        """
        try:
            with told(self.root):
                there = self.root.exists()
                is_file = there and not self.root.is_dir()
                strange = (
                    there and not is_file and not self.record.exists() and any(self.root.iterdir())
                )
        except OSError as error:
            raise InputError(f"{self.root} cannot be looked into ({error.strerror}).") from error
        if is_file:
            raise InputError(f"{self.root} is a file, a folder is needed; name another one.")
        if strange:
            raise InputError(
                f"{self.root} is not empty and holds no run.json, so it is not the folder of a "
                "run; name another one."
            )

    @contextmanager
    def opened(self, rooms: Sequence[str] = ROOMS) -> Iterator[None]:
        """Inside, the folder is there, is this process's alone, and without what was unfinished.

        In a store there is nothing to make or to clear away, and nothing is held: two runs at once
        do the same twice.

        Args:
            rooms: Folders in it.

        Raises:
            InputError: if another run is at work in it.
            OutputError: if it cannot be made.
        """
        root = self.root
        if isinstance(root, Path):
            _make([root])
        with alone(root) as is_free:
            if not is_free:
                raise InputError(
                    f"Another run is at work in {root}; wait until it is done, or name another "
                    "folder."
                )
            self.prepare(rooms)
            yield

    def prepare(self, rooms: Sequence[str] = ROOMS) -> None:
        """Make the folders of a folder here, and remove what a killed run left unfinished.

        Raises:
            OutputError: if that is not possible.
        """
        if isinstance(self.root, Path):
            folders = [self.root, *(self.root / room for room in rooms)]
            _make(folders)
            _clear(folders)

    def holds(self, item: str, key: str) -> bool:
        """Whether an item is there, made from what ``key`` stands for, with all its files."""
        content = self._read_item(item)
        try:
            return content["properties"]["rsaug:key"] == key and self._has_files(content)
        except (KeyError, TypeError, AttributeError):
            return False

    def discard_broken(self, item: str, key: str) -> None:
        """Remove files of an item, made from what ``key`` stands for, that have another size.

        Whatever was begun after the item has another key; these were altered since.

        Raises:
            OSError: if one cannot be removed.
        """
        content = self._read_item(item)
        with suppress(KeyError, TypeError, AttributeError):
            if content["properties"]["rsaug:key"] == key:
                for asset in content["assets"].values():
                    path = self.asset(asset["href"])
                    if path is not None and not _has_size(path, asset["file:size"]):
                        path.unlink(missing_ok=True)

    def discard(self, item: str, tile: str) -> None:
        """Remove an image, the labels of its tile and its item, which comes first.

        Raises:
            OSError: if one cannot be removed.
        """
        for path in (self.item(item), self.image(item), self.mask(tile), self.conditions(tile)):
            path.unlink(missing_ok=True)

    def is_whole(self, item: str) -> bool:
        """Whether an item is there with all its files, whatever it was made from."""
        return self._has_files(self._read_item(item))

    def _has_files(self, content: dict[str, Any]) -> bool:
        """Whether the files of an item are there in the sizes that it says; it has some."""
        try:
            assets = content["assets"].values()
            return len(assets) > 0 and all(
                (path := self.asset(asset["href"])) is not None
                and _has_size(path, asset["file:size"])
                for asset in assets
            )
        except (KeyError, TypeError, AttributeError):
            return False

    def items(self, names: list[str]) -> Iterator[dict[str, Any]]:
        """Contents of the items of these names."""
        for name in names:
            yield self._read_item(name)

    def item_files(self) -> list[Entry]:
        """The files of the items that are there, by name.

        Raises:
            OSError: if the folder cannot be read.
        """
        return entries(self.root / "items", ".json")

    def item_names(self) -> list[str]:
        """Names of the items that are there.

        Raises:
            OSError: if the folder cannot be read.
        """
        return [file.name.removesuffix(".json") for file in self.item_files()]

    def strangers(self, names: list[str]) -> int:
        """How many items there are besides these."""
        return len({*self.item_names()} - {*names})

    def read_record(self) -> dict[str, Any]:
        """What the record says, of which nothing is checked; empty where it is no JSON object.

        Raises:
            InputError: if there is none, or it cannot be read.
        """
        try:
            content = parse_json(read(self.record))
        except FileNotFoundError as error:
            raise InputError(
                f"{self.root} has no run.json, so it is not the folder of a run."
            ) from error
        except (OSError, ValueError) as error:
            raise InputError(
                f"{self.record} is no record of a run: it cannot be read as a record ({error})."
            ) from error
        return content if isinstance(content, dict) else {}

    def _read_item(self, item: str) -> dict[str, Any]:
        """Content of an item; empty where there is none that can be read."""
        try:
            content = parse_json(read(self.item(item)))
        except (OSError, ValueError):
            return {}
        return content if isinstance(content, dict) else {}


def _has_size(path: AnyPath, size: int) -> bool:
    try:
        return size_of(path) == size
    except OSError:
        return False


def _make(folders: Sequence[Path]) -> None:
    for folder in folders:
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OutputError(f"{folder} cannot be written to ({error.strerror}).") from error


def _clear(folders: Sequence[Path]) -> None:
    """Remove what a killed run left unfinished."""
    for folder in folders:
        for part in folder.glob(".*.part"):
            try:
                part.unlink(missing_ok=True)
            except OSError as error:
                raise OutputError(f"{part} cannot be removed ({error.strerror}).") from error


def item_name(tile: str, variant: int) -> str:
    """Name of an image: that of its tile, and ``_v1``, ``_v2`` from the second one on."""
    return f"{tile}_v{variant}" if variant else tile
