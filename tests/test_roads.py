"""Roads: which lines are taken, how wide they are, and what the report says."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from pyproj import CRS
from strategies import UTM, road_lines

from rsaug.errors import InputError
from rsaug.grid import TileGrid
from rsaug.osm_tags import parse_hstore, parse_lanes, parse_layer, parse_length_m
from rsaug.road_rules import SOURCES, RoadRules, default_rules, read_rules
from rsaug.road_tags import shortened
from rsaug.roads import WidthReport, road_surfaces

ORIGIN = np.array([385_000, 6_672_000])
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
        ("5'6\"", 5.5 * 0.3048),
        ("5\u20326\u2033", 5.5 * 0.3048),
        ("8 ft 3 in", 8.25 * 0.3048),
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


def test_plain_numbers_take_the_unit_of_the_column() -> None:
    assert parse_length_m("24", 0.3048) == pytest.approx(24 * 0.3048)
    assert parse_length_m("7 m", 0.3048) == 7


@pytest.mark.parametrize(
    ("text", "lanes"),
    [("2", 2), ("1.5", 1.5), ("1,5", 1.5), ("2;3", None), ("1-2", None), ("many", None)],
)
def test_lanes(text: str, lanes: float | None) -> None:
    assert parse_lanes(text) == lanes


@pytest.mark.parametrize(
    ("text", "level"),
    [
        ("1", 1),
        ("-2", -2),
        ("+1", 1),
        ("2.0", 2),
        ("ground", None),
        ("0;1", None),
        ("1.5", None),
        ("9" * 5000, None),
        ("", None),
    ],
)
def test_layers(text: str, level: int | None) -> None:
    assert parse_layer(text) == level


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
        ({"width:carriageway": "5", "width": "9", "highway": "primary"}, 5.0, "width"),
        ({"width:carriageway": "?", "width": "9", "highway": "primary"}, 9.0, "width"),
        ({"est_width": "8", "lanes": "1", "highway": "primary"}, 8.0, "est_width"),
        ({"lanes": ["2", "3"], "highway": "primary"}, 10.0, "highway"),
        ({"highway": "primary", "oneway": "yes"}, 8.0, "highway"),
        ({"highway": "primary", "oneway": "-1"}, 8.0, "highway"),
        ({"highway": "primary", "junction": "roundabout"}, 8.0, "highway"),
        ({"highway": "primary", "junction": "roundabout", "oneway": "no"}, 10.0, "highway"),
        ({"highway": "primary", "dual_carriageway": "yes"}, 10.0, "highway"),
        ({"fclass": "track_grade2"}, 3.0, "highway"),
        ({"highway": "primary", "junction": "circular"}, 8.0, "highway"),
        ({"highway": "primary", "width": "0.5"}, 0.5, "width"),
        ({"highway": "primary", "width": "100", "lanes": "2"}, 100.0, "width"),
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
    assert roads.surfaces["width_m"].tolist() == [default_rules().width_m] * 2
    assert roads.report.by_rule == {name: 2 * (name == "default") for name in SOURCES}


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
    assert roads.surfaces.index.tolist() == [8, 0]
    assert roads.surfaces["highway"].tolist() == ["service", "residential"]
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


@pytest.mark.parametrize("value", ["", "no", "No", "false", "f", "0", "none", False, 0])
def test_words_for_no(value: object) -> None:
    tunnels: list[object] = [value, "culvert"]
    rows = [{"highway": "service", "tunnel": tunnel} for tunnel in tunnels]
    roads = road_surfaces(features(rows), UTM)
    assert roads.surfaces.index.tolist() == [0]
    assert roads.report.dropped == {"out of sight (tunnel=culvert)": 1}


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
    assert report.by_rule == {name: 6 * (name == "highway") for name in SOURCES}


def test_up_to_twenty_values_are_named_and_long_ones_cut() -> None:
    rows = [{"highway": "service", "width": f"w{n}"} for n in range(20)]
    assert len(road_surfaces(features(rows), UTM).report.ignored) == 20
    assert shortened("x" * 40) == "x" * 40
    assert shortened("x" * 41) == "x" * 40 + "..."


def test_report_is_in_whole_metres() -> None:
    line = shapely.LineString([(385_000, 6_672_000), (385_100.4, 6_672_000)])
    report = road_surfaces(features([{"width": 6, "geometry": line}]), UTM).report
    assert report.km_by_rule["width"] == report.km_by_class["minor"] == 0.1


def test_report_in_words() -> None:
    dropped = {f"reason {i}": i for i in range(1, 9)}
    report = WidthReport({"width": 3, "lanes": 0, "highway": 2, "default": 0}, {}, dropped)
    assert report.lines() == [
        "5 roads; width 3 by width, 2 by highway",
        "36 left out: 8 reason 8, 7 reason 7, 6 reason 6, 5 reason 5, 4 reason 4, 3 reason 3, "
        "3 for other reasons",
    ]
    assert report.to_dict() == asdict(report)
    alike = WidthReport(
        {"width": 1}, {"b": 1, "c": 2, "a": 1}, {}, {"d": 3}, {"e": 4.0}, {"f": 5.0}
    )
    assert alike.to_dict() == asdict(alike)
    assert alike.lines()[1] == "tags not used: 2 c, 1 a, 1 b"


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


def test_columns_that_the_rules_name_have_to_be_there(tmp_path: Path) -> None:
    rules = rules_with(tmp_path, '[columns]\nhighway = "MTFCC"')
    with pytest.raises(InputError, match=r"\['MTFCC'\] as the columns of 'highway'.*\['name'\]"):
        road_surfaces(features([{"name": "a"}]), UTM, rules)


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


def square(x: float, y: float, side: float) -> shapely.Polygon:
    """A square near the line of the tests."""
    return shapely.box(385_000 + x, 6_672_000 + y, 385_000 + x + side, 6_672_000 + y + side)


def test_areas_are_surfaces_as_they_are_and_roundabouts_their_ring() -> None:
    ring = square(200, 0, 40)
    rows: list[dict[str, Any]] = [
        {"area:highway": "residential", "geometry": square(0, 0, 10)},
        {"highway": "service", "area": "yes", "geometry": square(20, 0, 10)},
        {"highway": "service", "area": "yes", "geometry": square(40, 0, 10).exterior},
        {"highway": "primary", "junction": "roundabout", "geometry": ring},
        {"highway": "footway", "area": "yes", "geometry": square(60, 0, 10)},
        {"area:highway": "footway", "geometry": square(80, 0, 10)},
        {"highway": "service", "geometry": square(100, 0, 10)},
    ]
    roads = road_surfaces(features(rows), UTM)
    found = roads.surfaces.sort_index()
    assert found.index.tolist() == [0, 1, 2, 3]
    assert found["rule"].tolist() == ["area"] * 3 + ["highway"]
    assert found.area.tolist()[:3] == [100.0] * 3
    np.testing.assert_array_equal(found["width_m"], [np.nan] * 3 + [8.0])
    assert found.geometry[3].equals(ring.exterior.buffer(4, quad_segs=8))
    assert sorted(line is not None for line in roads.lines) == [False] * 3 + [True]
    assert roads.report.dropped == {"not a road (highway=footway)": 2, "not a line": 1}
    assert roads.report.km_by_rule["area"] == 0
    assert roads.report.km_by_rule["highway"] == pytest.approx(0.16)


def test_a_closed_line_is_an_area_where_tagged_so_unless_it_crosses_itself() -> None:
    ring = square(0, 0, 10).exterior
    eight = shapely.LineString([ring.coords[k] for k in (0, 2, 1, 3, 0)])
    tags = {"highway": "service", "area": "yes"}
    rows = [tags | {"geometry": line} for line in (ring, shapely.LineString(ring.coords), eight)]
    found = road_surfaces(features(rows), UTM).surfaces.sort_index()
    assert found["rule"].tolist() == ["area", "area", "highway"]
    assert found.area.tolist()[:2] == [100.0, 100.0]


def test_bridges_are_over_roads_over_tunnels_and_minor_under_major() -> None:
    rows: list[dict[str, Any]] = [
        {"highway": "motorway"},
        {"highway": "service", "bridge": "yes"},
        {"highway": "motorway", "tunnel": "yes", "layer": "3"},
        {"highway": "primary", "layer": 1.0},
        {"highway": "track", "layer": "-1"},
        {"highway": "track"},
        {"highway": "residential", "layer": "ground"},
        {"highway": "residential", "layer": "-99999"},
    ]
    roads = road_surfaces(features(rows), UTM, tunnels=True)
    assert roads.surfaces.index.tolist()[:3] == [2, 4, 5]
    assert set(roads.surfaces.index.tolist()[3:5]) == {6, 7}
    assert roads.surfaces.index.tolist()[5:] == [0, 1, 3]
    assert roads.surfaces["level"].tolist() == [3, -1, 0, 0, 0, 0, 1, 1]
    assert roads.report.ignored == {
        "layer not understood (layer='ground')": 1,
        "layer out of range": 1,
    }
    without = road_surfaces(features(rows), UTM)
    assert without.surfaces.index.tolist() == roads.surfaces.index.tolist()[1:]


def test_levels() -> None:
    tags = [
        ({"layer": "50"}, 50),
        ({"layer": "-50"}, -50),
        ({"layer": "51"}, 0),
        ({"layer": "-51"}, 0),
        ({"bridge": "yes"}, 1),
        ({"tunnel": "yes"}, -1),
        ({"tunnel": "yes", "bridge": "yes"}, 1),
        ({"tunnel": "yes", "layer": "0"}, 0),
    ]
    roads = road_surfaces(features([row for row, _ in tags]), UTM, tunnels=True)
    assert roads.surfaces.sort_index()["level"].tolist() == [level for _, level in tags]
    assert roads.report.ignored == {"layer out of range": 2}


def test_lanes_from_a_half_to_255_are_counted() -> None:
    lanes = {"0.4": 0, "0.5": 1, "1.9": 1, "28": 28, "255": 255, "256": 0}
    rows = [{"highway": "service", "lanes": text} for text in lanes]
    found = road_surfaces(features(rows), UTM).surfaces.sort_index()
    assert found["lanes"].tolist() == [*lanes.values()]


def test_lists_and_every_kind_of_nothing_in_a_column() -> None:
    """As osmnx has them where it merges lines."""
    cells: list[object] = [["2", "3"], None, np.nan, pd.NA, pd.NaT, ["2"]]
    roads = road_surfaces(features([{"highway": "service", "lanes": cell} for cell in cells]), UTM)
    assert roads.surfaces.sort_index()["lanes"].tolist() == [0, 0, 0, 0, 0, 2]
    assert roads.report.ignored == {"lanes not understood (lanes='2;3')": 1}


def test_every_word_for_a_direction_is_understood() -> None:
    yes = ["yes", "true", "1", "-1", "reverse", "f", "t"]
    no = ["no", "false", "0", "b", "reversible", "alternating"]
    rows = [{"highway": "motorway", "oneway": word} for word in (*yes, *no, "")]
    roads = road_surfaces(features(rows), UTM)
    assert roads.surfaces.sort_index()["oneway"].tolist() == [True] * 7 + [False] * 6 + [True]
    assert roads.report.ignored == {}


def test_columns_say_class_lanes_and_direction() -> None:
    rows: list[dict[str, Any]] = [
        {"highway": "motorway", "lanes": "3"},
        {"highway": "service", "lanes": "1.5", "oneway": "maybe"},
        {"highway": "track", "lanes": "999", "oneway": True},
        {"highway": "primary", "lanes": None, "oneway": "no"},
    ]
    roads = road_surfaces(features(rows), UTM)
    found = roads.surfaces.sort_index()
    assert found["road_class"].tolist() == [1, 4, 5, 2]
    assert found["lanes"].tolist() == [3, 1, 0, 0]
    assert found["oneway"].tolist() == [True, False, True, False]
    assert found["road_class"].dtype == found["lanes"].dtype == np.uint8
    assert roads.report.by_class == {name: int(name != "minor") for name in default_rules().classes}
    assert roads.report.km_by_class["motorway"] == pytest.approx(0.1)
    assert roads.report.ignored["oneway not understood (oneway='maybe')"] == 1
    assert ("class", "motorway", 1, 0.1) in roads.report.rows()
    assert ("tag not used", "lanes out of range", 1, 0.0) in roads.report.rows()


@settings(deadline=None, max_examples=25)
@given(st.data())
def test_order_of_features_changes_nothing(data: st.DataObject) -> None:
    """Not the surfaces, nor the order in which they cover each other."""
    tile = TileGrid(UTM, 1.0, 64).tile(-100_000, 9_000)
    lines = data.draw(road_lines(tile, most=8))
    words = st.sampled_from(["primary", "service", "track"])
    lines["highway"] = [data.draw(words) for _ in range(len(lines))]
    lines["layer"] = [data.draw(st.sampled_from(["0", "1", ""])) for _ in range(len(lines))]
    lines = pd.concat([lines, lines.iloc[:2]], ignore_index=True)
    mixed = lines.iloc[data.draw(st.permutations(range(len(lines))))]
    here, there = (road_surfaces(each, UTM).surfaces for each in (lines, mixed))
    assert (
        here.drop(columns="geometry")
        .reset_index(drop=True)
        .equals(there.drop(columns="geometry").reset_index(drop=True))
    )
    assert shapely.equals_exact(here.geometry.to_numpy(), there.geometry.to_numpy()).all()


def test_roads_alike_in_all_but_their_direction_or_kind_have_an_order() -> None:
    rows = [
        {"highway": kind, "width": "6", "geometry": line}
        for kind in ("tertiary", "residential")
        for line in (LINE, LINE.reverse(), LINE)
    ]
    for turn in (range(6), range(5, -1, -1), (2, 4, 1, 0, 5, 3), (0, 3), (3, 0), (0, 1), (1, 0)):
        roads = road_surfaces(features([rows[k] for k in turn]), UTM)
        kinds = roads.surfaces["highway"]
        found = [(line.wkb, kind) for line, kind in zip(roads.lines, kinds, strict=True)]
        assert found == sorted((rows[k]["geometry"].wkb, rows[k]["highway"]) for k in turn)


def rules_with(tmp_path: Path, text: str) -> RoadRules:
    """The rules that come with rsaug with some of a user's over them."""
    path = tmp_path / "own.toml"
    path.write_text(text)
    return read_rules(path)


