"""Texts by place."""

from __future__ import annotations

from pathlib import Path

import geopandas as gpd
import pytest
from painter import CRS, NORTH, WEST, write_roads
from shapely.geometry import Point, box
from test_synthesis import make, options

from rsaug.errors import InputError
from rsaug.grid import TileGrid, parse_crs
from rsaug.prompts import read_prompts
from rsaug.provenance import read_provenance

GRID = TileGrid(parse_crs(CRS), 0.5, 128)


def write_quarters(path: Path) -> Path:
    """An old town over the first column and a half of tiles, a harbour over the rest of three."""
    quarters = gpd.GeoDataFrame(
        {"prompt": ["old town", "harbour", None]},
        geometry=[
            box(WEST, NORTH - 192, WEST + 90, NORTH),
            box(WEST + 90, NORTH - 192, WEST + 192, NORTH),
            box(WEST, NORTH - 192, WEST + 500, NORTH),
        ],
        crs=CRS,
    )
    quarters.to_file(path, driver="GPKG", layer="quarters")
    return path


def test_a_tile_has_the_text_of_what_covers_most_of_it(tmp_path: Path) -> None:
    prompts = read_prompts(str(write_quarters(tmp_path / "quarters.gpkg")), parse_crs(CRS))
    first = GRID.tile(round(-NORTH / 64), round(WEST / 64))
    found = [prompts.at(GRID.tile(first.row, first.col + k)) for k in range(4)]
    assert found == ["old town", "harbour", "harbour", None]


def test_images_are_made_with_the_text_of_their_place(tmp_path: Path) -> None:
    roads = write_roads(tmp_path / "streets.gpkg", rows=1)
    quarters = write_quarters(tmp_path / "quarters.gpkg")
    make(options(roads, tmp_path / "out", prompts=str(quarters)))
    said = [read_provenance(path) for path in sorted((tmp_path / "out/images").iterdir())]
    assert [one.prompt for one in said if one] == ["old town", "harbour", "harbour", ""]
    # Another text is another image; where there is none, nothing changes.
    report = make(options(roads, tmp_path / "out"))
    assert (report.progress.kept, report.progress.made) == (1, 3)


def test_a_layer_without_texts_or_areas_is_refused(tmp_path: Path) -> None:
    frame = gpd.GeoDataFrame({"name": ["x"]}, geometry=[box(0, 0, 1, 1)], crs=CRS)
    frame.to_file(tmp_path / "names.gpkg", driver="GPKG")
    with pytest.raises(InputError, match="no column 'prompt'"):
        read_prompts(str(tmp_path / "names.gpkg"), parse_crs(CRS))
    frame = gpd.GeoDataFrame({"prompt": ["x"]}, geometry=[Point(0, 0)], crs=CRS)
    frame.to_file(tmp_path / "points.gpkg", driver="GPKG")
    with pytest.raises(InputError, match="a text holds in an area"):
        read_prompts(str(tmp_path / "points.gpkg"), parse_crs(CRS))
