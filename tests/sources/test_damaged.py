"""Layers that are cut off or altered are refused, whatever of them could still be read."""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path

import geopandas as gpd
import pyogrio
import pytest
from fuzz.pbf import extract
from shapely.geometry import LineString

from rsaug.errors import InputError
from rsaug.sources import open_source
from rsaug.sources.osmpbf import check_whole

COUNT = 3000


@pytest.fixture(scope="module")
def streets() -> gpd.GeoDataFrame:
    """So many that a file of them has many pages, and each is another."""
    steps = [k * 1e-5 for k in range(COUNT)]
    lines = [LineString([(24 + x, 60), (24 + x, 60.001 + x)]) for x in steps]
    names = [f"street {k}" for k in range(COUNT)]
    return gpd.GeoDataFrame({"highway": "primary", "name": names}, geometry=lines, crs=4326)


def town(ways: int = 100) -> bytes:
    """An extract of OpenStreetMap with so many ways, and a square."""
    nodes = {k: (24.9 + 1e-4 * (k % 97), 60.1 + 1e-4 * (k // 97)) for k in range(1, ways + 3)}
    named = {100 + k: ((k + 1, k + 2), {"highway": "primary"}) for k in range(ways)}
    return extract(nodes, {12: ((1, 2, ways + 2, 1), {}), **named})


@pytest.mark.parametrize("suffix", [".fgb", ".gpkg", ".parquet", ".geojson", ".geojsonl"])
@pytest.mark.parametrize("share", [0.5, 0.9, 0.999])
def test_a_layer_that_is_cut_off_is_refused(
    streets: gpd.GeoDataFrame, suffix: str, share: float, tmp_path: Path
) -> None:
    """GDAL gives what comes before the cut of a FlatGeobuf or of lines of JSON."""
    path = tmp_path / f"layer{suffix}"
    if suffix == ".parquet":
        streets.to_parquet(path)
    else:
        streets.to_file(path, driver="GeoJSONSeq" if suffix == ".geojsonl" else None)
    assert len(open_source(path, kind="lines").read()) == COUNT
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    for window in (None, (24.0, 60.0, 24.001, 60.01)):
        with pytest.raises(InputError):
            open_source(path, kind="lines").read(window)


@pytest.mark.parametrize("suffix", [".fgb", ".gpkg"])
def test_a_layer_with_a_hole_in_it_is_refused(
    streets: gpd.GeoDataFrame, suffix: str, tmp_path: Path
) -> None:
    path = tmp_path / f"layer{suffix}"
    streets.to_file(path)
    content = bytearray(path.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 4096] = bytes(4096)
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"can be read|cannot be read"):
        open_source(path, kind="lines").read()


def test_a_geopackage_that_names_another_column_is_told(
    streets: gpd.GeoDataFrame, tmp_path: Path
) -> None:
    """What SQLite says of it comes out of a stream as an `OSError`."""
    path = tmp_path / "layer.gpkg"
    streets[:3].to_file(path)
    with contextlib.closing(sqlite3.connect(path)) as base, base:
        base.execute("UPDATE gpkg_geometry_columns SET column_name = 'data'")
    with pytest.raises(InputError, match="no such column"):
        open_source(path, kind="lines").read((24.0, 60.0, 24.1, 60.1))


def test_an_extract_is_read_whole_or_not_at_all(tmp_path: Path) -> None:
    """GDAL gives no lines, or a part of them, and no error."""
    path, content = tmp_path / "town.osm.pbf", town()
    path.write_bytes(content)
    check_whole(path)
    assert len(open_source(path, kind="lines").read()) == 100
    altered = bytearray(content)
    altered[-20] ^= 1
    start = content[:90]
    for damaged in (content[:-1], content[: len(content) // 2], content + b"\0", bytes(altered),
                    start + (1 << 20).to_bytes(4, "big") + content[94:]):  # fmt: skip
        path.write_bytes(damaged)
        with pytest.raises(InputError, match="cut off or damaged, so get it anew"):
            open_source(path, kind="lines").read()


def test_small_extracts_are_read_in_little_memory(tmp_path: Path) -> None:
    """GDAL's option for it is set for as long as it is read, and not where it is set already."""
    path, option = tmp_path / "town.osm.pbf", "OSM_MAX_TMPFILE_SIZE"
    path.write_bytes(town())
    small = open_source(path, kind="lines").read()
    assert pyogrio.get_gdal_config_option(option) is None
    pyogrio.set_gdal_config_options({option: 100})
    try:
        assert small.equals(open_source(path, kind="lines").read())
        assert pyogrio.get_gdal_config_option(option) == 100
    finally:
        pyogrio.set_gdal_config_options({option: None})


def test_a_shapefile_with_a_feature_that_was_deleted_is_not_damaged(
    streets: gpd.GeoDataFrame, tmp_path: Path
) -> None:
    """Its number counts that one, which is marked in its row and goes when it is packed."""
    streets[:3].to_file(tmp_path / "layer.shp")
    rows = bytearray((tmp_path / "layer.dbf").read_bytes())
    # Where rows begin, and how long one is: dBASE III.
    start, length = (int.from_bytes(rows[at : at + 2], "little") for at in (8, 10))
    rows[start + length] = ord("*")
    (tmp_path / "layer.dbf").write_bytes(rows)
    source = open_source(tmp_path / "layer.shp", kind="lines")
    assert source.count == 3
    assert list(source.read()["name"]) == ["street 0", "street 2"]
