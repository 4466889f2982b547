"""Further maps of roads: seams, brute force, and what each is meant to say."""

from __future__ import annotations

import itertools
from typing import Any

import geopandas as gpd
import numpy as np
import pytest
import shapely
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from strategies import UTM, road_lines

from rsaug.conditions.road_channels import CHANNELS, REACH_M, edge_distance, road_channels
from rsaug.errors import InputError
from rsaug.grid import Tile, TileGrid
from rsaug.road_rules import RoadRules, read_rules
from rsaug.roads import Roads, road_surfaces

NAMES = tuple(channel.name for channel in CHANNELS)
GRID = TileGrid(UTM, 0.6, 32)
TILES = [[GRID.tile(-400 + row, 900 + col) for col in range(2)] for row in range(2)]
WHOLE = Tile.from_transform(TILES[0][0].transform, (64, 64), UTM)
LEFT, BOTTOM, RIGHT, TOP = WHOLE.bounds


def roads_of(*rows: dict[str, Any], rules: RoadRules | None = None, **lines: Any) -> Roads:
    """Roads along lines in pixels of the mosaic, x to the right and y down; 6 m wide by default."""

    def line(points: list[tuple[float, float]]) -> shapely.LineString:
        return shapely.LineString([(LEFT + 0.6 * x, TOP - 0.6 * y) for x, y in points])

    frame = gpd.GeoDataFrame(
        [
            {"highway": "residential", "width": "6"} | row | {"geometry": line(row["at"])}
            for row in rows
        ],
        crs=UTM,
    ).drop(columns="at")
    return road_surfaces(frame, UTM, rules, **lines)


def only(roads: Roads, name: str, tile: Tile = WHOLE) -> NDArray[Any]:
    """One map, (rows, cols) where it has one band."""
    made = road_channels(roads, tile, [name])[name]
    return made[0] if len(made) == 1 else made


def centres(tile: Tile = WHOLE) -> NDArray[np.object_]:
    """The centres of the pixels, (rows, cols)."""
    rows, cols = np.mgrid[0.5 : tile.shape[0], 0.5 : tile.shape[1]]
    side = tile.transform.a
    points: NDArray[np.object_] = shapely.points(
        tile.bounds[0] + cols * side, tile.bounds[3] - rows * side
    )
    return points


@st.composite
def networks(draw: st.DrawFn, rules: RoadRules | None = None) -> Roads:
    """Roads of all classes, some of which meet in corners of a grid of whole pixels.

    Their widths are no fractions of a pixel: the edge of a road between two corners would run
    through centres where its length is whole, as that of (9, 40) is, and rounding would decide.
    """
    lines = draw(road_lines(WHOLE))
    corner = st.tuples(st.integers(-10, 74), st.integers(-10, 74))
    paths = draw(st.lists(st.lists(corner, min_size=2, max_size=4, unique=True), max_size=4))
    extra = gpd.GeoDataFrame(
        {"width": [draw(st.sampled_from([0.61, 3.07, 7.31])) for _ in paths]},
        geometry=[
            shapely.LineString([(LEFT + 0.6 * x, TOP - 0.6 * y) for x, y in path]) for path in paths
        ],
        crs=UTM,
    )
    frame = gpd.GeoDataFrame(
        {"width": [*lines["width"], *extra["width"]]},
        geometry=[*lines.geometry, *extra.geometry],
        crs=UTM,
    )
    words = st.sampled_from(["motorway", "primary", "service", "track"])
    frame["highway"] = [draw(words) for _ in range(len(frame))]
    frame["lanes"] = [draw(st.sampled_from(["1", "2", ""])) for _ in range(len(frame))]
    return road_surfaces(frame, UTM, rules)


@settings(deadline=None, max_examples=15)
@given(networks())
def test_tiles_put_together_are_the_mosaic(roads: Roads) -> None:
    maps = road_channels(roads, WHOLE)
    assert tuple(maps) == NAMES
    parts = [[road_channels(roads, tile) for tile in row] for row in TILES]
    for channel in CHANNELS:
        made = maps[channel.name]
        assert made.shape == (len(channel.bands), 64, 64)
        assert made.dtype == channel.dtype
        assert channel.low <= made.min()
        assert made.max() <= channel.high
        mosaic = np.block([[part[channel.name] for part in row] for row in parts])
        np.testing.assert_array_equal(mosaic, made, err_msg=channel.name)


