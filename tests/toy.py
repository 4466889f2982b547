"""CRS-Diff at toy size: every real component, few channels."""

from __future__ import annotations

from typing import Any

import torch
from diffusers import AutoencoderDC, DDIMScheduler, UNet2DConditionModel

from rsaug.pipelines.adapter import LocalAdapter
from rsaug.pipelines.content import ContentAdapter
from rsaug.pipelines.metadata import MetadataEmbedding
from rsaug.pipelines.pipeline import CRSDiffPipeline
from rsaug.pipelines.text import CaptionEncoder

SIDE = 64
WIDTHS = (16, 32)
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


def toy_adapter(**changes: Any) -> LocalAdapter:
    """Two levels, half as wide as the UNet."""
    torch.manual_seed(2)
    arguments: dict[str, Any] = {
        "in_channels": 4,
        "presence_channels": 6,
        "block_out_channels": (8, 16),
        "residual_channels": WIDTHS,
        "attention_levels": (False, True),
        "layers_per_block": 1,
        "cross_attention_dim": 16,
        "num_attention_heads": 2,
        "stem_channels": (8, 8, 8, 8, 8),
        "inject_channels": (8, 8),
        "norm_num_groups": 8,
    }
    adapter: LocalAdapter = LocalAdapter(**(arguments | changes)).eval()
    return adapter


def toy_pipeline(*, guide_controls: bool = True) -> Any:
    """A pipeline whose zero-initialised outputs are woken up, so that every control counts."""
    torch.manual_seed(0)
    unet = UNet2DConditionModel(
        sample_size=SIDE // 8,
        in_channels=4,
        out_channels=4,
        block_out_channels=WIDTHS,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        layers_per_block=1,
        cross_attention_dim=16,
        attention_head_dim=2,
        norm_num_groups=8,
        class_embed_type="identity",
    ).eval()
    adapter = toy_adapter()
    for conv in (*adapter.pyramid.outputs, *adapter.down_outputs, adapter.mid_output):
        torch.nn.init.normal_(conv.weight, std=0.2)
    metadata = MetadataEmbedding(16, 64, RANGES, learned_null=True)
    torch.nn.init.normal_(metadata.null)
    pipe = CRSDiffPipeline(
        vae=toy_autoencoder().eval(),
        unet=unet,
        local_adapter=adapter,
        metadata_embedding=metadata,
        content_adapter=ContentAdapter(8, 16, 4).eval(),
        text_encoder=CaptionEncoder(["road", "desert", "trees"], dim=16, max_length=6).eval(),
        scheduler=DDIMScheduler(
            beta_schedule="squaredcos_cap_v2",
            prediction_type="v_prediction",
            rescale_betas_zero_snr=True,
            timestep_spacing="trailing",
            clip_sample=False,
        ),
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
