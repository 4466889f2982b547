"""Made pixels beside real ones: hidden seams, means that are kept, enlarged pictures.

Images are float32 or uint8 (3, rows, cols) with values of 0 to 255.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from rsaug.errors import InputError

SEAM_PX = 12
"""How deep into the made part its colours are drawn to those around it."""

Image = NDArray[np.uint8] | NDArray[np.float32]

_BISECTIONS = 30
# Rows of blocks are worked on together as long as they have no more pixels than this.
_STRIP_PX = 1 << 20


def paste(
    original: NDArray[np.uint8], made: Image, mask: NDArray[np.bool_], seam_px: int = SEAM_PX
) -> NDArray[np.uint8]:
    """The original with what is made inside the mask, uint8 (3, rows, cols).

    Outside the mask not a bit changes. Inside, the colours near the seam are shifted by the
    smoothed difference of the two images outside, which fades out with the distance from the seam:
    seamless cloning (Pérez et al., "Poisson image editing", 2003) kept to a thin margin.

    Args:
        original: What is kept.
        made: What is put in; around the mask it should show the original.
        mask: (rows, cols), True where to put it.
        seam_px: Width of the margin.

    Raises:
        InputError: if the shapes differ.
    """
    if original.shape != made.shape or original.shape[1:] != mask.shape:
        raise InputError(
            f"The images of {original.shape} and {made.shape} and the mask of {mask.shape} do not "
            "fit each other."
        )
    inside: NDArray[np.float32] = made.astype(np.float32)
    if seam_px and mask.any() and not mask.all():
        known = (~mask).astype(np.float32)
        reach = seam_px / 3
        weight = ndimage.gaussian_filter(known, reach)
        difference = (original.astype(np.float32) - inside) * known
        shift = np.stack([ndimage.gaussian_filter(band, reach) for band in difference])
        shift /= np.maximum(weight, 1e-6)
        depth = ndimage.distance_transform_edt(mask)
        inside = inside + shift * np.clip(1 - (depth - 0.5) / seam_px, 0, 1)
    rounded = np.rint(np.clip(inside, 0, 255)).astype(np.uint8)
    pasted: NDArray[np.uint8] = np.where(mask, rounded, original)
    return pasted


def recolour(image: Image, like: Image, share: float = 1.0) -> NDArray[np.float32]:
    """The image with the colours of another, float32, not clipped.

    Mean and covariance of the bands become those of the other image by the linear map that moves
    colours least (Pitié & Kokaram, "The linear Monge-Kantorovitch linear colour mapping", 2007).

    Args:
        image: (3, rows, cols).
        like: Image of any size.
        share: How far to go, from 0, not at all, to 1, all the way.
    """
    colours = image.reshape(3, -1).astype(np.float64)
    wanted = like.reshape(3, -1).astype(np.float64)
    mean, theirs = colours.mean(1, keepdims=True), wanted.mean(1, keepdims=True)
    # A grey level's worth of noise, for bands that are alike or a single colour.
    own = np.cov(colours) + np.eye(3) / 12
    root = _root(own)
    inverse = np.linalg.inv(root)
    move = inverse @ _root(root @ (np.cov(wanted) + np.eye(3) / 12) @ root) @ inverse
    moved = move @ (colours - mean) + theirs
    mixed = colours + share * (moved - colours)
    recoloured: NDArray[np.float32] = mixed.reshape(image.shape).astype(np.float32)
    return recoloured


def _root(matrix: NDArray[np.float64]) -> NDArray[np.float64]:
    """Root of a symmetric matrix without negative eigenvalues."""
    values, vectors = np.linalg.eigh(matrix)
    root: NDArray[np.float64] = (vectors * np.sqrt(np.maximum(values, 0))) @ vectors.T
    return root


def reduce(image: Image, factor: int) -> NDArray[np.float64]:
    """Means of blocks of ``factor`` by ``factor`` pixels, (3, rows / factor, cols / factor).

    Raises:
        InputError: if the factor does not divide the sides.
    """
    bands, rows, cols = image.shape
    if rows % factor or cols % factor:
        raise InputError(f"An image of {cols} x {rows} pixels has no whole blocks of {factor}.")
    blocks = image.reshape(bands, rows // factor, factor, cols // factor, factor)
    means: NDArray[np.float64] = blocks.mean(axis=(2, 4), dtype=np.float64)
    return means


def enlarge(image: Image, factor: int) -> NDArray[np.float32]:
    """The image ``factor`` times as large by bicubic interpolation, float32, not clipped."""
    from PIL import Image as Pillow

    rows, cols = image.shape[1:]
    bands = [
        Pillow.fromarray(np.asarray(band, dtype=np.float32)).resize(
            (cols * factor, rows * factor), Pillow.Resampling.BICUBIC
        )
        for band in image
    ]
    enlarged: NDArray[np.float32] = np.stack([np.asarray(band) for band in bands])
    return enlarged


def back_project(image: Image, means: Image, factor: int, rounds: int = 8) -> NDArray[np.float32]:
    """The image with block means drawn to the given ones, smoothly; float32, not clipped.

    Iterated back-projection (Irani & Peleg 1991): what the means lack is enlarged and added.

    Args:
        image: (3, rows * factor, cols * factor).
        means: (3, rows, cols).
        factor: Side of a block.
        rounds: How often.
    """
    drawn = image.astype(np.float32)
    for _ in range(rounds):
        drawn = drawn + enlarge((means - reduce(drawn, factor)).astype(np.float32), factor)
    return drawn


def with_means(image: Image, means: NDArray[np.uint8], factor: int) -> NDArray[np.uint8]:
    """The image, uint8, whose block means are exactly the given ones.

    Each block is shifted by one number, which is found by bisection so that it holds after clipping
    to 0 to 255; then values are rounded down but for as many as the sum needs, those with the
    largest remainders.

    Args:
        image: (3, rows * factor, cols * factor).
        means: (3, rows, cols).
        factor: Side of a block.
    """
    strip = max(1, _STRIP_PX // max(1, means.shape[2] * factor**2))
    parts = [
        _with_means(image[:, top * factor : (top + strip) * factor], means[:, top : top + strip])
        for top in range(0, means.shape[1], strip)
    ]
    return np.concatenate(parts, axis=1)


def _with_means(image: Image, means: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The same of a part that is small enough to be worked on in double precision."""
    bands, rows, cols = means.shape
    factor = image.shape[1] // rows
    area = factor * factor
    blocks = image.astype(np.float64).reshape(bands, rows, factor, cols, factor)
    blocks = blocks.transpose(0, 1, 3, 2, 4).reshape(bands, rows, cols, area)
    wanted = means.astype(np.float64)
    low = -blocks.max(axis=-1)
    high = 255 - blocks.min(axis=-1)
    for _ in range(_BISECTIONS):
        middle = (low + high) / 2
        short = np.clip(blocks + middle[..., None], 0, 255).mean(axis=-1) < wanted
        low, high = np.where(short, middle, low), np.where(short, high, middle)
    blocks = np.clip(blocks + ((low + high) / 2)[..., None], 0, 255)
    floors = np.floor(blocks)
    lacking = np.rint(wanted * area - floors.sum(axis=-1)).astype(np.int64)
    order = np.argsort(np.argsort(floors - blocks, axis=-1, kind="stable"), axis=-1, kind="stable")
    exact = floors + (order < lacking[..., None])
    whole = exact.astype(np.uint8).reshape(bands, rows, cols, factor, factor)
    exactly: NDArray[np.uint8] = whole.transpose(0, 1, 3, 2, 4).reshape(image.shape)
    return np.ascontiguousarray(exactly)
