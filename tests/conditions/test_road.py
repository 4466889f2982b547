"""The road control: seams, margins, and real roads on real tiles."""

from __future__ import annotations

import os
from pathlib import Path

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
import rasterio
import rasterio.features
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import UTM, road_lines

from rsaug.conditions.road import road_mask
from rsaug.errors import InputError
from rsaug.grid import Tile, TileGrid
from rsaug.roads import road_surfaces
from rsaug.vectors import read_vectors

GRID = TileGrid(UTM, 0.6, 32)


@settings(deadline=None, max_examples=20)
@given(st.data())
def test_masks_put_together_are_one_burn_of_all_surfaces(data: st.DataObject) -> None:
    tiles = [[GRID.tile(-400 + row, 900 + col) for col in range(2)] for row in range(2)]
    whole = Tile.from_transform(tiles[0][0].transform, (64, 64), UTM)
    surfaces = road_surfaces(data.draw(road_lines(whole)), UTM).surfaces
    mosaic = np.block([[road_mask(surfaces, tile) for tile in row] for row in tiles])
    expected = rasterio.features.rasterize(
        surfaces.geometry, whole.shape, transform=whole.transform, default_value=1
    )
    np.testing.assert_array_equal(mosaic, expected)


@settings(deadline=None, max_examples=20)
@given(st.data())
def test_roads_elsewhere_change_nothing(data: st.DataObject) -> None:
    tile = GRID.tile(-400, 900)
    lines = data.draw(road_lines(tile))
    surfaces = road_surfaces(lines, UTM).surfaces
    near = surfaces[surfaces.intersects(tile.polygon)]
    clipped = gpd.GeoDataFrame(geometry=near.clip(tile.polygon.buffer(3)).geometry, crs=UTM)
    mask = road_mask(surfaces, tile)
    np.testing.assert_array_equal(mask, road_mask(near, tile))
    np.testing.assert_array_equal(mask, road_mask(clipped, tile))


def test_shift_by_a_pixel_shifts_the_mask() -> None:
    tile = GRID.tile(-400, 900)
    left, bottom, _, _ = tile.bounds
    line = shapely.LineString([(left + 1.23, bottom + 2.34), (left + 17.1, bottom + 13.7)])
    lines = gpd.GeoDataFrame({"width": [4.0]}, geometry=[line], crs=UTM)
    moved = lines.set_geometry(lines.translate(0.6, 0))
    here, there = (road_mask(road_surfaces(each, UTM).surfaces, tile) for each in (lines, moved))
    assert here.any()
    np.testing.assert_array_equal(there[:, 1:], here[:, :-1])


def test_tile_without_roads_is_zero() -> None:
    line = shapely.LineString([(0, 0), (1, 1)])
    surfaces = road_surfaces(gpd.GeoDataFrame(geometry=[line], crs=UTM), UTM).surfaces
    mask = road_mask(surfaces, GRID.tile(-400, 900))
    assert mask.dtype == np.uint8
    assert mask.shape == (32, 32)
    assert not mask.any()


def test_surfaces_in_another_crs_are_refused() -> None:
    surfaces = gpd.GeoDataFrame(geometry=[shapely.box(0, 0, 1, 1)], crs=3857)
    with pytest.raises(InputError, match="features are in EPSG:3857"):
        road_mask(surfaces, GRID.tile(0, 0))


@pytest.fixture(scope="module")
def real_tiles() -> tuple[gpd.GeoDataFrame, list[Path]]:
    """Digitized roads, and the images that they were digitized on, of the validation places."""
    root = Path(__file__).parents[2].parent / "shared" / "data"
    folder = Path(os.environ.get("RSAUG_DATA", root)) / "naip-roads"
    if not folder.is_dir():
        pytest.skip(f"no tiles in {folder}; set RSAUG_DATA to the folder that holds naip-roads")
    lines = read_vectors(folder / "roads.geojson")
    lines = lines[lines["split"] == "val"]
    index = pd.read_csv(folder / "index.csv").merge(
        lines[["place", "image_year"]].drop_duplicates(),
        left_on=["place", "year"],
        right_on=["place", "image_year"],
    )
    return lines, [folder / "rgb" / f"{name}.tif" for name in index["id"]]


def test_real_masks_are_an_independent_burn(
    real_tiles: tuple[gpd.GeoDataFrame, list[Path]],
) -> None:
    lines, images = real_tiles
    for image in images[:10]:
        tile = Tile.from_raster(image)
        with rasterio.open(image) as src:
            roads = lines[lines["highway"].notna()].to_crs(src.crs)
            surfaces = roads.buffer(roads["width"] / 2, quad_segs=8)
            outside = rasterio.features.geometry_mask(surfaces, src.shape, src.transform)
        mask = road_mask(road_surfaces(lines, tile.crs).surfaces, tile)
        np.testing.assert_array_equal(mask == 1, ~outside)


def test_real_roads_are_where_nothing_grows(
    real_tiles: tuple[gpd.GeoDataFrame, list[Path]],
) -> None:
    """Less vegetation (NDVI) under the mask than beside it, on nine of ten tiles."""
    lines, images = real_tiles
    barer = []
    for image in images:
        tile = Tile.from_raster(image)
        mask = road_mask(road_surfaces(lines, tile.crs).surfaces, tile).astype(bool)
        with rasterio.open(image) as src:
            red = src.read(1).astype(float)
        with rasterio.open(image.parents[1] / "nir" / image.name) as src:
            infrared = src.read(1).astype(float)
        ndvi = (infrared - red) / (infrared + red + 1)
        if mask.any():
            barer.append(ndvi[mask].mean() < ndvi[~mask].mean())
    assert len(barer) > 30
    assert np.mean(barer) > 0.9
