"""The autoencoder of SD 1.x under its names in LDM."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from rendering.blocks import Upsample, group_norm
from rendering.widths import Widths

SCALE = 0.18215
"""From what the encoder gives to what is diffused."""


class ResnetBlock(nn.Module):
    """Two convolutions, added."""

    def __init__(self, channels: int, out: int) -> None:
        super().__init__()
        self.norm1 = group_norm(channels, eps=1e-6)
        self.conv1 = nn.Conv2d(channels, out, 3, padding=1)
        self.norm2 = group_norm(out, eps=1e-6)
        self.conv2 = nn.Conv2d(out, out, 3, padding=1)
        self.nin_shortcut = None if channels == out else nn.Conv2d(channels, out, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Map [B, channels, H, W]."""
        h = self.conv1(functional.silu(self.norm1(x)))
        h = self.conv2(functional.silu(self.norm2(h)))
        out: Tensor = h + (x if self.nin_shortcut is None else self.nin_shortcut(x))
        return out


class AttnBlock(nn.Module):
    """Attention between all pixels, one head, logits scaled, added."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = group_norm(channels, eps=1e-6)
        self.q = nn.Conv2d(channels, channels, 1)
        self.k = nn.Conv2d(channels, channels, 1)
        self.v = nn.Conv2d(channels, channels, 1)
        self.proj_out = nn.Conv2d(channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Map [B, channels, H, W]."""
        h = self.norm(x)
        q, k, v = (layer(h).flatten(2) for layer in (self.q, self.k, self.v))
        weights = torch.softmax(q.transpose(1, 2) @ k * q.shape[1] ** -0.5, dim=-1)
        out: Tensor = x + self.proj_out((v @ weights.transpose(1, 2)).reshape(x.shape))
        return out


class Mid(nn.Module):
    """What stands between the two halves of either network."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.block_1 = ResnetBlock(channels, channels)
        self.attn_1 = AttnBlock(channels)
        self.block_2 = ResnetBlock(channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        """Map [B, channels, H, W]."""
        out: Tensor = self.block_2(self.attn_1(self.block_1(x)))
        return out


class Shrink(nn.Module):
    """A convolution of stride 2, padded right and below only."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, stride=2)

    def forward(self, x: Tensor) -> Tensor:
        """Half the height and width."""
        out: Tensor = self.conv(functional.pad(x, (0, 1, 0, 1)))
        return out


class Level(nn.Module):
    """Blocks of one resolution, and what leads to the next."""

    def __init__(self, channels: int, out: int, blocks: int) -> None:
        super().__init__()
        self.block = nn.ModuleList(
            ResnetBlock(channels if k == 0 else out, out) for k in range(blocks)
        )
        self.downsample: Shrink | None = None
        self.upsample: Upsample | None = None

    def forward(self, x: Tensor) -> Tensor:
        """Map [B, channels, H, W]."""
        for block in self.block:
            x = block(x)
        for resample in (self.downsample, self.upsample):
            x = x if resample is None else resample(x)
        return x


class Encoder(nn.Module):
    """From the image to mean and logarithm of the variance."""

    def __init__(self, widths: Widths) -> None:
        super().__init__()
        levels = [widths.vae_channels * mult for mult in widths.vae_mult]
        before = [widths.vae_channels, *levels]
        self.conv_in = nn.Conv2d(3, widths.vae_channels, 3, padding=1)
        self.down = nn.ModuleList()
        for k, out in enumerate(levels):
            level = Level(before[k], out, blocks=2)
            if k < len(levels) - 1:
                level.downsample = Shrink(out)
            self.down.append(level)
        self.mid = Mid(levels[-1])
        self.norm_out = group_norm(levels[-1], eps=1e-6)
        self.conv_out = nn.Conv2d(levels[-1], 2 * widths.latent_channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """[B, 3, H, W] of -1 to 1 to [B, 8, H/8, W/8]."""
        h = self.conv_in(x)
        for level in self.down:
            h = level(h)
        out: Tensor = self.conv_out(functional.silu(self.norm_out(self.mid(h))))
        return out


class Decoder(nn.Module):
    """From latents to the image."""

    def __init__(self, widths: Widths) -> None:
        super().__init__()
        levels = [widths.vae_channels * mult for mult in widths.vae_mult]
        before = [*levels[1:], levels[-1]]
        self.conv_in = nn.Conv2d(widths.latent_channels, levels[-1], 3, padding=1)
        self.mid = Mid(levels[-1])
        self.up = nn.ModuleList()
        for k, out in enumerate(levels):
            level = Level(before[k], out, blocks=3)
            if k > 0:
                level.upsample = Upsample(out)
            self.up.append(level)
        self.norm_out = group_norm(levels[0], eps=1e-6)
        self.conv_out = nn.Conv2d(levels[0], 3, 3, padding=1)

    def forward(self, z: Tensor) -> Tensor:
        """[B, 4, H, W] to [B, 3, 8H, 8W]."""
        h = self.mid(self.conv_in(z))
        for level in reversed(self.up):
            h = level(h)
        out: Tensor = self.conv_out(functional.silu(self.norm_out(h)))
        return out


class Autoencoder(nn.Module):
    """`first_stage_model`: 248 tensors."""

    def __init__(self, widths: Widths) -> None:
        super().__init__()
        latent = widths.latent_channels
        self.encoder = Encoder(widths)
        self.decoder = Decoder(widths)
        self.quant_conv = nn.Conv2d(2 * latent, 2 * latent, 1)
        self.post_quant_conv = nn.Conv2d(latent, latent, 1)

    def moments(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation of the latents, not scaled, [B, 4, H/8, W/8] each."""
        mean, log_variance = self.quant_conv(self.encoder(image)).chunk(2, dim=1)
        return mean, torch.exp(0.5 * log_variance.clamp(-30.0, 20.0))

    def encode(self, image: Tensor) -> Tensor:
        """Mean latents of an image [B, 3, H, W] of -1 to 1, scaled to be diffused."""
        return self.moments(image)[0] * SCALE

    def decode(self, latents: Tensor) -> Tensor:
        """The image [B, 3, 8H, 8W], about -1 to 1, of scaled latents [B, 4, H, W]."""
        out: Tensor = self.decoder(self.post_quant_conv(latents / SCALE))
        return out
