"""What models there are and what is in one, told from configurations and headers of files.

No weights are loaded and no class that a file names is imported.
"""

from __future__ import annotations

import re
import shutil
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

from rsaug.errors import InputError
from rsaug.modelfiles import folder_digest
from rsaug.pipelines.folders import (
    INDEX,
    PIPELINE,
    RECORD,
    SETTINGS,
    check_new,
    read_index,
    read_json,
    write_folder,
)
from rsaug.pipelines.hub import fetch, is_hub_id

DEFAULT = "default"
_DEFAULT_FOLDER = Path(__file__).parent / "weights" / "default"
PRESETS = ("sd15",)

_SHIPPED = "Apache-2.0, as rsaug itself"
_UNLICENSED = "none was published with the weights; whether you may use them is for you to find out"


@dataclass(frozen=True)
class PartInfo:
    """A component of a model.

    Attributes:
        kind: name of its class.
        tensors: number of its tensors.
        parameters: numbers in them.
        dtypes: tensors by the type of their numbers.
        size: bytes of its weights on disk.
    """

    kind: str
    tensors: int
    parameters: int
    dtypes: dict[str, int]
    size: int


@dataclass(frozen=True)
class ModelInfo:
    """A model.

    Attributes:
        name: what it was asked for by.
        folder: where it lies; None for a preset, which has no weights.
        parts: its components with weights, by name.
        settings: trained controls, steps, guidance, text, content, scheduler, metadata.
        licence: under which terms the weights are, as far as is known.
        source: where they are from, as far as is known.
        digest: SHA-256 over names and contents of weights and configurations; None for a preset.
    """

    name: str
    folder: str | None
    parts: dict[str, PartInfo]
    settings: dict[str, Any]
    licence: str | None
    source: str | None
    digest: str | None

    @property
    def tensors(self) -> int:
        """Number of tensors of all components."""
        return sum(part.tensors for part in self.parts.values())

    @property
    def parameters(self) -> int:
        """Numbers in all tensors."""
        return sum(part.parameters for part in self.parts.values())

    @property
    def size(self) -> int:
        """Bytes of all weights on disk."""
        return sum(part.size for part in self.parts.values())


@dataclass(frozen=True)
class ModelEntry:
    """A line of the list of models.

    Attributes:
        name: what ``--model`` takes, or a preset's name.
        kind: ``shipped``, ``preset``, ``folder`` or ``hub cache``.
        about: what it is.
        folder: where it lies; None for a preset.
    """

    name: str
    kind: str
    about: str
    folder: str | None


def describe_model(name: str) -> ModelInfo:
    """What is in a model.

    Args:
        name: ``default``, a preset, a folder, or the hub id of a model in the local cache.

    Raises:
        InputError: if there is no such model or a file of it cannot be read.
    """
    if name in PRESETS and not Path(name).is_dir():
        return _describe_preset(name)
    folder = _folder(name)
    index = read_index(folder)
    configs = {part: _config(folder, part) for part in _components(index)}
    parts = {}
    for part, kind in _components(index).items():
        files = sorted((folder / part).glob("*.safetensors"))
        if files:
            parts[part] = _part(kind, files)
    licence, source = _origin(name, folder)
    try:
        settings = _settings(index, configs)
    except (TypeError, ValueError, AttributeError) as error:
        raise InputError(
            f"{folder} is no CRS-Diff model: a configuration in it has a value of another kind "
            f"than it should ({error})."
        ) from error
    return ModelInfo(
        name=name,
        folder=str(folder),
        parts=parts,
        settings=settings,
        licence=licence,
        source=source,
        digest=folder_digest(folder),
    )


