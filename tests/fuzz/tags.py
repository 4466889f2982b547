"""Targets: values of OpenStreetMap's tags, alone and as the columns of a layer."""

from __future__ import annotations

import json
import math
import random
from collections.abc import Sequence
from pathlib import Path

from fuzz.mutations import Sample, mutated_text
from fuzz.targets import DOCUMENT, TEXT, Run, Target
from rsaug.jsontext import parse_json

_VALUES = (
    "7.5", "7,5", "7.5 m", "24 ft", "24'6\"", "5'6\u2033", "2;3", "wide", "-3", "nan", "1e3",
    "1.5", "2", "ground", "0;1", "-1", "+1", "1.0", "\u0663", " 4 metres ",
)  # fmt: skip
_HSTORE = (
    r'"highway"=>"residential","width"=>"7.5","name"=>"Rue \"A\" \\ B"',
    r'"lanes"=>NULL,"layer"=>"-1"',
    '{"highway": "primary", "lanes": 2}',
)
_ROWS = (
    {"highway": "residential", "width": "7.5 m", "lanes": "2", "oneway": "yes", "layer": "1"},
    {"highway": "motorway_link", "est_width": "24 ft", "bridge": "yes", "tunnel": "no"},
    {"highway": "footway", "area": "yes", "junction": "roundabout", "covered": "yes"},
    {"width": 4.5, "lanes": 2, "layer": -1, "oneway": True},
    {"width": None, "lanes": ["1", "2"], "highway": ["primary", "secondary"]},
)
_AREAS = (
    {"landuse": "forest", "natural": "wood", "building": "yes", "height": "12.5 m"},
    {"class": "trees", "building:levels": "3", "roof:height": "2", "min_height": "3 m"},
    {"building": "no", "water": "river", "roof:levels": 2, "building:min_level": "1"},
    {"building": True, "height": 7, "surface": None},
)


def _texts(folder: Path) -> tuple[Sequence[Sample], Run]:
    from rsaug.osm_tags import parse_hstore, parse_lanes, parse_layer, parse_length_m
    from rsaug.sources.tags import _tags

    def run(place: Path) -> None:
        text = (place / "value.txt").read_bytes().decode("utf-8", "surrogateescape")
        length, lanes, layer = parse_length_m(text), parse_lanes(text), parse_layer(text)
        if any(number is not None and math.isnan(number) for number in (length, lanes)):
            raise AssertionError("a number that is none")
        if not (layer is None or isinstance(layer, int)):
            raise AssertionError("a layer that is no whole number")
        for found in (parse_hstore(text), _tags(text)):
            if not all(isinstance(part, str) for pair in found.items() for part in pair):
                raise AssertionError("a tag that is no text")

    return [{"value.txt": text.encode()} for text in (*_VALUES, *_HSTORE)], run


def _line_change(rng: random.Random, content: bytes) -> bytes:
    """A list of tables, one of whose values is another."""
    if rng.random() < 0.5:
        return DOCUMENT["*"](rng, content)
    rows = json.loads(content)
    row = rng.choice(rows)
    key = rng.choice([*row])
    row[key] = mutated_text(rng, str(row[key]).encode()).decode("utf-8", "replace")
    return json.dumps(rows).encode()


def _rows(place: Path) -> list[dict[str, object]] | None:
    """The tables of an input; None where it is no list of tables of text, which no layer can be."""
    try:
        rows = parse_json((place / "rows.json").read_bytes())
    except ValueError:
        return None
    if not isinstance(rows, list) or not rows or not all(isinstance(row, dict) for row in rows):
        return None
    return rows[:50]


def _roads(folder: Path) -> tuple[Sequence[Sample], Run]:
    import geopandas as gpd
    from pyproj import CRS
    from shapely.geometry import LineString

    from rsaug.roads import road_surfaces

    utm = CRS.from_epsg(32635)
    line = LineString([(384_000, 6_672_000), (384_050, 6_672_030)])

    def run(place: Path) -> None:
        rows = _rows(place)
        if rows is None or any("geometry" in row for row in rows):
            return
        frame = gpd.GeoDataFrame(rows, geometry=[line] * len(rows), crs=utm)
        roads = road_surfaces(frame, utm, allow_none=True)
        if not all(0 < width < math.inf for width in roads.surfaces["width_m"]):
            raise AssertionError("a width that is none")

    return [{"rows.json": json.dumps(list(_ROWS)).encode()}], run


def _land(folder: Path) -> tuple[Sequence[Sample], Run]:
    import geopandas as gpd
    import numpy as np
    from pyproj import CRS
    from shapely.geometry import box

    from rsaug.conditions.depth import building_heights
    from rsaug.conditions.landcover import land_areas

    utm = CRS.from_epsg(32635)
    square = box(384_000, 6_672_000, 384_050, 6_672_030)

    def run(place: Path) -> None:
        rows = _rows(place)
        if rows is None or any("geometry" in row for row in rows):
            return
        frame = gpd.GeoDataFrame(rows, geometry=[square] * len(rows), crs=utm)
        land_areas(frame, utm, allow_none=True)
        heights = building_heights(frame, utm, allow_none=True).height_m
        if not (np.isfinite(heights).all() and (heights >= 0).all()):
            raise AssertionError("a height that is none")

    return [{"rows.json": json.dumps(list(_AREAS)).encode()}], run


TARGETS = (
    Target("osm-values", "values of width, lanes, layer and hstore columns", _texts, TEXT),
    Target("road-tags", "columns of a layer of roads", _roads, {"*": _line_change}),
    Target("land-tags", "columns of layers of areas and buildings", _land, {"*": _line_change}),
)
