"""Tiles put together as one cloud-optimized GeoTIFF with overviews, in bounded memory."""

from __future__ import annotations

import contextlib
import hashlib
import os
import secrets
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import rasterio
import rasterio.errors
import rasterio.shutil
from affine import Affine
from rasterio._err import CPLE_BaseError
from rasterio.enums import ColorInterp
from rasterio.windows import Window

from rsaug.errors import OutputError
from rsaug.folder import RunFolder, item_name
from rsaug.grid import Tile
from rsaug.marks import Marks
from rsaug.provenance import Provenance, label_tags, read_key
from rsaug.rasterfile import driver_of, opened
from rsaug.storage import AnyPath, publish

NO_LABEL = 255
"""In the mosaic of the masks: where no tile was made."""

_BLOCK = 512
_NO_SPACE = 1 << 20

# When a file is closed, rasterio passes GDAL's own errors on as they are.
_WRITING = (
    rasterio.errors.RasterioError,
    rasterio.errors.RasterioIOError,
    CPLE_BaseError,
    OSError,
)
# Next to none: what GDAL keeps back it cannot tell of when the disk is full.
_CACHE_BYTES = 128


@dataclass(frozen=True)
class _Look:
    """What sets mosaics of images apart from those of labels.

    Attributes:
        bands: Their descriptions.
        nodata: Value where there is no tile; None for a mask of its own.
        resampling: How overviews are made.
    """

    bands: tuple[str, ...]
    nodata: int | None
    resampling: str


_IMAGE = _Look(("red", "green", "blue"), None, "AVERAGE")
_LABEL = _Look(("road",), NO_LABEL, "MODE")


def write_mosaics(
    folder: RunFolder,
    tiles: Sequence[Tile],
    variants: int,
    description: Mapping[str, object],
    marks: Marks | None = None,
) -> list[AnyPath]:
    """Mosaics of a run's images, one a variant, and of its road masks; those that are there stay.

    Args:
        folder: The run's.
        tiles: Its tiles; those without an image are left empty.
        variants: Images a tile.
        description: What the generator says of itself.
        marks: How the images are marked; their mosaics are signed as well.

    Returns:
        The files: ``mosaic.tif``, ``mosaic_v1.tif``, ..., and ``mosaic_mask.tif``.

    Raises:
        OutputError: if one cannot be written; nothing is left of it then.
    """
    marks = marks or Marks()
    written = []
    for variant in range(variants):
        parts = [(tile, folder.image(item_name(tile.name, variant))) for tile in tiles]
        path = folder.mosaic(variant)
        key = _key(parts)
        said = Provenance.of(marks.described(description), key, 0, variant)
        sign = partial(marks.sign_large, provenance=said, name=path.name)
        if marks.lack(path) or read_key(path) != key:
            _write(path, parts, _IMAGE, said.tags(), said.xmp(), sign)
        written.append(path)
    masks = [(tile, folder.mask(tile.name)) for tile in tiles]
    key = _key(masks)
    tags = label_tags("Road mask: 1 road, 0 elsewhere, 255 where no tile was made.", key)
    if read_key(folder.mosaic_mask) != key:
        _write(folder.mosaic_mask, masks, _LABEL, tags)
    return [*written, folder.mosaic_mask]


def _key(parts: Sequence[tuple[Tile, AnyPath]]) -> str:
    """Digest of the files of a mosaic, by what they were made from."""
    digest = hashlib.sha256()
    for tile, path in parts:
        digest.update(f"{tile.name} {read_key(path)}\n".encode())
    return digest.hexdigest()


def _write(
    path: AnyPath,
    parts: Sequence[tuple[Tile, AnyPath]],
    look: _Look,
    tags: Mapping[str, str],
    xmp: str | None = None,
    sign: Callable[[Path], None] = lambda whole: None,
) -> None:
    with _workplace(path) as (rough, whole):
        try:
            with rasterio.Env(GDAL_CACHEMAX=_CACHE_BYTES, GDAL_TIFF_INTERNAL_MASK=True):
                _paste(rough, parts, look, tags, xmp)
                rasterio.shutil.copy(
                    rough,
                    whole,
                    driver="COG",
                    COMPRESS="DEFLATE",
                    PREDICTOR="YES",
                    BLOCKSIZE=_BLOCK,
                    OVERVIEW_RESAMPLING=look.resampling,
                    BIGTIFF="IF_SAFER",
                    NUM_THREADS="1",
                )
                _check_whole(whole)
                sign(whole)
                publish(whole, path)
        except OutputError:
            raise
        except _WRITING as error:
            reason = _reason(error, rough.parent)
            raise OutputError(f"{path} could not be written: {reason}") from error


