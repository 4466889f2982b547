"""``rsaug train``: from a folder of tiles to a model that ``rsaug synth`` takes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from painter import contents, write_roads
from PIL import Image
from typer.testing import CliRunner, Result

from rsaug.cli import app

Command = Callable[..., Result]


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
    result = train("generator", *short, *given)
    assert result.exit_code == 0, result.output
    assert "2 examples from 1 folders" in result.output
    assert "rsaug synth --model model" in result.output
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
        ("generator --data tiles --share 1 --share 2", "1 folders need as many shares"),
        ("generator --data tiles --share -1", "none negative"),
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


def test_help_says_what_a_tile_folder_is(train: Command) -> None:
    assert "roads.geojson" in train("generator", "--help").output
