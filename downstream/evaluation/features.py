"""Features of aerial images: the ResNet-18 that the package geoembed carries.

The package itself is not imported (it computes on OpenCL); only its file of weights is read.
"""

from __future__ import annotations

import hashlib
import re
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import interpolate, normalize

from rsaug.downstream.arrays import read_arrays
from rsaug.errors import InputError
from rsaug.optional import require
from rsaug.pipelines.train.folder import cut_windows

SIDE = 128
"""Rows and columns of what the encoder takes."""

_WIDTH, _POOLED = 256, 4
_FACTS = ("embed_dim", "base_channels", "pool_size")


class AerialEncoder(nn.Module):
    """ResNet-18 with a stem that keeps the size, to unit vectors of 256 numbers.

    It was made for pixels of 0.10-0.15 m (GeoEmbed v3, MIT licence). At other sizes it still tells
    aerial images apart, but what is compared has to be of one pixel size.

    Args:
        weights: ``v3.npz`` of the package geoembed; see `find_weights`.

    Raises:
        InputError: if the file holds no weights of this network.
        MissingExtra: if torchvision is not installed.
    """

    def __init__(self, weights: Path) -> None:
        super().__init__()
        resnet = require("torchvision.models.resnet", extra="eval")
        network = resnet.ResNet(resnet.BasicBlock, [2, 2, 2, 2])
        network.conv1 = nn.Conv2d(3, 64, 3, padding=1, bias=False)
        network.maxpool = nn.Identity()
        network.avgpool = nn.AdaptiveAvgPool2d(_POOLED)
        network.fc = nn.Linear(512 * _POOLED**2, _WIDTH)
        self.network = network.to(memory_format=torch.channels_last)
        self.sha256 = self._load(weights)
        self.requires_grad_(False)
        self.eval()

    @property
    def name(self) -> str:
        """What it is, with the beginning of the digest of its weights."""
        return f"GeoEmbed v3 ({self.sha256[:8]})"

    def forward(self, images: Tensor) -> Tensor:
        """Unit vectors (n, 256) of images (n, 3, 128, 128) in [-1, 1]."""
        return normalize(self.network(images), dim=1)

    @torch.inference_mode()
    def embed(self, images: NDArray[np.uint8], batch: int = 16) -> NDArray[np.float32]:
        """Unit vectors float32 (n, 256) of uint8 RGB images (n, 3, rows, cols).

        Images of another size than `SIDE` are brought to it, with antialiasing.
        """
        out = np.empty((len(images), _WIDTH), dtype=np.float32)
        for first in range(0, len(images), batch):
            part = torch.from_numpy(np.ascontiguousarray(images[first : first + batch])).float()
            if part.shape[-2:] != (SIDE, SIDE):
                part = interpolate(part, (SIDE, SIDE), mode="bilinear", antialias=True)
            part = (part / 127.5 - 1).contiguous(memory_format=torch.channels_last)
            out[first : first + batch] = self(part).numpy()
        return out

    def _load(self, path: Path) -> str:
        """Take up the weights in a file; its SHA-256."""
        try:
            content = path.read_bytes()
            arrays = read_arrays(content)
            state = {_our_name(name): _tensor(name, array) for name, array in arrays.items()}
            kept = {name: value for name, value in state.items() if name not in _FACTS}
            missing, unexpected = self.network.load_state_dict(kept, strict=False)
        except (OSError, ValueError, TypeError, RuntimeError) as error:
            raise InputError(
                f"{path} holds no weights of the aerial encoder ({error}); install geoembed again."
            ) from error
        # Counters of the training's batches are not kept; everything else has to be there.
        lost = [name for name in missing if not name.endswith("num_batches_tracked")]
        if lost or unexpected:
            raise InputError(
                f"{path} holds no weights of the aerial encoder: missing {lost[:3]}, unexpected "
                f"{unexpected[:3]}."
            )
        return hashlib.sha256(content).hexdigest()


def find_weights() -> Path | None:
    """The file of weights in the installed package geoembed; None where there is none."""
    spec = find_spec("geoembed")
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        path = Path(folder) / "weights" / "v3.npz"
        if path.is_file():
            return path
    return None


def cut(images: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], NDArray[np.intp]]:
    """Whole windows of `SIDE` pixels of images (n, 3, rows, cols), nothing resampled.

    Returns:
        The windows (m, 3, `SIDE`, `SIDE`) in the order of the images, and the number of the image
        that each is from, (m,). Images too small for a window are taken whole.
    """
    rows, cols = images.shape[2:]
    corners = cut_windows(rows, cols, SIDE)
    if not corners:
        return images, np.arange(len(images))
    parts = [images[:, :, row : row + SIDE, col : col + SIDE] for row, col in corners]
    windows = np.stack(parts, axis=1).reshape(-1, 3, SIDE, SIDE)
    return windows, np.repeat(np.arange(len(images)), len(corners))


def _our_name(name: str) -> str:
    """A parameter's name in torchvision's ResNet."""
    name = name.removeprefix("bb.").replace("stem.0.", "conv1.").replace("stem.1.", "bn1.")
    return re.sub(r"\.short\.", ".downsample.", name)


def _tensor(name: str, array: NDArray[np.float32]) -> Tensor:
    # The file has the last layer as (in, out).
    return torch.from_numpy(array.T.copy() if name == "fc.weight" else array)
