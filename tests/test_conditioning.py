"""`rsaug conditions` as a function: what it writes, and that it goes on after a stop."""

from __future__ import annotations

import datetime as dt
import json
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pystac
import pytest
import rasterio
import shapely
from painter import CRS, NORTH, WEST, contents, write_roads, write_wood
from PIL import Image

from rsaug.conditioning import make_conditions_plan, write_conditions
from rsaug.conditions.road_channels import CHANNELS
from rsaug.errors import InputError
from rsaug.options import ConditionsOptions
from rsaug.progress import Progress, RunReport
from rsaug.record import read_record_of
from rsaug.sheets import conditions_sheet
from rsaug.stackfile import read_stack

EVERY = ",".join(channel.name for channel in CHANNELS)


@pytest.fixture
def layers(tmp_path: Path) -> dict[str, str]:
    """Streets, a wood and a row of houses."""
    boxes = [
        shapely.box(WEST + 20 * n, NORTH - 60, WEST + 20 * n + 12, NORTH - 45) for n in range(12)
    ]
    gpd.GeoDataFrame({"height": ["5"] * 12}, geometry=boxes, crs=CRS).to_file(tmp_path / "h.gpkg")
    return {
        "roads": str(write_roads(tmp_path / "streets.gpkg")),
        "landcover": str(write_wood(tmp_path / "wood.gpkg")),
        "buildings": str(tmp_path / "h.gpkg"),
    }


def options(out: Path, **more: Any) -> ConditionsOptions:
    return ConditionsOptions(**{"gsd": 0.5, "tile_size": 128, "out": str(out), **more})


def make(asked: ConditionsOptions) -> RunReport:
    return write_conditions(make_conditions_plan(asked))


def test_everything_is_written_and_described(layers: dict[str, str], tmp_path: Path) -> None:
    out, photo = tmp_path / "out", tmp_path / "photo.png"
    Image.fromarray(np.full((40, 50, 3), 90, np.uint8)).save(photo)
    asked = options(out, **layers, channels=EVERY, labels="buildings-roads", style=str(photo))
    plan = make_conditions_plan(asked)
    report = write_conditions(plan)
    assert report.progress == Progress(12, made=12)
    names = [tile.name for tile in plan.tiles]
    expected = {"collection.json", "manifest.parquet", "run.json"}
    rooms = ["conditions", "masks", "labels", *(f"channels/{c.name}" for c in CHANNELS)]
    expected |= {f"{room}/{name}.tif" for room in rooms for name in names}
    expected |= {f"items/{name}.json" for name in names}
    expected |= {f"content/{name}.png" for name in names}
    assert set(contents(out)) == expected
    collection = pystac.Collection.from_file(str(out / "collection.json"))
    items = list(collection.get_items())
    assert len(items) == 12
    for item in items:
        assert set(item.assets) == {
            "conditions", "mask", "labels", "content", *(c.name for c in CHANNELS)
        }  # fmt: skip
        assert all(Path(asset.get_absolute_href() or "").exists() for asset in item.assets.values())
    first = items[0].properties
    assert first["rsaug:controls"] == ["mlsd", "hed", "sketch", "road", "depth", "seg"]
    assert "residential" in first["rsaug:caption"]
    assert first["rsaug:metadata"]["gsd"] == 0.5


def test_files_hold_what_the_scene_says(layers: dict[str, str], tmp_path: Path) -> None:
    plan = make_conditions_plan(
        options(tmp_path / "out", **layers, channels="distance", labels="buildings-roads")
    )
    write_conditions(plan)
    for tile in plan.tiles[:5]:
        mask, stack = plan.scene.controls(tile, plan.controls)
        again = read_stack(tmp_path / f"out/conditions/{tile.name}.tif")
        np.testing.assert_array_equal(again.maps, stack.maps)
        assert again.present == stack.present
        for room, values in (
            ("masks", mask[None]),
            ("labels", plan.scene.class_map(tile, mask, plan.scene.labels)[None]),
            ("channels/distance", plan.scene.channels(tile, ["distance"])["distance"]),
        ):
            with rasterio.open(tmp_path / f"out/{room}/{tile.name}.tif") as src:
                np.testing.assert_array_equal(src.read(), values.reshape(src.count, *tile.shape))
                assert src.transform == tile.transform


