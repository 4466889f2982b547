"""Grids: algebra, places, and what is refused."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pytest
import rasterio
import shapely
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st
from odc.geo.geobox import GeoBox
from pyproj import CRS
from strategies import UTM, areas, grids

from rsaug.errors import InputError
from rsaug.grid import (
    Tile,
    TileGrid,
    crs_name,
    linear_unit_m,
    parse_crs,
    point_scale,
    to_lonlat,
    utm_crs,
)

POSITIONS = st.tuples(st.integers(-50_000, 50_000), st.integers(-50_000, 50_000))
HELSINKI = (24.93, 60.16, 24.95, 60.18)


def pixel_index(grid: TileGrid, tile: Tile) -> tuple[float, float]:
    """(row, col) of the tile's first pixel, counted from the origin of the CRS."""
    return -tile.transform.f / grid.resolution, tile.transform.c / grid.resolution


@given(grids(), POSITIONS)
def test_tiles_begin_on_whole_pixels_of_the_crs(grid: TileGrid, position: tuple[int, int]) -> None:
    row, col = position
    first = pixel_index(grid, grid.tile(row, col))
    assert first == pytest.approx((row * grid.stride, col * grid.stride), rel=0, abs=1e-6)


@given(grids(), POSITIONS)
def test_neighbours_meet_to_the_pixel(grid: TileGrid, position: tuple[int, int]) -> None:
    row, col = position
    tile, east, south = grid.tile(row, col), grid.tile(row, col + 1), grid.tile(row + 1, col)
    shared = grid.overlap * grid.resolution
    pixel = pytest.approx(shared, rel=0, abs=1e-6 * grid.resolution)
    assert tile.bounds[2] - east.bounds[0] == pixel
    assert south.bounds[3] - tile.bounds[1] == pixel


@settings(deadline=None)
@given(st.data())
def test_tiles_of_two_areas_agree(data: st.DataObject) -> None:
    """A tile that two areas share is the same tile: same name, same pixels."""
    grid = data.draw(grids())
    area = data.draw(areas(grid))
    moved = shapely.transform(area, lambda xy: xy + grid.tile_size * grid.resolution)
    tiles = {tile.name: tile for tile in grid.tiles(area)}
    others = {tile.name: tile for tile in grid.tiles(moved)}
    both = shapely.intersection(area, moved)
    if both.area > 0:
        assert {tile.name for tile in grid.tiles(both)} <= set(tiles) & set(others)
    assert all(tiles[name] == others[name] for name in set(tiles) & set(others))


@settings(deadline=None)
@given(st.data())
def test_tiles_are_those_that_overlap_in_row_major_order(data: st.DataObject) -> None:
    grid = data.draw(grids())
    area = data.draw(areas(grid))
    middle = next(grid.tiles(area.centroid))
    near = [
        grid.tile(middle.row + row, middle.col + col)
        for row in range(-12, 13)
        for col in range(-12, 13)
    ]
    # A pixel's thousandth is the width of an edge, so overlaps of about that size are left open.
    edge = grid.resolution**2 * grid.tile_size * 2e-3
    overlap = {tile.name: shapely.intersection(tile.polygon, area).area for tile in near}
    tiles = list(grid.tiles(area))
    names = [tile.name for tile in tiles]
    assert {name for name, size in overlap.items() if size > edge} <= set(names)
    assert all(overlap[name] > 0 for name in names)
    assert [(tile.row, tile.col) for tile in tiles] == sorted({(t.row, t.col) for t in tiles})


@settings(deadline=None)
@given(st.data())
def test_tiles_over_shapes_are_the_tiles_of_each(data: st.DataObject) -> None:
    grid = data.draw(grids())
    first = data.draw(areas(grid))
    moved = shapely.transform(first, lambda xy: xy + 3.3 * grid.tile_size * grid.resolution)
    shapes = np.array([first, moved, first.boundary, None, shapely.Point(), first.centroid])
    each = {tile for shape in shapes if shape is not None for tile in grid.tiles(shape)}
    assert list(grid.tiles_over(shapes)) == sorted(each, key=lambda tile: (tile.row, tile.col))


def test_no_shapes_lie_on_no_tiles() -> None:
    grid = TileGrid(UTM, 1.0, 64)
    assert list(grid.tiles_over(np.array([], dtype=object))) == []
    assert list(grid.tiles(shapely.Polygon())) == []


