"""The two sizes of CRS-Diff, as configurations of the same classes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from diffusers import AutoencoderKL, DDIMScheduler, UNet2DConditionModel

from rsaug.optional import require
from rsaug.pipelines.adapter import LocalAdapter
from rsaug.pipelines.content import ContentAdapter
from rsaug.pipelines.metadata import MetadataEmbedding, MetadataRanges
from rsaug.pipelines.pipeline import CRSDiffPipeline


@dataclass(frozen=True)
class Preset:
    """Configurations of a model's parts.

    Parts that are given rather than trained have none in :data:`DEFAULT`.

    Attributes:
        unet: arguments of :class:`diffusers.UNet2DConditionModel`.
        adapter: arguments of :class:`LocalAdapter`.
        content: arguments of :class:`ContentAdapter`.
        metadata: arguments of :class:`MetadataEmbedding`.
        vae: arguments of :class:`diffusers.AutoencoderKL`.
        text_encoder: arguments of :class:`transformers.CLIPTextConfig`.
        image_encoder: arguments of :class:`transformers.CLIPVisionConfig`.
        scheduler: arguments of :class:`diffusers.DDIMScheduler`.
    """

    unet: Mapping[str, Any]
    adapter: Mapping[str, Any] = field(default_factory=dict)
    content: Mapping[str, Any] = field(default_factory=dict)
    metadata: Mapping[str, Any] = field(default_factory=dict)
    vae: Mapping[str, Any] = field(default_factory=dict)
    text_encoder: Mapping[str, Any] = field(default_factory=dict)
    image_encoder: Mapping[str, Any] = field(default_factory=dict)
    scheduler: Mapping[str, Any] = field(default_factory=dict)

    def fitted(self, latent_channels: int, ranges: MetadataRanges) -> Preset:
        """The preset for an autoencoder and for the metadata of some training data.

        Args:
            latent_channels: channels of the latent.
            ranges: minimum and maximum of each metadata field.
        """
        channels = {"in_channels": latent_channels}
        return replace(
            self,
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
    vae={
        "sample_size": 512,
        "latent_channels": 4,
        "block_out_channels": (128, 256, 512, 512),
        "down_block_types": ("DownEncoderBlock2D",) * 4,
        "up_block_types": ("UpDecoderBlock2D",) * 4,
        "layers_per_block": 2,
        "scaling_factor": 0.18215,
    },
    text_encoder={
        "vocab_size": 49408,
        "hidden_size": 768,
        "intermediate_size": 3072,
        "projection_dim": 768,
        "num_hidden_layers": 12,
        "num_attention_heads": 12,
        "max_position_embeddings": 77,
        "hidden_act": "quick_gelu",
        "bos_token_id": 49406,
        "eos_token_id": 49407,
        # CLIP pads with the end of text.
        "pad_token_id": 49407,
    },
    image_encoder={
        "hidden_size": 1024,
        "intermediate_size": 4096,
        "projection_dim": 768,
        "num_hidden_layers": 24,
        "num_attention_heads": 16,
        "image_size": 224,
        "patch_size": 14,
        "hidden_act": "quick_gelu",
    },
    scheduler={
        "beta_schedule": "scaled_linear",
        "beta_start": 0.00085,
        "beta_end": 0.012,
        "timestep_spacing": "leading",
        "steps_offset": 1,
        "set_alpha_to_one": False,
        "clip_sample": False,
    },
)
"""The published model: 859.52 M in the UNet, 419.46 M in the adapter, 83.65 M in the autoencoder,
123.06 M in the text encoder; CLIP ViT-L/14 reads content images."""

_CONTEXT = 192

DEFAULT = Preset(
    unet={
        "sample_size": 32,
        "block_out_channels": (128, 192, 256),
        # Not at the lowest level: of that alone hardly anything reached the prediction, and with it
        # hardly anything of the text. See docs/default-model.md.
        "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D"),
        "up_block_types": ("UpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
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


def make_pipeline(preset: Preset, *, tokenizer: Any = None) -> CRSDiffPipeline:
    """An untrained pipeline of a preset that has all parts, with the published settings.

    Under ``torch.device("meta")`` it takes no memory. Its image encoder reads content images if the
    preset has one.

    Args:
        preset: :data:`SD15`, or one of other widths.
        tokenizer: CLIP's tokenizer, without which prompts cannot be encoded.

    Raises:
        ValueError: for a preset whose autoencoder and text encoder are not its own.
        MissingExtra: without transformers.
    """
    if not (preset.vae and preset.text_encoder):
        raise ValueError("this preset has no autoencoder and text encoder of its own")
    clip = require("transformers", extra="sd15")
    unet, adapter, metadata, content = make_networks(preset)
    images = None
    if preset.image_encoder:
        images = clip.CLIPVisionModelWithProjection(clip.CLIPVisionConfig(**preset.image_encoder))
    return CRSDiffPipeline(
        vae=AutoencoderKL(**preset.vae).eval(),
        unet=unet.eval(),
        local_adapter=adapter.eval(),
        metadata_embedding=metadata.eval(),
        content_adapter=content.eval(),
        text_encoder=clip.CLIPTextModel(clip.CLIPTextConfig(**preset.text_encoder)).eval(),
        scheduler=DDIMScheduler(**preset.scheduler),
        tokenizer=tokenizer,
        image_encoder=images and images.eval(),
    )
