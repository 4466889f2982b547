"""A CRS-Diff to train on top of a Stable Diffusion 1.x: what the paper's first phase starts from.

The UNet, autoencoder and text encoder are the base's. The adapter begins as a copy of the UNet's
encoder whose outputs are zero, and metadata begin without effect, so that the untrained model
predicts what the base does but for four context tokens of a content image.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL, DDIMScheduler, UNet2DConditionModel
from torch import nn

from rsaug.errors import InputError
from rsaug.optional import require
from rsaug.pipelines.adapter import LocalAdapter
from rsaug.pipelines.content import ContentAdapter
from rsaug.pipelines.folders import INDEX, read_json
from rsaug.pipelines.metadata import MetadataEmbedding
from rsaug.pipelines.pipeline import CRSDiffPipeline
from rsaug.pipelines.train.loop import seeded

# Where the UNet has what the adapter calls so.
_PLACES = {
    "local": ("resnets", "0"),
    "downsample": ("downsamplers", "0"),
    "attention": ("attentions", "0"),
}
_INJECTED = (192, 256, 384, 512)
# What the adapter's encoder takes for granted, by the name in the UNet's configuration.
_LAYOUT: dict[str, Any] = {
    "use_linear_projection": False,
    "addition_embed_type": None,
    "class_embed_type": None,
    "transformer_layers_per_block": 1,
    "time_embedding_dim": None,
}


def is_base(folder: Path) -> bool:
    """Whether a folder holds a Stable Diffusion as diffusers saves one, by its index."""
    if not (folder / INDEX).is_file():
        return False
    return str(read_json(folder / INDEX).get("_class_name")).startswith("StableDiffusion")


def base_pipeline(folder: Path, seed: int = 0) -> CRSDiffPipeline:
    """An untrained CRS-Diff on the parts of a Stable Diffusion 1.x.

    The ranges of its metadata are empty; they are to be set before it is trained.

    Args:
        folder: with ``unet``, ``vae``, ``text_encoder``, ``tokenizer`` and ``scheduler``; weights
            as safetensors.
        seed: of what is new.

    Raises:
        InputError: if a part is missing, damaged or of another layout.
        MissingExtra: without transformers.
    """
    transformers: Any = require("transformers", extra="sd15")
    _check_layout(folder)
    weights = {"use_safetensors": True, "low_cpu_mem_usage": False}
    try:
        unet = UNet2DConditionModel.from_pretrained(
            folder / "unet", class_embed_type="identity", **weights
        )
        vae = AutoencoderKL.from_pretrained(folder / "vae", **weights)
        scheduler = DDIMScheduler.from_pretrained(folder / "scheduler")
        text = transformers.CLIPTextModel.from_pretrained(
            folder / "text_encoder", use_safetensors=True, local_files_only=True
        )
        tokenizer = transformers.CLIPTokenizer.from_pretrained(
            folder / "tokenizer", local_files_only=True
        )
    except (OSError, ValueError, RuntimeError) as error:
        raise InputError(f"The base model in {folder} cannot be loaded: {error}") from error
    width, context = unet.config.block_out_channels[0], unet.config.cross_attention_dim
    with seeded(seed, torch.device("cpu")):
        adapter = adapter_of(unet)
        metadata = MetadataEmbedding(width, 4 * width, ranges=(None,) * 7, learned_null=True)
        content = ContentAdapter(2 * unet.config.in_channels, cross_attention_dim=context)
    for projection in metadata.projections:
        nn.init.zeros_(projection.weight)
        nn.init.zeros_(projection.bias)
    return CRSDiffPipeline(
        vae=vae,
        unet=unet,
        local_adapter=adapter,
        metadata_embedding=metadata,
        content_adapter=content,
        text_encoder=text,
        tokenizer=tokenizer,
        scheduler=scheduler,
        guide_controls=True,
        trained_controls=[],
    )


def adapter_of(unet: UNet2DConditionModel) -> LocalAdapter:
    """A LocalAdapter whose encoder is a copy of a UNet's and whose residuals are zero.

    It has presence flags; its FDN norms and its pyramid are new.
    """
    config = unet.config
    adapter: LocalAdapter = LocalAdapter(
        in_channels=config.in_channels,
        presence_channels=6,
        block_out_channels=tuple(config.block_out_channels),
        attention_levels=tuple("CrossAttn" in kind for kind in config.down_block_types),
        layers_per_block=config.layers_per_block,
        cross_attention_dim=config.cross_attention_dim,
        num_attention_heads=config.attention_head_dim,
        inject_channels=_INJECTED[: len(config.block_out_channels)],
        norm_num_groups=config.norm_num_groups,
    )
    taken = unet.state_dict()
    own = adapter.state_dict()
    for mine, theirs in _names(own):
        own[mine] = taken[theirs]
    adapter.load_state_dict(own)
    return adapter


def _names(own: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Names of an adapter's tensors and of those in the UNet that they begin as."""
    new = ("pyramid.", "down_outputs.", "mid_output.")
    for name in own:
        if name.startswith(new) or ".local.norm" in name:
            continue
        parts = name.split(".")
        if parts[0] == "levels":
            _, level, kind, *rest = parts
            if kind == "resnets":
                # The first is the local block.
                rest = [str(int(rest[0]) + 1), *rest[1:]]
            parts = ["down_blocks", level, *_PLACES.get(kind, (kind,)), *rest]
        elif parts[0] == "mid":
            parts = ["mid_block", *_PLACES.get(parts[1], parts[1:2]), *parts[2:]]
        yield name, ".".join(parts)


def _check_layout(folder: Path) -> None:
    config = read_json(folder / "unet" / "config.json")
    strange = [name for name, value in _LAYOUT.items() if config.get(name, value) != value]
    if not isinstance(config.get("attention_head_dim", 8), int):
        strange.append("attention_head_dim")
    if len(config.get("block_out_channels", ())) > len(_INJECTED):
        strange.append("block_out_channels")
    if strange:
        raise InputError(
            f"The UNet in {folder} is not laid out as that of Stable Diffusion 1.x; it differs in "
            f"{', '.join(strange)}."
        )
