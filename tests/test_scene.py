"""A scene: which tiles hold a road, and what the layers say about each."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from painter import CRS, NORTH, WEST, write_roads, write_wood
from shapely.affinity import translate
from shapely.geometry import LineString, Point, Polygon, box

from rsaug.conditions.landcover import CLASSES, PALETTE
from rsaug.conditions.road import road_mask
from rsaug.errors import InputError
from rsaug.grid import Tile, TileGrid, parse_crs, to_lonlat
from rsaug.layers import Whole
from rsaug.options import SceneOptions
from rsaug.roads import road_surfaces
from rsaug.scene import Scene
from rsaug.scene_reader import read_scene

UTM = parse_crs(CRS)


def read(roads: Path, **options: Any) -> Scene:
    """The scene of roads on a grid of 128 px at 0.5 m, unless the options say otherwise."""
    return read_scene(SceneOptions(str(roads), **{"gsd": 0.5, "tile_size": 128, **options}))


def lonlat(bounds: tuple[float, float, float, float]) -> str:
    """A box in metres as an area of interest in degrees."""
    west, south, east, north = to_lonlat(UTM).transform_bounds(*bounds)
    return f"{west!r},{south!r},{east!r},{north!r}"


def places(tiles: list[Tile]) -> set[tuple[int, int]]:
    return {(tile.row, tile.col) for tile in tiles}


def write_area(path: Path, *shapes: shapely.Geometry) -> str:
    gpd.GeoSeries(shapes, crs=CRS).to_file(path)
    return str(path)


@pytest.fixture
def roads(tmp_path: Path) -> Path:
    return write_roads(tmp_path / "streets.gpkg")


# To the millimetre, so that two points are still two after they are moved.
coordinate = st.integers(-80_000, 80_000).map(lambda mm: mm / 1000)
line = st.lists(st.tuples(coordinate, coordinate), min_size=2, max_size=4, unique=True)


@settings(max_examples=60, deadline=None)
@given(
    lines=st.lists(line, min_size=1, max_size=4),
    width=st.sampled_from(["0.3", "1", "2.5", "7", "30"]),
    gsd=st.sampled_from([0.5, 2.0, 5.0]),
)
def test_tiles_are_exactly_those_with_a_road_pixel(
    lines: list[list[tuple[float, float]]], width: str, gsd: float
) -> None:
    shapes = [translate(LineString(xy), WEST, NORTH) for xy in lines]
    frame = gpd.GeoDataFrame({"width": [width] * len(shapes)}, geometry=shapes, crs=CRS)
    roads = road_surfaces(frame, UTM)
    scene = Scene(TileGrid(UTM, gsd, 16), Whole(roads))
    around = scene.grid.tiles(box(*roads.surfaces.total_bounds).buffer(40))
    expected = [tile for tile in around if road_mask(roads, tile).any()]
    if expected:
        assert scene.tiles() == expected
    else:
        with pytest.raises(InputError, match="holds a road"):
            scene.tiles()


def test_without_an_area_all_roads_count(roads: Path) -> None:
    scene = read(roads)
    assert scene.grid.crs == UTM
    assert len(scene.tiles()) == 12
    assert scene.aoi is None


def test_an_area_as_numbers_or_as_a_file_takes_what_it_touches(roads: Path, tmp_path: Path) -> None:
    corner = (WEST + 70, NORTH - 100, WEST + 100, NORTH - 20)
    for aoi in (lonlat(corner), write_area(tmp_path / "aoi.gpkg", box(*corner))):
        scene = read(roads, aoi=aoi)
        (first, second) = scene.tiles()
        assert (second.row, second.col) == (first.row + 1, first.col)
        everything = read(roads)
        # The tile is made whole: roads beyond the area are on its mask, too.
        np.testing.assert_array_equal(scene.controls(first)[0], everything.controls(first)[0])


def test_an_area_on_the_edges_of_tiles_takes_no_neighbours(roads: Path, tmp_path: Path) -> None:
    exact = box(WEST + 64, NORTH - 128, WEST + 128, NORTH - 64)
    aoi = write_area(tmp_path / "aoi.gpkg", exact)
    (tile,) = read(roads, aoi=aoi).tiles()
    assert tile.bounds == pytest.approx(exact.bounds)


def test_a_bent_area_in_several_parts(roads: Path, tmp_path: Path) -> None:
    hook = Polygon([(0, 0), (250, 0), (250, -10), (10, -10), (10, -180), (0, -180)])
    far = box(200, -180, 210, -170)
    parts = [translate(part, WEST, NORTH) for part in (hook, far)]
    aoi = write_area(tmp_path / "aoi.gpkg", *parts)
    scene = read(roads, aoi=aoi)
    everything = read(roads).tiles()
    expected = [t for t in everything if any(p.intersects(t.polygon.buffer(-0.1)) for p in parts)]
    assert places(scene.tiles()) == places(expected)
    assert len(expected) == 7


@pytest.mark.parametrize(
    ("aoi", "message"),
    [
        ("1,2,3", "does not exist"),
        ("5,0,4,1", "west below east"),
        ("0,-95,1,1", "west below east"),
        ("nan,0,1,1", "west below east"),
        ("a,0,1,1", "neither a file nor four numbers"),
        ("1e400,0,1,1", "west below east"),
        ("24.0,60.0,24.1,60.1", "no feature within the area"),
    ],
)
def test_areas_that_cannot_be_used_are_refused(roads: Path, aoi: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        read(roads, aoi=aoi).tiles()


def test_an_area_beside_the_roads_is_refused(roads: Path, tmp_path: Path) -> None:
    beside = write_area(tmp_path / "aoi.gpkg", box(WEST + 300, NORTH, WEST + 310, NORTH + 5))
    with pytest.raises(InputError, match=r"No tile of the area of interest holds a road"):
        read(roads, aoi=beside).tiles()
    points = write_area(tmp_path / "points.gpkg", Point(WEST, NORTH))
    with pytest.raises(InputError, match="holds no area, only Point"):
        read(roads, aoi=points)


def test_segmentation_is_given_only_with_areas(roads: Path, tmp_path: Path) -> None:
    wood = write_wood(tmp_path / "wood.gpkg")
    plain = read(roads)
    both = read(roads, landcover=str(wood))
    houses = read(roads, buildings=str(wood))
    tile = plain.tiles()[0]
    mask, controls = plain.controls(tile)
    assert controls.present == (False, False, False, True, False, False)
    assert not controls.slot("seg").any()
    np.testing.assert_array_equal(controls.slot("road"), np.stack([mask] * 3))
    for scene, name in ((both, "forest"), (houses, "building")):
        _, controls = scene.controls(tile)
        assert controls.present == (False, False, False, True, False, True)
        colours = np.where(mask == 1, CLASSES.index("road"), CLASSES.index(name))
        expected = np.moveaxis(PALETTE[colours], -1, 0) / np.float32(255)
        np.testing.assert_array_equal(controls.slot("seg"), expected)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"gsd": 0.0}, "GSD must be a positive number"),
        ({"gsd": float("nan")}, "GSD must be a positive number"),
        ({"tile_size": 0}, "tile size"),
        ({"crs": "EPSG:4326"}, "geographic CRS"),
        ({"crs": "EPSG:0"}, "not a known CRS"),
    ],
)
def test_grids_that_cannot_be_are_refused(
    roads: Path, options: dict[str, object], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        read(roads, **options)
