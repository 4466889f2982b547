"""Edge and relief controls from images: known lines, borders, real tiles."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray
from scipy import ndimage

from rsaug.conditions.image_edges import (
    BORDER_PX,
    line_segments,
    relief,
    sketch_strokes,
    soft_edges,
)
from rsaug.conditions.stack import ControlStack
from rsaug.errors import InputError
from rsaug.raster import read_rgb

Image = NDArray[np.uint8]
FILTERS: list[Callable[[Image], NDArray[np.float32]]] = [soft_edges, sketch_strokes, relief]


def roof() -> Image:
    """A light roof of 40 by 30 pixels on dark ground, 100 by 90."""
    image = np.full((90, 100, 3), 60, dtype=np.uint8)
    image[30:60, 30:70] = 180
    return image


@pytest.fixture(scope="module")
def aerial(data_dir: Path) -> list[Image]:
    """Real tiles of the validation places."""
    folder = data_dir / "naip-roads"
    index = pd.read_csv(folder / "index.csv")
    names = index.loc[index["split"] == "val", "id"].head(4)
    return [np.moveaxis(read_rgb(folder / "rgb" / f"{name}.tif"), 0, -1) for name in names]


def noise() -> Image:
    rng = np.random.default_rng(5)
    rough = ndimage.gaussian_filter(rng.normal(0, 400, (150, 160, 3)), (2, 2, 0)) + 128
    image: Image = np.clip(rough, 0, 255).astype(np.uint8)
    return image


def test_soft_edges_are_the_gradient() -> None:
    found = soft_edges(roof())
    # Across a step of 120 grey levels: 120 times a Gaussian, over 40 levels a pixel.
    off = np.arange(-5, 5) + 0.5
    expected = np.clip(120 * np.exp(-(off**2) / 4.5) / (1.5 * np.sqrt(2 * np.pi)) / 40, 0, 1)
    np.testing.assert_allclose(found[45, 25:35], expected, atol=0.05)
    assert found.dtype == np.float32
    assert not found[:15].any()


def test_line_segments_are_the_walls() -> None:
    pytest.importorskip("cv2")
    found = line_segments(roof())
    row, col = np.mgrid[:90, :100] + 0.5
    to_wall = np.maximum(abs(row - 45) - 15, abs(col - 50) - 20)
    near = (abs(to_wall) <= 1.5) & (row > 28) & (row < 62)
    assert set(np.unique(found)) == {0, 1}
    assert not found[~near].any()
    # 140 pixels around; segments stop a little short of the corners.
    assert 110 <= found.sum() <= 150
    assert not line_segments(roof(), shortest_px=60).any()


def test_a_slanted_line_is_found_where_it_is() -> None:
    pytest.importorskip("cv2")
    row, col = np.mgrid[:120, :120] + 0.5
    image = np.where(row - 0.4 * col > 30, 200, 50).astype(np.uint8)
    found = line_segments(np.dstack([image] * 3))
    off = abs(row - 0.4 * col - 30) / np.hypot(1, 0.4)
    assert found.sum() > 100
    assert off[found > 0].max() < 1.2


def test_nothing_to_find_is_the_ground_of_each_map() -> None:
    pytest.importorskip("cv2")
    plain = np.full((40, 50, 3), 90, dtype=np.uint8)
    assert not line_segments(plain).any()
    assert not soft_edges(plain).any()
    assert (sketch_strokes(plain) == 1).all()
    np.testing.assert_allclose(relief(plain), 0.5, atol=1e-5)


def test_strokes_run_along_the_walls_two_pixels_wide() -> None:
    ink = 1 - sketch_strokes(roof())
    assert ink.min() >= 0
    assert ink.max() == 1
    assert 1.5 < ink[45, 20:40].sum() < 2.5
    assert ink[45, 29:31].max() == 1
    assert not ink[:25].any()
    assert not ink[36:54, 36:64].any()


def test_strokes_see_a_colour_that_grey_does_not() -> None:
    image = np.full((40, 60, 3), 100, dtype=np.uint8)
    image[:, 30:] = (160, 69, 101)
    assert sketch_strokes(image)[20, 28:32].min() < 0.5


def test_relief_is_light_on_roofs_and_dark_beside_them() -> None:
    found = relief(roof())
    assert found[45, 35] > 0.7
    assert found[45, 27] < 0.3
    assert found[3, 3] == pytest.approx(0.5, abs=0.05)


@pytest.mark.parametrize("make", FILTERS)
def test_tiles_agree_with_the_mosaic_away_from_their_border(
    make: Callable[[Image], NDArray[np.float32]],
) -> None:
    border = BORDER_PX[make.__name__]
    image = noise()
    whole, part = make(image), make(image[17:137, 9:149])
    inner = np.s_[border:-border, border:-border]
    np.testing.assert_allclose(part[inner], whole[17:137, 9:149][inner], atol=1e-5)


@pytest.mark.parametrize("make", [*FILTERS, line_segments])
def test_real_tiles_fill_their_slots(make: Callable[[Image], Image], aerial: list[Image]) -> None:
    if make is line_segments:
        pytest.importorskip("cv2")
    for image in aerial:
        found = make(image)
        assert len(np.unique(found)) > 1
        ControlStack.from_maps(image.shape[:2], hed=found)


@pytest.mark.parametrize("make", [line_segments, sketch_strokes, relief])
def test_what_is_no_image_is_refused(make: Callable[[Image], Image]) -> None:
    for wrong in (
        np.zeros((3, 20, 20), np.uint8),
        np.zeros((20, 20, 3)),
        np.zeros((0, 5, 3), "u1"),
    ):
        with pytest.raises(InputError, match="An image is a uint8 array"):
            make(wrong)  # type: ignore[arg-type]


def test_without_opencv_the_line_that_installs_it_is_named() -> None:
    program = (
        "import sys; sys.modules['cv2'] = None\n"
        "import numpy as np\n"
        "from rsaug.conditions.image_edges import line_segments\n"
        "from rsaug.optional import MissingExtra\n"
        "try: line_segments(np.zeros((9, 9, 3), np.uint8))\n"
        "except MissingExtra as error: print(error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert "pip install 'rsaug[image]'" in done.stdout
