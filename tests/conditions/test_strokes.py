"""Strokes on pixels against plain versions."""

from __future__ import annotations

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from strategies import UTM

from rsaug.conditions.strokes import (
    around,
    block_mean,
    draw_segments,
    spread_softly,
    thicken,
)
from rsaug.grid import TileGrid

SHAPE = (23, 31)
# To a millionth: GEOS divides by the square of what is smaller.
COORDINATE = st.integers(-15_000_000, 45_000_000).map(lambda number: number / 1e6)
POINT = st.tuples(COORDINATE, COORDINATE)


def centres(shape: tuple[int, int]) -> NDArray[np.object_]:
    col, row = np.meshgrid(np.arange(shape[1]) + 0.5, np.arange(shape[0]) + 0.5)
    points: NDArray[np.object_] = shapely.points(col, row)
    return points


@settings(deadline=None, max_examples=60)
@given(st.lists(st.tuples(POINT, POINT), min_size=1, max_size=4))
def test_segments_are_the_centres_within_half_a_pixel(
    pairs: list[tuple[tuple[float, float], tuple[float, float]]],
) -> None:
    lines = [shapely.LineString(pair) for pair in pairs if pair[0] != pair[1]]
    band = shapely.union_all(
        [line.buffer(0.5, cap_style="flat") for line in lines if line.length > 1e-3]
    )
    drawn = draw_segments(np.array(pairs).reshape(-1, 4), SHAPE)
    # What is within 0.0001 px of the border of the band may go either way.
    points = centres(SHAPE)
    sure = shapely.distance(points, shapely.boundary(band)) > 1e-4
    sure |= shapely.is_empty(band)
    inside = shapely.intersects(points, band)
    if all(line.length > 1e-3 for line in lines):
        np.testing.assert_array_equal(drawn[sure], inside[sure])


@settings(deadline=None, max_examples=40)
@given(POINT, POINT, st.integers(-9, 9), st.integers(-9, 9))
def test_segments_do_not_depend_on_direction_or_window(
    start: tuple[float, float], end: tuple[float, float], right: int, down: int
) -> None:
    segment = np.array([[*start, *end]])
    large = draw_segments(segment + 20, (70, 75))
    np.testing.assert_array_equal(large, draw_segments(segment[:, [2, 3, 0, 1]] + 20, (70, 75)))
    part = draw_segments(segment + np.array([right, down, right, down]), SHAPE)
    there = large[20 - down :, 20 - right :][: SHAPE[0], : SHAPE[1]]
    np.testing.assert_array_equal(part, there)


@pytest.mark.parametrize("noise", [0, 1e-9, -1e-9])
def test_a_line_between_two_rows_takes_one_of_them(noise: float) -> None:
    drawn = draw_segments(np.array([[2, 5, 9, 5], [15, 3, 15, 8]]) + noise, SHAPE)
    expected = np.zeros(SHAPE, dtype=bool)
    expected[4, 2:9] = expected[3:8, 14] = True
    assert drawn.sum() == expected.sum()
    np.testing.assert_array_equal(
        drawn, draw_segments(np.array([[9, 5, 2, 5], [15, 8, 15, 3]]), SHAPE)
    )


def test_segments_far_away_or_of_no_length_draw_nothing() -> None:
    odd = np.array([[3, 3, 3, 3], [1e300, 1e300, 1e301, 2e300], [-90, 4, -40, 4]], dtype=float)
    assert not draw_segments(odd, SHAPE).any()
    assert not draw_segments(np.zeros((0, 4)), SHAPE).any()


def test_soft_falloff_is_the_largest_gaussian() -> None:
    rng = np.random.default_rng(1)
    marks = np.where(rng.random(SHAPE) < 0.03, rng.random(SHAPE), 0).astype(np.float32)
    row, col = np.mgrid[: SHAPE[0], : SHAPE[1]]
    expected = np.zeros(SHAPE)
    for r, c in zip(*np.nonzero(marks), strict=True):
        near = np.maximum(abs(row - r), abs(col - c)) <= 5
        fall = marks[r, c] * np.exp(-((row - r) ** 2 + (col - c) ** 2) / (2 * 1.7**2))
        expected = np.maximum(expected, np.where(near, fall, 0))
    np.testing.assert_allclose(spread_softly(marks, 1.7, 5), expected, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("radius", [0, 1, 2, 3, 5])
def test_thick_marks_are_those_within_the_radius(radius: int) -> None:
    marks = np.random.default_rng(2).random(SHAPE) < 0.02
    row, col = np.mgrid[: SHAPE[0], : SHAPE[1]]
    expected = np.zeros(SHAPE, dtype=bool)
    for r, c in zip(*np.nonzero(marks), strict=True):
        expected |= (row - r) ** 2 + (col - c) ** 2 <= radius**2
    np.testing.assert_array_equal(thicken(marks, radius), expected)


def test_block_means_are_means() -> None:
    fine = np.random.default_rng(3).random((12, 8)).astype(np.float32)
    expected = fine.reshape(3, 4, 2, 4).mean(axis=(1, 3))
    np.testing.assert_allclose(block_mean(fine, 4), expected, rtol=1e-6)


def test_a_finer_tile_with_a_margin_is_around_the_tile() -> None:
    tile = TileGrid(UTM, 0.6, 16).tile(-400, 900)
    fine = around(tile, 3, 4)
    left, bottom, right, top = tile.bounds
    assert fine.shape == (88, 88)
    assert fine.gsd_m == pytest.approx(0.15)
    assert fine.bounds == pytest.approx((left - 1.8, bottom - 1.8, right + 1.8, top + 1.8))
    assert around(tile, 0) == tile
