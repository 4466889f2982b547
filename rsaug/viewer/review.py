"""Which images a person accepted or rejected, kept in the folder of the run.

``review/decisions.json`` is the record. The column ``rsaug:review`` of the manifest and
``review/scores.json``, for training, are drawn from it each time, so that a crash between two of
them, or a manifest that ``rsaug synth`` wrote anew, is put right by the next decision.
"""

from __future__ import annotations

import datetime as dt
import io
import json
import os
import threading
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from rsaug.errors import InputError, OutputError
from rsaug.files import write_whole
from rsaug.storage import alone
from rsaug.viewer.confined import Confined

ACCEPTED, REJECTED = "accepted", "rejected"
COLUMN = "rsaug:review"
FOLDER = "review"
DECISIONS, SCORES = "decisions.json", "scores.json"

_MOST_MANIFEST_BYTES = 1 << 30
_TOLD = 80
"""So many characters of what was given are told of."""


class BusyError(OutputError):
    """A run is at work in the folder, so nothing may be written now."""


class Review:
    """The decisions on the images of a run.

    Args:
        folder: Of the run.
        names: Its images.
        dropped: Those that ``rsaug filter`` dropped: they count as 0 until they are accepted.
    """

    def __init__(
        self, folder: Confined, names: Collection[str], dropped: Collection[str] = ()
    ) -> None:
        self._folder, self._names, self._dropped = folder, tuple(names), {*dropped}
        self._lock = threading.Lock()

    @property
    def can_write(self) -> bool:
        """Whether decisions can be kept."""
        return os.access(self._folder.root, os.W_OK)

    def verdicts(self) -> dict[str, str]:
        """Verdicts by name of the image: ``accepted`` or ``rejected``."""
        return {name: entry["verdict"] for name, entry in self._read().items()}

    def decide(self, verdicts: Mapping[str, str | None]) -> dict[str, str]:
        """Keep verdicts, on the disk when this returns; None takes one back.

        Args:
            verdicts: By name of the image.

        Returns:
            All verdicts.

        Raises:
            InputError: if a name is no image of the run, or a verdict none.
            BusyError: if a run is at work in the folder.
            OutputError: if they cannot be written; the last ones stay.
        """
        known = {*self._names}
        for name, verdict in verdicts.items():
            if name not in known:
                raise InputError(f"The run has no image {name[:_TOLD]!r}.")
            if verdict not in (ACCEPTED, REJECTED, None):
                raise InputError(f"{verdict[:_TOLD]!r} is no verdict; {ACCEPTED} or {REJECTED} is.")
        with self._lock, alone(self._folder.root) as is_free:
            if not is_free:
                raise BusyError(
                    f"A run is at work in {self._folder.root}; decide when it has come to its end."
                )
            entries = self._read()
            now = dt.datetime.now(dt.UTC).isoformat(timespec="seconds")
            for name, verdict in verdicts.items():
                entries.pop(name, None)
                if verdict is not None:
                    entries[name] = {"verdict": verdict, "when": now}
            self._write(entries)
        return {name: entry["verdict"] for name, entry in entries.items()}

    def scores(self, verdicts: Mapping[str, str]) -> dict[str, int]:
        """1 for each image to train on and 0 for the others; without a verdict the filter's."""
        says = {ACCEPTED: 1, REJECTED: 0}
        return {
            name: says[verdicts[name]] if name in verdicts else int(name not in self._dropped)
            for name in self._names
        }

    def _read(self) -> dict[str, dict[str, Any]]:
        """Verdicts that are on the disk, of images of the run."""
        document = self._folder.json(f"{FOLDER}/{DECISIONS}") or {}
        known = {*self._names}
        return {
            name: entry
            for name, entry in document.items()
            if name in known
            and isinstance(entry, dict)
            and entry.get("verdict") in (ACCEPTED, REJECTED)
        }

    def _write(self, entries: Mapping[str, Mapping[str, Any]]) -> None:
        root = self._folder.root
        place = root / FOLDER
        if place.is_symlink() or (root / "manifest.parquet").is_symlink():
            raise OutputError(f"{place} or the manifest is a link; nothing is written through one.")
        verdicts = {name: str(entry["verdict"]) for name, entry in entries.items()}
        try:
            place.mkdir(exist_ok=True)
        except OSError as error:
            raise OutputError(f"{place} cannot be made ({error.strerror}).") from error
        manifest = self._manifest(verdicts)
        _write(place / DECISIONS, dict(sorted(entries.items())))
        if manifest is not None:
            write_whole(root / "manifest.parquet", manifest)
        _write(place / SCORES, self.scores(verdicts))
        for folder in (place, root):
            _keep_names(folder)

    def _manifest(self, verdicts: Mapping[str, str]) -> bytes | None:
        """The manifest with the column of verdicts; None while the run has none.

        Raises:
            OutputError: if it cannot be read.
        """
        content = self._folder.read("manifest.parquet", _MOST_MANIFEST_BYTES)
        if content is None:
            return None
        try:
            table = pq.read_table(io.BytesIO(content))
            names = table.column("id").to_pylist()
            column = pa.array([verdicts.get(name) for name in names], pa.string())
            if COLUMN in table.column_names:
                table = table.drop_columns([COLUMN])
            # The metadata of the schema, GeoParquet's and STAC's, stays with it.
            table = table.append_column(pa.field(COLUMN, pa.string()), column)
            out = io.BytesIO()
            pq.write_table(table, out, compression="zstd")
        except (pa.ArrowException, KeyError, OSError) as error:
            path = self._folder.root / "manifest.parquet"
            raise OutputError(f"{path} cannot be read as a table ({error}).") from error
        return out.getvalue()


def _write(path: Path, document: Mapping[str, Any]) -> None:
    write_whole(path, (json.dumps(document, indent=0) + "\n").encode())


def _keep_names(folder: Path) -> None:
    """Bring to the disk under which names files lie in a folder."""
    if os.name == "nt":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
