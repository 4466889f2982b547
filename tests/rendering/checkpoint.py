"""Files laid out like the published checkpoint, with random weights."""

from __future__ import annotations

import zlib
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from rendering.released import Released
from rendering.widths import TOY, Widths

POSITION_IDS = "cond_stage_model.transformer.text_model.embeddings.position_ids"
"""Saved by older versions of the text model's library."""

TRAINED = ("local_adapter.", "global_content_adapter.", "metadata_emb.")
"""What the optimizer of the release has moments for."""


class Expected(NamedTuple):
    """What the published file has under a prefix."""

    tensors: int
    parameters: int | None
    """Exact, where that is known."""
    millions: float
    """Rounded to two places."""


EXPECTED = {
    "model.diffusion_model.": Expected(686, 859_520_964, 859.52),
    "first_stage_model.": Expected(248, None, 83.65),
    "cond_stage_model.transformer.text_model.": Expected(196, None, 123.06),
    "local_adapter.": Expected(414, None, 419.46),
    "global_content_adapter.": Expected(12, None, 47.21),
    "metadata_emb.": Expected(14, None, 2.88),
}
BUFFERS = 13

# Gains over 1 / sqrt(fan in), by parts of the name: the first that fits counts.
GAINS = (
    # What is attended to is a mean over many tokens, which at random nearly cancel out.
    (("attn2.to_v",), 4.0),
    # (1 + gamma) is to stay positive, mostly.
    (("conv_gamma", "conv_beta"), 0.4),
    # The last layers of residual branches: the sum of many is to stay near the scale of one.
    (("proj_out", "to_out", "ff.net.2", "mlp.fc2", "out_proj", "out_layers.3", ".conv2."), 0.5),
    # SiLU halves the scale of what these get.
    (("extractor", "in_layers.2", "emb_layers", "time_embed.2", ".conv1."), 1.6),
    ((".out.2.", "conv_out"), 1.6),
)


def random_tensor(name: str, shape: torch.Size, seed: int) -> Tensor:
    """Weights at a scale that keeps activations near 1; nothing is left at zero.

    Each tensor has a generator of its own, from seed and name, so neither order nor selection
    matters.
    """
    generator = torch.Generator().manual_seed(zlib.crc32(f"{seed}/{name}".encode()))
    values = torch.randn(shape, generator=generator)
    if len(shape) == 1:
        values.mul_(0.1)
        return values if name.endswith("bias") else values.add_(1)
    if "embedding" in name:
        return values.mul_(0.5)
    if "query_conv" in name or "key_conv" in name:
        # Their products are summed over all rows and not scaled: this keeps the logits near 1 at
        # any width, where attention is neither even nor on one pixel alone.
        return values.div_(shape[0] ** 0.25 * shape[1:].numel() ** 0.5)
    gain = next((gain for parts, gain in GAINS if any(part in name for part in parts)), 1.0)
    return values.mul_(gain / shape[1:].numel() ** 0.5)


def published_state_dict(
    widths: Widths = TOY,
    *,
    seed: int = 0,
    dtype: torch.dtype = torch.float32,
    position_ids: bool = False,
) -> dict[str, Tensor]:
    """Every tensor of the published file: names, shapes and order as there, weights random.

    Args:
        widths: `TOY` is 18 million parameters, `FULL` the published 1.536 billion.
        seed: Of the weights.
        dtype: Of the weights; the buffers of the schedule stay float32.
        position_ids: Add the one buffer of the text model that older versions save.
    """
    with torch.device("meta"):
        model = Released(widths)
    weights = dict(model.named_parameters())
    state = {
        name: random_tensor(name, tensor.shape, seed).to(dtype) if name in weights else tensor
        for name, tensor in model.state_dict().items()
    }
    if position_ids:
        state[POSITION_IDS] = torch.arange(widths.text_tokens)[None]
    return state


def released_model(widths: Widths = TOY, *, seed: int = 0) -> Released:
    """The model with the weights of `published_state_dict`, in evaluation mode, float32."""
    with torch.device("meta"):
        model = Released(widths)
    model.load_state_dict(published_state_dict(widths, seed=seed), strict=True, assign=True)
    return model.requires_grad_(False).eval()


def moments(state: dict[str, Tensor]) -> dict[str, Any]:
    """State of AdamW for the trained part, as torch saves it."""
    trained = [tensor for name, tensor in state.items() if name.startswith(TRAINED)]
    return {
        "state": {
            k: {
                "step": torch.tensor(7.0),
                "exp_avg": torch.full_like(tensor, 1e-3, dtype=torch.float32),
                "exp_avg_sq": torch.full_like(tensor, 1e-6, dtype=torch.float32),
            }
            for k, tensor in enumerate(trained)
        },
        "param_groups": [
            {
                "lr": 1e-5,
                "betas": (0.9, 0.999),
                "eps": 1e-8,
                "weight_decay": 0.01,
                "amsgrad": False,
                "params": list(range(len(trained))),
            }
        ],
    }


def published_checkpoint(
    path: Path,
    widths: Widths = TOY,
    *,
    seed: int = 0,
    dtype: torch.dtype = torch.float32,
    wrapper: bool = True,
    optimizer: bool = False,
    position_ids: bool = False,
) -> dict[str, Tensor]:
    """Write a file like the published one and give back its state dict.

    At full size the file has 6.1 GB, and about as much memory is taken; half of both for float16.

    Args:
        path: Of the file; torch's zip format.
        widths: As in `published_state_dict`.
        seed: Of the weights.
        dtype: Of the weights.
        wrapper: Put the state dict under `state_dict`, beside what Lightning saves with it; else
            the file is the state dict itself.
        optimizer: Add AdamW's two moments of the trained part, always float32.
        position_ids: As in `published_state_dict`.
    """
    state = published_state_dict(widths, seed=seed, dtype=dtype, position_ids=position_ids)
    if not wrapper:
        torch.save(state, path)
        return state
    monitor = {"monitor": None, "best_model_score": None, "best_model_path": "last.ckpt"}
    content: dict[str, Any] = {
        "epoch": 3,
        "global_step": 1000,
        "pytorch-lightning_version": "1.5.0",
        "state_dict": state,
        "callbacks": {"ModelCheckpoint{'monitor': None}": monitor},
        "optimizer_states": [moments(state)] if optimizer else [],
        "lr_schedulers": [],
        "hyper_parameters": {"local_channels": widths.local_channels, "mode": "CRS"},
    }
    torch.save(content, path)
    return state


def count(module: nn.Module | dict[str, Tensor], prefix: str) -> tuple[int, int]:
    """How many tensors there are under a prefix, and how many numbers in them."""
    state = module.state_dict() if isinstance(module, nn.Module) else module
    sizes = [tensor.numel() for name, tensor in state.items() if name.startswith(prefix)]
    return len(sizes), sum(sizes)
