"""Burning against brute force and rasterio, tile by tile, and where edges run through centres."""

from __future__ import annotations

from dataclasses import dataclass
from typing import get_args

import numpy as np
import pytest
import rasterio.features
import shapely
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from strategies import UTM, grids, road_lines

from rsaug.burning import Engine, burn, default_engine
from rsaug.grid import Tile, TileGrid
from rsaug.roads import road_surfaces

TILE = TileGrid(UTM, 0.6, 64).tile(-173_812, 10_023)
ENGINES = tuple(
    pytest.param(
        engine,
        marks=pytest.mark.skipif(
            engine == "rusterize" and default_engine() != "rusterize",
            reason="rusterize is not installed",
        ),
    )
    for engine in get_args(Engine)
)


def ones(shapes: NDArray[np.object_]) -> NDArray[np.uint8]:
    """The value 1 for each shape."""
    return np.ones(len(shapes), np.uint8)


def as_array(*shapes: shapely.Geometry) -> NDArray[np.object_]:
    """Shapes as an array of objects."""
    return np.array(shapes, dtype=object)


def squares(grid: TileGrid, row: int, col: int, side: int) -> tuple[Tile, list[list[Tile]]]:
    """A square of tiles, as one tile and one by one."""
    tiles = [[grid.tile(row + i, col + j) for j in range(side)] for i in range(side)]
    pixels = side * grid.tile_size
    return Tile.from_transform(tiles[0][0].transform, (pixels, pixels), grid.crs), tiles


def holding(shape: shapely.Geometry, tile: Tile) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Whether each pixel's centre is in the shape, and whether it is clear of the outline."""
    rows, cols = np.mgrid[0.5 : tile.shape[0], 0.5 : tile.shape[1]]
    left, _, _, top = tile.bounds
    centres = shapely.points(left + cols * tile.transform.a, top - rows * tile.transform.a)
    shapely.prepare(shape)
    clear = shapely.distance(centres, shape.boundary) > 1e-6 * tile.transform.a
    return shapely.contains(shape, centres), clear


@pytest.mark.parametrize("engine", ENGINES)
@settings(deadline=None, max_examples=30)
@given(st.data())
def test_burn_is_point_in_polygon_at_pixel_centres(engine: Engine, data: st.DataObject) -> None:
    tile = data.draw(grids()).tile(-20_000, 5_000)
    shapes = road_surfaces(data.draw(road_lines(tile)), tile.crs).shapes.geometry
    burned = burn(shapes, ones(shapes), tile, engine)
    inside, clear = zip(*(holding(shape, tile) for shape in shapes), strict=True)
    sure = np.all(clear, axis=0)
    np.testing.assert_array_equal(burned[sure], np.any(inside, axis=0)[sure])


@pytest.mark.parametrize("engine", ENGINES)
@settings(deadline=None, max_examples=15)
@given(st.data())
def test_tiles_put_together_are_the_mosaic(engine: Engine, data: st.DataObject) -> None:
    grid = TileGrid(UTM, data.draw(st.sampled_from([0.3, 0.6, 1.0])), 16)
    whole, tiles = squares(grid, -40_000, 9_000, 3)
    shapes = road_surfaces(data.draw(road_lines(whole)), UTM).shapes.geometry
    numbers = np.arange(1, len(shapes) + 1, dtype=np.int16)
    mosaic = np.block([[burn(shapes, numbers, tile, engine) for tile in row] for row in tiles])
    np.testing.assert_array_equal(mosaic, burn(shapes, numbers, whole, engine))


@dataclass(frozen=True)
class Many:
    """Fifty thousand roads, and what rasterio makes of them all at once."""

    shapes: NDArray[np.object_]
    values: NDArray[np.int16]
    whole: Tile
    tiles: list[list[Tile]]
    expected: NDArray[np.int16]


