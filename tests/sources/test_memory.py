"""Features in memory: read as those of a file are."""

from __future__ import annotations

from pathlib import Path

import geopandas as gpd
import pandas as pd
import pytest
from shapely.geometry import LineString, Point

from rsaug.errors import InputError
from rsaug.sources import open_source
from rsaug.sources.memory import FrameSource


def lines() -> gpd.GeoDataFrame:
    """Three streets in Helsinki."""
    shapes = [LineString([(24.9 + k / 100, 60.1), (24.9 + k / 100, 60.2)]) for k in range(3)]
    names = ["a", None, "c"]
    return gpd.GeoDataFrame({"highway": ["primary"] * 3, "name": names}, geometry=shapes, crs=4326)


def test_a_frame_is_read_as_its_file_is(tmp_path: Path) -> None:
    lines().to_file(tmp_path / "lines.fgb", SPATIAL_INDEX="NO")
    file, frame = open_source(tmp_path / "lines.fgb"), FrameSource("lines", lines())
    for bounds in (None, (24.895, 60.0, 24.905, 60.3), (24.905, 60.0, 25.0, 60.3), (0, 0, 1, 1)):
        one, other = file.read(bounds), frame.read(bounds)
        assert one.geometry.tolist() == other.geometry.tolist()
        assert one.index.tolist() == other.index.tolist()
        assert one["name"].fillna("").tolist() == other["name"].fillna("").tolist()
    assert frame.count == file.count == 3
    assert frame.info().bounds == pytest.approx(file.info().bounds)
    assert frame.info().geometry_types == ("LineString",)


def test_geometry_and_index_may_be_called_anything() -> None:
    given = lines().rename_geometry("shape").rename(columns={"name": 5})
    given.index = pd.MultiIndex.from_product([["u"], [7], [1, 2, 3]])
    given["middle"] = given.geometry.representative_point()
    before = given.copy()
    found = FrameSource("lines", given).read()
    assert list(found.columns) == ["highway", "5", "geometry"]
    assert found.index.tolist() == [0, 1, 2]
    assert given.equals(before)


def test_tags_in_one_column_become_columns() -> None:
    given = lines().drop(columns="highway")
    given["other_tags"] = ['"highway"=>"primary","lanes"=>"2"', None, '"lanes"=>"3"']
    found = FrameSource("lines", given).read()
    assert found["lanes"].fillna("").tolist() == ["2", "", "3"]
    assert found["highway"].fillna("").tolist() == ["primary", "", ""]


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        (lines().set_crs(None, allow_override=True), "lines has no CRS.*set_crs"),
        (gpd.GeoDataFrame({"a": [1]}), "lines has no geometry.*set_geometry"),
        (gpd.GeoSeries([Point(384_000, 6_672_000)], crs=4326), "in degrees, but"),
    ],
    ids=["no CRS", "no geometry", "no degrees"],
)
def test_what_has_no_place_is_refused(frame: gpd.GeoDataFrame, message: str) -> None:
    with pytest.raises(InputError, match=message):
        FrameSource("lines", frame)
