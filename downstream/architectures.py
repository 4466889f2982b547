"""Networks from images to maps, by the name of their architecture and of their encoder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from rsaug.errors import InputError
from rsaug.optional import require

D_LINKNET = "dlinknet"
"""Our name of D-LinkNet, which segmentation_models_pytorch does not have."""

_DILATIONS = (1, 2, 4, 8)


class DilatedCentre(nn.Module):
    """The middle of D-LinkNet: features looked at in ever wider circles, without losing pixels.

    Zhou, Zhang and Wu 2018, "D-LinkNet: LinkNet with pretrained encoder and dilated convolution for
    high resolution satellite imagery road extraction", figure 2. Convolutions of growing dilation
    follow each other, and what each of them finds is added up.

    Args:
        channels: Of the features, in and out.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        steps = [
            nn.Conv2d(channels, channels, 3, padding=wide, dilation=wide) for wide in _DILATIONS
        ]
        self.steps = nn.ModuleList(steps)

    def forward(self, features: Tensor) -> Tensor:
        """Features (n, channels, rows, cols) of the same shape."""
        total = step_out = features
        for step in self.steps:
            step_out = torch.relu(step(step_out))
            total = total + step_out
        return total


class _CentredDecoder(nn.Module):
    """A decoder whose coarsest features go through something first."""

    def __init__(self, centre: nn.Module, decoder: nn.Module) -> None:
        super().__init__()
        self.centre = centre
        self.decoder = decoder

    def forward(self, features: Sequence[Tensor]) -> Tensor:
        """What the decoder makes of the features of an encoder, fine to coarse."""
        made: Tensor = self.decoder([*features[:-1], self.centre(features[-1])])
        return made


def architecture_names() -> tuple[str, ...]:
    """Names of the architectures.

    Raises:
        MissingExtra: if segmentation_models_pytorch is not installed.
    """
    smp = require("segmentation_models_pytorch", extra="eval")
    return (*smp.MODEL_ARCHITECTURES_MAPPING, D_LINKNET)


def make_network(
    architecture: str,
    encoder: str,
    *,
    in_channels: int = 3,
    classes: int = 1,
    imagenet: bool = False,
    options: Mapping[str, Any] | None = None,
) -> nn.Module:
    """A network of segmentation_models_pytorch, or a D-LinkNet.

    It takes images (n, in_channels, rows, cols), whose sides are multiples of its encoder's stride,
    to logits (n, classes, rows, cols).

    Args:
        architecture: One of `architecture_names`.
        encoder: Name of an encoder there, of timm with ``tu-`` before it.
        in_channels: Bands of the images.
        classes: Maps that come out.
        imagenet: Whether the encoder begins with weights from ImageNet, which are downloaded;
            else its weights are random and nothing is.
        options: What else the architecture takes.

    Raises:
        InputError: if there is no such architecture or encoder, they do not go together, or the
            weights cannot be had.
        MissingExtra: if segmentation_models_pytorch is not installed.
    """
    smp = require("segmentation_models_pytorch", extra="eval")
    dilated = architecture == D_LINKNET
    kind = smp.MODEL_ARCHITECTURES_MAPPING.get("linknet" if dilated else architecture)
    if kind is None:
        known = ", ".join(architecture_names())
        raise InputError(f"No architecture is called {architecture!r}; there are {known}.")
    made_of = {"in_channels": in_channels, "classes": classes, **(options or {})}
    weights = "imagenet" if imagenet else None
    try:
        network: Any = kind(encoder, encoder_weights=weights, **made_of)
    # By its own name, or by timm's.
    except (KeyError, RuntimeError) as error:
        raise InputError(
            f"No encoder is called {encoder!r}"
            + (" with weights from ImageNet" if imagenet else "")
            + "; see segmentation_models_pytorch for names."
        ) from error
    except OSError as error:
        raise InputError(
            f"The weights of {encoder!r} from ImageNet cannot be had ({error}); train without them."
        ) from error
    except (ValueError, NotImplementedError, TypeError) as error:
        raise InputError(
            f"The architecture {architecture!r} does not go with the encoder {encoder!r} ({error})."
        ) from error
    if dilated:
        centre = DilatedCentre(network.encoder.out_channels[-1])
        network.decoder = _CentredDecoder(centre, network.decoder)
    made: nn.Module = network
    return made