@pytest.fixture(scope="module")
def many() -> Many:
    """Surfaces of winding roads on a square of 2 km; each has a value, so every one counts."""
    rng = np.random.default_rng(7)
    count, points = 50_000, 4
    start = rng.uniform(0, 2048, (count, 1, 2)) + np.array([600_064, 6_601_216])
    heading = rng.uniform(0, 2 * np.pi, (count, 1)) + rng.normal(0, 0.3, (count, points - 1))
    steps = 12 * np.stack([np.cos(heading), np.sin(heading)], axis=-1)
    lines = np.concatenate([start, start + np.cumsum(steps, axis=1)], axis=1)
    widths = rng.choice([2.0, 3.0, 5.0, 7.0, 12.0], count)
    shapes = shapely.buffer(shapely.linestrings(lines), widths / 2, quad_segs=8)
    values = (np.arange(count) % 30_000 + 1).astype(np.int16)
    whole, tiles = squares(TileGrid(UTM, 1.0, 512), -12_897, 1_172, 4)
    expected = rasterio.features.rasterize(
        zip(shapes, values.tolist(), strict=True),
        whole.shape,
        transform=whole.transform,
        dtype=np.int16,
    )
    return Many(shapes, values, whole, tiles, expected)


@pytest.mark.parametrize("engine", ENGINES)
def test_fifty_thousand_roads_are_as_rasterio_burns_them(engine: Engine, many: Many) -> None:
    """All at once and tile by tile."""
    assert len(np.unique(many.expected)) > 20_000
    burned = burn(many.shapes, many.values, many.whole, engine)
    np.testing.assert_array_equal(burned, many.expected)
    tree = shapely.STRtree(many.shapes)

    def part(tile: Tile) -> NDArray[np.int16]:
        near = np.sort(tree.query(tile.polygon))
        return burn(many.shapes[near], many.values[near], tile, engine)

    mosaic = np.block([[part(tile) for tile in row] for row in many.tiles])
    np.testing.assert_array_equal(mosaic, many.expected)


corners = st.lists(
    st.tuples(st.integers(-6, 70), st.integers(-6, 70)), min_size=3, max_size=7, unique=True
)
LATTICE_GRIDS = (1.0, 0.5, 0.6, 0.3, 1 / 3, 0.1)


@settings(deadline=None, max_examples=150)
@given(
    polygons=st.lists(corners, min_size=1, max_size=3),
    gsd=st.sampled_from(LATTICE_GRIDS),
    step=st.sampled_from([0.5, 0.25, 1.0]),
    slanting=st.booleans(),
)
@example([[(1, 1), (5, 1), (5, 5), (1, 5)]], 1.0, 0.5, False)
@example([[(-8, 12), (6, 38), (22, 38)]], 1.0, 0.5, False)
@example([[(0, 55), (28, 5), (40, 40)]], 0.6, 0.25, True)
def test_edges_through_centres_are_the_same_for_both_engines_and_in_every_tile(
    polygons: list[list[tuple[int, int]]], gsd: float, step: float, slanting: bool
) -> None:
    """Polygons with corners on the lattice of half and quarter pixels: ties everywhere."""
    whole, tiles = squares(TileGrid(UTM, gsd, 8), -3000 * int(1 / gsd), 2000, 2)
    left, top, side = whole.transform.c, whole.transform.f, whole.transform.a
    shapes = [
        shapely.Polygon([(left + x * step * side, top - y * step * side) for x, y in polygon])
        for polygon in polygons
    ]
    shapes = [shape for shape in shapes if shape.is_valid and shape.area]
    assume(shapes)
    if slanting:  # Something without a tie beside them.
        shapes.append(shapely.LineString([(left, top), (left + 9, top - 7)]).buffer(1.23))
    some = as_array(*shapes)
    numbers = np.arange(1, len(some) + 1, dtype=np.uint8)
    expected = burn(some, numbers, whole, "rasterio")
    if default_engine() == "rusterize":
        np.testing.assert_array_equal(burn(some, numbers, whole, "rusterize"), expected)
    mosaic = np.block([[burn(some, numbers, tile) for tile in row] for row in tiles])
    np.testing.assert_array_equal(mosaic, expected)
    inside, clear = zip(*(holding(shape, whole) for shape in some), strict=True)
    sure = np.all(clear, axis=0)
    top_most = np.max(np.array(inside) * numbers[:, None, None], axis=0)
    np.testing.assert_array_equal(expected[sure], top_most[sure])


