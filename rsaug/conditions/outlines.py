"""Outlines of what is mapped: which boundaries are seen from above, and their straight parts.

What covers what is as in land cover (`rsaug.conditions.landcover.PRIORITY`). Areas of one kind that
touch are one area, so a kerb ends where another road begins; buildings stay apart, so that a shared
wall is an edge. Parcels lie on the ground cover: their boundaries show on anything but buildings,
roads and water.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

import geopandas as gpd
import numpy as np
import shapely
from numpy.typing import NDArray

from rsaug.conditions.landcover import CLASSES, PRIORITY
from rsaug.conditions.strokes import around
from rsaug.errors import InputError
from rsaug.grid import Tile, crs_name
from rsaug.shapes import Shapes
from rsaug.vectors import areas_of

Labels = NDArray[np.int16] | NDArray[np.int32]

STRENGTHS: Mapping[str, float] = MappingProxyType(
    {
        "building": 1.0,
        "road": 0.85,
        "water": 0.75,
        "forest": 0.5,
        "barren": 0.5,
        "agriculture": 0.4,
        "parcel": 0.3,
        "background": 0.2,
    }
)
"""How strong the boundary of each kind of area is, in [0, 1]. Where two kinds meet, the boundary is
of the one on top. A boundary of ``background`` is that of parking or built-up ground."""

_KINDS = (*PRIORITY, "parcel")
_BUILDING, _ROAD, _PARCEL = (_KINDS.index(name) for name in ("building", "road", "parcel"))
# Kinds from this one on hide the boundaries of parcels.
_OPAQUE = _KINDS.index("water")
_KIND_OF_CLASS = np.array([PRIORITY.index(name) for name in CLASSES], dtype=np.uint8)
_MANY_VERTICES = 1000
_NOTHING = 0


@dataclass(frozen=True, eq=False)
class Outlines:
    """Areas whose boundaries are drawn, made once for many tiles by `outlines`.

    Attributes:
        cover: What lies on the ground, from any layer.
        kind: (n,) uint8, the kind of each area of ``cover``.
        parcels: Parcels, if any.
        strength: (kinds,) float32, strength of the boundary of each kind.
        dropped: Parcels that are no area, by reason.
    """

    cover: Shapes
    kind: NDArray[np.uint8]
    parcels: Shapes | None
    strength: NDArray[np.float32]
    dropped: dict[str, int] = field(default_factory=dict)
    _straight: dict[tuple[int, int, float], NDArray[np.float64]] = field(
        default_factory=dict, repr=False
    )

    def boundaries(self, tile: Tile, *, margin_px: int, finer: int) -> NDArray[np.float32]:
        """Strength of the boundaries seen from above, on pixels finer than the tile's.

        A fine pixel is on a boundary when one of its four neighbours is of another area; its
        strength is that of the strongest boundary there.

        Args:
            tile: A tile in the CRS of the outlines.
            margin_px: How far around the tile to look, in pixels of the tile.
            finer: Fine pixels along a pixel's side; even, so that what is mapped along the borders
                or the centres of pixels runs between fine ones.

        Returns:
            float32 ((rows + 2 margin) finer, (cols + 2 margin) finer), 0 where there is none.
        """
        fine = around(tile, margin_px, finer)
        labels, kinds = self._labels(fine)
        strength = np.concatenate([[0], self.strength[kinds]]).astype(np.float32)
        edges = np.zeros(fine.shape, dtype=np.float32)
        _mark(edges, labels, strength)
        if self.parcels is not None and self.strength[_PARCEL] > 0:
            picked = self.parcels.near(fine)
            lots = _burned(self.parcels, picked, np.arange(1, len(picked) + 1), fine)
            opaque = np.concatenate([[False], kinds >= _OPAQUE])[labels]
            _mark(edges, lots, np.full(len(picked) + 1, self.strength[_PARCEL]), opaque)
        return edges

    def _labels(self, fine: Tile) -> tuple[Labels, NDArray[np.intp]]:
        """Labels of the areas on top, from 1, 0 where there is none, and (labels,) their kinds.

        Labels go up with the kind. Areas of one kind share one, buildings have one each.
        """
        picked = self.cover.near(fine)
        kinds = self.kind[picked].astype(np.intp)
        order = np.argsort(kinds, kind="stable")
        picked, kinds = picked[order], kinds[order]
        fresh = np.ones(len(kinds), dtype=bool)
        fresh[1:] = (kinds[1:] != kinds[:-1]) | (kinds[1:] == _BUILDING)
        return _burned(self.cover, picked, np.cumsum(fresh), fine), kinds[fresh]

    def cover_kinds(self, tile: Tile, *, margin_px: int, finer: int) -> NDArray[np.uint8]:
        """What is on top on pixels finer than the tile's: kind plus 1, 0 where there is nothing."""
        fine = around(tile, margin_px, finer)
        picked = self.cover.near(fine)
        picked = picked[np.argsort(self.kind[picked], kind="stable")]
        return self.cover.burn(fine, self.kind + np.uint8(1), picked)

    def straight(
        self, tile: Tile, *, tolerance_px: float, shortest_px: float, weakest: float
    ) -> list[tuple[int, NDArray[np.float64]]]:
        """Straight parts of the outlines near a tile, by kind plus 1 in ascending order.

        Each outline is simplified as a whole (Douglas and Peucker 1973), so its parts do not depend
        on the tile.

        Args:
            tile: A tile in the CRS of the outlines.
            tolerance_px: How far a simplified outline may be from the mapped one, in pixels.
            shortest_px: Parts that are shorter are left out.
            weakest: Kinds with a weaker boundary are left out.

        Returns:
            For each kind (n, 4) x, y of both ends in pixels of the tile. Parcels come first, as 0.
        """
        found: list[tuple[int, NDArray[np.float64]]] = []
        tolerance = tolerance_px * tile.transform.a
        layers: list[tuple[int, Shapes, NDArray[np.intp]]] = []
        if self.parcels is not None:
            layers.append((_PARCEL, self.parcels, self.parcels.near(tile, tile.gsd_m)))
        picked = self.cover.near(tile, tile.gsd_m)
        kinds = self.kind[picked]
        layers += [(int(kind), self.cover, picked[kinds == kind]) for kind in np.unique(kinds)]
        for kind, shapes, which in layers:
            if self.strength[kind] < weakest or not self.strength[kind]:
                continue
            ends = self._segments(shapes, which, tolerance)
            ends = _in_pixels(ends[_meets(ends, tile)], tile)
            length = np.hypot(ends[:, 2] - ends[:, 0], ends[:, 3] - ends[:, 1])
            # Rounding must not choose between segments of exactly the least length.
            ends = ends[length >= shortest_px - 1e-6]
            found.append((_NOTHING if kind == _PARCEL else kind + 1, ends))
        return found

    def _segments(
        self, shapes: Shapes, picked: NDArray[np.intp], tolerance: float
    ) -> NDArray[np.float64]:
        """Segments of the simplified outlines, (n, 4) in the CRS; those of large areas are kept."""
        areas = shapes.geometry[picked]
        large = shapely.get_num_coordinates(areas) > _MANY_VERTICES
        found = [simplified_segments(areas[~large], tolerance)]
        for position in picked[large].tolist():
            key = (id(shapes), position, tolerance)
            if key not in self._straight:
                area = shapes.geometry[position : position + 1]
                self._straight[key] = simplified_segments(area, tolerance)
            found.append(self._straight[key])
        return np.concatenate(found)


