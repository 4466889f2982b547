"""Outlines: what is seen from above, and straight parts that do not depend on the tile."""

from __future__ import annotations

import geopandas as gpd
import numpy as np
import pytest
import shapely
from numpy.typing import NDArray
from strategies import UTM
from town import WHOLE, areas, box_px, surfaces

from rsaug.conditions.outlines import STRENGTHS, Outlines, outlines, simplified_segments
from rsaug.errors import InputError


def marks(town: Outlines) -> NDArray[np.float32]:
    return town.boundaries(WHOLE, margin_px=0, finer=2)


def strengths_of(town: Outlines) -> set[float]:
    return {round(float(strength), 3) for strength in np.unique(marks(town))} - {0.0}


def test_a_boundary_is_the_fine_pixels_on_both_sides() -> None:
    found = marks(outlines(areas=[areas(water=[box_px(10, 20, 30, 40)])]))
    expected = np.zeros((128, 128), dtype=np.float32)
    expected[39:81, 19:61] = STRENGTHS["water"]
    expected[41:79, 21:59] = 0
    # Neighbours are four: the corners of the outer ring have none across the boundary.
    expected[[39, 39, 80, 80], [19, 60, 19, 60]] = 0
    np.testing.assert_array_equal(found, expected)


def test_what_is_under_something_is_not_seen() -> None:
    house, lake = box_px(20, 20, 30, 30), box_px(10, 10, 50, 50)
    road = box_px(0, 0, 64, 64)
    assert strengths_of(outlines(areas=[areas(water=[lake], building=[house])])) == {0.75, 1.0}
    assert strengths_of(outlines(areas=[areas(agriculture=[house], water=[lake])])) == {0.75}
    hidden = outlines(areas=[areas(water=[lake], building=[house])], roads=surfaces([road]))
    assert not marks(hidden).any()


def test_areas_of_a_kind_merge_but_buildings() -> None:
    left, right = box_px(10, 10, 20, 20), box_px(20, 10, 30, 20)
    both = box_px(10, 10, 30, 20)
    for name in ("forest", "water", "road"):
        apart = outlines(areas=[areas(**{name: [left, right]})])
        np.testing.assert_array_equal(
            marks(apart), marks(outlines(areas=[areas(**{name: [both]})]))
        )
    terrace = marks(outlines(areas=[areas(building=[left, right])]))
    assert (terrace[20:40, 39:41] == 1).all()


def test_a_road_of_the_land_cover_and_a_road_surface_are_one() -> None:
    square, street = box_px(10, 10, 30, 30), box_px(20, 15, 60, 20)
    town = outlines(areas=[areas(road=[square])], roads=surfaces([street]))
    one = outlines(roads=surfaces([square.union(street)]))
    np.testing.assert_array_equal(marks(town), marks(one))


def test_parcels_show_on_open_ground_only() -> None:
    lots = surfaces([box_px(5, 5, 30, 30), box_px(30, 5, 60, 30)])
    field, house = box_px(0, 0, 64, 64), box_px(25, 10, 35, 20)
    town = outlines(areas=[areas(agriculture=[field], building=[house])], parcels=lots)
    found = marks(town)
    assert (found[30:38, 59] > 0).sum() == 8 - (found[30:38, 59] == 0).sum()
    np.testing.assert_allclose(found[42:58, 59:61], STRENGTHS["parcel"])
    np.testing.assert_allclose(found[22:38, 55:65], 0)
    without = marks(outlines(areas=[areas(agriculture=[field], building=[house])]))
    assert (found >= without).all()


def test_order_of_features_changes_nothing() -> None:
    rng = np.random.default_rng(4)
    corners = rng.uniform(0, 40, (12, 2)).tolist()
    shapes = [box_px(left, top, 45, 50) for left, top in corners]
    names = np.array(["water", "forest", "agriculture", "barren"])[np.arange(12) % 4]
    frame = gpd.GeoDataFrame({"name": names}, geometry=shapes)
    cover = areas(**{name: list(part.geometry) for name, part in frame.groupby("name")})
    turned = cover.iloc[::-1]
    np.testing.assert_array_equal(marks(outlines(areas=[cover])), marks(outlines(areas=[turned])))


