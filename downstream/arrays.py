"""Arrays in a file of NumPy that is not trusted: no objects, and not more than fits."""

from __future__ import annotations

import io
import sys
import zipfile
from typing import Any

import numpy as np
from numpy.typing import NDArray

_MOST_BYTES = 1 << 31
"""A file of features or weights here has a few dozen megabytes."""


def read_arrays(content: bytes) -> dict[str, NDArray[Any]]:
    """The arrays of an ``.npz`` file by their names.

    Raises:
        ValueError: if it is none, holds an object, or would be larger than 2 GiB.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            size = sum(entry.file_size for entry in archive.infolist())
        if size > _MOST_BYTES:
            raise ValueError(f"its arrays would have {size} bytes")
        with np.load(io.BytesIO(content), allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        for name, array in arrays.items():
            _check(name, array)
        return arrays
    # The header of an array is a Python expression, so that reading it fails in many ways.
    except Exception as error:
        raise ValueError(str(error) or type(error).__name__) from error


def _check(name: str, array: object) -> None:
    # What has another beginning than an array is handed over as bytes.
    if not isinstance(array, np.ndarray):
        raise TypeError(f"{name} is no array")
    if array.dtype.kind == "U" and array.size:
        letters = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("="))
        # Of a letter that there is none of, Python says that it has broken itself.
        if array.dtype.itemsize and letters.view(np.uint32).max() > sys.maxunicode:
            raise ValueError(f"{name} holds letters that there are none of")
