"""A small road segmenter over RGB tiles, trained from scratch, in one of several architectures.

It is a measuring instrument. Trained on real tiles only, it says whether the roads of synthetic
tiles look like roads and lie where their masks say (see `rsaug.downstream.consistency`). What one
architecture finds easy another may not, so several are better witnesses than one.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from rsaug.downstream.architectures import make_network
from rsaug.errors import InputError
from rsaug.jsontext import parse_json

WEIGHTS_FILE = "model.safetensors"
CONFIG_FILE = "config.json"

_WIDTHS_OF_LEVELS = ("unet", "unetplusplus", "manet")
"""Architectures whose decoder takes a width for each level."""

# All architectures go down by at most 32 on their own.
_FACTOR = 32
_OLD_PREFIX, _PREFIX = "unet.", "network."


@dataclass(frozen=True)
class SegmenterConfig:
    """Everything but the weights that decides what the segmenter answers.

    Attributes:
        architecture: Name in segmentation_models_pytorch: ``unet``, ``fpn``, ``deeplabv3plus``, ...
        encoder: Name of the encoder there.
        decoder_channels: Width of each level of the decoder, coarse to fine, of a ``unet``,
            ``unetplusplus`` or ``manet``; empty for the architecture's own.
        mean: Subtracted from each band of an image in [0, 1]; from 60 NAIP training tiles.
        std: Divided by, after that.
        threshold: A pixel is road where its probability reaches this.
    """

    architecture: str = "unet"
    encoder: str = "resnet18"
    decoder_channels: tuple[int, ...] = ()
    mean: tuple[float, float, float] = (0.456, 0.457, 0.433)
    std: tuple[float, float, float] = (0.172, 0.156, 0.151)
    threshold: float = 0.5

    @property
    def factor(self) -> int:
        """Rows and columns of an image must be multiples of this."""
        return int(2 ** len(self.decoder_channels)) if self.decoder_channels else _FACTOR

    @property
    def name(self) -> str:
        """Architecture and encoder, for a reader."""
        return f"{self.architecture}, {self.encoder}"


class RoadSegmenter(nn.Module):
    """A network from RGB tiles to road masks.

    Args:
        config: Its shape; the weights are random until trained or loaded.

    Raises:
        MissingExtra: if segmentation_models_pytorch is not installed.
        InputError: if there is no such architecture or encoder, or they do not go together.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, config: SegmenterConfig) -> None:
        super().__init__()
        self.config = config
        self.network = _make_network(config).to(memory_format=torch.channels_last)
        # In units of the uint8 image, so that normalising is one subtraction and one division.
        self.register_buffer("mean", _per_band(config.mean), persistent=False)
        self.register_buffer("std", _per_band(config.std), persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        """Logits (n, rows, cols) of RGB images (n, 3, rows, cols) in [0, 255], of any real type."""
        x = (images.float() - self.mean) / self.std
        logits: Tensor = self.network(x.contiguous(memory_format=torch.channels_last))
        return logits[:, 0]

    @torch.inference_mode()
    def predict(self, images: NDArray[np.uint8], batch: int = 8) -> NDArray[np.uint8]:
        """Road masks (n, rows, cols), 0/1, of uint8 RGB images (n, 3, rows, cols).

        Raises:
            InputError: if the images have another shape or type, or their sides are no multiples
                of `SegmenterConfig.factor`.
        """
        factor = self.config.factor
        if images.ndim != 4 or images.shape[1] != 3 or images.dtype != np.uint8:
            raise InputError(
                f"The segmenter takes uint8 images of the shape (n, 3, rows, cols), not "
                f"{images.dtype} {images.shape}."
            )
        if images.shape[2] % factor or images.shape[3] % factor:
            raise InputError(
                f"The segmenter takes images whose sides are multiples of {factor} pixels, not "
                f"{images.shape[2]} x {images.shape[3]}; crop or pad them."
            )
        self.eval()
        device = next(self.parameters()).device
        masks = np.empty((len(images), *images.shape[2:]), dtype=np.uint8)
        for first in range(0, len(images), batch):
            part = torch.from_numpy(np.ascontiguousarray(images[first : first + batch]))
            road = torch.sigmoid(self(part.to(device))) >= self.config.threshold
            masks[first : first + batch] = road.cpu().numpy()
        return masks

    def save(self, folder: str | Path) -> None:
        """Write weights and config to ``folder``, as two files."""
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        state = {name: value.contiguous() for name, value in self.state_dict().items()}
        save_file(state, folder / WEIGHTS_FILE)
        config = json.dumps(asdict(self.config), indent=2)
        (folder / CONFIG_FILE).write_text(config + "\n", encoding="utf-8")

    @classmethod
    def load(cls, folder: str | Path) -> RoadSegmenter:
        """The segmenter that `save` wrote to ``folder``, ready to predict.

        Raises:
            InputError: if a file is missing, damaged, or does not fit the other.
        """
        folder = Path(folder)
        model = cls(_read_config(folder / CONFIG_FILE))
        weights = folder / WEIGHTS_FILE
        try:
            model.load_state_dict({_our_name(k): value for k, value in load_file(weights).items()})
        except (OSError, SafetensorError, RuntimeError) as error:
            raise InputError(f"{weights} holds no weights of this segmenter ({error}).") from error
        return model.eval()


def _make_network(config: SegmenterConfig) -> nn.Module:
    widths: dict[str, object] = {}
    if config.decoder_channels:
        if config.architecture not in _WIDTHS_OF_LEVELS:
            raise InputError(
                f"The decoder of {config.architecture!r} takes no widths of levels; leave "
                "'decoder_channels' empty."
            )
        widths = {
            "encoder_depth": len(config.decoder_channels),
            "decoder_channels": config.decoder_channels,
        }
    return make_network(config.architecture, config.encoder, options=widths)


def _our_name(name: str) -> str:
    """A weight's name; segmenters were all U-Nets once, and called them so."""
    return _PREFIX + name.removeprefix(_OLD_PREFIX) if name.startswith(_OLD_PREFIX) else name


def _per_band(values: tuple[float, float, float]) -> Tensor:
    return 255 * torch.tensor(values).view(1, 3, 1, 1)


def _read_config(path: Path) -> SegmenterConfig:
    try:
        raw: dict[str, Any] = parse_json(path.read_text(encoding="utf-8"))
        fields: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value for name, value in raw.items()
        }
        return SegmenterConfig(**fields)
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise InputError(f"{path} is no segmenter config ({error}).") from error
