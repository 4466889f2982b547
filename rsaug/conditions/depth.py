"""The depth control: how high the ground and what stands on it are, as seen from straight above.

The higher, the nearer to the camera, the lighter. Grey is height over a range that is fixed for a
run, never for a tile, so the tiles of a mosaic agree; `height_range` suggests one.

Heights of buildings follow the OSM wiki's pages on ``height``, ``building:levels``, ``roof:height``
and ``min_height``.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pandas as pd
from affine import Affine
from numpy.typing import NDArray
from pyproj import CRS

from rsaug.errors import InputError
from rsaug.grid import Tile, linear_unit_m
from rsaug.osm_tags import parse_length_m
from rsaug.road_rules import as_text
from rsaug.shapes import Shapes
from rsaug.vectors import Areas, areas_of
from rsaug.warp import read_onto

LEVEL_M = 3.0
"""Height of a level where only the number of levels is known."""

DEFAULT_HEIGHT_M = 6.0
"""Height of a building of which nothing is known: two levels."""

MAX_HEIGHT_M = 900.0
MAX_LEVELS = 200.0
RULES = ("height", "levels", "default")

_LENGTHS = ("height", "min_height", "roof:height")
_COUNTS = ("building:levels", "building:min_level", "roof:levels")
# Side in pixels of the coarse raster that a range is taken from.
_SAMPLE_PX = 512
_PERCENTILES = (2.0, 98.0)
# A range of flat ground would make mountains of its noise.
_LEAST_RANGE_M = 10.0


@dataclass(frozen=True)
class HeightReport:
    """Which rule gave how many buildings their height, and what was left out.

    Attributes:
        by_rule: Buildings by rule: ``height``, ``levels``, ``default``.
        ignored: Tags that could not be used, by reason; the next rule was taken instead.
        dropped: Features that are no building, by reason.
    """

    by_rule: dict[str, int]
    ignored: dict[str, int]
    dropped: dict[str, int]

    def to_dict(self) -> dict[str, dict[str, int]]:
        """The report as plain dictionaries, ready for JSON."""
        return {
            "by_rule": dict(self.by_rule),
            "ignored": dict(self.ignored),
            "dropped": dict(self.dropped),
        }


@dataclass(frozen=True, eq=False)
class Heights:
    """Buildings with their heights.

    Attributes:
        shapes: Their outlines, (n,).
        height_m: (n,) float32, height of the top above the ground in metres.
        report: How they came about.
    """

    shapes: Shapes
    height_m: NDArray[np.float32]
    report: HeightReport


@dataclass(frozen=True, eq=False)
class DepthMap:
    """Depth of a tile.

    Attributes:
        values: float32 (rows, cols) in [0, 1]: 0 at the low end of the range and below, 1 at the
            high end and above.
        no_ground: Pixels where the raster of the ground has no value; taken as the low end.
    """

    values: NDArray[np.float32]
    no_ground: int


def building_heights(
    buildings: gpd.GeoDataFrame | Areas,
    crs: CRS,
    *,
    default_m: float = DEFAULT_HEIGHT_M,
    allow_none: bool = False,
) -> Heights:
    """Buildings and how high the top of each is above the ground.

    In this order: the ``height`` tag, which includes the roof; ``building:levels`` times 3 m, plus
    ``roof:height`` or else ``roof:levels`` times 3 m; ``default_m``. A top that is no higher than
    where the building starts (``min_height``, or ``building:min_level`` times 3 m) contradicts it,
    and the next rule is taken; the default then stands on the start.

    Args:
        buildings: Areas in any CRS, all of them buildings but those with ``building=no``.
        crs: Projected CRS of the result.
        default_m: Height where no tag can be used, in metres.
        allow_none: Whether there may be no building, as in a part of a layer.

    Raises:
        InputError: if there is no building, or the default is no height.
    """
    if not (math.isfinite(default_m) and 0 <= default_m <= MAX_HEIGHT_M):
        raise InputError(
            f"The default height must be from 0 to {MAX_HEIGHT_M:g} m, not {default_m}."
        )
    areas = areas_of(buildings, crs, why="buildings are areas", allow_none=True)
    kept, dropped = areas.features, dict(areas.dropped)
    if "building" in kept:
        no = (kept["building"].astype("string").str.lower() == "no").fillna(False).to_numpy(bool)
        if no.any():
            dropped["not a building (building=no)"] = int(no.sum())
        kept = kept[~no]
    if kept.empty and not allow_none:
        why = f" ({dropped})" if dropped else ""
        number = len(areas.features) + sum(areas.dropped.values())
        raise InputError(f"None of the {number} features is a building with an area{why}.")
    ignored: Counter[str] = Counter()
    height_m, rule = _tops(kept, default_m, ignored)
    by_rule = {name: int((rule == name).sum()) for name in RULES}
    report = HeightReport(by_rule, dict(ignored), dropped)
    return Heights(Shapes.of(kept), height_m.astype(np.float32), report)


def _tops(
    buildings: gpd.GeoDataFrame, default_m: float, ignored: Counter[str]
) -> tuple[NDArray[np.float64], NDArray[np.object_]]:
    """Height of each building's top in metres and the rule that gave it."""
    lengths = {name: _numbers(buildings, name, MAX_HEIGHT_M, ignored) for name in _LENGTHS}
    levels = {name: _numbers(buildings, name, MAX_LEVELS, ignored) for name in _COUNTS}
    start_m = _first_known(lengths["min_height"], levels["building:min_level"] * LEVEL_M)
    start_m = np.nan_to_num(start_m)
    roof_m = np.nan_to_num(_first_known(lengths["roof:height"], levels["roof:levels"] * LEVEL_M))
    height_m, rule = start_m + default_m, np.full(len(buildings), "default", dtype=object)
    by_levels = levels["building:levels"] * LEVEL_M + roof_m
    # From the weaker rule to the stronger, the stronger writing over it.
    for name, top_m in (("levels", by_levels), ("height", lengths["height"])):
        below = (top_m <= start_m) & (start_m > 0)
        if below.any():
            ignored[f"{name} not above where the building starts"] += int(below.sum())
        usable = ~np.isnan(top_m) & ~below
        height_m[usable], rule[usable] = top_m[usable], name
    return np.minimum(height_m, MAX_HEIGHT_M), rule


