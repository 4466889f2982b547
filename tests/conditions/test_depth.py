"""Depth: heights from tags, depth against a plain version, seams, ranges, missing ground."""

from __future__ import annotations

from pathlib import Path

import geopandas as gpd
import numpy as np
import pytest
import rasterio
import shapely
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from strategies import UTM
from town import TILES, WHOLE, box_px

from rsaug.conditions.depth import Heights, building_heights, depth_map, height_range
from rsaug.conditions.stack import ControlStack
from rsaug.errors import InputError


def tagged(**tags: object) -> gpd.GeoDataFrame:
    """One building with tags."""
    return gpd.GeoDataFrame(
        {k: [v] for k, v in tags.items()}, geometry=[box_px(9, 9, 20, 20)], crs=UTM
    )


def heights_of(shapes: list[shapely.Polygon], heights: list[float]) -> Heights:
    return building_heights(gpd.GeoDataFrame({"height": heights}, geometry=shapes, crs=UTM), UTM)


@pytest.mark.parametrize(
    ("tags", "expected", "rule"),
    [
        ({"height": "12.5"}, 12.5, "height"),
        ({"height": 7.25}, 7.25, "height"),
        ({"height": "40'"}, 12.192, "height"),
        ({"height": "12", "building:levels": "9"}, 12, "height"),
        ({"height": "12", "roof:height": "4"}, 12, "height"),
        ({"building:levels": "4"}, 12, "levels"),
        ({"building:levels": 2.0, "roof:levels": "1"}, 9, "levels"),
        ({"building:levels": "2", "roof:levels": "1", "roof:height": "1.5 m"}, 7.5, "levels"),
        ({"building:levels": "1", "height": "tall"}, 3, "levels"),
        ({"height": "-3"}, 6, "default"),
        ({"height": "3000"}, 6, "default"),
        ({"height": float("nan"), "building:levels": None}, 6, "default"),
        ({"height": "nan"}, 6, "default"),
        ({"building:levels": "2;3"}, 6, "default"),
        ({"building:levels": "inf"}, 6, "default"),
        ({"building": "yes"}, 6, "default"),
        ({"height": "10", "min_height": "4"}, 10, "height"),
        ({"height": "4", "min_height": "10", "building:levels": "5"}, 15, "levels"),
        ({"min_height": "10"}, 16, "default"),
        ({"building:min_level": "2"}, 12, "default"),
    ],
)
def test_height_of_tags(tags: dict[str, object], expected: float, rule: str) -> None:
    found = building_heights(tagged(**tags), UTM)
    assert found.height_m[0] == pytest.approx(expected)
    assert found.height_m.dtype == np.float32
    assert found.report.by_rule[rule] == 1
    assert sum(found.report.by_rule.values()) == 1


def test_what_is_not_used_is_counted() -> None:
    box = box_px(9, 9, 20, 20)
    frame = gpd.GeoDataFrame(
        {
            "height": ["high", "high", "-1", "5", None, "5", "5"],
            "min_height": [None, None, None, "8", None, None, None],
            "building": ["yes", "yes", "yes", "yes", "No", "yes", "yes"],
        },
        geometry=[box, box, box, box, box, None, shapely.Point(0, 0)],
        crs=UTM,
    )
    report = building_heights(frame, UTM, default_m=9).report
    assert report.to_dict() == {
        "by_rule": {"height": 0, "levels": 0, "default": 4},
        "ignored": {
            "height not understood (height='high')": 2,
            "height out of range": 1,
            "height not above where the building starts": 1,
        },
        "dropped": {"no geometry": 1, "not an area": 1, "not a building (building=no)": 1},
    }


def test_layers_without_a_building_are_refused() -> None:
    line = gpd.GeoDataFrame(geometry=[shapely.LineString([(0, 0), (1, 1)])], crs=UTM)
    with pytest.raises(InputError, match="None of the 1 features is a building"):
        building_heights(line, UTM)
    with pytest.raises(InputError, match="None of the 0 features"):
        building_heights(line.iloc[:0], UTM)
    with pytest.raises(InputError, match="default height must be"):
        building_heights(tagged(), UTM, default_m=-1)


@st.composite
def blocks(draw: st.DrawFn) -> Heights:
    """Buildings that overlap, some of the same height.

    No wall runs through the centre of a pixel, which would be on it or not by rounding.
    """
    number = draw(st.integers(1, 6))
    places = st.integers(-50, 600).map(lambda tenth: tenth / 10 + 0.003)
    shapes = []
    for _ in range(number):
        left, top = draw(places), draw(places)
        shapes.append(box_px(left, top, left + draw(st.integers(1, 30)) + 0.2, top + 12.3))
    return heights_of(shapes, [draw(st.sampled_from([0.0, 3.0, 7.5, 30.0])) for _ in shapes])


def centres() -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    col, row = np.meshgrid(np.arange(64) + 0.5, np.arange(64) + 0.5)
    return WHOLE.transform.c + 0.6 * col, WHOLE.transform.f - 0.6 * row


@settings(deadline=None, max_examples=25)
@given(blocks())
def test_the_highest_building_at_each_centre_wins(heights: Heights) -> None:
    top = np.zeros(WHOLE.shape)
    for shape, height in zip(heights.shapes.geometry, heights.height_m, strict=True):
        top = np.maximum(top, np.where(shapely.contains_xy(shape, *centres()), height, 0))
    found = depth_map(WHOLE, heights=heights, height_range_m=(0, 20))
    np.testing.assert_allclose(found.values, np.clip(top / 20, 0, 1), rtol=1e-6)
    assert found.no_ground == 0


