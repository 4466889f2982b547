"""Layouts of labelled places, put together, grown and placed."""

from __future__ import annotations

from dataclasses import replace

import geopandas as gpd
import numpy as np
import pytest
import shapely
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st
from layouttowns import SIDE_M, landcover, roads, table

from rsaug.errors import InputError
from rsaug.grid import TileGrid, parse_crs
from rsaug.layouts.growth import grow
from rsaug.layouts.layout import Layout, areas_frame, extended, roads_frame
from rsaug.layouts.placement import choose_crs, place_layouts
from rsaug.layouts.places import Places, crs_of, read_places
from rsaug.layouts.recombination import CUTS, MOST_PAVED, recombine, turned
from rsaug.layouts.statistics import layout_statistics
from rsaug.layouts.styles import STYLES
from rsaug.layouts.variation import COVERED, vary


@pytest.fixture(scope="module")
def places() -> Places:
    return read_places(table(), roads(), landcover(), side_m=SIDE_M)


def layout(lines: list[list[tuple[float, float]]], width: float = 8.0, **tags: object) -> Layout:
    shapes = [shapely.LineString(line) for line in lines]
    frame = roads_frame(shapes, highway="residential", width=width, **tags)
    return Layout(100.0, frame, areas_frame([], []), "here", (-118.0, 34.0))


def same(a: Layout, b: Layout) -> bool:
    return all(
        x.drop(columns="geometry").equals(y.drop(columns="geometry"))
        and (x.geometry.to_wkb() == y.geometry.to_wkb()).all()
        for x, y in ((a.roads, b.roads), (a.areas, b.areas))
    )


def test_only_training_places_off_the_ground_of_others_are_read(places: Places) -> None:
    assert [place.origin for place in places.layouts] == ["a", "b", "c"]
    assert places.left_out == ("d",)
    assert len(places.sites) == 6
    for place in places.layouts:
        assert place.road_m == pytest.approx(
            SIDE_M + SIDE_M / 2 + 3 * "abc".index(place.origin), abs=0.1
        )
        assert place.areas.geometry.area.sum() == pytest.approx(600, rel=1e-3)
        assert set(place.roads["width"]) == {8.0, 5.0}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"names": ["a", "v"]}, "not in the split 'train', 'v' for one"),
        ({"names": ["t"]}, "not in the split 'train', 't' for one"),
        ({"names": ["d"]}, "no place of the split 'train'"),
        ({"landcover": roads()}, "needs a column 'class'"),
        ({"table": table().drop(columns="epsg")}, r"lacks the columns \['epsg'\]"),
    ],
)
def test_other_places_are_refused(change: dict[str, object], message: str) -> None:
    given = {"table": table(), "roads": roads(), "landcover": None, **change}
    with pytest.raises(InputError, match=message):
        read_places(**given, side_m=SIDE_M)


def test_without_names_of_places_features_go_by_where_they_lie(places: Places) -> None:
    lines, areas = (f.drop(columns="place") for f in (roads(), landcover()))
    found = read_places(table(), lines, areas, side_m=SIDE_M)
    for ours, theirs in zip(found.layouts, places.layouts, strict=True):
        assert ours.road_m == pytest.approx(theirs.road_m, abs=1e-3)
        assert len(ours.areas) == len(theirs.areas)


def test_roads_that_leave_the_square_go_straight_on() -> None:
    lines = np.array([shapely.LineString([(50, 50), (80, 60), (102, 70)])], dtype=object)
    (longer,) = extended(lines, 100.0, 40.0)
    assert longer.length == pytest.approx(lines[0].length + 40)
    assert longer.coords[0] == (50, 50)
    inside = np.array([shapely.LineString([(20, 20), (80, 80)])], dtype=object)
    assert extended(inside, 100.0, 40.0)[0].equals(inside[0])


