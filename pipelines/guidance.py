"""Classifier-free guidance, for text and for local controls apart, as weights of branches."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

import torch
from torch import Tensor

Interval = tuple[float, float]
"""First and last moment of a trajectory, from 0 (all noise) to 1 (the finished image)."""


class Branch(Enum):
    """What one of the predictions that guidance weighs is given."""

    FREE = "neither text nor local controls"
    CONTROLS = "local controls, and the negative prompt for text"
    BOUND = "everything"


@dataclass(frozen=True)
class Guidance:
    """How strongly text and local controls are followed.

    With predictions f of the free branch, k with controls and b with everything, the guided one is
    ``f + controls * (k - f) + text * (b - k)`` (Brooks et al., "InstructPix2Pix", 2023, eq. 3).
    At 1 a condition is followed as trained, at 0 not at all. Equal scales are guidance as it is
    mostly known.

    Attributes:
        text: scale of text and content image.
        controls: scale of the local controls.
        interval: when guidance is on; outside, conditions are followed as trained (Kynkäänniemi et
            al. 2024).
        rescale: share in which the guided prediction is given back the deviation of the bound one,
            against washed-out and burnt colours (Lin et al. 2024, eq. 15 and 16).

    Raises:
        ValueError: for a scale that is negative or no number, an interval that is none, or a share
            outside [0, 1].
    """

    text: float = 1.0
    controls: float = 1.0
    interval: Interval = (0.0, 1.0)
    rescale: float = 0.0

    def __post_init__(self) -> None:
        """Check the numbers."""
        for name, scale in (("text", self.text), ("controls", self.controls)):
            if not (math.isfinite(scale) and scale >= 0):
                raise ValueError(f"the guidance scale of {name} must be 0 or more, not {scale}")
        check_interval(self.interval, "guidance")
        if not 0 <= self.rescale <= 1:
            raise ValueError(f"guidance is rescaled by a share of 0 to 1, not {self.rescale}")

    def branches(self, moment: float) -> dict[Branch, float]:
        """Weights of the predictions that are needed at a moment of the trajectory; they sum to 1.

        Branches of no weight are left out: they need not be computed.
        """
        if not within(moment, self.interval):
            return {Branch.BOUND: 1.0}
        weights = {
            Branch.FREE: 1 - self.controls,
            Branch.CONTROLS: self.controls - self.text,
            Branch.BOUND: self.text,
        }
        rescaled = self.rescale > 0 and len([w for w in weights.values() if w]) > 1
        return {b: w for b, w in weights.items() if w or (rescaled and b is Branch.BOUND)}

    def combine(self, predictions: Sequence[Tensor], branches: dict[Branch, float]) -> Tensor:
        """The guided prediction from one (n, c, h, w) a branch, in the order of ``branches``."""
        parts = list(zip(branches, predictions, strict=True))
        guided = torch.stack([branches[b] * p for b, p in parts]).sum(0)
        if not self.rescale or len(parts) == 1:
            return guided
        bound = dict(parts)[Branch.BOUND]
        gain = _deviation(bound) / _deviation(guided).clamp(min=1e-8)
        out: Tensor = guided * (self.rescale * gain + (1 - self.rescale))
        return out


def check_interval(interval: Interval, what: str) -> None:
    """Raise ValueError unless ``interval`` is a part of [0, 1]."""
    first, last = interval
    if not 0 <= first <= last <= 1:
        raise ValueError(f"the interval of {what} must lie in 0 to 1 and in order, not {interval}")


def within(moment: float, interval: Interval) -> bool:
    """Whether a moment in [0, 1) lies in an interval; its end is not part of it."""
    return interval[0] <= moment < interval[1]


def _deviation(x: Tensor) -> Tensor:
    return x.std(dim=tuple(range(1, x.ndim)), keepdim=True)
