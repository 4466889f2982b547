"""What a tile holds, in numbers: roads, cover, buildings. Captions are made of it."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any, Protocol

import geopandas as gpd
import numpy as np
import shapely
from numpy.typing import NDArray
from scipy import ndimage

from rsaug.conditions.landcover import CLASSES
from rsaug.errors import InputError
from rsaug.grid import Tile, linear_unit_m, point_scale
from rsaug.shapes import Shapes
from rsaug.vectors import meeting

ROAD_GROUPS: Mapping[str, str] = MappingProxyType(
    {
        "motorway": "freeway",
        "trunk": "freeway",
        "motorway_link": "ramp",
        "trunk_link": "ramp",
        "primary": "arterial",
        "primary_link": "arterial",
        "secondary": "arterial",
        "secondary_link": "arterial",
        "tertiary": "road",
        "tertiary_link": "road",
        "unclassified": "road",
        "road": "road",
        "residential": "street",
        "living_street": "street",
        "service": "drive",
        "busway": "lane",
        "escape": "lane",
        "raceway": "lane",
        "track": "track",
    }
)
"""The group that a kind of road (``highway``) belongs to in a caption; others are ``unknown``."""

USES: Mapping[str, Mapping[str, frozenset[str]]] = MappingProxyType(
    {
        "airport": {"aeroway": frozenset({"aerodrome", "apron", "runway", "taxiway"})},
        "industrial": {"landuse": frozenset({"industrial", "port", "railway", "quarry"})},
        "commercial": {"landuse": frozenset({"commercial", "retail"})},
        "school": {"amenity": frozenset({"school", "college", "university", "kindergarten"})},
        "cemetery": {"landuse": frozenset({"cemetery"}), "amenity": frozenset({"grave_yard"})},
        "golf": {"leisure": frozenset({"golf_course"})},
        "park": {"leisure": frozenset({"park", "recreation_ground", "pitch", "garden"})},
        "residential": {"landuse": frozenset({"residential"})},
    }
)
"""What ground is used for, by OSM tags: more than its cover says."""

# Nodes of two lines are one where they lie in the same square of this side, in metres.
_SAME_PLACE_M = 0.01
_ARMS_OF_A_JUNCTION = 3


class RoadLines(Protocol):
    """What is read of `rsaug.roads.Roads`."""

    @property
    def surfaces(self) -> gpd.GeoDataFrame:
        """Polygons with the column ``highway``."""

    @property
    def lines(self) -> NDArray[np.object_]:
        """(n,) their centre lines; None for a surface without one."""

    @property
    def lanes(self) -> NDArray[np.uint8]:
        """(n,) their lanes; 0 where they are not known."""

    @property
    def shapes(self) -> Shapes:
        """The surfaces by place."""


@dataclass(frozen=True)
class TileFacts:
    """What a tile holds.

    Attributes:
        area_km2: Its area on the ground.
        cover: Shares of the tile by LoveDA class, in [0, 1].
        road_m: Metres of road in the tile by ``highway``; ``""`` where the kind is not known.
        junctions: Places in the tile where at least three arms of road meet; None where only the
            surface of roads is known.
        lanes: Most lanes of a road in the tile, 0 where none is known.
        buildings: Buildings whose middle lies in the tile; None where nothing is known of them.
        building_m2: Median footprint of those buildings, in square metres.
        tallest_m: Height of the tallest of them, where heights are known.
        uses: Shares of the tile by use, as in `USES`.
    """

    area_km2: float
    cover: Mapping[str, float]
    road_m: Mapping[str, float] = field(default_factory=dict)
    junctions: int | None = None
    lanes: int = 0
    buildings: int | None = None
    building_m2: float = 0.0
    tallest_m: float | None = None
    uses: Mapping[str, float] = field(default_factory=dict)

    @property
    def road_km_km2(self) -> float:
        """Kilometres of road a square kilometre."""
        return sum(self.road_m.values()) / 1000 / self.area_km2

    @property
    def road_share(self) -> float:
        """Share of the tile that is road."""
        return self.cover.get("road", 0.0)

    @property
    def side_m(self) -> float:
        """Side of a square of the tile's area, in metres."""
        return 1000 * math.sqrt(self.area_km2)

    def road_groups_m(self) -> dict[str, float]:
        """Metres of road by group, as in `ROAD_GROUPS`."""
        groups: defaultdict[str, float] = defaultdict(float)
        for kind, length_m in self.road_m.items():
            groups[ROAD_GROUPS.get(kind, "unknown")] += length_m
        return dict(groups)

    def measures(self) -> dict[str, float]:
        """The numbers that kinds of scene are told by; what is not known is left out."""
        measures = {name: self.cover.get(name, 0.0) for name in CLASSES}
        measures |= {f"use {name}": share for name, share in self.uses.items()}
        measures["road_km_km2"] = self.road_km_km2
        for group, length_m in self.road_groups_m().items():
            measures[f"{group}_km_km2"] = length_m / 1000 / self.area_km2
        if self.buildings is not None:
            measures["buildings_a_hectare"] = self.buildings / self.area_km2 / 100
            measures["building_m2"] = self.building_m2
        return measures