def test_rules_of_a_user_go_first(tmp_path: Path) -> None:
    rules = rules_with(
        tmp_path,
        """
        [[rule]]
        name = "gravel"
        where = { surface = "gravel", highway = ["residential", "service"] }
        width_m = 4
        class = "track"

        [[rule]]
        name = "private"
        where = { access = "private" }
        drop = true

        [[rule]]
        name = "with a shoulder"
        where = { shoulder = true }
        width_m = 15

        [highway]
        footway = { class = "track", width_m = 2 }
        """,
    )
    rows = [
        {"highway": "service", "surface": "Gravel ", "width": "9", "shoulder": "yes"},
        {"highway": "primary", "surface": "gravel", "width": "9", "shoulder": "no"},
        {"highway": "primary", "shoulder": "left"},
        {"highway": "footway"},
        {"highway": "service", "access": "private"},
    ]
    roads = road_surfaces(features(rows), UTM, rules)
    found = roads.surfaces.sort_index()
    assert found["width_m"].tolist() == [4, 9, 15, 2]
    assert found["rule"].tolist() == ["gravel", "width", "with a shoulder", "highway"]
    assert found["road_class"].tolist() == [5, 2, 2, 5]
    assert roads.report.dropped == {"by rule 'private'": 1}
    assert list(roads.report.by_rule) == ["gravel", "with a shoulder", *SOURCES]


