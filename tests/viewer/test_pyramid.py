"""Tiles of the web from images without overviews, against looking pixels up one by one."""

from __future__ import annotations

import math
import threading
from collections.abc import Mapping
from itertools import product

import hypothesis.extra.numpy as hnp
import numpy as np
import pyproj
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from rsaug.viewer.cache import ENTRY_BYTES, Cache
from rsaug.viewer.catalogue import GridKey
from rsaug.viewer.pyramid import Caches, Cell, Pyramid
from rsaug.viewer.webtiles import WebTile, halved, zoom_of

SIDE = 64
GRID = GridKey("EPSG:32635", 0.5, (SIDE, SIDE), (0.0, 0.0))
FIRST = (-208_500, 12_000)  # 6,672,000 north, 384,000 east
SQUARE = [(FIRST[0] + row, FIRST[1] + col) for row, col in product(range(4), range(4))]


def images(cells: list[Cell]) -> dict[str, NDArray[np.uint8]]:
    """A picture of its own for each cell, by name."""
    rng = np.random.default_rng(0)
    return {f"{cell}": rng.integers(1, 255, (3, SIDE, SIDE), dtype=np.uint8) for cell in cells}


def pyramid(pixels: Mapping[str, NDArray[np.uint8]], cells: list[Cell]) -> Pyramid:
    names = {cell: f"{cell}" for cell in cells}
    return Pyramid("p", GRID, names, 3, pixels.get, Caches.of(1 << 26, 1 << 26))


def tile_at(cell: Cell, zoom: int) -> WebTile:
    """The tile of the web with the middle of a cell."""
    x, y = (cell[1] + 0.5) * SIDE * 0.5, -(cell[0] + 0.5) * SIDE * 0.5
    east, north = pyproj.Transformer.from_crs(32635, 3857, always_xy=True).transform(x, y)
    side = 2 * math.pi * 6378137 / 2**zoom
    return WebTile(zoom, int((east / side) + 2**zoom / 2), int(2**zoom / 2 - north / side))


