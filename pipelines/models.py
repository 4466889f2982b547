"""Models by their names: the shipped one, folders and the hub, and a pipeline out of each."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import torch
from diffusers import ModelMixin
from diffusers.utils import is_accelerate_available
from safetensors import SafetensorError, safe_open

from rsaug.errors import InputError
from rsaug.optional import require
from rsaug.pipelines.acceleration import Acceleration, accelerate_pipeline
from rsaug.pipelines.folders import read_index, read_json
from rsaug.pipelines.hub import fetch, is_hub_id
from rsaug.pipelines.pipeline import CRSDiffPipeline

DEFAULT_MODEL = Path(__file__).parent / "weights" / "default"
"""Folder of the model that the package brings along."""

_TRUSTED_LIBRARIES = ("diffusers", "transformers", "rsaug.pipelines.")
_LIST_SETTINGS = ("trained_controls",)
_MOST_TIME_STEPS = 100_000
# Networks are built by what their configurations say, of any type and size.
_UNLOADABLE = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    LookupError,
    OSError,
    RuntimeError,
    SafetensorError,
    TypeError,
    ValueError,
)


def model_folder(model: str | Path) -> Path:
    """The folder of a model: ``default``, one here, or what is fetched from the hub.

    Raises:
        InputError: if there is none.
    """
    model = str(model)
    if model == "default":
        return DEFAULT_MODEL
    folder = Path(model)
    if folder.is_dir():
        return folder
    if not is_hub_id(model):
        raise InputError(f"There is no model folder {model}, and it is no hub id like owner/name.")
    return fetch(model)


def load_pipeline(
    folder: str | Path, device: str | torch.device, acceleration: Acceleration | None = None
) -> CRSDiffPipeline:
    """The pipeline in ``folder`` on ``device``, by default in bfloat16 on a GPU, else in float32.

    Raises:
        InputError: if the folder is no such pipeline, or names code from elsewhere, or there is no
            device of that name here.
    """
    folder = Path(folder)
    where = pick_device(device) if isinstance(device, str) else device
    parts = read_index(folder)
    # A component is a pair of library and class; None for one that is left out.
    libraries = {
        str(part[0] or "")
        for name, part in parts.items()
        if isinstance(part, list) and len(part) == 2 and name not in _LIST_SETTINGS
    }
    strange = sorted(name for name in libraries if name and not _is_trusted(name))
    if strange:
        raise InputError(f"{folder} is no CRS-Diff model: its index names {strange}.")
    if "transformers" in libraries:
        require("transformers", extra="sd15")
    try:
        _check_configs(folder)
        pipe: CRSDiffPipeline = CRSDiffPipeline.from_pretrained(
            folder, use_safetensors=True, low_cpu_mem_usage=is_accelerate_available()
        )
    except _UNLOADABLE as error:
        raise InputError(f"The model in {folder} cannot be loaded: {error}") from error
    _check_weights(folder, pipe)
    pipe.set_progress_bar_config(disable=True)
    accelerate_pipeline(pipe, acceleration or Acceleration(), where)
    return pipe


def _check_configs(folder: Path) -> None:
    """Refuse configurations that are no objects, or of which nothing could be built in time.

    Diffusers takes a text in the place of a configuration for the name of one on the hub, and
    builds as many layers and time steps as it is told, however long that takes.

    Raises:
        ValueError: if there is one.
    """
    for path in sorted(folder.glob("*/*config.json")):
        config = read_json(path)
        said = [value for name, value in config.items() if "layers" in name]
        most = max((number for value in said for number in _whole_numbers(value)), default=0)
        if most > len(_weights(path.parent)):
            raise ValueError(f"{path.parent.name} has {most} layers, and fewer weights")
        steps = max(_whole_numbers(config.get("num_train_timesteps")), default=0)
        if steps > _MOST_TIME_STEPS:
            raise ValueError(f"{path.parent.name} has {steps} time steps")


def _whole_numbers(value: object) -> Iterator[int]:
    """The numbers in lists of a configuration, however deep."""
    if isinstance(value, list):
        for part in value:
            yield from _whole_numbers(part)
    elif isinstance(value, int):
        yield value


def _weights(folder: Path) -> set[str]:
    """Names of the tensors of a network."""
    found: set[str] = set()
    for path in folder.glob("*.safetensors"):
        with safe_open(path, framework="pt") as file:
            found.update(file.keys())
    return found


def _check_weights(folder: Path, pipe: CRSDiffPipeline) -> None:
    """Refuse a network of which not all weights are in its files.

    The rest would be random numbers, or none at all where accelerate is installed.
    """
    for name, part in pipe.components.items():
        if not isinstance(part, ModelMixin):
            continue
        if lacking := {*part.state_dict()} - _weights(folder / name):
            raise InputError(
                f"The model in {folder} cannot be loaded: {len(lacking)} of the weights of {name} "
                f"are not there, {min(lacking)} for one."
            )


def pick_device(name: str | None = None) -> torch.device:
    """The device of that name, or the GPU where there is one, else the CPU.

    Raises:
        InputError: if there is no such device here.
    """
    if name is None:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        # Also refuses "meta", on which nothing is computed.
        torch.zeros(1, device=device).item()
    except (RuntimeError, AssertionError) as error:
        raise InputError(f"The device {name!r} is not to be had here; try cpu.") from error
    return device


def _is_trusted(library: str) -> bool:
    return library.startswith(_TRUSTED_LIBRARIES) or library in {"diffusers", "transformers"}
