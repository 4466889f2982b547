"""A CLIP of toy size in a folder, as it lies on the hub: tokenizer, configuration, weights."""

from __future__ import annotations

import json
import string
from pathlib import Path

import torch
from safetensors.torch import save_file
from transformers import CLIPConfig, CLIPModel

WORDS = (
    *string.ascii_lowercase,
    *(f"{letter}</w>" for letter in string.ascii_lowercase),
    *(f"{digit}</w>" for digit in string.digits),
    "<|startoftext|>",
    "<|endoftext|>",
)
"""Letters, letters that end a word, digits alone: 64 tokens, no pairs of them."""

BEGIN, END = len(WORDS) - 2, len(WORDS) - 1


def token_ids(text: str, length: int = 77) -> torch.Tensor:
    """What CLIP's rules make of lower-case words of letters, (1, length)."""
    ids = [BEGIN]
    for word in text.split():
        ids += [WORDS.index(letter) for letter in word[:-1]] + [WORDS.index(f"{word[-1]}</w>")]
    return torch.tensor([[*ids, *[END] * (length - len(ids))]])


def write_tokenizer(folder: Path) -> Path:
    """The tokenizer alone."""
    folder.mkdir(parents=True, exist_ok=True)
    vocabulary = {word: k for k, word in enumerate(WORDS)}
    (folder / "vocab.json").write_text(json.dumps(vocabulary), encoding="utf-8")
    (folder / "merges.txt").write_text("#version: 0.2\n", encoding="utf-8")
    return folder


def write_clip(folder: Path, width: int = 32, heads: int = 4) -> Path:
    """Tokenizer, text and image model."""
    write_tokenizer(folder)
    sides = {"hidden_size": width, "intermediate_size": 2 * width, "num_attention_heads": heads}
    text = {
        "vocab_size": len(WORDS),
        "bos_token_id": BEGIN,
        "eos_token_id": END,
        "pad_token_id": END,
    }
    image = {"image_size": 224, "patch_size": 56, "num_hidden_layers": 1}
    config = CLIPConfig(
        text_config={**sides, **text, "num_hidden_layers": 1},
        vision_config={**sides, **image, "projection_dim": width},
        projection_dim=width,
    )
    torch.manual_seed(3)
    state = {name: tensor.contiguous() for name, tensor in CLIPModel(config).state_dict().items()}
    save_file(state, folder / "model.safetensors", metadata={"format": "pt"})
    config.save_pretrained(folder)
    return folder
