"""The catalogue: read by pystac, geopandas and stac-geoparquet, and true to the files."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import geopandas as gpd
import numpy as np
import pyarrow.parquet as pq
import pystac
import pytest
import rasterio
from painter import Painter, write_roads
from pyproj import CRS
from shapely.geometry import box, shape
from stac_geoparquet.arrow import stac_table_to_items

from rsaug.options import SynthOptions
from rsaug.synthesis import make_plan, run


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run of 6 tiles with two images each."""
    folder = tmp_path_factory.mktemp("run")
    roads = write_roads(folder / "streets.v2.gpkg", rows=2, cols=3)
    asked = SynthOptions(
        str(roads), gsd=0.5, tile_size=128, variants=2, prompt="a town", out=str(folder / "out")
    )
    run(make_plan(asked), Painter())
    return folder / "out"


def items(out: Path) -> list[pystac.Item]:
    return [pystac.Item.from_file(str(path)) for path in sorted((out / "items").iterdir())]


def test_pystac_walks_the_catalogue(out: Path) -> None:
    collection = pystac.Collection.from_file(str(out / "collection.json"))
    assert collection.id == "streets-synth"
    found = list(collection.get_items())
    assert len(found) == 12
    for item in found:
        assert item.get_collection() is collection
        assert all(Path(asset.get_absolute_href() or "").exists() for asset in item.assets.values())
    assert all(
        Path(asset.get_absolute_href() or "").exists() for asset in collection.assets.values()
    )


def test_items_and_collection_survive_pystac(out: Path) -> None:
    for path in (*(out / "items").iterdir(), out / "collection.json"):
        content = json.loads(path.read_text())
        kind = pystac.Collection if content["type"] == "Collection" else pystac.Item
        read = kind.from_dict(content).to_dict(include_self_link=False, transform_hrefs=False)
        assert {**read, "links": content["links"]} == content


def test_items_say_that_they_are_synthetic_and_how_they_came_about(out: Path) -> None:
    for item in items(out):
        said = item.properties
        assert said["rsaug:synthetic"] is True
        assert said["rsaug:digital_source_type"].endswith("/trainedAlgorithmicMedia")
        assert (said["rsaug:model"], said["rsaug:controls"]) == ("painter", ["road"])
        with rasterio.open(item.assets["image"].get_absolute_href()) as src:
            assert src.tags()["RSAUG_SEED"] == str(said["rsaug:seed"])
            assert src.tags()["RSAUG_KEY"] == said["rsaug:key"]
    assert len({item.properties["rsaug:seed"] for item in items(out)}) == 12


def test_fields_are_those_of_the_files(out: Path) -> None:
    for item in items(out):
        for asset in item.assets.values():
            content = Path(asset.get_absolute_href() or "").read_bytes()
            assert asset.extra_fields["file:size"] == len(content)
            assert (
                asset.extra_fields["file:checksum"] == "1220" + hashlib.sha256(content).hexdigest()
            )
            with rasterio.open(asset.get_absolute_href()) as src:
                said = item.properties
                assert CRS(said["proj:code"]) == CRS(src.crs.to_wkt())
                assert said["proj:shape"] == list(src.shape)
                assert said["proj:transform"] == list(src.transform)[:6]
                assert said["proj:bbox"] == list(src.bounds)
                assert asset.extra_fields["data_type"] == src.dtypes[0]
                names = [band["name"] for band in asset.extra_fields.get("bands", [])]
                assert not names or names == list(src.descriptions)
        with rasterio.open(item.assets["mask"].get_absolute_href()) as src:
            mask = src.read(1)
            assert said["rsaug:road_fraction"] == pytest.approx(mask.mean(), abs=1e-6)
            classes = item.assets["mask"].extra_fields["classification:classes"]
            assert {entry["value"] for entry in classes} == set(np.unique(mask).tolist())


def test_outlines_lie_where_the_tiles_are(out: Path) -> None:
    for item in items(out):
        there = gpd.GeoSeries(
            [box(*item.properties["proj:bbox"])], crs=item.properties["proj:code"]
        )
        outline = shape(item.geometry)
        assert outline.exterior.is_ccw
        assert there.to_crs(4326)[0].symmetric_difference(outline).area < 1e-5 * outline.area
        assert item.bbox == list(outline.bounds)
    collection = pystac.Collection.from_file(str(out / "collection.json"))
    total = gpd.GeoSeries([shape(item.geometry) for item in items(out)]).total_bounds
    assert collection.extent.spatial.bboxes[0] == total.tolist()


def test_manifest_is_the_items_as_a_table(out: Path) -> None:
    table = gpd.read_parquet(out / "manifest.parquet")
    assert table.crs == CRS(4326)
    assert sorted(table["id"]) == sorted(item.id for item in items(out))
    assert (table["rsaug:synthetic"]).all()
    by_id = {item.id: item for item in items(out)}
    for row in stac_table_to_items(pq.read_table(out / "manifest.parquet")):
        item = by_id[row["id"]]
        assert row["properties"]["rsaug:seed"] == item.properties["rsaug:seed"]
        # Paths as seen from the table, so that a reader of the table alone finds the files.
        for name, asset in row["assets"].items():
            assert (out / asset["href"]).samefile(item.assets[name].get_absolute_href() or "")
    assert (
        b"streets-synth" in (pq.read_schema(out / "manifest.parquet").metadata[b"stac-geoparquet"])
    )


def test_a_date_to_imitate_is_the_time_of_the_items(out: Path, tmp_path: Path) -> None:
    import datetime as dt

    roads = write_roads(tmp_path / "streets.gpkg", rows=1, cols=1)
    asked = SynthOptions(str(roads), gsd=0.5, date=dt.date(2024, 6, 1), out=str(tmp_path / "out"))
    run(make_plan(asked), Painter())
    (item,) = items(tmp_path / "out")
    assert item.datetime == dt.datetime(2024, 6, 1, tzinfo=dt.UTC)
    assert item.common_metadata.created != item.datetime
    assert all(item.datetime == item.common_metadata.created for item in items(out))


def test_a_crs_without_a_code_is_written_out(tmp_path: Path) -> None:
    roads = write_roads(tmp_path / "streets.gpkg", rows=1, cols=1)
    local = "+proj=tmerc +lat_0=60 +lon_0=24.9 +k=1 +x_0=1000 +y_0=1000 +ellps=GRS80 +units=m"
    asked = SynthOptions(str(roads), gsd=0.5, crs=local, out=str(tmp_path / "out"))
    run(make_plan(asked), Painter())
    for item in items(tmp_path / "out"):
        assert item.properties["proj:code"] is None
        with rasterio.open(item.assets["image"].get_absolute_href()) as src:
            assert CRS(item.properties["proj:wkt2"]) == CRS(src.crs.to_wkt())
    assert len(gpd.read_parquet(tmp_path / "out/manifest.parquet")) == len(items(tmp_path / "out"))
