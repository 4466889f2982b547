"""How a loaded pipeline is made fast, or small enough for its device.

None of it changes what is computed, but other kernels round differently, so `Acceleration` belongs
to the record of an image.
"""

from __future__ import annotations

import os
import shutil
import sys
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch
from torch import nn

from rsaug.errors import InputError
from rsaug.optional import require
from rsaug.pipelines.pipeline import CRSDiffPipeline
from rsaug.pipelines.text import CaptionEncoder

DTYPES: Mapping[str, torch.dtype] = {
    "float32": torch.float32,
    "bfloat16": torch.bfloat16,
    "float16": torch.float16,
}
"""Number formats of the networks, by the names they are asked for."""

OFFLOADS = ("model", "layer")
"""What is brought to the GPU at a time, the rest waiting in main memory."""

_CONVOLUTIONAL = ("unet", "local_adapter", "vae")


@dataclass(frozen=True)
class Acceleration:
    """How the networks are run.

    Attributes:
        dtype: a name of :data:`DTYPES`; None for bfloat16 on a GPU and float32 on a CPU, where
            bfloat16 is only fast if the processor has instructions for it.
        channels_last: keep feature maps with the channels of a pixel side by side.
        compile: compile UNet, adapter and decoder before the first image, which takes a minute.
        offload: ``model`` keeps what is not at work in main memory, one network at a time on the
            GPU; ``layer`` does so layer by layer, with the least memory, and slowly; None keeps all
            on the device.
        vae_tiling: decode images larger than the autoencoder was made for in overlapping pieces,
            which are blended: less memory, and pixels that differ where pieces meet.
        vae_slicing: decode the images of a batch one by one: less memory.
    """

    dtype: str | None = None
    channels_last: bool = True
    compile: bool = False
    offload: str | None = None
    vae_tiling: bool = False
    vae_slicing: bool = False

    def resolved(self, device: torch.device) -> Acceleration:
        """The same with the dtype that the device is best at in the place of None."""
        best = "bfloat16" if device.type == "cuda" else "float32"
        return replace(self, dtype=self.dtype or best)

    def check(self, device: torch.device) -> None:
        """Check that it can be had on a device.

        Raises:
            InputError: for an unknown name, or a choice that the device or another choice rules
                out.
            MissingExtra: for offload without accelerate.
        """
        if self.dtype is not None and self.dtype not in DTYPES:
            raise InputError(f"No dtype is called {self.dtype!r}; there are {', '.join(DTYPES)}.")
        if self.offload is not None:
            if self.offload not in OFFLOADS:
                raise InputError(
                    f"Networks are offloaded by {' or by '.join(OFFLOADS)}, not by "
                    f"{self.offload!r}."
                )
            if device.type == "cpu":
                raise InputError(
                    "Offload keeps networks in main memory until a GPU needs them, but the device "
                    "is the CPU; leave it out."
                )
            if self.compile:
                raise InputError(
                    "Compiled networks cannot be offloaded; choose compile where the GPU has the "
                    "memory, else offload."
                )
            require("accelerate", extra="sd15")
        if self.compile and not shutil.which(_compiler()):
            raise InputError(
                f"Compiling needs the C++ compiler {_compiler()}, which is not installed; install "
                "it, name another in CXX, or leave compile out."
            )


def accelerate_pipeline(
    pipe: CRSDiffPipeline, acceleration: Acceleration, device: torch.device
) -> Acceleration:
    """Bring a pipeline to a device and make it fast there, in place.

    Args:
        pipe: as it was loaded, on the CPU.
        acceleration: how its networks are to be run.
        device: where images are to be made.

    Returns:
        What was done, nothing in it left open: a part of the record of an image.

    Raises:
        InputError: as `Acceleration.check`.
        MissingExtra: for offload without accelerate.
    """
    acceleration.check(device)
    acceleration = acceleration.resolved(device)
    dtype = DTYPES[str(acceleration.dtype)]
    # Offloaded networks start out in main memory.
    home = torch.device("cpu") if acceleration.offload else device
    for name, part in _networks(pipe).items():
        # By torch's own method: that of diffusers warns of layers to keep in float32, of which
        # there are none.
        nn.Module.to(part, home, dtype)
        for weight in part.parameters():
            # Mapped from a file, they lie as the file has them, and kernels for such places round
            # differently.
            weight.data = weight.data.clone()
        if acceleration.channels_last and name in _CONVOLUTIONAL:
            nn.Module.to(part, memory_format=torch.channels_last)
    if acceleration.vae_tiling:
        pipe.vae.enable_tiling()
    if acceleration.vae_slicing:
        pipe.vae.enable_slicing()
    if acceleration.offload is not None:
        offload_pipeline(pipe, acceleration.offload, device)
    if acceleration.compile:
        _compile(pipe)
    return acceleration


def offload_pipeline(pipe: CRSDiffPipeline, offload: str, device: torch.device) -> None:
    """Keep the networks in main memory but for what is at work on ``device``.

    Args:
        pipe: on the CPU.
        offload: one of :data:`OFFLOADS`.
        device: where it works. May be the CPU, which saves nothing but shows that it works.
    """
    if offload == "model":
        pipe.enable_model_cpu_offload(device=device)
        return
    cpu_offload = require("accelerate", extra="sd15").cpu_offload
    for part in _networks(pipe).values():
        if isinstance(part, CaptionEncoder):
            # Torch's transformer layer reads the weights of its parts past the hooks that bring
            # them; the encoder is small.
            part.to(device)
        else:
            cpu_offload(part, device)


def _compile(pipe: CRSDiffPipeline) -> None:
    # Diffusers asks for versions by cached functions, which is no concern of the user.
    warnings.filterwarnings("ignore", message="Dynamo detected a call to a `functools.lru_cache`")
    # For each shape its own kernels: what serves any shape is slower, and which shape came first
    # would decide the rounding of the next.
    pipe.unet.compile(dynamic=False)
    pipe.local_adapter.compile(dynamic=False)
    pipe.vae.decoder.compile(dynamic=False)


def _compiler() -> str:
    """The C++ compiler that torch takes."""
    return os.environ.get("CXX", "clang++" if sys.platform == "darwin" else "g++")


def _networks(pipe: CRSDiffPipeline) -> dict[str, nn.Module]:
    return {name: part for name, part in pipe.components.items() if isinstance(part, nn.Module)}
