"""DeepGlobe's road tiles."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from roaddata import image_and_mask, make_deepglobe

from rsaug.downstream.datasets import DataNotFound, DeepGlobeRoads
from rsaug.errors import InputError


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """24 tiles."""
    return make_deepglobe(tmp_path_factory.mktemp("made") / "deepglobe")


def test_every_tile_is_in_one_split(folder: Path) -> None:
    parts = {
        split: {tile.name for tile in DeepGlobeRoads(folder, split, val=0.3, test=0.3).tiles}
        for split in ("train", "val", "test")
    }
    names = [name for part in parts.values() for name in part]
    assert len(names) == len(set(names)) == 24
    assert all(len(part) > 2 for part in parts.values())
    again = DeepGlobeRoads(folder, "test", val=0.3, test=0.3, seed=1)
    assert {tile.name for tile in again.tiles} != parts["test"]


def test_more_to_validate_on_takes_nothing_from_the_test(folder: Path) -> None:
    few, many = (DeepGlobeRoads(folder, "test", val=val, test=0.3) for val in (0.1, 0.5))
    assert [tile.name for tile in few.tiles] == [tile.name for tile in many.tiles]


def test_grey_masks_are_cut_at_the_middle(folder: Path) -> None:
    tiles = DeepGlobeRoads(folder, val=0, test=0)
    for number in (0, 3):
        mask = image_and_mask(number)[1]
        np.testing.assert_array_equal(tiles[number]["mask"].numpy(), mask // 255)


def test_a_mask_that_is_missing(tmp_path: Path) -> None:
    folder = make_deepglobe(tmp_path / "roads", tiles=3)
    (folder / "train" / "1001_mask.png").unlink()
    with pytest.raises(DataNotFound, match=r"1 of 3 images .* 1001_sat\.jpg for one"):
        DeepGlobeRoads(folder)


def test_what_goes_where_is_said(tmp_path: Path) -> None:
    with pytest.raises(DataNotFound, match=r"<root>/train/<id>_sat\.jpg"):
        DeepGlobeRoads(tmp_path)
    (tmp_path / "train").mkdir()
    with pytest.raises(DataNotFound, match=r"holds no \*_sat\.jpg"):
        DeepGlobeRoads(tmp_path)


def test_shares_that_leave_nothing(folder: Path) -> None:
    with pytest.raises(InputError, match="leave nothing to train on"):
        DeepGlobeRoads(folder, val=0.5, test=0.5)
    with pytest.raises(InputError, match="no split 'valid'"):
        DeepGlobeRoads(folder, "valid")
    with pytest.raises(DataNotFound, match="None of the 24 tiles"):
        DeepGlobeRoads(folder, "val", val=0.0)
