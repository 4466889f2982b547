"""Roads and land cover read off an aerial image by a small U-Net of our own.

It answers in LoveDA's seven classes, of which the road class is the road map. It stands in where
there are no vectors; see the card beside its weights for what it was trained on and how far it can
be trusted.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor, nn
from torch.nn.functional import interpolate, pad, pixel_unshuffle

from rsaug.conditions.landcover import CLASSES
from rsaug.errors import InputError
from rsaug.files import write_whole
from rsaug.jsontext import parse_json
from rsaug.pipelines.extractors.windows import by_windows

WEIGHTS = Path(__file__).parents[1] / "weights" / "extractors"
"""Folder of the weights that come with the package."""

_WEIGHTS_FILE, _CONFIG_FILE = "landcover.safetensors", "config.json"
# The default network reaches 236 pixels to the north and west, the farthest that it does.
_WINDOW, _HALO = 512, 256
_ZOOM_LIMITS = (0.125, 8.0)
# Enlarged images beyond this would take tens of gigabytes.
_MOST_PIXELS = 1 << 25


@dataclass(frozen=True)
class LandcoverConfig:
    """Everything but the weights that decides what the network answers.

    Attributes:
        widths: Channels at a half, a quarter, ... of the image's size, fine to coarse.
        gsd_m: Pixel size that it was trained on, in metres.
        mean: Subtracted from each band of an image in [0, 255].
        std: Divided by, after that.
        classes: What its outputs mean, in order.
    """

    widths: tuple[int, ...] = (24, 40, 64, 96, 128)
    gsd_m: float = 0.6
    mean: tuple[float, float, float] = (116.3, 116.5, 110.4)
    std: tuple[float, float, float] = (43.9, 39.8, 38.5)
    classes: tuple[str, ...] = CLASSES

    @property
    def stride(self) -> int:
        """Pixels of the image to one of the coarsest level."""
        return int(2 ** len(self.widths))


class LandcoverNet(nn.Module):
    """A thin U-Net (Ronneberger et al. 2015) with residual blocks, from RGB to class logits.

    It starts from 2 x 2 pixels folded into channels, so the finest level is at half the size; the
    logits are enlarged to the image's size bilinearly.

    Args:
        config: Its shape; the weights are random until trained or loaded.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, config: LandcoverConfig) -> None:
        super().__init__()
        self.config = config
        widths = config.widths
        self.stem = _conv(12, widths[0])
        self.encoder = nn.ModuleList(_Residual(width) for width in widths)
        self.down = nn.ModuleList(
            _conv(fine, coarse, stride=2) for fine, coarse in pairwise(widths)
        )
        self.lateral = nn.ModuleList(
            _conv(coarse, fine, kernel=1) for fine, coarse in pairwise(widths)
        )
        self.decoder = nn.ModuleList(_Residual(width) for width in widths[:-1])
        self.head = nn.Conv2d(widths[0], len(config.classes), 1)
        self.register_buffer("mean", torch.tensor(config.mean).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(config.std).view(1, 3, 1, 1), persistent=False)
        self.to(memory_format=torch.channels_last)

    def forward(self, images: Tensor) -> Tensor:
        """Logits (n, classes, rows, cols) of RGB images (n, 3, rows, cols) in [0, 255].

        Rows and columns may be any number; the image is continued by mirroring where it ends.
        """
        rows, cols = images.shape[-2:]
        stride = self.config.stride
        x = (images.float() - self.mean) / self.std
        x = pad(x, (0, -cols % stride, 0, -rows % stride), mode="reflect")
        x = self.stem(pixel_unshuffle(x, 2).contiguous(memory_format=torch.channels_last))
        levels = []
        for index, block in enumerate(self.encoder):
            x = block(self.down[index - 1](x) if index else x)
            levels.append(x)
        for index in reversed(range(len(self.decoder))):
            x = self.lateral[index](x)
            x = levels[index] + interpolate(x, scale_factor=2.0, mode="nearest")
            x = self.decoder[index](x)
        logits = interpolate(self.head(x), scale_factor=2.0, mode="bilinear", align_corners=False)
        return logits[..., :rows, :cols]

    def save(self, folder: Path, facts: Mapping[str, object] | None = None) -> None:
        """Write weights in half precision and the config to ``folder``, as two files.

        Args:
            folder: Where to; made if it is not there.
            facts: What else the config file should say, for readers.
        """
        folder.mkdir(parents=True, exist_ok=True)
        state = {
            name: value.half().contiguous() if value.is_floating_point() else value
            for name, value in self.state_dict().items()
            if not name.endswith("num_batches_tracked")
        }
        write_whole(folder / _WEIGHTS_FILE, save(state))
        config = json.dumps({**asdict(self.config), "facts": dict(facts or {})}, indent=2)
        write_whole(folder / _CONFIG_FILE, f"{config}\n".encode())

    @classmethod
    def load(cls, folder: Path = WEIGHTS) -> LandcoverNet:
        """The network that `save` wrote to ``folder``, ready to answer.

        Raises:
            InputError: if a file is missing, damaged, or does not fit the other.
        """
        model = cls(_read_config(folder / _CONFIG_FILE))
        path = folder / _WEIGHTS_FILE
        try:
            state = {name: value.float() for name, value in load_file(path).items()}
            # Counters of the training's batches are not kept; everything else has to be there.
            missing, unexpected = model.load_state_dict(state, strict=False)
        except (OSError, SafetensorError, RuntimeError) as error:
            raise InputError(f"{path} holds no weights of this network ({error}).") from error
        lost = [name for name in missing if not name.endswith("num_batches_tracked")]
        if lost or unexpected:
            raise InputError(
                f"{path} does not fit {_CONFIG_FILE} beside it: missing {lost[:3]}, unexpected "
                f"{unexpected[:3]}."
            )
        return model.eval()

    @torch.inference_mode()
    def classify(self, rgb: NDArray[np.uint8], gsd_m: float | None = None) -> NDArray[np.uint8]:
        """Class of each pixel, uint8 (rows, cols) of indices into `LandcoverConfig.classes`.

        Args:
            rgb: (3, rows, cols) image.
            gsd_m: Its pixel size in metres; it is brought to the one of the training first. None
                takes it as it is.
        """
        image = torch.from_numpy(np.ascontiguousarray(rgb))[None].float()
        rows, cols = rgb.shape[1:]
        scaled = _at_gsd(image, gsd_m, self.config.gsd_m)
        logits = by_windows(self, scaled, window=_WINDOW, halo=_HALO, step=self.config.stride)
        if logits.shape[-2:] != (rows, cols):
            logits = interpolate(logits, size=(rows, cols), mode="bilinear", align_corners=False)
        classes: NDArray[np.uint8] = logits[0].argmax(0).to(torch.uint8).numpy()
        return classes


