"""The LocalAdapter of CRS-Diff: spatial controls in, residuals for the UNet out.

A copy of the UNet's encoder and middle block reads the noisy latent; a convolutional pyramid reads
the control maps. The first residual block of each resolution normalises with *feature
denormalisation* (FDN), whose scale and shift come from the pyramid, instead of adding the controls
at the stem as ControlNet does. Tang et al., "CRS-Diff", IEEE TGRS 62, 2024 (arXiv 2403.11614);
FDN after Zhao et al., "Uni-ControlNet", NeurIPS 2023.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, cast

import torch
from diffusers import ConfigMixin, ModelMixin
from diffusers.configuration_utils import register_to_config
from diffusers.models.embeddings import TimestepEmbedding, Timesteps
from diffusers.models.resnet import Downsample2D, ResnetBlock2D
from diffusers.models.transformers.transformer_2d import Transformer2DModel
from diffusers.utils.accelerate_utils import apply_forward_hook
from torch import Tensor, nn
from torch.nn import functional as F

Modulation = list[tuple[Tensor, Tensor]]
"""(scale, shift) of every FDN in forward order; all a denoising step needs of the controls."""

_BLOCK_LOGITS = 1 << 18
"""Logits of a sample that are held at once: one megabyte, which stays in a core's cache."""


@dataclass(frozen=True)
class AdapterOutput:
    """Residuals for the UNet: one a skip connection, and one for its middle block."""

    down: tuple[Tensor, ...]
    mid: Tensor


class ControlPyramid(nn.Module):
    """Control maps at pixel resolution to one feature map a UNet level.

    Args:
        in_channels: channels of the control stack, presence planes included.
        stem_channels: widths of the five convolutions that come down to a quarter of the size.
        inject_channels: width of the injected feature at 1/8, 1/16, ... of the size.
        zero_init: whether the injected features start at zero.
    """

    def __init__(
        self,
        in_channels: int,
        stem_channels: tuple[int, ...],
        inject_channels: tuple[int, ...],
        zero_init: bool,
    ) -> None:
        super().__init__()
        strides = (1, 2, 1, 2, 1)
        widths = (in_channels, *stem_channels)
        self.stem = nn.ModuleList(
            nn.Conv2d(i, o, 3, stride, 1)
            for i, o, stride in zip(widths[:-1], widths[1:], strides, strict=True)
        )
        widths = (stem_channels[-1], *inject_channels)
        self.levels = nn.ModuleList(nn.Conv2d(i, o, 3, 2, 1) for i, o in pairwise(widths))
        self.outputs = nn.ModuleList(nn.Conv2d(c, c, 3, 1, 1) for c in inject_channels)
        for conv in (*self.stem, *self.levels):
            # SiLU halves small signals and no norm restores them: with torch's own initial weights
            # a road map moves the deepest features by less than a thousandth.
            _init_normal(conv, gain=2.0)
        for conv in self.outputs:
            _init_normal(conv, gain=0.0 if zero_init else 1.0)

    def forward(self, controls: Tensor) -> list[Tensor]:
        """Injected features of ``controls`` (n, in_channels, h, w), from 1/8 of its size down."""
        x = controls
        for conv in self.stem:
            x = F.silu(conv(x))
        features = []
        for conv, out in zip(self.levels, self.outputs, strict=True):
            x = F.silu(conv(x))
            features.append(out(x))
        return features


class SpatialSelfAttention(nn.Module):
    """Single-head self-attention over positions, logits *not* scaled, input added to the output.

    The missing 1/sqrt(d) is CRS-Diff's own and is kept: its checkpoint was trained with it.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.query = nn.Conv2d(channels, channels // 8, 1)
        self.key = nn.Conv2d(channels, channels // 8, 1)
        self.value = nn.Conv2d(channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Attended ``x``, same shape (n, channels, h, w)."""
        convs = (self.query, self.key, self.value)
        q, k, v = (conv(x).flatten(2).transpose(1, 2).contiguous() for conv in convs)
        on_cpu = x.device.type == "cpu"
        out = _attend_in_blocks(q, k, v) if on_cpu else _attend_fused(q, k, v)
        return x + out.transpose(1, 2).reshape(x.shape)


