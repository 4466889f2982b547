"""Style: whether images come nearer to a style image in colour and in latents."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rsaug.downstream.evaluation.appearance import lab, over_places
from rsaug.downstream.evaluation.autoencoder import Autoencoder
from rsaug.downstream.evaluation.report import Row, counted
from rsaug.downstream.evaluation.tiles import Tiles
from rsaug.errors import InputError
from rsaug.raster import read_rgb

# The part of a style image that generators look at: its middle, in multiples of 32 pixels.
_MOST, _STEP = 512, 32

Statistics = Callable[[NDArray[np.uint8]], NDArray[np.floating]]
"""From images (n, 3, rows, cols) uint8 to numbers (n, d)."""


def style_rows(
    style: Path, ours: Tiles, theirs: Tiles, autoencoder: Autoencoder | None, seed: int = 0
) -> list[Row]:
    """Distance of two runs of the same tiles to a style image, and the difference.

    Args:
        style: Image that the run was given.
        ours: Images of the run.
        theirs: Those of the baseline, in the same order.
        autoencoder: Of the model, for statistics of latents; without it they are left out.
        seed: Of the bootstrap over places.

    Returns:
        For each kind of statistics the mean distance of both sides, and their difference: below 0
        where the run is nearer to the style image.

    Raises:
        InputError: if the image cannot be read, or is smaller than 32 pixels.
    """
    middle = _middle(style)[np.newaxis]
    kinds: dict[str, tuple[Statistics, str]] = {
        "mean colour to style": (_mean_colour, "CIE Lab"),
        "spread of colour to style": (_spread_of_colour, "CIE Lab"),
    }
    if autoencoder is not None:
        kinds["latent statistics to style"] = autoencoder.statistics, autoencoder.name
    rows = []
    n = counted(len(ours), "image")
    for measure, (statistics, by) in kinds.items():
        goal = statistics(middle)
        near, far = (np.linalg.norm(statistics(t.images) - goal, axis=1) for t in (ours, theirs))
        for of, values in (("this run", near), ("the baseline", far), ("difference", near - far)):
            rows.append(Row(measure, of, *over_places(values, ours.places, seed), n, by))
    return rows


def _mean_colour(images: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Mean L*, a* and b* of images, (n, 3)."""
    mean: NDArray[np.float64] = lab(images).mean(axis=(2, 3), dtype=np.float64)
    return mean


def _spread_of_colour(images: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Standard deviation of L*, a* and b* over images, (n, 3)."""
    spread: NDArray[np.float64] = lab(images).std(axis=(2, 3), dtype=np.float64)
    return spread


def _middle(path: Path) -> NDArray[np.uint8]:
    """The part of a style image (3, rows, cols) that a generator looks at."""
    rgb = read_rgb(path)
    rows, cols = (min(_MOST, side // _STEP * _STEP) for side in rgb.shape[1:])
    if not rows or not cols:
        raise InputError(f"{path} is too small for a style image: {rgb.shape[1:]} pixels.")
    top, left = (rgb.shape[1] - rows) // 2, (rgb.shape[2] - cols) // 2
    return rgb[:, top : top + rows, left : left + cols]
