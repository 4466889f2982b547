"""The table of a run's items, ``manifest.parquet``, as others may have written it."""

from __future__ import annotations

import io
from collections.abc import Sequence

import pandas as pd
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
    with pq.ParquetFile(content) as file:
        rows = file.metadata.num_rows
        if rows > MOST_ROWS:
            raise ValueError(f"it has {rows} rows, and a run has at most {MOST_ROWS} images")
        lacking = sorted({*columns} - {*file.schema_arrow.names})
        if lacking:
            raise ValueError(f"it has no column {lacking[0]!r}")
    content.seek(0)
    return pd.read_parquet(content, columns=[*columns])
