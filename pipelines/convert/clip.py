"""What the published checkpoint lacks of CLIP: the tokenizer, and the model that reads images."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open

from rsaug.errors import InputError
from rsaug.jsontext import parse_json
from rsaug.optional import require
from rsaug.pipelines.hub import fetch

DEFAULT_CLIP = "openai/clip-vit-large-patch14"

_FILES = ("*.json", "*.txt", "model.safetensors")
_VISION = ("vision_model.", "visual_projection.")


@dataclass(frozen=True)
class Clip:
    """A CLIP in a folder.

    Attributes:
        folder: where it lies.
        tokenizer: of the class `transformers.CLIPTokenizer`.
        text_heads: attention heads of its text model; None where nothing is said of them.
        vision: configuration of its image model, a `transformers.CLIPVisionConfig`; None without.
    """

    folder: Path
    tokenizer: Any
    text_heads: int | None
    vision: Any

    def check(self, text: dict[str, Any], content_dim: int) -> None:
        """Raise InputError unless it fits a checkpoint.

        Args:
            text: configuration of the checkpoint's text model.
            content_dim: width of the image embedding that its content adapter takes.
        """
        if len(self.tokenizer) != text["vocab_size"]:
            raise InputError(
                f"The tokenizer in {self.folder} has {len(self.tokenizer)} tokens and the "
                f"checkpoint's text model {text['vocab_size']}: give the CLIP that it was trained "
                f"with, which is {DEFAULT_CLIP} for the published one."
            )
        if self.vision is not None and self.vision.projection_dim != content_dim:
            raise InputError(
                f"The image model in {self.folder} gives {self.vision.projection_dim} numbers and "
                f"the checkpoint's content adapter takes {content_dim}; give another CLIP, or a "
                "folder with the tokenizer alone."
            )

    def vision_state(self, dtype: torch.dtype | None) -> dict[str, torch.Tensor]:
        """Tensors of the image model by name.

        Raises:
            InputError: if they are not those of its configuration.
        """
        clip = require("transformers", extra="sd15")
        with torch.device("meta"):
            expected = clip.CLIPVisionModelWithProjection(self.vision).state_dict()
        state = {}
        with safe_open(self.folder / "model.safetensors", framework="pt") as file:
            for name in file.keys():  # noqa: SIM118 - it is no mapping
                if name.startswith(_VISION) and not name.endswith("position_ids"):
                    tensor = file.get_tensor(name)
                    state[name] = tensor.to(dtype) if dtype else tensor
        wrong = [n for n, t in expected.items() if n not in state or state[n].shape != t.shape]
        wrong += [name for name in state if name not in expected]
        if wrong:
            raise InputError(
                f"The image model in {self.folder} is not as its configuration says: {len(wrong)} "
                f"tensors are missing, unknown or of another shape, such as {wrong[0]}."
            )
        return state


def find_clip(source: str, max_length: int) -> Clip:
    """The CLIP in a folder or on the hub.

    Args:
        source: a folder with CLIP's tokenizer files and, to read content images, its
            ``config.json`` and ``model.safetensors``; or a hub id.
        max_length: tokens of a text.

    Raises:
        InputError: if there is no tokenizer or a file cannot be read, or the hub cannot be reached.
        MissingExtra: without transformers.
    """
    clip = require("transformers", extra="sd15")
    folder = Path(source)
    if not folder.is_dir():
        folder = fetch(source, _FILES)
    files = {path.name for path in folder.iterdir()}
    # Without these, transformers would make up a tokenizer of two tokens.
    if not ({"vocab.json", "merges.txt"} <= files or "tokenizer.json" in files):
        raise InputError(
            f"{folder} has no tokenizer: vocab.json and merges.txt, or tokenizer.json, are needed; "
            f"they come with {DEFAULT_CLIP} on the hub."
        )
    try:
        tokenizer = clip.CLIPTokenizer.from_pretrained(folder, local_files_only=True)
    # The reader behind it is in Rust and raises bare Exceptions.
    except Exception as error:
        raise InputError(f"The tokenizer in {folder} cannot be read: {error}") from error
    tokenizer.model_max_length = max_length
    config = _read_config(folder / "config.json") if "config.json" in files else {}
    heads = config.get("text_config", {}).get("num_attention_heads")
    vision = _vision_config(folder, config) if "model.safetensors" in files else None
    return Clip(folder, tokenizer, heads if isinstance(heads, int) and heads > 0 else None, vision)


def _read_config(path: Path) -> dict[str, Any]:
    try:
        config = parse_json(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{path} cannot be read as JSON.") from error
    return config if isinstance(config, dict) else {}


def _vision_config(folder: Path, config: dict[str, Any]) -> Any:
    """Configuration of the image model, or None where there is none."""
    path = folder / "model.safetensors"
    try:
        with safe_open(path, framework="pt") as file:
            if "visual_projection.weight" not in file.keys():  # noqa: SIM118 - it is no mapping
                return None
            dim = file.get_slice("visual_projection.weight").get_shape()[0]
    except (OSError, SafetensorError) as error:
        raise InputError(f"{path} is no safetensors file, or it is not complete.") from error
    found = (
        config if config.get("model_type") == "clip_vision_model" else config.get("vision_config")
    )
    if not isinstance(found, dict):
        raise InputError(f"{folder}/config.json says nothing of the image model beside it.")
    clip = require("transformers", extra="sd15")
    return clip.CLIPVisionConfig(**{**found, "projection_dim": dim})
