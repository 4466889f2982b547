"""Which raster files are opened, and how: by content, and by themselves.

Some of GDAL's formats read further files or reach for the network, and a file from a stranger can
be in any of them, whatever its name. So a file is opened by the driver that its first bytes ask
for, if that is one of a few, and nothing is read that lies beside it.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType

import rasterio
import rasterio.errors

RASTERS: Mapping[bytes, str] = MappingProxyType(
    {
        b"II*\0": "GTiff",
        b"MM\0*": "GTiff",
        b"II+\0": "GTiff",
        b"MM\0+": "GTiff",
        b"EHFA_HEADER_TAG": "HFA",
        b"\0\0\0\x0cjP  \r\n\x87\n": "JP2OpenJPEG",
    }
)
"""Driver of GDAL by the first bytes, of formats that say where on Earth they are."""

IMAGES: Mapping[bytes, str] = MappingProxyType(
    {**RASTERS, b"\x89PNG\r\n\x1a\n": "PNG", b"\xff\xd8\xff": "JPEG", b"RIFF": "WEBP"}
)
"""The same with formats of pictures."""

_ALONE = {"GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR", "GDAL_PAM_ENABLED": "NO"}


def driver_of(path: Path | str, formats: Mapping[bytes, str] = IMAGES) -> str | None:
    """GDAL's driver for a file, by its first bytes; None for one of no such format, or none."""
    try:
        with Path(path).open("rb") as file:
            start = file.read(16)
    except OSError:
        return None
    return next((name for magic, name in formats.items() if start.startswith(magic)), None)


@contextmanager
def opened(path: Path | str, driver: str, **options: int) -> Iterator[rasterio.DatasetReader]:
    """A raster to read from, by the driver that `driver_of` found; errors are GDAL's own."""
    with rasterio.Env(**_ALONE), rasterio.open(path, driver=driver, **options) as src:
        yield src


@contextmanager
def without_place() -> Iterator[None]:
    """Inside, a raster without a place on Earth is no news. Not for several threads at once."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", rasterio.errors.NotGeoreferencedWarning)
        yield