def list_models(where: Path) -> list[ModelEntry]:
    """The models that are at hand.

    Args:
        where: folder whose own folders are looked through.
    """
    found = [
        ModelEntry(DEFAULT, "shipped", "small, trained from scratch", str(_DEFAULT_FOLDER)),
        ModelEntry("sd15", "preset", "sizes of the published model, without weights", None),
    ]
    for folder in sorted(path for path in where.iterdir() if _has_index(path)):
        # "name" alone could be a hub id's owner or a model's own name.
        found += _entry(f"./{folder.name}", "folder", folder)
    for name, folder in _cached():
        found += _entry(name, "hub cache", folder)
    return found


def pull_model(hub_id: str, out: Path | None = None) -> Path:
    """A model from the hub, in the local cache or copied to a folder of its own.

    Its index is fetched first: what is no CRS-Diff model is not fetched.

    Args:
        hub_id: as in ``owner/name``.
        out: new folder; None to leave the model in the cache, where its hub id finds it.

    Raises:
        InputError: if there is no such model, it is another pipeline's, or the hub cannot be
            reached.
        OutputError: if the folder cannot be written.
    """
    if out is not None:
        check_new(out)
    read_index(fetch(hub_id, [INDEX]))
    cached = fetch(hub_id)
    if out is None:
        return cached
    write_folder(out, lambda part: _copy(cached, part))
    return out


def _copy(source: Path, target: Path) -> None:
    # The cache holds links to files of other names; the copy holds the files.
    shutil.copytree(source, target, dirs_exist_ok=True)


def _folder(name: str) -> Path:
    if name == DEFAULT:
        return _DEFAULT_FOLDER
    folder = Path(name)
    if folder.is_dir():
        return folder
    if not is_hub_id(name):
        raise InputError(
            f"There is no model {name!r}: give {DEFAULT}, {', '.join(PRESETS)}, a folder or a hub "
            "id like owner/name."
        )
    return fetch(name, offline=True)


def _components(index: Mapping[str, Any]) -> dict[str, str]:
    """Class of each component by its name; one that is left out has none."""
    return {
        name: str(value[1])
        for name, value in sorted(index.items())
        if name not in SETTINGS and isinstance(value, list) and len(value) == 2 and value[1]
    }


def _config(folder: Path, part: str) -> dict[str, Any]:
    for name in ("config.json", "scheduler_config.json"):
        if (folder / part / name).is_file():
            return read_json(folder / part / name)
    return {}


def _part(kind: str, files: list[Path]) -> PartInfo:
    dtypes: Counter[str] = Counter()
    parameters = 0
    for path in files:
        try:
            with safe_open(path, framework="np") as file:
                for name in file.keys():  # noqa: SIM118 - it is no mapping
                    header = file.get_slice(name)
                    dtypes[header.get_dtype()] += 1
                    count = 1
                    for side in header.get_shape():
                        count *= side
                    parameters += count
        except (OSError, SafetensorError) as error:
            raise InputError(f"{path} is no safetensors file, or it is not complete.") from error
    size = sum(path.stat().st_size for path in files)
    return PartInfo(kind, sum(dtypes.values()), parameters, dict(dtypes), size)


def _settings(index: Mapping[str, Any], configs: Mapping[str, dict[str, Any]]) -> dict[str, Any]:
    components = _components(index)
    scheduler, metadata = configs.get("scheduler", {}), configs.get("metadata_embedding", {})
    adapter = configs.get("local_adapter", {})
    text = configs.get("text_encoder", {})
    return {
        "trained_controls": index.get("trained_controls"),
        "tells_absent_from_empty": bool(adapter.get("presence_channels", 0)),
        "default_steps": index.get("default_steps"),
        "default_guidance": index.get("default_guidance"),
        "default_control_guidance": index.get("default_control_guidance"),
        "guides_controls": index.get("guide_controls"),
        "grain": index.get("grain", 0.0),
        "scheduler": components.get("scheduler"),
        "predicts": scheduler.get("prediction_type", "epsilon"),
        "noise_steps": scheduler.get("num_train_timesteps", 1000),
        "text": components.get("text_encoder"),
        "text_tokens": text.get("max_position_embeddings", text.get("max_length")),
        "content": _content(components, configs),
        "metadata": _metadata_ranges(metadata),
        "knows_absent_metadata": bool(metadata.get("learned_null", False)),
    }


