"""The model that is shipped: what it may weigh and name, and what it makes of a map."""

from __future__ import annotations

import json
from pathlib import Path

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
import rasterio
import shapely
import torch
from numpy.typing import NDArray
from painter import contents
from rasterio.features import geometry_mask
from safetensors import safe_open
from typer.testing import CliRunner

from rsaug.cli import app
from rsaug.grid import utm_crs
from rsaug.pipelines.models import DEFAULT_MODEL
from rsaug.roads import road_surfaces

FEW = ("--limit", "4", "--aoi", "24.936,60.166,24.948,60.170")


@pytest.fixture(scope="module")
def made(examples_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four tiles of the example, made with every default."""
    out = tmp_path_factory.mktemp("default") / "out"
    roads = str(examples_dir / "helsinki" / "roads.geojson")
    result = CliRunner().invoke(app, ["synth", "--roads", roads, *FEW, "--out", str(out)])
    assert result.exit_code == 0, result.output
    return out


def test_weights_are_small_halves() -> None:
    files = [path for path in DEFAULT_MODEL.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) < 60e6
    weights = [path for path in files if path.suffix == ".safetensors"]
    assert len(weights) == 6
    for path in weights:
        with safe_open(path, "pt") as tensors:
            kinds = {tensors.get_tensor(name).dtype for name in tensors.keys()}  # noqa: SIM118
        assert kinds == {torch.float16}


def test_configs_name_no_place() -> None:
    configs = list(DEFAULT_MODEL.rglob("*.json"))
    assert len(configs) == 8
    for path in configs:
        assert "_name_or_path" not in json.loads(path.read_text(encoding="utf-8"))


def burn(lines: gpd.GeoDataFrame, widths_m: NDArray[np.float64], path: Path) -> NDArray[np.bool_]:
    """Which pixels of a raster have their centre within half a width of a line."""
    with rasterio.open(path) as src:
        surfaces = shapely.buffer(lines.to_crs(src.crs).geometry.to_numpy(), widths_m / 2)
        outside: NDArray[np.bool_] = geometry_mask(surfaces, src.shape, src.transform)
    return ~outside


def test_masks_are_an_independent_burn(made: Path, examples_dir: Path) -> None:
    lines = gpd.read_file(examples_dir / "helsinki" / "roads.geojson")
    roads = road_surfaces(lines, utm_crs(lines)).surfaces
    paths = list((made / "masks").iterdir())
    assert len(paths) == 4
    for path in paths:
        expected = burn(lines.loc[roads.index], roads["width_m"].to_numpy(), path)
        with rasterio.open(path) as mask:
            np.testing.assert_array_equal(mask.read(1), expected)


def test_masks_of_a_real_place_are_an_independent_burn(data_dir: Path, tmp_path: Path) -> None:
    """Roads whose width is tagged, of a place that the model has not seen."""
    places = pd.read_csv(data_dir / "naip-roads" / "index.csv")
    lines = gpd.read_file(data_dir / "naip-roads" / "roads.geojson")
    val = lines["place"].isin(places.loc[places["split"] == "val", "place"])
    lines = lines[val & lines["highway"].notna()]
    lines = lines[lines["place"] == lines["place"].mode()[0]]
    lines.to_file(tmp_path / "place.geojson", COORDINATE_PRECISION=12)
    out = tmp_path / "out"
    command = ["synth", "--roads", str(tmp_path / "place.geojson"), "--out", str(out)]
    result = CliRunner().invoke(app, [*command, "--steps", "1"])
    assert result.exit_code == 0, result.output
    paths = list((out / "masks").iterdir())
    assert paths
    for path in paths:
        with rasterio.open(path) as mask:
            expected = burn(lines, lines["width"].astype(float).to_numpy(), path)
            np.testing.assert_array_equal(mask.read(1), expected)


def test_roads_look_different_from_what_lies_beside(made: Path) -> None:
    """Asphalt has less colour: the mean saturation is lower on the mask than off it."""
    inside, outside = [], []
    for path in (made / "masks").iterdir():
        with rasterio.open(path) as mask, rasterio.open(made / "images" / path.name) as image:
            road, rgb = mask.read(1) == 1, image.read().astype(float)
        saturation = (rgb.max(0) - rgb.min(0)) / np.maximum(rgb.max(0), 1)
        inside.append(saturation[road])
        outside.append(saturation[~road])
    assert np.concatenate(inside).mean() < 0.9 * np.concatenate(outside).mean()


def test_images_have_the_range_of_photographs(made: Path) -> None:
    for path in (made / "images").iterdir():
        with rasterio.open(path) as src:
            rgb = src.read()
        assert 40 < rgb.mean() < 200
        assert rgb.std() > 15


def test_a_tile_alone_is_the_tile_of_the_set(made: Path, examples_dir: Path) -> None:
    roads = str(examples_dir / "helsinki" / "roads.geojson")
    alone = made.parent / "alone"
    options = ["--aoi", FEW[3], "--limit", "1", "--out", str(alone)]
    result = CliRunner().invoke(app, ["synth", "--roads", roads, *options])
    assert result.exit_code == 0, result.output
    images = contents(alone, "images/*")
    assert len(images) == 1
    assert images.items() <= contents(made, "images/*").items()
