"""Captions: the words for what a tile holds, by examples and by what must not change them."""

from __future__ import annotations

import json
import re
from pathlib import Path

import geopandas as gpd
import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import UTM

from rsaug.conditions.caption import SCENES, compose, scene_of
from rsaug.conditions.facts import ROAD_GROUPS, USES, TileFacts, facts_from_maps, tile_facts
from rsaug.conditions.landcover import CLASSES
from rsaug.errors import InputError
from rsaug.grid import TileGrid, parse_crs
from rsaug.roads import road_surfaces
from rsaug.shapes import Shapes

TILE = TileGrid(UTM, 0.5, 200).tile(-5000, 4000)
LEFT, BOTTOM, RIGHT, TOP = TILE.bounds
KM2 = 0.01
_WEIGHTS = Path(__file__).parents[2] / "pipelines" / "weights" / "default"
ENCODER = json.loads((_WEIGHTS / "text_encoder" / "config.json").read_text(encoding="utf-8"))
# What people say and the default model has not learnt.
_OTHER_WORDS = {"interchange", "high"}


class _Roads:
    """Roads as `rsaug.roads.Roads` holds them: surfaces, and their lines beside them."""

    def __init__(self, *roads: tuple[str, list[tuple[float, float]]]) -> None:
        lines = [shapely.LineString([(LEFT + x, BOTTOM + y) for x, y in at]) for _, at in roads]
        self.lines = np.array(lines, dtype=object)
        self.surfaces = gpd.GeoDataFrame(
            {"highway": [kind for kind, _ in roads]}, geometry=shapely.buffer(lines, 3), crs=UTM
        )
        self.shapes = Shapes.of(self.surfaces)
        self.lanes = np.zeros(len(roads), np.uint8)


def _map(**shares: float) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    """A class map of the tile with bands of classes, each of a share of it."""
    classes = np.zeros(TILE.shape, np.uint8)
    row = 0
    for name, share in shares.items():
        rows = round(share * len(classes))
        classes[row : row + rows] = CLASSES.index(name)
        row += rows
    return classes


facts_of_any_tile = st.builds(
    TileFacts,
    area_km2=st.floats(0.005, 1),
    cover=st.dictionaries(st.sampled_from(CLASSES), st.floats(0, 1)),
    road_m=st.dictionaries(st.sampled_from([*ROAD_GROUPS, ""]), st.floats(0, 5000)),
    junctions=st.none() | st.integers(0, 9),
    lanes=st.integers(0, 8),
    buildings=st.none() | st.integers(0, 90),
    building_m2=st.floats(0, 5000),
    tallest_m=st.none() | st.floats(0, 90),
    uses=st.dictionaries(st.sampled_from([*USES]), st.floats(0, 1)),
)


@pytest.mark.parametrize(
    ("facts", "caption"),
    [
        (
            TileFacts(
                KM2,
                {"building": 0.2, "forest": 0.2, "agriculture": 0.2},
                {"residential": 230.0},
                junctions=3,
                buildings=22,
                building_m2=110.0,
            ),
            "Dense residential. A grid of residential streets runs between closely spaced houses, "
            "with lawns and trees.",
        ),
        (
            TileFacts(KM2, {"forest": 0.9}, {"track": 100.0}),
            "Forest. A dirt track crosses an area with dense trees.",
        ),
        (
            TileFacts(
                KM2, {"agriculture": 0.8}, {"unclassified": 100.0}, buildings=2, building_m2=90
            ),
            "Farmland. A two-lane road runs between scattered houses, with large green fields.",
        ),
        (
            TileFacts(KM2, {"forest": 0.2}, {"motorway": 200.0, "primary": 110.0}),
            "Freeway. A wide divided freeway and a wide arterial road cross an area with trees.",
        ),
        (
            TileFacts(KM2, {}, {"motorway": 200.0, "motorway_link": 300.0}),
            "Freeway interchange. Freeway ramps and a wide divided freeway cross the scene.",
        ),
        (
            TileFacts(
                KM2,
                {"building": 0.4},
                {"service": 90.0},
                buildings=3,
                building_m2=1900,
                junctions=0,
            ),
            "Industrial. A service drive runs between scattered very large flat-roofed buildings.",
        ),
        (
            TileFacts(KM2, {}, {"service": 90.0}, buildings=1, building_m2=130),
            "Rural. A service drive runs past a house.",
        ),
        (TileFacts(KM2, {"water": 1.0}), "Water. A large lake covers the ground, without roads."),
        (TileFacts(KM2, {}), "Rural. Open ground without roads."),
        (
            TileFacts(KM2, {"agriculture": 0.6}, {}, uses={"golf": 0.9}),
            "Golf course. Lawns cover the ground, without roads.",
        ),
        (
            TileFacts(KM2, {}, {"primary": 300.0}, lanes=6, junctions=1),
            "Mixed. Wide multi-lane roads with an intersection cross the scene.",
        ),
    ],
)
def test_captions_that_a_person_would_write(facts: TileFacts, caption: str) -> None:
    assert compose(facts) == caption


