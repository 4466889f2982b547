"""Grids of pixels, and what a sample says of its place."""

from __future__ import annotations

import pandas as pd
import pytest
from affine import Affine
from hypothesis import given
from hypothesis import strategies as st
from pyproj import CRS
from torchgeo.datasets import DatasetNotFoundError

from rsaug.downstream.datasets.contract import DataNotFound, PixelGrid, queried_grid
from rsaug.errors import InputError

UTM = CRS.from_epsg(32635)
WHEN = slice(pd.Timestamp(2018, 1, 1), pd.Timestamp(2019, 1, 1), 1)


def grid(left: float = 385_536.0, top: float = 6_671_769.6, side: float = 0.6) -> PixelGrid:
    return PixelGrid(UTM, Affine(side, 0, left, 0, -side, top), (256, 200))


@given(row=st.integers(-300, 300), col=st.integers(-300, 300))
def test_offset_is_where_a_window_was_cut(row: int, col: int) -> None:
    part = grid().window(row, col, (7, 9))
    assert grid().offset(part) == (row, col)
    assert part.shape == (7, 9)


@pytest.mark.parametrize(
    "other",
    [
        grid(left=385_536.3),
        grid(side=0.5),
        PixelGrid(CRS.from_epsg(32636), grid().transform, (2, 2)),
    ],
    ids=["between", "of another size", "in another CRS"],
)
def test_other_pixels_have_no_offset(other: PixelGrid) -> None:
    assert grid().offset(other) is None


def test_a_query_asks_for_its_pixels() -> None:
    left, bottom, right, top = grid().bounds
    asked = queried_grid((slice(left, right, 0.6), slice(bottom, top, 0.6), WHEN), UTM)
    assert asked.shape == (256, 200)
    assert asked.bounds == pytest.approx(grid().bounds)


def test_a_query_without_a_pixel_is_refused() -> None:
    with pytest.raises(InputError, match="0 x 10 pixels"):
        queried_grid((slice(0, 10, 1), slice(5, 5, 1), WHEN), UTM)


def test_missing_data_is_torchgeos_error_and_ours() -> None:
    error = DataNotFound("no tiles in here")
    assert isinstance(error, DatasetNotFoundError)
    assert isinstance(error, FileNotFoundError)
    assert isinstance(error, InputError)
    assert str(error) == "no tiles in here"