@pytest.mark.parametrize("gsd_m", [0.1, 0.3, 0.6, 1 / 3])
def test_the_outline_of_a_tile_holds_that_tile_alone(gsd_m: float) -> None:
    """Also after its numbers went through text with a micrometre's rounding."""
    tile = TileGrid(UTM, gsd_m, 256).tile(-43_512, 2_501)
    outline = shapely.box(*(round(value, 6) for value in tile.bounds))
    assert list(TileGrid(UTM, gsd_m, 256).tiles(outline)) == [tile]


def test_a_line_on_a_shared_edge_touches_both_tiles() -> None:
    grid = TileGrid(UTM, 1.0, 64)
    line = shapely.LineString([(640, 6400 + 10), (640, 6400 + 20)])
    assert [tile.col for tile in grid.tiles(line)] == [9, 10]


def test_tile_says_where_it_is() -> None:
    tile = TileGrid(parse_crs("EPSG:32635"), 0.6, 256).tile(-43_512, 2_501)
    assert tile.name == "r-043512_c002501"
    assert tile.shape == (256, 256)
    assert tile.bounds == pytest.approx((384153.6, 6683289.6, 384307.2, 6683443.2))
    assert tile.polygon.area == pytest.approx(153.6**2)
    assert tile.gsd_m == pytest.approx(0.6)
    assert tile.lonlat == pytest.approx((24.907106, 60.270439), abs=1e-6)
    assert tile.crs == UTM
    assert hash(tile) == hash(TileGrid(UTM, 0.6, 256).tile(-43_512, 2_501))


@given(POSITIONS, POSITIONS)
def test_names_are_unique_and_safe(one: tuple[int, int], two: tuple[int, int]) -> None:
    grid = TileGrid(UTM, 1.0, 8)
    names = grid.tile(*one).name, grid.tile(*two).name
    assert (names[0] == names[1]) == (one == two)
    assert set(names[0]) <= set("0123456789-_cr")


@pytest.mark.parametrize(
    ("row", "col", "name"),
    [
        (0, 0, "r000000_c000000"),
        (-1, 1, "r-000001_c000001"),
        (1, -1, "r000001_c-000001"),
        (1_234_567, -1_234_567, "r1234567_c-1234567"),
    ],
)
def test_names(row: int, col: int, name: str) -> None:
    assert TileGrid(UTM, 1.0, 8).tile(row, col).name == name


def test_gsd_in_metres_in_a_crs_in_feet() -> None:
    """EPSG:2263 counts in US survey feet of 1200/3937 m."""
    tile = TileGrid(parse_crs("EPSG:2263"), 0.6, 256).tile(0, 0)
    assert tile.transform.a == pytest.approx(0.6 * 3937 / 1200)
    assert tile.gsd_m == pytest.approx(0.6)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"gsd_m": 0}, "GSD must be a positive"),
        ({"gsd_m": -0.6}, "GSD must be a positive"),
        ({"gsd_m": math.nan}, "GSD must be a positive"),
        ({"gsd_m": math.inf}, "GSD must be a positive"),
        ({"tile_size": 0}, "tile size must be at least one"),
        ({"overlap": 256}, "below the tile size of 256"),
        ({"overlap": -1}, "at least 0"),
        ({"crs": CRS.from_epsg(4326)}, "EPSG:4326 is a geographic CRS"),
        ({"crs": CRS.from_epsg(4978)}, "EPSG:4978 is not a projected CRS"),
    ],
)
def test_what_makes_no_grid_is_refused(change: dict[str, Any], reason: str) -> None:
    arguments: dict[str, Any] = {"crs": UTM, "gsd_m": 0.6, "tile_size": 256, "overlap": 0} | change
    with pytest.raises(InputError, match=reason):
        TileGrid(**arguments)


def test_the_smallest_and_the_largest_tiles_make_a_grid() -> None:
    for size, overlap in ((1, 0), (8192, 8191)):
        grid = TileGrid(UTM, 0.5, size, overlap)
        assert grid.tile(0, 0).shape == (size, size)
        assert grid.stride == size - overlap
    with pytest.raises(InputError, match="at most 8192, not 8193"):
        TileGrid(UTM, 0.5, 8193)


