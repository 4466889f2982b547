"""The table of a run's items, ``manifest.parquet``, as others may have written it."""

from __future__ import annotations

import io
from collections.abc import Sequence

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from rsaug.storage import AnyPath, read

MOST_ROWS = 10_000_000
"""A manifest of more images than this is none: a few bytes can say that a row comes so often."""


def read_manifest(path: AnyPath, columns: Sequence[str]) -> pd.DataFrame:
    """Some columns of a manifest, a row an image.

    Raises:
        OSError: if it cannot be read.
        ValueError: if it is no table, is one of too many rows, or lacks a column.
    """
    content = io.BytesIO(read(path))
    try:
        with pq.ParquetFile(content) as file:
            _check(file, columns)
            # Text that is none would be an error of whoever looks at it.
            file.read(columns=[*columns]).validate(full=True)
        content.seek(0)
        return pd.read_parquet(content, columns=[*columns])
    except pa.ArrowException as error:
        raise ValueError(str(error)) from error


def _check(file: pq.ParquetFile, columns: Sequence[str]) -> None:
    rows = file.metadata.num_rows
    if rows > MOST_ROWS:
        raise ValueError(f"it has {rows} rows, and a run has at most {MOST_ROWS} images")
    lacking = sorted({*columns} - {*file.schema_arrow.names})
    if lacking:
        raise ValueError(f"it has no column {lacking[0]!r}")
