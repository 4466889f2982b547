"""Pixels of a run's own files, as bytes to be shown."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import rasterio.errors
from numpy.typing import NDArray

from rsaug.conditions.landcover import CLASSES, PALETTE
from rsaug.conditions.stack import CHANNEL_NAMES
from rsaug.rasterfile import RASTERS, driver_of, opened
from rsaug.viewer.catalogue import Catalogue, Image

_COLOURS = dict(zip(CLASSES, PALETTE.tolist(), strict=True))
_FORMATS = {magic: driver for magic, driver in RASTERS.items() if driver == "GTiff"}


class RunPixels:
    """Reads the files of a run's images.

    Args:
        catalogue: The images.

    Attributes:
        shares: Shares of the classes of land cover, by name of the tile, of the control maps that
            were read so far.
    """

    def __init__(self, catalogue: Catalogue) -> None:
        self._catalogue = catalogue
        self.shares: dict[str, dict[str, float]] = {}

    def image(self, name: str) -> NDArray[np.uint8] | None:
        """An image, uint8 (3, rows, cols); None where it cannot be read."""
        return self._read(self._catalogue.images[name], "image", (1, 2, 3), "uint8")

    def mask(self, name: str) -> NDArray[np.uint8] | None:
        """The road mask of an image, uint8 (1, rows, cols): 255 on a road, 0 elsewhere."""
        mask = self._read(self._catalogue.images[name], "mask", (1,), "uint8")
        return None if mask is None else (mask > 0).astype(np.uint8) * np.uint8(255)

    def controls(self, name: str, slots: Sequence[str]) -> NDArray[np.uint8] | None:
        """Control maps of an image, uint8 (3 * slots, rows, cols)."""
        bands = [CHANNEL_NAMES.index(f"{slot}_{band}") + 1 for slot in slots for band in "rgb"]
        maps = self._read(self._catalogue.images[name], "conditions", bands, "float32")
        if maps is None:
            return None
        found: NDArray[np.uint8] = np.rint(np.nan_to_num(maps).clip(0, 1) * 255).astype(np.uint8)
        if "seg" in slots and (image := self._catalogue.images[name]).tile not in self.shares:
            first = 3 * slots.index("seg")
            self.shares[image.tile] = class_shares(found[first : first + 3])
        return found

    def _read(
        self, image: Image, asset: str, bands: Sequence[int], dtype: str
    ) -> NDArray[Any] | None:
        """Bands of a file of an image; None where it is not as a run writes it."""
        path = self._catalogue.folder.file(image.files.get(asset, ""))
        driver = None if path is None else driver_of(path, _FORMATS)
        if path is None or driver is None:
            return None
        try:
            with opened(path, driver) as src:
                if src.shape != image.grid.shape or src.count < max(bands):
                    return None
                if src.dtypes[0] != dtype:
                    return None
                found: NDArray[Any] = src.read(list(bands))
                return found
        except (rasterio.errors.RasterioError, OSError, ValueError):
            return None


def class_shares(seg: NDArray[np.uint8]) -> dict[str, float]:
    """Shares of the classes of land cover in the map ``seg``, uint8 (3, rows, cols)."""
    coded = seg[0].astype(np.uint32) << 16 | seg[1].astype(np.uint32) << 8 | seg[2]
    colours, counts = np.unique(coded, return_counts=True)
    found = dict(zip(colours.tolist(), (counts / coded.size).tolist(), strict=True))
    known = {name: found.get(r << 16 | g << 8 | b) for name, (r, g, b) in _COLOURS.items()}
    return {name: round(share, 4) for name, share in known.items() if share}