@settings(max_examples=300, deadline=None)
@given(facts_of_any_tile, st.integers(-5, 20))
def test_any_tile_has_a_caption_in_words_that_the_model_knows(
    facts: TileFacts, wording: int
) -> None:
    caption = compose(facts, wording)
    assert caption == compose(facts, wording)
    words = re.findall("[a-z]+", caption.lower())
    assert set(words) <= {*ENCODER["vocabulary"], *_OTHER_WORDS}
    assert len(words) <= ENCODER["max_length"]
    assert not re.search(r"[{}~]|  ", caption)
    assert caption.startswith(scene_of(facts).capitalize() + ". ")


def test_wordings_differ_and_say_the_same() -> None:
    facts = TileFacts(
        KM2, {"forest": 0.3}, {"residential": 90.0}, buildings=5, building_m2=100, junctions=0
    )
    captions = [compose(facts, wording) for wording in range(4)]
    assert len(set(captions)) == 4
    assert compose(facts, 4) == captions[0]
    for caption in captions:
        for word in ("residential street", "ouses", "rees"):
            assert word in caption


@pytest.mark.parametrize("name", ["forest", "agriculture", "water", "barren"])
def test_more_of_a_cover_is_never_a_weaker_word(name: str) -> None:
    seen = []
    for share in np.linspace(0, 1, 101):
        words = compose(TileFacts(KM2, {name: float(share)}, {"unclassified": 100.0}))
        if words not in seen:
            seen.append(words)
        assert seen[-1] == words, "a word came back that a larger share had left"
    assert len(seen) >= 4


def test_every_scene_but_the_last_can_be_missed_and_the_last_cannot() -> None:
    assert all(scene.at_least or scene.below for scene in SCENES[:-1])
    assert not SCENES[-1].at_least
    assert not SCENES[-1].below


def test_roads_are_measured_inside_the_tile() -> None:
    roads = _Roads(
        ("residential", [(-40, 50), (140, 50)]),
        ("residential", [(50, 50), (50, 400)]),
        ("primary", [(20, 50), (20, 20)]),
        ("service", [(300, 300), (400, 300)]),
    )
    facts = tile_facts(TILE, _map(road=0.2), roads=roads)
    assert facts.road_m == {"primary": 30.0, "residential": 150.0}
    assert facts.road_km_km2 == pytest.approx(18)
    assert facts.road_share == pytest.approx(0.2)
    # A vertex in the middle of the street is missing where the others meet it.
    assert facts.junctions == 0


def test_junctions_are_where_three_arms_meet() -> None:
    cross = _Roads(
        ("residential", [(0, 50), (50, 50), (100, 50)]),
        ("residential", [(50, 0), (50, 50)]),
        ("residential", [(50, 50), (50, 90)]),
        ("service", [(50, 90), (80, 90)]),
        ("service", [(300, 300), (400, 300)]),
    )
    assert tile_facts(TILE, _map(), roads=cross).junctions == 1
    ring = _Roads(("residential", [(20, 20), (60, 20), (60, 60), (20, 20)]))
    assert tile_facts(TILE, _map(), roads=ring).junctions == 0
    spoke = _Roads(
        ("residential", [(20, 20), (60, 20), (60, 60), (20, 20)]),
        ("residential", [(20, 20), (0, 0)]),
    )
    assert tile_facts(TILE, _map(), roads=spoke).junctions == 1


def test_real_roads_of_very_many_vertices_and_split_ones_are_as_long() -> None:
    x = np.linspace(-50, 150, 5001)
    way = shapely.LineString(np.stack([LEFT + x, BOTTOM + 50 + 20 * np.sin(x / 9)], axis=1))
    halves = [shapely.LineString(way.coords[:2001]), shapely.LineString(way.coords[2000:])]
    lanes = {"lanes": "4"}
    whole, parts = (
        road_surfaces(gpd.GeoDataFrame([lanes] * len(ways), geometry=ways, crs=UTM), UTM)
        for ways in ([way], halves)
    )
    first, second = (tile_facts(TILE, _map(), roads=roads) for roads in (whole, parts))
    inside = shapely.clip_by_rect(way, *TILE.bounds)
    assert sum(first.road_m.values()) == pytest.approx(inside.length, rel=1e-4)
    assert first == second
    assert first.lanes == 4
    assert first.junctions == 0


@settings(deadline=None, max_examples=25)
@given(st.permutations(range(6)), st.integers(0, 3))
def test_the_order_of_features_does_not_matter(order: list[int], wording: int) -> None:
    kinds = ["residential", "residential", "service", "primary", "track", "residential"]
    across = [(kind, [(0, 11.1 * k), (37.7, 50), (99, 13.3 * k)]) for k, kind in enumerate(kinds)]
    houses = np.array(
        [shapely.box(LEFT + 15 * k, BOTTOM, LEFT + 15 * k + 8 + k, BOTTOM + 9) for k in range(6)]
    )
    heights = np.array([3, np.nan, 9, 30, 4, 5.0])
    classes = _map(forest=0.3, building=0.1)
    first, second = (
        tile_facts(
            TILE,
            classes,
            roads=_Roads(*(across[k] for k in ranks)),
            buildings=Shapes(houses[ranks], UTM),
            heights_m=heights[ranks],
        )
        for ranks in (list(range(6)), order)
    )
    assert first == second
    assert compose(first, wording) == compose(second, wording)


