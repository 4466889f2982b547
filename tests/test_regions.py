"""Where a control holds."""

from pathlib import Path

import geopandas as gpd
import numpy as np
import pytest
import rasterio
import shapely
from affine import Affine
from pyproj import CRS

from rsaug.errors import InputError
from rsaug.grid import Tile, TileGrid
from rsaug.regions import read_region

UTM = CRS.from_epsg(32635)
GRID = TileGrid(UTM, 0.5, 64)
TILE = GRID.tile(-200_000, 12_000)


def raster(path: Path, values: np.ndarray, tile: Tile = TILE, **options: object) -> Path:
    rows, cols = values.shape
    with rasterio.open(
        path,
        "w",
        driver="GTiff",
        width=cols,
        height=rows,
        count=1,
        dtype=values.dtype,
        crs=tile.crs,
        transform=tile.transform,
        **options,
    ) as dst:
        dst.write(values, 1)
    return path


def test_areas_hold_where_pixel_centres_lie_in_them(tmp_path: Path) -> None:
    left, _, _, top = TILE.bounds
    circle = shapely.Point(left + 13.3, top - 11.7).buffer(9)
    path = tmp_path / "parks.geojson"
    gpd.GeoSeries([circle], crs=UTM).to_crs(4326).to_file(path)
    region = read_region(str(path), UTM).at(TILE)
    x, y = TILE.transform @ tuple(np.meshgrid(np.arange(64) + 0.5, np.arange(64) + 0.5))
    expected = shapely.contains_xy(circle, x, y)
    assert region.dtype == np.float32
    # Degrees in the file move a border by millionths of a pixel.
    assert (region != expected).mean() < 0.002
    assert region.any()


def test_whole_numbers_are_a_mask_and_real_ones_weights(tmp_path: Path) -> None:
    numbers = np.random.default_rng(0).integers(0, 3, (64, 64), dtype=np.uint8)
    mask = read_region(str(raster(tmp_path / "mask.tif", numbers)), UTM).at(TILE)
    np.testing.assert_array_equal(mask, numbers > 0)
    weights = np.random.default_rng(0).random((64, 64), dtype=np.float32)
    region = read_region(str(raster(tmp_path / "weights.tif", weights)), UTM).at(TILE)
    np.testing.assert_array_equal(region, weights)


def test_outside_a_raster_and_without_data_it_does_not_hold(tmp_path: Path) -> None:
    weights = np.full((32, 64), 0.5, dtype=np.float32)
    weights[:4] = -1
    path = raster(tmp_path / "weights.tif", weights, nodata=-1)
    region = read_region(str(path), UTM).at(TILE)
    assert (region[:4] == 0).all()
    assert (region[4:32] == 0.5).all()
    assert (region[32:] == 0).all()


def test_weights_lie_in_0_to_1(tmp_path: Path) -> None:
    path = raster(tmp_path / "weights.tif", np.full((64, 64), 1.5, dtype=np.float32))
    region = read_region(str(path), UTM)
    with pytest.raises(InputError, match=r"ranges from 1\.5 to 1\.5"):
        region.at(TILE)


def test_a_region_needs_areas(tmp_path: Path) -> None:
    path = tmp_path / "points.geojson"
    gpd.GeoSeries([shapely.Point(25, 60)], crs=4326).to_file(path)
    with pytest.raises(InputError, match="a region is where areas are"):
        read_region(str(path), UTM)


def test_a_raster_needs_a_place(tmp_path: Path) -> None:
    path = tmp_path / "mask.tif"
    with rasterio.open(
        path, "w", driver="GTiff", width=8, height=8, count=1, dtype="uint8",
        transform=Affine(0.5, 0, 0, 0, -0.5, 0),
    ) as dst:  # fmt: skip
        dst.write(np.ones((1, 8, 8), np.uint8))
    with pytest.raises(InputError, match="no CRS"):
        read_region(str(path), UTM)
