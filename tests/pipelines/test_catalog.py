"""What models there are, what is in one, and how one comes from the hub."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from minihub import MiniHub
from rendering.checkpoint import EXPECTED, published_checkpoint
from rendering.widths import TOY
from safetensors.torch import load_file
from tinyclip import write_clip

from rsaug.errors import InputError
from rsaug.modelfiles import folder_digest
from rsaug.pipelines import hub
from rsaug.pipelines.catalog import describe_model, list_models, pull_model
from rsaug.pipelines.convert.convert import convert_checkpoint
from rsaug.pipelines.convert.keys import PREFIXES
from rsaug.pipelines.models import DEFAULT_MODEL


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a converted model in it."""
    where = tmp_path_factory.mktemp("models")
    published_checkpoint(where / "last.ckpt", TOY)
    clip = str(write_clip(where / "clip"))
    convert_checkpoint(where / "last.ckpt", where / "crs-diff", clip=clip, dtype="float16")
    return where


def test_the_default_model_is_described() -> None:
    found = describe_model("default")
    assert found.folder == str(DEFAULT_MODEL)
    assert found.digest == folder_digest(DEFAULT_MODEL)
    assert found.settings["tells_absent_from_empty"]
    assert found.settings["content"] == "latent statistics"
    assert found.settings["metadata"]["month"] is None
    assert found.licence == "Apache-2.0, as rsaug itself"
    for part, info in found.parts.items():
        (path,) = (DEFAULT_MODEL / part).glob("*.safetensors")
        state = load_file(path)
        assert info.tensors == len(state)
        assert info.parameters == sum(tensor.numel() for tensor in state.values())
        assert info.size == path.stat().st_size


def test_a_converted_model_is_described(models: Path) -> None:
    found = describe_model(str(models / "crs-diff"))
    assert found.parts["unet"].tensors == 686
    assert found.parts["unet"].dtypes == {"F16": 686}
    assert found.parts["local_adapter"].tensors == 414
    assert found.parts.keys() == {*PREFIXES, "image_encoder"}
    assert found.settings["scheduler"] == "DDIMScheduler"
    assert found.settings["predicts"] == "epsilon"
    assert (found.settings["default_steps"], found.settings["default_guidance"]) == (50, 7.5)
    assert found.settings["metadata"]["year"] == [1980, 2024]
    assert not found.settings["knows_absent_metadata"]
    assert found.licence is not None
    assert "none was published" in found.licence
    assert found.source is not None
    assert "last.ckpt" in found.source
    assert json.dumps(found.settings, allow_nan=False)


def test_the_preset_is_described_without_weights() -> None:
    found = describe_model("sd15")
    assert found.folder is None
    assert found.digest is None
    assert found.size == 0
    for part, prefix in PREFIXES.items():
        assert found.parts[part].tensors == EXPECTED[prefix].tensors
        assert round(found.parts[part].parameters / 1e6, 2) == EXPECTED[prefix].millions


def test_the_models_at_hand_are_listed(models: Path) -> None:
    (models / "other").mkdir(exist_ok=True)
    (models / "other/model_index.json").write_text('{"_class_name": "Other"}')
    found = {entry.name: entry for entry in list_models(models)}
    assert {"default", "sd15", "./crs-diff"} <= found.keys()
    assert "./other" not in found
    assert found["./crs-diff"].kind == "folder"
    assert "road" in found["./crs-diff"].about


def test_what_is_no_model_is_refused(tmp_path: Path, models: Path) -> None:
    with pytest.raises(InputError, match="no model 'nothing'"):
        describe_model("nothing")
    with pytest.raises(InputError, match="rsaug models pull rsaug-test/not-there"):
        describe_model("rsaug-test/not-there")
    with pytest.raises(InputError, match=r"no model_index\.json"):
        describe_model(str(tmp_path))
    (tmp_path / "model_index.json").write_text("[" * 100_000)
    with pytest.raises(InputError, match="JSON"):
        describe_model(str(tmp_path))
    (tmp_path / "model_index.json").write_text('{"_class_name": "StableDiffusionPipeline"}')
    with pytest.raises(InputError, match="StableDiffusionPipeline"):
        describe_model(str(tmp_path))
    (tmp_path / "unet").mkdir()
    (tmp_path / "unet/w.safetensors").write_bytes(b"no")
    index = {"_class_name": "CRSDiffPipeline", "unet": ["diffusers", "UNet2DConditionModel"]}
    (tmp_path / "model_index.json").write_text(json.dumps(index))
    with pytest.raises(InputError, match="safetensors"):
        describe_model(str(tmp_path))


def test_the_licence_on_a_card_is_told(tmp_path: Path) -> None:
    (tmp_path / "model_index.json").write_text('{"_class_name": "CRSDiffPipeline"}')
    assert describe_model(str(tmp_path)).licence is None
    (tmp_path / "README.md").write_text("---\ntags: x\nlicense: cc-by-4.0\n---\nlicense: none\n")
    assert describe_model(str(tmp_path)).licence == "cc-by-4.0"


# The hub: its own client, against a small server on this machine


def test_a_model_is_pulled_without_code_and_pickles(models: Path, tmp_path: Path) -> None:
    extra = {"unet/weights.bin": b"pickle", "pipeline.py": b"import os"}
    with MiniHub(tmp_path / "cache", {"maker/crs-diff": models / "crs-diff"}, extra) as server:
        cached = pull_model("maker/crs-diff")
        pulled = pull_model("maker/crs-diff", tmp_path / "model")
        names = {entry.name: entry for entry in list_models(tmp_path / "cache")}
        assert names["maker/crs-diff"].kind == "hub cache"
        assert describe_model("maker/crs-diff").digest == folder_digest(models / "crs-diff")
        asked = server.asked
    assert folder_digest(pulled) == folder_digest(cached) == folder_digest(models / "crs-diff")
    assert not [p for p in pulled.rglob("*") if p.is_symlink() or p.suffix in (".bin", ".py")]
    assert not [path for path in asked if path.endswith((".bin", ".py"))]


def test_another_pipeline_is_not_pulled(tmp_path: Path) -> None:
    other = tmp_path / "other"
    (other / "unet").mkdir(parents=True)
    (other / "model_index.json").write_text('{"_class_name": "StableDiffusionPipeline"}')
    (other / "unet/w.safetensors").write_bytes(b"gigabytes")
    with (
        MiniHub(tmp_path / "cache", {"maker/other": other}) as server,
        pytest.raises(InputError, match="StableDiffusionPipeline"),
    ):
        pull_model("maker/other")
    assert not [path for path in server.asked if path.endswith(".safetensors")]


def test_why_a_model_could_not_be_had(tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full/notes.txt").write_text("mine")
    with MiniHub(tmp_path / "cache", {}) as server:
        with pytest.raises(InputError, match="no model maker/none"):
            pull_model("maker/none")
        with pytest.raises(InputError, match="not an empty folder"):
            pull_model("maker/none", tmp_path / "full")
        server.stop()
        with pytest.raises(InputError, match="cannot be reached"):
            pull_model("maker/else")
    for name in ("maker", "a/b/c", "../a", "a/../b", "maker/"):
        with pytest.raises(InputError, match="hub id"):
            hub.fetch(name)
    assert sorted(os.listdir(tmp_path / "full")) == ["notes.txt"]  # noqa: PTH208 - names alone
