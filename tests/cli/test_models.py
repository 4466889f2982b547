"""``rsaug models``: what it prints, as text and as JSON, and how it refuses."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from minihub import MiniHub
from rendering.checkpoint import count, published_checkpoint, published_state_dict
from rendering.widths import TOY
from tinyclip import write_clip, write_tokenizer
from typer.testing import CliRunner, Result

from rsaug.cli import app
from rsaug.pipelines.convert.keys import PREFIXES

SMALL = replace(TOY, channel_mult=(1, 2), res_blocks=1, inject=(8, 16), vae_mult=(1, 1))
COUNTS = {part: count(published_state_dict(SMALL), start)[0] for part, start in PREFIXES.items()}


def run(*options: str | Path) -> Result:
    return CliRunner().invoke(app, ["models", *map(str, options)])


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint, a CLIP and a tokenizer."""
    folder = tmp_path_factory.mktemp("models")
    published_checkpoint(folder / "last.ckpt", SMALL, optimizer=True)
    write_clip(folder / "clip")
    words = write_tokenizer(folder / "words")
    (words / "config.json").write_text('{"text_config": {"num_attention_heads": 4}}')
    return folder


def test_a_checkpoint_is_converted_and_looked_into(work: Path) -> None:
    result = run("convert", work / "last.ckpt", work / "model", "--clip", work / "clip")
    assert result.exit_code == 0, result.output
    for said in ("left out, constants", "13", "rsaug synth --model"):
        assert said in result.stdout
    lines = [line.split() for line in result.stdout.splitlines()]
    assert {part: int(n) for part, n, *_ in lines if part in PREFIXES} == COUNTS
    assert "Converting local_adapter" in result.stderr
    assert "style image" not in result.stdout
    result = run("info", work / "model", "--json")
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    assert found["parts"]["local_adapter"]["tensors"] == COUNTS["local_adapter"]
    assert found["tensors"] == sum(part["tensors"] for part in found["parts"].values())
    result = run("info", work / "model")
    assert result.exit_code == 0, result.output
    for said in ("UNet2DConditionModel", "none was published", "1980 to 2024", "DDIMScheduler"):
        assert said in " ".join(result.stdout.split())


def test_json_of_a_conversion_is_all_that_is_on_stdout(work: Path) -> None:
    options = ("--clip", work / "words", "--dtype", "bfloat16", "--json")
    result = run("convert", work / "last.ckpt", work / "half", *options)
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    assert found["tensors"] == COUNTS
    assert found["dtype"] == "bfloat16"
    assert not found["image_encoder"]
    assert len(found["discarded"]) == 13


def test_a_model_that_can_take_no_style_is_said_to(work: Path) -> None:
    result = run("convert", work / "last.ckpt", work / "plain", "--clip", work / "words")
    assert result.exit_code == 0, result.output
    assert "takes no style image" in result.stdout


def test_models_are_listed(work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(work)
    result = run("list")
    assert result.exit_code == 0, result.output
    assert "default" in result.stdout
    assert "shipped" in result.stdout
    result = run("list", "--json")
    assert [entry["name"] for entry in json.loads(result.stdout)][:2] == ["default", "sd15"]


def test_a_model_is_pulled(work: Path, tmp_path: Path) -> None:
    model = work / "pulled-from"
    assert run("convert", work / "last.ckpt", model, "--clip", work / "words").exit_code == 0
    with MiniHub(tmp_path / "cache", {"maker/model": model}):
        result = run("pull", "maker/model", tmp_path / "mine")
        assert result.exit_code == 0, result.output
        assert f"--model {tmp_path / 'mine'}" in result.stdout.replace("\n", "")
        result = run("pull", "maker/none")
    assert result.exit_code == 2
    assert "no model maker/none" in result.stderr
    assert run("info", tmp_path / "mine").exit_code == 0


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["convert", "none.ckpt", "out", "--clip", "words"], "no checkpoint none.ckpt"),
        (["convert", "last.ckpt", "out.safetensors"], "is to be a folder"),
        (["convert", "last.ckpt", "words", "--clip", "words"], "not an empty folder"),
        (["convert", "last.ckpt", "out", "--clip", "no"], "neither a folder here nor a hub id"),
        (["convert", "last.ckpt", "out", "--clip", "clip", "--dtype", "int8"], "float32"),
        (["info", "none"], "no model 'none'"),
        (["info", "clip"], "no CRS-Diff model"),
        (["pull", "nothing"], "hub id"),
    ],
)
def test_wrong_input_is_one_sentence_and_exit_code_2(
    work: Path, monkeypatch: pytest.MonkeyPatch, options: list[str], said: str
) -> None:
    monkeypatch.chdir(work)
    result = run(*options)
    assert result.exit_code == 2, result.output
    assert said in result.stderr
    assert "Traceback" not in result.output
    assert not (work / "out").exists()
