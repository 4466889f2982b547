"""Images of any size to find roads in: one raster, or several of one grid as one."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rasterio.windows import Window as RasterWindow

from rsaug.downstream.graph.masks import ground_gsd_m
from rsaug.downstream.graph.skeleton import Window
from rsaug.downstream.leakage import is_synthetic
from rsaug.downstream.vectorize import Placed, as_one
from rsaug.errors import InputError
from rsaug.folder import RunFolder
from rsaug.grid import Tile
from rsaug.raster import open_image
from rsaug.rasterfile import RASTERS, driver_of

# Of the images of a tile, the first stands for all.
_OTHER_VARIANT = re.compile(r"_v\d+")


@dataclass(frozen=True)
class Imagery:
    """An image that is read window by window.

    Attributes:
        name: For the names of results.
        parts: The rasters that it is made of; later ones cover earlier ones.
        shape: (rows, cols) of the whole.
        bands: How many bands are read.
        tile: Where it lies; None for an image without a place on Earth.
    """

    name: str
    parts: tuple[Placed, ...]
    shape: tuple[int, int]
    bands: int
    tile: Tile | None = None

    @property
    def gsd_m(self) -> float | None:
        """Metres on the ground that a pixel is; None where that is not known."""
        return None if self.tile is None else ground_gsd_m(self.tile)

    @property
    def synthetic(self) -> bool:
        """Whether a part says of itself that a model made it."""
        return any(is_synthetic(part.path) for part in self.parts)

    def read(self, window: Window) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """Values of a window in [0, 1], (bands, rows, cols), and which pixels are known.

        Unknown pixels are 0: those that a raster says to have no data at, and those of no raster.

        Raises:
            InputError: if a raster cannot be read.
        """
        values = np.zeros((self.bands, *_shape(window)), dtype=np.float32)
        known = np.zeros(_shape(window), dtype=bool)
        for path, at, inner in self._parts_in(window):
            with open_image(path) as src:
                there = src.dataset_mask(window=inner) > 0
                pixels = src.read([*range(1, self.bands + 1)], window=inner)
            values[:, *at] = np.where(there, pixels / np.float32(255), values[:, *at])
            known[at] |= there
        return values, known

    def known(self, window: Window) -> NDArray[np.bool_]:
        """Which pixels of a window are known, (rows, cols); errors are those of `read`."""
        known = np.zeros(_shape(window), dtype=bool)
        for path, at, inner in self._parts_in(window):
            with open_image(path) as src:
                known[at] |= src.dataset_mask(window=inner) > 0
        return known

    def _parts_in(self, window: Window) -> Iterator[tuple[Path, tuple[slice, slice], RasterWindow]]:
        """The rasters that a window meets, where in the window, and which pixels of them."""
        top, bottom, left, right = window
        for part in self.parts:
            first_row, end_row = max(top, part.row), min(bottom, part.row + part.rows)
            first_col, end_col = max(left, part.col), min(right, part.col + part.cols)
            if first_row < end_row and first_col < end_col:
                at = slice(first_row - top, end_row - top), slice(first_col - left, end_col - left)
                shape = end_col - first_col, end_row - first_row
                inner = RasterWindow(first_col - part.col, first_row - part.row, *shape)
                yield part.path, at, inner


def _shape(window: Window) -> tuple[int, int]:
    top, bottom, left, right = window
    return bottom - top, right - left


def imagery_of(path: Path, bands: int) -> Imagery:
    """The image of a raster or a folder.

    A folder stands for its ``mosaic.tif``, as ``rsaug synth --mosaic`` makes one, else for the
    images in its folder ``images``, of several of a tile the first, else for the rasters in it.

    Args:
        path: A raster, with or without a place on Earth, or a folder of rasters of one grid.
        bands: How many bands are needed; further ones are not read.

    Raises:
        InputError: if there is none, one cannot be read, is in degrees or not of uint8, has too few
            bands, or those of a folder are not on one grid.
    """
    if not path.exists():
        raise InputError(f"{path} does not exist; name an image or a folder of images.")
    paths = [path] if path.is_file() else _in_folder(path)
    placed = [_check(file, bands) for file in paths]
    name = path.stem if path.is_file() else path.resolve().name
    if len(paths) == 1 and not placed[0]:
        with open_image(paths[0]) as src:
            rows, cols = src.shape
        return Imagery(name, (Placed(paths[0], 0, 0, rows, cols),), (rows, cols), bands)
    whole = as_one(paths)
    return Imagery(name, whole.parts, whole.tile.shape, bands, whole.tile)


def _in_folder(folder: Path) -> list[Path]:
    mosaic = RunFolder(folder).mosaic(0)
    if isinstance(mosaic, Path) and mosaic.is_file():
        return [mosaic]
    for place in (folder / "images", folder):
        found = [
            path
            for path in sorted(place.glob("*"))
            if path.is_file()
            and driver_of(path, RASTERS)
            and not (place != folder and _OTHER_VARIANT.search(path.stem))
        ]
        if found:
            return found
    raise InputError(f"{folder} holds no raster with a place on Earth; GeoTIFF is one that would.")


def _check(path: Path, bands: int) -> bool:
    """Whether an image has a place on Earth.

    Raises:
        InputError: if roads cannot be found in it.
    """
    with open_image(path) as src:
        if src.count < bands:
            raise InputError(
                f"{path} has {_counted(src.count)}, but this detector looks at {bands}; give an "
                "image with all of them."
            )
        strange: Sequence[str] = [kind for kind in src.dtypes[:bands] if kind != "uint8"]
        if strange:
            raise InputError(
                f"{path} has pixels of {strange[0]}; detectors are trained on uint8. Scale it, for "
                "instance with gdal_translate -ot Byte -scale."
            )
        if src.crs is not None and src.crs.is_geographic:
            raise InputError(
                f"{path} is in degrees, so its pixels have no one size in metres; warp it to a "
                "projected CRS, for instance with gdalwarp -t_srs EPSG:32635."
            )
        return src.crs is not None


def _counted(count: int) -> str:
    return f"{count} band{'s' * (count != 1)}"
