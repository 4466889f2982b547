"""Layouts put together of halves of others, cut where their roads fit each other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import shapely
from affine import Affine
from numpy.typing import NDArray

from rsaug.errors import InputError
from rsaug.layouts.layout import Layout, cut, extended, joined, transformed

CUTS = (0.35, 0.5, 0.65)
"""Where layouts are cut, in sides from the left."""

MOST_ROADS = 4
"""Most roads across a cut."""

APART_M, BENT_DEG, WIDER = 12.0, 20.0, 1.5
"""Roads fit where they are no further apart, no more bent and no more times as wide."""

MOST_PAVED = 0.4
"""Most of a layout that is road; two motorways side by side are no place."""

_TURNS = tuple((quarter, mirror) for mirror in (False, True) for quarter in range(4))
_SHIFT = 0.2  # Of the side, most that the right half is moved along the cut.
_BEND_M = 60.0  # The right half is bent over so many metres for its roads to meet the left ones.
_STEEP = 0.4  # Sine of the angle with the cut below which a road does not cross it, but runs along.
_BEST = 40
_MISSES = 200
_LEAST_HALVES = 40
_WIDTH_M = 6.0  # Of a road that says none.


@dataclass(frozen=True, eq=False)
class _Edges:
    """Roads across the cuts of layouts in every position, of cuts that as many roads cross.

    Attributes:
        layout: (n,) number of the layout.
        turn: (n,) position in `_TURNS`.
        cut: (n,) position in `CUTS`.
        y: (n, k) where the roads cross, upwards, in metres.
        angle: (n, k) their direction in degrees, -90 to 90.
        log_width: (n, k) logarithm of their width.
    """

    layout: NDArray[np.intp]
    turn: NDArray[np.intp]
    cut: NDArray[np.intp]
    y: NDArray[np.float64]
    angle: NDArray[np.float64]
    log_width: NDArray[np.float64]


def recombine(
    places: Sequence[Layout], count: int, seed: int = 0, *, pieces: int = 2
) -> list[Layout]:
    """Layouts of halves, or quarters, of several others that fit at their roads.

    Two layouts in any of the eight positions of a square are cut at the same distance from the left
    where as many roads cross, near each other, in about one direction and of about one width. The
    right half is moved along the cut and bent so that its roads go on where the left ones end.

    Args:
        places: Layouts of one size.
        count: How many to make.
        seed: Of what is drawn.
        pieces: 2 or 4; quarters are halves of layouts made of halves.

    Raises:
        InputError: if too few places fit each other, or there is no such number of pieces.
    """
    if pieces not in (2, 4):
        raise InputError(f"A layout is put together of 2 or 4 pieces, not {pieces}.")
    every = range(len(_TURNS))
    if pieces == 2:
        return _joined(places, count, np.random.default_rng([seed, 2]), every)
    halves = _joined(places, max(2 * count, _LEAST_HALVES), np.random.default_rng([seed, 4]), every)
    # Turned by an odd number of quarters, so that the second cut runs across the first.
    across = [turn for turn, (quarter, _) in enumerate(_TURNS) if quarter % 2]
    return _joined(halves, count, np.random.default_rng([seed, 4, 1]), across)


def _joined(
    places: Sequence[Layout], count: int, rng: np.random.Generator, turns: Sequence[int]
) -> list[Layout]:
    """Layouts of two halves each, in some of the eight positions."""
    tables = _crossings(places, turns)
    if not tables:
        raise InputError("No road of the places crosses a cut, so there is nothing to join.")
    sizes = np.array([len(table.layout) for table in tables], dtype=float)
    made: list[Layout] = []
    misses = 0
    while len(made) < count:
        if misses > _MISSES * (count + 1):
            raise InputError(
                f"Only {len(made)} of {count} layouts could be put together of {len(places)} "
                "places; give more places."
            )
        table = tables[rng.choice(len(tables), p=sizes / sizes.sum())]
        left = int(rng.integers(len(table.layout)))
        right = _partner(table, left, places, rng)
        if right is None:
            misses += 1
            continue
        layout = _put_together(table, left, right, places)
        if _paved(layout) <= MOST_PAVED:
            made.append(layout)
        else:
            misses += 1
    return made


def _partner(
    table: _Edges, left: int, places: Sequence[Layout], rng: np.random.Generator
) -> int | None:
    """A right half for a left one, one of the best; None where none fits."""
    side = places[0].side_m
    apart = table.y[left] - table.y
    shift = apart.mean(axis=1)
    off = np.abs(apart - shift[:, None]).max(axis=1)
    bent = np.abs(table.angle - table.angle[left]).max(axis=1)
    wider = np.abs(table.log_width - table.log_width[left]).max(axis=1)
    mine = {*places[table.layout[left]].origin.split("|")}
    other = np.array([mine.isdisjoint(places[k].origin.split("|")) for k in table.layout])
    fits = (
        other
        & (table.cut == table.cut[left])
        & (np.abs(shift) <= _SHIFT * side)
        & (off <= APART_M)
        & (bent <= BENT_DEG)
        & (wider <= np.log(WIDER))
    )
    if not fits.any():
        return None
    cost = off / APART_M + bent / BENT_DEG + wider / np.log(WIDER)
    best = np.flatnonzero(fits)[np.argsort(cost[fits], kind="stable")[:_BEST]]
    return int(rng.choice(best))


def _put_together(table: _Edges, left: int, right: int, places: Sequence[Layout]) -> Layout:
    a, b = (turned(places[table.layout[k]], int(table.turn[k])) for k in (left, right))
    side, at = a.side_m, CUTS[table.cut[left]] * a.side_m
    b = replace(b, roads=b.roads.set_geometry(list(_long(b))))
    order = np.argsort(table.y[right])
    meets, ends = table.y[right][order], table.y[left][order]
    shift = float((ends - meets).mean())

    def bend(xy: NDArray[np.float64]) -> NDArray[np.float64]:
        near = np.clip(1 - np.abs(xy[:, 0] - at) / _BEND_M, 0, 1)
        by = shift + (np.interp(xy[:, 1], meets, ends - meets) - shift) * near**2 * (3 - 2 * near)
        return np.column_stack([xy[:, 0], xy[:, 1] + by])

    # Points every few metres, for straight lines to be bent as well.
    moved = {
        name: frame.set_geometry(
            list(shapely.transform(shapely.segmentize(frame.geometry.to_numpy(), 8.0), bend))
        )
        for name, frame in (("roads", b.roads), ("areas", b.areas))
    }
    far = 2 * side
    west, east = shapely.box(-far, -far, at, far), shapely.box(at, -far, far, far)
    line, polygon = shapely.GeometryType.LINESTRING, shapely.GeometryType.POLYGON
    areas = moved["areas"][shapely.is_valid(moved["areas"].geometry.to_numpy())]
    # Of an area on both sides the larger part stays: slivers along the cut would show it.
    mine = shapely.get_x(shapely.centroid(a.areas.geometry.to_numpy())) < at
    theirs = shapely.get_x(shapely.centroid(areas.geometry.to_numpy())) >= at
    both = replace(
        a,
        roads=joined([cut(a.roads, west, line), cut(moved["roads"], east, line)]),
        areas=joined([cut(a.areas[mine], west, polygon), cut(areas[theirs], east, polygon)]),
        origin=f"{a.origin}|{b.origin}",
    )
    slim = shapely.simplify(both.roads.geometry.to_numpy(), 0.1)
    return replace(both, roads=both.roads.set_geometry(list(slim))).clipped()


def _paved(layout: Layout) -> float:
    """Share of the square that is road, those that lie on each other counted in each."""
    lines = shapely.intersection(layout.roads.geometry.to_numpy(), layout.square)
    widths = layout.roads["width"].astype(float).fillna(_WIDTH_M).to_numpy()
    return float((shapely.length(lines) * widths).sum() / layout.side_m**2)


def _long(layout: Layout) -> NDArray[np.object_]:
    return extended(layout.roads.geometry.to_numpy(), layout.side_m, layout.side_m * _SHIFT)


def turned(layout: Layout, turn: int) -> Layout:
    """A layout in one of the eight positions of a square; 0 leaves it as it is."""
    quarter, mirror = _TURNS[turn]
    half = layout.side_m / 2
    matrix = (
        Affine.translation(half, half)
        @ Affine.rotation(90.0 * quarter)
        @ Affine.scale(-1.0 if mirror else 1.0, 1.0)
        @ Affine.translation(-half, -half)
    )
    return replace(
        layout,
        roads=transformed(layout.roads, matrix),
        areas=transformed(layout.areas, matrix),
    )


def _crossings(places: Sequence[Layout], turns: Sequence[int]) -> list[_Edges]:
    """Cuts of all layouts in some positions, by the number of roads across, from one on."""
    rows: dict[int, list[tuple[int, int, int, NDArray[np.float64]]]] = {}
    for number, place in enumerate(places):
        for turn in turns:
            for where, found in _crossings_of(turned(place, turn)):
                if 1 <= len(found) <= MOST_ROADS:
                    rows.setdefault(len(found), []).append((number, turn, where, found))
    tables = []
    for count in sorted(rows):
        numbers = np.array([row[:3] for row in rows[count]])
        values = np.stack([row[3] for row in rows[count]])
        tables.append(
            _Edges(
                numbers[:, 0],
                numbers[:, 1],
                numbers[:, 2],
                values[:, :, 0],
                values[:, :, 1],
                np.log(values[:, :, 2]),
            )
        )
    return tables


def _crossings_of(layout: Layout) -> list[tuple[int, NDArray[np.float64]]]:
    """By position of a cut (roads, 3): where, in which direction and how wide they cross it."""
    lines = layout.roads.geometry.to_numpy()
    widths = layout.roads["width"].astype(float).fillna(_WIDTH_M).to_numpy()
    side, result = layout.side_m, []
    for where, share in enumerate(CUTS):
        across = shapely.linestrings([(share * side, 0.0), (share * side, side)])
        crossed = np.flatnonzero(shapely.intersects(lines, across))
        points, nth = shapely.get_parts(
            shapely.intersection(lines[crossed], across), return_index=True
        )
        owner = crossed[nth]
        if (shapely.get_type_id(points) != shapely.GeometryType.POINT).any():
            continue
        found = []
        for point, k in zip(points, owner, strict=True):
            along = lines[k].project(point)
            before, after = (
                shapely.get_coordinates(lines[k].interpolate(max(along + d, 0.0)))[0]
                for d in (-4.0, 4.0)
            )
            dx, dy = after - before
            if abs(dx) <= _STEEP * np.hypot(dx, dy):
                break
            found.append((point.y, np.degrees(np.arctan(dy / dx)), widths[k]))
        else:
            result.append((where, np.array(sorted(found)).reshape(-1, 3)))
    return result
