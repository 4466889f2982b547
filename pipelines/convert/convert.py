"""The published checkpoint of CRS-Diff to a folder that `CRSDiffPipeline.from_pretrained` loads.

Strict: every tensor of the file has a place or is a constant that the pipeline makes itself, and
every tensor of the networks comes from the file. One component is in memory at a time.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL, DDIMScheduler, ModelMixin, UNet2DConditionModel
from safetensors.torch import save_file
from torch import nn

from rsaug.errors import InputError
from rsaug.optional import require
from rsaug.pipelines.adapter import LocalAdapter
from rsaug.pipelines.content import ContentAdapter
from rsaug.pipelines.convert.checkpoint import Checkpoint, open_checkpoint
from rsaug.pipelines.convert.clip import DEFAULT_CLIP, Clip, find_clip
from rsaug.pipelines.convert.keys import PREFIXES, SCHEDULE, component_of, is_left_out, name_map
from rsaug.pipelines.convert.sizes import Shapes, configurations, text_length
from rsaug.pipelines.folders import RECORD, check_new, write_folder
from rsaug.pipelines.metadata import MetadataEmbedding
from rsaug.pipelines.pipeline import CRSDiffPipeline
from rsaug.pipelines.presets import SD15

DTYPES: Mapping[str, torch.dtype] = {
    "float32": torch.float32,
    "float16": torch.float16,
    "bfloat16": torch.bfloat16,
}

_SHOWN = 12


@dataclass(frozen=True)
class Conversion:
    """What became of a checkpoint.

    Attributes:
        source: name of the file.
        tensors: tensors of the checkpoint in each component.
        parameters: numbers in them.
        discarded: names of constants that the pipeline makes itself.
        dtype: of the weights; None for that of the file.
        image_encoder: whether the model reads content images.
        clip: where tokenizer and image encoder are from.
        rsaug: version of this program.
    """

    source: str
    tensors: dict[str, int]
    parameters: dict[str, int]
    discarded: list[str]
    dtype: str | None
    image_encoder: bool
    clip: str
    rsaug: str


def convert_checkpoint(
    path: Path,
    out: Path,
    *,
    clip: str = DEFAULT_CLIP,
    dtype: str | None = None,
    say: Callable[[str], None] = lambda _: None,
) -> Conversion:
    """Write the model of a checkpoint to a new folder, whole or not at all.

    Args:
        path: ``.ckpt``, ``.pt``, ``.pth`` or ``.safetensors``, with the published names.
        out: folder of the model; it must not hold anything yet.
        clip: folder or hub id with CLIP's tokenizer and, to read content images, its image model.
        dtype: a key of :data:`DTYPES`; None for that of the file.
        say: told what is being done.

    Raises:
        InputError: if the file, the CLIP or the folder cannot be used; for tensors that are
            unknown, missing or of another shape, all in one error.
        OutputError: if the result cannot be written.
        MissingExtra: without transformers.
    """
    if dtype is not None and dtype not in DTYPES:
        raise InputError(f"The type of weights is one of {', '.join(DTYPES)}, not {dtype!r}.")
    check_new(out)
    with open_checkpoint(path) as checkpoint:
        names = _names(checkpoint.shapes)
        _check_parts(path, names)
        say("Looking for CLIP")
        found = find_clip(clip, text_length(checkpoint.shapes))
        sizes = configurations(checkpoint.shapes, found.text_heads)
        found.check(sizes["text_encoder"], sizes["content_adapter"]["content_dim"])
        networks = _networks(sizes, found)
        maps = {part: name_map(part, own) for part, own in names.items()}
        discarded = [name for name in checkpoint.shapes if is_left_out(name)]
        _check_names(checkpoint.shapes, discarded, maps, networks)
        scheduler = DDIMScheduler(**SD15.scheduler)
        _check_schedule(checkpoint, scheduler)
        report = Conversion(
            source=path.name,
            tensors={part: len(own) for part, own in names.items()},
            parameters={part: _count(networks[part]) for part in names},
            discarded=discarded,
            dtype=dtype,
            image_encoder=found.vision is not None,
            clip=clip if not Path(clip).is_dir() else Path(clip).name,
            rsaug=version("rsaug"),
        )

        def fill(folder: Path) -> None:
            wanted = DTYPES[dtype] if dtype else None
            # What is not from the checkpoint comes first: it can still turn out not to fit.
            _write_clip(found, networks, folder, wanted)
            for part, mapping in maps.items():
                say(f"Converting {part}")
                _write_part(checkpoint, mapping, networks[part], folder / part, wanted)
            _write_index(networks, scheduler, found, folder)
            record = json.dumps(asdict(report), indent=2) + "\n"
            (folder / RECORD).write_text(record, encoding="utf-8")

        write_folder(out, fill)
    return report


def _names(shapes: Shapes) -> dict[str, list[str]]:
    """Names of the tensors of each component, as published."""
    kept = [name for name in shapes if not is_left_out(name)]
    return {part: [name for name in kept if component_of(name) == part] for part in PREFIXES}


def _networks(sizes: Mapping[str, dict[str, Any]], found: Clip) -> dict[str, Any]:
    """Components on the meta device, where they have names and shapes and take no memory."""
    clip = require("transformers", extra="sd15")
    try:
        with torch.device("meta"):
            networks: dict[str, Any] = {
                "unet": UNet2DConditionModel(**sizes["unet"]),
                "vae": AutoencoderKL(**sizes["vae"]),
                "text_encoder": clip.CLIPTextModel(clip.CLIPTextConfig(**sizes["text_encoder"])),
                "local_adapter": LocalAdapter(**sizes["local_adapter"]),
                "content_adapter": ContentAdapter(**sizes["content_adapter"]),
                "metadata_embedding": MetadataEmbedding(**sizes["metadata_embedding"]),
            }
            if found.vision is not None:
                networks["image_encoder"] = clip.CLIPVisionModelWithProjection(found.vision)
    except ValueError as error:
        raise InputError(f"The checkpoint has sizes that no such network has: {error}.") from error
    return networks


def _check_parts(path: Path, names: Mapping[str, list[str]]) -> None:
    """Raise InputError for a file of which whole components are missing."""
    absent = [PREFIXES[part] for part, own in names.items() if not own]
    if absent:
        raise InputError(
            f"{path} is no checkpoint of CRS-Diff: it holds no tensor whose name begins with "
            f"{', '.join(absent)}."
        )


def _check_names(
    shapes: Shapes,
    discarded: Iterable[str],
    maps: Mapping[str, Mapping[str, str]],
    networks: Mapping[str, nn.Module],
) -> None:
    """Raise InputError unless tensors of the file and of the networks are one to one."""
    placed = {name for mapping in maps.values() for name in mapping}
    unknown = [name for name in shapes if name not in placed and name not in {*discarded}]
    missing, misshapen = [], []
    for part, mapping in maps.items():
        expected = _expected(networks[part])
        ours = _inner_names(mapping, expected)
        # One name of ours for two of theirs would drop one of them.
        taken = {name: theirs for theirs, name in reversed(ours.items())}
        unknown += [n for n, name in ours.items() if name not in expected or taken[name] != n]
        missing += [f"{part}: {name}" for name in expected if name not in {*ours.values()}]
        misshapen += [
            f"{theirs} is {shapes[theirs]}, not {expected[name]}"
            for theirs, name in ours.items()
            if name in expected and not _fits(shapes[theirs], expected[name])
        ]
    groups = {"unknown": unknown, "missing": missing, "of another shape": misshapen}
    said = [f"{len(g)} {what}: {_some(g)}" for what, g in groups.items() if g]
    if said:
        raise InputError(
            "The tensors of the checkpoint are not those of CRS-Diff. " + ". ".join(said) + "."
        )


def _some(names: list[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more


def _fits(have: tuple[int, ...], want: tuple[int, ...]) -> bool:
    """Whether shapes agree; a 1x1 convolution of the file may be a linear layer of ours."""
    return have == want or (len(want) == 2 and have == (*want, 1, 1))


def _expected(network: nn.Module) -> dict[str, tuple[int, ...]]:
    return {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}


def _inner_names(mapping: Mapping[str, str], expected: Iterable[str]) -> dict[str, str]:
    """``mapping`` for what the installed libraries call things.

    Some versions of transformers have all of a text model's names below ``text_model.``.
    """
    nested = all(name.startswith("text_model.") for name in expected)
    return {a: f"text_model.{b}" if nested else b for a, b in mapping.items()}


def _check_schedule(checkpoint: Checkpoint, scheduler: Any) -> None:
    """Raise InputError if the file was trained on another noise schedule than the one saved."""
    own = {"betas": scheduler.betas, "alphas_cumprod": scheduler.alphas_cumprod}
    for name in SCHEDULE:
        if name not in checkpoint.shapes:
            continue
        if checkpoint.shapes[name] != tuple(scheduler.betas.shape):
            raise InputError(
                f"{name} has the shape {checkpoint.shapes[name]}; CRS-Diff has "
                f"{len(scheduler.betas)} steps of noise."
            )
        if name in own and not torch.allclose(checkpoint.read(name).float(), own[name], rtol=1e-4):
            raise InputError(
                f"The checkpoint's noise schedule ({name}) is not that of CRS-Diff, whose betas are"
                " linear in their square root from 0.00085 to 0.012."
            )


def _write_part(
    checkpoint: Checkpoint,
    mapping: Mapping[str, str],
    network: nn.Module,
    folder: Path,
    dtype: torch.dtype | None,
) -> None:
    expected = _expected(network)
    state = {}
    for theirs, ours in _inner_names(mapping, expected).items():
        tensor = checkpoint.read(theirs)
        if dtype is not None:
            tensor = tensor.to(dtype)
        if not (tensor.is_floating_point() and torch.isfinite(tensor).all()):
            what = str(tensor.dtype).removeprefix("torch.")
            raise InputError(
                f"{theirs} holds numbers that are not finite in {what}, or no weights."
            )
        state[ours] = tensor.reshape(expected[ours]).contiguous()
    _save(state, network, folder)


def _write_clip(
    found: Clip, networks: Mapping[str, Any], folder: Path, dtype: torch.dtype | None
) -> None:
    found.tokenizer.save_pretrained(folder / "tokenizer")
    if found.vision is not None:
        _save(found.vision_state(dtype), networks["image_encoder"], folder / "image_encoder")


def _save(state: dict[str, torch.Tensor], network: Any, folder: Path) -> None:
    folder.mkdir()
    if isinstance(network, ModelMixin):
        network.save_config(folder)
        name = "diffusion_pytorch_model.safetensors"
    else:
        network.config.save_pretrained(folder)
        name = "model.safetensors"
    save_file(state, folder / name, metadata={"format": "pt"})


def _write_index(networks: Mapping[str, Any], scheduler: Any, found: Clip, folder: Path) -> None:
    scheduler.save_pretrained(folder / "scheduler")
    # Six controls, and neither presence planes nor a null for metadata: as published.
    pipe = CRSDiffPipeline(
        **networks,
        scheduler=scheduler,
        tokenizer=found.tokenizer,
        guide_controls=False,
        default_steps=50,
        default_guidance=7.5,
    )
    pipe.save_config(folder)


def _count(network: nn.Module) -> int:
    return sum(tensor.numel() for tensor in network.state_dict().values())