def _first_known(first: NDArray[np.float64], second: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.where(np.isnan(first), second, first)


def _numbers(
    buildings: gpd.GeoDataFrame, name: str, most: float, ignored: Counter[str]
) -> NDArray[np.float64]:
    """Numbers that a tag says, metres or counts; NaN where it says none that can be used."""
    found = np.full(len(buildings), np.nan)
    if name not in buildings:
        return found
    read = parse_length_m if name in _LENGTHS else _count
    try:
        codes, values = pd.factorize(buildings[name])
    except TypeError:  # Lists or tables of values, which GeoParquet can hold.
        said = buildings[name].map(as_text, na_action="ignore")
        codes, values = pd.factorize(said)
    for code, value in enumerate(values):
        rows, text = codes == code, str(value).strip()
        number = read(text)
        if not text:
            continue
        if number is None:
            ignored[f"{name} not understood ({name}={text!r})"] += int(rows.sum())
        elif not 0 <= number <= most:
            ignored[f"{name} out of range"] += int(rows.sum())
        else:
            found[rows] = number
    return found


def _count(text: str) -> float | None:
    try:
        number = float(text.replace(",", "."))
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def depth_map(
    tile: Tile,
    ground: Path | str | None = None,
    heights: Heights | None = None,
    *,
    height_range_m: tuple[float, float],
) -> DepthMap:
    """Depth of a tile: heights scaled to a range that is the same for the whole run.

    A pixel's height is that of the ground at its centre plus that of the highest building that
    holds the centre. With a surface model (DSM), which has the buildings in it, give no heights.

    Args:
        tile: The tile.
        ground: A raster of heights in metres, in any CRS; see `rsaug.warp.read_onto`. Without one
            the ground is at 0.
        heights: Buildings, in the tile's CRS.
        height_range_m: Heights that are black and white, low first; see `height_range`.

    Raises:
        InputError: if there is neither ground nor buildings, the range is none, the raster cannot
            be read or the buildings are in another CRS.
    """
    low, high = height_range_m
    if ground is None and heights is None:
        raise InputError("Depth needs a raster of the ground, heights of buildings, or both.")
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        raise InputError(f"A range of heights is low, then high, in metres, not {low}, {high}.")
    surface, no_ground = np.zeros(tile.shape), 0
    if ground is not None:
        read = _finite(read_onto(ground, tile, resampling="bilinear"))
        no_ground = int(np.ma.getmaskarray(read).sum())
        surface = read.filled(low)
    if heights is not None:
        picked = heights.shapes.near(tile)
        picked = picked[np.argsort(heights.height_m[picked], kind="stable")]
        surface = surface + heights.shapes.burn(tile, heights.height_m, picked)
    values = np.clip((surface - low) / (high - low), 0, 1).astype(np.float32)
    return DepthMap(values, no_ground)


def _finite(values: np.ma.MaskedArray[Any, Any]) -> np.ma.MaskedArray[Any, Any]:
    """Heights in float64, what is no number masked too."""
    return np.ma.masked_invalid(values.astype(np.float64))


def height_range(
    bounds: Sequence[float],
    crs: CRS,
    ground: Path | str | None = None,
    heights: Heights | None = None,
) -> tuple[float, float]:
    """A range of heights for all tiles of an area, (low, high) in metres.

    The 2nd and 98th percentile of the ground, read coarsely, plus the 98th percentile of the
    heights of the buildings in the area; at least 10 m apart.

    Args:
        bounds: (left, bottom, right, top) of the area in the CRS.
        crs: A projected CRS, that of the heights.
        ground: As for `depth_map`.
        heights: As for `depth_map`.

    Raises:
        InputError: if there is neither ground nor buildings, the raster cannot be read, or nothing
            of it is in the area.
    """
    if ground is None and heights is None:
        raise InputError("A range needs a raster of the ground, heights of buildings, or both.")
    sample = _coarse(bounds, crs)
    low = high = 0.0
    if ground is not None:
        # Bilinear takes the file's overviews, nearest would go through every pixel.
        known = _finite(read_onto(ground, sample, resampling="bilinear")).compressed()
        if not len(known):
            raise InputError(
                f"{ground} has no height in the area; check that it is of the same place."
            )
        low, high = np.percentile(known, _PERCENTILES).tolist()
    if heights is not None:
        near = heights.shapes.near(sample)
        if len(near):
            high += float(np.percentile(heights.height_m[near], _PERCENTILES[1]))
    return low, max(high, low + _LEAST_RANGE_M)


def read_height_range(text: str) -> tuple[float, float]:
    """The range that a text says as "low,high", in metres.

    Raises:
        InputError: if it says none.
    """
    try:
        low, high = map(float, text.split(","))
    except ValueError as error:
        raise InputError(f"{text!r} is not two heights in metres, as in 0,120.") from error
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        raise InputError(f"{text!r} is no range of heights: low has to be below high, in metres.")
    return low, high


def _coarse(bounds: Sequence[float], crs: CRS) -> Tile:
    """A tile of few pixels that covers an area."""
    left, bottom, right, top = bounds
    if not (all(map(math.isfinite, bounds)) and left < right and bottom < top):
        raise InputError(f"An area is left, bottom, right, top, not {tuple(bounds)}.")
    side = max(max(right - left, top - bottom) / _SAMPLE_PX, 1e-3 / linear_unit_m(crs))
    shape = math.ceil((top - bottom) / side), math.ceil((right - left) / side)
    return Tile.from_transform(Affine(side, 0, left, 0, -side, top), shape, crs)
