"""The extractors of controlnet-aux, as CRS-Diff's authors and most ControlNets used them.

The package and its weights are not ours; the weights come from a model hub or a folder. None of
these is taken without being asked for, since that may download.
"""

from __future__ import annotations

import importlib
import warnings
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rsaug.errors import InputError

HUB_ID = "lllyasviel/Annotators"
"""Where the weights are by default."""

INSTALL = "pip install 'rsaug[decouple]'"

_DETECTORS = MappingProxyType(
    {
        "mlsd": ("controlnet_aux.mlsd", "MLSDdetector", "mlsd_large_512_fp32.pth"),
        "hed": ("controlnet_aux.hed", "HEDdetector", "ControlNetHED.pth"),
        "depth": ("controlnet_aux.midas", "MidasDetector", "dpt_hybrid-midas-501f0c75.pt"),
    }
)
_TITLES = MappingProxyType(
    {
        "mlsd": "M-LSD (large, 512)",
        "hed": "ControlNet's HED",
        "depth": "MiDaS (DPT-Hybrid), nearest 1 and farthest 0 in each image",
    }
)
# The detectors round sides to multiples of this.
_ROUNDING_PX = 64


@dataclass(frozen=True)
class ControlnetAux:
    """A detector of controlnet-aux as an extractor.

    Attributes:
        slot: ``mlsd``, ``hed`` or ``depth``.
        source: A hub id, or a folder that holds the files of weights.
        name: What it is asked for by.
        automatic: Never; it may download.
    """

    slot: str
    source: str = HUB_ID
    name: str = "controlnet-aux"
    automatic: bool = False

    @property
    def made_by(self) -> str:
        """What makes the map."""
        return f"{_TITLES[self.slot]} of controlnet-aux, weights of {self.source}"

    def why_not(self) -> str | None:
        """Why the package cannot be used, or None; weights are looked for at first use."""
        try:
            self._detector_class()
        except ImportError as error:
            return f"controlnet-aux cannot be used ({error}); install it with {INSTALL}."
        return None

    def __call__(self, rgb: NDArray[np.uint8], gsd_m: float | None) -> NDArray[np.generic]:
        """The map, float32 (rows, cols) in [0, 1]; it does not depend on the GSD.

        Raises:
            InputError: if the weights cannot be had.
        """
        import cv2

        rows, cols = rgb.shape[1:]
        # At the image's own size, but for the detectors' rounding.
        side = max(_ROUNDING_PX, round(min(rows, cols) / _ROUNDING_PX) * _ROUNDING_PX)
        image = np.ascontiguousarray(np.moveaxis(rgb, 0, -1))
        found = self._detector(
            image, detect_resolution=side, image_resolution=side, output_type="np"
        )
        exact = self.slot == "mlsd"
        how = cv2.INTER_NEAREST if exact else cv2.INTER_LINEAR
        grey = cv2.resize(np.asarray(found)[..., 0], (cols, rows), interpolation=how)
        return (grey > 127).astype(np.float32) if exact else grey.astype(np.float32) / 255

    @cached_property
    def _detector(self) -> Any:
        file = _DETECTORS[self.slot][2]
        folder = Path(self.source)
        if folder.is_dir() and not (folder / file).is_file():
            raise InputError(
                f"{folder} holds no {file}, the {self.slot} weights of controlnet-aux."
            )
        try:
            # Its files are pickles; torch reads them as bare weights, its default since 2.6.
            return self._detector_class().from_pretrained(self.source)
        # Whatever of the hub, the network, the file or the package fails, the remedy is the same.
        except Exception as error:
            reason = str(error).strip().split("\n")[0] or type(error).__name__
            raise InputError(
                f"The {self.slot} weights of controlnet-aux cannot be had from {self.source} "
                f"({reason}); name a folder that holds them with --annotators, or take another "
                f"extractor."
            ) from error

    def _detector_class(self) -> Any:
        module, name, _ = _DETECTORS[self.slot]
        with warnings.catch_warnings():
            # What its other detectors do at import is no news to who wants this one.
            warnings.simplefilter("ignore")
            return getattr(importlib.import_module(module), name)