def test_areas_that_share_an_upright_edge_through_centres_share_no_pixel() -> None:
    """As areas traced from finer pixels do: each centre on the edge goes to one of them."""
    left, bottom, right, top = TILE.bounds
    middle = left + 20.5 * TILE.transform.a
    west, east = shapely.box(left, bottom, middle, top), shapely.box(middle, bottom, right, top)
    total = sum(burn(as_array(each), ones(as_array(each)), TILE) for each in (west, east))
    np.testing.assert_array_equal(total, np.ones(TILE.shape))


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.float32])
def test_later_shapes_cover_earlier_ones(engine: Engine, dtype: type[np.uint8]) -> None:
    left, bottom, right, top = TILE.bounds
    middle = (left + right) / 2
    shapes = as_array(TILE.polygon, shapely.box(left, bottom, middle, top))
    burned = burn(shapes, np.array([7, 9], dtype), TILE, engine)
    assert burned.dtype == dtype
    assert (burned[:, :32] == 9).all()
    assert (burned[:, 32:] == 7).all()


@pytest.mark.parametrize("engine", ENGINES)
def test_large_shapes_are_cut_without_a_trace(engine: Engine) -> None:
    """A lake of 50,000 corners with an island, against GDAL given the whole of it."""
    angle = np.linspace(0, 2 * np.pi, 50_000, endpoint=False)
    radius = 900 + 8 * np.sin(angle * 1000)
    shore = np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1)
    origin = np.array(TILE.bounds[:2]) - [900, 0]
    lake = shapely.Polygon(shore + origin, [shore[::-1] * 0.99 + origin])
    burned = burn(as_array(lake), np.ones(1, np.uint8), TILE, engine)
    whole = rasterio.features.rasterize([lake], TILE.shape, transform=TILE.transform)
    assert 0 < burned.mean() < 1
    np.testing.assert_array_equal(burned, whole)
    away = as_array(shapely.affinity.translate(lake, 5000))
    assert not burn(away, np.ones(1, np.uint8), TILE, engine).any()


@pytest.mark.parametrize("engine", ENGINES)
def test_nothing_burns_to_zero(engine: Engine) -> None:
    elsewhere = shapely.box(0, 0, 1, 1)
    for shapes in (np.empty(0, object), as_array(elsewhere), as_array(shapely.Polygon())):
        burned = burn(shapes, ones(shapes), TILE, engine)
        assert burned.dtype == np.uint8
        assert burned.shape == (64, 64)
        assert not burned.any()


@pytest.mark.parametrize("gsd", [0.3, 0.5, 0.6, 0.7, 1.1])
@pytest.mark.parametrize("many", [False, True])
def test_slanted_edges_through_centres_are_the_same_in_every_tile(gsd: float, many: bool) -> None:
    """Squares on their corners at whole centimetres; also as outlines of very many vertices."""
    whole, tiles = squares(
        TileGrid(UTM, gsd, 64), -int(6_600_000 / gsd / 64), int(500_000 / gsd / 64), 4
    )
    left, top, side = whole.transform.c, whole.transform.f, whole.transform.a
    rng = np.random.default_rng(0)
    centres, halves = rng.integers(0, int(25_000 * gsd), (300, 2)), rng.integers(200, 3000, 300)
    turns = np.array([(-1, 0), (0, -1), (1, 0), (0, 1)])
    corner = np.rint(np.array([left, top]) * 100)
    diamonds = [
        shapely.Polygon((corner + centre * (1, -1) + half * turns) / 100)
        for centre, half in zip(centres, halves, strict=True)
    ]
    if many:
        # An edge of slope 3/7 through centres, and a shore of a thousand corners far away.
        shore = [(left + (150 + n % 2) * side, top - (0.5 + n / 20) * side) for n in range(1200)]
        edge = [(left + 0.5 * side, top - 30.5 * side), (left + 140.5 * side, top - 90.5 * side)]
        diamonds = [shapely.Polygon([*edge, *shore[::-1]])]
        assert diamonds[0].is_valid
    shapes = as_array(*diamonds)
    numbers = np.arange(1, len(shapes) + 1, dtype=np.int16)
    mosaic = np.block([[burn(shapes, numbers, tile) for tile in row] for row in tiles])
    np.testing.assert_array_equal(mosaic, burn(shapes, numbers, whole))
    assert (mosaic > 0).mean() > 0.05
