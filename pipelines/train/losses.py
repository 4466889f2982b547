"""Losses of the autoencoder."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional as F

from rsaug.errors import InputError

# (in, out, kernel, stride, padding, pool before) of AlexNet's five convolutions.
_ALEXNET = (
    (3, 64, 11, 4, 2, False),
    (64, 192, 5, 1, 2, True),
    (192, 384, 3, 1, 1, True),
    (384, 256, 3, 1, 1, False),
    (256, 256, 3, 1, 1, False),
)


class LPIPS(nn.Module):
    """Learned perceptual distance of two images on AlexNet features (Zhang et al. 2018).

    Args:
        weights: safetensors file with ``conv0..4`` and the linear heads ``lin0..4``.

    Raises:
        InputError: if the file holds something else.
    """

    shift: Tensor
    scale: Tensor

    def __init__(self, weights: Path) -> None:
        super().__init__()
        convs = [nn.Conv2d(i, o, k, s, p) for i, o, k, s, p, _ in _ALEXNET]
        heads = [nn.Parameter(torch.zeros(1, o, 1, 1)) for _, o, *_ in _ALEXNET]
        self.convs, self.heads = nn.ModuleList(convs), nn.ParameterList(heads)
        self.register_buffer("shift", torch.tensor([-0.030, -0.088, -0.188]).view(1, 3, 1, 1))
        self.register_buffer("scale", torch.tensor([0.458, 0.448, 0.450]).view(1, 3, 1, 1))
        try:
            state = load_file(weights)
            with torch.no_grad():
                for k, (conv, head) in enumerate(zip(convs, heads, strict=True)):
                    conv.load_state_dict(
                        {name: state[f"conv{k}.{name}"] for name in ("weight", "bias")}
                    )
                    head.copy_(state[f"lin{k}.weight"])
        except (OSError, SafetensorError, KeyError, RuntimeError) as error:
            raise InputError(f"{weights} holds no weights of LPIPS: {error}.") from error
        self.requires_grad_(False)

    def features(self, image: Tensor) -> list[Tensor]:
        """Unit-length features of ``image`` (n, 3, h, w) in [-1, 1], one tensor a layer."""
        x = (image - self.shift) / self.scale
        out = []
        for conv, (*_, pool) in zip(self.convs, _ALEXNET, strict=True):
            if pool:
                x = F.max_pool2d(x, 3, 2)
            x = F.relu(conv(x))
            out.append(x / (x.float().pow(2).sum(1, keepdim=True).sqrt() + 1e-10))
        return out

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        """Distance of each pair of images (n, 3, h, w) in [-1, 1]; shape (n,)."""
        total = a.new_zeros(a.shape[0], dtype=torch.float32)
        for fa, fb, head in zip(self.features(a), self.features(b), self.heads, strict=True):
            total = total + ((fa - fb).float().pow(2) * head).sum(1).mean((1, 2))
        return total