def test_a_run_goes_on_and_makes_again_only_what_changed(
    layers: dict[str, str], tmp_path: Path
) -> None:
    asked = options(tmp_path / "out", **layers, channels="soft")
    make(asked)
    before = contents(tmp_path / "out")
    lost = sorted((tmp_path / "out/items").iterdir())[3]
    lost.unlink()
    (tmp_path / "out/conditions" / f"{lost.stem}.tif").unlink()
    assert make(asked).progress == Progress(12, kept=11, made=1)
    times = {"created", "datetime"}
    assert set(contents(tmp_path / "out")) == set(before)
    for name in before:
        if name.endswith(".tif"):
            assert (tmp_path / "out" / name).read_bytes() == before[name]
    item = json.loads(lost.read_text())
    assert times <= set(item["properties"])
    # A street that moved concerns its row of tiles alone.
    write_roads(Path(layers["roads"]), shift_m=3.0)
    assert make(asked).progress == Progress(12, kept=8, made=4)


def test_what_is_said_of_a_tile_is_written_again_when_it_changes(
    layers: dict[str, str], tmp_path: Path
) -> None:
    """Two channels can be the same to the number, and a date changes no map."""
    asked = {"roads": layers["roads"], "date": dt.date(2020, 1, 1), "channels": "junction"}
    make(options(tmp_path / "out", **asked))
    report = make(options(tmp_path / "out", **(asked | {"channels": "lanes"})))
    assert report.progress == Progress(12, made=12)
    assert len(list((tmp_path / "out/channels/lanes").iterdir())) == 12
    report = make(options(tmp_path / "out", **(asked | {"date": dt.date(2024, 1, 1)})))
    assert report.progress.made == 12
    item = json.loads(next((tmp_path / "out/items").iterdir()).read_text())
    assert item["properties"]["rsaug:metadata"]["year"] == 2024


def test_a_recorded_run_can_be_read_back(layers: dict[str, str], tmp_path: Path) -> None:
    asked = options(tmp_path / "out", **layers, controls="seg,road", limit=2)
    make(asked)
    record = read_record_of(ConditionsOptions, tmp_path / "out/run.json")
    assert record.options.controls == "seg,road"
    assert record.options.crs == "EPSG:32635"
    assert record.options.limit == 2
    written = json.loads((tmp_path / "out/run.json").read_text())
    assert written["controls"] == ["road", "seg"]
    assert written["layers"]["roads"]["by_rule"]["width"] == 3
    assert make(record.options).progress == Progress(2, kept=2)


def test_a_sheet_shows_a_row_a_tile(layers: dict[str, str], tmp_path: Path) -> None:
    plan = make_conditions_plan(options(tmp_path / "out", **layers, channels=EVERY, labels="roads"))
    sheet = conditions_sheet(plan, plan.tiles[:2])
    assert sheet.dtype == np.uint8
    assert sheet.shape[1] > (6 + 1 + len(CHANNELS)) * 128
    assert sheet.shape[0] > 2 * 128
    assert not (tmp_path / "out").exists()


def test_land_cover_alone_is_enough(layers: dict[str, str], tmp_path: Path) -> None:
    plan = make_conditions_plan(options(tmp_path / "out", landcover=layers["landcover"]))
    report = write_conditions(plan)
    assert plan.options.name == "wood-conditions"
    assert report.tiles == len(plan.tiles) == 6
    assert not (tmp_path / "out/masks").exists()
    with pytest.raises(InputError, match="Road channels need roads"):
        make_conditions_plan(
            options(tmp_path / "b", landcover=layers["landcover"], channels="soft")
        )


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"controls": "depth"}, "'depth' needs a layer"),
        ({"channels": "width"}, "No road channel is called 'width'; there are surface, soft"),
        ({"labels": "none.toml"}, "none.toml"),
        ({"labels": "planets"}, "planets"),
        ({"style": "none.png"}, "none.png does not exist"),
        ({"gsd": 0.01}, "give --limit N"),
        ({"out": "streets.gpkg"}, "is a file"),
    ],
)
def test_what_cannot_be_is_refused(
    layers: dict[str, str], tmp_path: Path, more: dict[str, Any], message: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=message):
        make(options(**{"out": tmp_path / "out", "roads": layers["roads"], **more}))
    assert not (tmp_path / "out").exists()


def test_a_run_needs_a_layer() -> None:
    with pytest.raises(InputError, match="No layer is named"):
        ConditionsOptions(aoi="1,2,3,4")
