"""Texts from what is measured on an image: what is said is so, and all of it can be learnt."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pytest
from affine import Affine
from hypothesis import given
from hypothesis import strategies as st
from pyproj import CRS
from shapely.geometry import LineString, box

from rsaug.conditions.facts import TileFacts
from rsaug.conditions.landcover import CLASSES
from rsaug.grid import Tile
from rsaug.pipelines.text import CaptionEncoder, learn_vocabulary, split_words
from rsaug.pipelines.train.captions import (
    FACTS,
    Fact,
    Facts,
    compose_texts,
    count_lines,
    describe,
    measure_facts,
    mix_texts,
    outlined_areas,
)
from rsaug.pipelines.train.pack import read_pack
from rsaug.roads import road_surfaces

SIDE = 64
MEASURES = sorted({name for fact in FACTS for name in (*fact.at_least, *fact.below)})
LIMITS = {
    name: sorted(
        {
            limit
            for fact in FACTS
            for side in (fact.at_least, fact.below)
            for key, limit in side.items()
            if key == name
        }
    )
    for name in MEASURES
}


def flat(*colour: int) -> np.ndarray[Any, np.dtype[np.uint8]]:
    return np.full((SIDE, SIDE, 3), colour, dtype=np.uint8)


NO_ROAD = np.zeros((SIDE, SIDE), dtype=np.uint8)


def wordings(fact: Fact) -> tuple[str, ...]:
    return fact.adjectives + fact.phrases


def measures() -> st.SearchStrategy[dict[str, float]]:
    """Numbers at, below and above the limits of some of the measures."""
    around = {
        name: st.sampled_from([x for limit in limits for x in (limit - 1e-3, limit, limit + 1e-3)])
        for name, limits in LIMITS.items()
    }
    return st.fixed_dictionaries({}, optional=around)


@given(measures(), st.text(max_size=8), st.integers(0, 3))
def test_what_is_said_is_so(known: dict[str, float], key: str, seed: int) -> None:
    facts = Facts(known, scene="desert", year=2018)
    allowed = {words for fact in facts.true() for words in wordings(fact)} | {"desert"}
    texts = describe(facts, key, seed)
    assert texts == describe(facts, key, seed)
    for text in texts:
        assert len(split_words(text)) <= 32
        if not text.endswith("."):
            assert set(text.split(", ")) <= allowed
            continue
        left = text
        for words in sorted(allowed, key=len, reverse=True):
            left = left.replace(words, "")
        rest = {"aerial", "a", "an", "photograph", "image", "view", "of", "from", "above", "seen"}
        assert set(split_words(left)) <= rest | {"area", "with", "and", "in"}


@given(measures())
def test_a_fact_holds_within_its_limits(known: dict[str, float]) -> None:
    for fact in FACTS:
        limits = [(name, low, np.inf) for name, low in fact.at_least.items()]
        limits += [(name, -np.inf, high) for name, high in fact.below.items()]
        so = all(low <= known.get(name, np.nan) < high for name, low, high in limits)
        assert fact.holds(known) == so


def test_facts_of_one_measure_do_not_overlap() -> None:
    for name, limits in LIMITS.items():
        for value in (x for limit in limits for x in (limit - 1e-3, limit + 1e-3)):
            held = [fact for fact in FACTS if fact.holds({name: value})]
            assert len(held) <= 1


def test_all_is_said_in_the_end() -> None:
    """Each wording of each fact occurs where the fact holds, and no wording belongs to two."""
    every = [words for fact in FACTS for words in wordings(fact)]
    assert len(every) == len(set(every))
    for fact in FACTS:
        known = {name: low + 1e-3 for name, low in fact.at_least.items()}
        known |= {name: high - 1e-3 for name, high in fact.below.items() if name not in known}
        facts = Facts(known)
        assert fact in facts.true()
        said = {
            words
            for key in range(40)
            for text in describe(facts, str(key))
            for words in ([*text.split(", ")])
        }
        assert set(wordings(fact)) <= said


def test_the_key_decides_and_the_kinds_alternate() -> None:
    facts = Facts({"vegetation": 0.6, "luma": 130, "roads": 0})
    texts = {key: describe(facts, key) for key in ("a", "b", "c")}
    assert len(set(texts.values())) == 3
    assert describe(facts, "a", seed=1) != texts["a"]
    assert any(text.endswith(".") for text in texts["a"])
    assert any(not text.endswith(".") for text in texts["a"])
    assert describe(Facts({}), "a") == ()


def test_texts_of_a_map_have_the_scene_that_a_person_saw() -> None:
    held = TileFacts(area_km2=0.02, cover={"forest": 0.2}, road_m={"residential": 300.0})
    last = compose_texts(Facts({}, scene="park"), held, "a")[-1]
    assert last.startswith("park. ")
    assert "treet" in last
    assert compose_texts(Facts({}), held, "a")[-1].startswith("residential. ")
    assert compose_texts(Facts({"roads": 0}), held, "a", 0) == ()


@pytest.mark.parametrize(
    ("colour", "words"),
    [
        ((30, 30, 30), "dark"),
        ((130, 130, 130), "bright"),
        ((180, 180, 180), "sunlit"),
        ((20, 160, 20), "lush"),
        ((150, 120, 110), "reddish"),
        ((160, 160, 110), "sandy"),
        ((60, 120, 60), "greenish"),
        ((90, 95, 130), "bluish"),
        ((112, 112, 112), "gray"),
        ((200, 40, 40), "vivid"),
    ],
)
def test_flat_colours_are_called_by_their_names(colour: tuple[int, int, int], words: str) -> None:
    def said(*of: int) -> set[str]:
        facts = measure_facts(flat(*of), NO_ROAD).true()
        return {each for fact in facts for each in wordings(fact)}

    assert words in said(*colour)
    # Between all limits but those of vegetation and contrast.
    assert words not in said(116, 113, 103)


def test_plants_are_told_by_the_near_infrared_where_it_is_there() -> None:
    nothing, all_over = NO_ROAD, NO_ROAD + 1
    green, grey = flat(20, 160, 20), flat(100, 100, 100)
    assert measure_facts(green, NO_ROAD).measures["vegetation"] == 1
    assert measure_facts(green, NO_ROAD, vegetation=nothing).measures["vegetation"] == 0
    assert measure_facts(grey, NO_ROAD, vegetation=all_over).measures["vegetation"] == 1
    assert measure_facts(flat(0, 0, 0), NO_ROAD).measures["vegetation"] == 0


def test_shares_and_roads() -> None:
    rgb = flat(200, 200, 200)
    rgb[: SIDE // 4] = 10
    road = NO_ROAD.copy()
    road[:, :8] = 1
    seen = np.full((SIDE, SIDE), CLASSES.index("barren"), dtype=np.uint8)
    seen[:16] = CLASSES.index("forest")
    facts = measure_facts(
        rgb, road, seen=seen, gsd_m=0.5, road_m={"residential": 32.0}, road_lines=1
    )
    has = facts.measures
    assert has["shadow"] == 0.25
    assert (has["barren"], has["forest"], has["building"]) == (0.75, 0.25, 0)
    assert (has["roads"], has["road_width_m"], has["street_sides"]) == (1, 4.0, 1.0)
    bare = measure_facts(rgb, NO_ROAD, gsd_m=0.5, road_m={"residential": 0.0}).measures
    assert bare["roads"] == 0
    assert "road_width_m" not in bare
    assert "roads" not in measure_facts(rgb, road).measures


@pytest.mark.parametrize(
    ("metres", "lines", "roads"), [(64, 2, 2), (20, 1, 1), (96, 9, 3), (64, 1, 1), (320, 5, 5)]
)
def test_roads_are_counted_by_length_and_lines(metres: float, lines: int, roads: int) -> None:
    known = measure_facts(
        flat(0, 0, 0), NO_ROAD + 1, gsd_m=0.5, road_m={"": metres}, road_lines=lines
    )
    assert known.measures["roads"] == roads


def test_lines_that_go_on_in_each_other_are_one() -> None:
    tile = Tile.from_transform(Affine(1, 0, 0, 0, -1, SIDE), (SIDE, SIDE), CRS(32633))
    ways = [
        LineString([(-5, 30), (20, 30)]),
        LineString([(20, 30), (90, 30)]),
        LineString([(10, 0), (10, 60)]),
        LineString([(-20, -20), (-10, -10)]),
    ]
    lines = gpd.GeoDataFrame(
        {"highway": "residential"}, geometry=ways, crs=tile.crs, index=range(4)
    )
    assert count_lines(road_surfaces(lines, tile.crs), tile) == 2


def test_outlined_areas_are_those_inside() -> None:
    tile = Tile.from_transform(Affine(1, 0, 0, 0, -1, SIDE), (SIDE, SIDE), CRS(32633))
    table = {
        "class": ["building", None, "pool", None, "water"],
        "building": [None, "yes", None, "no", None],
        "amenity": [None, None, None, "parking", None],
    }
    shapes = [
        box(0, 0, 10, 10),
        box(-10, 0, 40, 10),
        box(20, 20, 25, 25),
        box(30, 30, 100, 40),
        box(200, 200, 300, 300),
    ]
    areas = gpd.GeoDataFrame(table, geometry=shapes, crs=tile.crs)
    found = outlined_areas(areas, tile)
    assert found == {"roof": 400.0, "pool": 25.0, "parking": 340.0}


@given(st.integers(0, 4), st.integers(0, 12))
def test_texts_by_hand_are_a_third(by_hand: int, composed: int) -> None:
    written = tuple(f"w{k}" for k in range(by_hand))
    others = tuple(f"c{k}" for k in range(composed))
    mixed = mix_texts(written, others)
    assert set(mixed) == {*written, *others}
    assert mixed[:by_hand] == written
    if by_hand and composed > 2 * by_hand:
        share = sum(text in written for text in mixed) / len(mixed)
        assert share == pytest.approx(1 / 3, abs=0.09)


def _every_text() -> Iterator[str]:
    """Texts of images of which each fact of the table holds in some."""
    for nth, fact in enumerate(FACTS):
        known = {name: low + 1e-3 for name, low in fact.at_least.items()}
        known |= {name: high - 1e-3 for name, high in fact.below.items() if name not in known}
        for k in range(20):
            yield from describe(Facts(known), f"{nth} {k}")


def test_every_word_is_learnt() -> None:
    words = set(learn_vocabulary(_every_text()))
    encoder = CaptionEncoder(sorted(words), dim=8, heads=2)
    for fact in FACTS:
        for each in wordings(fact):
            assert encoder.unknown_words(each) == []


def test_real_images_are_described(data_dir: Path) -> None:
    """Real images, without a network: there is something to say of all."""
    pack = read_pack(data_dir / "naip-roads", "train", limit=24)
    assert all(8 <= len(texts) <= 12 for texts in pack.captions)
    assert max(len(split_words(t)) for texts in pack.captions for t in texts[3:]) <= 32