def is_stacked(kind: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Of kinds plus 1, whether areas of that kind keep boundaries between each other."""
    stacked: NDArray[np.bool_] = kind == _BUILDING + 1
    return stacked


def hides_parcels(kind: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Of kinds plus 1, whether an area of that kind hides the boundaries of parcels."""
    hides: NDArray[np.bool_] = kind >= _OPAQUE + 1
    return hides


def outlines(
    *,
    areas: Sequence[gpd.GeoDataFrame] = (),
    roads: gpd.GeoDataFrame | None = None,
    parcels: gpd.GeoDataFrame | None = None,
    strengths: Mapping[str, float] | None = None,
) -> Outlines:
    """Outlines of layers in one projected CRS.

    Args:
        areas: `rsaug.conditions.landcover.LandAreas.areas` of each layer, buildings among them, in
            LoveDA's classes.
        roads: `rsaug.roads.Roads.surfaces`.
        parcels: Areas in any CRS; they are cleaned here.
        strengths: Strengths in [0, 1] that differ from `STRENGTHS`. Areas of a kind of 0 have no
            boundary and still hide what they cover.

    Raises:
        InputError: if there is no layer, the layers are in several CRSs, a class is none of
            LoveDA's, or a strength cannot be used.
    """
    layers = [*areas, *([] if roads is None else [roads])]
    given = [*layers, *([] if parcels is None else [parcels])]
    if not given:
        raise InputError("Outlines need a layer: areas, roads or parcels.")
    crs = given[0].crs
    for layer in layers:
        if crs is None or layer.crs != crs:
            raise InputError(
                f"The layers are in {_name(crs)} and {_name(layer.crs)}; reproject them to one CRS."
            )
    kinds = [_kinds(layer["landcover"].to_numpy(dtype=np.intp)) for layer in areas]
    if roads is not None:
        kinds.append(np.full(len(roads), _ROAD, dtype=np.uint8))
    shapes = [np.empty(0, dtype=object), *(layer.geometry.to_numpy() for layer in layers)]
    cover = Shapes(np.concatenate(shapes), crs)
    kind = np.concatenate([np.zeros(0, np.uint8), *kinds])
    lots, dropped = None, {}
    if parcels is not None:
        areas_only = areas_of(parcels, crs, why="parcels are areas", allow_none=True)
        lots, dropped = Shapes.of(areas_only.features), areas_only.dropped
    return Outlines(cover, kind, lots, _strengths(strengths or {}), dropped)


def _kinds(classes: NDArray[np.intp]) -> NDArray[np.uint8]:
    known = (classes >= 0) & (classes < len(CLASSES))
    if not known.all():
        raise InputError(
            f"Land cover {classes[~known][0]} is none of LoveDA's classes, 0 to "
            f"{len(CLASSES) - 1}, which outlines are made of."
        )
    return _KIND_OF_CLASS[classes]


def _name(crs: object) -> str:
    return "no CRS" if crs is None else crs_name(crs)  # type: ignore[arg-type]


def _strengths(changed: Mapping[str, float]) -> NDArray[np.float32]:
    unknown = sorted(set(changed) - set(STRENGTHS))
    if unknown:
        raise InputError(f"No boundary is of kind {unknown[0]!r}; there are {list(STRENGTHS)}.")
    for name, strength in changed.items():
        if not 0 <= strength <= 1:
            raise InputError(f"The strength of {name} must be from 0 to 1, not {strength}.")
    strengths = {**STRENGTHS, **changed}
    return np.array([strengths[name] for name in _KINDS], dtype=np.float32)


def _burned(
    shapes: Shapes, picked: NDArray[np.intp], labels: NDArray[np.intp], fine: Tile
) -> Labels:
    """Labels of the picked shapes, later over earlier."""
    # int16 where it holds them, else float32, which is exact up to 16 million.
    if len(picked) <= np.iinfo(np.int16).max:
        small = np.zeros(len(shapes), dtype=np.int16)
        small[picked] = labels
        return shapes.burn(fine, small, picked)
    large = np.zeros(len(shapes), dtype=np.float32)
    large[picked] = labels
    return shapes.burn(fine, large, picked).astype(np.int32)


def _mark(
    edges: NDArray[np.float32],
    labels: Labels,
    strength: NDArray[np.float32],
    hidden: NDArray[np.bool_] | None = None,
) -> None:
    """Raise ``edges`` on both sides of where neighbours differ to the strength of the label on top.

    Args:
        edges: (rows, cols), C-contiguous, written to.
        labels: (rows, cols).
        strength: (labels,).
        hidden: Pixels next to which nothing is marked.
    """
    cols = labels.shape[1]
    # Rows are laid end to end, which is several times as fast; a row's last pixel and the next
    # row's first are no neighbours.
    flat, marked = labels.ravel(), edges.reshape(-1)
    for step in (cols, 1):
        differ = flat[:-step] != flat[step:]
        if step == 1:
            differ[cols - 1 :: cols] = False
        if hidden is not None:
            differ &= ~(hidden.ravel()[:-step] | hidden.ravel()[step:])
        at = np.flatnonzero(differ)
        found = strength[np.maximum(flat[at], flat[at + step])]
        for side in (at, at + step):
            marked[side] = np.maximum(marked[side], found)


def simplified_segments(areas: NDArray[np.object_], tolerance: float) -> NDArray[np.float64]:
    """Segments of the outlines of areas, simplified; (n, 4) x, y of both ends.

    Every ring, holes too, is simplified as a closed line. Its first point is treated as any other:
    a ring may start in the middle of a straight wall.

    Args:
        areas: (n,) polygons.
        tolerance: In units of their CRS.
    """
    rings = shapely.get_rings(areas)
    xy, ring = shapely.get_coordinates(rings, return_index=True)
    if not len(xy):
        return np.zeros((0, 4))
    lines = shapely.simplify(
        shapely.linestrings(xy, indices=ring), tolerance, preserve_topology=False
    )
    xy, ring = shapely.get_coordinates(lines, return_index=True)
    starts = np.flatnonzero(np.r_[True, ring[1:] != ring[:-1]])
    ends = np.r_[starts[1:], len(ring)] - 1
    starts, ends = starts[ends - starts >= 4], ends[ends - starts >= 4]
    before, at, after = xy[ends - 1], xy[starts], xy[starts + 1]
    straight = _distance(at, before, after) <= tolerance
    xy[ends[straight]] = after[straight]
    keep = np.ones(len(xy), dtype=bool)
    keep[starts[straight]] = False
    xy, ring = xy[keep], ring[keep]
    segments: NDArray[np.float64] = np.hstack([xy[:-1], xy[1:]])[ring[1:] == ring[:-1]]
    return segments


def _distance(
    point: NDArray[np.float64], start: NDArray[np.float64], end: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Distances of points from segments, (n,)."""
    segments = shapely.linestrings(np.stack([start, end], axis=1))
    distance: NDArray[np.float64] = shapely.distance(shapely.points(point), segments)
    return distance


def _meets(ends: NDArray[np.float64], tile: Tile) -> NDArray[np.bool_]:
    """Which segments have a box that meets the tile and a pixel around it."""
    left, bottom, right, top = tile.bounds
    side = tile.transform.a
    x, y = ends[:, [0, 2]], ends[:, [1, 3]]
    inside = (x.max(axis=1) >= left - side) & (x.min(axis=1) <= right + side)
    meets: NDArray[np.bool_] = (
        inside & (y.max(axis=1) >= bottom - side) & (y.min(axis=1) <= top + side)
    )
    return meets


def _in_pixels(ends: NDArray[np.float64], tile: Tile) -> NDArray[np.float64]:
    to_px = ~tile.transform
    x = (ends[:, [0, 2]] - tile.transform.c) * to_px.a
    y = (ends[:, [1, 3]] - tile.transform.f) * to_px.e
    return np.stack([x[:, 0], y[:, 0], x[:, 1], y[:, 1]], axis=1)