@pytest.mark.parametrize("style", ['cap = "square"\njoin = "mitre"', 'cap = "flat"'])
def test_tiles_put_together_are_the_mosaic_in_other_styles(tmp_path: Any, style: str) -> None:
    path = tmp_path / "own.toml"
    path.write_text(f"[defaults]\n{style}")
    roads = roads_of(
        {"at": [(5.13, 5.2), (30.17, 33.1), (60.2, 20.3)]},
        {"at": [(30.17, 33.1), (31.3, 70.7)], "width": "9"},
        rules=read_rules(path),
    )
    maps = road_channels(roads, WHOLE)
    parts = [[road_channels(roads, tile) for tile in row] for row in TILES]
    for name in NAMES:
        np.testing.assert_array_equal(
            np.block([[p[name] for p in row] for row in parts]), maps[name]
        )
    size = np.hypot(*maps["direction"])
    on_road = maps["surface"][0] == 1
    sure = on_road if "square" in style else on_road & (size > 0)
    np.testing.assert_allclose(size[sure], 1, atol=1e-6)


@settings(deadline=None, max_examples=12)
@given(networks())
def test_soft_is_the_area_of_the_road_in_the_pixel(roads: Roads) -> None:
    soft = only(roads, "soft")
    x, y = shapely.get_coordinates(centres()).T
    pixels = shapely.box(x - 0.3, y - 0.3, x + 0.3, y + 0.3)
    surface = roads.surfaces.union_all()
    shapely.prepare(surface)
    area = shapely.area(shapely.intersection(pixels, surface)).reshape(64, 64) / 0.36
    assert np.abs(soft - area).max() < 0.16
    assert np.abs(soft - area).mean() < 0.01
    mask = only(roads, "surface")
    # Surrounded by road, or by none, the centre is as well; edges may run through between.
    assert (mask[soft == 1] == 1).all()
    np.testing.assert_array_equal(soft * 64, np.rint(soft * 64))


@settings(deadline=None, max_examples=12)
@given(networks())
def test_centrelines_are_where_a_line_is_within_half_a_pixel(roads: Roads) -> None:
    lines = shapely.union_all(roads.lines)
    shapely.prepare(lines)
    distance = shapely.distance(centres(), lines)
    clear = np.abs(distance - 0.3) > 1e-6
    np.testing.assert_array_equal(only(roads, "centreline")[clear], distance[clear] < 0.3)


def test_a_line_on_the_edge_between_pixels_is_two_pixels_wide() -> None:
    drawn = only(roads_of({"at": [(10, 20), (50, 20)]}), "centreline")
    assert np.flatnonzero(drawn[:, 30]).tolist() == [19, 20]


@settings(deadline=None, max_examples=8)
@given(networks(), st.sampled_from([3.0, 10.0, REACH_M]))
def test_distance_is_that_to_the_nearest_centre_on_the_other_side(
    roads: Roads, reach_m: float
) -> None:
    """By brute force, on a raster that is as much wider as distances reach."""
    halo = int(np.ceil(reach_m / 0.6)) + 1
    n = 64 + 2 * halo
    corner = LEFT - halo * 0.6, TOP + halo * 0.6
    wide = Tile.from_transform(Affine(0.6, 0, corner[0], 0, -0.6, corner[1]), (n, n), UTM)
    mask = only(roads, "surface", wide).astype(bool)
    distance = edge_distance(roads, WHOLE, reach_m)
    rng = np.random.default_rng(0)
    for row, col in rng.integers(0, 64, (40, 2)).tolist():
        inside = mask[row + halo, col + halo]
        there = np.argwhere(mask != inside) - [row + halo, col + halo]
        nearest = np.hypot(*there.T).min(initial=np.inf)
        metres = min((nearest - 0.5) * 0.6, reach_m)
        assert distance[row, col] == pytest.approx(-metres if inside else metres, rel=1e-6)


def test_far_from_roads_the_distance_is_the_reach() -> None:
    roads = roads_of({"at": [(10_000, 0), (10_010, 0)]})
    assert (only(roads, "distance") == REACH_M).all()
    roads = roads_of({"at": [(-500, 32), (500, 32)], "width": "100"})
    assert only(roads, "distance").min() == pytest.approx(-REACH_M, abs=0.6)


@settings(deadline=None, max_examples=12)
@given(networks())
def test_direction_is_that_of_the_nearest_line_of_the_roads_there(roads: Roads) -> None:
    made = only(roads, "direction").astype(float)
    mask = only(roads, "surface").astype(bool)
    assert not made[:, ~mask].any()
    segments, half = [], []
    for line, width in zip(roads.lines, roads.half_widths, strict=True):
        xy = shapely.get_coordinates(line)
        segments += list(itertools.pairwise(xy))
        half += [width] * (len(xy) - 1)
    drawn = shapely.linestrings(segments)
    along = np.diff(np.array(segments), axis=1)[:, 0]
    angle = np.arctan2(along[:, 1], along[:, 0])
    rng = np.random.default_rng(0)
    rows, cols = np.nonzero(mask)
    for pick in rng.permutation(len(rows))[:60]:
        row, col = rows[pick], cols[pick]
        distance = shapely.distance(centres()[row, col], drawn)
        distance[distance > np.array(half) + 1e-6] = np.inf
        best = distance <= distance.min() + 1e-7
        mean = np.exp(2j * angle[best]).sum()
        if abs(mean) < 1e-3:
            continue
        mean /= abs(mean)
        np.testing.assert_allclose(made[:, row, col], [mean.real, mean.imag], atol=1e-4)


