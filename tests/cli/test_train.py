"""``rsaug train``: from a folder of tiles to a model that ``rsaug synth`` takes."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from painter import contents, write_roads
from PIL import Image
from safetensors.torch import save_file
from toy import toy_pipeline
from toytraining import random_lpips
from typer.testing import CliRunner, Result

from rsaug.cli import app

Command = Callable[..., Result]

ROADS = """
drop_text = 0.5
drop_content = 0.5
drop_metadata = 0.5
drop_field = 0.0
drop_all = 0.0
controls = [{ share = 1, given = ["road"] }]
"""


@pytest.fixture
def train(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Command:
    """The command, in a folder with the tile folder ``tiles``: two images with masks."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    for name in ("p", "q"):
        for kind, shape in (("images", (256, 256, 3)), ("masks", (256, 256))):
            path = tmp_path / "tiles" / kind / f"{name}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(rng.integers(0, 2, shape, dtype=np.uint8) * 200).save(path)
    pd.DataFrame({"id": ["p", "q"], "split": "train"}).to_csv("tiles/index.csv", index=False)

    def invoke(*options: str) -> Result:
        return CliRunner().invoke(app, ["train", *options])

    return invoke


def test_from_tiles_to_a_model_that_synth_takes(train: Command) -> None:
    short = ("--data", "tiles", "--steps", "2", "--batch", "1")
    result = train("autoencoder", *short, "--out", "vae")
    assert result.exit_code == 0, result.output
    assert "2 chips of 256x256 px" in result.output
    given = ("--autoencoder", "vae", "--gsd", "0.5", "--share", "1", "--out", "model")
    Path("roads.toml").write_text(ROADS)
    shown = ("--dropout", "roads.toml", "--picture-every", "2", "--tile-size", "64")
    result = train("generator", *short, *given, *shown)
    assert result.exit_code == 0, result.output
    assert "32 examples from 1 folders" in result.output
    assert 'No folder has a split "val"; pictures are of training examples.' in result.output
    assert "rsaug synth --model model" in result.output
    assert [path.name for path in Path("model-logs").iterdir()] == ["step-000002.png"]
    index = json.loads(Path("model/model_index.json").read_text())
    assert index["trained_controls"] == ["road"]
    write_roads(Path("town.gpkg"), rows=1, cols=1)
    synth = ["synth", "--roads", "town.gpkg", "--model", "model", "--steps", "1"]
    result = CliRunner().invoke(app, [*synth, "--gsd", "0.5", "--tile-size", "128"])
    assert result.exit_code == 0, result.output
    assert len(contents(Path("town-synth/images"))) == 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("autoencoder --data none", "none is no tile folder"),
        ("autoencoder --data tiles --lpips none.safetensors", "no LPIPS file none.safetensors"),
        ("generator --data none", "neither roads.geojson nor masks/"),
        ("generator --data tiles --autoencoder none", "no autoencoder in none"),
        ("generator --data tiles --autoencoder tiles", "tiles cannot be loaded"),
        ("generator --data tiles --from none", "no model folder none"),
        ("generator --data tiles --from tiles", "tiles is no CRS-Diff model"),
        ("generator --data tiles --from default --autoencoder tiles", "leave --autoencoder out"),
        ("generator --data tiles --phase all", "No phase is called 'all'"),
        ("generator --data tiles --phase text", "a model to start from; name one with --from"),
        ("generator --data tiles --lora 4", "a model to start from; name one with --from"),
        ("generator --data tiles --dropout none", "no table of conditions 'none'"),
        ("generator --data tiles --precision fp32", "No precision is called 'fp32'"),
        ("generator --data tiles --device cpu --precision fp16", "cannot train in fp16"),
        ("generator --data tiles --picture-every -1", "must be 1 or more"),
        ("generator --data tiles --batch 4 --accumulate 3", "cannot be cut into 1 x 3"),
        ("generator --data tiles --share 1 --share 2", "1 folders need as many shares"),
        ("generator --data tiles --share -1", "none negative"),
        ("generator --data tiles --share nan", "none negative"),
        ("generator --data tiles --gsd -1", "--gsd must be above 0, not -1"),
        ("generator --data tiles --learning-rate -1", "learning rate must be above 0, not -1"),
        ("generator --data tiles --tile-size 60", "this model needs sides that"),
        ("generator --data tiles --device abacus", "'abacus' is not to be had"),
    ],
)
def test_bad_input_ends_in_one_sentence(
    train: Command, tmp_path: Path, options: str, message: str
) -> None:
    before = contents(tmp_path)
    result = train(*options.split())
    assert result.exit_code == 2
    sentence = result.stderr.splitlines()[-1]
    assert sentence.startswith("error: ")
    assert message in sentence
    assert contents(tmp_path) == before


def test_training_on_from_a_model_in_a_phase(train: Command) -> None:
    tiles = ("--data", "tiles", "--steps", "1", "--batch", "1", "--tile-size", "64")
    result = train("generator", *tiles, "--out", "first")
    assert result.exit_code == 0, result.output
    given = ("--from", "first", "--phase", "conditions", "--dropout", "crs-diff", "--out", "second")
    result = train("generator", *tiles, *given, "--learning-rate", "0.01")
    assert result.exit_code == 0, result.output
    for part, same in (("unet", True), ("vae", True), ("local_adapter", False)):
        name = f"{part}/diffusion_pytorch_model.safetensors"
        assert (Path("first", name).read_bytes() == Path("second", name).read_bytes()) is same


def test_an_autoencoder_and_a_decoder_go_on_from_what_is_there(train: Command) -> None:
    toy_pipeline().save_pretrained("model")
    save_file(random_lpips(), "lpips.safetensors")
    short = ("--steps", "1", "--batch", "1")
    result = train("autoencoder", "--data", "tiles", *short, "--from", "model/vae", "--out", "vae")
    assert result.exit_code == 0, result.output
    assert json.loads(Path("vae/config.json").read_text())["latent_channels"] == 4
    missing = ("--from", "model", "--lpips", "none.safetensors", "--data", "tiles")
    assert "There is no LPIPS file" in train("decoder", *missing).output
    options = ("--from", "model", "--lpips", "lpips.safetensors", "--data", "tiles", "--out", "new")
    result = train("decoder", *options, *short)
    assert result.exit_code == 0, result.output
    assert "rsaug synth --model new" in result.output
    assert Path("new/model_index.json").is_file()


def test_help_says_what_a_tile_folder_is(train: Command) -> None:
    assert "roads.geojson" in train("generator", "--help").output
