"""Input files that lie elsewhere: in an object store or on the web, brought here to be read."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import secrets
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from rsaug.errors import InputError
from rsaug.storage import remote_path, told

if TYPE_CHECKING:
    from upath import UPath

_BESIDE = (".shx", ".dbf", ".prj", ".cpg")
"""Further files of a Shapefile."""

_VERSION = ("ETag", "etag", "md5Hash", "content_md5", "LastModified", "last_modified", "mtime")
"""What stores call that which changes with a file's content."""


def fetch(address: str) -> Path:
    """A copy of a remote file in the cache, of a Shapefile with the files beside it.

    A copy that is there is taken if the store says that the file has not changed since.

    Args:
        address: As in ``s3://bucket/roads.gpkg`` or ``https://example.org/roads.geojson``.

    Raises:
        InputError: if there is no such file, it cannot be reached, or there is no space for it.
        MissingExtra: if the library for it is not installed.
    """
    try:
        files = [*_files(remote_path(address))]
        infos = [_info(path) for path in files]
        key = json.dumps([address, *([*info.items()] for info in infos)], default=str)
        folder = cache_folder() / hashlib.sha256(key.encode()).hexdigest()[:24]
        folder.mkdir(parents=True, exist_ok=True)
        known = all(set(info) & {*_VERSION} for info in infos)
        # The main file comes last: where it is, all are.
        for path, info in reversed([*zip(files, infos, strict=True)]):
            target = folder / path.name
            if not (known and target.exists() and target.stat().st_size == info.get("size")):
                _download(path, target)
    except FileNotFoundError as error:
        raise InputError(f"{address} does not exist; check the address.") from error
    except OSError as error:
        raise InputError(f"{address} cannot be fetched ({error.strerror or error}).") from error
    return folder / files[0].name


def cache_folder() -> Path:
    """Folder of the copies: ``$RSAUG_CACHE``, or ``rsaug`` in the user's folder of caches."""
    if own := os.environ.get("RSAUG_CACHE"):
        return Path(own)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "rsaug"


def _files(path: UPath) -> Iterator[UPath]:
    """A file, and what belongs to it."""
    yield path
    if PurePosixPath(path.path).suffix.lower() == ".shp":
        for suffix in _BESIDE:
            companion = path.with_suffix(suffix)
            with told(companion):
                if companion.fs.exists(companion.path):
                    yield companion


def _info(path: UPath) -> dict[str, Any]:
    """Size of a file and what tells its version.

    Raises:
        InputError: if it is a folder.
        OSError: if there is none.
    """
    with told(path):
        info = path.fs.info(path.path)
    if info["type"] != "file":
        raise InputError(f"{path} is a folder; name a file in it.")
    return {name: info[name] for name in ("size", *_VERSION) if info.get(name) is not None}


def _download(path: UPath, target: Path) -> None:
    part = target.with_name(f".{target.name}.{os.getpid()}-{secrets.token_hex(4)}.part")
    try:
        with told(path):
            path.fs.get_file(path.path, str(part))
        part.replace(target)
    finally:
        with contextlib.suppress(OSError):
            part.unlink()