def _content(components: Mapping[str, str], configs: Mapping[str, dict[str, Any]]) -> str | None:
    """What reads content images; None if nothing does."""
    if "image_encoder" in components:
        return components["image_encoder"]
    channels = configs.get("unet", {}).get("in_channels")
    dim = configs.get("content_adapter", {}).get("content_dim", 768)
    return "latent statistics" if channels is not None and dim == 2 * channels else None


def _metadata_ranges(config: Mapping[str, Any]) -> dict[str, list[float] | None]:
    from rsaug.pipelines.metadata import CRS_DIFF_RANGES, FIELDS

    ranges = config.get("ranges", CRS_DIFF_RANGES)
    return {name: list(r) if r else None for name, r in zip(FIELDS, ranges, strict=False)}


def _origin(name: str, folder: Path) -> tuple[str | None, str | None]:
    """Licence and source, as far as is known."""
    if name == DEFAULT:
        return _SHIPPED, "comes with rsaug"
    if (folder / RECORD).is_file():
        record = read_json(folder / RECORD)
        return _UNLICENSED, f"converted from {record.get('source')} by rsaug {record.get('rsaug')}"
    card = folder / "README.md"
    text = card.read_text(encoding="utf-8", errors="replace")[:10_000] if card.is_file() else ""
    found = re.search(r"\A---\n(?:.*\n)*?license: *(\S+)\n(?:.*\n)*?---\n", text)
    return (found[1] if found else None), (name if is_hub_id(name) else None)


def _describe_preset(name: str) -> ModelInfo:
    import torch

    from rsaug.pipelines.presets import SD15, make_pipeline

    with torch.device("meta"):
        pipe = make_pipeline(SD15)
    parts, configs = {}, {}
    for part, module in pipe.components.items():
        if isinstance(module, torch.nn.Module):
            tensors = module.state_dict().values()
            count = sum(tensor.numel() for tensor in tensors)
            parts[part] = PartInfo(type(module).__name__, len(tensors), count, {}, 0)
        config = getattr(module, "config", {})
        configs[part] = config.to_dict() if hasattr(config, "to_dict") else dict(config)
    index = {
        part: ["", type(module).__name__]
        for part, module in pipe.components.items()
        if module is not None
    }
    settings = _settings({**index, **{key: pipe.config[key] for key in SETTINGS}}, configs)
    about = "sizes of the published model; it has no weights"
    return ModelInfo(name, None, dict(sorted(parts.items())), settings, None, about, None)


def _has_index(folder: Path) -> bool:
    try:
        return (folder / INDEX).is_file()
    except OSError:  # A folder that is not for us to look into.
        return False


def _entry(name: str, kind: str, folder: Path) -> Iterator[ModelEntry]:
    try:
        index = read_index(folder)
    except InputError:
        return
    controls = index.get("trained_controls")
    about = f"controls {', '.join(map(str, controls))}" if isinstance(controls, list) else PIPELINE
    yield ModelEntry(name, kind, about, str(folder))


def _cached() -> Iterator[tuple[str, Path]]:
    """Hub id and folder of every model in the local cache, of any pipeline."""
    from huggingface_hub import constants, scan_cache_dir
    from huggingface_hub.errors import CacheNotFound

    try:
        cache = scan_cache_dir(constants.HF_HUB_CACHE)
    except (CacheNotFound, ValueError):
        return
    for repo in sorted(cache.repos, key=lambda repo: repo.repo_id):
        newest = max(repo.revisions, key=lambda r: r.last_modified, default=None)
        if repo.repo_type == "model" and newest and (newest.snapshot_path / INDEX).is_file():
            yield repo.repo_id, newest.snapshot_path
