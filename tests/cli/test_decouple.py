"""``rsaug decouple``: real images in, six maps, a caption and metadata out."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from affine import Affine
from painter import CRS, NORTH, WEST, contents, write_roads
from typer.testing import CliRunner, Result

from rsaug.cli import app
from rsaug.conditions.stack import SLOTS
from rsaug.grid import Tile, parse_crs
from rsaug.raster import write_cog
from rsaug.stackfile import read_stack

Command = Callable[..., Result]
FAST = ["--extractor", "hed=offline", "--extractor", "mlsd=offline"]


def write_image(path: Path, *, placed: bool = True, bands: int = 3) -> None:
    """A grey street on noise, over the first tile of `painter.write_roads`."""
    image = np.random.default_rng(0).integers(30, 90, (bands, 128, 128)).astype(np.uint8)
    image[:, 52:68] = 160
    crs = parse_crs(f"EPSG:{CRS}")
    place = Tile.from_transform(Affine(0.5, 0, WEST, 0, -0.5, NORTH), (128, 128), crs)
    write_cog(path, image, place if placed else None)


@pytest.fixture
def decouple(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Command:
    """The command in a folder with ``town.gpkg``, ``town.tif``, ``lost.tif`` and ``grey.tif``."""
    pytest.importorskip("cv2")
    monkeypatch.chdir(tmp_path)
    write_roads(Path("town.gpkg"), rows=1, cols=1)
    write_image(Path("town.tif"))
    write_image(Path("lost.tif"), placed=False)
    write_image(Path("grey.tif"), bands=1)
    (tmp_path / "deep").mkdir()
    write_image(Path("deep/town.tif"))

    def invoke(*options: str) -> Result:
        return CliRunner().invoke(app, ["decouple", *options])

    return invoke


def test_from_images_to_stacks_and_records(decouple: Command) -> None:
    result = decouple("town.tif", "--out", "out", "--roads", "town.gpkg", "--picture", *FAST)
    assert result.exit_code == 0, result.output
    assert set(contents(Path("out"))) == {"town.tif", "town.json", "town.png"}
    record = json.loads(Path("out/town.json").read_text())
    assert list(record["controls"]) == list(SLOTS)
    assert record["controls"]["road"]["made_by"] == "vectors: town.gpkg"
    assert record["controls"]["hed"]["extractor"] == "offline"
    assert record["controls"]["seg"]["extractor"] == "network"
    stack = read_stack("out/town.tif")
    assert stack.given == SLOTS
    assert stack.slot("road")[0, 60, 64] == 1
    for slot in SLOTS:
        assert record["controls"][slot]["made_by"][:40] in result.stdout
    assert f"1 of 1: town.tif. {record['caption']}" in result.stderr


def test_again_it_says_what_it_makes_anew(decouple: Command) -> None:
    options = ("lost.tif", "--out", "out", "--gsd", "0.5", *FAST)
    result = decouple(*options)
    assert result.exit_code == 0, result.output
    assert "note: lost.tif has no place on the maps: it has no CRS." in result.stderr
    before = contents(Path("out"))
    assert "made anew" not in result.stdout
    result = decouple(*options)
    assert "1 (1 made anew)" in result.stdout
    assert contents(Path("out")) == before
    assert "0.6 m is taken" in decouple(*options[:3], *FAST).stderr


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("none.tif --out out", "There is no image none.tif"),
        ("grey.tif --out out", "has 1 band of uint8"),
        ("town.gpkg --out out", "cannot be read as an image"),
        ("town.tif --out .", "where its results would replace it"),
        ("town.tif --out town.gpkg", "town.gpkg is a file"),
        ("town.tif deep/town.tif --out out", "have the same name"),
        ("lost.tif --out out --roads town.gpkg", "cannot be laid over them: it has no CRS"),
        ("town.tif --out out --roads none.gpkg", "none.gpkg does not exist"),
        ("town.tif --out out --extractor hed", "is not SLOT=NAME"),
        ("town.tif --out out --extractor hed=best", "No extractor of 'hed' is called 'best'"),
        ("town.tif --out out --extractor hed=hed --extractor hed=offline", "given twice"),
        ("town.tif --out out --roads town.gpkg --extractor road=network", "comes from the layers"),
        ("town.tif --out out --extractor hed=hed --hed-weights none.h5", "none.h5 does not exist"),
        ("town.tif --out out --height-range 0,10", "--height-range needs heights"),
        ("town.tif --out out --dem town.tif --height-range high", "is not two heights"),
        ("town.tif --out out --dem a.tif --dsm b.tif", "not from both"),
        ("lost.tif --out out --gsd 0", "GSD must be a positive number"),
    ],
)
def test_bad_input_ends_in_one_sentence(
    decouple: Command, tmp_path: Path, options: str, message: str
) -> None:
    before = contents(tmp_path)
    result = decouple(*options.split())
    assert result.exit_code == 2, result.output
    assert result.stdout == ""
    assert result.stderr.startswith("error: ")
    assert message in result.stderr
    assert len(result.stderr.splitlines()) == 1
    assert contents(tmp_path) == before
