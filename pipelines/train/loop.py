"""What every training loop needs: averaged weights, a learning-rate curve, safe checkpoints."""

from __future__ import annotations

import math
import pickle
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from rsaug.errors import InputError


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


def warmup_cosine(step: int, steps: int, warmup: int, floor: float = 0.02) -> float:
    """Factor on the learning rate: linear over ``warmup``, then half a cosine down to ``floor``."""
    if step < warmup:
        return (step + 1) / warmup
    progress = min(1.0, (step - warmup) / max(1, steps - warmup))
    return floor + (1 - floor) * 0.5 * (1 + math.cos(math.pi * progress))


class Stateful(Protocol):
    """What a checkpoint can hold: a module, an optimiser, an average."""

    def state_dict(self) -> dict[str, Any]:
        """Its state."""

    def load_state_dict(self, state_dict: dict[str, Any], /) -> Any:
        """Go on from that state."""


def save_checkpoint(
    path: Path, parts: Mapping[str, Stateful], step: int, made_by: Mapping[str, object]
) -> None:
    """Write the state of a run to ``path``; a crash leaves the old file or the new one, whole.

    Args:
        path: The checkpoint.
        parts: What has a state, by name.
        step: Steps done.
        made_by: What decides the run besides its length; see `resume`.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".part")
    state = {name: part.state_dict() for name, part in parts.items()}
    torch.save({"parts": state, "step": step, "made_by": dict(made_by)}, partial)
    partial.replace(path)


def resume(path: Path, parts: Mapping[str, Stateful], made_by: Mapping[str, object]) -> int:
    """Steps done before, with all parts set to that state; 0 where there is no checkpoint.

    Raises:
        InputError: if the checkpoint cannot be read, or is of a run that ``made_by`` tells apart.
    """
    if not path.is_file():
        return 0
    try:
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
        same = state["made_by"] == made_by
        step: int = state["step"]
    except (OSError, RuntimeError, pickle.UnpicklingError, KeyError, TypeError) as error:
        raise InputError(f"{path} is no checkpoint of this training; remove it.") from error
    if not same:
        raise InputError(
            f"{path} was made by another recipe or from other data; remove it, or train to another "
            "folder."
        )
    for name, part in parts.items():
        part.load_state_dict(state["parts"][name])
    return step


@contextmanager
def seeded(seed: int, device: torch.device) -> Iterator[None]:
    """Everything random in torch inside follows from ``seed``, and nothing outside does."""
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(seed)
        yield


def turn(batch: Tensor, quarter: int, mirror: bool) -> Tensor:
    """``batch`` (..., h, w) turned by quarter circles, then mirrored: a symmetry of the square."""
    out = torch.rot90(batch, quarter, (-2, -1))
    return out.flip(-1) if mirror else out
