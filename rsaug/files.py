"""Files appear whole or not at all."""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
from pathlib import Path

from rsaug.errors import OutputError
from rsaug.storage import AnyPath, place, write


def write_whole(path: AnyPath | str, content: bytes) -> None:
    """Write a file so that no reader, and no crash, ever sees a part of it.

    The content goes to a new file beside the target, to the disk, and only then under the target's
    name; in a store an object appears whole by itself.

    Raises:
        OutputError: if it cannot be written (disk full, no folder, no permission); the target is
            then as it was and nothing is left beside it.
    """
    target = place(path)
    try:
        if isinstance(target, Path):
            _write_here(target, content)
        else:
            write(target, content)
    except OSError as error:
        raise OutputError(_sentence(target, len(content), error)) from error


def _write_here(path: Path, content: bytes) -> None:
    part = path.with_name(f".{path.name}.{os.getpid()}-{secrets.token_hex(4)}.part")
    try:
        with part.open("xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    finally:
        # Gone already when all went well; where it never came to be, the error says why.
        with contextlib.suppress(OSError):
            part.unlink()


def _sentence(path: AnyPath, size: int, error: OSError) -> str:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return f"{path} could not be written: no space for its {size} bytes is left; make room."
    if error.errno == errno.EFBIG:
        return f"{path} could not be written: its {size} bytes are above the limit for a file."
    return f"{path} could not be written ({error.strerror})."