def test_varied_layouts_keep_widths_and_change_everything_else(places: Places) -> None:
    made = vary(places.layouts, 12, seed=3)
    assert {one.origin for one in made[:3]} == {"a", "b", "c"}
    for one in made:
        place = next(p for p in places.layouts if p.origin == one.origin)
        assert set(one.roads["width"]) <= set(place.roads["width"])
        assert one.at == place.at
        assert one.road_m >= 30
        assert not same(one, place)
        reach = shapely.box(-25.001, -25.001, SIDE_M + 25.001, SIDE_M + 25.001)
        assert shapely.covered_by(one.roads.geometry.to_numpy(), reach).all()
    assert COVERED < 1
    for k, again in enumerate(vary(places.layouts, 3, seed=3)):
        assert same(made[k], again)
    assert not same(made[0], vary(places.layouts, 1, seed=4)[0])


def test_halves_meet_at_their_roads(places: Places) -> None:
    made = recombine(places.layouts, 4, seed=1)
    for one in made:
        first, second = one.origin.split("|")
        assert first != second
        lines = one.roads.geometry.to_numpy()
        gaps = []
        for share in CUTS:
            ends = [
                point
                for line in lines
                for point in (shapely.get_point(line, 0), shapely.get_point(line, -1))
                if abs(point.x - share * SIDE_M) < 1e-6 and 0 < point.y < SIDE_M
            ]
            gaps += [sorted(end.distance(other) for other in ends)[1] for end in ends]
        assert gaps
        assert max(gaps) < 1.0
        assert layout_statistics([one]).road_km_per_km2[0] * 8e-3 < MOST_PAVED * 2
    assert all(same(a, b) for a, b in zip(made, recombine(places.layouts, 4, seed=1), strict=True))


def test_quarters_come_of_several_places_and_too_few_places_are_told(places: Places) -> None:
    more = [
        replace(place, origin=f"{place.origin}{k}") for place in places.layouts for k in range(2)
    ]
    assert all(len(one.origin.split("|")) == 4 for one in recombine(more, 1, pieces=4))
    with pytest.raises(InputError, match="Only 0 of 2 layouts"):
        recombine(places.layouts[:1], 2)
    with pytest.raises(InputError, match="2 or 4 pieces, not 3"):
        recombine(places.layouts, 2, pieces=3)
    with pytest.raises(InputError, match="nothing to join"):
        recombine([layout([[(10, 10), (30, 10)]])], 2)


def test_there_are_eight_positions(places: Places) -> None:
    forms = [turned(places.layouts[0], turn) for turn in range(8)]
    ends = {
        tuple(np.round([*f.roads.geometry.total_bounds, *f.areas.geometry.total_bounds], 3))
        for f in forms
    }
    assert len(ends) == 8
    assert all(f.road_m == pytest.approx(places.layouts[0].road_m) for f in forms)


@pytest.mark.parametrize("kind", STYLES)
def test_grown_layouts_are_whole(kind: str) -> None:
    (one,) = grow(1, 300.0, 5, kinds=(kind,))
    assert same(one, grow(1, 300.0, 5, kinds=(kind,))[0])
    assert one.road_m > 100
    assert one.roads.geometry.is_valid.all()
    assert one.areas.geometry.is_valid.all()
    assert one.roads["width"].between(2.0, 25.0).all()
    # Nothing is built on a road.
    surface = shapely.union_all(
        shapely.buffer(
            one.roads.geometry.to_numpy(), one.roads["width"].astype(float) / 2, cap_style="flat"
        )
    )
    built = one.areas[one.areas["class"] == "building"].geometry.to_numpy()
    assert shapely.area(shapely.intersection(built, surface)).sum() < 1.0
    assert set(one.areas["class"]) <= {
        "building",
        "parking",
        "grass",
        "sport",
        "trees",
        "bare",
        "crops",
        "pool",
        "water",
    }
    if kind == "highway":
        assert (one.roads["highway"] == "motorway").sum() >= 1


