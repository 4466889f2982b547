"""Pixels that are put together: what stays, stays to the bit, and means are exact."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numpy.typing import NDArray

from rsaug.compositing import back_project, enlarge, paste, recolour, reduce, with_means
from rsaug.errors import InputError


@st.composite
def pictures_and_means(
    draw: st.DrawFn,
) -> tuple[NDArray[np.float32], NDArray[np.uint8], int]:
    """Any picture, any means, and by how much the one is larger."""
    factor = draw(st.sampled_from([2, 4]))
    rows, cols = draw(st.integers(1, 4)), draw(st.integers(1, 4))
    means = draw(arrays.arrays(np.uint8, (3, rows, cols)))
    values = st.floats(-300, 600, width=32)
    image = draw(arrays.arrays(np.float32, (3, rows * factor, cols * factor), elements=values))
    return image, means, factor


@settings(deadline=None)
@given(pictures_and_means())
def test_means_are_exact_whatever_the_picture(
    given_: tuple[NDArray[np.float32], NDArray[np.uint8], int],
) -> None:
    image, means, factor = given_
    exact = with_means(image, means, factor)
    assert exact.dtype == np.uint8
    assert exact.shape == image.shape
    np.testing.assert_array_equal(reduce(exact, factor), means)
    np.testing.assert_array_equal(with_means(exact, means, factor), exact)


def test_a_picture_of_these_means_hardly_changes() -> None:
    image = np.random.default_rng(0).integers(0, 256, (3, 32, 32)).astype(np.float32)
    means = np.rint(reduce(image, 4)).astype(np.uint8)
    assert np.abs(with_means(image, means, 4) - image).max() <= 1.5


def test_strips_of_a_large_picture_make_no_difference(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(5)
    image = rng.normal(128, 60, (3, 36, 20)).astype(np.float32)
    means = rng.integers(0, 256, (3, 9, 5)).astype(np.uint8)
    whole = with_means(image, means, 4)
    monkeypatch.setattr("rsaug.compositing._STRIP_PX", 2 * 20 * 4)
    np.testing.assert_array_equal(with_means(image, means, 4), whole)


def test_back_projection_draws_the_means_near() -> None:
    rng = np.random.default_rng(1)
    means = rng.integers(60, 200, (3, 16, 16)).astype(np.uint8)
    rough = enlarge(means, 4)
    before = np.abs(reduce(rough, 4) - means).mean()
    assert np.abs(reduce(back_project(rough, means, 4), 4) - means).mean() < before / 10


def test_enlarging_keeps_the_place() -> None:
    ramp = np.tile(np.arange(16, dtype=np.float32), (3, 16, 1))
    inside = enlarge(ramp, 2)[0, 10, 8:-8]
    np.testing.assert_allclose(inside, np.arange(8, 24) / 2 - 0.25, atol=1e-4)


def test_a_picture_without_whole_blocks_is_refused() -> None:
    with pytest.raises(InputError, match="6 x 5 pixels has no whole blocks of 2"):
        reduce(np.zeros((3, 5, 6), dtype=np.uint8), 2)


def test_outside_the_mask_nothing_changes() -> None:
    rng = np.random.default_rng(2)
    original, made = rng.integers(0, 256, (2, 3, 60, 60)).astype(np.uint8)
    mask = np.zeros((60, 60), dtype=bool)
    mask[10:50, 10:50] = True
    pasted = paste(original, made, mask)
    np.testing.assert_array_equal(pasted[:, ~mask], original[:, ~mask])
    # Deep inside, it is what was made.
    np.testing.assert_array_equal(pasted[:, 30, 30], made[:, 30, 30])


def test_the_seam_has_no_step() -> None:
    original = np.full((3, 64, 64), 150, dtype=np.uint8)
    made = np.full((3, 64, 64), 110, dtype=np.uint8)
    mask = np.zeros((64, 64), dtype=bool)
    mask[:, 32:] = True
    row = paste(original, made, mask)[0, 30].astype(int)
    assert row[31] == 150
    assert row[-1] == 110
    assert np.abs(np.diff(row)).max() <= 5


def test_an_empty_and_a_full_mask() -> None:
    original, made = np.zeros((3, 8, 8), np.uint8), np.full((3, 8, 8), 9, np.uint8)
    np.testing.assert_array_equal(paste(original, made, np.zeros((8, 8), bool)), original)
    np.testing.assert_array_equal(paste(original, made, np.ones((8, 8), bool)), made)


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(InputError, match="do not fit each other"):
        paste(np.zeros((3, 8, 8), np.uint8), np.zeros((3, 8, 9), np.uint8), np.ones((8, 8), bool))


def test_colours_become_those_of_another_picture() -> None:
    rng = np.random.default_rng(3)
    mix = rng.normal(size=(3, 3))
    image = rng.normal(120, 30, (3, 40, 50)).astype(np.float32)
    like = (np.tensordot(mix, rng.normal(0, 10, (3, 20, 30)), 1) + 90).astype(np.float32)
    moved = recolour(image, like)
    colours, wanted = moved.reshape(3, -1), like.reshape(3, -1)
    np.testing.assert_allclose(colours.mean(1), wanted.mean(1), atol=1e-3)
    np.testing.assert_allclose(np.cov(colours), np.cov(wanted), atol=1.0)
    np.testing.assert_allclose(recolour(image, image), image, atol=1e-2)
    np.testing.assert_allclose(recolour(image, like, 0.5), (image + moved) / 2, atol=1e-3)


def test_one_colour_is_moved_to_one_colour() -> None:
    grey = np.full((3, 8, 8), 100, np.uint8)
    np.testing.assert_allclose(recolour(grey, np.full((3, 4, 4), 30, np.uint8)), 30, atol=1e-3)
