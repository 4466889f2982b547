"""Low-rank updates of attention (Hu et al., "LoRA", ICLR 2022), by peft."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from rsaug.optional import require

TARGETS = ("to_q", "to_k", "to_v", "to_out.0")
"""Layers of an attention block that get an update."""

ADAPTED = ("unet", "local_adapter")
"""Networks of a pipeline that have such blocks."""

FILE = "lora.safetensors"


class Lora:
    """Updates of rank ``rank`` on the attention of some networks, which freeze in all else.

    Args:
        networks: holds the networks by name.
        names: which of them.
        rank: of the updates; they are added with factor 1.

    Raises:
        MissingExtra: without peft.
    """

    def __init__(self, networks: nn.Module, names: tuple[str, ...], rank: int) -> None:
        peft = require("peft", extra="train")
        networks.requires_grad_(False)
        config = peft.LoraConfig(r=rank, lora_alpha=rank, target_modules=list(TARGETS))
        self._peft, self.rank = peft, rank
        self.tuners: dict[str, Any] = {
            name: peft.LoraModel(networks.get_submodule(name), config, "default") for name in names
        }

    def state_dict(self) -> dict[str, Tensor]:
        """The updates by name, as diffusers' ``load_lora_adapter`` takes those of a UNet."""
        return {
            f"{name}.{weight.replace('.default', '')}": value.detach()
            for name, tuner in self.tuners.items()
            for weight, value in tuner.model.named_parameters()
            if "lora_" in weight
        }

    def save(self, folder: Path) -> None:
        """Write the updates alone to ``folder/lora.safetensors``."""
        from safetensors.torch import save_file

        folder.mkdir(parents=True, exist_ok=True)
        state = {name: value.cpu().contiguous() for name, value in self.state_dict().items()}
        save_file(state, folder / FILE, metadata={"rank": str(self.rank), "alpha": str(self.rank)})

    @torch.no_grad()
    def merge(self) -> None:
        """Add the updates to the weights and take them away: plain networks remain."""
        for tuner in self.tuners.values():
            tuner.merge_and_unload()
