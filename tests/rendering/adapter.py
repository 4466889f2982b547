"""The local adapter: a copy of the encoder that takes in the six maps at each level."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from rendering.blocks import encoder, middle, run, skip_widths, time_mlp, timestep_embedding
from rendering.widths import Widths


def conv(channels: int, out: int, stride: int = 1) -> nn.Conv2d:
    """3x3, padded by one."""
    return nn.Conv2d(channels, out, 3, stride=stride, padding=1)


class FeatureExtractor(nn.Module):
    """From the maps to one local feature a level."""

    def __init__(self, widths: Widths) -> None:
        super().__init__()
        strides = (1, 2, 1, 2, 1)
        stem = (widths.local_channels, *widths.stem)
        parts: list[nn.Module] = []
        for k, stride in enumerate(strides):
            parts += [conv(stem[k], stem[k + 1], stride), nn.SiLU()]
        self.pre_extractor = nn.Sequential(*parts)
        inject = (widths.stem[-1], *widths.inject)
        self.extractors = nn.ModuleList(
            nn.Sequential(conv(inject[k], inject[k + 1], 2), nn.SiLU())
            for k in range(len(widths.inject))
        )
        self.zero_convs = nn.ModuleList(conv(width, width) for width in widths.inject)

    def forward(self, maps: Tensor) -> list[Tensor]:
        """Maps [B, 18, H, W] of 0 to 1 to features at H/8, H/16, H/32 and H/64."""
        h = self.pre_extractor(maps)
        features = []
        for extractor, zero_conv in zip(self.extractors, self.zero_convs, strict=True):
            h = extractor(h)
            features.append(zero_conv(h))
        return features


class SelfAttention(nn.Module):
    """Attention between all pixels, one head, logits not scaled, added to what comes in."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.query_conv = nn.Conv2d(channels, channels // 8, 1)
        self.key_conv = nn.Conv2d(channels, channels // 8, 1)
        self.value_conv = nn.Conv2d(channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Map [B, C, H, W]."""
        query = self.query_conv(x).flatten(2)
        key = self.key_conv(x).flatten(2)
        value = self.value_conv(x).flatten(2)
        logits = torch.bmm(query.transpose(1, 2), key)
        weights = torch.softmax(logits, dim=-1)
        return x + torch.bmm(value, weights.transpose(1, 2)).reshape(x.shape)


class FDN(nn.Module):
    """Group norm without parameters, then a scale and a shift that the local feature gives."""

    def __init__(self, channels: int, local: int) -> None:
        super().__init__()
        self.conv_gamma = conv(local, channels)
        self.conv_beta = conv(local, channels)

    def forward(self, x: Tensor, local: Tensor) -> Tensor:
        """Map [B, C, H, W], feature [B, local, H, W]."""
        normed = functional.group_norm(x, 32)
        out: Tensor = normed * (1 + self.conv_gamma(local)) + self.conv_beta(local)
        return out


class EnhancedFDN(nn.Module):
    """Self-attention, then FDN."""

    def __init__(self, channels: int, local: int) -> None:
        super().__init__()
        self.fdn = FDN(channels, local)
        self.attention = SelfAttention(channels)

    def forward(self, x: Tensor, local: Tensor) -> Tensor:
        """Map [B, C, H, W], feature [B, local, H, W]."""
        out: Tensor = self.fdn(self.attention(x), local)
        return out


class LocalResBlock(nn.Module):
    """A residual block with an EnhancedFDN for each of its two group norms."""

    def __init__(self, channels: int, out: int, local: int, time_channels: int) -> None:
        super().__init__()
        self.norm_in = EnhancedFDN(channels, local)
        self.norm_out = EnhancedFDN(out, local)
        self.in_layers = nn.Sequential(nn.Identity(), nn.SiLU(), conv(channels, out))
        self.emb_layers = nn.Sequential(nn.SiLU(), nn.Linear(time_channels, out))
        self.out_layers = nn.Sequential(nn.Identity(), nn.SiLU(), nn.Dropout(0.0), conv(out, out))
        self.skip_connection = nn.Identity() if channels == out else nn.Conv2d(channels, out, 1)

    def forward(self, x: Tensor, emb: Tensor, local: Tensor) -> Tensor:
        """Map [B, channels, H, W], embedding [B, time_channels], feature [B, local, H, W]."""
        h = self.in_layers(self.norm_in(x, local))
        h = h + self.emb_layers(emb)[:, :, None, None]
        h = self.out_layers(self.norm_out(h, local))
        out: Tensor = self.skip_connection(x) + h
        return out


class LocalAdapter(nn.Module):
    """`local_adapter`: 414 tensors at full size."""

    def __init__(self, widths: Widths) -> None:
        super().__init__()
        self.widths = widths
        self.time_embed = time_mlp(widths)
        self.feature_extractor = FeatureExtractor(widths)
        before = (widths.model_channels, *widths.levels)
        self.input_blocks = encoder(
            widths,
            first={
                level: LocalResBlock(before[level], out, local, widths.time_channels)
                for level, (out, local) in enumerate(zip(widths.levels, widths.inject, strict=True))
            },
        )
        self.middle_block = middle(widths)
        self.zero_convs = nn.ModuleList(
            nn.Sequential(nn.Conv2d(width, width, 1)) for width in skip_widths(widths)
        )
        last = widths.levels[-1]
        self.middle_block_out = nn.Sequential(nn.Conv2d(last, last, 1))

    def forward(
        self,
        x: Tensor,
        timesteps: Tensor,
        context: Tensor,
        maps: Tensor,
        scales: Sequence[float] | None = None,
    ) -> list[Tensor]:
        """Twelve residuals for the skip tensors of the UNet and one for its middle.

        Args:
            x: Latents, [B, 4, H, W].
            timesteps: [B], of 0 to 999.
            context: Text tokens and those of the content, [B, N, context].
            maps: Six maps of three channels, of 0 to 1, [B, 18, 8H, 8W].
            scales: The `local_control_scales`, thirteen; all 1 by default.
        """
        emb = self.time_embed(timestep_embedding(timesteps, self.widths.model_channels))
        features = self.feature_extractor(maps)
        firsts = range(1, len(self.input_blocks), self.widths.res_blocks + 1)
        outputs: list[Tensor] = []
        h = x
        for k, (block, zero_conv) in enumerate(
            zip(self.input_blocks, self.zero_convs, strict=True)
        ):
            local = features[firsts.index(k)] if k in firsts else None
            h = run(block, h, emb, context, local)
            outputs.append(zero_conv(h))
        h = run(self.middle_block, h, emb, context)
        outputs.append(self.middle_block_out(h))
        factors = [1.0] * len(outputs) if scales is None else scales
        return [output * scale for output, scale in zip(outputs, factors, strict=True)]
