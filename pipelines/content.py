"""A reference image as four context tokens."""

from __future__ import annotations

import torch
from diffusers import ConfigMixin, ModelMixin
from diffusers.configuration_utils import register_to_config
from diffusers.models.attention import FeedForward
from torch import Tensor, nn
from torch.nn import functional as F

_CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)
_CLIP_STD = (0.26862954, 0.26130258, 0.27577711)


class ContentAdapter(ModelMixin, ConfigMixin):
    """An image embedding to context tokens, by two gated feed-forward layers (CRS-Diff).

    Args:
        content_dim: width of the image embedding.
        cross_attention_dim: width of a token.
        tokens: number of tokens.
    """

    @register_to_config
    def __init__(
        self, content_dim: int = 768, cross_attention_dim: int = 768, tokens: int = 4
    ) -> None:
        super().__init__()
        middle = 2 * content_dim
        self.norm1 = nn.LayerNorm(content_dim)
        self.ff1 = FeedForward(content_dim, middle, mult=4, dropout=0.1, activation_fn="geglu")
        self.norm2 = nn.LayerNorm(middle)
        self.ff2 = FeedForward(
            middle, tokens * cross_attention_dim, mult=4, dropout=0.3, activation_fn="geglu"
        )

    def forward(self, content: Tensor) -> Tensor:
        """Tokens (n, tokens, cross_attention_dim) of ``content`` (n, content_dim).

        An absent image is the zero vector, which gives constant tokens.
        """
        x: Tensor = self.ff2(self.norm2(self.ff1(self.norm1(content))))
        return x.view(len(x), self.config.tokens, self.config.cross_attention_dim)


def latent_statistics(latent: Tensor) -> Tensor:
    """Mean and standard deviation of each latent channel: (n, c, h, w) to (n, 2c).

    The default model's image embedding. It holds colour and texture and nothing of the layout, and
    needs no network besides the autoencoder's.
    """
    flat = latent.float().flatten(2)
    return torch.cat([flat.mean(2), flat.std(2)], 1)


def clip_pixels(images: Tensor) -> Tensor:
    """``images`` (n, 3, h, w) in [-1, 1] as CLIP wants them: 224x224, its own mean and deviation.

    The short side is scaled to 224 and the middle cut out (Radford et al. 2021).
    """
    scale = 224 / min(images.shape[-2:])
    size = [max(224, round(side * scale)) for side in images.shape[-2:]]
    x = F.interpolate(images.float(), size, mode="bicubic", antialias=True)
    top, left = ((side - 224) // 2 for side in size)
    x = (x[..., top : top + 224, left : left + 224] / 2 + 0.5).clamp(0, 1)
    mean, deviation = (x.new_tensor(v).view(1, 3, 1, 1) for v in (_CLIP_MEAN, _CLIP_STD))
    return ((x - mean) / deviation).to(images.dtype)