@pytest.fixture
def hill(tmp_path: Path) -> Path:
    """Ground around `WHOLE`, 2 m a pixel, a slope of 10 % to the east; nothing in the north."""
    path = tmp_path / "hill.tif"
    left, _, _, top = WHOLE.bounds
    values = np.tile(100 + 0.2 * (np.arange(60) + 0.5), (60, 1)).astype(np.float32)
    values[:25] = -9999
    values[40, 20] = np.nan
    with rasterio.open(
        path, "w", driver="GTiff", width=60, height=60, count=1, dtype="float32", nodata=-9999,
        crs=UTM.to_wkt(), transform=Affine(2, 0, left - 20, 0, -2, top + 40),
    ) as dst:  # fmt: skip
        dst.write(values, 1)
    return path


def test_buildings_stand_on_the_ground(hill: Path) -> None:
    house = heights_of([box_px(20, 40, 30, 50)], [5.0])
    found = depth_map(WHOLE, hill, house, height_range_m=(100, 110))
    x, y = centres()
    ground = (x - WHOLE.bounds[0] + 20) / 10
    ground[shapely.contains_xy(house.shapes.geometry[0], x, y)] += 5
    known = (y < WHOLE.bounds[3] - 10) & (abs(x - WHOLE.bounds[0] - 21) > 2)
    np.testing.assert_allclose(found.values[known], ground[known] / 10, atol=1e-4)


def test_missing_ground_is_the_low_end_and_counted(hill: Path) -> None:
    found = depth_map(WHOLE, hill, height_range_m=(90, 120))
    # Ten metres in the north, and the one pixel that is no number.
    assert (found.values[:16] == 0).all()
    assert 17 * 64 <= found.no_ground <= 17 * 64 + 16
    assert (found.values == 0).sum() == found.no_ground
    ControlStack.from_maps(WHOLE.shape, depth=found.values)


@settings(deadline=None, max_examples=15)
@given(heights=blocks())
def test_tile_by_tile_is_the_mosaic(heights: Heights) -> None:
    mosaic = np.block(
        [[depth_map(t, heights=heights, height_range_m=(0, 25)).values for t in r] for r in TILES]
    )
    whole = depth_map(WHOLE, heights=heights, height_range_m=(0, 25))
    np.testing.assert_array_equal(mosaic, whole.values)


def test_tile_by_tile_is_the_mosaic_with_ground(hill: Path) -> None:
    parts = [[depth_map(t, hill, height_range_m=(95, 130)) for t in row] for row in TILES]
    whole = depth_map(WHOLE, hill, height_range_m=(95, 130))
    np.testing.assert_array_equal(
        np.block([[p.values for p in row] for row in parts]), whole.values
    )
    assert sum(part.no_ground for row in parts for part in row) == whole.no_ground


def test_shift_by_a_pixel_shifts_the_map() -> None:
    box = shapely.Polygon([(3.3, 4.1), (20.2, 9.9), (11.1, 30.3)])
    here, there = (
        shapely.transform(box, lambda xy, by=by: WHOLE.bounds[:2] + 0.6 * (xy + by))
        for by in (np.zeros(2), np.array([1, -2]))
    )
    first, second = (
        depth_map(WHOLE, heights=heights_of([shape], [7]), height_range_m=(0, 9)).values
        for shape in (here, there)
    )
    assert first.any()
    np.testing.assert_array_equal(second[2:, 1:], first[:-2, :-1])


def test_a_range_for_the_run(hill: Path) -> None:
    house = heights_of([box_px(20, 40, 30, 50)], [50.0])
    left, bottom, right, top = WHOLE.bounds
    south = (left, bottom, right, top - 12)
    low, high = height_range(south, UTM, hill)
    # From 102 m to 105.84 m in the area, less 2 % on either side, and at least 10 m.
    assert low == pytest.approx(102.1, abs=0.15)
    assert high == low + 10
    low, high = height_range(south, UTM, hill, house)
    assert high == pytest.approx(105.76 + 50, abs=0.2)
    assert height_range(south, UTM, heights=house) == pytest.approx((0, 50))
    far = (left + 5000, bottom, right + 5000, top)
    assert height_range(far, UTM, heights=house) == (0, 10)
    with pytest.raises(InputError, match="no height in the area"):
        height_range(far, UTM, hill)


def test_what_makes_no_depth_is_refused() -> None:
    house = heights_of([box_px(20, 40, 30, 50)], [5.0])
    with pytest.raises(InputError, match="a raster of the ground, heights"):
        depth_map(WHOLE, height_range_m=(0, 1))
    for low, high in ((1, 1), (2, 1), (0, float("nan"))):
        with pytest.raises(InputError, match="range of heights"):
            depth_map(WHOLE, heights=house, height_range_m=(low, high))
    with pytest.raises(InputError, match="raster of the ground, heights"):
        height_range(WHOLE.bounds, UTM)
    with pytest.raises(InputError, match="area is left"):
        height_range((1, 0, 0, 1), UTM, heights=house)
    with pytest.raises(InputError, match="does not exist"):
        depth_map(WHOLE, "nowhere.tif", height_range_m=(0, 1))
