"""The folder of a run: where each file lies, and which files are there already."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rsaug.errors import InputError, OutputError

ROOMS = ("images", "masks", "conditions", "items")
"""Folders of a run of ``rsaug synth``."""


@dataclass(frozen=True)
class RunFolder:
    """Paths of a run's results.

    Attributes:
        root: The folder.
    """

    root: Path

    @property
    def record(self) -> Path:
        """What the run was asked."""
        return self.root / "run.json"

    @property
    def collection(self) -> Path:
        """The STAC collection."""
        return self.root / "collection.json"

    @property
    def manifest(self) -> Path:
        """The items as a table."""
        return self.root / "manifest.parquet"

    def mosaic(self, variant: int) -> Path:
        """All images of a variant as one."""
        return self.root / f"{item_name('mosaic', variant)}.tif"

    @property
    def mosaic_mask(self) -> Path:
        """All road masks as one."""
        return self.root / "mosaic_mask.tif"

    def image(self, item: str) -> Path:
        """Image of an item."""
        return self.root / "images" / f"{item}.tif"

    def mask(self, tile: str) -> Path:
        """Road mask of a tile."""
        return self.root / "masks" / f"{tile}.tif"

    def conditions(self, tile: str) -> Path:
        """Control stack of a tile."""
        return self.root / "conditions" / f"{tile}.tif"

    def item(self, item: str) -> Path:
        """STAC item."""
        return self.root / "items" / f"{item}.json"

    @property
    def quarantine(self) -> Path:
        """Notes on what could not be made."""
        return self.root / "quarantine"

    def quarantined(self, item: str) -> Path:
        """Why an image could not be made."""
        return self.quarantine / f"{item}.json"

    def check(self) -> None:
        """Refuse a folder that is something else than the folder of a run.

        Raises:
            InputError: if it is a file, or holds files but no record of a run.
        """
        if not self.root.exists():
            return
        if not self.root.is_dir():
            raise InputError(f"{self.root} is a file, a folder is needed; name another one.")
        if not self.record.exists() and any(self.root.iterdir()):
            raise InputError(
                f"{self.root} is not empty and holds no run.json, so it is not the folder of a "
                "run; name another one."
            )

    def open(self, rooms: Sequence[str] = ROOMS) -> None:
        """Make the folder, and remove what a killed run left unfinished.

        Args:
            rooms: Folders in it.

        Raises:
            OutputError: if that is not possible.
        """
        try:
            for room in (self.root / name for name in rooms):
                room.mkdir(parents=True, exist_ok=True)
                for part in room.glob(".*.part"):
                    part.unlink()
            for part in self.root.glob(".*.part"):
                part.unlink()
        except OSError as error:
            raise OutputError(f"{self.root} cannot be written to ({error.strerror}).") from error

    def holds(self, item: str, key: str) -> bool:
        """Whether an item is there, made from what ``key`` stands for, with all its files."""
        content = self._read_item(item)
        try:
            return content["properties"]["rsaug:key"] == key and self._has_files(content)
        except (KeyError, TypeError, AttributeError):
            return False

    def is_whole(self, item: str) -> bool:
        """Whether an item is there with all its files, whatever it was made from."""
        return self._has_files(self._read_item(item))

    def _has_files(self, content: dict[str, Any]) -> bool:
        """Whether the files of an item are there in the sizes that it says; it has some."""
        try:
            assets = content["assets"].values()
            return len(assets) > 0 and all(
                (self.root / "items" / asset["href"]).stat().st_size == asset["file:size"]
                for asset in assets
            )
        except (KeyError, TypeError, AttributeError, OSError):
            return False

    def items(self, names: list[str]) -> Iterator[dict[str, Any]]:
        """Contents of the items of these names."""
        for name in names:
            yield self._read_item(name)

    def strangers(self, names: list[str]) -> int:
        """How many items there are besides these."""
        return len({path.stem for path in (self.root / "items").glob("*.json")} - {*names})

    def _read_item(self, item: str) -> dict[str, Any]:
        """Content of an item; empty where there is none that can be read."""
        try:
            content = json.loads(self.item(item).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return content if isinstance(content, dict) else {}


def item_name(tile: str, variant: int) -> str:
    """Name of an image: that of its tile, and ``_v1``, ``_v2`` from the second one on."""
    return f"{tile}_v{variant}" if variant else tile
