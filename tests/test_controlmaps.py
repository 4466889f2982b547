"""`rsaug.control_maps`: what ``rsaug conditions`` writes, as arrays."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pytest
import rasterio
from painter import write_roads, write_wood

import rsaug
from rsaug.conditioning import make_conditions_plan, write_conditions
from rsaug.controlmaps import MapSequence
from rsaug.options import ConditionsOptions
from rsaug.stackfile import read_stack


@pytest.fixture
def layers(tmp_path: Path) -> dict[str, Path]:
    roads = write_roads(tmp_path / "town.gpkg", rows=2, cols=1)
    return {"roads": roads, "landcover": write_wood(tmp_path / "wood.gpkg")}


def maps_of(layers: dict[str, Path], **more: Any) -> MapSequence:
    frames = {name: gpd.read_file(path) for name, path in layers.items()}
    return rsaug.control_maps(**frames, gsd=0.5, tile_size=64, **more)


def test_maps_are_those_of_the_command(layers: dict[str, Path], tmp_path: Path) -> None:
    given: dict[str, Any] = {name: str(path) for name, path in layers.items()}
    asked = ConditionsOptions(
        **given,
        gsd=0.5,
        tile_size=64,
        labels="loveda",
        channels="soft,direction",
        out=str(tmp_path / "run"),
    )
    write_conditions(make_conditions_plan(asked))
    maps = maps_of(layers, labels="loveda", channels=["soft", "direction"])
    assert len(maps) == len(list((tmp_path / "run/items").iterdir()))
    for tile in maps:
        stack = read_stack(tmp_path / f"run/conditions/{tile.name}.tif")
        assert (stack.maps == tile.conditions).all()
        assert stack.present == tile.controls.present
        assert tile.labels is not None
        written = {
            "masks": tile.mask,
            "labels": tile.labels,
            "channels/soft": np.atleast_3d(tile.channels["soft"]).reshape(64, 64),
            "channels/direction": tile.channels["direction"],
        }
        for room, values in written.items():
            with rasterio.open(tmp_path / f"run/{room}/{tile.name}.tif") as src:
                assert (src.read().squeeze() == values).all()


def test_a_sequence_of_tiles(layers: dict[str, Path]) -> None:
    maps = maps_of(layers, controls="road", limit=3)
    assert (len(maps), len(maps[1:]), maps[-1].name) == (3, 2, [tile.name for tile in maps][-1])
    assert maps[0].controls.given == ("road",)
    assert "street" in maps[0].caption
    assert repr(maps) == "MapSequence(3 tiles with road)"
    assert maps.crs.is_projected
    assert maps.report["roads"]["by_class"]["minor"] == 2
    with pytest.raises(IndexError):
        maps[3]


def test_maps_as_a_dataset(layers: dict[str, Path]) -> None:
    pytest.importorskip("xarray", reason="xarray is not installed")
    tile = maps_of(layers, labels="loveda", channels="soft,direction")[0]
    found = tile.to_xarray()
    assert set(found.data_vars) == {"mask", "conditions", "labels", "soft", "direction"}
    assert found["direction"].shape == (2, 64, 64)
    assert found["soft"].shape == (64, 64)
    assert found.attrs["caption"] == tile.caption


def test_what_comes_to_nothing_is_told(layers: dict[str, Path]) -> None:
    with pytest.warns(rsaug.Notice, match="--height-range"):
        maps_of(layers, controls="road", height_range=(0, 9))
    with pytest.raises(rsaug.InputError, match="No layer is named"):
        rsaug.control_maps()


def test_importing_rsaug_imports_nothing_else() -> None:
    code = (
        "import sys, rsaug\n"
        "heavy = {'numpy', 'geopandas', 'rasterio', 'torch', 'rsaug.pipelines', 'rsaug.errors'}\n"
        "print(*sorted(heavy & {*sys.modules}))\n"
        "rsaug.control_maps\n"
        "print(*sorted({'torch', 'diffusers', 'rsaug.pipelines'} & {*sys.modules}))\n"
        "assert {*rsaug.__all__} <= {*dir(rsaug)}\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


def test_every_public_name_is_there() -> None:
    for name in rsaug.__all__:
        assert getattr(rsaug, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        rsaug.nothing  # type: ignore[attr-defined]  # noqa: B018
