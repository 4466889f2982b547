"""Edge controls from mapped areas: seams, shifts, plain versions, hostile layers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from numpy.typing import NDArray
from strategies import UTM
from town import TILES, WHOLE, areas, box_px, surfaces, towns

from rsaug.conditions.edges import edge_map, line_map, sketch_map
from rsaug.conditions.landcover import land_areas
from rsaug.conditions.outlines import Outlines, outlines
from rsaug.conditions.stack import ControlStack
from rsaug.errors import InputError
from rsaug.grid import Tile, TileGrid, utm_crs
from rsaug.roads import road_surfaces
from rsaug.vectors import read_vectors

Draw = Callable[[Outlines, Tile], NDArray[np.generic]]
LAYERS = ("roads", "buildings", "landcover")
MAPS: list[Draw] = [line_map, edge_map, sketch_map]


@pytest.mark.parametrize("draw", MAPS)
@settings(deadline=None, max_examples=25)
@given(town=towns())
def test_tile_by_tile_is_the_mosaic(draw: Draw, town: Outlines) -> None:
    mosaic = np.block([[draw(town, tile) for tile in row] for row in TILES])
    np.testing.assert_array_equal(mosaic, draw(town, WHOLE))


@pytest.mark.parametrize("draw", MAPS)
@settings(deadline=None, max_examples=10)
@given(town=towns())
def test_a_larger_window_cuts_to_the_tile(draw: Draw, town: Outlines) -> None:
    tile = TILES[1][0]
    large = Tile.from_transform(tile.transform @ tile.transform.translation(-7, -5), (50, 61), UTM)
    np.testing.assert_array_equal(draw(town, large)[5:37, 7:39], draw(town, tile))


@pytest.mark.parametrize("draw", MAPS)
def test_shift_by_a_pixel_shifts_the_map(draw: Draw) -> None:
    road = shapely.LineString([(0, 3.3), (20.4, 11.7), (31, 40.2)]).buffer(2.2)
    house = shapely.Polygon([(3, 15), (14, 17), (12, 26), (2, 23)])
    left, bottom, _, _ = WHOLE.bounds

    def town(right: float, down: float) -> Outlines:
        place = [left + 0.6 * right, bottom - 0.6 * down]
        near, far = (shapely.transform(shape, lambda xy: xy + place) for shape in (road, house))
        return outlines(areas=[areas(building=[far])], roads=surfaces([near]))

    here, there = draw(town(0, 0), WHOLE), draw(town(1, 2), WHOLE)
    assert len(np.unique(here)) > 1
    np.testing.assert_array_equal(there[2:, 1:], here[:-2, :-1])


def test_lines_are_centres_within_half_a_pixel_of_a_straight_wall() -> None:
    walls = np.array([(8.3, 9.1), (50.2, 17.4), (44.9, 49.3), (6.6, 41.8)])
    x, y, side = WHOLE.transform.c, WHOLE.transform.f, WHOLE.transform.a
    house = shapely.Polygon(np.c_[x + side * walls[:, 0], y - side * walls[:, 1]])
    found = line_map(outlines(areas=[areas(building=[house])]), WHOLE)
    band = [
        shapely.LineString(pair).buffer(0.5, cap_style="flat")
        for pair in zip(walls, np.roll(walls, -1, axis=0), strict=True)
    ]
    col, row = np.meshgrid(np.arange(64) + 0.5, np.arange(64) + 0.5)
    expected = shapely.contains_xy(shapely.union_all(band), col, row)
    np.testing.assert_array_equal(found, expected)


def test_soft_edges_are_a_gaussian_of_the_distance() -> None:
    """Against the exact distance from the mapped outline, within what fine pixels leave open."""
    ring = shapely.Point(*np.mean([WHOLE.bounds[:2], WHOLE.bounds[2:]], axis=0)).buffer(
        11.3, quad_segs=64
    )
    found = edge_map(outlines(areas=[areas(building=[ring])]), WHOLE, sigma_px=2.0)
    col, row = np.meshgrid(np.arange(64) + 0.5, np.arange(64) + 0.5)
    x, y = WHOLE.transform.c + 0.6 * col, WHOLE.transform.f - 0.6 * row
    distance_px = shapely.distance(shapely.points(x, y), ring.boundary) / 0.6
    expected = np.exp(-(distance_px**2) / (2 * 2.0**2))
    assert np.abs(found - expected).max() < 0.15
    assert np.abs(found - expected).mean() < 0.03
    assert found.max() > 0.95


def test_strokes_cover_a_band_around_the_boundary() -> None:
    field = box_px(10.3, 12.6, 50.1, 40.8)
    found = sketch_map(outlines(areas=[areas(water=[field])]), WHOLE, width_px=2.0)
    ink = 1 - found.astype(float)
    assert ink.sum() == pytest.approx(2.0 * field.length / 0.6, rel=0.02)
    # Across a wall the ink adds up to the width of the stroke.
    np.testing.assert_allclose(ink[20:35, 5:16].sum(axis=1), 2.0, atol=1e-6)
    assert set(np.unique(found * 16 % 1)) == {0.0}


def test_kerbs_end_where_another_road_begins() -> None:
    main, side = box_px(0, 20, 64, 30), box_px(28, 25, 38, 64)
    town = outlines(roads=surfaces([main, side]))
    union = outlines(roads=surfaces([main.union(side)]))
    lines = line_map(town, WHOLE)
    assert not lines[22:28].any()
    assert not lines[29:31, 29:37].any()
    assert lines[19:21, 1:63].sum() == 62
    assert lines[40:60].sum() == 40
    np.testing.assert_array_equal(edge_map(town, WHOLE), edge_map(union, WHOLE))
    np.testing.assert_array_equal(sketch_map(town, WHOLE), sketch_map(union, WHOLE))


def test_walls_on_the_border_of_pixels_are_one_pixel_wide() -> None:
    lines = line_map(outlines(areas=[areas(building=[box_px(10, 12, 40, 32)])]), WHOLE)
    assert lines[20].sum() == 2
    assert lines[:, 25].sum() == 2


def test_short_and_weak_parts_are_left_out() -> None:
    hut, barn = box_px(5, 5, 12, 12), box_px(20, 20, 50, 40)
    town = outlines(areas=[areas(building=[hut], background=[barn])])
    assert not line_map(town, WHOLE).any()
    assert line_map(town, WHOLE, shortest_px=5).any()
    assert line_map(town, WHOLE, weakest=0.1).any()
    assert edge_map(town, WHOLE)[30, 20] == pytest.approx(0.2, rel=0.1)
    assert edge_map(town, WHOLE, weakest=0.3)[30, 20] == 0
    assert sketch_map(town, WHOLE)[30, 20] == 1
    none = outlines(areas=[areas(building=[barn])], strengths={"building": 0})
    assert not line_map(none, WHOLE, weakest=0).any()


def test_parcels_are_lines_on_open_ground() -> None:
    lots = surfaces([box_px(5, 5, 30, 30), box_px(30, 5, 60, 30)])
    house = areas(building=[box_px(25, 10, 35, 20)])
    lines = line_map(outlines(areas=[house], parcels=lots), WHOLE)
    assert lines[22:29, 29:31].sum() == 7
    assert not lines[12:18, 27:33].any()


@pytest.mark.parametrize("draw", MAPS)
def test_a_hole_is_a_boundary_and_its_content_is_seen(draw: Draw) -> None:
    yard = box_px(10, 10, 50, 50).difference(box_px(20, 20, 40, 40))
    plain = outlines(areas=[areas(building=[box_px(10, 10, 50, 50)])])
    town = outlines(areas=[areas(building=[yard])])
    changed = draw(town, WHOLE) != draw(plain, WHOLE)
    assert changed[18:22, 25].any()
    assert not changed[5:14].any()


def test_nothing_to_show_is_the_ground_of_each_map() -> None:
    for town in (
        outlines(roads=surfaces([])),
        outlines(areas=[areas(building=[shapely.box(0, 0, 1e-9, 1e-9)])]),
    ):
        line, edge, sketch = (draw(town, WHOLE) for draw in MAPS)
        assert not line.any()
        assert not edge.any()
        assert (sketch == 1).all()
        stack = ControlStack.from_maps(WHOLE.shape, mlsd=line, hed=edge, sketch=sketch)
        assert stack.given == ("mlsd", "hed", "sketch")
        assert [each.dtype.name for each in (line, edge, sketch)] == ["uint8", "float32", "float32"]


@pytest.mark.parametrize("draw", MAPS)
def test_real_roads_and_buildings_tile_by_tile(draw: Draw, examples_dir: Path) -> None:
    layers = {name: read_vectors(examples_dir / "helsinki" / f"{name}.geojson") for name in LAYERS}
    crs = utm_crs(layers["roads"])
    town = outlines(
        areas=[land_areas(layers[name], crs).areas for name in ("landcover", "buildings")],
        roads=road_surfaces(layers["roads"], crs).surfaces,
    )
    x, y = np.median(shapely.get_coordinates(shapely.centroid(town.cover.geometry)), axis=0)
    grid = TileGrid(crs, 0.5, 96)
    corner = next(grid.tiles(shapely.Point(x, y)))
    tiles = [[grid.tile(corner.row + i, corner.col + j) for j in range(3)] for i in range(3)]
    whole = Tile.from_transform(tiles[0][0].transform, (288, 288), crs)
    mosaic = np.block([[draw(town, tile) for tile in row] for row in tiles])
    assert mosaic.min() == 0
    assert mosaic.max() > 0.9
    np.testing.assert_array_equal(mosaic, draw(town, whole))


@settings(deadline=None, max_examples=15)
@given(town=towns())
def test_maps_fit_their_slots(town: Outlines) -> None:
    line, edge, sketch = (draw(town, WHOLE) for draw in MAPS)
    assert set(np.unique(line)) <= {0, 1}
    ControlStack.from_maps(WHOLE.shape, mlsd=line, hed=edge, sketch=sketch)


def test_numbers_that_make_no_map_are_refused() -> None:
    town = outlines(roads=surfaces([]))
    with pytest.raises(InputError, match=r"sigma_px must be a number from 0\.1"):
        edge_map(town, WHOLE, sigma_px=0)
    with pytest.raises(InputError, match="width_px"):
        sketch_map(town, WHOLE, width_px=float("nan"))
    with pytest.raises(InputError, match="tolerance_px"):
        line_map(town, WHOLE, tolerance_px=-1)
