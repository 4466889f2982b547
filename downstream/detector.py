"""A road detector: a network, how its images are normalised, and all that is known of it.

It needs neither Lightning nor torchgeo to be used. In its folder are ``model.safetensors`` and
``config.json``, and nothing that could run as code.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor, nn

from rsaug.downstream.architectures import make_network
from rsaug.downstream.auxiliary import CHANNELS
from rsaug.downstream.segmenter import CONFIG_FILE, WEIGHTS_FILE
from rsaug.errors import InputError, OutputError
from rsaug.files import write_whole
from rsaug.jsontext import parse_json
from rsaug.pipelines.train.loop import turn

FORMAT = "rsaug road detector 1"
"""What the file of the config says that it is."""

TURNS = tuple((quarter, mirror) for mirror in (False, True) for quarter in range(4))
"""The eight symmetries of the square, as arguments of `turn`."""

# Of ImageNet, which encoders with weights from there expect.
_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class DetectorConfig:
    """Everything but the weights that decides what a detector answers.

    Attributes:
        architecture: One of `rsaug.downstream.architectures.architecture_names`.
        encoder: Name of the encoder in segmentation_models_pytorch, of timm with ``tu-`` before it.
        in_channels: Bands of an image.
        auxiliary: Whether the network also draws centrelines and directions.
        options: What else the architecture takes, by name.
        mean: Subtracted from each band of an image in [0, 1].
        std: Divided by, after that.
        threshold: A pixel is road where its probability reaches this.
        gsd_m: Metres a pixel of the images that it was trained on; None where that is not known.

    Raises:
        InputError: if a number is of no use.
    """

    architecture: str = "unet"
    encoder: str = "resnet34"
    in_channels: int = 3
    auxiliary: bool = False
    options: Mapping[str, Any] = field(default_factory=dict)
    mean: tuple[float, ...] = _MEAN
    std: tuple[float, ...] = _STD
    threshold: float = 0.5
    gsd_m: float | None = None

    def __post_init__(self) -> None:
        """Check the numbers."""
        if self.in_channels < 1:
            raise InputError(f"An image has at least one band, not {self.in_channels}.")
        for name, values in (("mean", self.mean), ("std", self.std)):
            if len(values) != self.in_channels:
                raise InputError(
                    f"There are {len(values)} numbers in {name!r} for {self.in_channels} bands; "
                    "give one a band."
                )
        if not min(self.std) > 0:
            raise InputError(f"'std' must be above 0 in every band, not {min(self.std)}.")
        if not 0 <= self.threshold <= 1:
            raise InputError(f"The threshold must lie between 0 and 1, not {self.threshold}.")
        if self.gsd_m is not None and not 0 < self.gsd_m < float("inf"):
            raise InputError(f"'gsd_m' must be a number of metres above 0, not {self.gsd_m}.")

    @property
    def name(self) -> str:
        """Architecture and encoder, for a reader."""
        return f"{self.architecture}, {self.encoder}"


def normalisation(bands: int) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and deviation where none are given: ImageNet's of three bands, else 0.5 and 0.25."""
    return (_MEAN, _STD) if bands == len(_MEAN) else ((0.5,) * bands, (0.25,) * bands)


