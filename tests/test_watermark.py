"""The watermark: seen by nobody, found by its name, and by no other."""

from __future__ import annotations

import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from rsaug.errors import InputError
from rsaug.watermark import CHANCE, PERIOD, find, mark, pattern, watermark_id


def ground(size: int = 256, seed: int = 0) -> NDArray[np.uint8]:
    """Something like a photograph: a fractal, stronger the lower the frequency."""
    rng = np.random.default_rng(seed)
    rows, cols = np.fft.fftfreq(size)[:, None], np.fft.rfftfreq(size)[None]
    frequency = np.maximum(np.hypot(rows, cols), 1 / size)
    noise = np.fft.rfft2(rng.normal(size=(3, size, size))) / frequency**1.1
    image = np.fft.irfft2(noise, s=(size, size))
    image = 120 + 35 * image / image.std()
    levels: NDArray[np.uint8] = np.clip(np.rint(image), 0, 255).astype(np.uint8)
    return levels


def encoded(image: NDArray[np.uint8], quality: int) -> NDArray[np.uint8]:
    """The image after JPEG."""
    file = io.BytesIO()
    Image.fromarray(image.transpose(1, 2, 0)).save(file, "JPEG", quality=quality)
    return np.asarray(Image.open(io.BytesIO(file.getvalue()))).transpose(2, 0, 1)


def resized(image: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
    picture = Image.fromarray(image.transpose(1, 2, 0))
    return np.asarray(picture.resize((size, size), Image.Resampling.BICUBIC)).transpose(2, 0, 1)


def psnr_db(one: NDArray[np.uint8], other: NDArray[np.uint8]) -> float:
    return float(20 * np.log10(255 / np.sqrt(((one.astype(float) - other) ** 2).mean())))


@pytest.mark.parametrize("seed", range(4))
def test_it_is_faint_and_is_found_by_its_name_alone(seed: int) -> None:
    image = ground(seed=seed)
    marked = mark(image, "town", 700, -300)
    assert psnr_db(image, marked) > 44
    trace = find(marked, "town")
    assert trace.found
    assert trace.chance < 1e-20
    assert trace.shift == (700 % PERIOD, -300 % PERIOD)
    for other in ("Town", "town ", "village"):
        assert not find(marked, other).found
    assert not find(image, "town").found


@pytest.mark.parametrize("quality", [90, 75, 50])
def test_it_outlives_what_is_done_to_pictures(quality: int) -> None:
    marked = mark(ground(), "town")
    assert find(encoded(marked, quality), "town").found
    assert find(encoded(marked[:, 17:209, 40:232], quality), "town").found


def test_it_outlives_noise_and_a_change_of_brightness() -> None:
    marked = mark(ground(), "town")
    noise = np.random.default_rng(5).normal(0, 8, marked.shape)
    noisy = np.clip(marked * 0.8 + 20 + noise, 0, 255).astype(np.uint8)
    assert find(noisy, "town").found


@pytest.mark.parametrize("scale", [0.5, 0.75, 1.5])
def test_it_is_found_in_another_size_where_that_is_tried(scale: float) -> None:
    marked = mark(ground(), "town")
    small = resized(marked, round(256 * scale))
    assert not find(small, "town").found
    trace = find(small, "town", scales=(0.5, 0.75, 1, 1.5))
    assert trace.found
    assert trace.scale == scale


def test_tiles_are_marked_as_parts_of_one_ground() -> None:
    whole = ground(384)
    marked = mark(whole, "town", 1000, 2000)
    for row, col in ((0, 0), (96, 192), (288, 96)):
        part = whole[:, row : row + 96, col : col + 96]
        expected = marked[:, row : row + 96, col : col + 96]
        np.testing.assert_array_equal(mark(part, "town", 1000 + row, 2000 + col), expected)


def test_the_bound_on_chance_holds() -> None:
    # Of 400 names about as many as the bound says, or fewer, score so high in one image.
    image = ground(128)
    chances = np.array([find(image, f"name {k}").chance for k in range(400)])
    assert (chances < CHANCE).sum() == 0
    for level in (0.01, 0.1, 0.5):
        assert (chances < level).mean() <= level
    # It is not so wide a bound that nothing could be told by it.
    assert (chances < 1).mean() > 0.01


def test_an_image_without_content_bears_no_name() -> None:
    for value in (0, 128, 255):
        flat = np.full((3, 64, 64), value, np.uint8)
        assert find(flat, "town").chance == 1
    # The pattern alone is found, also where half of it is cut off at black.
    assert find(mark(np.zeros((3, 64, 64), np.uint8), "town"), "town").found


@settings(max_examples=20, deadline=None)
@given(
    name=st.text(st.characters(codec="utf-8"), min_size=1, max_size=30),
    rows=st.integers(1, 70),
    cols=st.integers(1, 70),
    row=st.integers(-(2**40), 2**40),
)
def test_any_name_marks_any_image_a_little(name: str, rows: int, cols: int, row: int) -> None:
    image = np.full((3, rows, cols), 100, np.uint8)
    added = mark(image, name, row, -row).astype(int) - 100
    assert np.abs(added).max() <= 10
    assert (added[0] == added[1]).all()
    assert added[0, 0, 0] == pattern(name)[row % PERIOD, -row % PERIOD]


def test_the_pattern_of_a_name_is_fixed_for_good() -> None:
    # Another pattern would make the watermarks of all images made by now unfindable.
    assert pattern("rsaug").dtype == np.int16
    assert pattern("rsaug")[0, :8].tolist() == [1, 1, 1, 4, 5, 1, -3, -2]
    assert watermark_id("rsaug") == "spread-spectrum-1:3fe3f7029f5bc47b1e6c2520ec7adf7d"
    assert abs(pattern("rsaug").mean()) < 0.05
    assert 1.4 < pattern("rsaug").std() < 1.6


def test_what_cannot_be_looked_at_is_refused() -> None:
    with pytest.raises(InputError, match="too small"):
        find(np.zeros((3, 31, 200), np.uint8), "town")
    for scales in ((), (0.0,), (1.0, -1.0)):
        with pytest.raises(InputError, match="Scales must be above 0"):
            find(np.zeros((3, 64, 64), np.uint8), "town", scales)
    with pytest.raises(InputError, match="needs a name"):
        watermark_id("  ")