def _at_gsd(image: Tensor, gsd_m: float | None, wanted_m: float) -> Tensor:
    """The image at another pixel size; as it is where that is not known or hardly differs."""
    if gsd_m is None or abs(gsd_m / wanted_m - 1) < 0.05:
        return image
    low, high = _ZOOM_LIMITS
    zoom = min(max(gsd_m / wanted_m, low), high)
    size = [max(32, round(side * zoom)) for side in image.shape[-2:]]
    if size[0] * size[1] > _MOST_PIXELS:
        raise InputError(
            f"An image of {image.shape[-2]} by {image.shape[-1]} pixels at {gsd_m:g} m would be "
            f"enlarged to {size[0]} by {size[1]} for a network of {wanted_m:g} m; cut it up."
        )
    # Antialiased, since an image of much finer pixels would else alias into noise.
    return interpolate(image, size=size, mode="bilinear", align_corners=False, antialias=True)


class _Residual(nn.Module):
    """Two 3 x 3 convolutions around which the input passes (He et al. 2016)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = _conv(width, width)
        self.second = nn.Sequential(
            nn.Conv2d(width, width, 3, padding=1, bias=False), nn.BatchNorm2d(width)
        )
        self.act = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.act(x + self.second(self.first(x)))
        return out


def _conv(inputs: int, outputs: int, *, kernel: int = 3, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel, stride, padding=kernel // 2, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(inplace=True),
    )


def _read_config(path: Path) -> LandcoverConfig:
    try:
        raw: dict[str, Any] = parse_json(path.read_text(encoding="utf-8"))
        raw.pop("facts", None)
        fields: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value for name, value in raw.items()
        }
        return LandcoverConfig(**fields)
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise InputError(f"{path} is no config of the land-cover network ({error}).") from error
