"""Parts that the UNet and the local adapter share, under their names in LDM."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from rendering.widths import Widths


def timestep_embedding(timesteps: Tensor, dim: int) -> Tensor:
    """Cosines, then sines, of the timesteps [B] at frequencies 10000^(-2i/dim): [B, dim]."""
    half = dim // 2
    steps = torch.arange(half, dtype=torch.float32, device=timesteps.device)
    angles = timesteps[:, None].float() * torch.exp(-math.log(10000) * steps / half)
    return torch.cat([angles.cos(), angles.sin()], dim=-1)


def time_mlp(widths: Widths) -> nn.Sequential:
    """From the sinusoid to the time embedding."""
    return nn.Sequential(
        nn.Linear(widths.model_channels, widths.time_channels),
        nn.SiLU(),
        nn.Linear(widths.time_channels, widths.time_channels),
    )


def group_norm(channels: int, eps: float = 1e-5) -> nn.GroupNorm:
    """32 groups, with weight and bias."""
    return nn.GroupNorm(32, channels, eps=eps)


class GEGLU(nn.Module):
    """Half of a projection, times the GELU of the other half."""

    def __init__(self, width: int, inner: int) -> None:
        super().__init__()
        self.proj = nn.Linear(width, 2 * inner)

    def forward(self, x: Tensor) -> Tensor:
        """[..., width] to [..., inner]."""
        value, gate = self.proj(x).chunk(2, dim=-1)
        out: Tensor = value * functional.gelu(gate)
        return out


class FeedForward(nn.Module):
    """GEGLU to four times the width, dropout, linear."""

    def __init__(self, width: int, out: int | None = None, dropout: float = 0.0) -> None:
        super().__init__()
        inner = 4 * width
        self.net = nn.Sequential(
            GEGLU(width, inner), nn.Dropout(dropout), nn.Linear(inner, out or width)
        )

    def forward(self, x: Tensor) -> Tensor:
        """[..., width] to [..., out]."""
        out: Tensor = self.net(x)
        return out


class CrossAttention(nn.Module):
    """Attention over the context, or over the tokens themselves where there is none."""

    def __init__(self, width: int, context: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.to_q = nn.Linear(width, width, bias=False)
        self.to_k = nn.Linear(context, width, bias=False)
        self.to_v = nn.Linear(context, width, bias=False)
        self.to_out = nn.Sequential(nn.Linear(width, width), nn.Dropout(0.0))

    def _split(self, x: Tensor) -> Tensor:
        return x.reshape(*x.shape[:2], self.heads, -1).transpose(1, 2)

    def forward(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        """Tokens [B, N, width], context [B, M, context]."""
        source = x if context is None else context
        q, k, v = (
            self._split(self.to_q(x)),
            self._split(self.to_k(source)),
            self._split(self.to_v(source)),
        )
        weights = torch.softmax(q @ k.transpose(-1, -2) * q.shape[-1] ** -0.5, dim=-1)
        out: Tensor = self.to_out((weights @ v).transpose(1, 2).flatten(2))
        return out


class TransformerBlock(nn.Module):
    """Self-attention, cross-attention and feed-forward, each on a normed input and added."""

    def __init__(self, width: int, context: int, heads: int) -> None:
        super().__init__()
        self.attn1 = CrossAttention(width, width, heads)
        self.ff = FeedForward(width)
        self.attn2 = CrossAttention(width, context, heads)
        self.norm1 = nn.LayerNorm(width)
        self.norm2 = nn.LayerNorm(width)
        self.norm3 = nn.LayerNorm(width)

    def forward(self, x: Tensor, context: Tensor) -> Tensor:
        """Tokens [B, N, width], context [B, M, context]."""
        x = x + self.attn1(self.norm1(x))
        x = x + self.attn2(self.norm2(x), context)
        out: Tensor = x + self.ff(self.norm3(x))
        return out


class SpatialTransformer(nn.Module):
    """A transformer block over the pixels, between two 1x1 convolutions, added."""

    def __init__(self, width: int, context: int, heads: int) -> None:
        super().__init__()
        self.norm = group_norm(width, eps=1e-6)
        self.proj_in = nn.Conv2d(width, width, 1)
        self.transformer_blocks = nn.ModuleList([TransformerBlock(width, context, heads)])
        self.proj_out = nn.Conv2d(width, width, 1)

    def forward(self, x: Tensor, context: Tensor) -> Tensor:
        """Map [B, width, H, W], context [B, M, context]."""
        h = self.proj_in(self.norm(x))
        tokens = h.flatten(2).transpose(1, 2)
        for block in self.transformer_blocks:
            tokens = block(tokens, context)
        out: Tensor = x + self.proj_out(tokens.transpose(1, 2).reshape(x.shape))
        return out


class ResBlock(nn.Module):
    """Two convolutions, with the time embedding added between them."""

    def __init__(self, channels: int, out: int, time_channels: int) -> None:
        super().__init__()
        self.in_layers = nn.Sequential(
            group_norm(channels), nn.SiLU(), nn.Conv2d(channels, out, 3, padding=1)
        )
        self.emb_layers = nn.Sequential(nn.SiLU(), nn.Linear(time_channels, out))
        self.out_layers = nn.Sequential(
            group_norm(out), nn.SiLU(), nn.Dropout(0.0), nn.Conv2d(out, out, 3, padding=1)
        )
        self.skip_connection = nn.Identity() if channels == out else nn.Conv2d(channels, out, 1)

    def forward(self, x: Tensor, emb: Tensor) -> Tensor:
        """Map [B, channels, H, W], embedding [B, time_channels]."""
        h = self.in_layers(x) + self.emb_layers(emb)[:, :, None, None]
        out: Tensor = self.skip_connection(x) + self.out_layers(h)
        return out


class Downsample(nn.Module):
    """A convolution of stride 2."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.op = nn.Conv2d(channels, channels, 3, stride=2, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """Half the height and width."""
        out: Tensor = self.op(x)
        return out


class Upsample(nn.Module):
    """Nearest neighbour, then a convolution."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """Twice the height and width."""
        out: Tensor = self.conv(functional.interpolate(x, scale_factor=2.0, mode="nearest"))
        return out


def run(
    block: nn.Module, x: Tensor, emb: Tensor, context: Tensor, local: Tensor | None = None
) -> Tensor:
    """The map after all modules of a block, each given what it takes besides the map.

    `local` is the local feature; only blocks that begin with a module made for it are given one.
    """
    for module in block.children():
        if isinstance(module, SpatialTransformer):
            x = module(x, context)
        elif isinstance(module, ResBlock):
            x = module(x, emb)
        elif local is not None:
            x, local = module(x, emb, local), None
        else:
            x = module(x)
    return x


def encoder(widths: Widths, first: dict[int, nn.Module] | None = None) -> nn.ModuleList:
    """The `input_blocks`: stem, two residual blocks a level, and what halves the map between.

    Args:
        widths: Of the model.
        first: What takes the place of the first residual block of a level, by level.
    """
    channels = widths.model_channels
    blocks = [nn.Sequential(nn.Conv2d(widths.latent_channels, channels, 3, padding=1))]
    last = len(widths.levels) - 1
    for level, out in enumerate(widths.levels):
        for count in range(widths.res_blocks):
            parts: list[nn.Module] = [ResBlock(channels, out, widths.time_channels)]
            if first and count == 0:
                parts = [first[level]]
            if level < last:
                parts.append(SpatialTransformer(out, widths.context, widths.heads))
            blocks.append(nn.Sequential(*parts))
            channels = out
        if level < last:
            blocks.append(nn.Sequential(Downsample(channels)))
    return nn.ModuleList(blocks)


def middle(widths: Widths) -> nn.Sequential:
    """The `middle_block`."""
    channels = widths.levels[-1]
    return nn.Sequential(
        ResBlock(channels, channels, widths.time_channels),
        SpatialTransformer(channels, widths.context, widths.heads),
        ResBlock(channels, channels, widths.time_channels),
    )


def skip_widths(widths: Widths) -> list[int]:
    """Channels of what each of the `input_blocks` gives."""
    out = [widths.model_channels]
    for level, channels in enumerate(widths.levels):
        out += [channels] * widths.res_blocks
        if level < len(widths.levels) - 1:
            out.append(channels)
    return out
