"""A CRS-Diff on top of a Stable Diffusion 1.x."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import (
    DDIMScheduler,
    EulerDiscreteScheduler,
    PNDMScheduler,
    StableDiffusionPipeline,
    UNet2DConditionModel,
)
from minihub import MiniHub
from safetensors.torch import load_file, save_file
from toy import SIDE, controls, generators
from toytraining import clip_pipeline, road_pack

from rsaug.errors import InputError
from rsaug.pipelines.models import load_pipeline
from rsaug.pipelines.train.base import adapter_of, base_pipeline, is_base, start_folder
from rsaug.pipelines.train.generator import train_generator
from rsaug.pipelines.train.machine import Run
from rsaug.pipelines.train.recipe import recipe_for


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Stable Diffusion of toy size, saved as diffusers saves one."""
    folder = tmp_path_factory.mktemp("base")
    parts = clip_pipeline().components
    config = {k: v for k, v in parts["unet"].config.items() if not k.startswith("_")}
    torch.manual_seed(4)
    StableDiffusionPipeline(
        vae=parts["vae"],
        unet=UNet2DConditionModel(**{**config, "class_embed_type": None}),
        text_encoder=parts["text_encoder"],
        tokenizer=parts["tokenizer"],
        scheduler=DDIMScheduler.from_config(
            parts["scheduler"].config, steps_offset=1, set_alpha_to_one=False
        ),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    ).save_pretrained(folder)
    return folder


@torch.no_grad()
def test_untrained_it_predicts_what_the_base_does(base: Path) -> None:
    assert is_base(base)
    pipe = base_pipeline(base)
    unet = UNet2DConditionModel.from_pretrained(base / "unet", low_cpu_mem_usage=False)
    sample, timestep = torch.randn(1, 4, SIDE // 8, SIDE // 8), torch.tensor(500)
    context = torch.randn(1, 8, 16)
    modulation = pipe.local_adapter.encode_controls(*controls(1, 3, 5))
    residuals = pipe.local_adapter(sample, timestep, context, modulation)
    ours = pipe.unet(
        sample,
        timestep,
        context,
        class_labels=pipe.metadata_embedding(torch.full((1, 7), torch.nan)),
        down_block_additional_residuals=list(residuals.down),
        mid_block_additional_residual=residuals.mid,
    ).sample
    torch.testing.assert_close(ours, unet(sample, timestep, context).sample)


def test_the_adapter_begins_as_the_encoder(base: Path) -> None:
    unet: Any = UNet2DConditionModel.from_pretrained(base / "unet", low_cpu_mem_usage=False)
    adapter: Any = adapter_of(unet)
    pairs = [
        (adapter.conv_in, unet.conv_in),
        (adapter.levels[1].local.conv2, unet.down_blocks[1].resnets[0].conv2),
        (adapter.levels[0].downsample.conv, unet.down_blocks[0].downsamplers[0].conv),
        (adapter.mid.resnets[1].conv1, unet.mid_block.resnets[1].conv1),
        (adapter.mid.attention.proj_in, unet.mid_block.attentions[0].proj_in),
    ]
    for mine, theirs in pairs:
        assert torch.equal(mine.weight, theirs.weight)
    assert not any(conv.weight.any() for conv in adapter.down_outputs)


def test_both_phases_one_after_the_other(base: Path, tmp_path: Path) -> None:
    pack = road_pack()
    run = Run("cpu", precision="no")
    said: list[str] = []
    changes = {"steps": 2, "batch": 2}
    first, second = tmp_path / "text", tmp_path / "conditions"
    weights = torch.ones(len(pack)).numpy()
    start = base_pipeline(base)
    train_generator(
        pack, weights, start, first, recipe_for("text", **changes), said.append, run=run
    )
    again = load_pipeline(first, torch.device("cpu"))
    assert again.metadata_embedding.config.ranges[0] == [2016.0, 2021.0]
    recipe = recipe_for("conditions", **changes)
    train_generator(pack, weights, again, second, recipe, said.append, run=run)
    pipe = load_pipeline(second, torch.device("cpu"))
    assert "road" in pipe.config.trained_controls
    image = pipe(*controls(1, 3), prompt="a road", generator=generators(1), num_inference_steps=2)
    assert image.images.shape == (1, SIDE, SIDE, 3)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"use_linear_projection": True}, "differs in use_linear_projection"),
        ({"attention_head_dim": [5, 10]}, "differs in attention_head_dim"),
        ({"mid_block_type": None}, "differs in mid_block_type"),
    ],
)
def test_another_layout_is_refused(
    base: Path, tmp_path: Path, change: dict[str, Any], message: str
) -> None:
    (tmp_path / "unet").mkdir()
    config = json.loads((base / "unet" / "config.json").read_text())
    (tmp_path / "unet" / "config.json").write_text(json.dumps(config | change))
    with pytest.raises(InputError, match=message):
        base_pipeline(tmp_path)


