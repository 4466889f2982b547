"""Between layers of road lines and road graphs."""

from __future__ import annotations

import geopandas as gpd
import numpy as np
import shapely
from numpy.typing import NDArray
from pyproj import CRS

from rsaug.downstream.graph.roadgraph import RoadGraph
from rsaug.errors import InputError
from rsaug.grid import linear_unit_m, point_scale, to_lonlat, utm_crs
from rsaug.road_rules import default_rules
from rsaug.road_tags import Tags, levels, widths
from rsaug.vectors import clean

# Vertices of two levels this near are one place: where a bridge begins. In metres.
_SAME_PLACE_M = 1e-3


def graph_of_lines(
    lines: gpd.GeoDataFrame, crs: CRS | None = None, *, keep_pseudo_nodes: bool = False
) -> RoadGraph:
    """The graph of road lines, cut where they cross on one level.

    The level is what ``layer`` says, else 1 for a bridge and -1 for a tunnel, 0 in a layer without
    these columns (`rsaug.road_tags.levels`). Lines of different levels are joined only where one of
    them ends at a vertex of the other, as where a bridge begins. Lines that lie on each other are
    one. Every line is taken as a road, whatever its tags: what is none has to be left out before.
    Features that are no lines, or that cannot be repaired, are left out.

    The width is that of the column ``width`` and its like in OpenStreetMap, NaN elsewhere.

    Args:
        lines: Lines in any CRS.
        crs: Projected CRS of the graph; by default the layer's own where it is projected, else the
            UTM zone of the data.
        keep_pseudo_nodes: Whether a place where two lines meet and no other stays a node.

    Raises:
        InputError: if the layer has no CRS.
    """
    if lines.crs is None:
        raise InputError("The layer has no CRS, so its roads cannot be measured; assign one.")
    if crs is None:
        crs = lines.crs if lines.crs.is_projected else utm_crs(lines)
    kept, _ = clean(lines, crs)
    shapes = kept.geometry.to_numpy()
    kept = kept[shapely.get_dimensions(shapes) == 1]
    unit_m = _metres_a_unit(kept, crs) if len(kept) else linear_unit_m(crs)
    tags = Tags(kept, default_rules())
    level = levels(tags)
    parts, owner = shapely.get_parts(kept.geometry.to_numpy(), return_index=True)
    parts = shapely.transform(parts, lambda xy: xy * unit_m)
    if not len(parts):
        return RoadGraph.empty(crs, unit_m)
    ends = shapely.multipoints(
        np.concatenate([shapely.get_point(parts, 0), shapely.get_point(parts, -1)])
    )
    cut, width = [], []
    known = _widths(tags)[owner]
    for this in np.unique(level[owner]):
        own = level[owner] == this
        # The union of lines is cut wherever they cross or touch, themselves among them.
        pieces = _at_ends(shapely.get_parts(shapely.union_all(parts[own])), ends)
        cut.append(pieces)
        width.append(_nearest(pieces, parts[own], known[own]))
    graph = RoadGraph.of(np.concatenate(cut), np.concatenate(width), crs, unit_m)
    return graph if keep_pseudo_nodes else graph.without_pseudo_nodes()


def frame_of_graph(graph: RoadGraph, *, source: str = "") -> gpd.GeoDataFrame:
    """The edges of a graph as lines in its CRS, with their width and length.

    Columns are ``width``, metres rounded to centimetres, as ``rsaug synth --roads`` reads it and
    OpenStreetMap has it; ``length_m``, metres rounded to centimetres; and ``source``, the same for
    all. A layer without a column ``highway`` is all roads, so there is none.

    Args:
        graph: The graph.
        source: What the lines are from.
    """
    shapes = shapely.transform(graph.lines, lambda xy: xy / graph.metres_a_unit)
    columns = {
        "width": graph.width_m.round(2),
        "length_m": graph.length_m.round(2),
        "source": [source] * len(shapes),
    }
    return gpd.GeoDataFrame(columns, geometry=shapes, crs=graph.crs)


def _metres_a_unit(lines: gpd.GeoDataFrame, crs: CRS) -> float:
    """Metres on the ground that a unit of the CRS is in the middle of the data."""
    left, bottom, right, top = lines.total_bounds
    lon, lat = to_lonlat(crs).transform((left + right) / 2, (bottom + top) / 2)
    scale = float(point_scale(crs, np.array([lon]), np.array([lat]))[0])
    return linear_unit_m(crs) / (scale if np.isfinite(scale) and scale > 0 else 1.0)


def _widths(tags: Tags) -> NDArray[np.float64]:
    """(n,) what the tags for a width say, NaN where they say nothing."""
    width_m, source = widths(tags, tags.of("highway"), np.zeros(len(tags), dtype=bool))
    said = np.isin(source, [tags.rules.sources.index(name) for name in ("width", "est_width")])
    return np.where(said, width_m, np.nan)


def _at_ends(lines: NDArray[np.object_], ends: shapely.MultiPoint) -> NDArray[np.object_]:
    """Lines, cut at those of their vertices where any line ends."""
    tree = shapely.STRtree(shapely.get_parts(ends))
    xy, row = shapely.get_coordinates(lines, return_index=True)
    near = tree.query(shapely.points(xy), predicate="dwithin", distance=_SAME_PLACE_M)[0]
    first = np.concatenate([[True], row[1:] != row[:-1]])
    last = np.concatenate([row[1:] != row[:-1], [True]])
    is_cut = np.zeros(len(xy), dtype=bool)
    is_cut[near] = True
    is_cut &= ~(first | last)
    if not is_cut.any():
        return lines
    # A vertex at a cut is there twice, as the end of one piece and the start of the next.
    twice = np.repeat(np.arange(len(xy)), np.where(is_cut, 2, 1))
    begins = first[twice].copy()
    begins[1:] |= is_cut[twice[1:]] & (twice[1:] == twice[:-1])
    pieces: NDArray[np.object_] = shapely.linestrings(xy[twice], indices=np.cumsum(begins) - 1)
    return pieces


def _nearest(
    pieces: NDArray[np.object_], lines: NDArray[np.object_], value: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Value of the line that each piece is of: the first of those nearest to its middle."""
    middles = shapely.line_interpolate_point(pieces, 0.5, normalized=True)
    piece, line = shapely.STRtree(lines).query_nearest(middles)
    order = np.lexsort((line, piece))
    _, first = np.unique(piece[order], return_index=True)
    found: NDArray[np.float64] = value[line[order][first]]
    return found
