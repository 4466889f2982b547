"""Tiles with road masks: what all our datasets are made of, with or without a place on Earth."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from affine import Affine
from numpy.typing import NDArray
from rasterio.windows import Window
from torch import Tensor

from rsaug.downstream.datasets.contract import CLASSES, PALETTE, PixelGrid, Sample, Transform
from rsaug.errors import InputError
from rsaug.grid import crs_name
from rsaug.optional import require
from rsaug.raster import open_image

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from rsaug.downstream.datasets.chips import RoadChips


@dataclass(frozen=True)
class RoadTile:
    """One tile of a dataset.

    Attributes:
        name: Its name, unique in the dataset.
        place: Where it is from; tiles of one place are never in two splits.
        image: File of the image.
        shape: (rows, cols) of the image.
        grid: Its pixels on Earth; None for a tile without a place there.
        mask: File of the mask; None where masks are burned.
        layer: File of the roads that the mask is burned from; None where it is none of its own.
        scores: Numbers that are known of it, by name, such as the share of road.
    """

    name: str
    place: str
    image: Path
    shape: tuple[int, int]
    grid: PixelGrid | None = None
    mask: Path | None = None
    layer: Path | None = None
    scores: tuple[tuple[str, float], ...] = ()


class TileSource(ABC):
    """A dataset whose tiles can be read whole, as they were cut, without any warping.

    Attributes:
        synthetic: Whether its images were made by a model.
        road_from: The lowest value that is road in a file of a mask.
        tiles: The tiles, in a fixed order.
        transforms: What each sample goes through.
    """

    synthetic: ClassVar[bool] = False
    road_from: int = 128
    classes = CLASSES
    palette = PALETTE
    #: For torchgeo's own plotting.
    all_bands: tuple[str, ...] = ("red", "green", "blue")
    rgb_bands: tuple[str, ...] = ("red", "green", "blue")

    tiles: Sequence[RoadTile]
    transforms: Transform | None = None

    def read_image(self, tile: RoadTile, window: Window | None = None) -> NDArray[np.uint8]:
        """RGB of a tile, uint8 (3, rows, cols).

        Args:
            tile: One of ours.
            window: The part to read; by default the whole tile.

        Raises:
            InputError: if the file is missing, broken, of another size or of other bands.
        """
        values: NDArray[np.uint8] = read_bands(
            tile.image, tile.shape, window, bands=(1, 2, 3), grid=tile.grid
        )
        if values.dtype != np.uint8:
            raise InputError(f"{tile.image} has pixels of {values.dtype}; uint8 is needed.")
        return values

    def read_mask(self, tile: RoadTile, window: Window | None = None) -> NDArray[np.uint8]:
        """Road mask of a tile, uint8 0/1 (rows, cols); arguments and errors as for the image.

        By default it is a file in which whatever is at least `road_from` is road.
        """
        if tile.mask is None:
            raise InputError(f"The tile {tile.name} has no mask.")
        values = read_bands(tile.mask, tile.shape, window, bands=(1,))[0]
        mask: NDArray[np.uint8] = (values >= self.road_from).astype(np.uint8)
        return mask

    def read_extra(self, tile: RoadTile, window: Window | None = None) -> dict[str, Tensor]:
        """What a sample holds besides image and mask, by name."""
        return {}

    @abstractmethod
    def chips(self, size: int | None = None, transforms: Transform | None = None) -> RoadChips:
        """The tiles as they were cut, one after the other; see `RoadChips`."""

    def holds_road(self, windows: Sequence[tuple[int, Window]]) -> NDArray[np.bool_]:
        """Whether there is a road in each window of a tile, (n,); by default the masks are read.

        Args:
            windows: Number of a tile and a part of it.
        """
        masks: dict[int, NDArray[np.uint8]] = {}
        found = np.zeros(len(windows), dtype=bool)
        for k, (number, window) in enumerate(windows):
            if number not in masks:
                masks = {number: self.read_mask(self.tiles[number])}
            found[k] = masks[number][window.toslices()].any()
        return found

    def plot(self, sample: Sample, show_titles: bool = True, suptitle: str | None = None) -> Figure:
        """A figure of a sample: image, mask and, where there is one, the prediction.

        Args:
            sample: ``image`` in [0, 255] or [0, 1] and, as far as there are any, ``mask`` and
                ``prediction``.
            show_titles: Whether each panel has a title.
            suptitle: Title of the whole.
        """
        return plot_sample(sample, show_titles, suptitle)


def read_bands(
    path: Path,
    shape: tuple[int, int],
    window: Window | None,
    bands: Sequence[int],
    grid: PixelGrid | None = None,
) -> NDArray[Any]:
    """Bands of a tile's file, (bands, rows, cols) in its own type.

    Args:
        path: The file.
        shape: (rows, cols) that it has to have.
        window: The part to read; None for all.
        bands: Which bands, from 1.
        grid: Where it has to lie, if it says where it lies at all; None for anywhere.

    Raises:
        InputError: if the file is missing or broken, of another size, lies elsewhere, or has too
            few bands.
    """
    with open_image(path) as src:
        if src.shape != shape:
            raise InputError(
                f"{path} has {src.shape[0]} x {src.shape[1]} pixels, {shape[0]} x {shape[1]} were "
                "expected; image and mask of a tile have one size. Fetch the file again."
            )
        if src.count < max(bands):
            raise InputError(
                f"{path} has {src.count} band{'s' * (src.count != 1)}, at least {max(bands)} are "
                "needed."
            )
        if grid is not None and not (src.transform.is_identity or lies_at(src.transform, grid)):
            raise InputError(
                f"{path} begins at {src.transform.c:g}, {src.transform.f:g}, not at "
                f"{grid.transform.c:g}, {grid.transform.f:g} in {crs_name(grid.crs)}; it is "
                "another tile, or in another CRS. Fetch the file again."
            )
        values: NDArray[Any] = src.read([*bands], window=window)
        return values


def lies_at(transform: Affine, grid: PixelGrid) -> bool:
    """Whether a transform is that of a grid, to a hundredth of a pixel."""
    found = PixelGrid(grid.crs, transform, grid.shape)
    return grid.offset(found) == (0, 0)


def plot_sample(sample: Sample, show_titles: bool = True, suptitle: str | None = None) -> Figure:
    """A figure of image, mask and prediction of a sample, as far as it has them."""
    from matplotlib.colors import ListedColormap

    pyplot = require("matplotlib.pyplot", extra="view")
    panels: list[tuple[str, NDArray[Any]]] = []
    if "image" in sample:
        image = np.asarray(sample["image"][:3], dtype=np.float32).transpose(1, 2, 0)
        panels.append(("Image", np.clip(image / (255 if image.max(initial=0) > 1 else 1), 0, 1)))
    for name in ("mask", "prediction"):
        if name in sample:
            panels.append((name.capitalize(), np.asarray(sample[name]).squeeze()))
    if not panels:
        raise InputError(f"There is nothing to plot in a sample of {sorted(sample)}.")
    colours = ListedColormap([[level / 255 for level in colour] for colour in PALETTE])
    figure, axes = pyplot.subplots(1, len(panels), figsize=(4 * len(panels), 4), squeeze=False)
    for axis, (name, array) in zip(axes[0], panels, strict=True):
        style = {} if array.ndim == 3 else {"cmap": colours, "vmin": 0, "vmax": 1}
        axis.imshow(array, interpolation="none", **style)
        axis.axis("off")
        if show_titles:
            axis.set_title(name)
    if suptitle is not None:
        figure.suptitle(suptitle)
    made: Figure = figure
    return made
