"""Further maps of roads besides the binary surface: soft, lines, distance, direction and more.

Each is made so that the tiles of a mosaic put together are the mosaic: nothing is scaled by what a
tile happens to hold, and what reaches across an edge is looked up across it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import shapely
from affine import Affine
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from scipy import ndimage

from rsaug.conditions.road import road_mask
from rsaug.errors import InputError
from rsaug.grid import Tile, linear_unit_m
from rsaug.roads import MITRE_LIMIT, Roads

REACH_M = 50.0
"""How far from a road's edge distances are told, in metres; beyond, they stay at that."""

_SUPERSAMPLING = 8
# How far a distance may be off by rounding and still count as equal, in pixels.
_TIE_PX = 1e-6
# Points nearer than this are one node of the road network, in metres.
_NODE_M = 0.01


@dataclass(frozen=True)
class Channel:
    """One map of roads.

    Attributes:
        name: Its name.
        title: Its name for readers.
        meaning: What its numbers say.
        bands: Names of its bands.
        dtype: Type of its numbers.
        unit: Their unit, "" for none.
        low: Their least value.
        high: Their greatest.
        nothing: The number where there is no road; a map has a number everywhere, so no nodata.
    """

    name: str
    title: str
    meaning: str
    bands: tuple[str, ...]
    dtype: str
    unit: str
    low: float
    high: float
    nothing: float = 0.0


CHANNELS: tuple[Channel, ...] = (
    Channel(
        "surface",
        "Road surface",
        "1 where the centre of the pixel lies on a road",
        ("surface",),
        "uint8",
        "",
        0,
        1,
    ),
    Channel(
        "soft",
        "Soft road surface",
        "share of the pixel that is road, from 8 x 8 points in it",
        ("coverage",),
        "float32",
        "",
        0,
        1,
    ),
    Channel(
        "centreline",
        "Centrelines",
        "1 where the centre of the pixel is within half a pixel of a road's line",
        ("centreline",),
        "uint8",
        "",
        0,
        1,
    ),
    Channel(
        "distance",
        "Distance to the edge of the road",
        f"positive outside, negative on the road, at most {REACH_M:g} m either way",
        ("distance",),
        "float32",
        "m",
        -REACH_M,
        REACH_M,
        REACH_M,
    ),
    Channel(
        "direction",
        "Direction of the road",
        "cosine and sine of twice the angle of the nearest line, counter-clockwise from east",
        ("cos_2a", "sin_2a"),
        "float32",
        "",
        -1,
        1,
    ),
    Channel(
        "junction",
        "Junctions",
        "1 within half the width of the widest road that meets where three arms or more meet",
        ("junction",),
        "uint8",
        "",
        0,
        1,
    ),
    Channel(
        "class",
        "Class of the road",
        "number of the class in the rules, 1 for the highest, of the road on top",
        ("class",),
        "uint8",
        "",
        0,
        255,
    ),
    Channel(
        "lanes",
        "Lanes",
        "lanes that are tagged of the road on top, 0 where none are",
        ("lanes",),
        "uint8",
        "",
        0,
        255,
    ),
)
"""The maps that can be made, in this order."""

Map = NDArray[np.uint8] | NDArray[np.float32]


def road_channels(
    roads: Roads, tile: Tile, names: Sequence[str] | None = None
) -> dict[str, NDArray[np.generic]]:
    """Maps of the roads of a tile, by name, each (bands, rows, cols) as `CHANNELS` describes.

    Args:
        roads: Roads in the tile's CRS.
        tile: The tile.
        names: Which maps; by default all.

    Raises:
        InputError: if there is no map of a name, or the roads are in another CRS.
    """
    names = list(_MAKERS) if names is None else names
    for name in names:
        if name not in _MAKERS:
            raise InputError(f"No map of roads is called {name!r}; there are {list(_MAKERS)}.")
    maps: dict[str, NDArray[np.generic]] = {}
    for name in names:
        made = _MAKERS[name](roads, tile)
        maps[name] = made if made.ndim == 3 else made[None]
    return maps


