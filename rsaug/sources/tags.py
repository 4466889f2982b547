"""Tags of OpenStreetMap as columns: the keys that are looked for, and where they are kept.

Meanings follow the OSM wiki's pages on each key.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import geopandas as gpd
import pandas as pd

from rsaug.jsontext import parse_json
from rsaug.osm_tags import parse_hstore

LINE_KEYS = (
    "access",
    "area",
    "area:highway",
    "bridge",
    "covered",
    "cutting",
    "dual_carriageway",
    "embankment",
    "est_width",
    "footway",
    "highway",
    "indoor",
    "junction",
    "lane_markings",
    "lanes",
    "lanes:backward",
    "lanes:forward",
    "layer",
    "location",
    "maxspeed",
    "name",
    "oneway",
    "railway",
    "ref",
    "service",
    "shoulder",
    "sidewalk",
    "smoothness",
    "surface",
    "toll",
    "tracktype",
    "traffic_calming",
    "tunnel",
    "turn:lanes",
    "waterway",
    "width",
    "width:carriageway",
)
"""Keys that say something of a line: of roads, railways and rivers."""

AREA_KEYS = (
    "aeroway",
    "amenity",
    "area",
    "area:highway",
    "boundary",
    "bridge",
    "building",
    "building:levels",
    "building:min_level",
    "building:part",
    "covered",
    "crop",
    "ele",
    "est_height",
    "grassland",
    "height",
    "highway",
    "historic",
    "indoor",
    "intermittent",
    "landcover",
    "landuse",
    "layer",
    "leaf_cycle",
    "leaf_type",
    "leisure",
    "location",
    "man_made",
    "military",
    "min_height",
    "name",
    "natural",
    "parking",
    "place",
    "power",
    "produce",
    "public_transport",
    "railway",
    "roof:height",
    "roof:levels",
    "roof:shape",
    "seasonal",
    "service",
    "shop",
    "sport",
    "surface",
    "tourism",
    "trees",
    "tunnel",
    "type",
    "water",
    "waterway",
    "wetland",
)
"""Keys that say something of an area: land cover, water, buildings and their heights."""

BAGS = ("other_tags", "tags", "all_tags")
"""Columns that hold many tags at once: GDAL's names, and that of osm2pgsql."""


def keys_for(geometry_types: Iterable[str]) -> tuple[str, ...]:
    """The keys to look for in a layer that declares these types of geometry."""
    text = " ".join(geometry_types)
    if "Line" in text and "Polygon" not in text:
        return LINE_KEYS
    if "Polygon" in text and "Line" not in text:
        return AREA_KEYS
    return tuple(sorted({*LINE_KEYS, *AREA_KEYS}))


def unfold(frame: gpd.GeoDataFrame, keys: Sequence[str], bag: str | None) -> gpd.GeoDataFrame:
    """The frame with the tags in one of its columns as columns of their own, of text.

    A column of the key's own name goes first; the tag fills it where it is empty, if it holds text.

    Args:
        frame: Features.
        keys: Keys that become columns, whether a feature has them or not.
        bag: The column with the tags, as hstore or JSON text or as a mapping; it is left out of the
            result. With None nothing is done.
    """
    if bag is None:
        return frame
    rows = [_tags(value) for value in frame[bag]]
    frame = frame.drop(columns=bag)
    text = pd.Series(["text"]).dtype

    used = {key for row in rows for key in row}

    def column_of(values: list[str | None]) -> pd.Series:
        return pd.Series(values, index=frame.index, dtype=object).astype(text)

    # Most keys are in no row, and their columns are one and the same.
    unused = column_of([None] * len(rows))
    new: dict[str, pd.Series] = {}
    for key in keys:
        column = column_of([row.get(key) for row in rows]) if key in used else unused
        if key not in frame:
            new[key] = column
        elif column is not unused and frame[key].dtype == text and key != frame.geometry.name:
            frame[key] = frame[key].where(frame[key].notna(), column)
    return frame if not new else frame.join(pd.DataFrame(new, index=frame.index))


def _tags(value: object) -> Mapping[str, str]:
    """Tags by key; empty where the value is none of the ways in which they are written."""
    if isinstance(value, Mapping):
        return {str(key): str(item) for key, item in value.items() if item is not None}
    if not isinstance(value, str):
        return {}
    if value.lstrip().startswith("{"):
        try:
            return _tags(parse_json(value))
        except ValueError:
            return {}
    return parse_hstore(value)