class FeatureDenorm(nn.Module):
    """Enhanced FDN: self-attention, then a group norm whose affine part comes from the controls."""

    def __init__(self, channels: int, inject_channels: int, groups: int) -> None:
        super().__init__()
        self.groups = groups
        self.attention = SpatialSelfAttention(channels)
        self.scale = nn.Conv2d(inject_channels, channels, 3, 1, 1)
        self.shift = nn.Conv2d(inject_channels, channels, 3, 1, 1)

    def modulation(self, feature: Tensor) -> tuple[Tensor, Tensor]:
        """Scale and shift maps for an injected ``feature``; constant over a trajectory."""
        return self.scale(feature), self.shift(feature)

    def forward(self, x: Tensor, modulation: tuple[Tensor, Tensor]) -> Tensor:
        """Normalised and modulated ``x``, same shape."""
        scale, shift = modulation
        return F.group_norm(self.attention(x), self.groups) * (1 + scale) + shift


class LocalResBlock(nn.Module):
    """A residual block of the SD encoder in which FDN stands for both group norms."""

    def __init__(
        self, in_channels: int, out_channels: int, inject_channels: int, temb: int, groups: int
    ) -> None:
        super().__init__()
        self.norm1 = FeatureDenorm(in_channels, inject_channels, groups)
        self.conv1 = nn.Conv2d(in_channels, out_channels, 3, 1, 1)
        self.time_emb_proj = nn.Linear(temb, out_channels)
        self.norm2 = FeatureDenorm(out_channels, inject_channels, groups)
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3, 1, 1)
        same = in_channels == out_channels
        self.conv_shortcut = None if same else nn.Conv2d(in_channels, out_channels, 1)

    def forward(self, x: Tensor, temb: Tensor, modulation: Modulation) -> Tensor:
        """Output (n, out_channels, h, w) for ``x`` and the two modulations of this block."""
        h = self.conv1(F.silu(self.norm1(x, modulation[0])))
        h = h + self.time_emb_proj(F.silu(temb))[:, :, None, None]
        h = self.conv2(F.silu(self.norm2(h, modulation[1])))
        out: Tensor = h + (x if self.conv_shortcut is None else self.conv_shortcut(x))
        return out


class AdapterLevel(nn.Module):
    """One resolution of the encoder copy: residual blocks, attention, and the way down.

    Args:
        local: the first residual block, which the controls come in by.
        resnets: the further ones.
        attentions: one a residual block, or none.
        downsample: halves the size; None at the last level.
    """

    def __init__(
        self,
        local: LocalResBlock,
        resnets: Iterable[ResnetBlock2D],
        attentions: Iterable[Transformer2DModel],
        downsample: Downsample2D | None,
    ) -> None:
        super().__init__()
        self.local = local
        self.resnets = nn.ModuleList(resnets)
        self.attentions = nn.ModuleList(attentions)
        self.downsample = downsample

    def modulation(self, feature: Tensor) -> Modulation:
        """Scale and shift of both norms of the first block for an injected ``feature``."""
        return [norm.modulation(feature) for norm in (self.local.norm1, self.local.norm2)]

    def forward(
        self, x: Tensor, temb: Tensor, context: Tensor, modulation: Modulation
    ) -> list[Tensor]:
        """Activations after each block and after the way down; the last one goes on."""
        taps = []
        for k in range(1 + len(self.resnets)):
            x = self.local(x, temb, modulation) if k == 0 else self.resnets[k - 1](x, temb)
            if self.attentions:
                x = self.attentions[k](x, context, return_dict=False)[0]
            taps.append(x)
        if self.downsample is not None:
            taps.append(self.downsample(x))
        return taps


