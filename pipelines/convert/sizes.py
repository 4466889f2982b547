"""Configurations of the networks, told from the shapes of a checkpoint's tensors."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from rsaug.errors import InputError
from rsaug.pipelines.convert.keys import PREFIXES
from rsaug.pipelines.presets import SD15

# No side of a tensor of such a network is near it, and products of two can still be counted.
_LARGEST = 1 << 24

Shapes = Mapping[str, tuple[int, ...]]


def configurations(shapes: Shapes, text_heads: int | None = None) -> dict[str, dict[str, Any]]:
    """Arguments of each component's class, by the component's name.

    What shapes do not tell is as published: heads of attention, the kinds of norm and activation,
    the scale of the latent, the ranges of metadata.

    Args:
        shapes: of the tensors by their published names.
        text_heads: attention heads of the text model; None for one to 64 channels, as CLIP has.

    Raises:
        InputError: if a tensor is missing that tells a size.
    """
    return {
        "unet": _unet(_Part(shapes, "unet")),
        "vae": _vae(_Part(shapes, "vae")),
        "text_encoder": _text(_Part(shapes, "text_encoder"), text_heads),
        "local_adapter": _adapter(_Part(shapes, "local_adapter")),
        "content_adapter": _content(_Part(shapes, "content_adapter"), _Part(shapes, "unet")),
        "metadata_embedding": _metadata(_Part(shapes, "metadata_embedding")),
    }


def text_length(shapes: Shapes) -> int:
    """Tokens of a text.

    Raises:
        InputError: if the tensor that tells is missing.
    """
    return _Part(shapes, "text_encoder").size("embeddings.position_embedding.weight")


class _Part:
    """Shapes of one component's tensors."""

    def __init__(self, shapes: Shapes, component: str) -> None:
        self._shapes, self._start = shapes, PREFIXES[component]

    def size(self, name: str, axis: int = 0) -> int:
        """Extent of a tensor along one axis."""
        shape = self._shapes.get(self._start + name)
        if shape is None or axis >= len(shape):
            found = "is missing" if shape is None else f"has the shape {shape}"
            raise InputError(
                f"This is no checkpoint of CRS-Diff: {self._start}{name} {found}, without which "
                "the sizes of the network are not known."
            )
        if not 0 < shape[axis] <= _LARGEST:
            raise InputError(
                f"This is no checkpoint of CRS-Diff: {self._start}{name} has the shape {shape}."
            )
        return shape[axis]

    def indices(self, pattern: str) -> list[int]:
        """Sorted numbers that ``pattern`` finds in the names."""
        found = (re.match(re.escape(self._start) + pattern, name) for name in self._shapes)
        return sorted({int(match[1]) for match in found if match})

    def has(self, name: str) -> bool:
        """Whether there is such a tensor."""
        return self._start + name in self._shapes


def _levels(part: _Part) -> tuple[tuple[int, ...], tuple[bool, ...], int]:
    """Width and attention of each level of an encoder, and its blocks a level."""
    blocks = part.indices(r"input_blocks\.(\d{1,4})\.")
    downs = part.indices(r"input_blocks\.([1-9]\d{0,3})\.0\.op\.")
    period = downs[0] if downs else len(blocks)
    firsts = [k for k in blocks if k % period == 1 or period == 1]
    widths = tuple(part.size(f"input_blocks.{k}.0.out_layers.3.bias") for k in firsts)
    attends = tuple(part.has(f"input_blocks.{k}.1.proj_in.weight") for k in firsts)
    return widths, attends, period - 1


def _unet(part: _Part) -> dict[str, Any]:
    widths, attends, layers = _levels(part)
    return {
        **SD15.unet,
        "in_channels": part.size("input_blocks.0.0.weight", 1),
        "out_channels": part.size("out.2.bias"),
        "block_out_channels": widths,
        "layers_per_block": layers,
        "down_block_types": tuple("CrossAttnDownBlock2D" if a else "DownBlock2D" for a in attends),
        "up_block_types": tuple("CrossAttnUpBlock2D" if a else "UpBlock2D" for a in attends[::-1]),
        "cross_attention_dim": _context(part),
    }


def _adapter(part: _Part) -> dict[str, Any]:
    widths, attends, layers = _levels(part)
    stem = part.indices(r"feature_extractor\.pre_extractor\.(\d{1,4})\.")
    levels = part.indices(r"feature_extractor\.extractors\.(\d{1,4})\.")
    return {
        **SD15.adapter,
        "in_channels": part.size("input_blocks.0.0.weight", 1),
        "control_channels": part.size("feature_extractor.pre_extractor.0.weight", 1),
        "block_out_channels": widths,
        "attention_levels": attends,
        "layers_per_block": layers,
        "cross_attention_dim": _context(part),
        "stem_channels": tuple(
            part.size(f"feature_extractor.pre_extractor.{k}.bias") for k in stem
        ),
        "inject_channels": tuple(
            part.size(f"feature_extractor.extractors.{k}.0.bias") for k in levels
        ),
    }


def _context(part: _Part) -> int:
    return part.size("middle_block.1.transformer_blocks.0.attn2.to_k.weight", 1)


def _content(part: _Part, unet: _Part) -> dict[str, Any]:
    width = _context(unet)
    return {
        **SD15.content,
        "content_dim": part.size("norm1.weight"),
        "cross_attention_dim": width,
        "tokens": part.size("ff2.net.2.bias") // width,
    }


def _metadata(part: _Part) -> dict[str, Any]:
    return {
        **SD15.metadata,
        "embedding_dim": part.size("mlp_models.0.fc1.weight", 1),
        "out_channels": part.size("mlp_models.0.fc1.weight"),
    }


def _vae(part: _Part) -> dict[str, Any]:
    levels = part.indices(r"encoder\.down\.(\d{1,4})\.")
    blocks = part.indices(r"encoder\.down\.0\.block\.(\d{1,4})\.")
    return {
        **SD15.vae,
        "latent_channels": part.size("post_quant_conv.bias"),
        "block_out_channels": tuple(
            part.size(f"encoder.down.{k}.block.0.conv2.bias") for k in levels
        ),
        "down_block_types": ("DownEncoderBlock2D",) * len(levels),
        "up_block_types": ("UpDecoderBlock2D",) * len(levels),
        "layers_per_block": len(blocks),
    }


def _text(part: _Part, heads: int | None) -> dict[str, Any]:
    width = part.size("embeddings.token_embedding.weight", 1)
    if heads is None and width % 64 == 0:
        heads = width // 64
    if heads is None or width % heads:
        raise InputError(
            f"How many attention heads the text model of {width} channels has is not known; give "
            "the CLIP that it was trained with as --clip, with its config.json."
        )
    vocabulary = part.size("embeddings.token_embedding.weight")
    return {
        **SD15.text_encoder,
        "vocab_size": vocabulary,
        "hidden_size": width,
        "intermediate_size": part.size("encoder.layers.0.mlp.fc1.bias"),
        "num_hidden_layers": len(part.indices(r"encoder\.layers\.(\d{1,4})\.")),
        "num_attention_heads": heads,
        "max_position_embeddings": part.size("embeddings.position_embedding.weight"),
        "projection_dim": width,
        # The last two of CLIP's vocabulary begin and end a text; the end also fills it up.
        "bos_token_id": vocabulary - 2,
        "eos_token_id": vocabulary - 1,
        "pad_token_id": vocabulary - 1,
    }
