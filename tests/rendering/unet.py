"""The UNet of SD 1.5 under its names in LDM, with room for metadata and for the adapter."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from rendering.blocks import (
    ResBlock,
    SpatialTransformer,
    Upsample,
    encoder,
    group_norm,
    middle,
    run,
    skip_widths,
    time_mlp,
    timestep_embedding,
)
from rendering.widths import Widths


def decoder(widths: Widths) -> nn.ModuleList:
    """The `output_blocks`, each of which takes one skip tensor."""
    skips = skip_widths(widths)
    channels = widths.levels[-1]
    last = len(widths.levels) - 1
    blocks = []
    for level in reversed(range(len(widths.levels))):
        out = widths.levels[level]
        for count in range(widths.res_blocks + 1):
            parts: list[nn.Module] = [ResBlock(channels + skips.pop(), out, widths.time_channels)]
            channels = out
            if level < last:
                parts.append(SpatialTransformer(out, widths.context, widths.heads))
            if level > 0 and count == widths.res_blocks:
                parts.append(Upsample(out))
            blocks.append(nn.Sequential(*parts))
    return nn.ModuleList(blocks)


class UNet(nn.Module):
    """`model.diffusion_model`: 686 tensors at full size."""

    def __init__(self, widths: Widths) -> None:
        super().__init__()
        self.widths = widths
        self.time_embed = time_mlp(widths)
        self.input_blocks = encoder(widths)
        self.middle_block = middle(widths)
        self.output_blocks = decoder(widths)
        self.out = nn.Sequential(
            group_norm(widths.model_channels),
            nn.SiLU(),
            nn.Conv2d(widths.model_channels, widths.latent_channels, 3, padding=1),
        )

    def forward(
        self,
        x: Tensor,
        timesteps: Tensor,
        context: Tensor,
        metadata: Tensor | None = None,
        residuals: Sequence[Tensor] | None = None,
    ) -> Tensor:
        """The predicted noise.

        Args:
            x: Latents, [B, 4, H, W].
            timesteps: [B], of 0 to 999.
            context: Text tokens and those of the content, [B, N, context].
            metadata: Added to the time embedding after its MLP, [B, time_channels].
            residuals: Twelve for the skip tensors, in the order of the `input_blocks`, and one for
                the middle.
        """
        emb = self.time_embed(timestep_embedding(timesteps, self.widths.model_channels))
        if metadata is not None:
            emb = emb + metadata
        skips = []
        h = x
        for block in self.input_blocks:
            h = run(block, h, emb, context)
            skips.append(h)
        h = run(self.middle_block, h, emb, context)
        if residuals is not None:
            h = h + residuals[-1]
            skips = [skip + added for skip, added in zip(skips, residuals[:-1], strict=True)]
        for block in self.output_blocks:
            h = torch.cat([h, skips.pop()], dim=1)
            h = run(block, h, emb, context)
        out: Tensor = self.out(h)
        return out
