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
from rsaug.pipelines.hub import fetch, is_hub_id
from rsaug.pipelines.metadata import MetadataEmbedding
from rsaug.pipelines.models import model_folder
from rsaug.pipelines.pipeline import CRSDiffPipeline
from rsaug.pipelines.train.loop import seeded

# What is fetched of a base on the hub, where the same weights lie in several other forms.
_FILES = (
    INDEX,
    "*/*.json",
    "tokenizer/*.txt",
    "unet/diffusion_pytorch_model.safetensors",
    "vae/diffusion_pytorch_model.safetensors",
    "text_encoder/model.safetensors",
)
# Where the UNet has what the adapter calls so.
_PLACES = {
    "local": ("resnets", "0"),
    "downsample": ("downsamplers", "0"),
    "attention": ("attentions", "0"),
}
_INJECTED = (192, 256, 384, 512)
# What the adapter's encoder takes for granted, by the name in the UNet's configuration.
_LAYOUT: dict[str, Any] = {
    "mid_block_type": "UNetMidBlock2DCrossAttn",
    "num_class_embeds": None,
    "time_cond_proj_dim": None,
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


def start_folder(model: str) -> Path:
    """The folder of a model to train on; of a base on the hub only what is needed is fetched.

    Args:
        model: ``default``, a folder, or a hub id.

    Raises:
        InputError: if there is none.
    """
    if not Path(model).is_dir() and is_hub_id(model) and is_base(fetch(model, [INDEX])):
        return fetch(model, _FILES)
    return model_folder(model)


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
    _check_tokenizer(folder / "tokenizer")
    try:
        unet = _load(
            UNet2DConditionModel,
            folder / "unet",
            class_embed_type="identity",
            low_cpu_mem_usage=False,
        )
        vae = _load(AutoencoderKL, folder / "vae", low_cpu_mem_usage=False)
        text = _load(transformers.CLIPTextModel, folder / "text_encoder", local_files_only=True)
        # Latents are not confined to [-1, 1]; schedulers that do not clip say nothing of it, and
        # DDIM does unless it is told.
        scheduler = DDIMScheduler.from_pretrained(folder / "scheduler", clip_sample=False)
        tokenizer = transformers.CLIPTokenizer.from_pretrained(
            folder / "tokenizer", local_files_only=True
        )
    # The readers behind it are in Rust and raise bare Exceptions.
    except Exception as error:
        raise InputError(f"The base model in {folder} cannot be loaded: {error}") from error
    if unet.config.in_channels != vae.config.latent_channels:
        raise InputError(
            f"The UNet in {folder} takes {unet.config.in_channels} channels and its autoencoder "
            f"has {vae.config.latent_channels}: a model from text to image is needed, not one of "
            "inpainting."
        )
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
    names = dict(_names(own))
    strange = [theirs for theirs in names.values() if theirs not in taken]
    if strange:
        raise InputError(
            f"The UNet is not laid out as that of Stable Diffusion 1.x: it has no {strange[0]}."
        )
    adapter.load_state_dict({**own, **{mine: taken[theirs] for mine, theirs in names.items()}})
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


def _load(kind: Any, folder: Path, **settings: Any) -> Any:
    """A network in float32, whatever it was saved in, also where there is only half precision."""
    whole = [p for p in folder.glob("*.safetensors") if not p.stem.endswith(".fp16")]
    network, found = kind.from_pretrained(
        folder,
        variant=None if whole else "fp16",
        use_safetensors=True,
        output_loading_info=True,
        **settings,
    )
    # Either library would go on with random numbers in their place.
    if missing := sorted(found["missing_keys"]):
        raise InputError(f"{folder.name} lacks {len(missing)} tensors, such as {missing[0]}.")
    return network.float()


def _check_tokenizer(folder: Path) -> None:
    """Raise InputError without a vocabulary; transformers would make one up, of two tokens."""
    if (folder / "tokenizer.json").is_file():
        return
    missing = [name for name in ("vocab.json", "merges.txt") if not (folder / name).is_file()]
    if missing:
        raise InputError(f"The base model has no tokenizer in {folder}: no {', '.join(missing)}.")


def _check_layout(folder: Path) -> None:
    config = read_json(folder / "unet" / "config.json")
    strange = [name for name, value in _LAYOUT.items() if config.get(name, value) != value]
    if not isinstance(config.get("attention_head_dim", 8), int):
        strange.append("attention_head_dim")
    widths = config.get("block_out_channels", ())
    if not isinstance(widths, list | tuple) or len(widths) > len(_INJECTED):
        strange.append("block_out_channels")
    if strange:
        raise InputError(
            f"The UNet in {folder} is not laid out as that of Stable Diffusion 1.x; it differs in "
            f"{', '.join(strange)}."
        )
