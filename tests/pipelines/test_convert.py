"""The published checkpoint becomes a model: strictly, safely, and whole or not at all."""

from __future__ import annotations

import contextlib
import json
import os
import pickle
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from diffusers.loaders.single_file_utils import (
    convert_ldm_unet_checkpoint,
    convert_ldm_vae_checkpoint,
)
from hypothesis import given
from hypothesis import strategies as st
from rendering.checkpoint import (
    EXPECTED,
    POSITION_IDS,
    published_checkpoint,
    published_state_dict,
)
from rendering.released import Released
from rendering.widths import FULL, TOY, Widths
from safetensors.torch import load_file, save_file
from tinyclip import write_clip, write_tokenizer
from torch import Tensor

from rsaug.errors import InputError, OutputError
from rsaug.pipelines.convert import convert as module
from rsaug.pipelines.convert.checkpoint import open_checkpoint
from rsaug.pipelines.convert.convert import convert_checkpoint
from rsaug.pipelines.convert.keys import (
    PREFIXES,
    SCHEDULE,
    component_of,
    is_left_out,
    name_map,
)
from rsaug.pipelines.convert.sizes import configurations, text_length
from rsaug.pipelines.generate import load_generator
from rsaug.pipelines.models import load_pipeline
from rsaug.pipelines.presets import DEFAULT, SD15, make_pipeline

State = dict[str, Tensor]

SMALL = replace(
    TOY, channel_mult=(1, 2), res_blocks=1, inject=(8, 16), stem=(8,) * 5, vae_mult=(1, 1)
)
"""Fewer levels and blocks than published, by the same rules."""


@pytest.fixture(scope="module")
def state() -> State:
    """A state of the published kind."""
    return published_state_dict(SMALL, position_ids=True)