def soft_surface(roads: Roads, tile: Tile) -> NDArray[np.float32]:
    """Share of each pixel that is road, float32 (rows, cols) in [0, 1].

    The surface is burned on pixels an eighth as wide, so a share is a number of 64ths, and where it
    is 1 or 0 the binary surface is as well.
    """
    rows, cols = tile.shape
    n = _SUPERSAMPLING
    fine = _with_box(tile, (rows * n, cols * n), tile.transform.a / n)
    mask = roads.shapes.burn(fine, picked=roads.shapes.near(tile))
    # Eight bytes of 0 or 1 as one number: sums of eight rows stay within their bytes, and a product
    # gathers the bytes in the highest.
    eights = mask.view(np.uint64).reshape(rows, n, cols).sum(axis=1)
    total = (eights * np.uint64(0x0101010101010101)) >> np.uint64(56)
    share: NDArray[np.float32] = total.astype(np.float32) / np.float32(n * n)
    return share


def centreline(roads: Roads, tile: Tile) -> NDArray[np.uint8]:
    """Lines of the roads, uint8 (rows, cols): 1 where a centre is within half a pixel of one."""
    segments = _segments(roads, tile, 1.0)
    half = np.full(len(segments.start), tile.transform.a / 2)
    return _drawn(segments.start, segments.end, half, tile)


def edge_distance(roads: Roads, tile: Tile, reach_m: float = REACH_M) -> NDArray[np.float32]:
    """Metres from each pixel's centre to the edge of the road, float32 (rows, cols).

    Positive outside, negative on a road, no further than ``reach_m`` either way. It is the distance
    to the nearest centre on the other side less half a pixel, in metres of the CRS.
    """
    gsd = tile.gsd_m
    halo = int(np.ceil(reach_m / gsd)) + 1
    rows, cols = tile.shape
    wide = _with_box(tile, (rows + 2 * halo, cols + 2 * halo), tile.transform.a, halo)
    road = road_mask(roads, wide).astype(bool)
    here = slice(halo, halo + rows), slice(halo, halo + cols)
    far = np.float64(reach_m)

    def to(other: NDArray[np.bool_]) -> NDArray[np.float64]:
        if not other.any():
            return np.full(tile.shape, far)
        px = ndimage.distance_transform_edt(~other)[here]
        metres: NDArray[np.float64] = np.minimum((px - 0.5) * gsd, far)
        return metres

    return np.where(road[here], -to(~road), to(road)).astype(np.float32)


def direction(roads: Roads, tile: Tile) -> NDArray[np.float32]:
    """Direction of the road, float32 (2, rows, cols): cos 2a and sin 2a, both 0 off the roads.

    The angle a, counter-clockwise from east, is that of the nearest segment among the roads that
    hold the pixel; twice the angle, since a road has no front. Where several segments are equally
    near, as outside of a bend, it is the mean of theirs, and 0 where they cancel out. On an area
    that no line runs along it is 0.
    """
    segments = _segments(roads, tile, 0.0)
    along = segments.end - segments.start
    length = np.hypot(*along.T)
    real = length > 0
    start, end, along, length = (
        part[real] for part in (segments.start, segments.end, along, length)
    )
    stretch = {"round": 1.0, "flat": 1.0, "square": np.sqrt(2)}[roads.rules.cap]
    stretch = max(stretch, MITRE_LIMIT if roads.rules.join == "mitre" else 1.0)
    pixel, segment, distance = _within(start, end, segments.half[real] * stretch, tile)
    size = tile.shape[0] * tile.shape[1]
    nearest = np.full(size, np.inf)
    np.minimum.at(nearest, pixel, distance)
    best = distance <= nearest[pixel] + _TIE_PX * tile.transform.a
    pixel, segment = pixel[best], segment[best]
    x, y = (along / length[:, None]).T
    cos, sin = x * x - y * y, 2 * x * y
    number = np.bincount(pixel, minlength=size)
    both = np.zeros((2, size))
    both += [np.bincount(pixel, part[segment], size) for part in (cos, sin)]
    several = number > 1
    norm = np.hypot(*both)
    kept = norm > 1e-6 * np.maximum(number, 1)
    both[:, several & kept] /= norm[several & kept]
    both[:, ~kept] = 0
    mask = road_mask(roads, tile)
    return (both.reshape(2, *tile.shape) * mask).astype(np.float32)