def test_more_buildings_than_a_small_integer_can_count() -> None:
    x, y = np.meshgrid(np.arange(190) * 0.2, np.arange(190) * 0.2)
    left, top = WHOLE.transform.c, WHOLE.transform.f
    huts = shapely.box(left + x, top - y - 0.1, left + x + 0.1, top - y).ravel()
    town = outlines(areas=[areas(building=list(huts))])
    assert len(town.cover.near(WHOLE)) > np.iinfo(np.int16).max
    found = town.boundaries(WHOLE, margin_px=0, finer=12)
    assert (found[:760, :760] == 1).mean() > 0.5


def test_simplified_outlines_stay_within_the_tolerance() -> None:
    round_shape = shapely.Point(0, 0).buffer(30, quad_segs=64).difference(shapely.box(-5, -5, 5, 5))
    ends = simplified_segments(np.array([round_shape]), 0.5)
    lines = shapely.linestrings(ends.reshape(-1, 2, 2))
    assert 10 < len(lines) < 60
    assert shapely.hausdorff_distance(shapely.union_all(lines), round_shape.boundary) <= 0.5
    np.testing.assert_allclose(sorted(shapely.length(lines))[:4], 10, atol=5)


def test_a_ring_that_starts_in_a_wall_has_whole_walls() -> None:
    corners = [(5, 0), (10, 0), (10, 10), (0, 10), (0, 0), (5, 0)]
    ends = simplified_segments(np.array([shapely.Polygon(corners)]), 0.1)
    assert len(ends) == 4
    np.testing.assert_allclose(np.hypot(*(ends[:, 2:] - ends[:, :2]).T), 10)


def test_tiny_and_empty_areas_have_no_straight_part() -> None:
    speck = shapely.box(0, 0, 1e-6, 1e-6)
    assert len(simplified_segments(np.array([speck, shapely.Polygon()]), 0.5)) <= 4
    assert simplified_segments(np.empty(0, dtype=object), 0.5).shape == (0, 4)
    town = outlines(areas=[areas(building=[speck])])
    assert town.straight(WHOLE, tolerance_px=0.5, shortest_px=12, weakest=0) == []


def test_an_outline_of_a_million_vertices_is_simplified_once() -> None:
    angle = np.linspace(0, 2 * np.pi, 1_000_000, endpoint=False)
    x, y = np.mean([WHOLE.bounds[::2], WHOLE.bounds[1::2]], axis=1)
    radius = 12 + 0.05 * np.sin(5000 * angle)
    shore = shapely.Polygon(np.c_[x + radius * np.cos(angle), y + radius * np.sin(angle)])
    town = outlines(areas=[areas(water=[shore])])
    options = {"tolerance_px": 0.5, "shortest_px": 2.0, "weakest": 0.3}
    ((_, first),) = town.straight(WHOLE, **options)
    ((_, again),) = town.straight(WHOLE, **options)
    assert 8 < len(first) < 60
    np.testing.assert_array_equal(first, again)
    assert marks(town).any()


def test_features_that_are_no_parcel_are_counted() -> None:
    bow = shapely.Polygon([(0, 0), (1, 1), (1, 0), (0, 1)])
    mixed = gpd.GeoDataFrame(
        geometry=[shapely.Point(0, 0), None, bow, shapely.LineString([(0, 0), (1, 1)])], crs=UTM
    )
    town = outlines(areas=[areas(water=[box_px(0, 0, 1, 1)])], parcels=mixed)
    assert town.dropped == {"no geometry": 1, "not an area": 2}
    assert town.parcels is not None
    assert len(town.parcels) == 1


def test_layers_that_do_not_fit_are_refused() -> None:
    water = areas(water=[box_px(0, 0, 9, 9)])
    with pytest.raises(InputError, match="need a layer"):
        outlines()
    with pytest.raises(InputError, match="EPSG:32635 and EPSG:3857"):
        outlines(areas=[water, water.to_crs(3857)])
    with pytest.raises(InputError, match="no CRS"):
        outlines(areas=[water.set_crs(None, allow_override=True)])
    with pytest.raises(InputError, match="Land cover 9 is none of LoveDA's"):
        outlines(areas=[water.assign(landcover=9)])
    with pytest.raises(InputError, match="kind 'hedge'"):
        outlines(areas=[water], strengths={"hedge": 1})
    with pytest.raises(InputError, match="from 0 to 1, not 2"):
        outlines(areas=[water], strengths={"water": 2})
    with pytest.raises(InputError, match="the tile is in EPSG:32635"):
        marks(outlines(areas=[water.to_crs(3857)]))
