"""CRS-Diff at toy size: every real component, few channels."""

from __future__ import annotations

from typing import Any

import torch
from diffusers import AutoencoderDC

from rsaug.pipelines.adapter import LocalAdapter
from rsaug.pipelines.pipeline import CRSDiffPipeline
from rsaug.pipelines.presets import Preset, make_networks
from rsaug.pipelines.text import CaptionEncoder
from rsaug.pipelines.train.recipe import make_scheduler

SIDE = 64
RANGES = ((2016.0, 2020.0), None, None, (0.5, 1.0), None, (30.0, 40.0), None)


def toy_autoencoder() -> AutoencoderDC:
    """Four latent channels, 8x down."""
    torch.manual_seed(1)
    return AutoencoderDC(
        latent_channels=4,
        encoder_block_types="ResBlock",
        decoder_block_types="ResBlock",
        encoder_block_out_channels=(8, 8, 8, 8),
        decoder_block_out_channels=(8, 8, 8, 8),
        encoder_layers_per_block=(0, 1, 1, 1),
        decoder_layers_per_block=(0, 1, 1, 1),
        encoder_qkv_multiscales=((), (), (), ()),
        decoder_qkv_multiscales=((), (), (), ()),
        upsample_block_type="interpolate",
        downsample_block_type="pixel_unshuffle",
        encoder_out_shortcut=False,
    )


TOY = Preset(
    unet={
        "sample_size": SIDE // 8,
        "block_out_channels": (16, 32),
        "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D"),
        "up_block_types": ("CrossAttnUpBlock2D", "UpBlock2D"),
        "layers_per_block": 1,
        "cross_attention_dim": 16,
        "attention_head_dim": 2,
        "norm_num_groups": 8,
        "class_embed_type": "identity",
    },
    adapter={
        "presence_channels": 6,
        "block_out_channels": (8, 16),
        "residual_channels": (16, 32),
        "attention_levels": (False, True),
        "layers_per_block": 1,
        "cross_attention_dim": 16,
        "num_attention_heads": 2,
        "stem_channels": (8, 8, 8, 8, 8),
        "inject_channels": (8, 8),
        "norm_num_groups": 8,
        "zero_init": False,
    },
    content={"cross_attention_dim": 16},
    metadata={"embedding_dim": 16, "out_channels": 64, "learned_null": True},
)
"""Two levels, the adapter half as wide as the UNet."""


def toy_adapter(**changes: Any) -> LocalAdapter:
    """The adapter of the toy preset."""
    torch.manual_seed(2)
    adapter: LocalAdapter = LocalAdapter(**{"in_channels": 4, **TOY.adapter, **changes}).eval()
    return adapter


def toy_pipeline(*, guide_controls: bool = True) -> Any:
    """A pipeline of the toy preset, untrained; every control counts."""
    torch.manual_seed(0)
    unet, adapter, metadata, content = make_networks(TOY.fitted(4, RANGES))
    torch.nn.init.normal_(metadata.get_parameter("null"))
    pipe = CRSDiffPipeline(
        vae=toy_autoencoder().eval(),
        unet=unet.eval(),
        local_adapter=adapter.eval(),
        metadata_embedding=metadata,
        content_adapter=content.eval(),
        text_encoder=CaptionEncoder(["road", "desert", "trees"], dim=16, max_length=6).eval(),
        scheduler=make_scheduler(),
        guide_controls=guide_controls,
        trained_controls=["road"],
        default_steps=3,
        default_guidance=2.0,
    )
    pipe.set_progress_bar_config(disable=True)
    return pipe


def controls(count: int, *slots: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Random 0/1 maps in the given slots, and their presence flags."""
    maps = torch.zeros(count, 18, SIDE, SIDE)
    present = torch.zeros(count, 6)
    generator = torch.Generator().manual_seed(5)
    for slot in slots:
        drawn = torch.randint(0, 2, (count, 1, SIDE, SIDE), generator=generator)
        maps[:, 3 * slot : 3 * slot + 3] = drawn.float()
        present[:, slot] = 1
    return maps, present


def generators(*seeds: int) -> list[torch.Generator]:
    """One generator a seed."""
    return [torch.Generator().manual_seed(seed) for seed in seeds]
