"""Control stacks in files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import rasterio
from strategies import UTM

from rsaug.conditions.stack import ControlStack
from rsaug.errors import InputError
from rsaug.grid import TileGrid
from rsaug.raster import write_cog
from rsaug.stackfile import read_stack, write_stack

TILE = TileGrid(UTM, 0.6, 32).tile(-20_000, 1000)


def test_a_stack_comes_back_with_its_flags(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    road = rng.integers(0, 2, TILE.shape)
    stack = ControlStack.from_maps(
        TILE.shape, road=road, seg=rng.random((3, *TILE.shape)), sketch=np.ones(TILE.shape)
    )
    write_stack(tmp_path / "a.tif", stack, TILE, {"RSAUG_KEY": "k"})
    again = read_stack(tmp_path / "a.tif")
    assert again.present == stack.present
    assert again.given == ("sketch", "road", "seg")
    np.testing.assert_array_equal(again.maps, stack.maps)
    with rasterio.open(tmp_path / "a.tif") as src:
        assert src.tags()["RSAUG_KEY"] == "k"
        assert src.tags(10)["MEANING"] == "Roads: 1 on the surface of a road"
        assert src.tags(1)["GIVEN"] == "NO"


def test_other_rasters_are_no_stack(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    write_cog(path, np.zeros((18, 32, 32), np.float32), TILE)
    with pytest.raises(InputError, match="is no control stack: its bands are"):
        read_stack(path)
    with pytest.raises(InputError, match="cannot be read"):
        read_stack(tmp_path / "none.tif")


def test_numbers_out_of_range_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    write_stack(path, ControlStack.from_maps(TILE.shape, road=np.ones(TILE.shape)), TILE)
    with rasterio.open(path, "r+", IGNORE_COG_LAYOUT_BREAK="YES") as dst:
        dst.write(np.full((32, 32), 7, np.float32), 10)
    with pytest.raises(InputError, match="'road' ranges from 1 to 7"):
        read_stack(path)
