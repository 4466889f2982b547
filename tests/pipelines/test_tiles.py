"""`rsaug.synthesize`: the tiles of the command, in memory, when they are asked for."""

from __future__ import annotations

import gc
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pytest
from numpy.typing import NDArray
from painter import CRS, NORTH, WEST, Painter, contents, write_roads, write_wood
from shapely.geometry import box
from toy import toy_pipeline

import rsaug
from rsaug.grid import Tile
from rsaug.mosaic import NO_LABEL
from rsaug.options import SynthOptions
from rsaug.pipelines.loading import generator_for
from rsaug.pipelines.tiles import TileSequence, synthesize
from rsaug.provenance import read_provenance
from rsaug.requests import TileRequest
from rsaug.synthesis import make_plan, run

SMALL: dict[str, Any] = {"gsd": 0.5, "tile_size": 64, "steps": 1}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("model")
    toy_pipeline().save_pretrained(folder)
    return folder


@pytest.fixture
def layers(tmp_path: Path) -> dict[str, Path]:
    """One street and a wood, as files."""
    roads = write_roads(tmp_path / "town.gpkg", rows=1, cols=1)
    return {"roads": roads, "landcover": write_wood(tmp_path / "wood.gpkg")}


def frames(layers: dict[str, Path]) -> dict[str, gpd.GeoDataFrame]:
    return {name: gpd.read_file(path) for name, path in layers.items()}


def painted(folder: Path, painter: Painter, **more: Any) -> TileSequence:
    """Tiles that the painter makes."""
    roads = write_roads(folder / "town.gpkg", rows=2, cols=2)
    return TileSequence(make_plan(SynthOptions(roads=str(roads), **{**SMALL, **more})), painter)


