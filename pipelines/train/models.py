"""Models to train: made anew, fitted to, and saved."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import AutoencoderDC, AutoencoderKL
from numpy.typing import NDArray
from torch import Tensor, nn

from rsaug.errors import InputError
from rsaug.pipelines.content import clip_pixels
from rsaug.pipelines.folders import SETTINGS
from rsaug.pipelines.metadata import FIELDS, MetadataEmbedding, MetadataRanges
from rsaug.pipelines.pipeline import CRSDiffPipeline
from rsaug.pipelines.presets import make_networks
from rsaug.pipelines.settings import SCHEDULERS
from rsaug.pipelines.text import CaptionEncoder, learn_vocabulary
from rsaug.pipelines.train.examples import ImageCache
from rsaug.pipelines.train.loop import seeded
from rsaug.pipelines.train.pack import Pack
from rsaug.pipelines.train.recipe import GeneratorRecipe, make_scheduler

# Ranges are kept with four decimals.
_ROUNDING = 1e-4


def new_pipeline(
    pack: Pack, vae: AutoencoderDC | AutoencoderKL, recipe: GeneratorRecipe
) -> CRSDiffPipeline:
    """An untrained model for an autoencoder and for the words and metadata of some examples.

    Raises:
        InputError: for a phase that starts from a model.
    """
    check_anew(recipe)
    with seeded(recipe.seed, torch.device("cpu")):
        words = learn_vocabulary(text for texts in pack.captions for text in texts)
        preset = recipe.preset.fitted(vae.config.latent_channels, metadata_ranges(pack.metadata))
        unet, adapter, metadata, content = make_networks(preset)
        text = CaptionEncoder(words, dim=unet.config.cross_attention_dim)
    return CRSDiffPipeline(
        vae=vae,
        unet=unet,
        local_adapter=adapter,
        metadata_embedding=metadata,
        content_adapter=content,
        text_encoder=text,
        scheduler=SCHEDULERS[recipe.sampler].from_config(make_scheduler().config),
        guide_controls=True,
        trained_controls=[],
        default_steps=recipe.sampling_steps,
        default_guidance=recipe.guidance,
        default_control_guidance=recipe.control_guidance,
    )


def check_anew(recipe: GeneratorRecipe) -> None:
    """Raise InputError for a recipe that cannot begin without a model."""
    if recipe.phase != "joint" or recipe.lora_rank:
        what = "low-rank updates" if recipe.lora_rank else f"the phase {recipe.phase!r}"
        raise InputError(f"For {what} there must be a model to start from; name one with --from.")


def metadata_ranges(metadata: np.ndarray) -> MetadataRanges:
    """Range of each field over examples (n, 7); None for one that is not known of any."""
    ranges: list[tuple[float, float] | None] = []
    for column in metadata.T:
        known = column[~np.isnan(column)]
        low, high = (round(float(f(known)), 4) for f in (np.min, np.max)) if known.size else (0, 0)
        ranges.append((low, high) if known.size else None)
    return tuple(ranges)


def fit_metadata(
    embedding: MetadataEmbedding, metadata: NDArray[np.float32]
) -> tuple[NDArray[np.float32], dict[str, int]]:
    """Metadata as a trained model can read it, and how many values it could not, by field.

    As when images are made: a value outside its range is left out where the model has a learned
    null, else moved to the nearest end of the range; one of a field without a range is left out.

    Args:
        embedding: the model's embedding.
        metadata: (n, 7), NaN where absent.
    """
    values, changed = metadata.copy(), {}
    for k, (name, limits) in enumerate(zip(FIELDS, embedding.config.ranges, strict=True)):
        column = values[:, k]
        low, high = limits or (np.inf, -np.inf)
        strange = ~np.isnan(column) & ~((column >= low - _ROUNDING) & (column <= high + _ROUNDING))
        if strange.any():
            changed[name] = int(strange.sum())
        clamp = limits is not None and embedding.null is None
        column[strange] = np.clip(column[strange], low, high) if clamp else np.nan
    return values, changed


def image_cache(
    pipe: CRSDiffPipeline, rgb: NDArray[np.uint8], device: torch.device, *, full: bool
) -> ImageCache:
    """Latents and embeddings of images (n, size, size, 3) as a model sees them.

    Args:
        pipe: the model; its encoders go to ``device`` and stay as they are.
        rgb: uint8.
        device: where to encode.
        full: whether to encode in float32 rather than bfloat16.
    """
    pipe.vae.eval().requires_grad_(False).to(device, memory_format=torch.channels_last)
    embed: Callable[[Tensor], Tensor] | None = None
    if pipe.image_encoder is not None:
        encoder = pipe.image_encoder.eval().requires_grad_(False).to(device)

        def embed(images: Tensor) -> Tensor:
            embedded: Tensor = encoder(clip_pixels(images)).image_embeds
            return embedded

    elif not pipe.reads_content:
        width = pipe.content_adapter.config.content_dim

        def embed(images: Tensor) -> Tensor:
            return images.new_zeros(len(images), width)

    return ImageCache(rgb, pipe.encode_images, device, embed, full=full)


def save_half(pipe: CRSDiffPipeline, out: Path) -> None:
    """Save a copy of the pipeline in half precision, without a word on where its parts lay."""
    # One network after another, so that never two copies of all lie in memory.
    parts: dict[str, Any] = {
        name: nn.Module.half(copy.deepcopy(part)) if isinstance(part, nn.Module) else part
        for name, part in pipe.components.items()
    }
    settings: dict[str, Any] = {name: pipe.config[name] for name in SETTINGS}
    CRSDiffPipeline(**parts, **settings).save_pretrained(out)
    for path in out.rglob("*.json"):
        config = json.loads(path.read_text(encoding="utf-8"))
        if config.pop("_name_or_path", None) is not None:
            text = json.dumps(config, indent=2, sort_keys=True)
            path.write_text(f"{text}\n", encoding="utf-8")