def junctions(roads: Roads, tile: Tile) -> NDArray[np.uint8]:
    """Where roads meet, uint8 (rows, cols): 1 within half the width of the widest that meets there.

    Roads meet at a point that their lines share as an end or a vertex, to the centimetre. Where
    three arms or more leave it there is a junction: not where a road goes on as another line, nor
    where a bridge crosses without a shared point. The disc has a radius of a pixel at least.
    """
    widest = float(roads.half_widths.max(initial=0.0))
    reach = max(widest, tile.transform.a)
    segments = _segments(roads, tile, reach / tile.transform.a + 1)
    if not len(segments.start):
        return np.zeros(tile.shape, np.uint8)
    unit = _NODE_M / linear_unit_m(tile.crs)
    ends = np.concatenate([segments.start, segments.end])
    keys, node = np.unique(np.round(ends / unit).astype(np.int64), axis=0, return_inverse=True)
    node = node.reshape(2, -1)
    half = np.zeros(len(keys))
    for side in node:
        np.maximum.at(half, side, segments.half)
    # An arm is a segment that leaves a node: the same one drawn twice is one arm.
    arms = np.unique(np.sort(node[:, node[0] != node[1]], axis=0), axis=1)
    meeting = np.flatnonzero(np.bincount(arms.ravel(), minlength=len(keys)) >= 3)
    # The place is that of the rounded point, whichever of the ends is listed first.
    place = keys[meeting].astype(np.float64) * unit
    return _drawn(place, place, np.maximum(half[meeting], tile.transform.a), tile)


def class_map(roads: Roads, tile: Tile) -> NDArray[np.uint8]:
    """Number of the class of the road on top, uint8 (rows, cols), 0 where there is none."""
    return roads.shapes.burn(tile, roads.road_class)


def lane_map(roads: Roads, tile: Tile) -> NDArray[np.uint8]:
    """Lanes of the road on top as tagged, uint8 (rows, cols), 0 where unknown or no road."""
    return roads.shapes.burn(tile, roads.lanes)


_MAKERS: dict[str, Callable[[Roads, Tile], Map]] = {
    "surface": road_mask,
    "soft": soft_surface,
    "centreline": centreline,
    "distance": edge_distance,
    "direction": direction,
    "junction": junctions,
    "class": class_map,
    "lanes": lane_map,
}


@dataclass(frozen=True, eq=False)
class _Segments:
    """Straight pieces of road lines: (n, 2) start and end, (n,) half the width of the road."""

    start: NDArray[np.float64]
    end: NDArray[np.float64]
    half: NDArray[np.float64]


def _segments(roads: Roads, tile: Tile, margin_px: float) -> _Segments:
    """The segments of lines whose roads come within a margin of the tile, in the roads' order."""
    side = tile.transform.a
    near = roads.shapes.near(tile, margin_px * side * linear_unit_m(tile.crs))
    lines = roads.lines[near]
    parts, row = shapely.get_parts(lines, return_index=True)
    xy, part = shapely.get_coordinates(parts, return_index=True)
    same = part[1:] == part[:-1]
    start, end = xy[:-1][same], xy[1:][same]
    half = roads.half_widths[near][row[part[:-1][same]]]
    left, bottom, right, top = tile.bounds
    reach = half + (margin_px + 1) * side
    low, high = np.minimum(start, end), np.maximum(start, end)
    close = (low[:, 0] - reach <= right) & (high[:, 0] + reach >= left)
    close &= (low[:, 1] - reach <= top) & (high[:, 1] + reach >= bottom)
    return _Segments(start[close], end[close], half[close])


