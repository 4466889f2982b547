"""Layers of lines to graphs and back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pytest
import shapely
from pyproj import CRS
from roadtowns import line
from strategies import UTM

from rsaug.downstream.graph.lines import frame_of_graph, graph_of_lines
from rsaug.downstream.graph.roadgraph import RoadGraph
from rsaug.downstream.metrics import apls
from rsaug.errors import InputError

AT = (500_000.0, 6_700_000.0)


def layer(lines: list[list[tuple[float, float]]], **columns: list[Any]) -> gpd.GeoDataFrame:
    """Lines in UTM, in metres from a corner."""
    shapes = [shapely.LineString(np.array(points) + AT) for points in lines]
    return gpd.GeoDataFrame(columns, geometry=shapes, crs=UTM)


STREET, AVENUE = [(0.0, 0.0), (100.0, 0.0)], [(50.0, -50.0), (50.0, 50.0)]


def test_lines_are_cut_where_they_cross() -> None:
    graph = graph_of_lines(layer([STREET, AVENUE], width=["6", "4 m"]))
    assert sorted(graph.degree.tolist()) == [1, 1, 1, 1, 4]
    assert graph.crs == UTM
    assert sorted(graph.width_m.tolist()) == [4, 4, 6, 6]
    # A line that crosses itself, one that is there twice, one that ends on another.
    loop = [(0.0, 0.0), (100.0, 0.0), (100.0, 60.0), (50.0, 60.0), (50.0, -40.0)]
    twice = graph_of_lines(layer([loop, loop, [(75.0, 0.0), (75.0, -20.0)]]))
    assert sorted(twice.degree.tolist()) == [1, 1, 1, 3, 4]


@pytest.mark.parametrize(
    "tags",
    [
        {"bridge": [None, "yes"]},
        {"layer": ["0", "1"]},
        {"tunnel": ["no", "yes"]},
    ],
)
def test_roads_on_two_levels_do_not_meet(tags: dict[str, list[Any]]) -> None:
    graph = graph_of_lines(layer([STREET, AVENUE], **tags))
    assert graph.degree.tolist() == [1, 1, 1, 1]
    assert len({*graph.component.tolist()}) == 2


def test_a_bridge_begins_where_the_road_goes_on() -> None:
    # The bridge over the street goes on as a road, and ends in the middle of a line's vertices.
    bridge = [(50.0, -50.0), (50.0, 50.0)]
    road, across = [(50.0, 50.0), (50.0, 90.0)], [(0.0, -50.0), (50.0, -50.0), (100.0, -50.0)]
    lines = layer([STREET, bridge, road, across], bridge=[None, "yes", None, None])
    graph = graph_of_lines(lines)
    assert len({*graph.component.tolist()}) == 2
    # Where bridge and road meet is no node, where it leaves the road across is one.
    assert sorted(graph.degree.tolist()) == [1, 1, 1, 1, 1, 3]
    assert graph_of_lines(lines, keep_pseudo_nodes=True).degree.max() == 3
    assert len(graph_of_lines(lines, keep_pseudo_nodes=True).lines) == len(graph.lines) + 1


def test_lengths_are_those_on_the_ground() -> None:
    lines = layer([STREET, AVENUE])
    for crs in (None, CRS.from_epsg(3857), CRS.from_epsg(3067)):
        for given in (lines, lines.to_crs(4326)):
            graph = graph_of_lines(given, crs)
            assert graph.length_m.sum() == pytest.approx(200, rel=2e-3)
            back = frame_of_graph(graph)
            assert back.crs == (crs or UTM)
            there = back.to_crs(UTM).geometry.union_all()
            assert there.hausdorff_distance(lines.geometry.union_all()) < 0.1


def test_points_areas_and_nothing_are_no_roads() -> None:
    shapes = [shapely.Point(AT), shapely.Point(AT).buffer(5), None]
    assert len(graph_of_lines(gpd.GeoDataFrame(geometry=shapes, crs=UTM)).lines) == 0
    with pytest.raises(InputError, match="no CRS"):
        graph_of_lines(gpd.GeoDataFrame(geometry=shapes))


def test_the_example_is_its_own_truth(examples_dir: Path) -> None:
    roads = gpd.read_file(examples_dir / "helsinki" / "roads.geojson")
    roads = roads[roads["highway"].isin(["residential", "unclassified", "tertiary"])]
    graph = graph_of_lines(roads)
    assert graph.crs == UTM
    assert len(graph.lines) > 80
    assert apls(graph, graph, max_points=60) == pytest.approx(1)
    again = graph_of_lines(frame_of_graph(graph))
    assert again.length_m.sum() == pytest.approx(graph.length_m.sum(), rel=1e-6)
    assert apls(again, graph, max_points=60) > 0.98


def test_the_frame_of_a_graph_is_a_layer_of_roads() -> None:
    graph = RoadGraph.of([line((0, 0), (3, 4))], np.array([3.456]), UTM)
    frame = frame_of_graph(graph, source="mask.tif")
    assert [*frame.columns] == ["width", "length_m", "source", "geometry"]
    assert frame.iloc[0].tolist()[:3] == [3.46, 5.0, "mask.tif"]
    assert len(frame_of_graph(RoadGraph.empty(UTM))) == 0