def test_buildings_count_in_the_tile_of_their_middle() -> None:
    grid = TileGrid(UTM, 0.5, 200)
    outlines = [
        shapely.box(LEFT - 4 + 20 * k, BOTTOM + 5, LEFT + 8 + 20 * k, BOTTOM + 15)
        for k in range(11)
    ]
    shapes = Shapes(np.array(outlines), UTM)
    tiles = [grid.tile(TILE.row, TILE.col + step) for step in (-1, 0, 1, 2)]
    counts = [tile_facts(tile, _map(), buildings=shapes).buildings or 0 for tile in tiles]
    assert counts == [0, 5, 5, 1]
    facts = tile_facts(TILE, _map(), buildings=shapes, heights_m=np.arange(11.0))
    assert facts.building_m2 == pytest.approx(120)
    assert facts.tallest_m == 4


def test_uses_are_shares_without_what_overlaps() -> None:
    areas = gpd.GeoDataFrame(
        {"leisure": ["park", "pitch", None], "landuse": [None, None, "industrial"]},
        geometry=[
            shapely.box(LEFT - 50, BOTTOM, LEFT + 50, TOP),
            shapely.box(LEFT + 10, BOTTOM, LEFT + 20, TOP),
            shapely.box(RIGHT - 25, BOTTOM, RIGHT + 500, TOP),
        ],
        crs=UTM,
    )
    facts = tile_facts(TILE, _map(), areas=areas)
    assert facts.uses == {"park": pytest.approx(0.5), "industrial": pytest.approx(0.25)}
    assert scene_of(facts) == "park"


def test_maps_alone_tell_most_of_it() -> None:
    classes = _map(forest=0.25)
    classes[100:112] = CLASSES.index("road")
    for k in range(4):
        classes[130:150, 10 + 40 * k : 34 + 40 * k] = CLASSES.index("building")
    facts = facts_from_maps(classes, gsd_m=0.5)
    assert facts.cover["forest"] == 0.25
    assert sum(facts.cover.values()) == pytest.approx(1)
    assert facts.buildings == 4
    assert facts.building_m2 == pytest.approx(120)
    assert facts.road_m[""] == pytest.approx(100, rel=0.15)
    assert compose(facts) == "Residential. A road runs between scattered houses, with trees."


def test_a_road_mask_counts_as_roads_in_the_map() -> None:
    classes = _map(forest=1.0)
    mask = np.zeros(TILE.shape, np.uint8)
    mask[:, 90:102] = 1
    drawn = np.where(mask, CLASSES.index("road"), classes).astype(np.uint8)
    assert facts_from_maps(classes, mask, gsd_m=0.5) == facts_from_maps(drawn, gsd_m=0.5)


@pytest.mark.parametrize("width", [3, 8, 16])
def test_length_of_a_diagonal_road_from_its_map(width: int) -> None:
    row, col = np.mgrid[:400, :400]
    road = np.abs(row - col) / np.sqrt(2) <= width / 2
    facts = facts_from_maps(np.where(road, 2, 0).astype(np.uint8), gsd_m=1.0)
    assert facts.road_m[""] == pytest.approx(400 * np.sqrt(2), rel=0.2)


def test_web_mercator_is_measured_on_the_ground() -> None:
    lonlat = gpd.GeoSeries(shapely.points([[24.0, 60.0]]), crs=4326)
    x, y = (float(part.iloc[0]) for part in (lonlat.to_crs(3857).x, lonlat.to_crs(3857).y))
    grid = TileGrid(parse_crs(3857), 1.0, 100)
    tile = grid.tile(-int(y // 100), int(x // 100))
    facts = tile_facts(tile, np.zeros((100, 100), np.uint8))
    assert facts.area_km2 == pytest.approx(0.01 * np.cos(np.radians(60)) ** 2, rel=0.01)


def test_maps_that_do_not_fit_are_refused() -> None:
    with pytest.raises(InputError, match="reaches 9"):
        facts_from_maps(np.full((4, 4), 9, np.uint8), gsd_m=1)
    with pytest.raises(InputError, match="road map is"):
        facts_from_maps(np.zeros((4, 4), np.uint8), np.zeros((5, 4), np.uint8), gsd_m=1)
    with pytest.raises(InputError, match="GSD"):
        facts_from_maps(np.zeros((4, 4), np.uint8), gsd_m=0)
    with pytest.raises(InputError, match="class map is"):
        tile_facts(TILE, np.zeros((4, 4), np.uint8))
