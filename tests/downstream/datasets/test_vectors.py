"""Vector layers as masks."""

from __future__ import annotations

from pathlib import Path

import geopandas as gpd
import numpy as np
import pytest
import shapely
import torch
from pyproj import CRS
from torchgeo.datasets import RasterDataset
from torchgeo.samplers import PreChippedGeoSampler

from rsaug.conditions.road import road_mask
from rsaug.downstream.datasets import DataNotFound, RoadVectors
from rsaug.downstream.datasets.contract import Query, queried_grid
from rsaug.errors import InputError
from rsaug.grid import Tile, TileGrid
from rsaug.roads import road_surfaces
from rsaug.vectors import read_vectors

UTM = CRS.from_epsg(32635)
# rasterio multiplies transforms in a way that affine 3.1 gives up. torchgeo 0.10 has other names
# for samplers than 0.8, and does what newer geopandas and pandas give up.
pytestmark = [
    pytest.mark.filterwarnings("ignore:Use `@` matmul:PendingDeprecationWarning"),
    pytest.mark.filterwarnings("ignore:(Use |The inplace):DeprecationWarning"),
]


@pytest.fixture(scope="module")
def helsinki(examples_dir: Path) -> Path:
    """Roads of the example."""
    return examples_dir / "helsinki" / "roads.geojson"


@pytest.fixture(scope="module")
def roads(helsinki: Path) -> RoadVectors:
    """The example, read once."""
    return RoadVectors(helsinki)


def query_of(tile: Tile, roads: RoadVectors) -> Query:
    left, bottom, right, top = tile.bounds
    return slice(left, right), slice(bottom, top), roads.bounds[2]


def tile_in(roads: RoadVectors) -> Tile:
    x, y, _ = roads.bounds
    middle = shapely.Point((x.start + x.stop) / 2, (y.start + y.stop) / 2)
    return next(TileGrid(UTM, 0.6, 128).tiles(middle))


def test_mask_is_that_of_the_project(roads: RoadVectors, helsinki: Path) -> None:
    tile = tile_in(roads)
    assert roads.crs == UTM
    mask = roads[query_of(tile, roads)]["mask"]
    expected = road_mask(road_surfaces(read_vectors(helsinki), UTM), tile)
    assert mask.dtype == torch.int64
    assert 0 < mask.sum() < mask.numel()
    np.testing.assert_array_equal(mask.numpy(), expected)


def test_degrees_give_the_same_roads(helsinki: Path) -> None:
    step = 1e-5
    roads = RoadVectors(helsinki, crs=CRS.from_epsg(4326), res=step)
    x, y = slice(24.940, 24.944, step), slice(60.166, 60.168, step)
    found = roads[x, y, roads.bounds[2]]["mask"].numpy()
    grid = queried_grid((x, y, roads.bounds[2]), roads.crs)
    rows, cols = np.indices(grid.shape)
    lon = grid.transform.c + grid.transform.a * (cols.ravel() + 0.5)
    lat = grid.transform.f + grid.transform.e * (rows.ravel() + 0.5)
    surfaces = road_surfaces(read_vectors(helsinki), UTM).surfaces.to_crs(4326)
    inside = np.zeros(found.size, dtype=bool)
    points = shapely.points(lon, lat)
    inside[surfaces.sindex.query(points, predicate="intersects")[0]] = True
    assert (found.ravel() == inside).mean() > 0.9999


def test_goes_with_imagery(painted: Path) -> None:
    streets = painted.parent / "streets.gpkg"
    imagery = RasterDataset(painted / "images")
    query = next(iter(PreChippedGeoSampler(imagery)))
    both = imagery & RoadVectors(streets)
    with_masks = RasterDataset(painted / "masks")
    with_masks.is_image = False
    sample = both[query]
    assert sample["image"].shape == (3, 64, 64)
    assert torch.equal(sample["mask"], with_masks[query]["mask"])


def test_one_width_for_all(tmp_path: Path) -> None:
    line = shapely.LineString([(400_000, 6_700_000), (400_400, 6_700_000)])
    frame = gpd.GeoDataFrame(
        {"highway": ["motorway", "footway"], "width": ["20", None]},
        geometry=[line, shapely.transform(line, lambda xy: np.add(xy, [0, 50]))],
        crs=UTM,
    )
    frame.to_file(tmp_path / "roads.gpkg")
    where = slice(400_100, 400_200, 1.0), slice(6_699_960, 6_700_060, 1.0)
    for width_m in (4.0, 30.0, 120.0):
        roads = RoadVectors(tmp_path / "roads.gpkg", crs=UTM, width_m=width_m)
        mask = roads[*where, roads.bounds[2]]["mask"]
        assert mask.sum(0).unique().tolist() == [min(width_m, 100)]
    with pytest.raises(InputError, match="positive number of metres"):
        RoadVectors(tmp_path / "roads.gpkg", width_m=0)


def test_beyond_the_layer(roads: RoadVectors) -> None:
    with pytest.raises(IndexError, match="not found in index"):
        roads[slice(0, 100), slice(0, 100), roads.bounds[2]]


def test_within_the_layer_there_may_be_no_road(roads: RoadVectors) -> None:
    x, y, t = roads.bounds
    corner = roads[slice(x.start + 1, x.start + 4), slice(y.start + 1, y.start + 4), t]
    assert corner["mask"].shape == (5, 5)
    assert corner["mask"].sum() == 0


def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(DataNotFound, match="give the path of one"):
        RoadVectors(tmp_path / "roads.gpkg")


def test_no_road_in_the_layer(tmp_path: Path) -> None:
    frame = gpd.GeoDataFrame(
        {"highway": ["footway"]}, geometry=[shapely.LineString([(24, 60), (24.1, 60)])], crs=4326
    )
    frame.to_file(tmp_path / "paths.gpkg")
    with pytest.raises(InputError, match="holds no road"):
        RoadVectors(tmp_path / "paths.gpkg")


def test_no_crs(tmp_path: Path) -> None:
    frame = gpd.GeoDataFrame(geometry=[shapely.LineString([(0, 0), (1, 1)])])
    with pytest.warns(UserWarning, match="crs"):
        frame.to_file(tmp_path / "nowhere.gpkg")
    with pytest.raises(InputError, match="CRS"):
        RoadVectors(tmp_path / "nowhere.gpkg")


def test_a_crs_elsewhere(helsinki: Path) -> None:
    # Far outside of the zone of Japan nothing is burned wrongly: the place is not found.
    roads = RoadVectors(helsinki)
    roads.crs = CRS.from_epsg(32654)
    with pytest.raises(IndexError, match="not found in index"):
        roads[slice(385_000, 385_100), slice(6_671_000, 6_671_100), roads.bounds[2]]
