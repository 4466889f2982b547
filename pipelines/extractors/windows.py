"""Large images through a network window by window, with the pixels of one pass over the whole."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor


def by_windows(
    network: Callable[[Tensor], Tensor],
    image: Tensor,
    *,
    window: int,
    halo: int,
    step: int,
) -> Tensor:
    """What ``network`` makes of an image, computed in windows where it is large.

    Every window starts on a multiple of ``step`` and sees ``halo`` pixels around what is kept of
    it. Where the halo is at least as wide as the reach of the network, and ``step`` a multiple of
    its total stride, this equals one pass over the whole image but for rounding.

    Args:
        network: From (1, channels, rows, cols) to (1, maps, rows, cols).
        image: (1, channels, rows, cols).
        window: Side of what is kept of a window, in pixels; a multiple of ``step``.
        halo: Pixels seen around it; a multiple of ``step``.
        step: Stride of the network.

    Returns:
        (1, maps, rows, cols).
    """
    rows, cols = image.shape[-2:]
    if rows <= window + 2 * halo and cols <= window + 2 * halo:
        return network(image)
    bands = []
    for top, bottom in _cuts(rows, window):
        pieces = []
        for left, right in _cuts(cols, window):
            north, west = max(0, top - halo), max(0, left - halo)
            made = network(image[..., north : bottom + halo, west : right + halo])
            pieces.append(made[..., top - north : bottom - north, left - west : right - west])
        bands.append(torch.cat(pieces, -1))
    return torch.cat(bands, -2)


def _cuts(length: int, window: int) -> Iterator[tuple[int, int]]:
    for start in range(0, length, window):
        yield start, min(start + window, length)
