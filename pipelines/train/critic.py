"""A network that tells photographs from what a decoder makes, patch by patch."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise

from torch import Tensor, nn
from torch.nn.functional import relu
from torch.nn.utils.parametrizations import spectral_norm


class PatchCritic(nn.Module):
    """A score for each patch of an image (PatchGAN, Isola et al. 2017), spectrally normalised.

    Three strides of two; a score sees 70 x 70 pixels.

    Args:
        width: channels of the first layer; they double twice and stay.
    """

    def __init__(self, width: int = 48) -> None:
        super().__init__()
        widths = (3, width, 2 * width, 4 * width, 4 * width)
        layers: list[nn.Module] = []
        for k, (before, after) in enumerate(pairwise(widths)):
            conv = nn.Conv2d(before, after, 4, stride=2 if k < 3 else 1, padding=1)
            layers += [spectral_norm(conv), nn.LeakyReLU(0.2)]
        self.layers = nn.Sequential(*layers, spectral_norm(nn.Conv2d(widths[-1], 1, 4, padding=1)))

    def forward(self, images: Tensor) -> Tensor:
        """Scores (n, 1, h/8 - 2, w/8 - 2) of images (n, 3, h, w): high for photographs."""
        scores: Tensor = self.layers(images)
        return scores


def hinge_loss(real: Tensor, made: Tensor) -> Tensor:
    """What the critic makes small: scores of photographs above 1, of made images below -1."""
    return (relu(1 - real.float()).mean() + relu(1 + made.float()).mean()) / 2


@contextmanager
def held(network: nn.Module) -> Iterator[None]:
    """Gradients pass through a network inside, and none reach its weights."""
    kept = [p for p in network.parameters() if p.requires_grad]
    for parameter in kept:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in kept:
            parameter.requires_grad_(True)