def sampled(pixels: Mapping[str, NDArray[np.uint8]], tile: WebTile) -> NDArray[np.int64]:
    """The tile by looking each of its pixels up, -1 where there is nothing."""
    left, _, right, top = tile.box
    steps = (np.arange(256) + 0.5) * (right - left) / 256
    east, north = np.meshgrid(left + steps, top - steps)
    x, y = pyproj.Transformer.from_crs(3857, 32635, always_xy=True).transform(east, north)
    cols, rows = np.floor(x / 0.5).astype(int), np.floor(-y / 0.5).astype(int)
    out = np.full((3, 256, 256), -1)
    for cell in np.unique(np.stack([rows, cols]).reshape(2, -1) // SIDE, axis=1).T.tolist():
        cell = tuple(cell)
        if f"{cell}" in pixels:
            here = (rows // SIDE == cell[0]) & (cols // SIDE == cell[1])
            out[:, here] = pixels[f"{cell}"][:, rows[here] % SIDE, cols[here] % SIDE]
    return out


def test_a_tile_shows_the_pixels_that_lie_there() -> None:
    pixels = images(SQUARE)
    tile = tile_at(SQUARE[0], 20)
    found = pyramid(pixels, SQUARE).tile(tile)
    assert found is not None
    wanted = sampled(pixels, tile)
    there = wanted[0] >= 0
    assert there.mean() > 0.1
    # GDAL follows the projection to an eighth of a pixel.
    assert ((found[3] == 255) == there).mean() > 0.99
    assert (found[:3] == wanted).all(axis=0)[there].mean() > 0.97


def test_overviews_are_means_of_what_they_cover() -> None:
    pixels = images(SQUARE)
    shown = pyramid(pixels, SQUARE)
    whole = np.concatenate(
        [np.concatenate([pixels[f"{c}"] for c in SQUARE[4 * r : 4 * r + 4]], 2) for r in range(4)],
        1,
    )
    for zoom in (14, 12, 10):
        found = shown.tile(tile_at(SQUARE[5], zoom))
        assert found is not None
        weight = found[3].astype(float)
        mean = (found[:3] * weight).sum(axis=(1, 2)) / weight.sum()
        assert mean == pytest.approx(whole.mean(axis=(1, 2)), abs=4)


def test_tiles_far_apart_are_one_picture() -> None:
    far = [FIRST, (FIRST[0] + 300_000, FIRST[1] + 9_000)]
    shown = pyramid(images(far), far)
    for cell in far:
        found = shown.tile(tile_at(cell, 18))
        assert found is not None
        assert found[3].any()
    assert shown.tile(tile_at((FIRST[0] + 20, FIRST[1]), 18)) is None


def test_what_was_read_ahead_is_not_read_again() -> None:
    pixels, reads = images(SQUARE), []

    def read(name: str) -> NDArray[np.uint8]:
        reads.append(name)
        return pixels[name]

    names = {cell: f"{cell}" for cell in SQUARE}
    shown = Pyramid("p", GRID, names, 3, read, Caches.of(1 << 26, 1 << 26))
    for work in shown.read_ahead():
        work()
    for zoom in range(8, 20):
        shown.tile(tile_at(SQUARE[0], zoom))
    assert sorted(reads) == sorted(names.values())


def test_what_is_looked_at_stays_while_the_others_are_read_ahead() -> None:
    pixels, reads = images(SQUARE), []

    def read(name: str) -> NDArray[np.uint8]:
        reads.append(name)
        return pixels[name]

    room = 5 * (4 * SIDE * SIDE + ENTRY_BYTES)
    names = {cell: f"{cell}" for cell in SQUARE}
    shown = Pyramid("p", GRID, names, 3, read, Caches.of(room, 1 << 26))
    tile = tile_at(SQUARE[-1], 21)
    first = shown.tile(tile)
    seen = len(reads)
    assert 0 < seen < 5
    for work in [*shown.read_ahead()][: len(SQUARE)]:
        work()
    # Each was read once, and that one is still there.
    assert sorted(reads) == sorted(names.values())
    again = shown.tile(tile)
    assert len(reads) == len(SQUARE)
    assert first is not None
    assert again is not None
    assert np.array_equal(first, again)


def test_an_image_that_cannot_be_read_is_a_hole() -> None:
    pixels = images(SQUARE)
    broken = {**pixels, f"{SQUARE[0]}": np.zeros((3, 8, 8), dtype=np.uint8)}
    del broken[f"{SQUARE[1]}"]
    found = pyramid(broken, SQUARE).tile(tile_at(SQUARE[5], 16))
    assert found is not None
    assert found[3].any()
    assert not pyramid(broken, SQUARE[:2]).tile(tile_at(SQUARE[0], 19))


@pytest.mark.parametrize("zoom", [0, 3, 24])
def test_far_away_there_is_nothing(zoom: int) -> None:
    shown = pyramid(images(SQUARE), SQUARE)
    last = 2**zoom - 1
    for x, y in product((0, last), (0, last)):
        found = shown.tile(WebTile(zoom, x, y))
        assert zoom == 0 or found is None


@given(hnp.arrays(np.uint8, (3, 6, 4)), st.booleans())
def test_half_the_size_is_the_mean_of_what_is_there(pixels: NDArray[np.uint8], full: bool) -> None:
    pixels[-1] = 255 if full else np.where(pixels[-1] > 99, 255, 0)
    found = halved(pixels)
    for row, col in product(range(3), range(2)):
        four = pixels[:, 2 * row : 2 * row + 2, 2 * col : 2 * col + 2].astype(float)
        weight = four[-1].sum()
        assert abs(found[-1, row, col] - four[-1].mean()) <= 0.5
        for band in range(2):
            wanted = (four[band] * four[-1]).sum() / weight if weight else 0
            assert abs(found[band, row, col] - wanted) <= 0.5


def test_zoom_is_where_pixels_are_as_large() -> None:
    assert zoom_of(2 * math.pi * 6378137 / 256) == 0
    assert zoom_of(2 * math.pi * 6378137 / 256 / 2**18) == pytest.approx(18)


def test_two_who_ask_at_once_wait_for_one_computation() -> None:
    cache: Cache[int] = Cache(100, lambda value: 1)
    begun, go, made = threading.Event(), threading.Event(), []

    def make() -> int:
        begun.set()
        go.wait(10)
        made.append(1)
        return 7

    found: list[int] = []
    threads = [threading.Thread(target=lambda: found.append(cache.get("k", make))) for _ in "ab"]
    threads[0].start()
    begun.wait(10)
    threads[1].start()
    go.set()
    for thread in threads:
        thread.join(10)
    assert (found, made) == ([7, 7], [1])


def test_what_was_not_asked_for_the_longest_goes_first() -> None:
    cache: Cache[bytes] = Cache(3 * (1 + ENTRY_BYTES), len)
    for key in "abca":
        cache.get(key, lambda: b"x")
    cache.get("d", lambda: b"x")
    assert [key in cache for key in "abcd"] == [True, False, True, True]
    with pytest.raises(ZeroDivisionError):
        cache.get("e", lambda: bytes(1 // 0))
    assert cache.get("e", lambda: b"y") == b"y"


def test_what_is_spare_takes_no_room_of_others() -> None:
    cache: Cache[bytes] = Cache(2 * (1 + ENTRY_BYTES), len)
    for key in "abc":
        assert cache.get(key, lambda: b"x", spare=True) == b"x"
    assert [key in cache for key in "abc"] == [True, True, False]
    cache.get("c", lambda: b"x")
    assert [key in cache for key in "abc"] == [False, True, True]


def test_values_of_no_size_are_not_kept_without_an_end() -> None:
    cache: Cache[None] = Cache(10 * ENTRY_BYTES, lambda nothing: 0)
    for key in range(100):
        cache.get(key, lambda: None)
    assert [key for key in range(100) if key in cache] == [*range(90, 100)]
