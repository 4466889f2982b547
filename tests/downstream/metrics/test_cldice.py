"""clDice by hand and by counting pixels."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from rsaug.downstream.graph.skeleton import skeleton
from rsaug.downstream.metrics import cldice_counts, relaxed_scores
from rsaug.errors import InputError


def drawn(text: str) -> NDArray[np.uint8]:
    """One mask (1, rows, cols) of a picture of dots and hashes."""
    rows = [[cell == "#" for cell in row] for row in text.split()]
    return np.array([rows], dtype=np.uint8)


TRUE = drawn("""
.........
.#######.
.........
.........
""")


def test_lines_of_one_pixel_are_their_own_skeletons() -> None:
    # Four of seven pixels are found; three of the seven found ones are on another line.
    found = drawn("""
    .........
    .####....
    .........
    .###.....
    """)
    assert cldice_counts(found, TRUE).tolist() == [[4, 7, 4, 7]]
    assert relaxed_scores(cldice_counts(found, TRUE)).tolist() == [[4 / 7, 4 / 7, 4 / 7]]


def test_a_wide_road_is_right_where_its_middle_is() -> None:
    # Three rows wide around the true line: the middle lies on it, and all of it is covered.
    found = drawn("""
    .#######.
    .#######.
    .#######.
    .........
    """)
    on, of, reached, true = cldice_counts(found, TRUE)[0].tolist()
    # The thinning leaves the middle at one end, by one pixel.
    assert (on, of) == (5, 6)
    assert reached == true == 7


def test_a_gap_costs_more_than_the_pixels_that_it_lacks() -> None:
    wide = np.zeros((1, 21, 60), np.uint8)
    wide[:, 8:13, 2:58] = 1
    thin = wide.copy()
    thin[:, 8:10] = 0
    gap = wide.copy()
    gap[:, :, 28:34] = 0
    precise, sensitive, mean = relaxed_scores(cldice_counts(gap, wide))[0]
    assert precise == 1
    assert sensitive < 0.95
    # As much road is missing, but nowhere all of it.
    assert relaxed_scores(cldice_counts(thin, wide))[0][2] > 0.98 > mean


def test_counts_are_those_of_pixels_and_are_added_over_tiles() -> None:
    rng = np.random.default_rng(0)
    found, true = (rng.random((2, 3, 24, 24)) < 0.4).astype(np.uint8)
    counts = cldice_counts(found, true)
    for k in range(3):
        ours = {*map(tuple, np.argwhere(skeleton(found[k] > 0)).tolist())}
        theirs = {*map(tuple, np.argwhere(skeleton(true[k] > 0)).tolist())}
        road, label = ({*map(tuple, np.argwhere(m[k]).tolist())} for m in (found, true))
        expected = [len(ours & label), len(ours), len(theirs & road), len(theirs)]
        assert counts[k].tolist() == expected
    back = cldice_counts(true, found)
    np.testing.assert_array_equal(back[:, [2, 3, 0, 1]], counts)


def test_where_there_is_no_road() -> None:
    empty = np.zeros_like(TRUE)
    assert np.isnan(relaxed_scores(cldice_counts(empty, empty))).all()
    assert relaxed_scores(cldice_counts(empty, TRUE))[0][1:].tolist() == [0, 0]


def test_what_is_no_mask_is_refused() -> None:
    with pytest.raises(InputError, match="255"):
        cldice_counts(TRUE * 255, TRUE)
