"""The files of a model, and the one number that stands for all of them."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

_KINDS = {".safetensors", ".json"}


@dataclass(frozen=True)
class ModelFile:
    """A file of a model.

    Attributes:
        sha256: Digest of its content, 64 hexadecimal digits.
        size: Its bytes.
    """

    sha256: str
    size: int


def model_files(folder: Path) -> dict[str, ModelFile]:
    """Weights and configurations of a model by their paths in its folder."""
    found = {}
    for path in sorted(folder.rglob("*")):
        if path.suffix in _KINDS and path.is_file():
            with path.open("rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
            name = path.relative_to(folder).as_posix()
            found[name] = ModelFile(digest, path.stat().st_size)
    return found


def digest_of(files: Mapping[str, str]) -> str:
    """SHA-256 over the names and contents of a model's files, 64 hexadecimal digits.

    Args:
        files: SHA-256 of the content of each by its path in the model's folder.
    """
    digest = hashlib.sha256()
    for name in sorted(files, key=PurePosixPath):
        digest.update(name.encode() + b"\0" + bytes.fromhex(files[name]))
    return digest.hexdigest()


def folder_digest(folder: str | Path) -> str:
    """SHA-256 over the names and contents of a model's weights and configurations."""
    return digest_of({name: file.sha256 for name, file in model_files(Path(folder)).items()})
