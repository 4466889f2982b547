"""Road graphs of masks: skeleton, chains, cleaning, lines with a width."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray

from rsaug.downstream.graph.centreline import centrelines
from rsaug.downstream.graph.cleaning import (
    Cleaned,
    bridge,
    cut_corners,
    extend_to_edge,
    merge_junctions,
    prune,
)
from rsaug.downstream.graph.roadgraph import RoadGraph
from rsaug.downstream.graph.skeleton import MARGIN_PX, Read, Window, skeleton_pixels
from rsaug.downstream.graph.tracing import Sketch, trace
from rsaug.errors import InputError
from rsaug.grid import Tile, linear_unit_m, point_scale

# Four times the half width of a wide road; see `skeleton_pixels`.
_MARGIN_M = 60.0


@dataclass(frozen=True)
class Cleaning:
    """How a skeleton is made a graph.

    Attributes:
        min_area_m2: Roads smaller than this are dropped.
        min_hole_m2: Holes in roads smaller than this are filled, and with them tiny cycles.
        spur: Dead ends are pruned that reach less than so many half widths of their junction beyond
            the road there.
        junction: Junctions are merged across road shorter than this many half widths.
        gap_m: Ends that face each other are joined across gaps up to this; 0 for none.
        gap_angle_deg: How far either road may turn into the gap.
        tolerance_m: How far a line may be from the middle of its road once simplified (Douglas and
            Peucker 1973).
        min_length_m: Lone roads shorter than this are dropped.
        split_widths: Whether a road has a node where its width changes; else it has its median.
    """

    min_area_m2: float = 20.0
    min_hole_m2: float = 20.0
    spur: float = 1.0
    junction: float = 1.0
    gap_m: float = 0.0
    gap_angle_deg: float = 30.0
    tolerance_m: float = 0.3
    min_length_m: float = 5.0
    split_widths: bool = False

    def __post_init__(self) -> None:
        """Check the numbers."""
        for name, value in vars(self).items():
            if not (np.isfinite(value) and value >= 0):
                raise InputError(f"{name} must be a number from 0 up, not {value}.")
        if self.gap_angle_deg > 90:
            raise InputError(f"gap_angle_deg must be at most 90, not {self.gap_angle_deg}.")


@dataclass(frozen=True, eq=False)
class Traced:
    """A graph and what was done to make it.

    Attributes:
        graph: The graph.
        changes: What cleaning changed, by count.
    """

    graph: RoadGraph
    changes: dict[str, int] = field(default_factory=dict)


def graph_of_mask(
    mask: NDArray[Any], where: Tile | float, cleaning: Cleaning | None = None
) -> RoadGraph:
    """The road graph of a mask (rows, cols), 1 on road and 0 elsewhere.

    Args:
        mask: Of any integer or boolean type.
        where: The tile of the mask, or metres a pixel for a graph without a place: x then grows to
            the right from the left edge and y upwards from the bottom edge.
        cleaning: How to clean it; by default `Cleaning()`.

    Raises:
        InputError: if the mask is none, or does not fit the tile.
        MissingExtra: if scikit-image is not installed.
    """
    road = np.asarray(mask)
    if road.ndim != 2 or not np.array_equal(road, road.astype(bool)):
        raise InputError(
            f"A mask (rows, cols) of 0 and 1 is needed, not {road.dtype} {road.shape}; threshold "
            "it first."
        )
    if isinstance(where, Tile) and where.shape != road.shape:
        raise InputError(f"The mask has the shape {road.shape}, its tile {where.shape}.")
    road = road.astype(bool)

    def read(window: Window) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        top, bottom, left, right = window
        part = road[top:bottom, left:right]
        return part, np.ones(part.shape, dtype=bool)

    return trace_raster(read, road.shape, where, cleaning).graph


def trace_raster(
    read: Read, shape: tuple[int, int], where: Tile | float, cleaning: Cleaning | None = None
) -> Traced:
    """The road graph of a raster that is read window by window; only its roads are held at once.

    Args:
        read: Gives mask and known pixels of a window.
        shape: Rows and columns.
        where: The tile of the raster, or metres a pixel.
        cleaning: How to clean it; by default `Cleaning()`.
    """
    cleaning = cleaning or Cleaning()
    gsd_m = ground_gsd_m(where) if isinstance(where, Tile) else float(where)
    if not (np.isfinite(gsd_m) and gsd_m > 0):
        raise InputError(f"The size of a pixel must be a positive number of metres, not {gsd_m}.")
    done = Cleaned()
    pixels = skeleton_pixels(
        read,
        shape,
        min_hole_px=cleaning.min_hole_m2 / gsd_m**2,
        min_area_px=cleaning.min_area_m2 / gsd_m**2,
        margin_px=max(MARGIN_PX, int(np.ceil(_MARGIN_M / gsd_m))),
        note=done.add,
    )
    sketch = trace(pixels)
    done.add("specks dropped", sketch.specks)
    sketch.join_all()
    cut_corners(sketch, done)
    prune(sketch, spur=cleaning.spur, done=done)
    merge_junctions(sketch, reach=cleaning.junction, done=done)
    prune(sketch, spur=cleaning.spur, done=done)
    extend_to_edge(sketch, done)
    bridge(sketch, gap=cleaning.gap_m / gsd_m, angle=cleaning.gap_angle_deg, done=done)
    _drop_short(sketch, cleaning.min_length_m / gsd_m, done)
    return Traced(_finished(sketch, shape, where, gsd_m, cleaning), done.counts)


def ground_gsd_m(tile: Tile) -> float:
    """Metres on the ground that a pixel of a tile is in the middle of it."""
    lon, lat = tile.lonlat
    scale = float(point_scale(tile.crs, np.array([lon]), np.array([lat]))[0])
    return tile.gsd_m / scale


def _drop_short(sketch: Sketch, least_px: float, done: Cleaned) -> None:
    for number, chain in [*sketch.chains.items()]:
        lone = len(sketch.at[chain.first]) == len(sketch.at[chain.second]) == 1
        if lone and sketch.length(chain) < least_px:
            sketch.remove(number)
            done.add("short roads dropped")


def _finished(
    sketch: Sketch, shape: tuple[int, int], where: Tile | float, gsd_m: float, cleaning: Cleaning
) -> RoadGraph:
    lines, widths = [], []
    for chain in sketch.chains.values():
        for xy, width_px in centrelines(sketch, chain, split=cleaning.split_widths):
            lines.append(xy)
            widths.append(width_px * gsd_m)
    crs, unit_m = None, 1.0
    if isinstance(where, Tile):
        crs = where.crs
        unit_m = linear_unit_m(crs) * gsd_m / where.gsd_m
    if not lines:
        return RoadGraph.empty(crs, unit_m)
    xy = np.concatenate(lines)
    row = np.repeat(np.arange(len(lines)), [len(line) for line in lines])
    if isinstance(where, Tile):
        x, y = where.transform @ tuple(xy.T)
        xy = np.stack([x, y], axis=1) * unit_m
    else:
        xy = np.stack([xy[:, 0], shape[0] - xy[:, 1]], axis=1) * gsd_m
    shapes = shapely.simplify(
        shapely.linestrings(xy, indices=row), cleaning.tolerance_m, preserve_topology=False
    )
    return RoadGraph.of(shapes, np.array(widths), crs, unit_m)