def _drawn(
    start: NDArray[np.float64], end: NDArray[np.float64], radius: NDArray[np.float64], tile: Tile
) -> NDArray[np.uint8]:
    """1 where a pixel's centre is within a radius of a segment, uint8 (rows, cols)."""
    drawn = np.zeros(tile.shape, dtype=np.uint8)
    drawn.reshape(-1)[_within(start, end, radius, tile)[0]] = 1
    return drawn


def _within(
    start: NDArray[np.float64], end: NDArray[np.float64], radius: NDArray[np.float64], tile: Tile
) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.float64]]:
    """Which pixels' centres are within a radius of which segments.

    Args:
        start: (n, 2) x and y in the CRS.
        end: (n, 2) the same; a segment may be a point.
        radius: (n,) in units of the CRS; a centre just at it counts as within.
        tile: The tile.

    Returns:
        (m,) position of the pixel, row by row, (m,) position of the segment, ascending, and (m,)
        the distance in units of the CRS.
    """
    (rows, cols), side = tile.shape, tile.transform.a
    corner = np.array([tile.transform.c, tile.transform.f])
    # In pixels, y down, so that the centres are at whole numbers.
    a, b = ((point - corner) / side * [1, -1] - 0.5 for point in (start, end))
    reach = radius / side + _TIE_PX
    first = np.clip(np.ceil(np.minimum(a[:, 1], b[:, 1]) - reach), 0, rows).astype(np.intp)
    last = np.clip(np.floor(np.maximum(a[:, 1], b[:, 1]) + reach), -1, rows - 1).astype(np.intp)
    which, row = _runs(first, last)
    # The part of the segment that is within reach of a row, as shares of its length.
    rise = (b - a)[which, 1]
    level = rise == 0
    steep = np.where(level, 1.0, rise)
    ends = np.stack([row - reach[which], row + reach[which]]) - a[which, 1]
    shares = np.sort(np.where(level, [[0.0], [1.0]], ends / steep), axis=0).clip(0, 1)
    x = np.sort(a[which, 0] + shares * (b - a)[which, 0], axis=0)
    left = np.clip(np.ceil(x[0] - reach[which]), 0, cols).astype(np.intp)
    right = np.clip(np.floor(x[1] + reach[which]), -1, cols - 1).astype(np.intp)
    run, col = _runs(left, right)
    row, which = row[run], which[run]
    along, off = (b - a)[which], np.stack([col, row], axis=1) - a[which]
    squared = (along**2).sum(axis=1)
    share = (off * along).sum(axis=1) / np.where(squared > 0, squared, 1.0)
    gap = off - share.clip(0, 1)[:, None] * along
    distance = np.hypot(gap[:, 0], gap[:, 1])
    inside = distance <= reach[which]
    return (row * cols + col)[inside], which[inside], distance[inside] * side


def _runs(
    first: NDArray[np.intp], last: NDArray[np.intp]
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Every whole number from a first to a last, of n pairs: position of the pair, number."""
    number = np.maximum(last - first + 1, 0)
    which = np.repeat(np.arange(len(first)), number)
    nth = np.arange(len(which)) - np.repeat(np.cumsum(number) - number, number)
    return which, first[which] + nth


def _with_box(tile: Tile, shape: tuple[int, int], side: float, halo: int = 0) -> Tile:
    """Another raster from a tile's corner, or from so many pixels to the north-west of it."""
    left, top = tile.transform.c - halo * side, tile.transform.f + halo * side
    transform = Affine(side, 0.0, left, 0.0, -side, top)
    return Tile(tile.row, tile.col, GeoBox(shape, transform, tile.geobox.crs))
