"""Rasters: burn geometry into a tile, write and read GeoTIFF."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import rasterio
import rasterio.errors
import rasterio.features
import shapely
from numpy.typing import NDArray
from rasterio.enums import ColorInterp
from rasterio.io import MemoryFile
from shapely.geometry.base import BaseGeometry

from rsaug.errors import InputError
from rsaug.files import write_whole
from rsaug.grid import Tile

_MAX_BLOCK = 512
_MANY_VERTICES = 1000


def burn(shapes: Iterable[tuple[BaseGeometry, int]], tile: Tile) -> NDArray[np.uint8]:
    """Values of the shapes on the tile's pixels, uint8 (rows, cols); 0 where there is none.

    A pixel takes the value of a polygon that holds its centre (GDAL's rule for polygons); later
    shapes cover earlier ones.

    Args:
        shapes: Polygons in the tile's CRS and their values, 0 to 255.
        tile: The tile.
    """
    near = [(_near(shape, tile), value) for shape, value in shapes]
    near = [(shape, value) for shape, value in near if not shape.is_empty]
    if not near:
        return np.zeros(tile.shape, dtype=np.uint8)
    burned: NDArray[np.uint8] = rasterio.features.rasterize(
        near, out_shape=tile.shape, transform=tile.transform, dtype=np.uint8, all_touched=False
    )
    return burned


def _near(shape: BaseGeometry, tile: Tile) -> BaseGeometry:
    """The shape, or where it is large what lies around the tile.

    GDAL is handed each vertex through Python, so the shore of a lake is not handed over for every
    tile. The cut is made off the tile, where it moves no edge that passes a pixel's centre.
    """
    if shapely.get_num_coordinates(shape) <= _MANY_VERTICES:
        return shape
    left, bottom, right, top = tile.bounds
    margin = 2 * tile.transform.a
    return shapely.clip_by_rect(shape, left - margin, bottom - margin, right + margin, top + margin)


def write_cog(
    path: Path | str,
    array: NDArray[np.generic],
    tile: Tile,
    *,
    descriptions: Sequence[str] | None = None,
    tags: Mapping[str, str] | None = None,
    xmp: str | None = None,
) -> None:
    """Write a tile as a cloud-optimized GeoTIFF: lossless, no overviews, no nodata.

    The same input gives the same bytes. The file appears whole or not at all. Three bands of uint8
    are marked as red, green and blue.

    Args:
        path: Target; an existing file is replaced.
        array: (bands, rows, cols), rows and cols as in the tile.
        tile: Gives the CRS and the transform.
        descriptions: One a band.
        tags: Metadata of the file.
        xmp: An XMP packet to embed.

    Raises:
        InputError: if the array does not fit the tile, or the descriptions do not fit the array.
        OutputError: if the file cannot be written.
    """
    write_whole(path, encode_cog(array, tile, descriptions=descriptions, tags=tags, xmp=xmp))


def encode_cog(
    array: NDArray[np.generic],
    tile: Tile,
    *,
    descriptions: Sequence[str] | None = None,
    tags: Mapping[str, str] | None = None,
    xmp: str | None = None,
) -> bytes:
    """The bytes of the file that `write_cog` writes; arguments and errors are the same."""
    if array.ndim != 3 or array.shape[1:] != tile.shape:
        raise InputError(
            f"The array has the shape {array.shape}, the tile {tile.name} needs (bands, "
            f"{tile.shape[0]}, {tile.shape[1]})."
        )
    bands, rows, cols = array.shape
    if descriptions is not None and len(descriptions) != bands:
        raise InputError(f"There are {len(descriptions)} descriptions for {bands} bands.")
    # Encoded in memory: on a full disk GDAL can end with a short file and no error, Python cannot.
    with MemoryFile() as memory:
        with memory.open(
            driver="COG",
            width=cols,
            height=rows,
            count=bands,
            dtype=array.dtype,
            crs=tile.crs.to_wkt(),
            transform=tile.transform,
            compress="DEFLATE",
            predictor="YES",
            blocksize=_block_size(rows, cols),
            overviews="NONE",
        ) as dst:
            if bands == 3 and array.dtype == np.uint8:
                dst.colorinterp = (ColorInterp.red, ColorInterp.green, ColorInterp.blue)
            for band, description in enumerate(descriptions or (), start=1):
                dst.set_band_description(band, description)
            dst.update_tags(**(tags or {}))
            if xmp is not None:
                # rasterio joins name and value by "="; GDAL wants the bare packet.
                name, _, value = xmp.partition("=")
                dst.update_tags(ns="xml:XMP", **{name: value})
            dst.write(array)
        return bytes(memory.getbuffer())


def _block_size(rows: int, cols: int) -> int:
    """Side of a block: the tile where it is small, in the multiples of 16 that TIFF asks for."""
    return min(_MAX_BLOCK, -(-max(rows, cols) // 16) * 16)


@contextmanager
def open_image(path: Path | str) -> Iterator[rasterio.DatasetReader]:
    """An image to read from, with or without a place on Earth.

    Raises:
        InputError: if the file cannot be read, now or inside.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", rasterio.errors.NotGeoreferencedWarning)
            src = rasterio.open(path)
        with src:
            yield src
    except rasterio.errors.RasterioIOError as error:
        raise InputError(f"{path} cannot be read as an image ({error}).") from error


def read_rgb(path: Path | str) -> NDArray[np.uint8]:
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
        rgb: NDArray[np.uint8] = src.read([1, 2, 3])
        return rgb