def tile_facts(
    tile: Tile,
    class_map: NDArray[np.uint8],
    *,
    roads: RoadLines | None = None,
    buildings: Shapes | None = None,
    heights_m: NDArray[np.floating] | None = None,
    areas: gpd.GeoDataFrame | None = None,
) -> TileFacts:
    """What a tile holds, from its vectors, all in the tile's CRS.

    Args:
        tile: The tile.
        class_map: Land cover with the roads in it, uint8 (rows, cols) of LoveDA's classes, as
            `rsaug.conditions.landcover.landcover_map` makes it.
        roads: `rsaug.roads.Roads`, where there are roads.
        buildings: Outlines of buildings; without them, buildings are read from ``class_map``.
        heights_m: Heights of those buildings, (n,), NaN where not known.
        areas: Areas with OSM tags, which tell what ground is used for.

    Raises:
        InputError: if the map has another shape than the tile, or a layer is in another CRS.
    """
    if class_map.shape != tile.shape:
        raise InputError(f"The class map is {class_map.shape}, the tile {tile.shape}.")
    lon, lat = tile.lonlat
    # Metres on the ground a unit of the CRS: in Web Mercator they are not those of the map.
    metre = linear_unit_m(tile.crs) / float(point_scale(tile.crs, np.array(lon), np.array(lat)))
    from_maps = facts_from_maps(class_map, gsd_m=tile.transform.a * metre)
    known: dict[str, Any] = {}
    if roads is not None:
        known |= _road_facts(roads, tile, metre)
    if buildings is not None:
        known |= _building_facts(buildings, heights_m, tile, metre)
    if areas is not None:
        known["uses"] = _uses(areas, tile)
    return replace(from_maps, **known)


def facts_from_maps(
    class_map: NDArray[np.uint8], road_mask: NDArray[np.uint8] | None = None, *, gsd_m: float
) -> TileFacts:
    """What a tile holds, from its maps alone.

    Buildings are the connected parts of their class, so that those which touch are one. The length
    of road is its area over its mean width; in a long strip of width w the mean distance to the
    edge is w/4, so the width is four times that mean.

    Args:
        class_map: uint8 (rows, cols) of LoveDA's classes.
        road_mask: 0/1 (rows, cols), if the roads are not in the map.
        gsd_m: Side of a pixel on the ground, in metres.

    Raises:
        InputError: if a class is not one of LoveDA's, or the maps differ in shape.
    """
    if class_map.size == 0 or int(class_map.max()) >= len(CLASSES):
        raise InputError(
            f"A map of LoveDA's classes holds 0 to {len(CLASSES) - 1}; this one is "
            f"{class_map.shape} and reaches {class_map.max(initial=0)}."
        )
    if not (math.isfinite(gsd_m) and gsd_m > 0):
        raise InputError(f"The GSD must be a positive number of metres, not {gsd_m}.")
    classes = class_map
    if road_mask is not None:
        if road_mask.shape != class_map.shape:
            raise InputError(f"The road map is {road_mask.shape}, the class map {class_map.shape}.")
        classes = np.where(road_mask > 0, CLASSES.index("road"), class_map)
    shares = np.bincount(classes.ravel(), minlength=len(CLASSES)) / classes.size
    cover = {name: float(share) for name, share in zip(CLASSES, shares, strict=True) if share}
    road_m = _road_length_px(classes == CLASSES.index("road")) * gsd_m
    labels, count = ndimage.label(classes == CLASSES.index("building"))
    footprints = np.bincount(labels.ravel())[1:] * gsd_m**2
    return TileFacts(
        area_km2=classes.size * (gsd_m / 1000) ** 2,
        cover=cover,
        road_m={"": road_m} if road_m else {},
        buildings=count,
        building_m2=float(np.median(footprints)) if count else 0.0,
    )


