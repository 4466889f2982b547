"""Appearance: colour, brightness, contrast and green of images, as numbers to be compared."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from rsaug.downstream.consistency import interval_of, resample
from rsaug.optional import require

GREEN = 0.05
"""A pixel is green where its excess green is above this.

Of thresholds from 0 to 0.15 this one agrees best with NDVI > 0.1 on NAIP: in 90 % of the pixels of
84 training tiles, and the shares of tiles correlate by 0.93.
"""

MEASURES = ("lightness L*", "green to red a*", "blue to yellow b*", "contrast", "green share")
"""What `appearance` measures of an image, in order."""


BY = "CIE Lab, excess green"
"""What they are measured by, for a report."""


def lab(images: NDArray[np.uint8], batch: int = 16) -> NDArray[np.float32]:
    """CIE Lab (1976, D65) of sRGB images.

    Args:
        images: (n, 3, rows, cols) uint8.
        batch: How many are worked on together.

    Returns:
        (n, 3, rows, cols) float32: L* from 0 to 100, a* and b* about -100 to 100. A difference of
        2.3 in Euclidean length can just be seen between two patches.

    Raises:
        MissingExtra: if kornia, which torchgeo brings, is not installed.
    """
    color: Any = require("kornia.color", extra="eval")
    out = np.empty(images.shape, dtype=np.float32)
    for first in range(0, len(images), batch):
        part = torch.from_numpy(images[first : first + batch].copy())
        out[first : first + batch] = color.rgb_to_lab(part.float() / 255).numpy()
    return out


def excess_green(images: NDArray[np.uint8]) -> NDArray[np.float32]:
    """(2G - R - B) / (R + G + B) of each pixel, from -1 to 2 (Woebbecke et al. 1995); 0 in black.

    Args:
        images: (n, 3, rows, cols) uint8 RGB.

    Returns:
        (n, rows, cols) float32.
    """
    total = images.sum(axis=1, dtype=np.float32)
    green: NDArray[np.float32] = (3 * images[:, 1].astype(np.float32) - total) / np.maximum(
        total, 1
    )
    return green


def appearance(images: NDArray[np.uint8]) -> NDArray[np.float64]:
    """What images look like in a few numbers, (n, 5) in the order of `MEASURES`.

    Mean L*, a* and b*; the standard deviation of L* over the image; the share of green pixels.

    Args:
        images: (n, 3, rows, cols) uint8 RGB.

    Raises:
        MissingExtra: as `lab`.
    """
    out = np.empty((len(images), len(MEASURES)))
    colours = lab(images)
    out[:, :3] = colours.mean(axis=(2, 3), dtype=np.float64)
    out[:, 3] = colours[:, 0].std(axis=(1, 2), dtype=np.float64)
    out[:, 4] = (excess_green(images) > GREEN).mean(axis=(1, 2))
    return out


def colour_distance(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
    """Distances (CIE 1976) of mean colours, (n,), of rows (n, 5) of `appearance`."""
    distance: NDArray[np.float64] = np.linalg.norm(a[:, :3] - b[:, :3], axis=1)
    return distance


def over_places(
    values: NDArray[Any], places: NDArray[np.str_], seed: int = 0
) -> tuple[float, float, float]:
    """Mean of values with its interval over places.

    Args:
        values: (n,) numbers, one an image.
        places: (n,) where each is from; the bootstrap draws places with all their images.
        seed: Of the bootstrap.

    Returns:
        The mean over images, and the lower and upper end of its interval; NaN at both ends where
        there is but one place.
    """
    names, place_of = np.unique(places, return_inverse=True)
    sums = np.zeros((len(names), 2))
    np.add.at(sums, place_of, np.stack([values, np.ones(len(values))], axis=1))
    mean = float(np.mean(values))
    if len(names) < 2:
        return mean, np.nan, np.nan
    drawn = resample(sums, seed)
    return mean, *interval_of(drawn[:, 0] / drawn[:, 1])
