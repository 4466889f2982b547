"""Rasters: write and read GeoTIFF."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
import rasterio.errors
from numpy.typing import NDArray
from rasterio.enums import ColorInterp
from rasterio.io import MemoryFile

from rsaug.errors import InputError
from rsaug.files import write_whole
from rsaug.grid import Tile
from rsaug.rasterfile import driver_of, opened, without_place
from rsaug.storage import AnyPath

IMAGE_FORMATS = "GeoTIFF, Erdas Imagine, JPEG 2000, PNG, JPEG and WebP"

_MAX_BLOCK = 512
# Far above what is read at once here, and below what a machine has.
_MOST_BYTES = 1 << 31
_MOST_BLOCK_BYTES = 1 << 30


def write_cog(
    path: AnyPath | str,
    array: NDArray[np.generic],
    tile: Tile | None,
    *,
    descriptions: Sequence[str] | None = None,
    band_tags: Sequence[Mapping[str, str]] | None = None,
    tags: Mapping[str, str] | None = None,
    xmp: str | None = None,
) -> None:
    """Write a tile as a cloud-optimized GeoTIFF: lossless, no overviews, no nodata.

    The same input gives the same bytes. The file appears whole or not at all. Three bands of uint8
    are marked as red, green and blue.

    Args:
        path: Target; an existing file is replaced.
        array: (bands, rows, cols), rows and cols as in the tile.
        tile: Gives the CRS and the transform; None for a file without a place.
        descriptions: One a band.
        band_tags: Metadata of each band, one mapping a band.
        tags: Metadata of the file.
        xmp: An XMP packet to embed.

    Raises:
        InputError: if the array does not fit the tile, or what is said of the bands not the array.
        OutputError: if the file cannot be written.
    """
    content = encode_cog(
        array, tile, descriptions=descriptions, band_tags=band_tags, tags=tags, xmp=xmp
    )
    write_whole(path, content)


def encode_cog(
    array: NDArray[np.generic],
    tile: Tile | None,
    *,
    descriptions: Sequence[str] | None = None,
    band_tags: Sequence[Mapping[str, str]] | None = None,
    tags: Mapping[str, str] | None = None,
    xmp: str | None = None,
) -> bytes:
    """The bytes of the file that `write_cog` writes; arguments and errors are the same."""
    if array.ndim != 3 or (tile is not None and array.shape[1:] != tile.shape):
        what = "a raster" if tile is None else f"the tile {tile.name}"
        needed = "rows, cols" if tile is None else f"{tile.shape[0]}, {tile.shape[1]}"
        raise InputError(f"The array has the shape {array.shape}, {what} needs (bands, {needed}).")
    bands, rows, cols = array.shape
    for what, given in (("descriptions", descriptions), ("sets of tags", band_tags)):
        if given is not None and len(given) != bands:
            raise InputError(f"There are {len(given)} {what} for {bands} bands.")
    # Encoded in memory: on a full disk GDAL can end with a short file and no error, Python cannot.
    with MemoryFile() as memory, _no_warning_of(no_place=tile is None):
        with memory.open(
            driver="COG",
            width=cols,
            height=rows,
            count=bands,
            dtype=array.dtype,
            crs=None if tile is None else tile.crs.to_wkt(),
            transform=None if tile is None else tile.transform,
            compress="DEFLATE",
            predictor="YES",
            blocksize=_block_size(rows, cols),
            overviews="NONE",
        ) as dst:
            if bands == 3 and array.dtype == np.uint8:
                dst.colorinterp = (ColorInterp.red, ColorInterp.green, ColorInterp.blue)
            for band, description in enumerate(descriptions or (), start=1):
                dst.set_band_description(band, description)
            for band, facts in enumerate(band_tags or (), start=1):
                dst.update_tags(band, **facts)
            dst.update_tags(**(tags or {}))
            if xmp is not None:
                # rasterio joins name and value by "="; GDAL wants the bare packet.
                name, _, value = xmp.partition("=")
                dst.update_tags(ns="xml:XMP", **{name: value})
            dst.write(array)
        return bytes(memory.getbuffer())


@contextmanager
def _no_warning_of(*, no_place: bool) -> Iterator[None]:
    """Keep rasterio from warning of a file without a place where that is what is wanted."""
    if not no_place:
        yield
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", rasterio.errors.NotGeoreferencedWarning)
        yield


def _block_size(rows: int, cols: int) -> int:
    """Side of a block: the tile where it is small, in the multiples of 16 that TIFF asks for."""
    return min(_MAX_BLOCK, -(-max(rows, cols) // 16) * 16)


@contextmanager
def open_image(path: AnyPath | str) -> Iterator[rasterio.DatasetReader]:
    """An image to read from, with or without a place on Earth.

    Raises:
        InputError: if the file cannot be read, now or inside.
    """
    driver = driver_of(path)
    if driver is None:
        is_there = (Path(path) if isinstance(path, str) else path).is_file()
        why = f"it is none of {IMAGE_FORMATS}" if is_there else "there is no such file"
        raise InputError(f"{path} cannot be read as an image: {why}.")
    try:
        with without_place(), opened(path, driver) as src:
            _check_blocks(path, src)
            yield src
    except rasterio.errors.RasterioIOError as error:
        raise InputError(f"{path} cannot be read as an image ({error}).") from error


def _check_blocks(path: AnyPath | str, src: rasterio.DatasetReader) -> None:
    """Refuse an image of which every pixel costs the memory of a huge block."""
    for shape, dtype in zip(src.block_shapes, src.dtypes, strict=True):
        if math.prod(shape) * np.dtype(dtype).itemsize > _MOST_BLOCK_BYTES:
            raise InputError(
                f"{path} is stored in blocks of {shape[1]} x {shape[0]} pixels, too large to read; "
                "rewrite it in tiles, for instance with gdal_translate -of COG."
            )


def read_rgb(path: AnyPath | str) -> NDArray[np.uint8]:
    """The first three bands of an image, uint8 (3, rows, cols).

    Raises:
        InputError: if the file cannot be read, or has fewer bands or another type of pixel.
    """
    with open_image(path) as src:
        if src.count < 3 or src.dtypes[0] != "uint8":
            raise InputError(
                f"{path} has {src.count} bands of {src.dtypes[0]}; three of uint8 (red, green, "
                "blue) are needed."
            )
        rgb: NDArray[np.uint8] = read_all(src, [1, 2, 3])
        return rgb


def read_all(
    src: rasterio.DatasetReader,
    bands: int | Sequence[int] | None = None,
    dtype: type[np.generic] | None = None,
) -> NDArray[Any]:
    """All pixels of an image that is opened: (bands, rows, cols), of one band (rows, cols).

    Args:
        src: The image.
        bands: Numbers from 1, or one number; by default all.
        dtype: Type of the result; by default the image's own.

    Raises:
        InputError: if that is more than fits: a small file can say that it is very large.
    """
    wanted = src.indexes if bands is None else [bands] if isinstance(bands, int) else bands
    size = np.dtype(dtype or src.dtypes[0]).itemsize * len(wanted) * src.height * src.width
    if size > _MOST_BYTES:
        raise InputError(
            f"{src.name} has {src.width} x {src.height} pixels, {size / 1e9:.3g} GB to be read at "
            "once; cut it into tiles first, for instance with gdal_retile."
        )
    read: NDArray[Any] = src.read(bands, out_dtype=dtype)
    return read
