"""What OpenStreetMap tags mean for roads and for land cover. Tables, and the parsers of values.

Meanings follow the OSM wiki's pages on ``highway``, ``width``, ``landuse`` and ``natural``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType

FOOT_M = 0.3048
INCH_M = 0.0254

# Values of `highway` that are no road surface for vehicles.
NOT_ROADS = frozenset(
    {
        "footway",
        "path",
        "trail",
        "cycleway",
        "steps",
        "pedestrian",
        "bridleway",
        "corridor",
        "via_ferrata",
        "platform",
        "elevator",
        "ladder",
        "crossing",
        "bus_stop",
        "bus_guideway",
        "rest_area",
        "services",
        "proposed",
        "planned",
        "construction",
        "abandoned",
        "disused",
        "razed",
        "demolished",
    }
)

LANDCOVER_BY_TAG: Mapping[str, Mapping[str, str]] = MappingProxyType(
    {
        "natural": {
            "wood": "forest",
            "scrub": "forest",
            "tree_row": "forest",
            "water": "water",
            "bay": "water",
            "wetland": "agriculture",
            "grassland": "agriculture",
            "heath": "agriculture",
            "fell": "agriculture",
            "bare_rock": "barren",
            "rock": "barren",
            "scree": "barren",
            "shingle": "barren",
            "sand": "barren",
            "beach": "barren",
            "dune": "barren",
            "mud": "barren",
            "bare": "barren",
        },
        "waterway": {
            "riverbank": "water",
            "river": "water",
            "canal": "water",
            "dock": "water",
            "stream": "water",
        },
        "landuse": {
            "forest": "forest",
            "orchard": "forest",
            "reservoir": "water",
            "basin": "water",
            "salt_pond": "water",
            "quarry": "barren",
            "landfill": "barren",
            "brownfield": "barren",
            "greenfield": "barren",
            "construction": "barren",
            "farmland": "agriculture",
            "farm": "agriculture",
            "meadow": "agriculture",
            "grass": "agriculture",
            "village_green": "agriculture",
            "recreation_ground": "agriculture",
            "allotments": "agriculture",
            "vineyard": "agriculture",
            "plant_nursery": "agriculture",
            "greenhouse_horticulture": "agriculture",
            "flowerbed": "agriculture",
            "cemetery": "agriculture",
            "residential": "background",
            "industrial": "background",
            "commercial": "background",
            "retail": "background",
            "farmyard": "background",
            "garages": "background",
            "railway": "background",
            "military": "background",
            "religious": "background",
            "education": "background",
            "institutional": "background",
            "depot": "background",
            "port": "background",
        },
        "leisure": {
            "park": "agriculture",
            "garden": "agriculture",
            "pitch": "agriculture",
            "golf_course": "agriculture",
            "common": "agriculture",
            "dog_park": "agriculture",
            "nature_reserve": "background",
            "playground": "background",
            "track": "background",
            "sports_centre": "background",
            "stadium": "background",
            "marina": "background",
            "swimming_pool": "water",
        },
        "amenity": {
            "parking": "background",
            "school": "background",
            "university": "background",
            "college": "background",
            "kindergarten": "background",
            "hospital": "background",
            "marketplace": "background",
            "grave_yard": "agriculture",
        },
    }
)
"""LoveDA class by tag. LoveDA has no class for grass: low vegetation counts as agriculture."""

LANDCOVER_BY_CLASS: Mapping[str, str] = MappingProxyType(
    {
        "background": "background",
        "building": "building",
        "road": "road",
        "water": "water",
        "barren": "barren",
        "forest": "forest",
        "agriculture": "agriculture",
        "bare": "barren",
        "sand": "barren",
        "trees": "forest",
        "wood": "forest",
        "grass": "agriculture",
        "sport": "agriculture",
        "crops": "agriculture",
        "pool": "water",
        "parking": "background",
    }
)
"""LoveDA class by the value of a column called ``class``."""

_METRES = re.compile(r"(-?\d+(?:[.,]\d+)?)\s*(?:m|metres?|meters?)?")
_FEET = re.compile(r"(\d+(?:[.,]\d+)?)\s*(?:'|ft|feet|foot)\s*(?:(\d+(?:[.,]\d+)?)\s*(?:\"|in))?")
_HSTORE_PAIR = re.compile(r'"((?:[^"\\]|\\.)*)"\s*=>\s*(?:"((?:[^"\\]|\\.)*)"|NULL)', re.DOTALL)
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)


def parse_length_m(text: str) -> float | None:
    """Metres that a length tag says, or None when it says no single length.

    Plain numbers are metres; ``7.5 m``, ``7,5``, ``24 ft``, ``24'`` and ``24'6"`` are understood.
    Ranges, lists and words (``2;3``, ``wide``) are not.
    """
    text = text.strip().lower()
    if match := _METRES.fullmatch(text):
        return _number(match[1])
    if match := _FEET.fullmatch(text):
        return _number(match[1]) * FOOT_M + (_number(match[2]) * INCH_M if match[2] else 0.0)
    return None


def _number(text: str) -> float:
    return float(text.replace(",", "."))


def parse_hstore(text: str) -> dict[str, str]:
    r"""Tags written as GDAL's OSM driver does: ``"key"=>"value","key"=>"value"``.

    Quotes and backslashes inside are escaped by a backslash. Pairs without a value are left out.
    """
    return {
        _ESCAPE.sub(r"\1", key): _ESCAPE.sub(r"\1", value)
        for key, value in _HSTORE_PAIR.findall(text)
        if value
    }