def test_angles_are_counted_from_east_counter_clockwise() -> None:
    up = only(roads_of({"at": [(10, 50), (50, 10)]}), "direction")
    np.testing.assert_allclose(up[:, 30, 30], [0, 1], atol=1e-6)
    level = only(roads_of({"at": [(10, 30), (50, 30)]}), "direction")
    np.testing.assert_allclose(level[:, 30, 30], [1, 0], atol=1e-6)
    upright = only(roads_of({"at": [(30, 10), (30, 50)]}), "direction")
    np.testing.assert_allclose(upright[:, 30, 30], [-1, 0], atol=1e-6)


def discs(roads: Roads) -> int:
    """How many separate places are marked as junctions."""
    from scipy import ndimage

    return int(ndimage.label(only(roads, "junction"))[1])


def test_junctions_are_where_three_arms_meet() -> None:
    through = {"at": [(5, 30), (30, 30), (60, 30)]}
    assert discs(roads_of(through)) == 0
    side = {"at": [(30, 30), (30, 60)], "width": "9"}
    junction = only(roads_of(through, side), "junction")
    x, y = LEFT + 0.6 * 30, TOP - 0.6 * 30
    distance = shapely.distance(centres(), shapely.Point(x, y))
    clear = np.abs(distance - 4.5) > 0.01
    np.testing.assert_array_equal(junction[clear], distance[clear] < 4.5)


def test_a_road_that_goes_on_as_another_line_or_crosses_without_a_point_is_no_junction() -> None:
    first, then = {"at": [(5, 30), (30, 30)]}, {"at": [(30, 30), (60, 30)], "highway": "service"}
    assert discs(roads_of(first, then)) == 0
    assert discs(roads_of(first, then, first)) == 0
    bridge = {"at": [(40, 5), (40, 60)], "bridge": "yes"}
    assert discs(roads_of(first, then, bridge)) == 0
    assert discs(roads_of(first, then, {"at": [(30, 5), (30, 30), (30, 60)]})) == 1
    ring = {"at": [(10, 10), (30, 10), (30, 30), (10, 10)]}
    assert discs(roads_of(ring)) == 0
    assert discs(roads_of(ring, {"at": [(10, 10), (5, 5)]})) == 1
    assert discs(roads_of(ring, {"at": [(10, 10), (5, 5)], "tunnel": "yes"})) == 0


def test_class_and_lanes_are_those_of_the_road_on_top() -> None:
    minor = {"at": [(5, 30), (60, 30)], "lanes": "1"}
    major = {"at": [(30, 5), (30, 60)], "highway": "primary", "lanes": "4"}
    bridge = {"at": [(5, 5), (60, 60)], "highway": "track", "bridge": "yes"}
    roads = roads_of(bridge, major, minor)
    kind, lanes = only(roads, "class"), only(roads, "lanes")
    assert (kind[30, 12], kind[50, 30], kind[30, 30]) == (3, 2, 5)
    assert (lanes[30, 12], lanes[50, 30], lanes[30, 30]) == (1, 4, 0)
    np.testing.assert_array_equal(kind > 0, only(roads, "surface") == 1)


@settings(deadline=None, max_examples=10)
@given(networks(), st.randoms(use_true_random=False))
def test_order_of_features_changes_nothing(roads: Roads, chance: Any) -> None:
    frame = roads.surfaces.drop(columns=["lanes", "geometry"]).assign(
        width=roads.surfaces["width_m"]
    )
    frame["lanes"] = roads.lanes
    frame = gpd.GeoDataFrame(frame, geometry=roads.lines, crs=UTM)
    order = chance.sample(range(len(frame)), len(frame))
    here, there = (road_surfaces(part, UTM) for part in (frame, frame.iloc[order]))
    for name in NAMES:
        np.testing.assert_array_equal(only(here, name), only(there, name), err_msg=name)


def test_maps_that_there_are_not_are_refused() -> None:
    with pytest.raises(InputError, match=r"No map of roads is called 'speed'; there are \['surf"):
        road_channels(roads_of({"at": [(0, 0), (9, 9)]}), WHOLE, ["speed"])


def test_maps_without_a_road_say_so() -> None:
    roads = road_surfaces(gpd.GeoDataFrame(geometry=[], crs=UTM), UTM, allow_none=True)
    for channel in CHANNELS:
        assert (only(roads, channel.name) == channel.nothing).all()