def test_a_missing_part_is_told(base: Path, tmp_path: Path) -> None:
    (tmp_path / "unet").mkdir()
    (tmp_path / "unet" / "config.json").write_text((base / "unet" / "config.json").read_text())
    with pytest.raises(InputError, match="no tokenizer in"):
        base_pipeline(tmp_path)
    assert not is_base(tmp_path)
    shutil.copytree(base / "tokenizer", tmp_path / "tokenizer")
    with pytest.raises(InputError, match="cannot be loaded"):
        base_pipeline(tmp_path)


def test_a_file_that_is_damaged_or_lacks_something_is_told(base: Path, tmp_path: Path) -> None:
    folder = tmp_path / "base"
    shutil.copytree(base, folder)
    weights = folder / "unet" / "diffusion_pytorch_model.safetensors"
    state = load_file(weights)
    del state["mid_block.resnets.0.conv1.weight"]
    save_file(state, weights, metadata={"format": "pt"})
    with pytest.raises(InputError, match="unet lacks 1 tensors, such as mid_block"):
        base_pipeline(folder)
    shutil.copy(base / "unet" / weights.name, weights)
    (folder / "text_encoder" / "model.safetensors").write_bytes(b"nothing of the kind")
    with pytest.raises(InputError, match="cannot be loaded"):
        base_pipeline(folder)


def test_of_a_base_on_the_hub_only_what_is_needed_is_fetched(base: Path, tmp_path: Path) -> None:
    extra = {
        "v1-5-pruned.safetensors": b"gigabytes",
        "unet/diffusion_pytorch_model.fp16.safetensors": b"gigabytes",
        "safety_checker/model.safetensors": b"gigabytes",
    }
    with MiniHub(tmp_path / "cache", {"maker/base": base}, extra) as server:
        base_pipeline(start_folder("maker/base"))
        fetched = {path for path in server.asked if path.endswith(".safetensors")}
    assert not [path for path in fetched for name in extra if path.endswith(name)]
    assert fetched
    assert start_folder(str(base)) == base


def test_half_precision_is_trained_in_float32(base: Path, tmp_path: Path) -> None:
    """As saved by `variant="fp16"`: nothing else is in the folder."""
    pipe = StableDiffusionPipeline.from_pretrained(
        base, safety_checker=None, requires_safety_checker=False, low_cpu_mem_usage=False
    )
    pipe.to(torch.float16).save_pretrained(tmp_path / "half", variant="fp16")
    start = base_pipeline(tmp_path / "half")
    parts = (start.unet, start.vae, start.text_encoder, start.local_adapter)
    assert {part.dtype for part in parts} == {torch.float32}
    pack = road_pack()
    recipe = recipe_for("text", steps=1, batch=2)
    run = Run("cpu", precision="no")
    train_generator(
        pack, np.ones(len(pack)), start, tmp_path / "out", recipe, lambda line: None, run=run
    )


@pytest.mark.parametrize("kind", [PNDMScheduler, EulerDiscreteScheduler])
def test_latents_are_not_clipped_whatever_the_scheduler(
    base: Path, tmp_path: Path, kind: Any
) -> None:
    """Those of Stable Diffusion's index, of which only DDIM would clip, unless told."""
    folder = tmp_path / "base"
    shutil.copytree(base, folder)
    betas = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}
    kind(**betas, steps_offset=1).save_pretrained(folder / "scheduler")
    config = base_pipeline(folder).scheduler.config
    assert not config.clip_sample
    assert config.steps_offset == 1
    assert config.beta_end == 0.012


def test_a_model_of_inpainting_is_refused(base: Path, tmp_path: Path) -> None:
    folder = tmp_path / "base"
    shutil.copytree(base, folder)
    config = json.loads((base / "unet" / "config.json").read_text()) | {"in_channels": 9}
    UNet2DConditionModel.from_config(config).save_pretrained(folder / "unet")
    with pytest.raises(InputError, match="takes 9 channels and its autoencoder has 4"):
        base_pipeline(folder)


def test_low_rank_updates_cannot_begin_at_zero(base: Path, tmp_path: Path) -> None:
    pack = road_pack()
    recipe = recipe_for("conditions", steps=1, batch=2, lora_rank=2)
    with pytest.raises(InputError, match="The adapter of this model is untrained"):
        train_generator(
            pack, np.ones(len(pack)), base_pipeline(base), tmp_path, recipe, lambda line: None
        )