def test_other_schemas_are_columns_and_aliases(tmp_path: Path) -> None:
    rules = rules_with(
        tmp_path,
        """
        [columns]
        highway = "MTFCC"
        width = { column = "WIDTH_FT", unit = "ft" }
        [aliases]
        S1100 = "motorway"
        S1400 = "residential"
        """,
    )
    rows: list[dict[str, Any]] = [
        {"MTFCC": "S1100", "WIDTH_FT": 40.0},
        {"MTFCC": "S1400", "WIDTH_FT": None},
        {"MTFCC": "S1820", "WIDTH_FT": 10.0},
    ]
    roads = road_surfaces(features(rows), UTM, rules)
    found = roads.surfaces.sort_index()
    assert found["width_m"].tolist() == [pytest.approx(40 * 0.3048), 7.0]
    assert found["road_class"].tolist() == [1, 3]
    assert roads.report.dropped == {"unknown kind of road (highway='s1820')": 1}


@pytest.mark.parametrize(("cap", "area"), [("flat", 600.0), ("square", 636.0)])
def test_caps(tmp_path: Path, cap: str, area: float) -> None:
    rules = rules_with(tmp_path, f'[defaults]\ncap = "{cap}"')
    surface = road_surfaces(features([{"width": 6}]), UTM, rules).surfaces.geometry.iloc[0]
    assert surface.area == pytest.approx(area)


