"""Metadata of a scene - date, GSD, cloud cover, position - as a shift of the time embedding."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping

import torch
from diffusers import ConfigMixin, ModelMixin
from diffusers.configuration_utils import register_to_config
from torch import Tensor, nn

FIELDS = ("year", "month", "day", "gsd", "cloud_cover", "latitude", "longitude")
"""The seven fields in CRS-Diff's order; GSD in metres, cloud cover in percent, degrees."""

MetadataRanges = tuple[tuple[float, float] | None, ...]
"""Minimum and maximum of each field; None for a field that the model was not trained on."""

CRS_DIFF_RANGES: MetadataRanges = (
    (1980.0, 2024.0),
    (0.0, 12.0),
    (0.0, 31.0),
    (0.0, 5.0),
    (0.0, 100.0),
    (-90.0, 90.0),
    (-180.0, 180.0),
)
"""Minimum and maximum of each field in the published model."""


class MetadataEmbedding(ModelMixin, ConfigMixin):
    """Seven numbers to one vector that is added to the UNet's time embedding.

    Each number is scaled to [0, 1] by its range and times 1000, given a sinusoid with sine and
    cosine interleaved, and put through a linear layer of its own; the seven results are summed
    (CRS-Diff, section III; after Khanna et al., "DiffusionSat", ICLR 2024).

    Args:
        embedding_dim: width of a sinusoid.
        out_channels: width of the time embedding, four times the UNet's first width.
        ranges: minimum and maximum of each field; None for a field the model was not trained on.
            Where both are the same, the value is known and has no effect.
        learned_null: whether an absent field has a vector of its own. The published model has
            none: there, absent means the minimum of every range.
    """

    @register_to_config
    def __init__(
        self,
        embedding_dim: int = 320,
        out_channels: int = 1280,
        ranges: MetadataRanges = CRS_DIFF_RANGES,
        learned_null: bool = False,
    ) -> None:
        super().__init__()
        self.projections = nn.ModuleList(nn.Linear(embedding_dim, out_channels) for _ in FIELDS)
        self.null = nn.Parameter(torch.zeros(len(FIELDS), out_channels)) if learned_null else None

    def knows(self, name: str, value: float) -> bool:
        """Whether ``value`` of the field ``name`` lies in the range the model was trained on."""
        limits = self.config.ranges[FIELDS.index(name)]
        return limits is not None and limits[0] <= value <= limits[1]

    def pack(self, fields: Mapping[str, float | None]) -> Tensor:
        """One row (7,) of :meth:`forward`'s input; an absent field is NaN.

        A value that the model does not know is left out where the model has a learned null, and
        moved to the end of the range where it has none; either way with a warning.

        Raises:
            ValueError: for a field that does not exist or is not finite.
        """
        unknown = set(fields) - set(FIELDS)
        if unknown:
            raise ValueError(f"unknown metadata {sorted(unknown)}: the fields are {FIELDS}")
        row = torch.full((len(FIELDS),), math.nan)
        for k, name in enumerate(FIELDS):
            value = fields.get(name)
            if value is None:
                continue
            if not math.isfinite(value):
                raise ValueError(f"metadata {name} must be finite, got {value}")
            if not self.knows(name, value):
                limits = self.config.ranges[k]
                known = f"{limits[0]:g} to {limits[1]:g}" if limits else "nothing"
                clamp = limits is not None and self.null is None
                remedy = "the nearest end is used" if clamp else "it is left out"
                warnings.warn(
                    f"of metadata {name} the model knows {known}, not {value:g}: {remedy}",
                    stacklevel=2,
                )
                if not clamp:
                    continue
                value = min(max(value, limits[0]), limits[1])
            row[k] = value
        return row

    def forward(self, values: Tensor) -> Tensor:
        """Embedding (n, out_channels) of ``values`` (n, 7), NaN where a field is absent."""
        pairs = [pair or (0.0, 1.0) for pair in self.config.ranges]
        low, high = torch.tensor(pairs, dtype=torch.float32, device=values.device).unbind(1)
        # What never varied in training says nothing, so there it is as good as absent.
        absent = values.isnan() | (low == high)
        scaled = ((values.float() - low) / (high - low)).masked_fill(absent, 0.0) * 1000
        waves = interleaved_sinusoid(scaled, self.config.embedding_dim)
        out = []
        for k, project in enumerate(self.projections):
            vector = project(waves[:, k].to(self.dtype))
            if self.null is not None:
                vector = torch.where(absent[:, k, None], self.null[k].to(vector.dtype), vector)
            out.append(vector)
        return torch.stack(out).sum(0)


def interleaved_sinusoid(values: Tensor, dim: int) -> Tensor:
    """Sinusoids (..., dim) of ``values`` (...): sine at even, cosine at odd places, base 10000."""
    exponent = torch.arange(0, dim, 2, dtype=torch.float32, device=values.device) / dim
    angle = values[..., None] * torch.pow(10000.0, -exponent)
    return torch.stack([angle.sin(), angle.cos()], -1).flatten(-2)
