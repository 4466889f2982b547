"""Roads: which lines are taken, how wide they are, and what the report says."""

from __future__ import annotations

from typing import Any

import geopandas as gpd
import numpy as np
import pytest
import shapely
from pyproj import CRS
from strategies import UTM

from rsaug.errors import InputError
from rsaug.osm_tags import NOT_ROADS, parse_hstore, parse_length_m
from rsaug.roads import DEFAULT_WIDTHS_M, PLAIN_WIDTH_M, RULES, WidthReport, road_surfaces

LINE = shapely.LineString([(385_000, 6_672_000), (385_100, 6_672_000)])


def features(rows: list[dict[str, Any]], crs: CRS = UTM) -> gpd.GeoDataFrame:
    """One feature a row of tags; the same line unless the row has a geometry."""
    return gpd.GeoDataFrame([{"geometry": LINE} | row for row in rows], crs=crs)


@pytest.mark.parametrize(
    ("text", "metres"),
    [
        ("7", 7),
        ("7.5", 7.5),
        ("7,5", 7.5),
        (" 7.5 m ", 7.5),
        ("7.5m", 7.5),
        ("7 metres", 7),
        ("24 ft", 24 * 0.3048),
        ("24'", 24 * 0.3048),
        ("24 feet", 24 * 0.3048),
        ("12'6\"", 12.5 * 0.3048),
        ("12' 6 in", 12.5 * 0.3048),
        ("-3", -3),
        ("0", 0),
        ("2;3", None),
        ("6-8", None),
        ("wide", None),
        ("", None),
        ("nan", None),
        ("1e3", None),
        ("7 km", None),
    ],
)
def test_lengths(text: str, metres: float | None) -> None:
    assert parse_length_m(text) == (None if metres is None else pytest.approx(metres))


@pytest.mark.parametrize(
    ("text", "tags"),
    [
        ('"width"=>"7","lanes"=>"2"', {"width": "7", "lanes": "2"}),
        (r'"name"=>"the \"old\" road","a\\b"=>"c"', {"name": 'the "old" road', "a\\b": "c"}),
        ('"note"=>"a, \\"x\\"=>\\"y\\"","width"=>"3"', {"note": 'a, "x"=>"y"', "width": "3"}),
        ('"key"=>NULL,"other"=>"1"', {"other": "1"}),
        ("", {}),
        ("no pair", {}),
    ],
)
def test_hstore(text: str, tags: dict[str, str]) -> None:
    assert parse_hstore(text) == tags


@pytest.mark.parametrize(
    ("tags", "width_m", "rule"),
    [
        ({"width": "7.5 m", "lanes": "4", "highway": "primary"}, 7.5, "width"),
        ({"width": 7.5, "lanes": 4, "highway": "primary"}, 7.5, "width"),
        ({"width": None, "lanes": "2", "highway": "primary"}, 7.0, "lanes"),
        ({"width": "wide", "lanes": 2.0, "highway": "primary"}, 7.0, "lanes"),
        ({"width": "0", "lanes": "1.5", "highway": "primary"}, 5.25, "lanes"),
        ({"width": "101", "lanes": "2;3", "highway": "Primary "}, 10.0, "highway"),
        ({"width": "", "lanes": None, "highway": "track"}, 3.0, "highway"),
    ],
)
def test_first_usable_rule_gives_the_width(tags: dict[str, Any], width_m: float, rule: str) -> None:
    surface = road_surfaces(features([tags]), UTM).surfaces.iloc[0]
    assert (surface.width_m, surface.rule) == (pytest.approx(width_m), rule)
    # A stadium: the rectangle along the line and a disc of 32 corners.
    disc = 16 * np.sin(np.pi / 16) * (width_m / 2) ** 2
    assert surface.geometry.area == pytest.approx(100 * width_m + disc)


def test_layer_without_highway_column_is_roads() -> None:
    roads = road_surfaces(features([{"name": "a"}, {"name": "b"}]), UTM)
    assert roads.surfaces["width_m"].tolist() == [PLAIN_WIDTH_M] * 2
    assert roads.report.by_rule == dict(zip(RULES, (0, 0, 0, 2), strict=True))