def test_joins(tmp_path: Path) -> None:
    bend = shapely.LineString([(385_000, 6_672_000), (385_100, 6_672_000), (385_100, 6_672_100)])
    areas = []
    for join in ("bevel", "round", "mitre"):
        rules = rules_with(tmp_path, f'[defaults]\njoin = "{join}"\ncap = "flat"')
        roads = road_surfaces(features([{"width": 6, "geometry": bend}]), UTM, rules)
        areas.append(roads.surfaces.geometry.iloc[0].area)
    assert areas == sorted(set(areas))
    assert areas[2] == pytest.approx(6 * 100 * 2)


def test_mitred_bends_reach_five_half_widths(tmp_path: Path) -> None:
    """The tip is half a width over the sine of half the angle away; a longer one is cut."""
    rules = rules_with(tmp_path, '[defaults]\njoin = "mitre"\ncap = "flat"')
    for sine, reach in ((1 / 4, 4), (1 / 7, 5)):
        half = np.arcsin(sine)
        arms = [(100 * np.cos(turn), 100 * np.sin(turn)) for turn in (half, -half)]
        bend = shapely.LineString(np.array([arms[0], (0, 0), arms[1]]) + ORIGIN)
        roads = road_surfaces(features([{"width": 6, "geometry": bend}]), UTM, rules)
        corners = shapely.get_coordinates(roads.surfaces.geometry.iloc[0]) - ORIGIN
        assert -corners[:, 0].min() == pytest.approx(3 * reach, abs=1e-6)


