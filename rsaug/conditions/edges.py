"""Edge controls from a reference image."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

# Grey levels of gradient that count as a full edge; fixed, so that tiles of a mosaic agree.
_FULL_EDGE = 40.0


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
