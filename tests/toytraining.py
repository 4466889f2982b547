"""Training at toy size: examples, and a model of the published kind with CLIP's encoders."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from diffusers import AutoencoderKL, DDIMScheduler
from toy import SIDE, TOY

from rsaug.pipelines.pipeline import CRSDiffPipeline
from rsaug.pipelines.presets import Preset, make_networks
from rsaug.pipelines.train.pack import Pack

CLIP_TOY = Preset(
    unet={**TOY.unet, "in_channels": 4, "out_channels": 4},
    adapter={**TOY.adapter, "in_channels": 4, "presence_channels": 0, "zero_init": True},
    content={"content_dim": 12, "cross_attention_dim": 16},
    metadata={"embedding_dim": 16, "out_channels": 64},
)
"""As published, but narrow: no presence planes, no learned null, an adapter that starts at zero."""


def road_pack(count: int = 6) -> Pack:
    """Black tiles with a white road across, each at another height."""
    road = np.zeros((count, SIDE, SIDE), dtype=np.uint8)
    for k in range(count):
        road[k, 8 * k : 8 * k + 16] = 1
    return Pack(
        rgb=np.repeat(road[..., None] * 255, 3, axis=-1).astype(np.uint8),
        road=road,
        areas=np.zeros_like(road),
        vegetation=np.zeros_like(road),
        seen=np.zeros_like(road),
        photo_edges=np.zeros((count, 3, SIDE, SIDE), dtype=np.uint8),
        map_edges=np.zeros((count, 3, SIDE, SIDE), dtype=np.uint8),
        has_areas=np.zeros(count, dtype=bool),
        has_seen=np.zeros(count, dtype=bool),
        has_map=np.zeros(count, dtype=bool),
        captions=[("a road", "desert")] * count,
        metadata=np.array(
            [[2016 + k, np.nan, np.nan, 0.6, np.nan, np.nan, np.nan] for k in range(count)],
            dtype=np.float32,
        ),
    )


def random_lpips() -> dict[str, torch.Tensor]:
    """Weights of LPIPS, random; as many as the real ones."""
    shapes = [(64, 3, 11), (192, 64, 5), (384, 192, 3), (256, 384, 3), (256, 256, 3)]
    rng = torch.Generator().manual_seed(0)
    tensors: dict[str, torch.Tensor] = {}
    for k, (out, into, side) in enumerate(shapes):
        scale = (2 / (into * side * side)) ** 0.5
        tensors[f"conv{k}.weight"] = scale * torch.randn(out, into, side, side, generator=rng)
        tensors[f"conv{k}.bias"] = torch.zeros(out)
        tensors[f"lin{k}.weight"] = torch.full((1, out, 1, 1), 1 / out)
    return tensors


def clip_pipeline() -> Any:
    """A pipeline as published at toy width: epsilon, KL autoencoder, CLIP's encoders."""
    from transformers import (
        CLIPTextConfig,
        CLIPTextModel,
        CLIPVisionConfig,
        CLIPVisionModelWithProjection,
    )

    torch.manual_seed(0)
    unet, adapter, metadata, content = make_networks(CLIP_TOY)
    sizes: dict[str, Any] = {
        "hidden_size": 16,
        "intermediate_size": 32,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "projection_dim": 12,
    }
    tokenizer = clip_tokenizer()
    text = CLIPTextConfig(
        vocab_size=len(tokenizer),
        max_position_embeddings=8,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        **sizes,
    )
    image = CLIPVisionConfig(image_size=224, patch_size=56, **sizes)
    text_encoder: Any = CLIPTextModel(text)
    image_encoder: Any = CLIPVisionModelWithProjection(image)
    pipe = CRSDiffPipeline(
        vae=AutoencoderKL(
            block_out_channels=(8, 8, 8, 8),
            down_block_types=("DownEncoderBlock2D",) * 4,
            up_block_types=("UpDecoderBlock2D",) * 4,
            latent_channels=4,
            norm_num_groups=4,
            layers_per_block=1,
        ).eval(),
        unet=unet.eval(),
        local_adapter=adapter.eval(),
        metadata_embedding=metadata,
        content_adapter=content.eval(),
        text_encoder=text_encoder.eval(),
        tokenizer=tokenizer,
        image_encoder=image_encoder.eval(),
        scheduler=DDIMScheduler(
            beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", clip_sample=False
        ),
        trained_controls=["road", "depth"],
        default_steps=3,
    )
    pipe.set_progress_bar_config(disable=True)
    return pipe


def clip_tokenizer() -> Any:
    """CLIP's tokenizer with letters for its vocabulary."""
    from transformers import CLIPTokenizer

    letters = [chr(k) for k in range(ord("a"), ord("z") + 1)]
    words = [*letters, *(f"{letter}</w>" for letter in letters)]
    vocabulary = {word: k for k, word in enumerate([*words, "<|startoftext|>", "<|endoftext|>"])}
    return CLIPTokenizer(vocab=vocabulary, merges=[], model_max_length=8)


def digits(line: str) -> float:
    """The loss in a line of the log."""
    return float(line.split("loss ")[1].split(",")[0])
