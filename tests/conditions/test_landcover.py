"""The segmentation control: classes from tags, priority, colours."""

from __future__ import annotations

from itertools import permutations
from typing import Any

import geopandas as gpd
import numpy as np
import pytest
import shapely
from strategies import UTM

from rsaug.conditions.landcover import (
    CLASSES,
    PALETTE,
    PRIORITY,
    classify,
    colourise,
    land_areas,
    landcover_map,
)
from rsaug.errors import InputError
from rsaug.grid import TileGrid
from rsaug.osm_tags import LANDCOVER_BY_CLASS, LANDCOVER_BY_TAG

TILE = TileGrid(UTM, 1.0, 16).tile(-4000, 30)


def features(rows: list[dict[str, Any]]) -> gpd.GeoDataFrame:
    """One feature a row of tags, on the whole tile unless the row has a geometry."""
    return gpd.GeoDataFrame([{"geometry": TILE.polygon} | row for row in rows], crs=UTM)


def names(classes: np.ndarray) -> list[str]:
    return [CLASSES[index] for index in classes]


@pytest.mark.parametrize(
    ("tags", "name"),
    [
        ({"building": "yes"}, "building"),
        ({"building": "no", "landuse": "meadow"}, "agriculture"),
        ({"natural": "wood"}, "forest"),
        ({"natural": "Scrub "}, "forest"),
        ({"landuse": "orchard"}, "forest"),
        ({"landuse": "farmland"}, "agriculture"),
        ({"leisure": "pitch"}, "agriculture"),
        ({"leisure": "park"}, "agriculture"),
        ({"leisure": "swimming_pool"}, "water"),
        ({"natural": "water"}, "water"),
        ({"waterway": "riverbank"}, "water"),
        ({"landuse": "quarry"}, "barren"),
        ({"landuse": "construction"}, "barren"),
        ({"natural": "sand"}, "barren"),
        ({"amenity": "parking"}, "background"),
        ({"landuse": "residential"}, "background"),
        ({"building": "house", "natural": "wood"}, "building"),
        ({"natural": "wood", "leisure": "park"}, "forest"),
        ({"class": "building"}, "building"),
        ({"class": "trees"}, "forest"),
        ({"class": "bare"}, "barren"),
        ({"class": "pool"}, "water"),
        ({"class": "sport"}, "agriculture"),
        ({"class": "crops"}, "agriculture"),
        ({"class": "parking"}, "background"),
        ({"class": "forest", "building": "yes"}, "forest"),
        ({"class": None, "natural": "beach"}, "barren"),
        ({"class": "mystery", "natural": "beach"}, "barren"),
    ],
)
def test_classes_from_tags(tags: dict[str, Any], name: str) -> None:
    classes, unknown = classify(features([tags]))
    assert (names(classes), unknown) == ([name], {})


def test_what_is_not_known_is_background_and_counted() -> None:
    rows = [{"landuse": "moonbase"}, {"landuse": "moonbase"}, {"natural": "wood"}, {}]
    classes, unknown = classify(features(rows))
    assert names(classes) == ["background", "background", "forest", "background"]
    assert unknown == {"landuse=moonbase": 2, "no tag": 1}


def test_layer_of_buildings_is_buildings() -> None:
    classes, unknown = classify(features([{"landuse": "moonbase"}, {}]), buildings=True)
    assert (names(classes), unknown) == (["building"] * 2, {})


def test_tables_name_classes_only() -> None:
    tables = [LANDCOVER_BY_CLASS, *LANDCOVER_BY_TAG.values()]
    assert {name for table in tables for name in table.values()} <= set(CLASSES)
    assert sorted(PRIORITY) == sorted(CLASSES)


def test_land_areas_report() -> None:
    rows = [
        {"natural": "wood"},
        {"natural": "wood", "geometry": shapely.Point(0, 0)},
        {"natural": "wood", "geometry": None},
        {"building": "yes"},
        {"landuse": "moonbase"},
    ]
    land = land_areas(features(rows), UTM)
    assert land.by_class == {"background": 1, "building": 1, "forest": 1}
    assert land.unknown == {"landuse=moonbase": 1}
    assert land.dropped == {"no geometry": 1, "not an area": 1}
    assert names(land.areas["landcover"]) == ["forest", "building", "background"]


def test_layer_without_an_area_is_refused() -> None:
    line = shapely.LineString([(0, 0), (1, 1)])
    with pytest.raises(InputError, match="holds no area, only LineString"):
        land_areas(features([{"geometry": line}]), UTM)


@pytest.mark.parametrize(("low", "high"), list(permutations(range(7), 2)))
def test_the_higher_class_covers_the_lower_in_any_order(low: int, high: int) -> None:
    """Within a layer and across layers."""
    rows = [{"class": CLASSES[low]}, {"class": CLASSES[high]}]
    expected = max(CLASSES[low], CLASSES[high], key=PRIORITY.index)
    one = [land_areas(features(rows), UTM).areas]
    two = [land_areas(features([row]), UTM).areas for row in rows]
    for layers in (one, two):
        classes = landcover_map(layers, None, TILE)
        assert set(names(classes.ravel())) == {expected}


def test_roads_go_on_top_and_background_is_what_is_left() -> None:
    left, bottom, _, top = TILE.bounds
    west = shapely.box(left, bottom, left + 8, top)
    road = np.zeros(TILE.shape, np.uint8)
    road[4, :] = 1
    land = land_areas(features([{"building": "yes", "geometry": west}]), UTM).areas
    classes = landcover_map([land], road, TILE)
    expected = np.zeros(TILE.shape, np.uint8)
    expected[:, :8] = CLASSES.index("building")
    expected[4, :] = CLASSES.index("road")
    np.testing.assert_array_equal(classes, expected)
    assert classes.dtype == np.uint8


def test_no_layers_no_roads() -> None:
    assert not landcover_map([], None, TILE).any()


def test_colours_are_loveda_s() -> None:
    classes = np.arange(7, dtype=np.uint8).reshape(1, 7)
    colours = colourise(classes)
    assert colours.dtype == np.float32
    assert colours.shape == (3, 1, 7)
    np.testing.assert_array_equal(np.round(colours[:, 0].T * 255), PALETTE)
    assert tuple(PALETTE[CLASSES.index("barren")]) == (159, 129, 183)
