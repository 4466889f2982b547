"""Tiles and masks read from a folder."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import rasterio
from tilefolder import GSD_M, SIZE, WIDTH_M, corner, make_tile_folder, road_x

from rsaug.downstream.roadtiles import read_road_tiles
from rsaug.errors import InputError


@pytest.fixture(scope="module")
def tile_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The small folder."""
    return make_tile_folder(tmp_path_factory.mktemp("made") / "tiles")


@pytest.fixture(scope="module")
def naip_roads() -> Path:
    """The real folder; RSAUG_DATA says where the data sets lie."""
    default = Path(__file__).parents[2].parent / "shared" / "data"
    folder = Path(os.environ.get("RSAUG_DATA", default)) / "naip-roads"
    if not (folder / "index.csv").is_file():
        pytest.skip(f"the real tiles are not at {folder}; set RSAUG_DATA to the folder above it")
    return folder


def test_masks_are_the_pixels_whose_centre_lies_on_the_road(tile_folder: Path) -> None:
    tiles = read_road_tiles(tile_folder, "train")
    assert tiles.places.tolist() == ["a", "a", "b", "b"]
    for place, mask in zip(tiles.places, tiles.masks, strict=True):
        x = corner(place)[0] + (np.arange(SIZE) + 0.5) * GSD_M
        on_road = np.abs(x - road_x(place)) <= WIDTH_M / 2
        np.testing.assert_array_equal(mask, np.broadcast_to(on_road, (SIZE, SIZE)))


def test_images_are_those_of_the_files(tile_folder: Path) -> None:
    tiles = read_road_tiles(tile_folder, "val")
    assert tiles.images.shape == (4, 3, SIZE, SIZE)
    with rasterio.open(tile_folder / "rgb" / "c_2020.tif") as src:
        np.testing.assert_array_equal(tiles.images[1], src.read())
        assert tiles.tiles[1].transform == src.transform


def test_only_the_year_that_was_digitized(tile_folder: Path) -> None:
    tiles = read_road_tiles(tile_folder, "val", image_year_only=True)
    assert tiles.places.tolist() == ["c", "d"]
    with rasterio.open(tile_folder / "rgb" / "d_2018.tif") as src:
        np.testing.assert_array_equal(tiles.images[1], src.read())


def test_roads_of_another_split_are_not_burned(tile_folder: Path) -> None:
    # The road of the test place e reaches into d, a val place.
    tiles = read_road_tiles(tile_folder, "val", image_year_only=True)
    assert tiles.masks[1][:, -5:].sum() == 0


def test_places_that_nobody_digitized_are_left_out(tile_folder: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(tile_folder, tmp_path / "tiles")
    index = pd.read_csv(folder / "index.csv")
    index.assign(digitized=index["place"] != "a").to_csv(folder / "index.csv", index=False)
    assert set(read_road_tiles(folder, "train").places) == {"b"}
    index.assign(digitized=False).to_csv(folder / "index.csv", index=False)
    with pytest.raises(InputError, match="no digitized tile in split 'train'"):
        read_road_tiles(folder, "train")


def test_a_missing_file_or_column_is_named(tile_folder: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(tile_folder, tmp_path / "tiles")
    (folder / "captions.csv").unlink()
    with pytest.raises(InputError, match=r"captions\.csv is missing"):
        read_road_tiles(folder, "val", image_year_only=True)
    pd.read_csv(folder / "index.csv").drop(columns="year").to_csv(folder / "index.csv")
    with pytest.raises(InputError, match=r"index\.csv lacks the columns \['year'\]"):
        read_road_tiles(folder, "val")


def test_the_real_val_split(naip_roads: Path) -> None:
    tiles = read_road_tiles(naip_roads, "val", image_year_only=True)
    assert len(tiles) == len(set(tiles.places)) == 47
    assert tiles.images.shape == (47, 3, 256, 256)
    assert set(np.unique(tiles.masks)) == {0, 1}


def test_no_real_place_is_in_two_splits(naip_roads: Path) -> None:
    index = pd.read_csv(naip_roads / "index.csv")
    assert index.groupby("place")["split"].nunique().max() == 1
