"""The two sizes of CRS-Diff, as configurations of the same classes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from diffusers import UNet2DConditionModel

from rsaug.pipelines.adapter import LocalAdapter
from rsaug.pipelines.content import ContentAdapter
from rsaug.pipelines.metadata import MetadataEmbedding, MetadataRanges


@dataclass(frozen=True)
class Preset:
    """Configurations of the trained parts; the autoencoder and the text encoder are given.

    Attributes:
        unet: arguments of :class:`diffusers.UNet2DConditionModel`.
        adapter: arguments of :class:`LocalAdapter`.
        content: arguments of :class:`ContentAdapter`.
        metadata: arguments of :class:`MetadataEmbedding`.
    """

    unet: Mapping[str, Any]
    adapter: Mapping[str, Any] = field(default_factory=dict)
    content: Mapping[str, Any] = field(default_factory=dict)
    metadata: Mapping[str, Any] = field(default_factory=dict)

    def fitted(self, latent_channels: int, ranges: MetadataRanges) -> Preset:
        """The preset for an autoencoder and for the metadata of some training data.

        Args:
            latent_channels: channels of the latent.
            ranges: minimum and maximum of each metadata field.
        """
        channels = {"in_channels": latent_channels}
        return Preset(
            unet={**self.unet, **channels, "out_channels": latent_channels},
            adapter={**self.adapter, **channels},
            # Mean and deviation of each channel: rsaug.pipelines.content.latent_statistics.
            content={**self.content, "content_dim": 2 * latent_channels},
            metadata={**self.metadata, "ranges": ranges},
        )


SD15 = Preset(
    unet={
        "sample_size": 64,
        "in_channels": 4,
        "out_channels": 4,
        "block_out_channels": (320, 640, 1280, 1280),
        "cross_attention_dim": 768,
        "attention_head_dim": 8,
        "class_embed_type": "identity",
    },
)
"""The published model: 859.52 M in the UNet, 419.46 M in the adapter."""

_CONTEXT = 192

DEFAULT = Preset(
    unet={
        "sample_size": 32,
        "block_out_channels": (128, 192, 256),
        "down_block_types": ("DownBlock2D", "DownBlock2D", "CrossAttnDownBlock2D"),
        "up_block_types": ("CrossAttnUpBlock2D", "UpBlock2D", "UpBlock2D"),
        "layers_per_block": 1,
        "cross_attention_dim": _CONTEXT,
        "attention_head_dim": 8,
        "class_embed_type": "identity",
    },
    adapter={
        "presence_channels": 6,
        "block_out_channels": (64, 96, 128),
        "residual_channels": (128, 192, 256),
        "attention_levels": (False, False, False),
        "layers_per_block": 1,
        "cross_attention_dim": _CONTEXT,
        "num_attention_heads": 4,
        "stem_channels": (16, 32, 32, 64, 64),
        "inject_channels": (96, 128, 160),
        "zero_init": False,
    },
    content={"cross_attention_dim": _CONTEXT},
    metadata={
        "embedding_dim": 128,
        "out_channels": 512,
        "learned_null": True,
    },
)
"""The small model that is shipped, to be fitted to its autoencoder and to the training data."""


def make_networks(
    preset: Preset,
) -> tuple[UNet2DConditionModel, LocalAdapter, MetadataEmbedding, ContentAdapter]:
    """Untrained networks of a preset."""
    return (
        UNet2DConditionModel(**preset.unet),
        LocalAdapter(**preset.adapter),
        MetadataEmbedding(**preset.metadata),
        ContentAdapter(**preset.content),
    )
