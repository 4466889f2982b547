"""Vector layers as files: whole or not at all, and the same bytes for the same features."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import geopandas as gpd
import pyogrio

from rsaug.files import write_whole


def write_vectors(
    path: Path, features: gpd.GeoDataFrame, layer: str, driver: str = "GPKG", **options: Any
) -> None:
    """Write a layer to a file of its own.

    Args:
        path: Target; an existing file is replaced.
        features: What to write, in their CRS.
        layer: Name of the layer.
        driver: GDAL's, of a format that is one file.
        options: Of the layer, as GDAL's driver takes them.

    Raises:
        OutputError: if it cannot be written.
    """
    with tempfile.TemporaryDirectory(prefix="rsaug-") as folder:
        rough = Path(folder) / f"layer{path.suffix.lower()}"
        with _no_clock():
            features.to_file(rough, driver=driver, layer=layer, engine="pyogrio", **options)
        write_whole(path, rough.read_bytes())


@contextmanager
def _no_clock() -> Iterator[None]:
    """Inside, GDAL takes the beginning of the epoch for now, which it writes into GeoPackages."""
    pyogrio.set_gdal_config_options({"OGR_CURRENT_DATE": "1970-01-01T00:00:00.000Z"})
    try:
        yield
    finally:
        pyogrio.set_gdal_config_options({"OGR_CURRENT_DATE": None})
