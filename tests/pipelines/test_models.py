"""Models that are damaged, or configured as no network can be, are told in one sentence."""

from __future__ import annotations

import json
import shutil
import socket
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from toy import toy_pipeline

from rsaug.errors import InputError
from rsaug.pipelines import models
from rsaug.pipelines.models import load_pipeline

CPU = torch.device("cpu")
WEIGHTS = "diffusion_pytorch_model.safetensors"


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("model")
    toy_pipeline().save_pretrained(folder)
    return folder


@pytest.fixture
def copy(model: Path, tmp_path: Path) -> Path:
    """The model, to be altered."""
    return Path(shutil.copytree(model, tmp_path / "model"))


def change(path: Path, **values: Any) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))


@pytest.mark.parametrize("with_accelerate", [True, False])
@pytest.mark.parametrize("part", ["unet", "vae", "local_adapter", "text_encoder"])
def test_weights_that_are_not_there_are_not_random_numbers(
    copy: Path, part: str, with_accelerate: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The library says so in its log alone, and goes on."""
    if not with_accelerate:
        monkeypatch.setattr(models, "is_accelerate_available", lambda: False)
    load_pipeline(copy, CPU)
    state = load_file(copy / part / WEIGHTS)
    first, *_, last = sorted(state)
    kept = {name: x for name, x in state.items() if name not in (first, last)}
    save_file(kept, copy / part / WEIGHTS)
    with pytest.raises(InputError, match=f"2 of the weights of {part} are not there, {first} for"):
        load_pipeline(copy, CPU)


def test_a_number_in_the_place_of_a_truth_is_no_number_of_layers(copy: Path) -> None:
    """It was one, so a damaged configuration had two billion of them built."""
    change(copy / "local_adapter/config.json", attention_levels=[False, 2**31])
    load_pipeline(copy, CPU)


@pytest.mark.parametrize(
    ("part", "values"),
    [
        ("unet", {"dropout": None}),
        ("unet", {"cross_attention_dim": "16"}),
        ("unet", {"norm_num_groups": 0}),
        ("unet", {"down_block_types": {}}),
        ("text_encoder", {"layers": 0.5}),
        ("vae", {"encoder_block_types": []}),
        ("vae", {"encoder_layers_per_block": [0, 1, 1, 2**31]}),
        ("unet", {"layers_per_block": 2**40}),
    ],
)
def test_configurations_of_no_network_are_told(
    copy: Path, part: str, values: dict[str, Any]
) -> None:
    change(copy / part / "config.json", **values)
    with pytest.raises(InputError, match="cannot be loaded"):
        load_pipeline(copy, CPU)


def test_a_scheduler_of_endless_steps_is_told(copy: Path) -> None:
    change(copy / "scheduler" / "scheduler_config.json", num_train_timesteps=2**64)
    with pytest.raises(InputError, match="18446744073709551616 time steps"):
        load_pipeline(copy, CPU)


@pytest.mark.parametrize("entry", [[["diffusers"], "UNet2DConditionModel"], [{}, "x"], [7, "x"]])
def test_an_index_whose_library_is_no_name_is_told(copy: Path, entry: list[Any]) -> None:
    change(copy / "model_index.json", unet=entry)
    with pytest.raises(InputError, match=r"its index names|cannot be loaded"):
        load_pipeline(copy, CPU)


@pytest.mark.parametrize("content", ["false", '"owner/name"', "[]", "null"])
def test_no_configuration_is_fetched(
    copy: Path, content: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A text in the place of a configuration is a name on the hub to diffusers."""

    def refuse(*address: object, **options: object) -> None:
        raise AssertionError(f"asked for {address}")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    for name in ("scheduler/scheduler_config.json", "unet/config.json"):
        whole = (copy / name).read_text()
        (copy / name).write_text(content)
        with pytest.raises(InputError, match="holds no JSON object"):
            load_pipeline(copy, CPU)
        (copy / name).write_text(whole)
    load_pipeline(copy, CPU)
