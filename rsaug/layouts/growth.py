"""Grown layouts: made-up towns and countryside, streets first, then what stands along them.

The order is that of Parish and Mueller 2001 ("Procedural Modeling of Cities"): major roads, then
minor streets in a pattern between them, then lots and buildings in the blocks. The pattern is a net
of streets in a plane that a smooth field then turns and bends, as in Chen et al. 2008 ("Interactive
Procedural Street Modeling"), whose streets follow a field of directions; here the field is one of
displacements, which needs no tracing.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import geopandas as gpd
import numpy as np
import shapely
from numpy.typing import NDArray

from rsaug.errors import InputError
from rsaug.layouts.growing_cover import cover
from rsaug.layouts.interchange import Interchange
from rsaug.layouts.layout import Layout, joined, roads_frame
from rsaug.layouts.styles import KINDS, STYLES, Style

_MARGIN_M = 150.0  # Of what grows beyond the square, so that nothing ends at its edge.
_STEP_M = 12.0  # Between points of a street.


@dataclass(eq=False)
class Net:
    """Streets as a net of straight lines that cross at right angles, before it is bent.

    Attributes:
        u: (m,) places of the streets that run along v, ascending, in metres.
        v: (n,) places of those that run along u.
        along_v: (m, n - 1) whether there is a street between two of `v`, for each of `u`.
        along_u: (m - 1, n) whether there is one between two of `u`, for each of `v`.
        arterials: Numbers of streets that are major, by axis.
    """

    u: NDArray[np.float64]
    v: NDArray[np.float64]
    along_v: NDArray[np.bool_]
    along_u: NDArray[np.bool_]
    arterials: dict[str, set[int]] = field(default_factory=lambda: {"u": set(), "v": set()})


def grow(
    count: int,
    side_m: float,
    seed: int = 0,
    *,
    kinds: Sequence[str] = KINDS,
    at: Sequence[tuple[float, float]] = (),
) -> list[Layout]:
    """Layouts that grew, the kinds in turn; the k-th follows from the seed and k alone.

    Args:
        count: How many.
        side_m: Side of each.
        seed: Of what is drawn.
        kinds: Each ``grid``, ``suburb``, ``rural`` or ``highway``.
        at: Longitudes and latitudes that they are to look like, in turn; may be empty.

    Raises:
        InputError: if there is no such kind.
    """
    strange = [kind for kind in kinds if kind not in STYLES]
    if strange or not kinds:
        raise InputError(f"Layouts grow as {', '.join(STYLES)}, not as {strange or 'nothing'}.")
    return [
        _grown(
            kinds[k % len(kinds)],
            side_m,
            np.random.default_rng([seed, k]),
            at[k % len(at)] if at else None,
        )
        for k in range(count)
    ]


def _grown(
    kind: str, side_m: float, rng: np.random.Generator, at: tuple[float, float] | None
) -> Layout:
    style = STYLES[kind]
    half = (side_m / 2 + _MARGIN_M) * math.sqrt(2)
    bend = _bend(style, side_m, rng)
    net = _net(style, half, rng)
    frames = [_streets(net, style, rng)]
    if style.interchange:
        frames.append(Interchange.drawn(net.u, half, rng).roads())
    flat = joined(frames)
    lines, borders = (
        shapely.transform(shapely.segmentize(shapes, _STEP_M), bend)
        for shapes in (flat.geometry.to_numpy(), _lattice(net))
    )
    roads = flat.set_geometry(list(shapely.simplify(lines, 0.15)))
    ground = shapely.box(*[-_MARGIN_M] * 2, *[side_m + _MARGIN_M] * 2)
    return Layout(side_m, roads, cover(roads, borders, ground, style, rng), kind, at).clipped()


def _bend(
    style: Style, side_m: float, rng: np.random.Generator
) -> Callable[[NDArray[np.float64]], NDArray[np.float64]]:
    """From the plane of the net to the ground: displaced by waves, then turned, then moved."""
    turn = rng.uniform(0, 2 * math.pi)
    linear = np.array([[math.cos(turn), -math.sin(turn)], [math.sin(turn), math.cos(turn)]])
    waves = []
    for _ in range(3):
        length = rng.uniform(*style.wave_m)
        heading = rng.uniform(0, 2 * math.pi)
        k = 2 * math.pi / length * np.array([math.cos(heading), math.sin(heading)])
        push = rng.normal(0, 1, 2)
        # A displacement steeper than this would fold the net.
        most = min(style.bend_m * rng.uniform(0.4, 1.0), 0.09 * length)
        waves.append((k, rng.uniform(0, 2 * math.pi), push / np.hypot(*push) * most))

    def bend(uv: NDArray[np.float64]) -> NDArray[np.float64]:
        moved = uv.copy()
        for k, phase, push in waves:
            moved += np.sin(uv @ k + phase)[:, None] * push
        result: NDArray[np.float64] = moved @ linear.T + side_m / 2
        return result

    return bend


def _net(style: Style, half: float, rng: np.random.Generator) -> Net:
    u = _places(style.along_u_m, half, rng)
    v = _places(style.along_v_m, half, rng)
    if style.interchange:
        # Nothing but the crossing road comes near the motorway, which runs along v = 0.
        v = v[np.abs(v) > Interchange.CLEAR_M]
    net = Net(
        u,
        v,
        rng.random((len(u), len(v) - 1)) >= style.gaps,
        rng.random((len(u) - 1, len(v))) >= style.gaps,
    )
    if style.interchange:
        below = int(np.searchsorted(v, 0.0)) - 1
        if 0 <= below < len(v) - 1:
            net.along_v[:, below] = False
            net.arterials["v"] |= {below, below + 1}
    for axis, places in (("u", u), ("v", v)):
        count = rng.binomial(2, style.arterials / 2) if not style.interchange else 0
        # Of the streets near the middle, or hardly any square would see one.
        near = np.argsort(np.abs(places - rng.uniform(-half / 2, half / 2)))[:count]
        net.arterials[axis] |= {int(k) for k in near}
    for k in net.arterials["u"]:
        net.along_v[k] = True
    for k in net.arterials["v"]:
        net.along_u[:, k] = True
    return net


def _places(spacing_m: tuple[float, float], half: float, rng: np.random.Generator) -> np.ndarray:
    """Places of parallel streets from -half to half, in metres."""
    base = rng.uniform(*spacing_m)
    steps = base * rng.uniform(0.8, 1.25, math.ceil(2.6 * half / base) + 2)
    places = np.cumsum(steps) - steps[0] * rng.random() - 1.15 * half
    kept: np.ndarray = places[places <= 1.15 * half]
    return kept


def _streets(net: Net, style: Style, rng: np.random.Generator) -> gpd.GeoDataFrame:
    """The net as lines with tags, unbent."""
    lines: list[shapely.LineString] = []
    tags: list[tuple[str, str | None, float]] = []
    for axis, own, cross, there in (
        ("u", net.u, net.v, net.along_v),
        ("v", net.v, net.u, net.along_u.T),
    ):
        for k, place in enumerate(own):
            major = k in net.arterials[axis]
            highway, width = style.major(rng) if major else style.minor(rng)
            for first, last in _runs(there[k]):
                lines.append(_on(axis, place, cross[first], cross[last]))
                tags.append((highway, None, width))
            if not major and rng.random() < style.stubs:
                ends, bulbs = _stubs(axis, place, cross, there[k], style, rng)
                lines += [*ends, *bulbs]
                tags += [(highway, None, width)] * len(ends)
                tags += [(highway, None, style.bulb_m)] * len(bulbs)
    for line in _alleys(net, style, rng):
        lines.append(line)
        tags.append(("service", "alley", float(np.clip(rng.normal(4.8, 1.0), 3.2, 8.0))))
    kind = "track" if "track" in style.minors else "service"
    for line in _spurs(net, style, rng):
        lines.append(line)
        tags.append((kind, None, float(np.clip(rng.normal(6.5, 1.6), 3.5, 9.5))))
    highways, services, widths = zip(*tags, strict=True)
    return roads_frame(
        lines, highway=list(highways), service=list(services), width=np.round(widths, 2)
    )


def _lattice(net: Net) -> NDArray[np.object_]:
    """All lines of the net, also where there is no street: the borders of blocks."""
    lines = [_on("u", place, net.v[0], net.v[-1]) for place in net.u]
    return np.array([*lines, *(_on("v", place, net.u[0], net.u[-1]) for place in net.v)])


def _runs(there: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """First and last node of each stretch of streets without a gap."""
    edge = np.flatnonzero(np.diff(np.concatenate([[0], there.astype(int), [0]])))
    return [(int(a), int(b)) for a, b in edge.reshape(-1, 2)]


def _stubs(
    axis: str,
    place: float,
    cross: NDArray[np.float64],
    there: NDArray[np.bool_],
    style: Style,
    rng: np.random.Generator,
) -> tuple[list[shapely.LineString], list[shapely.LineString]]:
    """Dead ends that reach into the gaps of a street, and the places to turn at their ends."""
    lines, bulbs = [], []
    for k in np.flatnonzero(~there):
        over_motorway = style.interchange and cross[k] < 0 < cross[k + 1]
        if rng.random() < 0.35 or over_motorway:
            continue
        a, b = (cross[k], cross[k + 1]) if rng.random() < 0.5 else (cross[k + 1], cross[k])
        end = a + (b - a) * rng.uniform(0.45, 0.7)
        lines.append(_on(axis, place, a, end))
        if style.bulb_m and rng.random() < 0.8:
            # A ring as wide as it is across is a disc of twice its radius.
            radius = style.bulb_m / 2
            centre = shapely.get_point(lines[-1], -1)
            ring = shapely.buffer(centre, radius, quad_segs=6).exterior
            bulbs.append(shapely.LineString(ring.coords))
    return lines, bulbs


def _alleys(net: Net, style: Style, rng: np.random.Generator) -> list[shapely.LineString]:
    """Alleys in the middle between two streets of the denser family."""
    lines: list[shapely.LineString] = []
    axis, own, cross = ("u", net.u, net.v)
    if not style.alleys or min(len(net.u), len(net.v)) < 2:
        return lines
    if np.diff(net.v).mean() < np.diff(net.u).mean():
        axis, own, cross = "v", net.v, net.u
    for a, b in pairwise(own):
        if rng.random() >= style.alleys:
            continue
        first, last = sorted(rng.choice(len(cross), 2, replace=False).tolist())
        lines.append(_on(axis, (a + b) / 2, cross[first], cross[last]))
    return lines


def _spurs(net: Net, style: Style, rng: np.random.Generator) -> list[shapely.LineString]:
    """Short service roads from a street into the block beside it."""
    lines: list[shapely.LineString] = []
    for axis, own, cross, there in (
        ("u", net.u, net.v, net.along_v),
        ("v", net.v, net.u, net.along_u.T),
    ):
        aside = "v" if axis == "u" else "u"
        for k in range(1, len(own) - 1):
            for n in np.flatnonzero(there[k]):
                if rng.random() >= style.spurs:
                    continue
                at = cross[n] + (cross[n + 1] - cross[n]) * rng.uniform(0.25, 0.75)
                other = own[k + 1] if rng.random() < 0.5 else own[k - 1]
                if style.interchange and own[k] * other < 0:
                    continue
                reach = min(rng.uniform(22.0, 65.0), 0.7 * abs(other - own[k]))
                lines.append(_on(aside, at, own[k], own[k] + math.copysign(reach, other - own[k])))
    return lines


def _on(axis: str, place: float, start: float, end: float) -> shapely.LineString:
    """A piece of the street at a place, ``u`` for those that run along v."""
    ends = [(place, start), (place, end)] if axis == "u" else [(start, place), (end, place)]
    return shapely.LineString(ends)