class RoadDetector(nn.Module):
    """A network from images to probabilities of road.

    Args:
        config: Its shape; the weights are random until trained or loaded.
        facts: What else is known of it, ready for JSON: scores, data, versions.
        imagenet: Whether the encoder begins with weights from ImageNet, which are downloaded.

    Raises:
        InputError: if there is no such architecture or encoder, or they do not go together.
        MissingExtra: if segmentation_models_pytorch is not installed.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        config: DetectorConfig,
        facts: Mapping[str, Any] | None = None,
        *,
        imagenet: bool = False,
    ) -> None:
        super().__init__()
        self.config = config
        self.facts = dict(facts or {})
        self.network: Any = make_network(
            config.architecture,
            config.encoder,
            in_channels=config.in_channels,
            classes=1 + CHANNELS * config.auxiliary,
            imagenet=imagenet,
            options=config.options,
        ).to(memory_format=torch.channels_last)
        self.register_buffer("mean", torch.tensor(config.mean).view(1, -1, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(config.std).view(1, -1, 1, 1), persistent=False)

    @property
    def stride(self) -> int:
        """Pixels that the coarsest features are apart; a shift by less changes the answer."""
        return int(self.network.encoder.output_stride)

    def forward(self, images: Tensor) -> Tensor:
        """Logits (n, maps, rows, cols) of images (n, bands, rows, cols) in [0, 1], of any size.

        The first map is that of roads, the others are those of `rsaug.downstream.auxiliary`.

        Raises:
            InputError: if the images have another number of bands.
        """
        if images.ndim != 4 or images.shape[1] != self.config.in_channels:
            raise InputError(
                f"The detector takes images (n, {self.config.in_channels}, rows, cols), not "
                f"{tuple(images.shape)}."
            )
        rows, cols = images.shape[-2:]
        x = (images - self.mean) / self.std
        # Beyond the image lies the mean colour.
        x = nn.functional.pad(x, (0, -cols % self.stride, 0, -rows % self.stride))
        logits: Tensor = self.network(x.contiguous(memory_format=torch.channels_last))
        return logits[..., :rows, :cols]

    @torch.inference_mode()
    def probabilities(self, images: Tensor, *, turns: bool = False) -> Tensor:
        """Probability of road, float32 (n, rows, cols), of images in [0, 1]; see `forward`.

        Args:
            images: (n, bands, rows, cols).
            turns: Whether to take the mean over the image turned and mirrored in all eight ways.
        """
        if not turns:
            return torch.sigmoid(self(images)[:, 0].float())
        total = torch.zeros_like(images[:, 0], dtype=torch.float32)
        for quarter, mirror in TURNS:
            seen = torch.sigmoid(self(turn(images, quarter, mirror))[:, 0].float())
            # A mirrored turn undoes itself.
            total += turn(seen, quarter if mirror else -quarter, mirror)
        return total / len(TURNS)

    def predict(self, images: NDArray[np.uint8], batch: int = 8) -> NDArray[np.uint8]:
        """Road masks (n, rows, cols), 0/1, of uint8 images (n, bands, rows, cols).

        Raises:
            InputError: if the images have another type or number of bands.
        """
        if images.dtype != np.uint8:
            raise InputError(f"The detector takes images of uint8, not {images.dtype}.")
        self.eval()
        masks = np.empty((len(images), *images.shape[2:]), dtype=np.uint8)
        for first in range(0, len(images), batch):
            part = torch.from_numpy(np.ascontiguousarray(images[first : first + batch]))
            seen = self.probabilities(part.to(self.mean.device) / 255)
            masks[first : first + batch] = (seen >= self.config.threshold).cpu().numpy()
        return masks

    def save(self, folder: str | Path) -> None:
        """Write weights, config and facts to ``folder``, as two files, each whole or not at all.

        Raises:
            OutputError: if one cannot be written.
        """
        folder = Path(folder)
        make_folder(folder)
        weights = save({name: value.contiguous() for name, value in self.state_dict().items()})
        self.facts["weights_sha256"] = hashlib.sha256(weights).hexdigest()
        said = {"format": FORMAT, **asdict(self.config), **self.facts}
        write_whole(folder / WEIGHTS_FILE, weights)
        write_whole(folder / CONFIG_FILE, (json.dumps(said, indent=2) + "\n").encode())

    @classmethod
    def load(cls, folder: str | Path) -> RoadDetector:
        """The detector that `save` wrote to ``folder``, ready to predict.

        Raises:
            InputError: if a file is missing, damaged, or does not fit the other.
        """
        folder = Path(folder)
        detector = cls(*_read(folder))
        path = folder / WEIGHTS_FILE
        try:
            detector.load_state_dict(load(path.read_bytes()))
        except (OSError, SafetensorError, RuntimeError) as error:
            raise InputError(f"{path} holds no weights of this detector ({error}).") from error
        return detector.eval()


def make_folder(folder: Path) -> None:
    """Make a folder for results, if it is not there yet.

    Raises:
        OutputError: if that is not possible.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{folder} cannot be written to ({error.strerror}).") from error


def is_detector(folder: str | Path) -> bool:
    """Whether there is the config of such a detector in a folder."""
    try:
        said = parse_json((Path(folder) / CONFIG_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(said, dict) and said.get("format") == FORMAT


def _read(folder: Path) -> tuple[DetectorConfig, dict[str, Any]]:
    """Config and facts of a folder."""
    path = folder / CONFIG_FILE
    if not path.is_file():
        raise InputError(
            f"{folder} holds no road detector: it has no {CONFIG_FILE}. Train one with: rsaug "
            "train roads."
        )
    try:
        said = parse_json(path.read_text(encoding="utf-8"))
        if said.pop("format") != FORMAT:
            raise ValueError("it is of another format")
        known = {entry.name for entry in fields(DetectorConfig)}
        chosen: dict[str, Any] = {
            name: tuple(x) if isinstance(x, list) else x
            for name, x in ((name, said.pop(name)) for name in known & set(said))
        }
        config = DetectorConfig(**chosen)
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise InputError(f"{path} is no config of a road detector ({error}).") from error
    return config, said