def test_unknown_crs_is_refused() -> None:
    with pytest.raises(InputError, match="'EPSG:1' is not a known CRS"):
        parse_crs("EPSG:1")
    with pytest.raises(InputError, match="EPSG:4326 is a geographic CRS"):
        parse_crs(4326)


def test_units_of_a_crs() -> None:
    assert linear_unit_m(CRS.from_user_input("EPSG:32635+5773")) == 1
    metre = 'LENGTHUNIT["metre",1]'
    before, north, after = UTM.to_wkt("WKT2_2019").partition('AXIS["(N)"')
    mixed = CRS.from_wkt(before + north + after.replace(metre, 'LENGTHUNIT["foot",0.3048]', 1))
    with pytest.raises(InputError, match="axes of different units"):
        linear_unit_m(mixed)


def test_a_crs_without_a_code_has_its_own_name() -> None:
    own = CRS.from_dict({"proj": "laea", "lat_0": 1, "lon_0": 2})
    assert (crs_name(UTM), crs_name(own)) == ("EPSG:32635", own.name)


def test_a_crs_of_another_planet_has_no_degrees_here() -> None:
    with pytest.raises(InputError, match="IAU_2015:49910 has no relation to longitude"):
        to_lonlat(CRS.from_user_input("IAU_2015:49910"))


@pytest.mark.parametrize(
    ("bounds", "epsg"),
    [
        (HELSINKI, 32635),
        ((-122, 37, -121, 38), 32610),
        ((151, -34, 152, -33), 32756),
        ((10, 85, 20, 86), 5041),
        ((10, -89, 20, -85), 5042),
        ((10, 83, 20, 85), 5041),
        ((10, -81, 20, -79), 5042),
        ((25, 60, 25, 60), 32635),
        ((179.5, -17, -179.1, -16), 32701),  # Fiji, across the antimeridian
        ((176, -17, -178, -16), 32760),
    ],
)
def test_utm_zone_of_a_box(bounds: tuple[float, float, float, float], epsg: int) -> None:
    assert utm_crs(bounds).to_epsg() == epsg


def test_utm_zone_of_features() -> None:
    west, south, east, north = HELSINKI
    points = gpd.GeoSeries.from_xy([west, east], [south, north], crs=4326)
    assert utm_crs(points) == points.estimate_utm_crs() == CRS.from_epsg(32635)
    assert utm_crs(points.to_crs(3857).to_frame("geometry")).to_epsg() == 32635
    fiji = gpd.GeoSeries.from_xy([179.9, -179.8], [-17, -17], crs=4326)
    assert utm_crs(fiji).to_epsg() == 32701


def test_utm_zone_needs_a_place() -> None:
    with pytest.raises(InputError, match="no CRS"):
        utm_crs(gpd.GeoSeries.from_xy([0], [0]))
    with pytest.raises(InputError, match="finite"):
        utm_crs(gpd.GeoSeries([shapely.Point()], crs=4326))


def test_point_scale_is_one_in_utm_and_grows_in_web_mercator() -> None:
    lon, lat = np.array([24.9, 24.9]), np.array([0.0, 60.0])
    assert point_scale(UTM, lon, lat).tolist() == [1.0, 1.0]
    # Mercator's point scale is the secant of the latitude, but for the flattening.
    assert point_scale(CRS.from_epsg(3857), lon, lat) == pytest.approx([1, 2], rel=0.01)
    lat = np.array([5.0, 10.0])
    expected = [1.0, 1 / np.cos(np.radians(10))]
    assert point_scale(CRS.from_epsg(3857), lon, lat) == pytest.approx(expected, abs=1e-4)
    assert point_scale(UTM, lon[:0], lat[:0]).shape == (0,)


def test_tile_from_raster(tmp_path: Path) -> None:
    path = tmp_path / "image.tif"
    tile = TileGrid(UTM, 0.6, 64).tile(-100, 100)
    with rasterio.open(
        path,
        "w",
        driver="GTiff",
        width=48,
        height=32,
        count=1,
        dtype="uint8",
        crs="EPSG:32635",
        transform=tile.transform,
    ):
        pass
    found = Tile.from_raster(path)
    assert (found.row, found.col, found.shape) == (0, 0, (32, 48))
    assert found.transform == tile.transform
    assert found.crs == UTM


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
def test_raster_without_a_place_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "image.png"
    with rasterio.open(path, "w", driver="PNG", width=8, height=8, count=1, dtype="uint8"):
        pass
    with pytest.raises(InputError, match="has no CRS"):
        Tile.from_raster(path)
    path.write_bytes(b"no image")
    with pytest.raises(InputError, match="cannot be read"):
        Tile.from_raster(path)


