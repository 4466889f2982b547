"""What could not be made: put aside with the reason, while the rest of the run goes on."""

from __future__ import annotations

import datetime as dt
import json
import traceback
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from rsaug.errors import OutputError
from rsaug.files import write_whole
from rsaug.folder import RunFolder
from rsaug.jsontext import parse_json
from rsaug.storage import entries, read


@dataclass(frozen=True)
class Failure:
    """An image that could not be made.

    Attributes:
        item: Its name.
        reason: Why.
        time: When, ISO 8601, UTC.
    """

    item: str
    reason: str
    time: str


def put_aside(folder: RunFolder, item: str, error: BaseException) -> str:
    """Note why an image cannot be made; the reason in words.

    What can only be mended outside, a full disk or memory, is raised instead: it would be the same
    for every image.

    Raises:
        OutputError: if that is what the error is, or the note cannot be written.
        MemoryError: likewise.
    """
    if isinstance(error, OutputError | MemoryError):
        raise error
    reason = str(error).strip() or type(error).__name__
    note = {
        "item": item,
        "reason": reason,
        "error": type(error).__name__,
        "time": dt.datetime.now(dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "trace": "".join(traceback.format_exception(error)),
    }
    text = json.dumps(note, indent=2, ensure_ascii=False)
    if isinstance(folder.quarantine, Path):
        folder.quarantine.mkdir(exist_ok=True)
    write_whole(folder.quarantined(item), f"{text}\n".encode())
    return reason


def failures(folder: RunFolder) -> Iterator[Failure]:
    """What could not be made in a folder, by name."""
    for file in entries(folder.quarantine, ".json"):
        try:
            note = parse_json(read(folder.quarantine / file.name))
            yield Failure(str(note["item"]), str(note["reason"]), str(note["time"]))
        except (OSError, ValueError, KeyError, TypeError):
            item = file.name.removesuffix(".json")
            yield Failure(item, "unknown: the note of it cannot be read", "")
