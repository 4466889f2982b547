"""Where results lie: in a folder of this machine, or in an object store under the same names.

A store's paths are those of universal-pathlib over fsspec. Only stores are written to in which an
object appears whole or not at all; what else is mounted looks like a folder.
"""

from __future__ import annotations

import contextlib
import errno
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from rsaug.errors import InputError
from rsaug.optional import require

if TYPE_CHECKING:
    from upath import UPath

AnyPath: TypeAlias = "Path | UPath"
"""A path here, or in a store."""

_STORES = ("s3", "s3a", "gs", "gcs", "az", "abfs", "abfss", "memory")
"""Protocols of fsspec whose writes are atomic: https://filesystem-spec.readthedocs.io."""

_WEB = ("http", "https")


@dataclass(frozen=True)
class Entry:
    """A file in a folder.

    Attributes:
        name: Its name.
        size: Bytes.
        modified: When it was written, seconds since 1970; 0 where the store does not say.
    """

    name: str
    size: int
    modified: float


def in_store(text: str) -> bool:
    """Whether a text is an address in an object store."""
    return text.partition("://")[0].lower() in _STORES and "://" in text


def is_remote(text: str) -> bool:
    """Whether a text is an address that files are read from, in a store or on the web."""
    return in_store(text) or (text.partition("://")[0].lower() in _WEB and "://" in text)


def place(where: AnyPath | str) -> AnyPath:
    """The path that a text means: ``s3://bucket/folder`` in a store, anything else here.

    Raises:
        InputError: for an address that is in no store, or in one whose library is not installed.
        MissingExtra: without universal-pathlib.
    """
    if not isinstance(where, str):
        return where
    if not in_store(where):
        if "://" in where:
            raise InputError(
                f"{where} cannot be a folder of results: it is neither on this machine nor in one "
                f"of the stores {', '.join(f'{name}://' for name in _STORES[:-1])}."
            )
        return Path(where)
    return remote_path(where)


def remote_path(address: str) -> UPath:
    """The path of an address in a store or on the web.

    Raises:
        InputError: if the library of its protocol is not installed.
        MissingExtra: without universal-pathlib.
    """
    upath = require("upath", extra="s3")
    try:
        # Another worker may have written since a folder was listed.
        path: UPath = upath.UPath(address.rstrip("/"), use_listings_cache=False)
        path.fs  # noqa: B018  # makes the connection, for which the library is needed
    except ImportError as error:
        raise InputError(f"{address} cannot be reached: {error}.") from error
    except ValueError as error:
        raise InputError(f"{address} is no address ({error}).") from error
    return path


def read(path: AnyPath, size: int | None = None) -> bytes:
    """Content of a file, or its first ``size`` bytes.

    Raises:
        OSError: if it cannot be read, also for what a store's library raises of its own.
    """
    if isinstance(path, Path):
        with path.open("rb") as file:
            return file.read(-1 if size is None else size)
    with told(path):
        part = {} if size is None else {"start": 0, "end": size}
        content: bytes = path.fs.cat_file(path.path, **part)
        return content


def write(path: UPath, content: bytes) -> None:
    """Put an object into a store, whole or not at all.

    Raises:
        OSError: if that is not possible.
    """
    with told(path):
        path.fs.pipe_file(path.path, content)


def publish(file: Path, target: AnyPath) -> None:
    """Give a finished file its place, whole or not at all; it is gone from where it was.

    Args:
        file: Where a target here is, in the same folder.
        target: Its place.

    Raises:
        OSError: if that is not possible.
    """
    if isinstance(target, Path):
        file.replace(target)
        return
    with told(target):
        target.fs.put_file(str(file), target.path)
    file.unlink()


def size_of(path: AnyPath) -> int:
    """Bytes of a file.

    Raises:
        OSError: if there is none.
    """
    if isinstance(path, Path):
        return path.stat().st_size
    with told(path):
        return int(path.fs.info(path.path)["size"])


def entries(folder: AnyPath, suffix: str = "") -> list[Entry]:
    """Files in a folder whose names end so, by name; none where there is no such folder.

    Raises:
        OSError: if the folder cannot be read.
    """
    if isinstance(folder, Path):
        found = []
        with contextlib.suppress(FileNotFoundError), os.scandir(folder) as scan:
            for file in scan:
                if file.name.endswith(suffix) and file.is_file():
                    status = file.stat()
                    found.append(Entry(file.name, status.st_size, status.st_mtime))
        return sorted(found, key=lambda entry: entry.name)
    with told(folder):
        try:
            listed = folder.fs.ls(folder.path, detail=True)
        except FileNotFoundError:
            return []
    files = (info for info in listed if info["type"] == "file" and info["name"].endswith(suffix))
    named = (Entry(info["name"].rsplit("/", 1)[-1], info["size"], _when(info)) for info in files)
    return sorted(named, key=lambda entry: entry.name)


def _when(info: dict[str, object]) -> float:
    for name in ("LastModified", "last_modified", "mtime", "updated", "created"):
        moment = info.get(name)
        if isinstance(moment, int | float):
            return float(moment)
        if moment is not None and hasattr(moment, "timestamp"):
            return float(moment.timestamp())
    return 0.0


@contextmanager
def told(path: AnyPath) -> Iterator[None]:
    """Inside, whatever a store's library raises is an OSError that names the path."""
    try:
        yield
    except OSError as error:
        cause = error.__cause__
        if isinstance(cause, OSError) and not isinstance(cause, FileNotFoundError):
            # Of the web everything is called not found, also what cannot be reached.
            raise OSError(cause.errno or errno.EIO, _text(cause), str(path)) from error
        if error.strerror is None:
            number = next((n for kind, n in _NUMBERS.items() if isinstance(error, kind)), errno.EIO)
            raise OSError(number, _text(error), str(path)) from error
        raise
    except Exception as error:
        raise OSError(errno.EIO, _text(error), str(path)) from error


_NUMBERS = {FileNotFoundError: errno.ENOENT, PermissionError: errno.EACCES}


def _text(error: Exception) -> str:
    return str(error).strip().rstrip(".") or type(error).__name__


@contextmanager
def alone(folder: AnyPath) -> Iterator[bool]:
    """Holds a folder for this process alone; False inside if another process holds it.

    The hold ends with the process, however that ends. Stores and file systems that cannot hold
    anything are not held: there True is said without being known.
    """
    if not isinstance(folder, Path) or sys.platform == "win32":
        yield True
        return
    import fcntl

    handle = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            free = True
        except OSError as error:
            free = error.errno not in (errno.EAGAIN, errno.EWOULDBLOCK, errno.EACCES)
        yield free
    finally:
        os.close(handle)
