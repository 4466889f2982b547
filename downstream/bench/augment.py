"""Classical augmentation of one sample at a time, each from a random number generator of its own.

That a sample's changes follow from its number in the order of samples alone is what lets two arms
see the same real sample in the same way.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, grid_sample, pad

from rsaug.downstream.bench.config import Augment
from rsaug.pipelines.train.loop import turn


class Strength(NamedTuple):
    """How far the strong augmentation goes.

    Attributes:
        zoom: Sizes are multiplied by a number between 1 / zoom and this, even in the logarithm.
        rotation_deg: Turned by an angle within this of 0, on top of quarter turns.
        gain: Each band is multiplied by a number within this of 1.
        shift: To each image, a share of the full range within this of 0 is added.
        saturation: Distance from grey is multiplied by a number within this of 1.
        gamma: Values are raised to a power between 1 / gamma and this, even in the logarithm.
        blur: Share of the samples that are blurred by 3 x 3 pixels.
        noise: Largest standard deviation of noise, in shares of the full range.
        cutout: Share of the samples of which a square of a quarter of a side is made grey.
    """

    zoom: float = 1.4
    rotation_deg: float = 20.0
    gain: float = 0.2
    shift: float = 0.1
    saturation: float = 0.4
    gamma: float = 1.3
    blur: float = 0.2
    noise: float = 0.03
    cutout: float = 0.3


STRONG = Strength()
"""What ``strong`` means."""


def augment(
    image: Tensor, mask: Tensor, how: Augment, rng: np.random.Generator
) -> tuple[Tensor, Tensor]:
    """A sample, changed.

    Args:
        image: (3, rows, cols) uint8; a square, unless ``how`` is ``none``.
        mask: (rows, cols) uint8, 0 or 1.
        how: ``none``; ``light``, turned by quarters and mirrored; ``strong``, that and `STRONG`.
        rng: Where all randomness comes from.

    Returns:
        Image (3, rows, cols) float32 in [0, 255] and mask (rows, cols) float32, 0 or 1. What lies
        beyond the edge of a sample is mirrored in both.
    """
    x, y = image.float(), mask.float()
    if how == "none":
        return x, y
    quarter, mirror = int(rng.integers(4)), bool(rng.integers(2))
    x, y = turn(x, quarter, mirror), turn(y, quarter, mirror)
    if how == "light":
        return x, y
    x, y = _moved(x, y, rng)
    return _cut_out(_coloured(x, rng), rng), y


def _moved(x: Tensor, y: Tensor, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
    """Zoomed and turned around a point, so that what is seen stays within the sample."""
    zoom = STRONG.zoom ** float(rng.uniform(-1, 1))
    angle = math.radians(float(rng.uniform(-STRONG.rotation_deg, STRONG.rotation_deg)))
    off = rng.uniform(-1, 1, 2) * max(0.0, 1 - 1 / zoom)
    cos, sin = math.cos(angle) / zoom, math.sin(angle) / zoom
    matrix = torch.tensor([[[cos, -sin, off[0]], [sin, cos, off[1]]]], dtype=torch.float32)
    grid = torch.nn.functional.affine_grid(matrix, [1, 1, *y.shape], align_corners=False)
    moved = grid_sample(x[None], grid, "bilinear", padding_mode="reflection", align_corners=False)
    roads = grid_sample(
        y[None, None], grid, "nearest", padding_mode="reflection", align_corners=False
    )
    return moved[0], roads[0, 0]


def _coloured(x: Tensor, rng: np.random.Generator) -> Tensor:
    """In other light, with other colours, less sharp, with noise."""
    gain = torch.from_numpy(rng.uniform(1 - STRONG.gain, 1 + STRONG.gain, (3, 1, 1))).float()
    shift = 255 * float(rng.uniform(-STRONG.shift, STRONG.shift))
    saturation = float(rng.uniform(1 - STRONG.saturation, 1 + STRONG.saturation))
    gamma = STRONG.gamma ** float(rng.uniform(-1, 1))
    blurred, noise = bool(rng.random() < STRONG.blur), float(rng.uniform(0, STRONG.noise))
    grain = torch.from_numpy(rng.standard_normal(tuple(x.shape), dtype=np.float32))
    grey = x.mean(0, keepdim=True)
    x = (grey + saturation * (x - grey)) * gain + shift
    x = 255 * (x.clamp(0, 255) / 255) ** gamma
    if blurred:
        x = avg_pool2d(pad(x[None], (1, 1, 1, 1), mode="reflect"), 3, stride=1)[0]
    return (x + 255 * noise * grain).clamp(0, 255)


def _cut_out(x: Tensor, rng: np.random.Generator) -> Tensor:
    """With a square of no information, now and then; the roads under it stay in the mask."""
    asked, (row, col) = bool(rng.random() < STRONG.cutout), rng.random(2)
    if asked:
        rows, cols = x.shape[1:]
        side = min(rows, cols) // 4
        top, left = int(row * (rows - side)), int(col * (cols - side))
        x[:, top : top + side, left : left + side] = x.mean()
    return x