def test_what_is_no_road_is_dropped_by_reason() -> None:
    rows: list[dict[str, Any]] = [
        {"highway": "residential"},
        {"highway": "footway"},
        {"highway": "footway"},
        {"highway": "construction"},
        {"highway": "boulevard"},
        {"highway": None, "railway": "rail"},
        {"highway": "primary", "tunnel": "yes"},
        {"highway": "service", "tunnel": "building_passage"},
        {"highway": "service", "tunnel": "no"},
        {"highway": "service", "covered": "yes"},
        {"highway": "service", "geometry": LINE.buffer(3)},
        {"highway": "service", "geometry": shapely.LineString()},
        {"highway": "service", "geometry": None},
        {"highway": "service", "geometry": shapely.LineString([(5, 5), (5, 5)])},
    ]
    roads = road_surfaces(features(rows), UTM)
    assert roads.surfaces.index.tolist() == [0, 8]
    assert roads.surfaces["highway"].tolist() == ["residential", "service"]
    assert roads.report.dropped == {
        "not a road (highway=footway)": 2,
        "not a road (highway=construction)": 1,
        "unknown kind of road (highway='boulevard')": 1,
        "no highway tag": 1,
        "out of sight (tunnel=yes)": 1,
        "out of sight (tunnel=building_passage)": 1,
        "out of sight (covered=yes)": 1,
        "not a line": 1,
        "no geometry": 2,
        "invalid geometry": 1,
    }
    kept = sum(roads.report.by_rule.values())
    assert kept + sum(roads.report.dropped.values()) == len(rows)


def test_report_counts_tags_that_were_of_no_use() -> None:
    rows = [
        {"highway": "primary", "width": "wide"},
        {"highway": "primary", "width": "0"},
        {"highway": "primary", "width": "-2"},
        {"highway": "primary", "width": "300"},
        {"highway": "primary", "lanes": "many"},
        {"highway": "primary", "lanes": "40"},
    ]
    report = road_surfaces(features(rows), UTM).report
    assert report.ignored == {
        "width not understood (width='wide')": 1,
        "width out of range": 3,
        "lanes not understood (lanes='many')": 1,
        "lanes out of range": 1,
    }
    assert report.by_rule == dict(zip(RULES, (0, 0, 6, 0), strict=True))


def test_report_in_words() -> None:
    dropped = {f"reason {i}": i for i in range(1, 9)}
    report = WidthReport({"width": 3, "lanes": 0, "highway": 2, "default": 0}, {}, dropped)
    assert report.lines() == [
        "5 roads; width 3 by width, 2 by highway",
        "36 left out: 8 reason 8, 7 reason 7, 6 reason 6, 5 reason 5, 4 reason 4, 3 reason 3, "
        "3 for other reasons",
    ]
    assert report.to_dict()["dropped"] == dropped


def test_layer_without_a_line_is_refused() -> None:
    areas = features([{"highway": "service", "geometry": LINE.buffer(5)}])
    with pytest.raises(InputError, match="holds no line, only Polygon"):
        road_surfaces(areas, UTM)


def test_layer_without_a_road_is_refused_with_the_reasons() -> None:
    rows = [{"highway": "footway"}, {"highway": "footway"}, {"highway": "steps"}]
    with pytest.raises(
        InputError,
        match=r"None of the 3 features is a road: 2 not a road \(highway=footway\), 1 not a road",
    ):
        road_surfaces(features(rows), UTM)


def test_no_value_is_both_a_road_and_none() -> None:
    assert not NOT_ROADS & set(DEFAULT_WIDTHS_M)


@pytest.mark.parametrize("epsg", [32635, 3067, 3879, 3857])
def test_width_is_in_metres_on_the_ground(epsg: int) -> None:
    """Measured back in UTM, a road is as wide whatever CRS its surface was made in."""
    lines = features([{"width": 8}])
    surface = road_surfaces(lines, CRS.from_epsg(epsg)).surfaces.to_crs(UTM).geometry.iloc[0]
    across = shapely.LineString([(385_050, 6_671_900), (385_050, 6_672_100)])
    assert shapely.intersection(surface, across).length == pytest.approx(8, rel=0.01)


def test_width_in_a_crs_in_feet() -> None:
    line = shapely.LineString([(-73.99, 40.73), (-73.98, 40.73)])
    lines = features([{"width": 6}], CRS.from_epsg(4326)).set_geometry([line], crs=4326)
    feet = road_surfaces(lines, CRS.from_epsg(2263)).surfaces.geometry.iloc[0]
    metres = road_surfaces(lines, CRS.from_epsg(32618)).surfaces.geometry.iloc[0]
    assert feet.area * (1200 / 3937) ** 2 == pytest.approx(metres.area, rel=0.002)


def test_lines_that_cannot_be_used_are_counted_by_reason() -> None:
    point = shapely.LineString([(5, 5), (5, 5)])
    with pytest.raises(InputError, match="None of the 2 features can be used: 2 invalid geometry"):
        road_surfaces(gpd.GeoDataFrame(geometry=[point, point], crs=UTM), UTM)
