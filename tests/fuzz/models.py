"""Targets: checkpoints, folders of models, and arrays."""

from __future__ import annotations

import io
import json
import random
import struct
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from fuzz.mutations import Sample, mutated_any, mutated_bytes
from fuzz.targets import BYTES, DOCUMENT, Run, Target, sample_of
from rsaug.errors import RsaugError


def _change_header(rng: random.Random, content: bytes) -> bytes:
    """A file of safetensors whose header is another document, or whose bytes are others."""
    if rng.random() < 0.3:
        return mutated_bytes(rng, content)
    (size,) = struct.unpack("<Q", content[:8])
    header = mutated_any(rng, content[8 : 8 + size])
    said = len(header) if rng.random() < 0.9 else rng.choice((0, size, 2**31, 2**63))
    return struct.pack("<Q", said) + header + content[8 + size :]


def _change_pickle(rng: random.Random, content: bytes) -> bytes:
    """A file of torch.save whose index is changed and packed again, or whose bytes are others."""

    def change(name: str, data: bytes) -> bytes:
        if name.endswith("data.pkl") or rng.random() < 0.1:
            return mutated_bytes(rng, data)
        return data

    return _packed_again(rng, content, change)


def _change_arrays(rng: random.Random, content: bytes) -> bytes:
    """A file of npz of whose arrays one is changed and packed again, or whose bytes are others."""

    def change(name: str, data: bytes) -> bytes:
        return mutated_bytes(rng, data[:128]) + data[128:] if rng.random() < 0.7 else data

    return _packed_again(rng, content, change)


def _packed_again(
    rng: random.Random, content: bytes, change: Callable[[str, bytes], bytes]
) -> bytes:
    """A zip file with what a change makes of each entry, or now and then other bytes."""
    import zipfile

    if rng.random() < 0.3:
        return mutated_bytes(rng, content)
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as old, zipfile.ZipFile(out, "w") as new:
        for entry in old.infolist():
            new.writestr(entry.filename, change(entry.filename, old.read(entry)))
    return out.getvalue()


def _state() -> dict[str, object]:
    import torch

    torch.manual_seed(0)
    return {
        "a.weight": torch.randn(4, 3),
        "a.bias": torch.zeros(4, dtype=torch.float16),
        "b.count": torch.tensor(3),
        "b.turned": torch.randn(3, 4).t(),
    }


def _read_all(name: str, place: Path) -> None:
    import torch

    from rsaug.pipelines.convert.checkpoint import open_checkpoint

    with open_checkpoint(place / name) as checkpoint:
        for tensor, shape in checkpoint.shapes.items():
            if checkpoint.read(tensor).shape != torch.Size(shape):
                raise AssertionError("a tensor of another shape")


def _safetensors(folder: Path) -> tuple[Sequence[Sample], Run]:
    from safetensors.torch import save

    state = {name: value.contiguous() for name, value in _state().items()}  # type: ignore[attr-defined]
    name = "model.safetensors"
    return [{name: save(state, {"format": "pt"})}], partial(_read_all, name)


def _checkpoint(folder: Path) -> tuple[Sequence[Sample], Run]:
    import torch

    from rsaug.pipelines.train.checkpoint import resume

    samples = []
    for content in (
        _state(),
        {"state_dict": _state(), "epoch": 3, "callbacks": {"a": [1, "b"]}},
        {"parts": {"net": _state()}, "step": 3, "made_by": {"seed": 0}},
    ):
        file = io.BytesIO()
        torch.save(content, file)
        samples.append({"model.ckpt": file.getvalue()})

    class Net:
        def state_dict(self) -> dict[str, object]:
            return _state()

        def load_state_dict(self, state: dict[str, object]) -> None:
            if set(state) != set(_state()):
                raise RuntimeError("another state")

    def run(place: Path) -> None:
        readers: list[Callable[[], object]] = [
            lambda: _read_all("model.ckpt", place),
            lambda: resume(place / "model.ckpt", {"net": Net()}, {"seed": 0}),
        ]
        for reader in readers:
            try:
                reader()
            except RsaugError:
                continue

    return samples, run


def _model_folder(folder: Path) -> tuple[Sequence[Sample], Run]:
    from toy import toy_pipeline

    from rsaug.pipelines.catalog import describe_model, list_models

    toy_pipeline().save_pretrained(folder / "model")
    sample = sample_of(folder / "model")

    def run(place: Path) -> None:
        readers: list[Callable[[], object]] = [
            lambda: describe_model(str(place)),
            lambda: list_models(place.parent),
        ]
        for reader in readers:
            try:
                reader()
            except RsaugError:
                continue

    return [sample], run


def _loaded(folder: Path) -> tuple[Sequence[Sample], Run]:
    import torch
    from toy import toy_pipeline

    from rsaug.pipelines.models import load_pipeline

    toy_pipeline().save_pretrained(folder / "model")
    cpu = torch.device("cpu")
    return [sample_of(folder / "model")], lambda place: load_pipeline(place, cpu)


def _features(folder: Path) -> tuple[Sequence[Sample], Run]:
    import numpy as np

    from rsaug.downstream.quality.features import _read

    file = io.BytesIO()
    features = np.random.default_rng(0).normal(size=(3, 8)).astype(np.float32)
    np.savez(file, keys=np.array(["a", "b", "c"]), features=features)
    return [{"features.npz": file.getvalue()}], lambda place: _read(place / "features.npz")


def _pack(folder: Path) -> tuple[Sequence[Sample], Run]:
    from rsaug.pipelines.train.packfile import _ARRAYS, FORMAT, INDEX, SCHEMA, open_pack

    split = {"examples": 3, "arrays": dict.fromkeys(_ARRAYS, "0" * 64)}
    index = {"format": FORMAT, "schema": SCHEMA, "size": 64, "splits": {"train": split}}
    return [{INDEX: json.dumps(index).encode()}], open_pack


TARGETS = (
    Target("safetensors", "safetensors", _safetensors, {"*": _change_header}),
    Target("checkpoint", "checkpoints of torch.save", _checkpoint, {"*": _change_pickle}),
    Target(
        "model-folder", "what is in a model", _model_folder,
        {**BYTES, ".safetensors": _change_header},
    ),
    Target(
        "model-load", "a model that is loaded", _loaded,
        {**BYTES, ".safetensors": _change_header}, limit_s=30, limit_mb=1024,
    ),
    Target("features", "npz of features", _features, {"*": _change_arrays}),
    Target("pack", "index of a training pack", _pack, DOCUMENT),
)  # fmt: skip
