"""Edge and relief controls from a reference image, without a network.

Each stands in for a network whose weights need not be at hand: soft edges for HED, line segments
for M-LSD, strokes for sketch simplification, relief for monocular depth. All scales are fixed, none
is taken from the image at hand, so the tiles of a mosaic agree away from their borders: filters
mirror the image at its border, and their numbers differ from the mosaic's in a band as wide as they
reach (`BORDER_PX`).
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from rsaug.conditions.strokes import draw_segments, spread_softly
from rsaug.errors import InputError
from rsaug.optional import require

BORDER_PX: Mapping[str, int] = MappingProxyType(
    {"soft_edges": 6, "sketch_strokes": 9, "relief": 48}
)
"""How wide the band along the border is in which a map of an image differs from that of a mosaic.

With the default widths. Line segments have no such band: see `line_segments`.
"""

# Grey levels of gradient that count as a full edge; fixed, so that tiles of a mosaic agree.
_FULL_EDGE = 40.0
_FULL_STROKE = 20.0
# Luma of ITU-R BT.601, as OpenCV's grey.
_LUMA = np.array([0.299, 0.587, 0.114], dtype=np.float32)
# A stroke as wide as those of `rsaug.conditions.edges.sketch_map`.
_STROKE_SIGMA_PX = 0.7
_RELIEF_FINE_PX, _RELIEF_COARSE_PX, _RELIEF_REACH = 2.0, 16.0, 3.0


def soft_edges(rgb: NDArray[np.uint8], sigma: float = 1.5) -> NDArray[np.float32]:
    """Soft edges for the hed slot, float32 (rows, cols) in [0, 1].

    The largest Gaussian gradient magnitude of the three bands (Canny 1986, without thinning). It
    stands in for the HED network, whose weights are not needed to make it.

    Args:
        rgb: (rows, cols, 3) image.
        sigma: Width of the Gaussian in pixels.
    """
    image = rgb.astype(np.float32)
    bands = [ndimage.gaussian_gradient_magnitude(image[..., b], sigma) for b in range(3)]
    strength: NDArray[np.float32] = np.max(bands, axis=0) / _FULL_EDGE
    return np.clip(strength, 0, 1).astype(np.float32)


def line_segments(rgb: NDArray[np.uint8], shortest_px: float = 12.0) -> NDArray[np.uint8]:
    """Straight line segments for the mlsd slot, uint8 0/1 (rows, cols), one pixel wide.

    Found by LSD (Grompone von Gioi et al. 2010), as OpenCV has it; a pixel is on a segment when its
    centre lies within half a pixel. A segment that the border of the image cuts is found by what is
    left of it, and how little contrast is enough depends slightly on the size of the image, so
    tiles of a mosaic agree on long, clear segments only.

    Args:
        rgb: (rows, cols, 3) image.
        shortest_px: Shorter segments are left out.

    Raises:
        InputError: if it is no such image.
        MissingExtra: if OpenCV is not installed.
    """
    _check(rgb)
    cv2 = require("cv2", extra="image")
    grey = np.round(rgb @ _LUMA).astype(np.uint8)
    detector = cv2.createLineSegmentDetector(cv2.LSD_REFINE_STD)
    found = detector.detect(grey)[0]
    if found is None:
        return np.zeros(grey.shape, dtype=np.uint8)
    # OpenCV counts from the centre of the first pixel, segments here from its corner.
    ends = np.asarray(found, dtype=np.float64).reshape(-1, 4) + 0.5
    length = np.hypot(ends[:, 2] - ends[:, 0], ends[:, 3] - ends[:, 1])
    return draw_segments(ends[length >= shortest_px], grey.shape).astype(np.uint8)


def sketch_strokes(
    rgb: NDArray[np.uint8], sigma: float = 1.5, *, weakest: float = 8.0
) -> NDArray[np.float32]:
    """Dark strokes on a light ground for the sketch slot, float32 (rows, cols) in [0, 1].

    The crests of the gradient (Canny 1986: non-maximum suppression along the gradient, on the
    colour band where it is steepest), drawn as strokes about two pixels wide, the darker the
    steeper up to 20 grey levels a pixel.

    Args:
        rgb: (rows, cols, 3) image.
        sigma: Width of the Gaussian in pixels.
        weakest: Least gradient of a stroke, in grey levels a pixel.

    Raises:
        InputError: if it is no such image.
    """
    _check(rgb)
    image = rgb.astype(np.float32)
    slopes = np.empty((2, *rgb.shape), dtype=np.float32)
    for axis, slope in enumerate(slopes):
        for band in range(3):
            order = (1, 0) if axis == 0 else (0, 1)
            ndimage.gaussian_filter(image[..., band], sigma, order, output=slope[..., band])
    steepest = np.argmax((slopes**2).sum(axis=0), axis=-1)[..., None]
    down, right = (np.take_along_axis(slope, steepest, axis=-1)[..., 0] for slope in slopes)
    size = np.hypot(down, right)
    crest = _is_crest(size, down, right) & (size >= weakest)
    marks = np.where(crest, np.minimum(size / _FULL_STROKE, 1), 0).astype(np.float32)
    return 1 - spread_softly(marks, _STROKE_SIGMA_PX, reach_px=2)


def _is_crest(
    size: NDArray[np.float32], down: NDArray[np.float32], right: NDArray[np.float32]
) -> NDArray[np.bool_]:
    """Whether a gradient is the largest along its direction, to the nearest eighth of a turn."""
    padded = np.pad(size, 1)
    rows, cols = size.shape
    octant = np.round(np.arctan2(down, right) / (np.pi / 4)).astype(np.intp) % 4
    crest = np.zeros(size.shape, dtype=bool)
    for i, (row, col) in enumerate(((0, 1), (1, 1), (1, 0), (1, -1))):
        after = padded[1 + row : 1 + row + rows, 1 + col : 1 + col + cols]
        before = padded[1 - row : 1 - row + rows, 1 - col : 1 - col + cols]
        # Of two equal neighbours one is the crest.
        crest |= (octant == i) & (size > before) & (size >= after)
    return crest


def relief(rgb: NDArray[np.uint8]) -> NDArray[np.float32]:
    """A stand-in for depth where no network is at hand, float32 (rows, cols) in [0, 1].

    This measures no depth. It is the luma against that of the surroundings: roofs and crowns in
    the sun come out light, shadows and ground dark, flat ground at 0.5; a dark roof comes out low
    and a bright road high. 0.5 + 0.5 tanh((G2 - G16) / 40) with the luma blurred by Gaussians of 2
    and 16 pixels.

    Args:
        rgb: (rows, cols, 3) image.

    Raises:
        InputError: if it is no such image.
    """
    _check(rgb)
    luma = _luma(rgb)
    fine, coarse = (
        ndimage.gaussian_filter(luma, width, truncate=_RELIEF_REACH)
        for width in (_RELIEF_FINE_PX, _RELIEF_COARSE_PX)
    )
    raised: NDArray[np.float32] = 0.5 + 0.5 * np.tanh((fine - coarse) / _FULL_EDGE)
    return raised.astype(np.float32)


def _luma(rgb: NDArray[np.uint8]) -> NDArray[np.float32]:
    luma: NDArray[np.float32] = rgb.astype(np.float32) @ _LUMA
    return luma


def _check(rgb: NDArray[np.uint8]) -> None:
    if rgb.ndim != 3 or rgb.shape[2] != 3 or rgb.dtype != np.uint8 or not rgb.size:
        raise InputError(f"An image is a uint8 array (rows, cols, 3), not {rgb.dtype} {rgb.shape}.")
