"""CLIP's text model, under the names that the published file has below `transformer.`."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from rendering.widths import Widths


class Embeddings(nn.Module):
    """Of tokens and of their places."""

    def __init__(self, widths: Widths) -> None:
        super().__init__()
        self.token_embedding = nn.Embedding(widths.vocabulary, widths.context)
        self.position_embedding = nn.Embedding(widths.text_tokens, widths.context)

    def forward(self, ids: Tensor) -> Tensor:
        """[B, N] numbers of tokens to [B, N, context]."""
        places = torch.arange(ids.shape[1], device=ids.device)
        out: Tensor = self.token_embedding(ids) + self.position_embedding(places)
        return out


class CausalAttention(nn.Module):
    """Each token looks at itself and at those before it."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.k_proj = nn.Linear(width, width)
        self.v_proj = nn.Linear(width, width)
        self.q_proj = nn.Linear(width, width)
        self.out_proj = nn.Linear(width, width)

    def _split(self, x: Tensor) -> Tensor:
        return x.reshape(*x.shape[:2], self.heads, -1).transpose(1, 2)

    def forward(self, x: Tensor) -> Tensor:
        """[B, N, width]."""
        q, k, v = (self._split(proj(x)) for proj in (self.q_proj, self.k_proj, self.v_proj))
        logits = q @ k.transpose(-1, -2) * q.shape[-1] ** -0.5
        later = torch.ones(x.shape[1], x.shape[1], dtype=torch.bool, device=x.device).triu(1)
        weights = torch.softmax(logits.masked_fill(later, -torch.inf), dim=-1)
        out: Tensor = self.out_proj((weights @ v).transpose(1, 2).flatten(2))
        return out


class MLP(nn.Module):
    """Two layers, with CLIP's quick GELU x sigmoid(1.702 x) between them."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(width, 4 * width)
        self.fc2 = nn.Linear(4 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        """[..., width]."""
        h = self.fc1(x)
        out: Tensor = self.fc2(h * torch.sigmoid(1.702 * h))
        return out


class Layer(nn.Module):
    """Attention and MLP, each on a normed input and added."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.self_attn = CausalAttention(width, heads)
        self.layer_norm1 = nn.LayerNorm(width)
        self.mlp = MLP(width)
        self.layer_norm2 = nn.LayerNorm(width)

    def forward(self, x: Tensor) -> Tensor:
        """[B, N, width]."""
        x = x + self.self_attn(self.layer_norm1(x))
        out: Tensor = x + self.mlp(self.layer_norm2(x))
        return out


class Encoder(nn.Module):
    """The layers, one after the other."""

    def __init__(self, widths: Widths) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            Layer(widths.context, widths.text_heads) for _ in range(widths.text_layers)
        )

    def forward(self, x: Tensor) -> Tensor:
        """[B, N, context]."""
        for layer in self.layers:
            x = layer(x)
        return x


class TextModel(nn.Module):
    """`text_model`: 196 tensors at full size."""

    def __init__(self, widths: Widths) -> None:
        super().__init__()
        self.embeddings = Embeddings(widths)
        self.encoder = Encoder(widths)
        self.final_layer_norm = nn.LayerNorm(widths.context)

    def forward(self, ids: Tensor) -> Tensor:
        """The last hidden state, normed: [B, N] numbers of tokens to [B, N, context]."""
        out: Tensor = self.final_layer_norm(self.encoder(self.embeddings(ids)))
        return out
