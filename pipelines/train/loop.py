"""What every training loop needs: averaged weights, a learning-rate curve, safe checkpoints."""

from __future__ import annotations

import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn


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

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from a checkpoint's state."""
        self.step = state["step"]
        for mine, theirs in zip(self.shadow, state["shadow"], strict=True):
            mine.copy_(theirs)


def warmup_cosine(step: int, steps: int, warmup: int, floor: float = 0.02) -> float:
    """Factor on the learning rate: linear over ``warmup``, then half a cosine down to ``floor``."""
    if step < warmup:
        return (step + 1) / warmup
    progress = min(1.0, (step - warmup) / max(1, steps - warmup))
    return floor + (1 - floor) * 0.5 * (1 + math.cos(math.pi * progress))


def save_checkpoint(path: Path, state: dict[str, Any]) -> None:
    """Write ``state`` to ``path`` so that a crash leaves the old file or the new one, whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".part")
    torch.save(state, partial)
    partial.replace(path)


def load_checkpoint(path: Path) -> dict[str, Any] | None:
    """State saved at ``path``, or None when there is none yet."""
    if not path.is_file():
        return None
    state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    return state


def turn(batch: Tensor, quarter: int, mirror: bool) -> Tensor:
    """``batch`` (..., h, w) turned by quarter circles, then mirrored: a symmetry of the square."""
    out = torch.rot90(batch, quarter, (-2, -1))
    return out.flip(-1) if mirror else out
