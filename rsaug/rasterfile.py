"""Which raster files are opened, and how: by content, and by themselves.

Some of GDAL's formats read further files or reach for the network, and a file from a stranger can
be in any of them, whatever its name. So a file is opened by the driver that its first bytes ask
for, if that is one of a few, and nothing is read that lies beside it.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import Any

import rasterio
import rasterio.errors
from rasterio.io import MemoryFile

from rsaug.storage import AnyPath, read

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

ALONE = {"GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR", "GDAL_PAM_ENABLED": "NO"}
"""Options of GDAL under which nothing is read that lies beside a file."""


def driver_of(path: AnyPath | str, formats: Mapping[bytes, str] = IMAGES) -> str | None:
    """GDAL's driver for a file, by its first bytes; None for one of no such format, or none."""
    try:
        start = read(Path(path) if isinstance(path, str) else path, 16)
    except OSError:
        return None
    return next((name for magic, name in formats.items() if start.startswith(magic)), None)


@contextmanager
def opened(
    path: AnyPath | str, driver: str, head: int | None = None, **options: int
) -> Iterator[rasterio.DatasetReader]:
    """A raster to read from, by the driver that `driver_of` found; errors are GDAL's own.

    Of a store all of the file is read first, or its first ``head`` bytes where no pixels are
    wanted, and GDAL does not know where from.
    """
    if isinstance(path, str | Path):
        with rasterio.Env(**ALONE):
            if options:
                # An overview is looked for when it is opened, wherever the file says that it lies.
                with _dataset(rasterio.open, fp=path, driver=driver) as src:
                    check_alone(src)
            with _dataset(rasterio.open, fp=path, driver=driver, **options) as src:
                check_alone(src)
                yield src
        return
    try:
        content = read(path, head)
    except OSError as error:
        raise rasterio.errors.RasterioIOError(str(error)) from error
    with (
        rasterio.Env(**ALONE),
        MemoryFile(content) as memory,
        _dataset(memory.open, driver=driver, **options) as src,
    ):
        check_alone(src)
        yield src


def _dataset(open_: Callable[..., rasterio.DatasetReader], **asked: Any) -> rasterio.DatasetReader:
    """What is opened; a CRS that cannot be read is an error of the file like any other."""
    try:
        return open_(**asked)
    except rasterio.errors.CRSError as error:
        raise rasterio.errors.RasterioIOError("its CRS cannot be read") from error


def check_alone(src: rasterio.DatasetReader) -> None:
    """Refuse a raster whose own metadata name another file, or an address, for its overviews.

    GDAL opens that when it is first asked for overviews, by whatever driver fits.

    Raises:
        rasterio.errors.RasterioIOError: if it does.
    """
    try:
        elsewhere = src.get_tag_item("OVERVIEW_FILE", "OVERVIEWS") is not None
    except UnicodeDecodeError:  # a name that is no UTF-8 is one, too
        elsewhere = True
    if elsewhere:
        raise rasterio.errors.RasterioIOError("it names another file for its overviews")


def tags_of(src: rasterio.DatasetReader, ns: str | None = None, band: int = 0) -> dict[str, str]:
    """Tags of a raster or of a band of it; none where one of them is no UTF-8.

    Args:
        src: The raster.
        ns: Their domain; None for the default one.
        band: Number of the band, from 1; 0 for those of the whole.
    """
    try:
        return dict(src.tags(band, ns=ns))
    except UnicodeDecodeError:
        return {}


@contextmanager
def without_place() -> Iterator[None]:
    """Inside, a raster without a place on Earth is no news. Not for several threads at once."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", rasterio.errors.NotGeoreferencedWarning)
        yield
