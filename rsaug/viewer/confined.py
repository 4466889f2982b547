"""Files of a folder that may hold anything: what lies in it, and nothing that a link leads to."""

from __future__ import annotations

import json
import posixpath
import stat
from pathlib import Path, PurePosixPath
from typing import Any

MOST_JSON_BYTES = 64 << 20
"""A larger JSON file is not read: nothing that rsaug writes of one image comes near."""


class Confined:
    """A folder that files are looked up in, by paths that others wrote.

    Args:
        root: The folder; it may itself be reached by a link.
    """

    def __init__(self, root: Path) -> None:
        self.root = root.resolve()

    def file(self, relative: str) -> Path | None:
        """A regular file under the folder; None for what is none, or is reached by a link.

        Args:
            relative: Path as seen from the folder, with ``/``.
        """
        parts = PurePosixPath(posixpath.normpath(relative)).parts
        if not parts or parts[0] in ("/", "//", "..") or "\0" in relative or "\\" in relative:
            return None
        path = self.root
        try:
            for part in parts[:-1]:
                path = path / part
                if not stat.S_ISDIR(path.lstat().st_mode):
                    return None
            path = path / parts[-1]
            return path if stat.S_ISREG(path.lstat().st_mode) else None
        except (OSError, ValueError):
            return None

    def names(self, folder: str, suffix: str) -> list[str]:
        """Names of the regular files in a folder under this one that end so, in order."""
        place = self.root / folder
        try:
            if not stat.S_ISDIR(place.lstat().st_mode):
                return []
            found = [path.name for path in place.iterdir() if path.name.endswith(suffix)]
        except OSError:
            return []
        return sorted(name for name in found if self.file(f"{folder}/{name}") is not None)

    def read(self, relative: str, most: int = MOST_JSON_BYTES) -> bytes | None:
        """Content of a file under the folder; None where there is none, or it is above ``most``."""
        path = self.file(relative)
        try:
            if path is None or path.stat().st_size > most:
                return None
            return path.read_bytes()
        except OSError:
            return None

    def json(self, relative: str) -> dict[str, Any] | None:
        """An object in a JSON file under the folder; None where there is none that can be read."""
        content = self.read(relative)
        if content is None:
            return None
        try:
            document = json.loads(content)
        except (ValueError, RecursionError):
            return None
        return document if isinstance(document, dict) else None
