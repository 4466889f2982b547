"""A caption of a tile, composed from what its vectors or its maps hold.

First what a tile holds is measured, then the measures are put into words. The words are those of
aerial photographs' captions, as the default model has learnt them: the kind of scene, then one
sentence. Every threshold is in one of the tables of this module.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from rsaug.conditions.facts import TileFacts


class Scene(NamedTuple):
    """One kind of scene and when a tile is one.

    Attributes:
        name: Its name, the first words of a caption.
        at_least: Measures of the tile (`measures`) and what each must reach.
        below: Measures and what each must stay below.
    """

    name: str
    at_least: Mapping[str, float]
    below: Mapping[str, float] = {}


SCENES: tuple[Scene, ...] = (
    Scene("freeway interchange", {"freeway_km_km2": 4.0, "ramp_km_km2": 3.0}),
    Scene("freeway", {"freeway_km_km2": 5.0}),
    Scene("airport", {"use airport": 0.5}),
    Scene("industrial", {"use industrial": 0.5}),
    Scene("commercial", {"use commercial": 0.5}),
    Scene("school", {"use school": 0.5}),
    Scene("cemetery", {"use cemetery": 0.5}),
    Scene("golf course", {"use golf": 0.5}),
    Scene("park", {"use park": 0.5}),
    Scene("water", {"water": 0.6}),
    Scene("industrial", {"building": 0.25, "building_m2": 1500.0}),
    Scene("commercial", {"building": 0.15, "building_m2": 500.0}),
    Scene("dense residential", {"building": 0.12, "buildings_a_hectare": 15.0}),
    Scene("residential", {"buildings_a_hectare": 4.0}, {"building_m2": 500.0}),
    Scene("residential", {"use residential": 0.5, "street_km_km2": 5.0}),
    Scene("residential", {"street_km_km2": 8.0}),
    Scene("forest", {"forest": 0.6}),
    Scene("farmland", {"agriculture": 0.5}),
    Scene("vacant", {"barren": 0.5}),
    Scene("woodland", {"forest": 0.35}),
    Scene("rural", {}, {"buildings_a_hectare": 2.0, "road_km_km2": 12.0}),
    Scene("mixed", {}),
)
"""Kinds of scene; a tile is the first that it fulfils. Lengths a square kilometre, shares in [0, 1]
and areas in square metres."""


class RoadWords(NamedTuple):
    """What a kind of road is called: one of them, and several."""

    one: str
    several: str


_ROADS: Mapping[str, RoadWords] = {
    "freeway": RoadWords("a wide divided freeway", "a wide divided freeway"),
    "ramp": RoadWords("a freeway ramp", "freeway ramps"),
    "arterial": RoadWords("a wide arterial road", "wide arterial roads"),
    "road": RoadWords("a two-lane road", "two-lane roads"),
    "street": RoadWords("a residential street", "residential streets"),
    "lane": RoadWords("a narrow road", "narrow roads"),
    "drive": RoadWords("a service drive", "service drives"),
    "track": RoadWords("a dirt track", "dirt tracks"),
    "unknown": RoadWords("a road", "roads"),
}

# A second kind of road is named from this share of the length on.
_SECOND_ROAD = 0.25
# A tile with more road than this many of its sides holds several roads of its main kind.
_SEVERAL_SIDES = 1.6
_GRID_KM_KM2 = 22.0
_SEVERAL_JUNCTIONS = 2

# What buildings are called from this median footprint on, in square metres.
_BUILDINGS: tuple[tuple[float, str, str], ...] = (
    (1500.0, "a very large flat-roofed building", "very large flat-roofed buildings"),
    (450.0, "a large building", "large buildings"),
    (220.0, "a large house", "large houses"),
    (60.0, "a house", "houses"),
    (0.0, "a small building", "small buildings"),
)
# How they stand, from this many a hectare on.
_SPACING: tuple[tuple[float, str], ...] = (
    (20.0, "closely spaced "),
    (5.0, ""),
    (0.0, "scattered "),
)
_TALL_M = 25.0

# What cover is called from this share on, by class; within a class from the most to the least.
_COVER: Mapping[str, tuple[tuple[float, str], ...]] = {
    "forest": ((0.45, "dense trees"), (0.15, "trees"), (0.03, "scattered trees")),
    "agriculture": ((0.4, "large green fields"), (0.12, "fields"), (0.03, "grass")),
    "water": ((0.4, "a large lake"), (0.08, "water"), (0.02, "a pond")),
    "barren": ((0.4, "large bare ground"), (0.12, "bare ground"), (0.03, "bare lots")),
}
# Among houses what is green and no wood is called by another name.
_HOME_COVER = ((0.12, "lawns"), (0.03, "grass"))
_HOMES = ("residential", "dense residential", "school", "park", "cemetery", "golf course")
_SINGULAR = ("a pond", "a large lake", "water", "grass", "bare ground", "large bare ground")
_MOST_COVERS = 2

# By what is there, first the roads, then the buildings, then the cover. "~" is the ending of the
# verb, as the first thing named asks for.
_SENTENCES: Mapping[tuple[bool, bool, bool], tuple[str, ...]] = {
    (True, True, True): (
        "{roads} run~ between {buildings}, with {cover}",
        "{buildings} stand~ along {roads}, with {cover}",
        "{roads} pass~ {buildings} beside {cover}",
        "{buildings} and {cover} line {roads}",
    ),
    (True, True, False): (
        "{roads} run~ between {buildings}",
        "{buildings} stand~ along {roads}",
        "{roads} pass~ {buildings}",
        "{buildings} line~ {roads}",
    ),
    (True, False, True): (
        "{roads} cross~ an area with {cover}",
        "{cover} surround~ {roads}",
        "{roads} run~ past {cover}",
        "{cover} border~ {roads}",
    ),
    (False, True, True): (
        "{buildings} stand~ among {cover}, without roads",
        "{cover} surround~ {buildings}, without roads",
    ),
    (True, False, False): ("{roads} cross~ the scene", "{roads} run~ across the area"),
    (False, True, False): ("{buildings} stand~ on open ground, without roads",),
    (False, False, True): (
        "{cover} cover~ the ground, without roads",
        "{cover} fill~ the scene, without roads",
    ),
    (False, False, False): ("open ground without roads", "open land without roads"),
}


class Phrase(NamedTuple):
    """Some words and whether a verb after them is plural."""

    text: str
    plural: bool = True


def scene_of(facts: TileFacts) -> str:
    """The kind of scene, one of `SCENES`."""
    has = facts.measures()
    for scene in SCENES:
        enough = all(has.get(name, 0.0) >= least for name, least in scene.at_least.items())
        if enough and all(has.get(name, 0.0) < most for name, most in scene.below.items()):
            return scene.name
    return SCENES[-1].name


def compose(facts: TileFacts, wording: int = 0) -> str:
    """The caption of a tile: its scene and one sentence, in at most 32 words of English.

    The same facts and the same wording give the same caption.

    >>> from rsaug.conditions.facts import TileFacts
    >>> village = TileFacts(
    ...     area_km2=0.0236,
    ...     cover={"building": 0.14, "forest": 0.2, "road": 0.08},
    ...     road_m={"residential": 290.0},
    ...     junctions=0,
    ...     buildings=26,
    ...     building_m2=130.0,
    ... )
    >>> compose(village)
    'Residential. Residential streets run between houses, with trees.'
    >>> compose(village, wording=1)
    'Residential. Houses stand along residential streets, with trees.'

    Args:
        facts: What the tile holds.
        wording: Any whole number; it chooses among a few ways to say the same.
    """
    scene = scene_of(facts)
    roads, buildings = _roads(facts), _buildings(facts)
    cover = _cover(facts, scene)
    there = {"roads": roads, "buildings": buildings, "cover": cover}
    sentences = _SENTENCES[roads is not None, buildings is not None, cover is not None]
    words = sentences[wording % len(sentences)]
    if buildings is not None and not buildings.plural:
        words = words.replace("between", "past").replace("line~", "stand~ beside")
    for name, phrase in there.items():
        if phrase is not None:
            if words.startswith(f"{{{name}}}"):
                words = _conjugated(words, phrase.plural)
            words = words.replace(f"{{{name}}}", phrase.text)
    return f"{_capital(scene)}. {_capital(words)}."


def _roads(facts: TileFacts) -> Phrase | None:
    """The roads of a tile in words; None where there is none."""
    total = sum(facts.road_m.values())
    if total <= 0:
        return None
    by_group = facts.road_groups_m()
    ranked = sorted(by_group.items(), key=lambda item: (-item[1], item[0]))
    main, length_m = ranked[0]
    several = length_m > _SEVERAL_SIDES * facts.side_m and main != "freeway"
    words = _ROADS[main].several if several else _ROADS[main].one
    if facts.lanes >= 4 and main in ("arterial", "road"):
        words = "wide multi-lane roads" if several else "a wide multi-lane road"
    many = (facts.junctions or 0) >= _SEVERAL_JUNCTIONS
    if several and many and len(ranked) == 1 and facts.road_km_km2 >= _GRID_KM_KM2:
        return Phrase(f"a grid of {words}", plural=False)
    if len(ranked) > 1 and ranked[1][1] >= _SECOND_ROAD * total:
        second, second_m = ranked[1]
        more = second_m > _SEVERAL_SIDES * facts.side_m
        return Phrase(f"{words} and {_ROADS[second].several if more else _ROADS[second].one}")
    if facts.junctions:
        words += " with several intersections" if many else " with an intersection"
    return Phrase(words, several)


def _buildings(facts: TileFacts) -> Phrase | None:
    """The buildings of a tile in words; None where there is none."""
    if not facts.buildings:
        return None
    one, several = next(
        (one, several) for least, one, several in _BUILDINGS if facts.building_m2 >= least
    )
    tall = facts.tallest_m is not None and facts.tallest_m >= _TALL_M
    if facts.buildings == 1:
        return Phrase("a single high building" if tall else one, plural=False)
    a_hectare = facts.measures()["buildings_a_hectare"]
    spacing = next(word for least, word in _SPACING if a_hectare >= least)
    return Phrase(f"{spacing}{'high buildings' if tall else several}")


def _cover(facts: TileFacts, scene: str) -> Phrase | None:
    """The cover of a tile in words, the largest share first; None where there is little."""
    named = []
    for name, words in _COVER.items():
        if name == "agriculture" and scene in _HOMES:
            words = _HOME_COVER
        share = facts.cover.get(name, 0.0)
        found = next((word for least, word in words if share >= least), None)
        if found is not None:
            named.append((-share, name, found))
    said = [word for *_, word in sorted(named)[:_MOST_COVERS]]
    if not said:
        return None
    single = len(said) == 1 and said[0] in _SINGULAR
    return Phrase(" and ".join(said), plural=not single)


def _conjugated(words: str, plural: bool) -> str:
    """The sentence with the ending of its verb."""
    if plural:
        return words.replace("~", "")
    before, mark, after = words.partition("~")
    if not mark:
        return words
    return before + ("es" if before.endswith(("s", "x", "ch", "sh")) else "s") + after


def _capital(words: str) -> str:
    return words[0].upper() + words[1:]