def _road_length_px(road: NDArray[np.bool_]) -> float:
    """Length of the roads of a mask, in pixels; where all is road, the side of the tile."""
    if not road.any():
        return 0.0
    if road.all():
        return math.sqrt(road.size)
    # Distances are between centres; the edge lies half a pixel before the next centre.
    to_edge = ndimage.distance_transform_edt(road)[road] - 0.5
    return float(road.sum() / (4 * max(to_edge.mean(), 0.25)))


def _road_facts(roads: RoadLines, tile: Tile, metre: float) -> dict[str, Any]:
    near = roads.shapes.near(tile)
    lines = _lines(roads, near)
    inside = shapely.clip_by_rect(lines, *tile.bounds)
    length_m = np.nan_to_num(shapely.length(inside)) * metre
    kinds = roads.surfaces["highway"].to_numpy()[near]
    by_kind: defaultdict[str, float] = defaultdict(float)
    for kind, length in zip(kinds.tolist(), length_m.tolist(), strict=True):
        if length:
            by_kind[kind if isinstance(kind, str) else ""] += length
    return {
        # Rounded, since a sum of numbers is another in another order of them.
        "road_m": {kind: round(length, 3) for kind, length in sorted(by_kind.items())},
        "junctions": _junctions(lines, tile, metre),
        "lanes": int(roads.lanes[near][length_m > 0].max(initial=0)),
    }


def _lines(roads: RoadLines, near: NDArray[np.intp]) -> NDArray[np.object_]:
    """Centre lines of some surfaces, one each; empty where a surface has none."""
    picked = roads.lines[near]
    picked[shapely.is_missing(picked)] = shapely.LineString()
    return picked


def _junctions(lines: NDArray[np.object_], tile: Tile, metre: float) -> int:
    """Places in the tile where at least three arms meet: a line's end is one, its inside two."""
    parts = shapely.get_parts(lines)
    xy, owner = shapely.get_coordinates(parts, return_index=True)
    if not len(xy):
        return 0
    first = np.r_[True, owner[1:] != owner[:-1]]
    last = np.r_[owner[1:] != owner[:-1], True]
    arms = 2 - first.astype(np.int64) - last
    left, bottom, right, top = tile.bounds
    here = (xy[:, 0] >= left) & (xy[:, 0] < right) & (xy[:, 1] > bottom) & (xy[:, 1] <= top)
    if not here.any():
        return 0
    place = np.floor((xy[here] - (left, bottom)) * metre / _SAME_PLACE_M + 0.5).astype(np.int64)
    _, where = np.unique(place, axis=0, return_inverse=True)
    return int((np.bincount(where.ravel(), weights=arms[here]) >= _ARMS_OF_A_JUNCTION).sum())


def _building_facts(
    buildings: Shapes, heights_m: NDArray[np.floating] | None, tile: Tile, metre: float
) -> dict[str, Any]:
    near = buildings.near(tile)
    outlines = buildings.geometry[near]
    middle = shapely.get_coordinates(shapely.centroid(outlines))
    left, bottom, right, top = tile.bounds
    x, y = middle[:, 0], middle[:, 1]
    here = (x >= left) & (x < right) & (y > bottom) & (y <= top)
    count = int(here.sum())
    facts: dict[str, Any] = {"buildings": count, "building_m2": 0.0}
    if count:
        facts["building_m2"] = float(np.median(shapely.area(outlines[here]))) * metre**2
    if heights_m is not None and count:
        heights = heights_m[near][here]
        if np.isfinite(heights).any():
            facts["tallest_m"] = float(np.nanmax(heights))
    return facts


def _uses(areas: gpd.GeoDataFrame, tile: Tile) -> dict[str, float]:
    """Shares of the tile by use; areas of the same use that overlap count once."""
    near = areas.iloc[meeting(areas, tile)]
    uses = {}
    for name, tags in USES.items():
        used = np.zeros(len(near), dtype=bool)
        for key, values in tags.items():
            if key in near:
                used |= near[key].isin(values).to_numpy()
        if used.any():
            inside = shapely.clip_by_rect(near.geometry.to_numpy()[used], *tile.bounds)
            share = shapely.area(shapely.union_all(shapely.make_valid(inside)))
            uses[name] = float(share / tile.polygon.area)
    return {name: round(share, 6) for name, share in uses.items() if share}