def test_a_raster_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    path.write_bytes(b"II*\0" + bytes(4))
    with pytest.raises(InputError, match=r"a.tif cannot be read as a raster \("):
        Tile.from_raster(path)
    path.write_bytes(b"no raster")
    with pytest.raises(InputError, match="check the name and the format"):
        Tile.from_raster(path)


@pytest.mark.parametrize(
    "transform",
    [
        Affine(1, 0, 0, 0, 1, 0),
        Affine(1, 0, 0, 0, -2, 0),
        Affine(0.8, 0.6, 0, 0.6, -0.8, 0),
        Affine(0, 1, 0, 1, 0, 0),
        Affine(0, 0, 0, 0, 0, 0),
        Affine(1, 0.1, 0, 0, -1, 0),
        Affine(1, 0, 0, 0.1, -1, 0),
        Affine(1, 0, np.nan, 0, -1, 0),
        Affine(1, 0, 0, 0, -1 - 1.5e-6, 0),
    ],
)
def test_pixels_that_are_not_square_and_north_up_are_refused(transform: Affine) -> None:
    with pytest.raises(InputError, match="square, north-up"):
        Tile.from_transform(transform, (8, 8), UTM)


def test_a_tile_is_square_to_a_millionth_and_in_a_projected_crs() -> None:
    transform = Affine(1, 0, 0, 0, -1 - 0.9e-6, 0)
    assert Tile.from_transform(transform, (8, 8), UTM).transform == transform
    with pytest.raises(InputError, match="geographic"):
        Tile.from_transform(Affine(1, 0, 0, 0, -1, 0), (8, 8), CRS.from_epsg(4326))
    with pytest.raises(InputError, match="needs a CRS"):
        Tile(0, 0, GeoBox((8, 8), transform, None)).crs  # noqa: B018


def test_a_line_across_a_country_takes_no_longer_than_its_tiles() -> None:
    """Its box holds 10,000 times the tiles that it touches, far too many to look at."""
    grid = TileGrid(UTM, 0.6, 256)
    line = shapely.LineString([(200_000, 6_600_000), (620_000, 7_200_000), (500_000, 7_700_000)])
    pieces = shapely.segmentize(line, 2000.0)
    xy = shapely.get_coordinates(pieces)
    short = shapely.linestrings(np.stack([xy[:-1], xy[1:]], axis=1))
    tiles = list(grid.tiles_over(np.array([line], dtype=object)))
    assert tiles == list(grid.tiles_over(short))
    assert grid.about(np.array([line])) == pytest.approx(len(tiles), rel=0.1)


def test_tiles_are_counted_by_area_and_outline() -> None:
    """Of a square of one tile 1 + 8 / pi, of a line of its length 4 / pi, and 1 more for each."""
    grid = TileGrid(UTM, 0.5, 64, overlap=24)
    shapes = [shapely.box(0, 0, 20, 20), shapely.LineString([(0, 0), (20, 0)]), shapely.Point(0, 0)]
    for shape, expected in zip(shapes, (4546, 2273, 1000), strict=True):
        assert grid.about(np.array([shape] * 1000 + [None])) == expected


def test_a_wide_area_is_counted_without_listing_it() -> None:
    grid = TileGrid(UTM, 0.1, 256)
    area = shapely.box(200_000, 6_000_000, 800_000, 7_000_000)
    assert grid.about(np.array([area])) == pytest.approx(600_000 * 1_000_000 / 25.6**2, rel=0.01)


def test_cutting_a_shape_up_loses_no_tile() -> None:
    grid = TileGrid(UTM, 1.0, 16)
    rng = np.random.default_rng(3)
    blob = (
        shapely.Point(300_000, 6_000_000)
        .buffer(700)
        .difference(
            shapely.union_all(
                shapely.buffer(
                    shapely.points(rng.uniform(-600, 600, (9, 2)) + np.array([3e5, 6e6])), 90
                )
            )
        )
    )
    assert list(grid.tiles_over(np.array([blob], dtype=object))) == list(grid.tiles(blob))