@pytest.fixture(scope="module")
def last(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of Lightning with that state."""
    path = tmp_path_factory.mktemp("published") / "last.ckpt"
    published_checkpoint(path, SMALL, optimizer=True, position_ids=True)
    return path


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(write_clip(tmp_path_factory.mktemp("clip")))


def converted(folder: Path) -> State:
    """Every tensor of a model with component and name, but for CLIP's image model."""
    return {
        f"{path.parent.name}.{name}": tensor
        for path in folder.rglob("*.safetensors")
        if path.parent.name != "image_encoder"
        for name, tensor in load_file(path).items()
    }


def same(a: State, b: State) -> bool:
    return a.keys() == b.keys() and all(a[name].equal(b[name]) for name in a)


def sizes(widths: Widths) -> dict[str, tuple[int, ...]]:
    """Shapes of a published checkpoint's tensors by name."""
    with torch.device("meta"):
        return {name: tuple(t.shape) for name, t in Released(widths).state_dict().items()}


# Sizes and names


def test_the_preset_is_the_published_model() -> None:
    with torch.device("meta"):
        pipe = make_pipeline(SD15)
    counts = {
        name: (len(part.state_dict()), sum(p.numel() for p in part.parameters()))
        for name, part in pipe.components.items()
        if isinstance(part, torch.nn.Module)
    }
    assert counts["unet"] == (686, 859_520_964)
    assert counts["image_encoder"] == (392, 303_966_208)
    for part, prefix in PREFIXES.items():
        tensors, _, millions = EXPECTED[prefix]
        assert counts[part][0] == tensors
        assert round(counts[part][1] / 1e6, 2) == millions
    assert (pipe.config.guide_controls, pipe.config.default_steps) == (False, 50)
    assert len(pipe.config.trained_controls) == 6


def test_a_preset_without_all_parts_makes_no_pipeline() -> None:
    with pytest.raises(ValueError, match="of its own"):
        make_pipeline(DEFAULT)


def test_sizes_of_the_full_checkpoint_are_those_of_the_preset() -> None:
    found = configurations(sizes(FULL))
    defaults = {
        "control_channels": 18,
        "in_channels": 4,
        "block_out_channels": (320, 640, 1280, 1280),
        "attention_levels": (True, True, True, False),
        "layers_per_block": 2,
        "cross_attention_dim": 768,
        "stem_channels": (32, 64, 64, 128, 128),
        "inject_channels": (192, 256, 384, 512),
    }
    assert found["local_adapter"] == defaults
    assert found["unet"] == {
        **SD15.unet,
        "layers_per_block": 2,
        "down_block_types": ("CrossAttnDownBlock2D",) * 3 + ("DownBlock2D",),
        "up_block_types": ("UpBlock2D",) + ("CrossAttnUpBlock2D",) * 3,
    }
    assert found["vae"] == SD15.vae
    assert found["text_encoder"] == SD15.text_encoder
    assert found["content_adapter"] == {"content_dim": 768, "cross_attention_dim": 768, "tokens": 4}
    assert found["metadata_embedding"] == {"embedding_dim": 320, "out_channels": 1280}


def test_sizes_of_a_small_checkpoint() -> None:
    found = configurations(sizes(SMALL), text_heads=4)
    assert found["local_adapter"] == {
        "control_channels": 18,
        "in_channels": 4,
        "block_out_channels": (32, 64),
        "attention_levels": (True, False),
        "layers_per_block": 1,
        "cross_attention_dim": 32,
        "stem_channels": (8, 8, 8, 8, 8),
        "inject_channels": (8, 16),
    }
    expected: dict[str, dict[str, Any]] = {
        "unet": {
            "block_out_channels": (32, 64),
            "layers_per_block": 1,
            "down_block_types": ("CrossAttnDownBlock2D", "DownBlock2D"),
            "up_block_types": ("UpBlock2D", "CrossAttnUpBlock2D"),
            "cross_attention_dim": 32,
        },
        "vae": {
            "block_out_channels": (32, 32),
            "down_block_types": ("DownEncoderBlock2D",) * 2,
            "up_block_types": ("UpDecoderBlock2D",) * 2,
            "layers_per_block": 2,
        },
        "text_encoder": {
            "vocab_size": 64,
            "hidden_size": 32,
            "intermediate_size": 128,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "projection_dim": 32,
            "bos_token_id": 62,
            "eos_token_id": 63,
            "pad_token_id": 63,
        },
    }
    for part, numbers in expected.items():
        assert numbers.items() <= found[part].items()
    assert text_length(sizes(SMALL)) == 77


def test_sizes_of_a_checkpoint_of_one_level() -> None:
    one = replace(SMALL, channel_mult=(1,), inject=(8,), vae_mult=(1,))
    found = configurations(sizes(one), text_heads=4)
    for part in ("unet", "local_adapter"):
        assert found[part]["block_out_channels"] == (32,)
        assert found[part]["layers_per_block"] == 1
    assert found["vae"]["block_out_channels"] == (32,)


@pytest.mark.parametrize("heads", [None, 5])
def test_heads_that_the_text_model_cannot_have_are_refused(heads: int | None) -> None:
    with pytest.raises(InputError, match="attention heads the text model of 32 channels"):
        configurations(sizes(SMALL), heads)


NORM = "global_content_adapter.norm1.weight"


@pytest.mark.parametrize(
    ("name", "shape", "said"),
    [
        ("first_stage_model.post_quant_conv.bias", None, "is missing, without which"),
        ("local_adapter.input_blocks.0.0.weight", (32,), r"has the shape \(32,\), without which"),
        (NORM, (0,), r"has the shape \(0,\)\."),
        (NORM, ((1 << 24) + 1,), r"has the shape \(16777217,\)\."),
    ],
)
def test_sizes_that_tensors_do_not_tell_are_refused(
    name: str, shape: tuple[int, ...] | None, said: str
) -> None:
    shapes = {n: s for n, s in sizes(SMALL).items() if n != name}
    with pytest.raises(InputError, match=f"{name} {said}"):
        configurations(shapes if shape is None else {**shapes, name: shape}, text_heads=4)


def test_the_largest_size_is_taken() -> None:
    found = configurations({**sizes(SMALL), NORM: (1 << 24,)}, text_heads=4)
    assert found["content_adapter"]["content_dim"] == 1 << 24


@pytest.mark.parametrize(
    ("part", "theirs", "ours"),
    [
        ("unet", "input_blocks.1.0.in_layers.0", "down_blocks.0.resnets.0.norm1"),
        ("unet", "input_blocks.9.1.norm", "down_blocks.0.attentions.8.norm"),
        ("unet", "output_blocks.2.0.out_layers.3", "up_blocks.0.resnets.2.conv2"),
        ("local_adapter", "input_blocks.1.0.in_layers.0", "levels.0.local.norm1"),
        ("local_adapter", "input_blocks.3.0.in_layers.0", "levels.0.resnets.1.norm1"),
        ("vae", "decoder.mid.attn_1.q", "decoder.mid_block.attentions.0.to_q"),
        (
            "vae",
            "encoder.mid.block_2.nin_shortcut",
            "encoder.mid_block.resnets.1.conv_shortcut",
        ),
        ("vae", "decoder.up.0.block.1.conv1", "decoder.up_blocks.0.resnets.1.conv1"),
    ],
)
def test_names_of_a_network_of_one_level(part: str, theirs: str, ours: str) -> None:
    name = f"{PREFIXES[part]}{theirs}.weight"
    assert name_map(part, [name]) == {name: f"{ours}.weight"}


@pytest.mark.parametrize(
    ("part", "name"),
    [
        ("unet", "time_embed.1.weight"),
        ("unet", "input_blocks.1.2.weight"),
        ("unet", "input_blocks.1.0.in_layers.1.weight"),
        ("unet", "input_blocks.12345.0.in_layers.0.weight"),
        ("unet", "middle_block.3.in_layers.0.weight"),
        ("unet", "label_emb.0.0.weight"),
        ("local_adapter", "input_blocks.1.2.weight"),
        ("local_adapter", "input_blocks.1.0.in_layers.1.weight"),
        ("local_adapter", "zero_convs.1.1.weight"),
        ("local_adapter", "middle_block_out.1.weight"),
        ("local_adapter", "feature_extractor.pre_extractor.1.weight"),
        ("local_adapter", "feature_extractor.extractors.0.1.weight"),
        ("local_adapter", "feature_extractor.other.0.weight"),
        ("vae", "loss.logvar"),
        ("vae", "encoder.norm_in.weight"),
        ("vae", "encoder.mid.block_3.conv1.weight"),
        ("vae", "encoder.mid.attn_1.other.weight"),
        ("vae", "encoder.down.0.attn.0.q.weight"),
        ("metadata_embedding", "mlp_models.0.fc2.weight"),
    ],
)
def test_names_that_no_rule_knows_are_left_out(part: str, name: str) -> None:
    assert name_map(part, [PREFIXES[part] + name]) == {}


def test_constants_belong_to_no_component() -> None:
    for name in (*SCHEDULE, "lvlb_weights", POSITION_IDS):
        assert is_left_out(name)
        assert not is_left_out(f"{name}.weight")
        assert component_of(name) == ("text_encoder" if name == POSITION_IDS else None)


def test_names_of_the_unet_and_the_autoencoder_are_as_diffusers_converts_them() -> None:
    shapes = sizes(FULL)
    config = {"layers_per_block": 2, "class_embed_type": "identity"}
    blocks = {"down_block_types": [0] * 4, "up_block_types": [0] * 4}
    for part, convert in (
        ("unet", convert_ldm_unet_checkpoint),
        ("vae", convert_ldm_vae_checkpoint),
    ):
        own = {n: torch.empty(s, device="meta") for n, s in shapes.items() if PREFIXES[part] in n}
        names = name_map(part, own)
        theirs = convert(dict(own), {**config, **blocks, "addition_embed_type": None})
        assert sorted(names.values()) == sorted(theirs)
        # What lies where is told from the tensor itself, where that is not reshaped on the way.
        where = {id(tensor): name for name, tensor in theirs.items()}
        kept = {n: where[id(tensor)] for n, tensor in own.items() if id(tensor) in where}
        assert len(kept) > len(own) - 20
        assert kept == {name: names[name] for name in kept}


# A whole conversion


def test_every_tensor_arrives(tmp_path: Path, clip: str, last: Path, state: State) -> None:
    report = convert_checkpoint(last, tmp_path / "model", clip=clip)
    assert report.discarded == [*SCHEDULE, POSITION_IDS]
    assert sum(report.tensors.values()) + len(report.discarded) == len(state)
    out = converted(tmp_path / "model")
    assert len(out) == sum(report.tensors.values())
    # All weights are random, so equal numbers are the same tensor.
    before = {
        tensor.sum().item(): tensor for n, tensor in state.items() if n not in report.discarded
    }
    after = {tensor.sum().item(): tensor for tensor in out.values()}
    assert before.keys() == after.keys()
    assert all(after[key].equal(tensor.reshape(after[key].shape)) for key, tensor in before.items())
    assert json.loads((tmp_path / "model/conversion.json").read_text()) == asdict(report)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["model"]


@pytest.mark.parametrize("form", ["bare", "safetensors", "strided"])
def test_other_forms_of_file_give_the_same(
    tmp_path: Path, clip: str, state: State, form: str
) -> None:
    path = tmp_path / ("model.safetensors" if form == "safetensors" else "model.pt")
    if form == "safetensors":
        save_file(state, path)
    elif form == "bare":
        torch.save(state, path)
    else:
        # Parts of larger storages, transposed, one of them a parameter.
        views: dict[str, Tensor] = OrderedDict()
        for name, tensor in state.items():
            large = torch.cat(
                [torch.zeros(5), tensor.T.flatten() if tensor.ndim == 2 else tensor.flatten()]
            )
            part = large[5:]
            views[name] = (
                part.view(tensor.T.shape).T if tensor.ndim == 2 else part.view(tensor.shape)
            )
        name = "metadata_emb.mlp_models.0.fc1.weight"
        views[name] = torch.nn.Parameter(views[name])
        torch.save({"state_dict": views}, path)
    torch.save({"state_dict": state}, tmp_path / "plain.ckpt")
    convert_checkpoint(tmp_path / "plain.ckpt", tmp_path / "a", clip=clip)
    convert_checkpoint(path, tmp_path / "b", clip=clip)
    assert same(converted(tmp_path / "a"), converted(tmp_path / "b"))


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32"])
def test_weights_of_another_type(tmp_path: Path, clip: str, dtype: str) -> None:
    published_checkpoint(tmp_path / "half.ckpt", SMALL, dtype=torch.float16)
    convert_checkpoint(tmp_path / "half.ckpt", tmp_path / "model", clip=clip, dtype=dtype)
    found = {tensor.dtype for tensor in converted(tmp_path / "model").values()}
    assert found == {getattr(torch, dtype)}
    convert_checkpoint(tmp_path / "half.ckpt", tmp_path / "kept", clip=clip)
    found = {tensor.dtype for tensor in converted(tmp_path / "kept").values()}
    assert found == {torch.float16}


def test_a_model_without_an_image_encoder_refuses_a_style(tmp_path: Path, last: Path) -> None:
    tokenizer = str(write_tokenizer(tmp_path / "tokenizer"))
    with pytest.raises(InputError, match="attention heads"):
        # Nothing says how many heads 32 channels have, and with one the numbers would be others.
        convert_checkpoint(last, tmp_path / "model", clip=tokenizer)
    (tmp_path / "tokenizer/config.json").write_text('{"text_config": {"num_attention_heads": 4}}')
    report = convert_checkpoint(last, tmp_path / "model", clip=tokenizer)
    assert not report.image_encoder
    pipe = load_pipeline(tmp_path / "model", torch.device("cpu"))
    assert not pipe.reads_content
    style = tmp_path / "style.png"
    from PIL import Image

    Image.new("RGB", (64, 64)).save(style)
    with pytest.raises(InputError, match="no image encoder"):
        load_generator(str(tmp_path / "model"), style=style, tile_size=32)


# Strictness


def test_unknown_missing_and_misshapen_tensors_are_all_named(
    tmp_path: Path, clip: str, state: State
) -> None:
    wrong = dict(state)
    del wrong["local_adapter.zero_convs.2.0.bias"]
    del wrong["model.diffusion_model.out.2.weight"]
    wrong["model.diffusion_model.out.2.bias"] = torch.zeros(4, 1)
    wrong["model_ema.decay"] = torch.zeros(())
    wrong["first_stage_model.loss.logvar"] = torch.zeros(1)
    wrong["local_adapter.input_blocks.1.0.norm_in.extra.weight"] = torch.zeros(1)
    torch.save(wrong, tmp_path / "wrong.ckpt")
    with pytest.raises(InputError) as error:
        convert_checkpoint(tmp_path / "wrong.ckpt", tmp_path / "model", clip=clip)
    said = str(error.value)
    assert "3 unknown" in said
    assert "2 missing" in said
    assert "1 of another shape" in said
    for name in ("model_ema.decay", "loss.logvar", "norm_in.extra", "down_outputs.2.bias"):
        assert name in said
    assert "unet: conv_out.weight" in said
    assert sorted(p.name for p in tmp_path.iterdir()) == ["wrong.ckpt"]


def test_of_many_only_a_dozen_are_named(tmp_path: Path, clip: str, state: State) -> None:
    many = {**state, **{f"model_ema.{k}": torch.zeros(1) for k in range(100)}}
    torch.save(many, tmp_path / "many.ckpt")
    with pytest.raises(InputError, match=r"100 unknown: .*model_ema\.11 and 88 more"):
        convert_checkpoint(tmp_path / "many.ckpt", tmp_path / "model", clip=clip)


@given(data=st.data())
def test_no_tensor_can_be_left_out_or_renamed(data: st.DataObject) -> None:
    """By names alone, over all tensors of the full model."""
    names = [name for name in NAMES if name not in SCHEDULE]
    name = data.draw(st.sampled_from(names))
    other = name + data.draw(st.sampled_from(["x", ".weight", "0"]))
    part = next(p for p, prefix in PREFIXES.items() if name.startswith(prefix))
    own = [n for n in names if n.startswith(PREFIXES[part])]
    whole = name_map(part, own)
    renamed = name_map(part, [*(n for n in own if n != name), other])
    assert len(set(whole.values())) == len(own)
    assert whole[name] not in renamed.values()


NAMES = tuple(sizes(FULL))


@pytest.mark.parametrize("name", ["betas", "alphas_cumprod"])
def test_another_noise_schedule_is_refused(
    tmp_path: Path, clip: str, state: State, name: str
) -> None:
    torch.save({**state, name: torch.linspace(0.0001, 0.02, 1000)}, tmp_path / "other.ckpt")
    with pytest.raises(InputError, match=f"noise schedule \\({name}\\)"):
        convert_checkpoint(tmp_path / "other.ckpt", tmp_path / "model", clip=clip)
    torch.save({**state, name: torch.zeros(500)}, tmp_path / "other.ckpt")
    with pytest.raises(InputError, match="1000"):
        convert_checkpoint(tmp_path / "other.ckpt", tmp_path / "model", clip=clip)


def test_numbers_that_half_precision_cannot_hold_are_refused(
    tmp_path: Path, clip: str, state: State
) -> None:
    name = "model.diffusion_model.out.2.bias"
    torch.save({**state, name: torch.full((4,), 1e6)}, tmp_path / "large.ckpt")
    with pytest.raises(InputError, match=f"{name} .*float16"):
        convert_checkpoint(tmp_path / "large.ckpt", tmp_path / "m", clip=clip, dtype="float16")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["large.ckpt"]
    convert_checkpoint(tmp_path / "large.ckpt", tmp_path / "m", clip=clip, dtype="bfloat16")


# Files that are not what they should be


class Bomb:
    """Runs a command where a pickle is trusted."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f"touch {self.mark}",)


def test_code_in_a_checkpoint_does_not_run(tmp_path: Path, clip: str, state: State) -> None:
    mark = tmp_path / "boom"
    content = {
        "state_dict": state,
        "callbacks": {"a": Bomb(mark), Bomb: 1},
        "hyper_parameters": {"path": Path("/"), "nested": [Bomb(mark), OrderedDict(a=Bomb(mark))]},
    }
    torch.save(content, tmp_path / "bomb.ckpt")
    convert_checkpoint(tmp_path / "bomb.ckpt", tmp_path / "model", clip=clip)
    assert not mark.exists()
    torch.save({**state, "model.diffusion_model.out.2.bias": Bomb(mark)}, tmp_path / "bomb.ckpt")
    with pytest.raises(InputError, match="1 of its"):
        convert_checkpoint(tmp_path / "bomb.ckpt", tmp_path / "other", clip=clip)
    torch.save(Bomb(mark), tmp_path / "bomb.ckpt")
    with pytest.raises(InputError, match="no state"):
        convert_checkpoint(tmp_path / "bomb.ckpt", tmp_path / "other", clip=clip)
    # The file does have the command in it.
    assert not mark.exists()
    torch.load(tmp_path / "bomb.ckpt", weights_only=False)
    assert mark.exists()


def test_what_is_no_checkpoint_is_refused_in_a_sentence(
    tmp_path: Path, clip: str, last: Path
) -> None:
    whole = (last).read_bytes()
    files = {
        "text.ckpt": b"not a model",
        "empty.ckpt": b"",
        "cut.ckpt": whole[: len(whole) // 2],
        "old.ckpt": pickle.dumps({"state_dict": {}}),
        "text.safetensors": b"not a model",
        "cut.safetensors": b"\x40\0\0\0\0\0\0\0{}",
    }
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(InputError, match=name):
            convert_checkpoint(tmp_path / name, tmp_path / "model", clip=clip)
    with pytest.raises(InputError, match="no checkpoint"):
        convert_checkpoint(tmp_path / "none.ckpt", tmp_path / "model", clip=clip)
    torch.save({"other.weight": torch.zeros(1)}, tmp_path / "other.ckpt")
    with pytest.raises(
        InputError, match=r"no tensor whose name begins with model\.diffusion_model"
    ):
        convert_checkpoint(tmp_path / "other.ckpt", tmp_path / "model", clip=clip)
    assert not (tmp_path / "model").exists()


def rewritten(source: Path, target: Path, edit: Callable[[str, bytes], bytes | None]) -> Path:
    """A zip archive with other contents of its files."""
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w") as new:
        for entry in old.infolist():
            content = edit(entry.filename, old.read(entry))
            if content is not None:
                new.writestr(entry.filename, content)
    return target


def test_damage_inside_an_archive_is_found(tmp_path: Path) -> None:
    source = tmp_path / "good.pt"
    torch.save({"a": torch.arange(6.0), "b": torch.ones(2, 3)}, source)
    with open_checkpoint(source) as checkpoint:
        assert checkpoint.shapes == {"a": (6,), "b": (2, 3)}
        assert checkpoint.read("a").equal(torch.arange(6.0))
    edits: dict[str, Callable[[str, bytes], bytes | None]] = {
        "are not in it": lambda name, data: None if name.endswith("data/0") else data,
        "bytes where": lambda name, data: data[:-4] if name.endswith("data/0") else data,
        "no single": lambda name, data: None if name.endswith(".pkl") else data,
        "index cannot": lambda name, data: data[:-9] if name.endswith(".pkl") else data,
        "endian": lambda name, data: b"big" if name.endswith("byteorder") else data,
    }
    for said, edit in edits.items():
        path = rewritten(source, tmp_path / "bad.pt", edit)
        with pytest.raises(InputError, match=said), open_checkpoint(path) as checkpoint:
            checkpoint.read("a")
    # A flipped bit.
    content = bytearray(source.read_bytes())
    place = content.index(torch.arange(6.0).numpy().tobytes())
    content[place + 6] ^= 4
    (tmp_path / "bad.pt").write_bytes(content)
    with (
        pytest.raises(InputError, match="cannot be read"),
        open_checkpoint(tmp_path / "bad.pt") as checkpoint,
    ):
        checkpoint.read("a")


def test_a_tensor_beyond_its_storage_is_refused(tmp_path: Path) -> None:
    torch.save({"a": torch.arange(6.0)[2:5]}, tmp_path / "good.pt")

    def edit(name: str, data: bytes) -> bytes:
        # Opcode K, then the offset 2; to 4, past which three numbers do not fit.
        return data.replace(b"K\x02K\x03\x85", b"K\x04K\x03\x85") if "pkl" in name else data

    path = rewritten(tmp_path / "good.pt", tmp_path / "bad.pt", edit)
    with pytest.raises(InputError, match="beyond"), open_checkpoint(path) as checkpoint:
        checkpoint.read("a")


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two tensors, and something that is none."""
    path = tmp_path_factory.mktemp("tiny") / "good.pt"
    state = OrderedDict(a=torch.arange(6.0), b=torch.ones(3, 2).T)
    torch.save({"state_dict": state, "path": Path("x")}, path)
    return path


def damage(content: bytes, data: st.DataObject) -> bytes:
    """Some other bytes."""
    damaged = bytearray(content)
    for _ in range(data.draw(st.integers(1, 4))):
        damaged[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    return bytes(damaged)


@pytest.mark.parametrize("inside", [False, True], ids=["the file", "its index"])
@given(data=st.data())
def test_any_damage_is_an_input_error(tiny: Path, inside: bool, data: st.DataObject) -> None:
    bad = tiny.with_name("bad.pt")
    if inside:
        # With the check sum of what is in it now.
        rewritten(tiny, bad, lambda n, file: damage(file, data) if n.endswith("pkl") else file)
    else:
        bad.write_bytes(damage(tiny.read_bytes(), data))
    with contextlib.suppress(InputError), open_checkpoint(bad) as checkpoint:
        for name, shape in checkpoint.shapes.items():
            assert checkpoint.read(name).shape == shape


NESTED = b"N" + b"\x85" * 200_000
"""A tuple of a tuple of a tuple ..., whose hash needs more of the stack than there is."""


@pytest.mark.parametrize(
    "index",
    [
        b"\x80\x02}" + NESTED + b"Ns.",
        b"\x80\x02}(" + NESTED + b"Nu.",
        b"\x80\x02(" + NESTED + b"Nd.",
        b"\x80\x04\x8f(" + NESTED + b"\x90.",
        b"\x80\x04(" + NESTED + b"\x91.",
        b"\x80\x02ccollections\nOrderedDict\n]]" + NESTED + b"aNaa\x85R.",
        b"\x80\x02}N" + b"2\x86" * 60 + b"Ns.",
        b"\x80\x02" + b"}" * (1 << 24) + b".",
    ],
    ids=["item", "items", "dict", "set", "frozenset", "pairs", "doubled", "many"],
)
def test_an_index_made_to_end_the_process_is_refused(tmp_path: Path, index: bytes) -> None:
    with zipfile.ZipFile(tmp_path / "bad.pt", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("bad/data.pkl", index)
    with (
        pytest.raises(InputError, match="its index"),
        open_checkpoint(tmp_path / "bad.pt"),
    ):
        pass


@pytest.mark.parametrize(
    ("name", "shape", "message"),
    [
        ("model.diffusion_model.input_blocks.0.0.op.weight", (1,), "1 unknown: model"),
        ("model.diffusion_model.middle_block.1", (1,), "1 unknown: model"),
        (f"model.diffusion_model.input_blocks.{'9' * 5000}.x", (1,), "1 unknown: model"),
        ("model.diffusion_model.out.2.bias", (0,), "has the shape"),
        ("local_adapter.feature_extractor.pre_extractor.2.bias", (0,), "has the shape"),
    ],
)
def test_names_and_shapes_that_make_no_sense_are_input_errors(
    tmp_path: Path, clip: str, state: State, name: str, shape: tuple[int, ...], message: str
) -> None:
    torch.save({**state, name: torch.zeros(shape)}, tmp_path / "odd.ckpt")
    with pytest.raises(InputError, match=message):
        convert_checkpoint(tmp_path / "odd.ckpt", tmp_path / "model", clip=clip)


# CLIP and the folder of the result


def test_a_clip_that_does_not_fit_is_refused_before_anything_is_made(
    tmp_path: Path, last: Path
) -> None:
    (tmp_path / "empty").mkdir()
    wide = write_clip(tmp_path / "wide", width=64)
    larger = write_clip(tmp_path / "larger")
    words = json.loads((larger / "vocab.json").read_text())
    (larger / "vocab.json").write_text(json.dumps({**words, "more": len(words)}))
    torn = write_clip(tmp_path / "torn")
    (torn / "config.json").write_text("{")
    for folder, said in (
        ("empty", "has no tokenizer"),
        ("wide", "gives 64 numbers"),
        ("larger", "65 tokens"),
        ("torn", "JSON"),
        ("./none", "neither a folder here nor a hub id"),
    ):
        source = str(tmp_path / folder) if folder[0] != "." else folder
        with pytest.raises(InputError, match=said):
            convert_checkpoint(last, tmp_path / "model", clip=source)
    assert wide.is_dir()
    assert not (tmp_path / "model").exists()


def test_what_is_there_is_not_touched(tmp_path: Path, clip: str, last: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full/notes.txt").write_text("mine")
    with pytest.raises(InputError, match="not an empty folder"):
        convert_checkpoint(last, tmp_path / "full", clip=clip)
    with pytest.raises(InputError, match="not an empty folder"):
        convert_checkpoint(last, last, clip=clip)
    assert (tmp_path / "full/notes.txt").read_text() == "mine"
    (tmp_path / "empty").mkdir()
    convert_checkpoint(last, tmp_path / "empty", clip=clip)
    assert (tmp_path / "empty/model_index.json").is_file()


def test_a_conversion_that_fails_leaves_nothing(
    tmp_path: Path, clip: str, last: Path, monkeypatch: pytest.MonkeyPatch
) -> None:

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(module, "save_file", full)
    with pytest.raises(OutputError, match="No space left"):
        convert_checkpoint(last, tmp_path / "model", clip=clip)
    assert sorted(p.name for p in tmp_path.iterdir()) == []


def test_components_load_by_themselves(tmp_path: Path, clip: str, last: Path) -> None:
    convert_checkpoint(last, tmp_path / "model", clip=clip)
    for kind, part in ((UNet2DConditionModel, "unet"), (AutoencoderKL, "vae")):
        network, info = kind.from_pretrained(
            tmp_path / "model", subfolder=part, output_loading_info=True, use_safetensors=True
        )
        assert not any(info.values())
        assert network.config["_class_name"] == kind.__name__
    assert (
        TOY.context
        == UNet2DConditionModel.load_config(tmp_path / "model/unet")["cross_attention_dim"]
    )
