"""From roads to a mask to lines and back to a mask: what is lost on the way round?

    python scripts/vectorize_circle.py examples/helsinki/roads.geojson --gsd 0.3 --gsd 0.6 --gsd 1

Prints the IoU of the two masks; and every five metres along the lines how far their width and their
middle are from those of the road that they are of. Places within six metres of a wider road are
left out there, since it is not clear whose they are. Then the metrics of the mask's graph against
that of the roads: what a mask without a mistake comes to.
"""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Annotated, Any

import geopandas as gpd
import numpy as np
import shapely
import typer
from affine import Affine
from numpy.typing import NDArray

from rsaug.conditions.road import road_mask
from rsaug.downstream.graph.lines import frame_of_graph, graph_of_lines
from rsaug.downstream.graph.masks import Cleaning, graph_of_mask, trace_raster
from rsaug.downstream.graph.roadgraph import RoadGraph
from rsaug.downstream.graph.skeleton import Window
from rsaug.downstream.metrics import (
    apls,
    confusion_counts,
    connectivity,
    iou,
    relaxed_scores,
    topo_counts,
)
from rsaug.grid import Tile, utm_crs
from rsaug.roads import Roads, road_surfaces
from rsaug.vectors import read_vectors

_STEP_M, _NEAR_M = 5.0, 6.0


def main(
    layer: Annotated[Path, typer.Argument(help="Roads.")],
    gsd: Annotated[list[float], typer.Option(help="Metres a pixel; several times for several.")],
) -> None:
    """Print a line of JSON for each size of pixel."""
    lines = read_vectors(layer, kind="lines")
    crs = utm_crs(lines)
    roads = road_surfaces(lines, crs)
    left, bottom, right, top = roads.surfaces.total_bounds
    for side in gsd:
        shape = int((top - bottom) / side), int((right - left) / side)
        tile = Tile.from_transform(Affine(side, 0, left, 0, -side, top), shape, crs)
        typer.echo(json.dumps({"gsd_m": side, "shape": shape, **measured(roads, tile)}))


def measured(roads: Roads, tile: Tile) -> dict[str, Any]:
    """What is lost on the way round on one tile."""
    mask = road_mask(roads, tile)

    def read(window: Window) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        part = mask[window[0] : window[1], window[2] : window[3]] > 0
        return part, np.ones_like(part)

    began = time.perf_counter()
    graph = trace_raster(read, tile.shape, tile, Cleaning(split_widths=True)).graph
    seconds = time.perf_counter() - began
    again = road_mask(road_surfaces(frame_of_graph(graph), tile.crs), tile)
    width_m, offset_m = errors(graph, roads)
    return {
        "seconds": round(seconds, 2),
        "lines": len(graph.lines),
        "km": round(float(graph.length_m.sum()) / 1000, 2),
        "iou": round(float(iou(confusion_counts(again[None], mask[None]).sum(axis=0))), 4),
        "places": len(width_m),
        "width_error_m": np.quantile(width_m, [0.05, 0.5, 0.95]).round(3).tolist(),
        "width_within_0.3_m": round(float((np.abs(width_m) < 0.3).mean()), 3),
        "offset_m": np.quantile(offset_m, [0.5, 0.9]).round(3).tolist(),
        **scores(graph_of_mask(mask, tile), roads, tile),
    }


def scores(found: RoadGraph, roads: Roads, tile: Tile) -> dict[str, float]:
    """Path metrics of the mask's graph against the roads that are in the mask."""
    is_line = np.array([line is not None for line in roads.lines])
    level = roads.surfaces["level"].to_numpy()[is_line].astype(str)
    lines = gpd.GeoDataFrame({"layer": level}, geometry=roads.lines[is_line], crs=tile.crs)
    true = graph_of_lines(lines)
    values = {
        "apls": apls(found, true),
        "topo_f1": relaxed_scores(topo_counts(found, true))[2],
        "connectivity": connectivity(found, true),
    }
    return {name: round(float(value), 4) for name, value in values.items()}


def errors(graph: RoadGraph, roads: Roads) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Difference of the widths, and distance of the middles, at places along the lines."""
    is_line = np.array([line is not None for line in roads.lines])
    true, true_width = roads.lines[is_line], roads.surfaces["width_m"].to_numpy()[is_line]
    tree = shapely.STRtree(true)
    places = graph.places_along(_STEP_M)
    widths, offsets = [], []
    for edge, xy in zip(places.edge, graph.points(places), strict=True):
        point = shapely.Point(xy)
        near = tree.query(point, predicate="dwithin", distance=_NEAR_M)
        if not len(near):
            continue
        apart = shapely.distance(true[near], point)
        own = true_width[near[np.argmin(apart)]]
        if (true_width[near] <= own).all():
            widths.append(graph.width_m[edge] - own)
            offsets.append(apart.min())
    return np.array(widths), np.array(offsets)


if __name__ == "__main__":
    typer.run(main)