@pytest.mark.parametrize("style", ["", '[defaults]\ncap = "flat"\njoin = "mitre"'])
@pytest.mark.parametrize("closed", [False, True])
def test_lines_of_very_many_vertices_are_laid_in_parts(
    tmp_path: Path, style: str, closed: bool
) -> None:
    """The parts together are the surface of the whole, and their lines the line."""
    turn = np.linspace(0, 2 * np.pi, 1_277)[: None if closed else 1_100]
    radius = 300 + 20 * np.sin(23 * turn)
    xy = np.stack([radius * np.cos(turn), radius * np.sin(turn)], axis=1) + ORIGIN
    if closed:
        xy[-1] = xy[0]
    line = shapely.LineString(xy)
    rules = rules_with(tmp_path, style)
    roads = road_surfaces(features([{"width": 6, "geometry": line}]), UTM, rules)
    assert len(roads.surfaces) > 10
    assert set(roads.surfaces.index) == {0}
    assert roads.report.by_rule["width"] == 1
    whole = shapely.buffer(line, 3, quad_segs=8, cap_style=rules.cap, join_style=rules.join)
    parts = roads.surfaces.union_all()
    # Bends at the edge between two parts have other chords, a few mm off.
    assert shapely.symmetric_difference(parts, whole).area < 0.01
    assert shapely.hausdorff_distance(parts, whole) < 3 * (1 - np.cos(np.pi / 32)) + 1e-6
    assert shapely.length(roads.lines).sum() == pytest.approx(line.length, rel=2e-3)


