"""Real layouts turned, mirrored, stretched and shifted against the grid of tiles."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import shapely
from affine import Affine

from rsaug.errors import InputError
from rsaug.layouts.layout import Layout, extended

STRETCH = 1.25
"""Most that a layout is stretched or squeezed, along each of its axes by itself."""

SHIFT = 0.2
"""Most that it is shifted, in sides of the square."""

COVERED = 0.75
"""Least share of the new square that is ground of the old one; roads go straight on beyond it."""

LEAST_ROAD_M = 30.0
"""A layout has at least so much road."""

_TRIES = 60


def vary(places: Sequence[Layout], count: int, seed: int = 0) -> list[Layout]:
    """Layouts that are each a labelled one in another position; widths stay as they are.

    Every place comes once before any comes a second time. What is drawn for the k-th follows from
    the seed and k alone.

    Args:
        places: Labelled layouts; those with too little road are passed over.
        count: How many to make.
        seed: Of what is drawn.

    Raises:
        InputError: if no place has enough road.
    """
    able = [place for place in places if place.road_m >= LEAST_ROAD_M]
    if not able:
        raise InputError(f"None of the {len(places)} places has {LEAST_ROAD_M:g} m of road.")
    order = np.random.default_rng(seed).permutation(len(able))
    return [
        _varied(able[order[k % len(able)]], np.random.default_rng([seed, k])) for k in range(count)
    ]


def _varied(place: Layout, rng: np.random.Generator) -> Layout:
    side = place.side_m
    lines = extended(place.roads.geometry.to_numpy(), side, 1.5 * side)
    whole = replace(place, roads=place.roads.set_geometry(list(lines)))
    for _ in range(_TRIES):
        matrix = _draw(side, rng)
        ground = shapely.transform(place.square, lambda xy, m=matrix: _applied(m, xy))
        if shapely.area(ground.intersection(place.square)) < COVERED * side**2:
            continue
        made = whole.moved(matrix).clipped()
        if made.road_m >= LEAST_ROAD_M:
            return made
    # A quarter turn always covers the square.
    quarter = _about(side, Affine.rotation(90.0 * int(rng.integers(1, 4))))
    return whole.moved(quarter).clipped()


def _draw(side: float, rng: np.random.Generator) -> Affine:
    turn = Affine.rotation(float(rng.uniform(0, 360)))
    stretch = np.exp(rng.uniform(-1, 1, 2) * math.log(STRETCH))
    mirror = float(rng.choice([-1.0, 1.0]))
    shift = rng.uniform(-SHIFT, SHIFT, 2) * side
    scale = Affine.scale(mirror * float(stretch[0]), float(stretch[1]))
    return _about(side, Affine.translation(*map(float, shift)) @ turn @ scale)


def _about(side: float, matrix: Affine) -> Affine:
    """A map about the middle of the square."""
    half = side / 2
    return Affine.translation(half, half) @ matrix @ Affine.translation(-half, -half)


def _applied(matrix: Affine, xy: np.ndarray) -> np.ndarray:
    linear = np.array([[matrix.a, matrix.b], [matrix.d, matrix.e]])
    moved: np.ndarray = xy @ linear.T + np.array([matrix.c, matrix.f])
    return moved
