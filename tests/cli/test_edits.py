"""``rsaug restyle``, ``inpaint`` and ``upscale`` on a model of toy size."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import geopandas as gpd
import numpy as np
import pytest
import rasterio
from affine import Affine
from numpy.typing import NDArray
from painter import CRS, NORTH, WEST, contents, write_roads, write_wood
from PIL import Image
from shapely.geometry import Point, box
from typer.testing import CliRunner, Result

from rsaug.cli import app
from rsaug.compositing import reduce
from rsaug.conditions.road import road_mask
from rsaug.grid import Tile, parse_crs
from rsaug.provenance import EDITED_SOURCE_TYPE, read_provenance
from rsaug.raster import open_image, read_rgb, write_cog
from rsaug.roads import road_surfaces
from rsaug.stackfile import read_stack
from rsaug.vectors import read_vectors

Command = Callable[..., Result]
FAST = ["--extractor", "hed=offline"]
SHAPE = (96, 128)
HOLE = box(WEST + 20, NORTH - 30, WEST + 34, NORTH - 18)
"""28 x 24 pixels."""


def place(gsd_m: float = 0.5, shape: tuple[int, int] = SHAPE) -> Tile:
    transform = Affine(gsd_m, 0, WEST, 0, -gsd_m, NORTH)
    return Tile.from_transform(transform, shape, parse_crs(f"EPSG:{CRS}"))


def write_image(path: Path, *, placed: bool = True, bands: int = 3, seed: int = 0) -> Path:
    """Noise, over the first tile of `painter.write_roads`."""
    image = np.random.default_rng(seed).integers(30, 90, (bands, *SHAPE)).astype(np.uint8)
    write_cog(path, image, place() if placed else None)
    return path


@pytest.fixture
def run(model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Command:
    """A command with the toy model, in a folder with images, roads and masks."""
    monkeypatch.chdir(tmp_path)
    write_roads(Path("town.gpkg"), rows=1, cols=1)
    write_image(Path("town.tif"))
    write_image(Path("lost.tif"), placed=False, seed=1)
    gpd.GeoSeries([HOLE], crs=CRS).to_file("clouds.gpkg")

    def invoke(command: str, *options: str) -> Result:
        given = [command, "--model", str(model), "--steps", "2", "--out", "out", *options]
        return CliRunner().invoke(app, given)

    return invoke


def pixels_of(path: str | Path) -> NDArray[np.uint8]:
    with rasterio.open(path) as src:
        values: NDArray[np.uint8] = src.read()
    return values


def exact_roads(tile: Tile) -> NDArray[np.uint8]:
    return road_mask(road_surfaces(read_vectors("town.gpkg"), tile.crs), tile)


def test_restyled_images_keep_place_and_labels(run: Command, tmp_path: Path) -> None:
    (tmp_path / "labels").mkdir()
    label = tmp_path / "labels/town.png"
    Image.fromarray(np.random.default_rng(2).integers(0, 7, SHAPE).astype(np.uint8)).save(label)
    given = ("town.tif", "--roads", "town.gpkg", "--labels", "labels", *FAST)
    result = run("restyle", *given)
    assert result.exit_code == 0, result.output
    assert "1 (1 made now)" in result.stdout
    rooms = {"images/town.tif", "masks/town.tif", "conditions/town.tif", "labels/town.png"}
    assert set(contents(Path("out"))) == rooms | {"run.json"}
    assert Tile.from_raster("out/images/town.tif") == Tile.from_raster("town.tif") == place()
    np.testing.assert_array_equal(pixels_of("out/masks/town.tif")[0], exact_roads(place()))
    assert Path("out/labels/town.png").read_bytes() == label.read_bytes()
    # The toy was trained on roads alone.
    assert read_stack("out/conditions/town.tif").given == ("road",)
    assert "not trained on the controls hed, seg" in result.stderr
    assert (read_rgb("out/images/town.tif") != read_rgb("town.tif")).mean() > 0.5


def test_the_image_says_what_it_is(run: Command) -> None:
    result = run("restyle", "town.tif", "--prompt", "desert", "--seed", "3", *FAST)
    assert result.exit_code == 0, result.output
    said = read_provenance("out/images/town.tif")
    assert said is not None
    assert (said.source, said.prompt, said.source_type) == (
        "town.tif",
        "desert",
        EDITED_SOURCE_TYPE,
    )
    with rasterio.open("out/images/town.tif") as src:
        assert "Real image, altered" in src.tags()["TIFFTAG_IMAGEDESCRIPTION"]
        assert EDITED_SOURCE_TYPE in src.tags(ns="xml:XMP")["xml:XMP"]
    record = json.loads(Path("out/run.json").read_text())
    assert (record["command"], record["edit"]) == ("restyle", {"strength": 0.6})
    assert record["images"][0]["seed"] == said.seed
    assert record["generator"]["prompt"] == "desert"
    assert record["generator"]["model"] == "toy"


def test_run_again_it_does_only_what_is_missing(run: Command) -> None:
    write_image(Path("second.tif"), seed=5)
    given = ("town.tif", "second.tif", "lost.tif", *FAST)
    assert run("restyle", *given).exit_code == 0
    before = contents(Path("out"), "images/*")
    Path("out/images/lost.tif").unlink()
    result = run("restyle", *given)
    assert "3 (1 made now, 2 were there)" in result.stdout
    assert contents(Path("out"), "images/*") == before
    write_image(Path("second.tif"), seed=6)
    assert "(1 made now, 2 were there)" in run("restyle", *given).stdout
    assert "(3 made now)" in run("restyle", *given, "--strength", "1").stdout
    assert "(3 made now)" in run("restyle", *given, "--seed", "1").stdout


def test_the_seed_goes_by_the_place(run: Command) -> None:
    """Not by the name, nor by what is edited beside it."""
    assert run("restyle", "town.tif", "lost.tif", *FAST).exit_code == 0
    Path("town.tif").rename("renamed.tif")
    assert run("restyle", "renamed.tif", *FAST, "--out", "again").exit_code == 0
    np.testing.assert_array_equal(
        pixels_of("again/images/renamed.tif"), pixels_of("out/images/town.tif")
    )


def test_filled_in_images_are_the_same_outside(run: Command) -> None:
    result = run("inpaint", "town.tif", "--mask", "clouds.gpkg", "--roads", "town.gpkg")
    assert result.exit_code == 0, result.output
    filled = pixels_of("out/filled/town.tif")[0].astype(bool)
    assert filled.sum() == 28 * 24
    before, after = read_rgb("town.tif"), read_rgb("out/images/town.tif")
    np.testing.assert_array_equal(after[:, ~filled], before[:, ~filled])
    assert (after[:, filled] != before[:, filled]).mean() > 0.5
    np.testing.assert_array_equal(pixels_of("out/masks/town.tif")[0], exact_roads(place()))


@pytest.mark.parametrize("kind", ["placed raster", "weights", "drawn", "coarser raster"])
def test_masks_of_every_kind_are_the_same_mask(run: Command, kind: str) -> None:
    inside = np.zeros(SHAPE, dtype=np.uint8)
    inside[36:60, 40:68] = 255
    if kind == "drawn":
        Image.fromarray(inside).save("mask.png")
    elif kind == "coarser raster":
        write_cog("mask.tif", inside[None, ::2, ::2], place(1.0, (48, 64)))
    elif kind == "weights":
        write_cog("mask.tif", (inside[None] / np.float32(255)) * np.float32(0.8), place())
    else:
        write_cog("mask.tif", inside[None], place())
    name = "mask.png" if kind == "drawn" else "mask.tif"
    result = run("inpaint", "town.tif", "--mask", name, "--resamplings", "1")
    assert result.exit_code == 0, result.output
    np.testing.assert_array_equal(pixels_of("out/filled/town.tif")[0], inside // 255)


def test_images_beside_the_clouds_are_left_alone(run: Command) -> None:
    write_cog(
        "far.tif",
        read_rgb("town.tif"),
        Tile.from_transform(
            Affine(0.5, 0, WEST + 500, 0, -0.5, NORTH), SHAPE, parse_crs(f"EPSG:{CRS}")
        ),
    )
    result = run("inpaint", "town.tif", "far.tif", "--mask", "clouds.gpkg", "--resamplings", "1")
    assert result.exit_code == 0, result.output
    assert "does not touch far.tif" in result.stderr
    assert [path.name for path in Path("out/images").iterdir()] == ["town.tif"]


@pytest.mark.parametrize("factor", [2, 4])
def test_enlarged_images_cover_the_same_ground(run: Command, factor: int) -> None:
    result = run("upscale", "town.tif", "--factor", str(factor), "--roads", "town.gpkg")
    assert result.exit_code == 0, result.output
    made = read_rgb("out/images/town.tif")
    np.testing.assert_array_equal(reduce(made, factor), read_rgb("town.tif"))
    tile = Tile.from_raster("out/images/town.tif")
    assert tile.bounds == place().bounds
    assert tile == place(0.5 / factor, (SHAPE[0] * factor, SHAPE[1] * factor))
    # Burned from the lines on the smaller pixels, not enlarged.
    np.testing.assert_array_equal(pixels_of("out/masks/town.tif")[0], exact_roads(tile))


def test_images_without_a_place_are_edited_too(run: Command) -> None:
    for command in ("restyle", "upscale"):
        more = FAST if command == "restyle" else []
        result = run(command, "lost.tif", "--gsd", "0.6", "--out", command, *more)
        assert result.exit_code == 0, result.output
        assert "lost.tif has no place on the maps" in result.stderr
        with open_image(f"{command}/images/lost.tif") as src:
            assert src.crs is None


def test_more_bands_are_told(run: Command) -> None:
    write_image(Path("four.tif"), bands=4)
    result = run("restyle", "four.tif", *FAST)
    assert result.exit_code == 0, result.output
    assert "four.tif has 4 bands; the result has the first three" in result.stderr
    assert read_rgb("out/images/four.tif").shape == (3, *SHAPE)


@pytest.fixture
def bad_files(tmp_path: Path) -> None:
    """Files that are wrong in one way each."""
    write_image(tmp_path / "grey.tif", bands=1)
    write_cog(tmp_path / "tiny.tif", np.zeros((3, 32, 32), np.uint8), None)
    write_cog(tmp_path / "small.tif", np.ones((1, 40, 40), np.uint8), None)
    write_cog(tmp_path / "all.tif", np.ones((1, *SHAPE), np.uint8), place())
    gpd.GeoSeries([box(0, 0, 1, 1)], crs=4326).to_file(tmp_path / "far.gpkg")
    gpd.GeoSeries([Point(24.9, 60.2)], crs=4326).to_file(tmp_path / "points.gpkg")
    write_wood(tmp_path / "wood.gpkg")
    (tmp_path / "deep").mkdir()
    write_image(tmp_path / "deep/town.tif")
    (tmp_path / "file").write_text("hello")
    (tmp_path / "full").mkdir()
    (tmp_path / "full/notes.txt").write_text("hello")
    (tmp_path / "other").mkdir()
    (tmp_path / "other/run.json").write_text('{"command": "upscale"}')


@pytest.mark.usefixtures("bad_files")
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("restyle none.tif", "no image none.tif"),
        ("restyle grey.tif", "grey.tif has 1 band of uint8"),
        ("restyle tiny.tif", "32 x 32 pixels"),
        ("restyle town.tif deep/town.tif", "have the same name"),
        ("restyle town.tif --strength 1.2", "strength must be 0 to 1, not 1.2"),
        ("restyle town.tif --strength nan", "strength must be 0 to 1, not nan"),
        ("restyle lost.tif --roads town.gpkg", "cannot be laid over them: it has no CRS"),
        ("restyle town.tif --roads none.gpkg", "none.gpkg does not exist"),
        ("restyle town.tif --controls rivers", "No control is called 'rivers'"),
        ("restyle town.tif --controls road --extractor hed=offline", "hed is not in --controls"),
        ("restyle town.tif --extractor hed", "is not SLOT=NAME"),
        ("restyle town.tif --extractor hed=best", "No extractor of 'hed'"),
        ("restyle town.tif --labels none", "none is no folder of labels"),
        ("restyle town.tif --labels full", "full has no label for town.tif"),
        ("restyle town.tif --labels small.tif", "a label fits its image"),
        ("restyle town.tif --height-range 0,10", "needs heights"),
        ("restyle town.tif --date June", "write it as 2024-06-01"),
        ("restyle town.tif --gsd 0", "GSD must be a positive number"),
        ("restyle town.tif --steps 0", "steps must be 1 to 1000"),
        ("restyle town.tif --guidance -1", "guidance scale must be"),
        ("restyle town.tif --style none.tif", "none.tif"),
        ("restyle town.tif --model ./none", "no model folder ./none"),
        ("restyle town.tif --device abacus", "'abacus' is not to be had"),
        ("restyle town.tif --out file", "file is a file"),
        ("restyle town.tif --out full", "holds no run.json"),
        ("restyle town.tif --out other", "results of another command than restyle"),
        ("upscale town.tif --factor 3", "enlarged 2 or 4 times, not 3"),
        ("upscale town.tif --strength -1", "strength must be 0 to 1"),
        ("inpaint town.tif --mask none.gpkg", "none.gpkg does not exist"),
        ("inpaint town.tif --mask none.tif", "none.tif"),
        ("inpaint town.tif --mask far.gpkg", "touches none of the images"),
        ("inpaint town.tif --mask points.gpkg", "holds no area"),
        ("inpaint town.tif --mask small.tif", "the mask must have as many"),
        ("inpaint town.tif --mask all.tif", "covers all of town.tif"),
        ("inpaint lost.tif --mask clouds.gpkg", "cannot be laid over lost.tif: it has no CRS"),
        ("inpaint town.tif --mask clouds.gpkg --resamplings 0", "done 1 to 100 times, not 0"),
        ("inpaint town.tif --mask clouds.gpkg --controls hed", "give layers for them"),
    ],
)
def test_bad_input_ends_in_one_sentence(run: Command, options: str, message: str) -> None:
    before = contents(Path())
    result = run(*options.split())
    assert result.exit_code == 2, result.output
    assert result.stdout == ""
    assert message in result.stderr
    assert result.stderr.rstrip().endswith(".")
    assert contents(Path()) == before


def test_stopped_by_ctrl_c_it_says_where_it_stands(model: Path, tmp_path: Path) -> None:
    names = []
    for seed in range(40):
        names.append(write_image(tmp_path / f"image{seed}.tif", seed=seed).name)
    # A shell that runs the tests in the background has them ignore Ctrl-C.
    hear = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)"
    code = f"{hear}\nfrom rsaug.cli import main\nmain()"
    command = [sys.executable, "-c", code, "upscale", *names, "--out", "out"]
    command += ["--model", str(model), "--steps", "20", "--strength", "1"]
    process = subprocess.Popen(
        command,
        cwd=tmp_path,
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    images = tmp_path / "out/images"
    while process.poll() is None and not (images.is_dir() and any(images.glob("*.tif"))):
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate()
    assert process.returncode == 130, said
    assert "Stopped." in said
    assert "of 40 images are complete" in said
    assert "Traceback" not in said
    assert not list(images.glob(".*.part"))
