"""Averaged weights."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import nn


class Ema:
    """Exponential moving average of parameters, with the warm-up of Karras et al. (2024).

    Args:
        parameters: what to average, in a fixed order.
        decay: the final decay; early on it is ``(1 + step) / (10 + step)``.
    """

    def __init__(self, parameters: Iterable[nn.Parameter], decay: float = 0.999) -> None:
        self.live = list(parameters)
        self.shadow = [p.detach().clone() for p in self.live]
        self.decay = decay
        self.step = 0

    @torch.no_grad()
    def update(self) -> None:
        """Take in the parameters as they are now."""
        self.step += 1
        decay = min(self.decay, (1 + self.step) / (10 + self.step))
        torch._foreach_lerp_(self.shadow, [p.detach() for p in self.live], 1 - decay)

    @torch.no_grad()
    def swap(self) -> None:
        """Exchange averaged and live weights; call again to change back."""
        for live, shadow in zip(self.live, self.shadow, strict=True):
            kept = live.detach().clone()
            live.copy_(shadow)
            shadow.copy_(kept)

    def state_dict(self) -> dict[str, Any]:
        """State for a checkpoint."""
        return {"shadow": self.shadow, "step": self.step}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continue from a checkpoint's state."""
        self.step = state_dict["step"]
        for mine, theirs in zip(self.shadow, state_dict["shadow"], strict=True):
            mine.copy_(theirs)
