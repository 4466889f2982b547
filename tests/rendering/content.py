"""The adapter that makes four tokens of a CLIP image embedding."""

from __future__ import annotations

from torch import Tensor, nn

from rendering.blocks import FeedForward
from rendering.widths import Widths


class ContentAdapter(nn.Module):
    """`global_content_adapter`: 12 tensors; the width is doubled, then doubled again."""

    def __init__(self, widths: Widths) -> None:
        super().__init__()
        self.tokens, width = widths.content_tokens, widths.context
        self.ff1 = FeedForward(width, 2 * width, dropout=0.1)
        self.ff2 = FeedForward(2 * width, self.tokens * width, dropout=0.3)
        self.norm1 = nn.LayerNorm(width)
        self.norm2 = nn.LayerNorm(2 * width)

    def forward(self, embedding: Tensor) -> Tensor:
        """[B, context] to [B, 4, context]."""
        out: Tensor = self.ff2(self.norm2(self.ff1(self.norm1(embedding))))
        return out.reshape(len(embedding), self.tokens, -1)