def test_kinds_that_do_not_grow_are_refused() -> None:
    with pytest.raises(InputError, match=r"not as \['lunar'\]"):
        grow(1, 300.0, kinds=("lunar",))


def test_layouts_lie_near_their_places_and_on_none(places: Places) -> None:
    grid = TileGrid(parse_crs(32611), 0.6, 200)
    made = vary(places.layouts, 12)
    assert choose_crs(made).to_epsg() == 32611
    placed = place_layouts(made, grid, places)
    tiles = [tile.polygon for one in placed for tile in one.tiles(grid)]
    # A tile between any two: those a tile wider on all sides touch at most.
    pairs = shapely.STRtree(tiles).query(shapely.buffer(tiles, 119.0, join_style="mitre"))
    assert (pairs[0] == pairs[1]).all()
    sites = gpd.GeoSeries([site.box(SIDE_M) for site in places.sites], crs=crs_of(26911))
    labelled = sites.to_crs(32611).to_numpy()
    assert min(shapely.distance(tile, labelled).min() for tile in tiles) >= 119.0
    assert max(shapely.distance(tile, labelled).min() for tile in tiles) < 1500
    again = place_layouts(made, grid, places, tiles)
    more = [tile.polygon for one in again for tile in one.tiles(grid)]
    assert shapely.distance(shapely.union_all(tiles), more).min() >= 119.0
    with pytest.raises(InputError, match="no whole number of tiles of 60 m"):
        place_layouts([replace(made[0], side_m=90.0)], TileGrid(grid.crs, 0.6, 100))
    with pytest.raises(InputError, match="says nothing of where it lies"):
        place_layouts([replace(made[0], at=None)], grid)


CROSS = [[(0.0, 50.0), (100.0, 50.0)], [(50.0, 0.0), (50.0, 100.0)]]


@pytest.mark.parametrize(
    ("lines", "degrees"),
    [
        (CROSS, {"4": 1.0}),
        ([[(0, 50), (100, 50)], [(50, 0), (50, 50)]], {"3": 1.0}),
        # The end of a digitized road lies short of the middle of the other, but on its surface.
        ([[(0, 50), (100, 50)], [(50, 0), (50, 46.5)]], {"3": 1.0}),
        ([[(0, 50), (60, 50)]], {"1": 1.0}),
        ([[(0, 50), (40, 50)], [(40, 50), (100, 60)]], {}),
        # A street that meets both lines of a wide road is one junction.
        ([[(0, 50), (100, 50)], [(0, 54), (100, 54)], [(50, 0), (50, 100)]], {"5+": 1.0}),
    ],
)
def test_junctions_are_counted(
    lines: list[list[tuple[float, float]]], degrees: dict[str, float]
) -> None:
    found = layout_statistics([layout(lines)]).degrees
    assert {name: share for name, share in found.items() if share} == degrees


def test_a_bridge_is_no_junction() -> None:
    one = layout(CROSS, bridge=[None, "yes"], layer=[None, "1"])
    assert layout_statistics([one]).junctions_per_km2[0] == 0


@settings(max_examples=20)
@given(st.floats(0, 360), st.floats(-20, 20))
def test_statistics_are_those_of_the_ground(angle: float, shift: float) -> None:
    one = layout([[(-500, 50), (500, 50)]], width=7.0)
    middle = (
        Affine.translation(50 + shift, 50) @ Affine.rotation(angle) @ Affine.translation(-50, -50)
    )
    turned_one = one.moved(middle)
    found = layout_statistics([turned_one])
    line = turned_one.roads.geometry[0].intersection(one.square)
    assert found.road_km_per_km2[0] == pytest.approx(line.length / 1000 / 0.01)
    assert found.widths["6-8"] == pytest.approx(1.0)
    assert found.width_m == pytest.approx(7.0)
    assert found.junctions_per_km2 == found.ends_per_km2 == (0.0, 0.0)
