"""Masks to graphs: by hand, turned, window by window, and with what cleaning is for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import shapely
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from pyproj import CRS
from scipy import ndimage
from strategies import UTM

from rsaug.downstream.graph.masks import Cleaning, Traced, graph_of_mask, trace_raster
from rsaug.downstream.graph.roadgraph import RoadGraph
from rsaug.downstream.graph.skeleton import SkeletonPixels, Window, skeleton_pixels
from rsaug.downstream.graph.tracing import trace
from rsaug.downstream.metrics import apls
from rsaug.errors import InputError
from rsaug.grid import Tile

NO_CLEANING = Cleaning(
    min_area_m2=0, min_hole_m2=0, spur=0, junction=0, tolerance_m=0, min_length_m=0
)


def burned(
    lines: list[tuple[list[tuple[float, float]], float]], shape: tuple[int, int] = (120, 120)
) -> NDArray[np.uint8]:
    """A mask of lines with their widths, in pixels from the upper left corner, with flat ends."""
    row, col = np.mgrid[: shape[0], : shape[1]] + 0.5
    mask = np.zeros(shape, np.uint8)
    for points, width in lines:
        area = shapely.LineString(points).buffer(width / 2, cap_style="flat")
        shapely.prepare(area)
        mask |= shapely.intersects_xy(area, col, row).astype(np.uint8)
    return mask


def pixels_of(mask: NDArray[np.generic]) -> SkeletonPixels:
    """Pixels of one-pixel lines, as a skeleton has them."""
    row, col = np.nonzero(mask)
    n = len(row)
    ones, ways = np.ones(n), np.zeros((n, 2))
    far = np.full((n, 4), np.inf)
    return SkeletonPixels(row.astype(np.int64), col.astype(np.int64), ones, ones, ways, far)


CROSS = [([(-5.0, 60.2), (125.0, 60.2)], 9.0), ([(50.0, -5.0), (70.0, 125.0)], 6.0)]
TOWN = [
    ([(-5.0, 30.0), (125.0, 40.0)], 9.0),
    ([(-5.0, 90.0), (125.0, 80.0)], 7.0),
    ([(35.0, 33.0), (40.0, 86.0)], 5.0),
    ([(85.0, 36.0), (80.0, 83.0)], 4.0),
    ([(60.0, 85.0), (60.0, 110.0)], 6.0),
]


def test_a_crossing_is_one_junction_of_four_roads_with_their_widths() -> None:
    graph = graph_of_mask(burned(CROSS), 0.5)
    assert sorted(graph.degree.tolist()) == [1, 1, 1, 1, 4]
    centre = graph.nodes[np.argmax(graph.degree)]
    # The lines cross at (60, 60) pixels, so at 30 m from the left and from below.
    assert np.hypot(*(centre - 30)) < 1.0
    widths = sorted(graph.width_m.tolist())
    assert widths == pytest.approx([3, 3, 4.5, 4.5], abs=0.25)
    # Ends are where the raster ends, not half a width before.
    assert graph.length_m.sum() == pytest.approx(60 + np.hypot(120 * 20 / 130, 120) / 2, abs=1.0)


@pytest.mark.parametrize("width", [3.0, 4.0, 6.5, 11.0])
@pytest.mark.parametrize("slope", [0.0, 0.21, 1.0])
def test_widths_have_no_bias(width: float, slope: float) -> None:
    road = [([(-20.0, 40.3 - 20 * slope), (140.0, 40.3 + 140 * slope)], width)]
    graph = graph_of_mask(burned(road, (200, 120)), 1.0)
    assert len(graph.lines) == 1
    # Along rows a mask has whole pixels.
    assert graph.width_m[0] == pytest.approx(width, abs=0.35 if slope else 0.51)
    # And the middle is in the middle.
    line = shapely.LineString([(-20, 200 - 40.3 + 20 * slope), (140, 200 - 40.3 - 140 * slope)])
    xy = shapely.get_coordinates(shapely.segmentize(graph.lines[0], 1.0))
    inside = (xy[:, 0] > width) & (xy[:, 0] < 120 - width)
    assert np.abs(shapely.distance(line, shapely.points(xy[inside]))).max() < 0.75


@pytest.mark.parametrize("width", [5.0, 16.0, 30.0])
def test_a_road_that_the_raster_cuts_ends_in_the_middle_of_the_cut(width: float) -> None:
    graph = graph_of_mask(burned([([(30.0, -40.0), (75.0, 160.0)], width)]), 1.0)
    assert len(graph.lines) == 1
    ends = graph.nodes[np.argsort(graph.nodes[:, 1])]
    # 40 pixels of 200 are above the raster, and 40 below.
    expected = [[30 + 45 * 160 / 200, 0], [30 + 45 * 40 / 200, 120]]
    np.testing.assert_allclose(ends, expected, atol=0.1 * width + 1)
    assert graph.width_m[0] == pytest.approx(width, rel=0.05)


@given(st.integers(0, 2**20), st.floats(0.05, 0.9), st.sampled_from([0.0, 0.7, 1.5, 3.0]))
@settings(max_examples=25, deadline=None)
def test_any_mask_makes_a_graph_that_is_like_itself(seed: int, share: float, smooth: float) -> None:
    rng = np.random.default_rng(seed)
    values = ndimage.gaussian_filter(rng.normal(size=rng.integers(1, 60, 2)), smooth)
    mask = values > np.quantile(values, share)
    rows, cols = mask.shape
    for cleaning in (Cleaning(split_widths=True, gap_m=15), NO_CLEANING):
        graph = graph_of_mask(mask, 1.0, cleaning)
        if len(graph.lines):
            assert (graph.width_m > 0).all()
            left, bottom, right, top = shapely.total_bounds(graph.lines)
            assert min(left, bottom) >= -1
            assert right <= cols + 1
            assert top <= rows + 1
            score = apls(graph, graph, max_points=30)
            assert np.isnan(score) or score == pytest.approx(1)


def test_a_graph_is_the_same_however_the_mask_is_turned() -> None:
    mask = burned(TOWN)
    graph = graph_of_mask(mask, 1.0)
    assert sorted(graph.degree.tolist()) == [1, 1, 1, 1, 1, 3, 3, 3, 3, 3]
    for k in range(1, 4):
        again = graph_of_mask(np.rot90(mask, k), 1.0)
        assert sorted(again.degree.tolist()) == sorted(graph.degree.tolist())
        assert again.length_m.sum() == pytest.approx(graph.length_m.sum(), rel=0.01)
        np.testing.assert_allclose(sorted(again.width_m), sorted(graph.width_m), atol=0.3)
        assert apls(turned_back(again, k), graph) > 0.97
    assert apls(graph_of_mask(mask[:, ::-1], 1.0), graph_of_mask(mask[:, ::-1], 1.0)) == 1


def turned_back(graph: RoadGraph, quarters: int) -> RoadGraph:
    """A graph of a mask of 120 pixels turned by np.rot90, turned back."""
    lines = graph.lines
    for _ in range(quarters):
        lines = shapely.transform(lines, lambda xy: np.stack([xy[:, 1], 120 - xy[:, 0]], axis=1))
    return RoadGraph.of(lines, graph.width_m)


def test_window_by_window_is_the_whole() -> None:
    rng = np.random.default_rng(3)
    roads = [
        ([tuple(p) for p in rng.uniform(-20, 320, (3, 2))], float(rng.uniform(3, 9)))
        for _ in range(14)
    ]
    mask = burned(roads, (300, 300)).astype(bool)
    mask[130:150, 130:150] = False
    mask[138:141, 138:141] = True
    mask[200:230, 130:160] = True
    mask[209:212, 139:142] = False

    def read(window: Window) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        part = mask[window[0] : window[1], window[2] : window[3]]
        return part, np.ones_like(part)

    small = {"min_hole_px": 15, "min_area_px": 15}
    counts: list[Counter[str]] = [Counter(), Counter()]

    def into(counter: Counter[str]) -> Callable[[str, int], None]:
        return lambda what, number: counter.update({what: number})

    whole = skeleton_pixels(read, mask.shape, note=into(counts[0]), **small)
    parts = skeleton_pixels(
        read, mask.shape, core_px=70, margin_px=64, note=into(counts[1]), **small
    )
    assert counts[0] == counts[1]
    assert min(counts[0]["spots dropped"], counts[0]["holes filled"]) >= 1
    for name in vars(whole):
        one, other = getattr(whole, name), getattr(parts, name)
        if name != "to_edge":
            np.testing.assert_array_equal(one, other, err_msg=name)
    # How far the edge is matters where it is near.
    near = whole.to_edge < 60
    np.testing.assert_array_equal(whole.to_edge[near], parts.to_edge[near])
    assert (parts.to_edge[~near] >= 60).all()


def test_chains_of_pixels_by_hand() -> None:
    picture = """
    #....####.
    #....#..#.
    ##...#..#.
    .#...####.
    .####.....
    .....#...#
    """
    rows = [[cell == "#" for cell in row] for row in picture.split()]
    sketch = trace(pixels_of(np.array(rows)))
    assert sketch.specks == 1
    degrees = sorted(len(at) for at in sketch.at.values())
    # A way from the corner meets the ring; where they meet, another way leaves.
    assert degrees[:2] == [1, 1]
    length = sum(sketch.length(chain) for chain in sketch.chains.values())
    assert 20 < length < 28
    ring = np.zeros((6, 7), bool)
    ring[1:5, 1] = ring[1:5, 5] = ring[1, 1:6] = ring[4, 1:6] = True
    alone = trace(pixels_of(ring))
    assert [len(at) for at in alone.at.values()] == [2]
    assert sum(alone.length(chain) for chain in alone.chains.values()) == pytest.approx(14)
    assert trace(pixels_of(np.zeros((4, 4)))).chains == {}


def test_every_pixel_is_in_one_chain_or_node() -> None:
    rng = np.random.default_rng(1)
    for _ in range(20):
        thin = rng.random((12, 12)) < 0.3
        pixels = pixels_of(thin)
        sketch = trace(pixels)
        inside = sum(len(chain.xy) for chain in sketch.chains.values())
        used = {tuple(xy) for chain in sketch.chains.values() for xy in chain.xy.tolist()}
        assert len(used) == inside <= len(pixels)
        for number, chain in sketch.chains.items():
            assert number in sketch.at[chain.first]
            assert number in sketch.at[chain.second]
            steps = np.abs(np.diff(chain.xy, axis=0)).max(axis=1)
            assert (steps == 1).all()


def changes(mask: NDArray[np.uint8], **options: Any) -> Traced:
    """What cleaning does to a mask of pixels of a metre."""

    def read(window: Window) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        part = mask[window[0] : window[1], window[2] : window[3]] > 0
        return part, np.ones_like(part)

    return trace_raster(read, mask.shape, 1.0, Cleaning(**options))


def test_bumps_make_no_roads_and_short_ones_of_their_own_stay() -> None:
    road = [([(-5.0, 60.0), (125.0, 60.0)], 9.0)]
    bump = burned([*road, ([(40.0, 60.0), (40.0, 52.0)], 4.0)])
    traced = changes(bump)
    assert len(traced.graph.lines) == 1
    drive = burned([*road, ([(40.0, 60.0), (40.0, 35.0)], 4.0)])
    assert len(changes(drive).graph.lines) == 3
    assert len(changes(drive, spur=6.0).graph.lines) == 1
    assert changes(drive, spur=6.0).changes["spurs pruned"] >= 1


def test_holes_and_spots() -> None:
    mask = burned([([(-5.0, 60.0), (125.0, 60.0)], 11.0)])
    mask[58:62, 50:54] = 0
    mask[10:13, 10:13] = 1
    traced = changes(mask)
    assert len(traced.graph.lines) == 1
    assert (traced.changes["holes filled"], traced.changes["spots dropped"]) == (1, 1)
    kept = changes(mask, min_hole_m2=0, min_area_m2=0, min_length_m=0)
    assert len(kept.graph.lines) >= 3
    assert len({*kept.graph.component.tolist()}) <= 2


def test_gaps_are_bridged_where_roads_face_each_other() -> None:
    apart = burned(
        [
            ([(-5.0, 60.0), (50.0, 60.0)], 7.0),
            ([(58.0, 61.0), (125.0, 61.0)], 7.0),
            ([(54.0, 80.0), (54.0, 125.0)], 7.0),
        ]
    )
    as_it_is, bridged = changes(apart), changes(apart, gap_m=20.0)
    assert len(as_it_is.graph.lines) == 3
    assert bridged.changes["gaps bridged"] == 1
    assert len(bridged.graph.lines) == 2
    assert bridged.graph.length_m.max() == pytest.approx(120, abs=1)
    # The third road faces the gap and not an end.
    assert len({*bridged.graph.component.tolist()}) == 2
    assert "gaps bridged" not in changes(apart, gap_m=20.0, gap_angle_deg=1.0).changes


def test_a_width_that_changes_is_a_node_where_it_is_wanted() -> None:
    mask = burned([([(-5.0, 60.0), (70.0, 60.0)], 6.0), ([(70.0, 60.0), (125.0, 60.0)], 12.0)])
    one, two = changes(mask), changes(mask, split_widths=True)
    assert len(one.graph.lines) == 1
    assert sorted(two.graph.width_m.tolist()) == pytest.approx([6, 12], abs=0.4)
    inner = two.graph.nodes[two.graph.degree == 2]
    assert abs(inner[0, 0] - 70) < 4


def test_a_place_on_earth() -> None:
    tile = Tile.from_transform(Affine(0.5, 0, 500_000, 0, -0.5, 6_700_000), (120, 120), UTM)
    graph = graph_of_mask(burned(CROSS), tile)
    assert graph.crs == UTM
    local = graph_of_mask(burned(CROSS), 0.5)
    np.testing.assert_allclose(
        graph.nodes - [500_000, 6_700_000 - 60], local.nodes, atol=1e-6, rtol=0
    )
    # In web mercator lengths on the map are twice those on the ground at 60 degrees north.
    mercator = CRS.from_epsg(3857)
    high = Tile.from_transform(Affine(1, 0, 2_000_000, 0, -1, 8_399_737), (120, 120), mercator)
    twice = graph_of_mask(burned(CROSS), high)
    assert twice.length_m.sum() == pytest.approx(local.length_m.sum(), rel=0.01)
    feet = Tile.from_transform(
        Affine(0.5 / 0.3048006, 0, 6e6, 0, -0.5 / 0.3048006, 2e6), (120, 120), CRS.from_epsg(2227)
    )
    assert graph_of_mask(burned(CROSS), feet).length_m.sum() == pytest.approx(
        local.length_m.sum(), rel=1e-3
    )


@pytest.mark.parametrize("fill", [0, 1])
def test_masks_of_one_value(fill: int) -> None:
    graph = graph_of_mask(np.full((40, 50), fill, np.uint8), 1.0)
    assert len(graph.lines) <= 1
    assert len(graph_of_mask(np.full((40, 50), fill), 1.0, NO_CLEANING).lines) <= 9


@pytest.mark.parametrize(
    ("mask", "where", "said"),
    [
        (np.full((4, 4), 255), 1.0, "threshold it"),
        (np.zeros((1, 4, 4)), 1.0, r"\(rows, cols\)"),
        (np.zeros((4, 4)), 0.0, "positive number of metres"),
        (
            np.zeros((4, 4)),
            Tile.from_transform(Affine(1, 0, 0, 0, -1, 0), (5, 4), UTM),
            r"its tile \(5, 4\)",
        ),
    ],
)
def test_what_is_no_mask_is_refused(
    mask: NDArray[np.generic], where: Tile | float, said: str
) -> None:
    with pytest.raises(InputError, match=said):
        graph_of_mask(mask, where)


def test_numbers_out_of_range_are_refused() -> None:
    with pytest.raises(InputError, match="gap_m must be a number from 0 up"):
        Cleaning(gap_m=-1)
    with pytest.raises(InputError, match="at most 90"):
        Cleaning(gap_angle_deg=91)
