"""The finest detail of photographs, as noise where images are smoother than photographs are.

An autoencoder of a small latent keeps what it can say in it. The rest, the last pixels of gravel,
asphalt and sensor noise, is in nothing that is decoded, so even ground comes out as if it were
painted. That detail cannot be foretold, but how much of it there is can be measured. It is added as
grey noise, as codecs for films do (Norkin and Birkbeck, "Film Grain Synthesis for AV1 Video Codec",
DCC 2018), where an image has less; where it has enough it stays as it is.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

_FINE, _AROUND = 3, 9
"""Detail is what a mean over so many pixels does not have; it is measured in squares of so many."""

LEVEL = 1 / 127.5
"""A level of 255 in images of [-1, 1]."""


def fine_deviation(images: Tensor) -> Tensor:
    """Deviation of the finest grey detail around each pixel of images (n, 3, h, w): (n, 1, h, w).

    The root of the mean square, over 9x9 pixels, of what the mean over 3x3 pixels leaves.
    """
    grey = images.float().mean(1, keepdim=True)
    detail = grey - _mean(grey, _FINE)
    return _mean(detail**2, _AROUND).sqrt()


def add_grain(images: Tensor, noise: Tensor, floor: float) -> Tensor:
    """Images with as much noise as brings their finest detail up to a floor, not clamped.

    Args:
        images: (n, 3, h, w).
        noise: (n, 1, h, w), standard normal.
        floor: least deviation of the finest detail, in units of the images.
    """
    # Of white noise the mean over 3x3 pixels takes a ninth.
    kept = 1 - 1 / _FINE**2
    lacking = (floor**2 - fine_deviation(images) ** 2).clamp(min=0) / kept
    return images.float() + lacking.sqrt() * noise.to(images.device, torch.float32)


def draw_grain(shape: Sequence[int], generators: Sequence[torch.Generator] | None = None) -> Tensor:
    """Noise (n, 1, h, w) for images of ``shape`` (n, c, h, w).

    Drawn on the CPU, so that it does not depend on the device.

    Args:
        shape: of the images.
        generators: one an image; torch's own without.
    """
    sources: Sequence[torch.Generator | None] = generators or [None] * shape[0]
    return torch.stack([torch.randn(1, *shape[-2:], generator=source) for source in sources])


def _mean(x: Tensor, side: int) -> Tensor:
    """Means over squares around each pixel, mirrored at the edges."""
    return F.avg_pool2d(F.pad(x, [side // 2] * 4, mode="reflect"), side, 1)