@pytest.mark.parametrize(
    "more",
    [
        {"variants": 2, "seed": 3, "watermark": "us", "date": "2018-06-01", "limit": 3},
        {
            "controls": ["road", "hed"],
            "control_strength": {"road": 1.2},
            "aoi": (24.0, 60.0, 25.5, 61.0),
            "prompt": "trees",
            "crs": 3067,
        },
        {"seamless": True, "overlap": 16, "limit": 1, "steps": 3},
    ],
    ids=["marked", "steered", "seamless"],
)
def test_tiles_are_those_of_the_command_to_the_byte(
    model: Path, layers: dict[str, Path], tmp_path: Path, more: dict[str, Any]
) -> None:
    as_text = {
        "controls": "road,hed",
        "control_strength": "road=1.2",
        "aoi": "24.0,60.0,25.5,61.0",
        "crs": "EPSG:3067",
    }
    given = {name: as_text.get(name, value) for name, value in more.items()}
    if "date" in given:
        given["date"] = rsaug_date(given["date"])
    named: dict[str, Any] = {name: str(path) for name, path in layers.items()}
    asked = SynthOptions(
        **(SMALL | given | named),
        model=str(model),
        out=str(tmp_path / "run"),
    )
    run(make_plan(asked), generator_for(asked))
    for folder in ("images", "masks", "conditions"):
        (tmp_path / "again" / folder).mkdir(parents=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", rsaug.Notice)
        tiles = rsaug.synthesize(**frames(layers), **(SMALL | more), model=model)
    assert len(tiles) == len(contents(tmp_path / "run/images"))
    for tile in tiles:
        tile.save(
            tmp_path / f"again/images/{tile.name}.tif",
            mask=tmp_path / f"again/masks/{tile.tile.name}.tif",
            conditions=tmp_path / f"again/conditions/{tile.tile.name}.tif",
        )
    rasters = "[icm]*/*.tif"
    assert contents(tmp_path / "again", rasters) == contents(tmp_path / "run", rasters)
    # One alone is no other than in the loop.
    last = tiles[-1]
    last.save(tmp_path / "last.tif")
    path = tmp_path / f"run/images/{last.name}.tif"
    assert (tmp_path / "last.tif").read_bytes() == path.read_bytes()
    assert read_provenance(path) == last.provenance


def rsaug_date(text: str) -> Any:
    from rsaug.asking import read_options

    return read_options(SynthOptions, "", {"roads": "x", "date": text})[0].date


def test_a_tile_has_arrays_and_a_place(tmp_path: Path) -> None:
    tile = painted(tmp_path, Painter())[0]
    assert tile.image.shape == (3, 64, 64)
    assert tile.image.dtype == np.uint8
    assert tile.mask.shape == (64, 64)
    assert tile.mask.dtype == np.uint8
    assert tile.conditions.shape == (18, 64, 64)
    assert tile.conditions.dtype == np.float32
    assert (tile.image[:, tile.mask > 0] == 128).all()
    assert tile.crs.to_epsg() == CRS
    assert tile.bounds == (WEST, NORTH - 32, WEST + 32, NORTH)
    assert tile.transform @ (0, 0) == (WEST, NORTH)
    assert (tile.variant, tile.seed) == (0, tile.provenance.seed)
    assert "64 x 64 px at 0.5 m in EPSG:32635; controls: road" in repr(tile)


def test_nothing_is_made_before_it_is_asked_for(tmp_path: Path) -> None:
    painter = Painter(batch_size=2)
    tiles = painted(tmp_path, painter)
    assert (len(tiles), painter.painted) == (16, [])
    next(iter(tiles))
    assert len(painter.painted) == 2
    first = tiles[3]
    assert painter.painted[2:] == [first.tile.name]
    assert [tile.name for tile in tiles[1:3]] == [tile.name for tile in tiles][1:3]
    with pytest.raises(IndexError):
        tiles[16]


def test_what_is_done_to_a_tile_changes_no_other(tmp_path: Path) -> None:
    tiles = painted(tmp_path, Painter(), variants=2)
    first, second = tiles[0], tiles[1]
    first.mask[:] = 7
    first.conditions[:] = 0.5
    assert second.mask.max() == 1
    assert (tiles[1].image == second.image).all()
    assert (tiles[0].mask <= 1).all()


class Field(Painter):
    """Whose images are parts of a field a variant."""

    def reach(self, tile: Tile) -> tuple[range, range]:
        """That of the tile alone, and yet a field."""
        return range(tile.row, tile.row + 1), range(tile.col, tile.col + 1)


def test_fields_come_one_after_another_as_in_a_run(tmp_path: Path) -> None:
    tiles = painted(tmp_path, Field(), variants=2, limit=3)
    assert [tile.variant for tile in tiles] == [0, 0, 0, 1, 1, 1]
    assert [tile.name for tile in tiles] == [tiles[k].name for k in range(6)]
    assert len({tile.seed for tile in tiles}) == 2


class Sometimes(Painter):
    """Cannot make the images of some tiles."""

    def __init__(self, fails: Sequence[int]) -> None:
        super().__init__(batch_size=4)
        self.fails = fails

    def _paint(self, request: TileRequest) -> NDArray[np.uint8]:
        if request.tile.col % 4 in self.fails:
            raise ValueError("no paint is left")
        return super()._paint(request)


def test_what_cannot_be_made_is_told_and_the_others_come(tmp_path: Path) -> None:
    tiles = painted(tmp_path, Sometimes([1]))
    with pytest.warns(rsaug.Notice, match="no paint is left"):
        made = [tile.name for tile in tiles]
    assert len(made) == 12
    assert len(tiles.failed) == 4
    assert not {*made} & {*tiles.failed}
    number = next(k for k in range(16) if tiles._place(k)[0].name in tiles.failed)
    with pytest.raises(rsaug.RunError, match="cannot be made: no paint is left"):
        tiles[number]


def test_a_loop_in_which_nothing_can_be_made_ends(tmp_path: Path) -> None:
    tiles = painted(tmp_path, Sometimes(range(4)))
    with (
        pytest.warns(rsaug.Notice),
        pytest.raises(rsaug.RunError, match="No image could be made; 8 failed"),
    ):
        list(tiles)


def test_a_model_in_use_is_not_loaded_twice(model: Path, layers: dict[str, Path]) -> None:
    given: dict[str, Any] = {"roads": layers["roads"], **SMALL, "model": model}

    def generator(**more: Any) -> int:
        tiles.append(synthesize(**{**given, **more}))
        return id(tiles[-1]._orders.generator)

    tiles: list[TileSequence] = []
    first = generator()
    assert generator(seed=5, limit=1, controls="road") == first
    assert generator(steps=2) != first
    (model / "model_index.json").touch()
    assert generator() != first
    tiles.clear()
    gc.collect()
    from rsaug.pipelines.tiles import _LOADED

    assert not _LOADED


def test_notes_are_warnings_where_they_were_caused(model: Path, layers: dict[str, Path]) -> None:
    with pytest.warns(rsaug.Notice, match="volcano") as caught:
        tiles = rsaug.synthesize(layers["roads"], **SMALL, model=model, prompt="a volcano")
    assert {Path(warning.filename).name for warning in caught} == {"test_tiles.py"}
    assert any("volcano" in note for note in tiles.notes)
    assert tiles.report["roads"]["by_class"]["minor"] == 1
    assert tiles.attribution == ()


def test_datasets_lie_where_the_tiles_lie(tmp_path: Path) -> None:
    pytest.importorskip("xarray", reason="xarray is not installed")
    tiles = painted(tmp_path, Painter(), variants=2)
    tile = tiles[2]
    found = tile.to_xarray()
    assert (found["image"].values == tile.image).all()
    assert found["conditions"].sel(channel="road_r").values.tolist() == tile.mask.tolist()
    left, bottom, right, top = tile.bounds
    assert found["x"].values[[0, -1]].tolist() == [left + 0.25, right - 0.25]
    assert found["y"].values[[0, -1]].tolist() == [top - 0.25, bottom + 0.25]
    assert found["mask"].attrs["grid_mapping"] == "spatial_ref"
    assert "UTM zone 35N" in found["spatial_ref"].attrs["crs_wkt"]
    assert found.attrs["synthetic"] == "yes"
    whole = tiles.to_xarray(variant=1)
    assert whole["mask"].shape == (256, 256)
    for one in tiles:
        part = whole.sel(
            x=slice(one.bounds[0], one.bounds[2]), y=slice(one.bounds[3], one.bounds[1])
        )
        assert (part["mask"].values == one.mask).all()
        assert (part["image"].values == one.image).all() == (one.variant == 1)
    with pytest.raises(rsaug.InputError, match="variants 0 to 1, not 2"):
        tiles.to_xarray(2)


def test_where_no_tile_is_a_dataset_is_empty(tmp_path: Path) -> None:
    pytest.importorskip("xarray", reason="xarray is not installed")
    with pytest.warns(rsaug.Notice):
        whole = painted(tmp_path, Sometimes([1])).to_xarray()
    assert (whole["mask"].values == NO_LABEL).mean() == 0.25
    assert not whole["image"].values[:, whole["mask"].values == NO_LABEL].any()


# Its own way of multiplying transforms is one that affine will give up.
@pytest.mark.filterwarnings("ignore:Use `@` matmul:PendingDeprecationWarning")
def test_rioxarray_reads_the_place(tmp_path: Path) -> None:
    pytest.importorskip("rioxarray", reason="rioxarray is not installed")
    tile = painted(tmp_path, Painter())[0]
    found: Any = tile.to_xarray()
    assert found.rio.crs.to_epsg() == CRS
    assert found.rio.transform() == tile.transform
    assert found["image"].rio.bounds() == tile.bounds


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"gsd": 0}, "GSD must be a positive number"),
        ({"variants": 0}, "at least 1, not 0"),
        ({"aoi": (10, 50, 11, 51)}, "no feature within the area"),
        ({"controls": ["rivers"]}, "No control is called 'rivers'"),
        ({"date": "June"}, "'June' is no date"),
        ({"model": "./none"}, "no model folder"),
        ({"landcover": gpd.GeoSeries([box(0, 0, 1, 1)])}, "landcover has no CRS"),
    ],
)
def test_bad_input_is_told_before_anything_is_made(
    layers: dict[str, Path], more: dict[str, Any], message: str
) -> None:
    with pytest.raises(rsaug.InputError, match=message):
        rsaug.synthesize(frames(layers)["roads"], **{**SMALL, **more})


@pytest.mark.parametrize(
    ("name", "hint"), [("colour", r"'colour'\."), ("out", "save what comes back"), ("all", "made")]
)
def test_an_option_that_there_is_not_is_refused(
    layers: dict[str, Path], name: str, hint: str
) -> None:
    given: dict[str, Any] = {name: True}
    with pytest.raises(TypeError, match=f"synthesize\\(\\) has no option .*{hint}"):
        rsaug.synthesize(layers["roads"], **given)
