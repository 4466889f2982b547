"""Land cover of grown layouts: few and coarse outlines, as people draw them over imagery.

Not every house is there: labelled places have three or four areas each, whatever is biggest, and a
model that has learned from those fills in the rest by itself.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise

import geopandas as gpd
import numpy as np
import shapely
from numpy.typing import NDArray
from shapely.geometry.base import BaseGeometry

from rsaug.layouts.layout import areas_frame
from rsaug.layouts.styles import Style

Area = tuple[BaseGeometry, str]
Rng = np.random.Generator

_VERGE_M = 3.0  # Between a road and what lies beside it.
_LEAST_BLOCK_M2 = 700.0
_LOTS = 0.1  # Share of the lots along a street whose house is drawn.


def cover(
    roads: gpd.GeoDataFrame,
    borders: NDArray[np.object_],
    ground: shapely.Polygon,
    style: Style,
    rng: Rng,
) -> gpd.GeoDataFrame:
    """Land cover between roads.

    Args:
        roads: On the ground, with widths.
        borders: Lines that divide blocks, whether there is a road or not.
        ground: Where blocks are looked for.
        style: What blocks are.
        rng: Where all randomness comes from.

    Returns:
        Polygons with the column ``class``: building, parking, grass, sport, trees, bare, crops,
        pool, water.
    """
    lines = roads.geometry.to_numpy()
    half = roads["width"].astype(float).to_numpy() / 2
    taken = np.concatenate(
        [shapely.buffer(lines, half + _VERGE_M, cap_style="flat"), shapely.buffer(borders, 1.0)]
    )
    paved = shapely.union_all(taken)
    free = shapely.get_parts(shapely.difference(ground, paved))
    found: list[Area] = []
    for block in free:
        if shapely.area(block) >= _LEAST_BLOCK_M2:
            use = style.block(rng)
            if _is_strip(block):
                # Beside a motorway, between its carriageways, within a ramp: nothing is built.
                use = use if use in ("bare", "park") and rng.random() < 0.5 else "nothing"
            found += _FILLINGS[use](block, rng)
    whole = [(shape, name) for shape, name in found if shape.is_valid and shape.area > 40]
    return areas_frame([shape for shape, _ in whole], [name for _, name in whole])


def _is_strip(block: shapely.Polygon) -> bool:
    """Whether a block is too narrow or too small to be built on."""
    return block.area < 2000 or bool(shapely.buffer(block, -14.0).is_empty)


def _houses(block: shapely.Polygon, rng: Rng) -> list[Area]:
    """Houses in a row behind the streets; here and there a pool or trees in a backyard."""
    areas: list[Area] = [
        (house, "building") for house in _row(block, rng, (13, 20), (12, 18), _LOTS)
    ]
    if rng.random() < 0.12:
        areas += [(pool, "pool") for pool in _row(block, rng, (5, 9), (8, 12), 0.03, back=22.0)]
    if rng.random() < 0.3:
        areas += _inside(_blob(block, rng, (9, 20)), block, "trees")
    return areas


def _shops(block: shapely.Polygon, rng: Rng) -> list[Area]:
    """Large buildings behind a car park, side by side."""
    areas: list[Area] = []
    for lot in _slices(block, rng, (55, 110)):
        frame = _Frame(lot, rng)
        if frame.long < 25 or frame.short < 22:
            continue
        if rng.random() < 0.2:
            continue
        deep = min(rng.uniform(0.3, 0.55), rng.uniform(20, 45) / frame.short)
        wide = min(rng.uniform(0.5, 0.85), rng.uniform(25, 70) / frame.long)
        start = rng.uniform(0.03, 0.97 - wide)
        areas += _inside(frame.box(start, start + wide, 0.05, 0.05 + deep), lot, "building")
        if rng.random() < 0.6:
            areas += _inside(frame.box(0.06, 0.94, deep + 0.12, 0.95), lot, "parking")
        elif rng.random() < 0.5:
            areas += _inside(frame.box(0.1, 0.45, deep + 0.2, 0.9), lot, "building")
    return areas


def _park(block: shapely.Polygon, rng: Rng) -> list[Area]:
    areas = [(ground, "grass") for ground in _coarse(block, rng, 4.0)]
    if rng.random() < 0.6:
        areas += _inside(_blob(block, rng, (12, 28)), block, "trees")
    if rng.random() < 0.15:
        areas += _inside(_blob(block, rng, (14, 30)), block, "water")
    return areas


def _bare(block: shapely.Polygon, rng: Rng) -> list[Area]:
    """Vacant ground, as often as not only a part of the block."""
    if rng.random() < 0.5:
        frame = _Frame(block, rng)
        return _inside(frame.box(0.04, rng.uniform(0.4, 0.9), 0.06, 0.94), block, "bare")
    return [(ground, "bare") for ground in _coarse(block, rng, 4.0)]


def _school(block: shapely.Polygon, rng: Rng) -> list[Area]:
    frame = _Frame(block, rng)
    if frame.short < 40:
        return _park(block, rng)
    areas = _inside(frame.box(0.52, 0.94, 0.1, 0.9), block, "sport")
    for low in (0.1, 0.55):
        areas += _inside(frame.box(0.08, 0.4, low, low + rng.uniform(0.2, 0.32)), block, "building")
    return areas


def _field(block: shapely.Polygon, rng: Rng) -> list[Area]:
    """Fields side by side: crops, grass, an orchard, fallow."""
    names, shares = ("crops", "bare", "grass", "trees"), (0.45, 0.25, 0.18, 0.12)
    areas: list[Area] = []
    for strip in _slices(block, rng, (60, 160)):
        if rng.random() < 0.6:
            name = str(rng.choice(names, p=shares))
            areas += [(ground, name) for ground in _coarse(strip, rng, 3.0)]
    return areas


def _farm(block: shapely.Polygon, rng: Rng) -> list[Area]:
    """A few sheds and trees in a corner, fields around."""
    frame = _Frame(block, rng)
    areas = []
    for _ in range(int(rng.integers(2, 5))):
        at = rng.uniform(0.05, 0.3, 2)
        w, d = rng.uniform(10, 36) / frame.long, rng.uniform(9, 18) / frame.short
        areas += _inside(frame.box(at[0], at[0] + w, at[1], at[1] + d), block, "building")
    areas += _inside(_blob(block, rng, (10, 22)), block, "trees")
    yard = frame.box(0.0, 0.36, 0.0, 0.36)
    rest = shapely.difference(block, yard)
    parts = [part for part in shapely.get_parts(rest) if part.area > _LEAST_BLOCK_M2]
    return areas + [area for part in parts for area in _field(part, rng)]


def _nothing(block: shapely.Polygon, rng: Rng) -> list[Area]:
    return []


_FILLINGS: dict[str, Callable[[shapely.Polygon, Rng], list[Area]]] = {
    "houses": _houses,
    "shops": _shops,
    "park": _park,
    "bare": _bare,
    "school": _school,
    "field": _field,
    "farm": _farm,
    "nothing": _nothing,
}


class _Frame:
    """Coordinates from 0 to 1 along the sides of a block's smallest upright or turned box."""

    def __init__(self, block: shapely.Polygon, rng: Rng) -> None:
        xy = shapely.get_coordinates(shapely.oriented_envelope(block))[:4]
        if len(xy) < 4:
            xy = shapely.get_coordinates(shapely.box(*block.bounds))[:4]
        if np.hypot(*(xy[1] - xy[0])) < np.hypot(*(xy[2] - xy[1])):
            xy = np.roll(xy, 1, axis=0)
        if rng.random() < 0.5:
            xy = np.roll(xy, 2, axis=0)
        self.corner, self.x, self.y = xy[0], xy[1] - xy[0], xy[3] - xy[0]
        self.long, self.short = float(np.hypot(*self.x)), float(np.hypot(*self.y))

    def box(self, left: float, right: float, low: float, high: float) -> shapely.Polygon:
        """A box in these coordinates."""
        corners = ((left, low), (right, low), (right, high), (left, high))
        return shapely.Polygon([self.corner + a * self.x + b * self.y for a, b in corners])