def test_a_line_of_a_million_vertices() -> None:
    along = np.linspace(0, 1e5, 1_000_000)
    xy = np.stack([385_000 + along, 6_672_000 + 200 * np.sin(along / 500)], axis=1)
    line = shapely.LineString(xy)
    roads = road_surfaces(features([{"width": 6, "geometry": line}]), UTM)
    assert len(roads.surfaces) > 10_000
    tile = TileGrid(UTM, 1.0, 128).tile(-52_126, 3_010)
    rows, cols = np.mgrid[0.5:128, 0.5:128]
    left, _, _, top = tile.bounds
    near = shapely.clip_by_rect(line, *shapely.buffer(tile.polygon, 10).bounds)
    distance = shapely.distance(shapely.points(left + cols, top - rows), near)
    mask = roads.shapes.burn(tile)
    assert mask.any()
    clear = np.abs(distance - 3) > 0.02
    np.testing.assert_array_equal(mask[clear], distance[clear] < 3)
    assert roads.report.km_by_rule["width"] == pytest.approx(line.length / 1000, abs=1e-3)


def test_hostile_features_are_counted() -> None:
    rng = np.random.default_rng(0)
    rows: list[dict[str, Any]] = [
        {"highway": "service", "width": str(number) + "?"} for number in rng.random(50)
    ]
    rows += [
        {"highway": "service", "width": "1e400"},
        {"highway": "service", "width": "9" * 400},
        {"highway": "x" * 5000},
        {"highway": "service", "geometry": shapely.Point(385_000, 6_672_000)},
        {"highway": "service", "geometry": shapely.LineString([(385_000, np.inf), (1, 1)])},
        {"highway": "service", "geometry": shapely.GeometryCollection([LINE, LINE.centroid])},
        {"highway": "service", "geometry": shapely.MultiLineString([LINE, LINE])},
    ]
    roads = road_surfaces(features(rows), UTM)
    report = roads.report
    assert len(roads.surfaces) == 54
    assert sum(report.by_rule.values()) + sum(report.dropped.values()) == len(rows)
    assert sum(report.ignored.values()) == 52
    assert report.ignored["width not understood (other values)"] == 31
    assert max(map(len, report.dropped)) < 100
    assert report.dropped["not a line"] == 1
    assert (shapely.get_dimensions(roads.lines) == 1).all()
    assert shapely.get_type_id(roads.lines[roads.surfaces.index == 55]).tolist() == [5]


def test_no_road_is_allowed_where_asked() -> None:
    for frame in (features([{"highway": "footway"}]), features([{"highway": "a"}]).iloc[:0]):
        roads = road_surfaces(frame, UTM, allow_none=True)
        assert len(roads.surfaces) == len(roads.lines) == len(roads.shapes) == 0
        assert not roads.shapes.burn(TileGrid(UTM, 1.0, 8).tile(0, 0)).any()
        assert sum(roads.report.by_rule.values()) == 0
