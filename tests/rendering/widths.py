"""Sizes of the model; every width of a small one follows the same rules as at full size."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Widths:
    """Widths of all parts; the defaults are the published ones.

    GroupNorm has 32 groups everywhere, so `model_channels` and `vae_channels` are multiples of 32;
    `context` is a multiple of `text_heads`.
    """

    model_channels: int = 320
    """Of the UNet's first level; also the width of both kinds of sinusoid."""
    channel_mult: tuple[int, ...] = (1, 2, 4, 4)
    res_blocks: int = 2
    """For each level."""
    heads: int = 8
    latent_channels: int = 4
    context: int = 768
    """Of the text tokens, of the content embedding and of its tokens."""
    content_tokens: int = 4
    local_channels: int = 18
    """Six maps of three channels."""
    stem: tuple[int, ...] = (32, 64, 64, 128, 128)
    inject: tuple[int, ...] = (192, 256, 384, 512)
    """Of the local features, one a level."""
    vocabulary: int = 49408
    text_tokens: int = 77
    text_layers: int = 12
    text_heads: int = 12
    vae_channels: int = 128
    vae_mult: tuple[int, ...] = (1, 2, 4, 4)

    @property
    def time_channels(self) -> int:
        """Of the time embedding after its MLP."""
        return 4 * self.model_channels

    @property
    def levels(self) -> tuple[int, ...]:
        """Channels of each level of the UNet."""
        return tuple(self.model_channels * mult for mult in self.channel_mult)


FULL = Widths()
"""As published: 1.536 billion parameters."""

TOY = Widths(
    model_channels=32,
    context=32,
    stem=(8, 8, 8, 16, 16),
    inject=(16, 16, 24, 32),
    vocabulary=64,
    text_layers=2,
    text_heads=4,
    vae_channels=32,
)
"""Every block of the full model, a tenth as wide; only the text model has fewer layers."""
