"""Colours and green against plain formulas, and means over places."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

pytest.importorskip("kornia", reason="needs the extra `eval`")

from rsaug.downstream.evaluation.appearance import (
    GREEN,
    MEASURES,
    appearance,
    colour_distance,
    excess_green,
    lab,
    over_places,
)

IMAGES = arrays(np.uint8, (2, 3, 4, 5), elements=st.integers(0, 255))
SRGB_TO_XYZ = np.array(
    [
        [0.4124564, 0.3575761, 0.1804375],
        [0.2126729, 0.7151522, 0.0721750],
        [0.0193339, 0.1191920, 0.9503041],
    ]
)
D65 = np.array([0.95047, 1.0, 1.08883])


def lab_of(rgb: NDArray[np.uint8]) -> NDArray[np.float64]:
    """L*, a*, b* of one pixel, by IEC 61966-2-1 and CIE 15."""
    v = rgb / 255
    linear = np.where(v <= 0.04045, v / 12.92, ((v + 0.055) / 1.055) ** 2.4)
    t = SRGB_TO_XYZ @ linear / D65
    f = np.where(t > (6 / 29) ** 3, np.cbrt(t), t / (3 * (6 / 29) ** 2) + 4 / 29)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


@settings(deadline=None, max_examples=25)
@given(IMAGES)
def test_colours_are_those_of_the_formulas(images: NDArray[np.uint8]) -> None:
    ours = np.moveaxis(lab(images, batch=1), 1, -1).reshape(-1, 3)
    theirs = [lab_of(pixel) for pixel in np.moveaxis(images, 1, -1).reshape(-1, 3)]
    np.testing.assert_allclose(ours, theirs, atol=0.05)


@given(IMAGES)
def test_excess_green_is_that_of_chromatic_coordinates(images: NDArray[np.uint8]) -> None:
    for image, green in zip(images, excess_green(images), strict=True):
        for (red, mid, blue), value in zip(
            image.reshape(3, -1).T.tolist(), green.flat, strict=True
        ):
            total = red + mid + blue
            expected = (2 * mid - red - blue) / total if total else 0.0
            assert value == pytest.approx(expected, abs=1e-6)


@settings(deadline=None, max_examples=25)
@given(IMAGES)
def test_where_things_lie_does_not_matter(images: NDArray[np.uint8]) -> None:
    turned = np.ascontiguousarray(images[:, :, ::-1].swapaxes(2, 3))
    np.testing.assert_allclose(appearance(turned), appearance(images), atol=1e-4)


def test_known_images_look_as_they_do() -> None:
    images = np.zeros((3, 3, 8, 8), dtype=np.uint8)
    images[0] = 255
    images[1, 1, :, :4] = 200
    images[2, :, :4] = 255
    looks = dict(zip(MEASURES, appearance(images).T, strict=True))
    np.testing.assert_allclose(looks["lightness L*"][[0, 2]], [100, 50], atol=0.01)
    np.testing.assert_allclose(looks["contrast"][[0, 2]], [0, 50], atol=0.01)
    assert looks["green share"].tolist() == [0, 0.5, 0]
    assert looks["green to red a*"][1] < -20
    assert 0 < GREEN < 0.15


def test_distance_is_of_mean_colours_alone() -> None:
    a = np.array([[50.0, 0, 0, 9, 1]])
    b = np.array([[53.0, 4, 0, 3, 0]])
    assert colour_distance(a, b).tolist() == [5.0]


def test_a_mean_is_of_images_and_its_interval_of_places() -> None:
    rng = np.random.default_rng(0)
    values, places = rng.normal(size=12), np.repeat(list("abcdef"), 2)
    mean, low, high = over_places(values, places)
    assert mean == pytest.approx(values.mean())
    assert low < mean < high
    # More images of the same places are no more evidence.
    again = over_places(np.repeat(values, 5), np.repeat(places, 5))
    np.testing.assert_allclose(again, (mean, low, high))
    order = rng.permutation(12)
    np.testing.assert_allclose(over_places(values[order], places[order]), (mean, low, high))
    assert over_places(np.full(4, 2.5), np.array(list("aabb"))) == (2.5, 2.5, 2.5)
    assert np.isnan(over_places(values, np.full(12, "a"))[1:]).all()