def _slices(block: shapely.Polygon, rng: Rng, long_m: tuple[float, float]) -> list[shapely.Polygon]:
    """A block cut across its length."""
    frame = _Frame(block, rng)
    count = max(1, round(frame.long / rng.uniform(*long_m)))
    ends = np.linspace(0, 1, count + 1)
    parts = [shapely.intersection(block, frame.box(a, b, -0.01, 1.01)) for a, b in pairwise(ends)]
    return [
        part
        for whole in parts
        for part in shapely.get_parts(whole)
        if part.geom_type == "Polygon" and part.area > 300
    ]


def _coarse(block: shapely.Polygon, rng: Rng, back_m: float) -> list[shapely.Polygon]:
    """A block drawn by few points, a little smaller than it is."""
    inner = shapely.simplify(shapely.buffer(block, -back_m * rng.uniform(0.7, 2.0)), 4.0)
    return [
        part for part in shapely.get_parts(inner) if part.geom_type == "Polygon" and part.area > 150
    ]


def _blob(block: shapely.Polygon, rng: Rng, radius_m: tuple[float, float]) -> shapely.Polygon:
    """Five or six points around a place in a block."""
    west, south, east, north = block.bounds
    centre = np.array([rng.uniform(west, east), rng.uniform(south, north)])
    count = int(rng.integers(4, 7))
    angle = np.sort(
        rng.uniform(0, 2 * math.pi / count, count) + np.arange(count) * 2 * math.pi / count
    )
    radius = rng.uniform(*radius_m) * rng.uniform(0.7, 1.2, (count, 1))
    return shapely.Polygon(centre + radius * np.column_stack([np.cos(angle), np.sin(angle)]))


def _row(
    block: shapely.Polygon,
    rng: Rng,
    wide_m: tuple[float, float],
    deep_m: tuple[float, float],
    share: float,
    back: float = 5.0,
) -> list[shapely.Polygon]:
    """Boxes in a row along the outline of a block, set back from it; a share of the lots."""
    line = shapely.get_exterior_ring(
        max(shapely.get_parts(shapely.buffer(block, -back)), key=shapely.area)
    )
    boxes = []
    at = rng.uniform(0, 15)
    while at < line.length - 10:
        lot = rng.uniform(16, 26)
        if rng.random() < share:
            wide, deep = rng.uniform(*wide_m), rng.uniform(*deep_m)
            a, b = (shapely.get_coordinates(line.interpolate(at + d))[0] for d in (0.0, wide))
            step = b - a
            length = float(np.hypot(*step))
            if length > 0.8 * wide:
                # Rings of buffers run clockwise: the inside lies to the right.
                right = np.array([step[1], -step[0]]) / length * deep
                if shapely.is_ccw(line):
                    right = -right
                boxes.append(shapely.Polygon([a, b, b + right, a + right]))
        at += lot
    return [box for box in boxes if block.contains(box)]


def _inside(shape: BaseGeometry, block: shapely.Polygon, name: str) -> list[Area]:
    """What of a shape lies in a block, of that class, if that is worth drawing."""
    parts = shapely.get_parts(shapely.intersection(shape, block))
    return [(part, name) for part in parts if part.geom_type == "Polygon" and part.area > 60]
