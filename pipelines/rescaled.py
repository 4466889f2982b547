"""Tiles with larger pixels than the model was trained on: made with the model's, and averaged."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from affine import Affine
from numpy.typing import NDArray
from torch.nn import functional as F

from rsaug.conditions.stack import ControlStack
from rsaug.grid import Tile
from rsaug.pipelines.generate import CRSDiffGenerator
from rsaug.pipelines.metadata import FIELDS
from rsaug.requests import TileRequest

LARGEST_FACTOR = 4.0
"""Pixels that are larger by more than this are left to the model as they are.

The work grows with the square, and what a tile of kilometres looks like is not told by parts of it.
"""


class RescaledGenerator:
    """Tiles at a GSD that the model has not seen, by way of one that it has.

    Roads and houses of a few pixels are nothing that a model of finer imagery can draw. So the
    control maps are enlarged, the image is made at the model's GSD and averaged over the pixels
    that were asked for. Its sides are the nearest multiple of what the networks take, so its scale
    is off by some percent.

    Args:
        generator: the model with its settings.
        gsd_m: the GSD at which images are made.
        side: side of these images in pixels.
    """

    def __init__(self, generator: CRSDiffGenerator, gsd_m: float, side: int) -> None:
        self.generator, self.gsd_m, self.side = generator, gsd_m, side
        self.batch_size = generator.batch_size

    def generate(self, requests: Sequence[TileRequest]) -> list[NDArray[np.uint8]]:
        """RGB of each request, uint8 (3, rows, cols).

        Raises:
            ValueError: if what the networks make is no image, but NaN or infinite.
            MemoryError: if there is not enough memory.
        """
        images = self.generator.generate([self._enlarged(request) for request in requests])
        pairs = zip(images, requests, strict=True)
        return [_averaged(image, request.tile.shape) for image, request in pairs]

    def reach(self, tile: Tile) -> tuple[range, range] | None:
        """None: a tile depends on its own conditions alone."""
        return self.generator.reach(tile)

    def describe(self) -> dict[str, object]:
        """The model, its settings and at which scale it works; JSON-able."""
        return {
            **self.generator.describe(),
            "rescaled": {"gsd_m": self.gsd_m, "side_px": self.side},
        }

    def seconds_per_tile(self, tile_size: int) -> float:
        """Estimate: the time of the image that is averaged, whatever the size of the tile."""
        return self.generator.seconds_per_tile(self.side)

    def sees(self, control: str) -> bool:
        """Whether the model was trained on a control."""
        return self.generator.sees(control)

    def notes(self, gsd_m: float, controls: Sequence[str] = ()) -> list[str]:
        """What of the settings the model cannot follow, one sentence each."""
        return [
            *self.generator.notes(self.gsd_m, controls),
            f"The model was trained on pixels of {self.gsd_m:g} m at most: images are made at "
            f"that, {self.side} x {self.side}, and averaged to pixels of {gsd_m:g} m.",
        ]

    def _enlarged(self, request: TileRequest) -> TileRequest:
        shape = (self.side, self.side)
        controls = request.controls
        return replace(
            request,
            tile=_about(request.tile, self.gsd_m, self.side),
            controls=ControlStack(_enlarged(controls.maps, shape), controls.present),
            regions={
                name: _enlarged(region[None], shape)[0] for name, region in request.regions.items()
            },
        )


def rescaled(
    generator: CRSDiffGenerator, gsd_m: float, tile_size: int
) -> CRSDiffGenerator | RescaledGenerator:
    """A generator for tiles of ``tile_size`` pixels of ``gsd_m`` metres: the same, or rescaled.

    It is the same where the model was not told the GSD of its images, where ``gsd_m`` is no
    larger than one it knows, and where it is more than `LARGEST_FACTOR` times as large.
    """
    limits = generator.pipe.metadata_embedding.config.ranges[FIELDS.index("gsd")]
    if limits is None or not 1 < gsd_m / limits[1] <= LARGEST_FACTOR:
        return generator
    step = generator.pipe.side_px
    side = round(tile_size * gsd_m / limits[1] / step) * step
    return generator if side <= tile_size else RescaledGenerator(generator, limits[1], side)


def _about(tile: Tile, gsd_m: float, side: int) -> Tile:
    """A tile of so many pixels of that GSD, with the same middle."""
    pixel = tile.transform.a * gsd_m / tile.gsd_m
    x, y = tile.transform @ (tile.shape[1] / 2, tile.shape[0] / 2)
    corner = Affine.translation(x - pixel * side / 2, y + pixel * side / 2)
    return Tile.from_transform(corner @ Affine.scale(pixel, -pixel), (side, side), tile.crs)


def _enlarged(maps: NDArray[np.float32], shape: tuple[int, int]) -> NDArray[np.float32]:
    """Maps (n, rows, cols) with larger sides, and no value that was not there.

    Colours of classes have nothing between them.
    """
    larger = F.interpolate(torch.from_numpy(maps)[None], shape, mode="nearest-exact")
    return np.asarray(larger[0].numpy())


def _averaged(image: NDArray[np.uint8], shape: tuple[int, int]) -> NDArray[np.uint8]:
    """An image (3, rows, cols) with smaller sides, free of aliasing."""
    pixels = torch.from_numpy(image)[None].float()
    small = F.interpolate(pixels, shape, mode="bilinear", antialias=True)
    return np.asarray(small[0].round().clamp(0, 255).byte().numpy())