class AdapterMiddle(nn.Module):
    """The middle block: attention between two residual blocks."""

    def __init__(self, resnets: Iterable[ResnetBlock2D], attention: Transformer2DModel) -> None:
        super().__init__()
        self.resnets = nn.ModuleList(resnets)
        self.attention = attention

    def forward(self, x: Tensor, temb: Tensor, context: Tensor) -> Tensor:
        """Output, same shape as ``x``."""
        x = self.resnets[0](x, temb)
        x = self.attention(x, context, return_dict=False)[0]
        out: Tensor = self.resnets[1](x, temb)
        return out


class LocalAdapter(ModelMixin, ConfigMixin):
    """Controls and noisy latent to the residuals of a UNet.

    The defaults are the published model: 414 tensors, 419.46 M parameters.

    Args:
        in_channels: channels of the latent.
        control_channels: channels of the control stack; CRS-Diff has six maps of three.
        presence_channels: extra planes that say which maps are given (0: an absent map is black
            and nothing tells it from an empty one, as in the published model).
        block_out_channels: width at each level of the encoder copy.
        residual_channels: width of the UNet at each level; None when it equals ours.
        attention_levels: which levels attend to the context tokens.
        layers_per_block: residual blocks a level; equal to the UNet's.
        cross_attention_dim: width of a context token.
        num_attention_heads: heads of the context attention.
        stem_channels: widths of the pyramid's five first convolutions.
        inject_channels: width of the injected feature at each level.
        norm_num_groups: groups of every group norm.
        zero_init: whether injected features and residuals start at zero, which leaves a trained
            UNet as it is. Where all is trained from scratch, that only holds the controls back.
    """

    _supports_gradient_checkpointing = True

    @register_to_config
    def __init__(
        self,
        in_channels: int = 4,
        control_channels: int = 18,
        presence_channels: int = 0,
        block_out_channels: tuple[int, ...] = (320, 640, 1280, 1280),
        residual_channels: tuple[int, ...] | None = None,
        attention_levels: tuple[bool, ...] = (True, True, True, False),
        layers_per_block: int = 2,
        cross_attention_dim: int = 768,
        num_attention_heads: int = 8,
        stem_channels: tuple[int, ...] = (32, 64, 64, 128, 128),
        inject_channels: tuple[int, ...] = (192, 256, 384, 512),
        norm_num_groups: int = 32,
        zero_init: bool = True,
    ) -> None:
        super().__init__()
        self.gradient_checkpointing = False
        widths, targets = tuple(block_out_channels), tuple(residual_channels or block_out_channels)
        lengths = {len(widths), len(targets), len(attention_levels), len(inject_channels)}
        if len(lengths) != 1:
            raise ValueError(
                "block_out_channels, residual_channels, attention_levels and inject_channels "
                f"must have one entry a level, got {sorted(lengths)} levels"
            )
        temb = widths[0] * 4
        self.pyramid = ControlPyramid(
            control_channels + presence_channels,
            tuple(stem_channels),
            tuple(inject_channels),
            zero_init,
        )
        self.time_proj = Timesteps(widths[0], flip_sin_to_cos=True, downscale_freq_shift=0)
        self.time_embedding = TimestepEmbedding(widths[0], temb)
        self.conv_in = nn.Conv2d(in_channels, widths[0], 3, 1, 1)

        def resblock(i: int, o: int) -> ResnetBlock2D:
            return ResnetBlock2D(
                in_channels=i, out_channels=o, temb_channels=temb, groups=norm_num_groups, eps=1e-5
            )

        def transformer(width: int) -> Transformer2DModel:
            return Transformer2DModel(
                num_attention_heads,
                width // num_attention_heads,
                in_channels=width,
                cross_attention_dim=cross_attention_dim,
                norm_num_groups=norm_num_groups,
            )

        self.levels = nn.ModuleList()
        taps = [(widths[0], targets[0])]
        for k, width in enumerate(widths):
            before = widths[max(k - 1, 0)]
            last = k + 1 == len(widths)
            attending = layers_per_block if attention_levels[k] else 0
            self.levels.append(
                AdapterLevel(
                    LocalResBlock(before, width, inject_channels[k], temb, norm_num_groups),
                    [resblock(width, width) for _ in range(layers_per_block - 1)],
                    [transformer(width) for _ in range(attending)],
                    None if last else Downsample2D(width, True, out_channels=width, name="op"),
                )
            )
            taps += [(width, targets[k])] * (layers_per_block + (not last))
        self.mid = AdapterMiddle(
            [resblock(widths[-1], widths[-1]) for _ in range(2)], transformer(widths[-1])
        )
        self.down_outputs = nn.ModuleList(nn.Conv2d(i, o, 1) for i, o in taps)
        self.mid_output = nn.Conv2d(widths[-1], targets[-1], 1)
        for conv in (*self.down_outputs, self.mid_output):
            _init_normal(conv, gain=0.0 if zero_init else 1.0)

    @apply_forward_hook  # A place in CPU offload, which otherwise sees calls of forward alone.
    def encode_controls(self, controls: Tensor, present: Tensor) -> Modulation:
        """Everything the denoising steps need of the controls, computed once a trajectory.

        Args:
            controls: (n, control_channels, h, w) in [0, 1], eight times the latent's size; an
                absent map is zero.
            present: (n, slots) flags, 1 where a map is given; ignored without presence planes.
        """
        if self.config.presence_channels:
            planes = present.to(controls.dtype)[:, :, None, None]
            controls = torch.cat([controls, planes.expand(-1, -1, *controls.shape[-2:])], 1)
        features = self.pyramid(controls)
        return [
            pair
            for level, feature in zip(self.levels, features, strict=True)
            for pair in cast("AdapterLevel", level).modulation(feature)
        ]

    def forward(
        self,
        sample: Tensor,
        timestep: Tensor,
        encoder_hidden_states: Tensor,
        modulation: Modulation,
    ) -> AdapterOutput:
        """Residuals for one denoising step.

        Args:
            sample: noisy latent (n, in_channels, h, w).
            timestep: (n,) or a scalar tensor.
            encoder_hidden_states: context tokens (n, tokens, cross_attention_dim).
            modulation: what :meth:`encode_controls` returned.
        """
        temb = self.time_proj(timestep.expand(len(sample))).to(sample.dtype)
        temb = self.time_embedding(temb)
        x = self.conv_in(sample)
        taps = [x]
        for k, level in enumerate(self.levels):
            inputs = x, temb, encoder_hidden_states, modulation[2 * k : 2 * k + 2]
            if self.gradient_checkpointing and torch.is_grad_enabled():
                taps += self._gradient_checkpointing_func(level, *inputs)
            else:
                taps += level(*inputs)
            x = taps[-1]
        x = self.mid(x, temb, encoder_hidden_states)
        down = tuple(conv(tap) for conv, tap in zip(self.down_outputs, taps, strict=True))
        return AdapterOutput(down, self.mid_output(x))


def _attend_fused(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """Unscaled attention (n, length, dim), whose logits are never all held."""
    q, k, v = (t[:, None] for t in (query, key, value))
    return F.scaled_dot_product_attention(q, k, v, scale=1.0)[:, 0]


def _attend_in_blocks(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """Unscaled attention (n, length, dim) on a CPU, a block of queries at a time.

    Torch's fused CPU kernel wants one width for all three, eight times that of our queries; padded
    so far it is slower than this. Logits are float32, as in fused kernels: unscaled, they may pass
    what float16 can hold.
    """
    rows = max(16, _BLOCK_LOGITS // key.shape[1])
    keys = key.float().transpose(1, 2)
    blocks = (
        torch.softmax(q.float() @ keys, -1).to(value.dtype) for q in torch.split(query, rows, 1)
    )
    return torch.cat([block @ value for block in blocks], 1)


def _init_normal(conv: Any, gain: float) -> None:
    """Normal weights that keep the size of a signal times ``gain``, and no bias."""
    fan_in = conv.weight[0].numel()
    nn.init.normal_(conv.weight, std=gain / fan_in**0.5)
    nn.init.zeros_(conv.bias)