def _reason(error: BaseException, folder: Path) -> str:
    """Why a file in a folder could not be written; of a full disk GDAL says many things."""
    with contextlib.suppress(OSError):
        if shutil.disk_usage(folder).free < _NO_SPACE:
            return "no space is left; make room."
    while error.__cause__ is not None:
        error = error.__cause__
    return f"{str(error).strip().rstrip('.')}."


@contextlib.contextmanager
def _workplace(path: AnyPath) -> Iterator[tuple[Path, Path]]:
    """Two files to write on the way to a mosaic, beside it if it is here; gone afterwards."""
    mark = f"{os.getpid()}-{secrets.token_hex(4)}.part"
    with contextlib.ExitStack() as stack:
        if isinstance(path, Path):
            folder = path.parent
        else:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="rsaug-")))
        rough, whole = (folder / f".{path.name}.{name}-{mark}" for name in ("rough", "whole"))
        try:
            yield rough, whole
        finally:
            for part in (rough, whole):
                with contextlib.suppress(OSError):
                    part.unlink()


def _paste(
    path: Path,
    parts: Sequence[tuple[Tile, AnyPath]],
    look: _Look,
    tags: Mapping[str, str],
    xmp: str | None,
) -> None:
    """Write the tiles into one tiled file, one after another."""
    first = parts[0][0]
    height, width = first.shape
    rows, cols = ([getattr(tile, axis) for tile, _ in parts] for axis in ("row", "col"))
    top, left = min(rows), min(cols)
    transform = first.transform @ Affine.translation(
        (left - first.col) * width, (top - first.row) * height
    )
    with rasterio.open(
        path,
        "w",
        driver="GTiff",
        height=(max(rows) - top + 1) * height,
        width=(max(cols) - left + 1) * width,
        count=len(look.bands),
        dtype="uint8",
        crs=first.crs.to_wkt(),
        transform=transform,
        nodata=look.nodata,
        tiled=True,
        blockxsize=_BLOCK,
        blockysize=_BLOCK,
        compress="DEFLATE",
        zlevel=1,
        sparse_ok=True,
        bigtiff="IF_SAFER",
    ) as dst:
        if len(look.bands) == 3:
            dst.colorinterp = (ColorInterp.red, ColorInterp.green, ColorInterp.blue)
        for band, name in enumerate(look.bands, start=1):
            dst.set_band_description(band, name)
        dst.update_tags(**tags)
        if xmp is not None:
            name, _, value = xmp.partition("=")
            dst.update_tags(ns="xml:XMP", **{name: value})
        full = (max(rows) - top + 1) * (max(cols) - left + 1) == len(parts)
        for tile, values in _read(parts):
            window = Window((tile.col - left) * width, (tile.row - top) * height, width, height)
            full = full and values is not None
            if values is not None:
                dst.write(values, window=window)
        if look.nodata is None and not full:
            _write_mask(dst, parts, (top, left))


def _write_mask(
    dst: rasterio.io.DatasetWriter, parts: Sequence[tuple[Tile, AnyPath]], corner: tuple[int, int]
) -> None:
    """Say which pixels belong to a tile."""
    height, width = parts[0][0].shape
    inside = np.full((height, width), 255, dtype=np.uint8)
    for tile, path in parts:
        if path.exists():
            top, left = (tile.row - corner[0]) * height, (tile.col - corner[1]) * width
            dst.write_mask(inside, window=Window(left, top, width, height))


def _read(parts: Sequence[tuple[Tile, AnyPath]]) -> Iterator[tuple[Tile, np.ndarray | None]]:
    for tile, path in parts:
        driver = driver_of(path)
        if driver is None:
            yield tile, None
            continue
        with opened(path, driver) as src:
            yield tile, src.read()


def _check_whole(path: Path) -> None:
    """Raise RasterioIOError unless all blocks can be read: GDAL may end early on a full disk."""
    with rasterio.open(path) as src:
        for _, window in src.block_windows(1):
            src.read(window=window)
