"""The embedding of the seven metadata numbers, built element by element as in the release."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from rendering.widths import Widths

FIELDS = ("year", "month", "day", "gsd", "cloud_cover", "latitude", "longitude")
LOWEST = (1980.0, 0.0, 0.0, 0.0, 0.0, -90.0, -180.0)
HIGHEST = (2024.0, 12.0, 31.0, 5.0, 100.0, 90.0, 180.0)
MAX_VALUE = 1000.0


def sinusoid(values: Tensor, dim: int) -> Tensor:
    """Sine at even places, cosine at odd ones, of [B] values: [B, dim].

    One small operation an element, on the device of `values`: the loop costs what it costs in the
    release, where it runs on every forward.
    """
    out = torch.zeros(len(values), dim, device=values.device, dtype=values.dtype)
    for i in range(dim // 2):
        frequency = math.pow(10000.0, -2 * i / dim)
        out[:, 2 * i] = torch.sin(values * frequency)
        out[:, 2 * i + 1] = torch.cos(values * frequency)
    return out


class OneLayer(nn.Module):
    """A single linear layer, called an MLP."""

    def __init__(self, width: int, out: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(width, out)

    def forward(self, x: Tensor) -> Tensor:
        """[B, width] to [B, out]."""
        out: Tensor = self.fc1(x)
        return out


class MetadataEmbedding(nn.Module):
    """`metadata_emb`: 14 tensors."""

    def __init__(self, widths: Widths) -> None:
        super().__init__()
        self.dim = widths.model_channels
        self.mlp_models = nn.ModuleList(OneLayer(self.dim, widths.time_channels) for _ in FIELDS)

    def forward(self, metadata: Tensor) -> Tensor:
        """[B, 7] numbers in their own units, in the order of `FIELDS`: [B, time_channels]."""
        weight = self.mlp_models[0].get_parameter("fc1.weight")
        total = torch.zeros(len(metadata), len(weight), device=weight.device, dtype=weight.dtype)
        for k, layer in enumerate(self.mlp_models):
            scaled = (metadata[:, k].float() - LOWEST[k]) / (HIGHEST[k] - LOWEST[k]) * MAX_VALUE
            total = total + layer(sinusoid(scaled, self.dim).to(weight.dtype))
        return total


def no_metadata(count: int = 1) -> Tensor:
    """What the release takes for "no metadata": scaled values of 0, i.e. each field's lowest."""
    return torch.tensor([LOWEST]).repeat(count, 1)
