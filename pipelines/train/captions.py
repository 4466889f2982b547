"""Texts for training images, composed from what is measured on them.

A text that a person wrote says what a place is. How an image of it looks - lush or dry, bright or
dark, reddish or green - is measured on the image itself, so that a model learns which words go with
which looks, and the words can be used as levers later. Every threshold and every word is in the
table `FACTS`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import NamedTuple

import geopandas as gpd
import numpy as np
import shapely
from numpy.typing import NDArray

from rsaug.conditions.caption import compose, scene_of
from rsaug.conditions.facts import ROAD_GROUPS, RoadLines, TileFacts
from rsaug.conditions.landcover import CLASSES
from rsaug.grid import Tile, linear_unit_m
from rsaug.optional import require
from rsaug.vectors import meeting

WORDINGS = 8
"""Texts composed for an image."""

WRITTEN_SHARE = 1 / 3
"""How often the text of an example that has texts by hand is one of those."""


class Fact(NamedTuple):
    """Something that can be said of an image, when, and in which words.

    Attributes:
        at_least: Measures of the image (`measure_facts`) and what each must reach.
        below: Measures and what each must stay below.
        adjectives: Words that go before a noun; may be none.
        phrases: Words that go after "with".
    """

    at_least: Mapping[str, float]
    below: Mapping[str, float]
    adjectives: tuple[str, ...]
    phrases: tuple[str, ...]

    def holds(self, measures: Mapping[str, float]) -> bool:
        """Whether it is so; never where a measure is not known."""
        if not (self.at_least.keys() | self.below.keys()) <= measures.keys():
            return False
        enough = all(measures[name] >= least for name, least in self.at_least.items())
        return enough and all(measures[name] < most for name, most in self.below.items())


def _when(
    name: str, low: float | None, high: float | None, phrases: str, adjectives: str = ""
) -> Fact:
    """A fact of one measure in [low, high); wordings are parted by commas."""
    return Fact(
        {} if low is None else {name: low},
        {} if high is None else {name: high},
        tuple(adjectives.split(", ")) if adjectives else (),
        tuple(phrases.split(", ")),
    )


# Round values that part 1081 aerial tiles of Californian towns into shares of 5 to 40 %.
FACTS: tuple[Fact, ...] = (
    _when(
        "vegetation", None, 0.05, "almost no vegetation, barren land, no plants", "barren, desolate"
    ),
    _when(
        "vegetation", 0.05, 0.15, "sparse vegetation, little vegetation, few plants", "dry, arid"
    ),
    _when(
        "vegetation", 0.15, 0.35, "some vegetation, some greenery, scattered plants", "partly green"
    ),
    _when(
        "vegetation", 0.35, 0.5, "much vegetation, plenty of greenery, many plants", "green, leafy"
    ),
    _when(
        "vegetation",
        0.5,
        None,
        "lush vegetation, dense vegetation, lush greenery",
        "lush, lush green, verdant",
    ),
    _when("luma", None, 95, "dim light, dark colors, dark colours", "dark, dim"),
    _when("luma", 125, 137, "bright light, light colors, light colours", "bright, light"),
    _when(
        "luma",
        137,
        None,
        "glaring sunlight, strong sunlight, pale colors",
        "very bright, sunlit, glaring",
    ),
    _when("shadow", None, 0.005, "no dark shadows, no deep shadows, soft shadows"),
    _when("shadow", 0.04, 0.1, "some shadows, moderate shadows"),
    _when("shadow", 0.1, None, "deep shadows, strong shadows, heavy shadows", "shadowy"),
    _when("contrast", None, 30, "low contrast, soft contrast", "hazy, low-contrast"),
    _when("contrast", 45, None, "high contrast, strong contrast", "crisp, high-contrast"),
    _when(
        "chroma", None, 5.5, "muted colors, faded colours, gray tones", "gray, grey, muted, drab"
    ),
    _when(
        "chroma",
        10,
        None,
        "vivid colors, saturated colours, rich colors",
        "colorful, colourful, vivid",
    ),
    Fact(
        {"red_green": 1, "yellow_blue": 2},
        {},
        ("reddish", "reddish brown", "brown"),
        ("reddish brown tones", "a reddish tint", "brown colors"),
    ),
    Fact(
        {"yellow_blue": 6},
        {"red_green": 1},
        ("sandy", "yellowish", "tan"),
        ("warm yellow tones", "sandy colors", "a yellowish tint"),
    ),
    _when("red_green", None, -4, "green tones, a greenish tint, deep green colors", "greenish"),
    _when("yellow_blue", None, -1.5, "cool blue tones, a bluish tint", "bluish, cool"),
    _when("roads", None, 1, "no roads, no road, no streets", "roadless"),
    _when("roads", 1, 2, "one road, a single road, a road"),
    _when("roads", 2, 3, "two roads, a couple of roads"),
    _when("roads", 3, 4, "a few roads, three roads, several roads"),
    _when("roads", 4, None, "many roads, numerous roads, a dense road network"),
    _when("road_width_m", None, 7, "narrow roads, narrow lanes, narrow pavement"),
    _when("road_width_m", 14, None, "wide roads, broad roads, wide pavement"),
    _when("freeway_sides", 0.5, None, "a freeway, a highway, a motorway"),
    _when("ramp_sides", 0.5, None, "freeway ramps, highway ramps"),
    _when("arterial_sides", 0.5, 1.6, "a main road, an arterial road, a main street"),
    _when("arterial_sides", 1.6, None, "main roads, arterial roads, main streets"),
    _when("road_sides", 0.5, 1.6, "a two-lane road, a small road"),
    _when("road_sides", 1.6, None, "two-lane roads, small roads"),
    _when("street_sides", 0.5, 1.6, "a residential street, a neighborhood street, a side street"),
    _when("street_sides", 1.6, None, "residential streets, neighborhood streets, side streets"),
    _when("drive_sides", 0.5, 1.6, "a service road, a service drive, an access road"),
    _when("drive_sides", 1.6, None, "service roads, service drives, access roads"),
    _when("track_sides", 0.5, 1.6, "a dirt track, a dirt road, an unpaved track"),
    _when("track_sides", 1.6, None, "dirt tracks, dirt roads, unpaved tracks"),
    _when("building", None, 0.03, "no buildings, no houses", "undeveloped"),
    _when("building", 0.05, 0.2, "few buildings, scattered buildings, a few buildings"),
    _when(
        "building",
        0.4,
        None,
        "dense buildings, many buildings, closely spaced buildings",
        "built-up, densely built",
    ),
    _when("roof_m2", 1500, None, "large roofs, large buildings, a very large roof"),
    _when("forest", None, 0.05, "no trees, hardly any trees, almost no trees", "treeless"),
    _when("forest", 0.3, None, "many trees, dense trees, large trees", "wooded, tree-lined"),
    _when("agriculture", 0.15, None, "grass, open grass, a grassy field", "grassy"),
    _when("barren", 0.3, None, "bare ground, open dirt, bare soil", "dusty"),
    _when("parking_m2", 700, None, "a parking lot, parking lots, parked cars"),
    _when("sport_m2", 500, None, "a sports field, sports courts, a playing field"),
    _when("pool_m2", 20, None, "a swimming pool, swimming pools, pools"),
    _when("water_m2", 500, None, "water, a pond, a lake"),
    _when("crops_m2", 700, None, "crops, cropland, farm fields"),
)
"""What is said, and when. Each name of a measure is explained at `measure_facts`."""

OUTLINED: Mapping[str, Mapping[str, frozenset[str]]] = {
    "building": {"class": frozenset({"building"})},
    "parking": {"class": frozenset({"parking"}), "amenity": frozenset({"parking"})},
    "sport": {
        "class": frozenset({"sport"}),
        "leisure": frozenset({"pitch", "stadium", "sports_centre", "track"}),
    },
    "pool": {"class": frozenset({"pool"}), "leisure": frozenset({"swimming_pool"})},
    "water": {"class": frozenset({"water"}), "natural": frozenset({"water"})},
    "crops": {
        "class": frozenset({"crops"}),
        "landuse": frozenset({"farmland", "orchard", "vineyard", "plant_nursery"}),
    },
}
"""What outlines are measured for, by column and value; any ``building`` tag is a building too."""

_LUMA = np.array([0.299, 0.587, 0.114], dtype=np.float32)  # ITU-R BT.601
_SHADOW_LUMA = 50
# Excess green in chromaticities (Woebbecke et al. 1995). Of the thresholds 0 to 0.06 this one's
# share of pixels is nearest to that of NDVI > 0.1 (mean difference 0.07, 271 tiles).
_EXCESS_GREEN = 0.04

_KEEP = 0.6
_SAY_YEAR = 0.3
_MOST_ADJECTIVES, _MOST_NOUNS, _MOST_LISTED = 2, 3, 6
_LISTS = 4
_OPENINGS = (
    "An aerial photograph of",
    "An aerial image of",
    "An aerial view of",
    "A view from above of",
    "Seen from above,",
)
_PLACES = ("area", "place", "scene", "landscape")


@dataclass(frozen=True)
class Facts:
    """What is known of one image.

    Attributes:
        measures: Numbers by name; see `measure_facts`. What is not known is left out.
        scene: Kind of scene, such as ``residential``; empty if not known.
        year: Year of the image, None if not known.
    """

    measures: Mapping[str, float]
    scene: str = ""
    year: int | None = None

    def true(self) -> list[Fact]:
        """The facts of the table that hold."""
        return [fact for fact in FACTS if fact.holds(self.measures)]


def measure_facts(
    rgb: NDArray[np.uint8],
    road: NDArray[np.uint8],
    *,
    vegetation: NDArray[np.uint8] | None = None,
    seen: NDArray[np.uint8] | None = None,
    gsd_m: float | None = None,
    road_m: Mapping[str, float] | None = None,
    road_lines: int | None = None,
    outlined_m2: Mapping[str, float] | None = None,
    scene: str = "",
    year: int | None = None,
) -> Facts:
    """What is measured on an image, by these names.

    - ``vegetation``: share of pixels that are plants: ``vegetation``, or excess green above 0.04
      where there is no near infrared;
    - ``luma`` and ``contrast``: mean and standard deviation of luma, in [0, 255];
    - ``shadow``: share of pixels of a luma below 50;
    - ``chroma``, ``red_green`` and ``yellow_blue``: means of chroma, a* and b* of CIE L*a*b*;
    - ``roads``: about how many, from their length in sides of the image; no more than there are
      lines, and 1 only where there is one; 0 only where no pixel is road;
    - ``road_width_m``: area of road over its length;
    - ``<group>_sides``: length of road of a group of `ROAD_GROUPS`, in sides of the image;
    - ``building``, ``forest``, ``agriculture``, ``barren``: shares of what a network sees;
    - ``roof_m2`` and ``<name>_m2``: the outlined areas.

    Args:
        rgb: (rows, cols, 3).
        road: (rows, cols), 1 on road surface.
        vegetation: (rows, cols), 1 where the near infrared says plants.
        seen: (rows, cols) of LoveDA's classes as a network sees them.
        gsd_m: side of a pixel in metres.
        road_m: metres of road in the image by ``highway``, where that is known.
        road_lines: lines they are.
        outlined_m2: square metres by name, as `outlined_areas` finds them.
        scene: kind of scene.
        year: year of the image.
    """
    cv2 = require("cv2", extra="image")
    unit = (rgb / np.float32(255)).astype(np.float32)
    luma = unit @ _LUMA * 255
    lab = cv2.cvtColor(unit, cv2.COLOR_RGB2LAB)
    plants = _excess_green(unit) > _EXCESS_GREEN if vegetation is None else vegetation > 0
    measures = {
        "vegetation": plants.mean(),
        "luma": luma.mean(),
        "contrast": luma.std(),
        "shadow": (luma < _SHADOW_LUMA).mean(),
        "chroma": np.hypot(lab[..., 1], lab[..., 2]).mean(),
        "red_green": lab[..., 1].mean(),
        "yellow_blue": lab[..., 2].mean(),
    }
    if not road.any():
        measures["roads"] = 0
    elif road_m is not None and gsd_m is not None:
        measures |= _road_measures(road, gsd_m, road_m, road_lines)
    if seen is not None:
        names = ("building", "forest", "agriculture", "barren")
        measures |= {name: (seen == CLASSES.index(name)).mean() for name in names}
    measures |= {f"{name}_m2": area for name, area in (outlined_m2 or {}).items()}
    return Facts({name: float(value) for name, value in measures.items()}, scene, year)


def _excess_green(unit: NDArray[np.float32]) -> NDArray[np.float32]:
    """2g - r - b of the chromaticities of an image (rows, cols, 3) in [0, 1]."""
    red, green, blue = np.moveaxis(unit, 2, 0)
    excess: NDArray[np.float32] = (2 * green - red - blue) / np.maximum(unit.sum(axis=2), 1 / 255)
    return excess


def _road_measures(
    road: NDArray[np.uint8], gsd_m: float, road_m: Mapping[str, float], lines: int | None
) -> dict[str, float]:
    side_m = np.sqrt(road.size) * gsd_m
    length_m = sum(road_m.values())
    if length_m <= 0:
        # A road beside the image, whose edge alone reaches into it.
        return {}
    count = max(1, round(length_m / side_m))
    if lines is not None:
        count = max(2, min(lines, count)) if lines > 1 else 1
    measures: dict[str, float] = {"roads": count}
    measures["road_width_m"] = road.sum() * gsd_m**2 / length_m
    for kind, metres in road_m.items():
        name = f"{ROAD_GROUPS.get(kind, 'unknown')}_sides"
        measures[name] = measures.get(name, 0) + metres / side_m
    return measures


def count_lines(roads: RoadLines, tile: Tile) -> int:
    """How many lines of road a tile has, those that go on in each other counted once."""
    lines = roads.lines[roads.shapes.near(tile)]
    inside = shapely.clip_by_rect(lines[~shapely.is_missing(lines)], *tile.bounds)
    parts = shapely.get_parts(inside[~shapely.is_empty(inside)])
    parts = parts[shapely.length(parts) > 0]
    return len(shapely.get_parts(shapely.line_merge(shapely.multilinestrings(parts))))


def outlined_areas(areas: gpd.GeoDataFrame, tile: Tile) -> dict[str, float]:
    """Square metres of a tile by name of `OUTLINED`, and the largest roof as ``roof``.

    Args:
        areas: outlines in the tile's CRS, with OSM tags or a column ``class``.
        tile: the tile.
    """
    near = areas.iloc[meeting(areas, tile)]
    inside = shapely.area(shapely.clip_by_rect(near.geometry.to_numpy(), *tile.bounds))
    inside = np.nan_to_num(inside) * linear_unit_m(tile.crs) ** 2
    found = {}
    for name, tags in OUTLINED.items():
        is_one = np.zeros(len(near), dtype=bool)
        for column, values in tags.items():
            if column in near:
                is_one |= near[column].isin(values).to_numpy()
        if name == "building":
            if "building" in near:
                is_one |= (near["building"].notna() & (near["building"] != "no")).to_numpy()
            found["roof"] = float(inside[is_one].max(initial=0))
        elif is_one.any():
            found[name] = float(inside[is_one].sum())
    return found


def describe(facts: Facts, key: str, seed: int = 0, count: int = WORDINGS) -> tuple[str, ...]:
    """Texts that say some of the facts each, half of them lists, half of them sentences.

    Of the facts that hold each is said in a text with a probability of 0.6, in one of its wordings;
    the order is random. The same facts, key and seed give the same texts. A text has at most 32
    words; fewer texts come back where there is little to say.

    Args:
        facts: what is known.
        key: name of the image.
        seed: of everything drawn.
        count: how many texts to draw.
    """
    rng = _draw(key, seed)
    true = facts.true()
    texts = []
    for nth in range(count):
        kept = [fact for fact in true if rng.random() < _KEEP]
        kept = [kept[k] for k in rng.permutation(len(kept))]
        write = _list if nth % 2 == 0 else _sentence
        texts.append(write(kept, facts, rng))
    return tuple(dict.fromkeys(text for text in texts if text))


def compose_texts(
    facts: Facts, held: TileFacts | None, key: str, count: int = WORDINGS
) -> tuple[str, ...]:
    """The texts of `describe`, and one as `rsaug synth` composes it from a map.

    Args:
        facts: what is measured on the image.
        held: what its map holds; None for no text of that kind.
        key: name of the image.
        count: how many texts to draw.
    """
    if held is None or not count:
        return describe(facts, key, count=count)
    # Houses that a network sees run together or fall apart; what they are like is not said.
    said = compose(replace(held, buildings=None), int(_draw(key, 1).integers(4)))
    sentence = said.split(". ", 1)[1]
    scene = facts.scene or scene_of(held)
    return (*describe(facts, key, count=count - 1), f"{scene}. {sentence}")


def _draw(key: str, seed: int) -> np.random.Generator:
    digest = hashlib.sha256(key.encode()).digest()
    return np.random.default_rng([seed, *np.frombuffer(digest, dtype="<u4").tolist()])


def mix_texts(written: tuple[str, ...], composed: tuple[str, ...]) -> tuple[str, ...]:
    """Texts by hand, repeated until they are a third of all, and composed ones after them."""
    if not written or not composed:
        return written or composed
    wanted = round(len(composed) * WRITTEN_SHARE / (1 - WRITTEN_SHARE))
    repeated = tuple(written[k % len(written)] for k in range(max(wanted, len(written))))
    return repeated + composed


def _list(kept: list[Fact], facts: Facts, rng: np.random.Generator) -> str:
    """Some facts with commas between, such as "lush green, bright light, a few roads"."""
    said = [_pick((*fact.adjectives, *fact.phrases), rng) for fact in kept[:_MOST_LISTED]]
    if facts.scene and rng.random() < _KEEP:
        said.insert(int(rng.integers(len(said) + 1)), facts.scene)
    return ", ".join(said)


def _sentence(kept: list[Fact], facts: Facts, rng: np.random.Generator) -> str:
    """Some facts in a sentence of at most 32 words."""
    adjectives: list[str] = []
    nouns: list[str] = []
    for fact in kept:
        if fact.adjectives and len(adjectives) < _MOST_ADJECTIVES and rng.random() < _KEEP:
            adjectives.append(_pick(fact.adjectives, rng))
        elif len(nouns) < _MOST_NOUNS:
            nouns.append(_pick(fact.phrases, rng))
    place = f"{facts.scene} area" if facts.scene else _pick(_PLACES, rng)
    what = " ".join([", ".join(adjectives), place]).strip()
    opening = _pick(_OPENINGS, rng)
    year = f" in {facts.year}" if facts.year and rng.random() < _SAY_YEAR else ""
    if not adjectives and not nouns and not facts.scene:
        return ""
    tail = f" with {_joined(nouns)}" if nouns else ""
    return f"{opening} {'an' if what[0] in 'aeiou' else 'a'} {what}{tail}{year}."


def _joined(words: list[str]) -> str:
    return ", ".join(words[:-1]) + " and " * (len(words) > 1) + words[-1]


def _pick(words: tuple[str, ...], rng: np.random.Generator) -> str:
    return words[int(rng.integers(len(words)))]
