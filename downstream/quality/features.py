"""Features of images that are computed once: kept in a file by the digest of the pixels."""

from __future__ import annotations

import hashlib
import io
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rsaug.downstream.arrays import read_arrays
from rsaug.downstream.evaluation.features import AerialEncoder
from rsaug.errors import InputError
from rsaug.files import write_whole


class CachedEncoder(AerialEncoder):
    """The aerial encoder with a memory.

    Each image is looked at by itself, so that its features do not depend on what else is asked for
    at the same time, which in a batch they do in the last digits.

    Args:
        weights: As of `AerialEncoder`.
        cache: File of features; made by `save`, may be missing, and may be shared between runs.

    Raises:
        InputError: if the file holds something else.
    """

    def __init__(self, weights: Path, cache: Path) -> None:
        super().__init__(weights)
        self.cache = cache
        self.known = _read(cache)
        self._fresh = False

    def embed(self, images: NDArray[np.uint8], batch: int = 1) -> NDArray[np.float32]:
        """Unit vectors float32 (n, 256) of uint8 RGB images (n, 3, rows, cols)."""
        rows = []
        for image in images:
            key = self._key(image)
            if key not in self.known:
                self.known[key] = super().embed(image[None], 1)[0]
                self._fresh = True
            rows.append(self.known[key])
        return np.stack(rows)

    def save(self) -> None:
        """Write what is known, if there is anything new.

        Raises:
            OutputError: if it cannot be written.
        """
        if not self._fresh:
            return
        keys = sorted(self.known)
        file = io.BytesIO()
        np.savez(file, keys=np.array(keys), features=np.stack([self.known[key] for key in keys]))
        self.cache.parent.mkdir(parents=True, exist_ok=True)
        write_whole(self.cache, file.getvalue())
        self._fresh = False

    def _key(self, image: NDArray[np.uint8]) -> str:
        content = hashlib.sha256(f"{self.sha256}/{image.shape}/".encode())
        content.update(np.ascontiguousarray(image).tobytes())
        return content.hexdigest()


def _read(path: Path) -> dict[str, NDArray[np.float32]]:
    if not path.exists():
        return {}
    try:
        arrays = read_arrays(path.read_bytes())
        keys, features = arrays["keys"].tolist(), arrays["features"].astype(np.float32)
        return dict(zip(map(str, keys), features, strict=True))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"{path} is no file of features ({error}); remove it, or name another --cache."
        ) from error
