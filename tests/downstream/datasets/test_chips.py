"""Windows of tiles."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from roaddata import SIDE, make_massachusetts, road_columns

from rsaug.downstream.datasets import MassachusettsRoads, SyntheticRoads
from rsaug.downstream.datasets.chips import cut
from rsaug.errors import InputError
from rsaug.grid import to_lonlat


@pytest.fixture(scope="module")
def tiles(tmp_path_factory: pytest.TempPathFactory) -> MassachusettsRoads:
    """Four tiles of 64 px, of which the last has no road."""
    return MassachusettsRoads(make_massachusetts(tmp_path_factory.mktemp("made") / "roads"))


@given(st.integers(1, 90), st.integers(1, 90), st.integers(1, 90))
def test_windows_cover_a_tile(rows: int, cols: int, size: int) -> None:
    if size > min(rows, cols):
        with pytest.raises(InputError, match="give a smaller chip size"):
            cut("t", (rows, cols), size)
        return
    covered = np.zeros((rows, cols), dtype=int)
    windows = cut("t", (rows, cols), size)
    for window in windows:
        part = covered[window.toslices()]
        assert part.shape == (size, size)
        part += 1
    assert covered.min() == 1
    assert len(windows) == -(-rows // size) * -(-cols // size)


def test_windows_are_parts_of_the_tile(tiles: MassachusettsRoads) -> None:
    chips = tiles.chips(40)
    assert len(chips) == 4 * len(tiles)
    whole, last = tiles[0], chips[3]
    assert whole["image"].shape == (3, SIDE, SIDE)
    assert (last["image"] == whole["image"][:, 24:, 24:]).all()
    assert (last["mask"] == whole["mask"][24:, 24:]).all()
    assert chips.names[:4] == [tiles.tiles[0].name] * 4


def test_which_hold_a_road(tiles: MassachusettsRoads) -> None:
    assert tiles.chips().holds_road().tolist() == [True, True, True, False]
    right = [road_columns(number).stop > 32 for number in range(4)]
    expected = [[number < 3, number < 3 and right[number]] * 2 for number in range(4)]
    assert tiles.chips(32).holds_road().reshape(4, 4).tolist() == expected


def test_a_part_of_the_items(tiles: MassachusettsRoads) -> None:
    chips = tiles.chips(32)
    chips.holds_road()
    part = chips.take([5, 0])
    assert len(part) == 2
    assert (part[0]["image"] == chips[5]["image"]).all()
    assert part.holds_road().tolist() == chips.holds_road()[[5, 0]].tolist()


def test_white_windows_are_left_out(tmp_path: Path) -> None:
    folder = make_massachusetts(tmp_path / "roads", tiles=1)
    path = next((folder / "train" / "sat").iterdir())
    image = np.array(Image.open(path))
    image[:, 32:] = 255
    Image.fromarray(image).save(path)
    chips = MassachusettsRoads(folder).chips(32)
    kept = chips.without_blank()
    assert [window.col_off for _, window in kept.windows] == [0, 0]


def test_scores_that_are_not_known(tiles: MassachusettsRoads) -> None:
    with pytest.raises(InputError, match="4 of 4 tiles have no 'quality'; known is nothing"):
        tiles.chips().scores("quality")


def test_footprints_lie_where_the_windows_lie(painted: Path, tiles: MassachusettsRoads) -> None:
    run = SyntheticRoads(painted, variants=[0])
    left, _, right, top = run.tiles[0].grid.bounds  # type: ignore[union-attr]
    lon, lat = to_lonlat(run.crs).transform((left + right) / 2, top)
    first, second, *_ = run.chips(32).footprints()
    assert first.distance(second) == 0
    assert first.exterior.coords[2] == pytest.approx((lon, lat), abs=1e-9)
    assert all(outline is None for outline in tiles.chips().footprints())
