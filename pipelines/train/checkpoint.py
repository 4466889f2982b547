"""Checkpoints: the state of a run, written whole, read without running code, and told apart."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from rsaug.errors import InputError


class Stateful(Protocol):
    """What a checkpoint can hold: weights, an optimiser, an average."""

    def state_dict(self) -> dict[str, Any]:
        """Its state."""

    def load_state_dict(self, state_dict: dict[str, Any], /) -> Any:
        """Go on from that state."""


class Trained:
    """The part of a network's state that training changes: what has a gradient, and buffers.

    Args:
        network: Frozen weights are not kept: they are where the run took them from.
    """

    def __init__(self, network: nn.Module) -> None:
        self.network = network

    def state_dict(self) -> dict[str, Any]:
        """Weights that are trained, and all buffers."""
        frozen = {n for n, p in self.network.named_parameters() if not p.requires_grad}
        state = self.network.state_dict()
        return {name: value for name, value in state.items() if name not in frozen}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from a state of the same network.

        Raises:
            KeyError: if it is of another network.
        """
        if state_dict.keys() != self.state_dict().keys():
            raise KeyError("the state is of another network")
        self.network.load_state_dict(state_dict, strict=False)


def checkpoint_path(out: Path) -> Path:
    """Where the checkpoint of a run lies whose result goes to ``out``."""
    return out.with_name(out.name + ".ckpt")


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
        InputError: if the checkpoint cannot be read, is of a run that ``made_by`` tells apart, or
            lacks the state of a part.
    """
    if not path.is_file():
        return 0
    try:
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
        same = state["made_by"] == made_by
        step: int = state["step"]
    except MemoryError:
        raise
    # On what is no checkpoint the reader can stumble in any way.
    except Exception as error:
        raise InputError(f"{path} is no checkpoint of this training; remove it.") from error
    if not same:
        raise InputError(
            f"{path} was made by another recipe or from other data; remove it, or train to another "
            "folder."
        )
    try:
        for name, part in parts.items():
            part.load_state_dict(state["parts"][name])
    except (LookupError, ValueError, RuntimeError) as error:
        raise InputError(
            f"{path} does not fit this run ({error}): go on with the same --precision and the same "
            "versions of the libraries, or remove it."
        ) from error
    return step


def digest_of(*values: nn.Module | NDArray[Any] | str) -> str:
    """SHA-256 of networks' weights, of arrays and of texts, in their order."""
    digest = hashlib.sha256()
    for value in values:
        if isinstance(value, nn.Module):
            for name, tensor in value.state_dict().items():
                raw = tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8)
                digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
                digest.update(raw.numpy())
        elif isinstance(value, np.ndarray):
            digest.update(f"{value.dtype} {value.shape}".encode())
            digest.update(np.ascontiguousarray(value).data)
        else:
            digest.update(value.encode())
    return digest.hexdigest()
