"""The road control: seams, margins, and real roads on real tiles."""

from __future__ import annotations

import itertools
import os
import random
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
from numpy.typing import NDArray
from pyproj import CRS
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
    roads = road_surfaces(data.draw(road_lines(whole)), UTM)
    mosaic = np.block([[road_mask(roads, tile) for tile in row] for row in tiles])
    expected = rasterio.features.rasterize(
        roads.surfaces.geometry, whole.shape, transform=whole.transform, default_value=1
    )
    np.testing.assert_array_equal(mosaic, expected)


@settings(deadline=None, max_examples=20)
@given(st.data())
def test_roads_elsewhere_change_nothing(data: st.DataObject) -> None:
    tile = GRID.tile(-400, 900)
    lines = data.draw(road_lines(tile))
    roads = road_surfaces(lines, UTM)
    near = roads.surfaces.index[roads.surfaces.intersects(tile.polygon)]
    there = road_surfaces(lines.loc[near], UTM, allow_none=True)
    np.testing.assert_array_equal(road_mask(roads, tile), road_mask(there, tile))


@settings(deadline=None, max_examples=30)
@given(st.data())
def test_splitting_a_line_within_a_segment_changes_nothing(data: st.DataObject) -> None:
    tile = GRID.tile(-400, 900)
    lines = data.draw(road_lines(tile))
    share = data.draw(st.floats(0.2, 0.8))

    def halves(line: shapely.LineString) -> shapely.MultiLineString:
        xy = shapely.get_coordinates(line)
        middle = xy[0] + share * (xy[1] - xy[0])
        return shapely.MultiLineString([[xy[0], middle], [middle, *xy[1:]]])

    split = lines.set_geometry([halves(line) for line in lines.geometry], crs=UTM)
    split = split.explode(ignore_index=True)
    whole, parts = (road_mask(road_surfaces(each, UTM), tile) for each in (lines, split))
    # The point between is rounded to a nanometre, and so may be what lies on an edge to that.
    near = near_edge(lines, tile, 1e-6)
    np.testing.assert_array_equal(whole[~near], parts[~near])


@settings(deadline=None, max_examples=30)
@given(st.data())
def test_splitting_a_line_at_a_bend_moves_the_edge_by_no_more_than_a_chord(
    data: st.DataObject,
) -> None:
    """GEOS draws the arc of a bend and that of an end with other corners on the same circle."""
    tile = GRID.tile(-400, 900)
    lines = data.draw(road_lines(tile))
    split = lines.set_geometry(
        [
            shapely.MultiLineString(list(itertools.pairwise(shapely.get_coordinates(line))))
            for line in lines.geometry
        ],
        crs=UTM,
    ).explode(ignore_index=True)
    whole, parts = (road_mask(road_surfaces(each, UTM), tile) for each in (lines, split))
    radius = lines["width"].max() / 2
    near = near_edge(lines, tile, radius * (1 - np.cos(np.pi / 32)) + 1e-6)
    np.testing.assert_array_equal(whole[~near], parts[~near])


def near_edge(lines: gpd.GeoDataFrame, tile: Tile, margin: float) -> NDArray[np.bool_]:
    """Which pixels' centres are that near to where a road of its exact width would end."""
    rows, cols = np.mgrid[0.5 : tile.shape[0], 0.5 : tile.shape[1]]
    left, _, _, top = tile.bounds
    points = shapely.points(left + cols * tile.transform.a, top - rows * tile.transform.a)
    near = np.zeros(tile.shape, dtype=bool)
    for line, width in zip(lines.geometry, lines["width"], strict=True):
        near |= np.abs(shapely.distance(points, line) - width / 2) <= margin
    return near


@settings(deadline=None, max_examples=20)
@given(st.data(), st.randoms(use_true_random=False))
def test_order_of_features_changes_nothing(data: st.DataObject, chance: random.Random) -> None:
    tile = GRID.tile(-400, 900)
    lines = data.draw(road_lines(tile))
    order = chance.sample(range(len(lines)), len(lines))
    here, there = (road_mask(road_surfaces(f, UTM), tile) for f in (lines, lines.iloc[order]))
    np.testing.assert_array_equal(here, there)


def test_shift_by_a_pixel_shifts_the_mask() -> None:
    tile = GRID.tile(-400, 900)
    left, bottom, _, _ = tile.bounds
    line = shapely.LineString([(left + 1.23, bottom + 2.34), (left + 17.1, bottom + 13.7)])
    lines = gpd.GeoDataFrame({"width": [4.0]}, geometry=[line], crs=UTM)
    moved = lines.set_geometry(lines.translate(0.6, 0))
    here, there = (road_mask(road_surfaces(each, UTM), tile) for each in (lines, moved))
    assert here.any()
    np.testing.assert_array_equal(there[:, 1:], here[:, :-1])


def test_tile_without_roads_is_zero() -> None:
    line = shapely.LineString([(0, 0), (1, 1)])
    roads = road_surfaces(gpd.GeoDataFrame(geometry=[line], crs=UTM), UTM)
    mask = road_mask(roads, GRID.tile(-400, 900))
    assert mask.dtype == np.uint8
    assert mask.shape == (32, 32)
    assert not mask.any()


def test_roads_in_another_crs_are_refused() -> None:
    line = shapely.LineString([(0, 0), (1, 1)])
    mercator = CRS.from_epsg(3857)
    roads = road_surfaces(gpd.GeoDataFrame(geometry=[line], crs=mercator), mercator)
    with pytest.raises(InputError, match="features are in EPSG:3857"):
        road_mask(roads, GRID.tile(0, 0))


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
        mask = road_mask(road_surfaces(lines, tile.crs), tile)
        np.testing.assert_array_equal(mask == 1, ~outside)


def test_real_roads_are_where_nothing_grows(
    real_tiles: tuple[gpd.GeoDataFrame, list[Path]],
) -> None:
    """Less vegetation (NDVI) under the mask than beside it, on nine of ten tiles."""
    lines, images = real_tiles
    barer = []
    for image in images:
        tile = Tile.from_raster(image)
        mask = road_mask(road_surfaces(lines, tile.crs), tile).astype(bool)
        with rasterio.open(image) as src:
            red = src.read(1).astype(float)
        with rasterio.open(image.parents[1] / "nir" / image.name) as src:
            infrared = src.read(1).astype(float)
        ndvi = (infrared - red) / (infrared + red + 1)
        if mask.any():
            barer.append(ndvi[mask].mean() < ndvi[~mask].mean())
    assert len(barer) > 30
    assert np.mean(barer) > 0.9
