"""What a run is asked for: names, files and what is none."""

from __future__ import annotations

from pathlib import Path

import pytest

from rsaug.aoi import read_aoi
from rsaug.errors import InputError
from rsaug.options import ConditionsOptions, SceneOptions, SynthOptions, split_name


@pytest.mark.parametrize(
    ("roads", "name"),
    [
        ("postgresql://me:pw@host/gis?table=town.roads", "town-roads-conditions"),
        ("postgresql://me@host/gis?sql=SELECT * FROM roads", "query-conditions"),
        ("osm", "osm-conditions"),
        ("osm:Helsinki, Finland", "osm-conditions"),
        ("maps/town.v2.gpkg|layername=roads", "town-conditions"),
    ],
)
def test_results_are_named_after_the_first_layer(roads: str, name: str) -> None:
    assert ConditionsOptions(roads).name == name


def test_tables_and_class_sets_are_files_unless_their_name_is_one_of_ours() -> None:
    ours = ConditionsOptions("r", labels="loveda", landcover_table="worldcover")
    assert set(ours.files()) == {"roads"}
    own = ConditionsOptions("r", labels="sets/GARDEN", landcover_table="t.TOML")
    assert own.files()["labels"] == Path("sets/GARDEN")
    assert own.files()["landcover_table"] == Path("t.TOML")


def test_paths_move_with_what_stands_before_and_after_them() -> None:
    asked = ConditionsOptions("a.gpkg|layername=r", style="mosaic:tiles", buildings="osm|x")
    moved = asked.with_paths(lambda path: f"up/{path}", Path())
    assert moved.roads == "up/a.gpkg|layername=r"
    assert moved.style == "mosaic:up/tiles"
    assert moved.buildings == "osm|x"
    assert split_name("mosaic:tiles") == ("mosaic:", "tiles", "")


@pytest.mark.parametrize("aoi", ["postgresql://me:s3cret@host/gis?table=a", "osm:1,2,3,4", "osm"])
def test_a_server_is_no_area_and_its_password_is_not_told(aoi: str) -> None:
    with pytest.raises(InputError, match="not a server") as caught:
        read_aoi(aoi)
    assert "s3cret" not in str(caught.value)


def test_images_need_roads() -> None:
    with pytest.raises(InputError, match="No roads are named"):
        SynthOptions(None)
    assert SceneOptions().files() == {}
