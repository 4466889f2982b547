"""Metadata: of tiles, and of images by what lies in and beside their files."""

from __future__ import annotations

import datetime as dt
import json
import math
from pathlib import Path
from typing import Any

import pytest
import rasterio
from affine import Affine
from strategies import UTM

from rsaug.conditions.metadata import TileMetadata
from rsaug.errors import InputError
from rsaug.grid import Tile, TileGrid
from rsaug.pipelines.metadata import FIELDS

TILE = TileGrid(UTM, 0.6, 32).tile(-300_000, 26_000)


def _image(path: Path, tags: dict[str, str] | None = None, **domains: dict[str, str]) -> Path:
    profile = {"driver": "GTiff", "width": 32, "height": 32, "count": 3, "dtype": "uint8"}
    crs = UTM.to_wkt()
    with rasterio.open(path, "w", crs=crs, transform=TILE.transform, **profile) as dst:
        dst.update_tags(**(tags or {}))
        for domain, values in domains.items():
            dst.update_tags(ns=domain, **values)
    return path


def _stac(path: Path, **properties: Any) -> None:
    item = {"type": "Feature", "stac_version": "1.0.0", "properties": properties}
    path.with_suffix(".json").write_text(json.dumps(item), encoding="utf-8")


def test_a_tile_knows_its_place_and_gsd() -> None:
    longitude, latitude = TILE.lonlat
    metadata = TileMetadata.of(TILE, dt.date(2024, 6, 1), cloud_cover=10)
    assert metadata.to_fields() == {
        "year": 2024.0,
        "month": 6.0,
        "day": 1.0,
        "gsd": 0.6,
        "cloud_cover": 10,
        "latitude": latitude,
        "longitude": longitude,
    }
    assert tuple(metadata.to_fields()) == FIELDS
    assert list(TileMetadata.of(TILE).to_fields()) == ["gsd", "latitude", "longitude"]
    with pytest.raises(InputError, match="percent"):
        TileMetadata.of(TILE, cloud_cover=120)


def test_an_image_has_the_place_of_its_tile(tmp_path: Path) -> None:
    path = _image(tmp_path / "tile.tif")
    assert TileMetadata.from_image(path) == TileMetadata.of(Tile.from_raster(path))


@pytest.mark.parametrize(
    ("tags", "date", "where"),
    [
        ({"TIFFTAG_DATETIME": "2021:07:04 10:11:12"}, "2021-07-04", "tag TIFFTAG_DATETIME"),
        ({"ACQUISITIONDATETIME": "2020-02-29T01:02:03Z"}, "2020-02-29", "tag ACQUISITIONDATETIME"),
        ({"DATE_ACQUIRED": "2019-12-31"}, "2019-12-31", "tag DATE_ACQUIRED"),
        ({"datetime": "2022-05-06T00:00:00Z"}, "2022-05-06", "tag datetime"),
        ({"AcquisitionDate": "20180930"}, "2018-09-30", "tag AcquisitionDate"),
        (
            {"TIFFTAG_DATETIME": "2023:01:01 00:00:00", "SENSING_TIME": "2022-08-08T10:00:00"},
            "2022-08-08",
            "tag SENSING_TIME",
        ),
    ],
)
def test_dates_in_tags(tmp_path: Path, tags: dict[str, str], date: str, where: str) -> None:
    metadata = TileMetadata.from_image(_image(tmp_path / "x_20100101.tif", tags))
    assert metadata.date == dt.date.fromisoformat(date)
    assert metadata.found_in == {"date": where}
    assert metadata.ignored == ()


def test_what_gdal_says_of_satellite_images(tmp_path: Path) -> None:
    imagery = {"ACQUISITIONDATETIME": "2017-03-04 05:06:07", "CLOUDCOVER": "12.5"}
    metadata = TileMetadata.from_image(_image(tmp_path / "tile.tif", IMAGERY=imagery))
    assert metadata.date == dt.date(2017, 3, 4)
    assert metadata.cloud_cover == 12.5
    assert metadata.found_in == {"date": "tag ACQUISITIONDATETIME", "cloud_cover": "tag CLOUDCOVER"}


def test_a_stac_item_beside_the_image(tmp_path: Path) -> None:
    path = _image(tmp_path / "tile.tif", {"TIFFTAG_DATETIME": "2021:07:04 10:11:12"})
    _stac(path, **{"datetime": "2015-06-07T08:09:10Z", "eo:cloud_cover": 3, "other": None})
    metadata = TileMetadata.from_image(path)
    assert metadata.date == dt.date(2015, 6, 7)
    assert metadata.cloud_cover == 3
    assert metadata.found_in["date"] == "STAC Item, datetime"
    _stac(path, datetime=None, start_datetime="2014-01-02T00:00:00Z")
    assert TileMetadata.from_image(path).date == dt.date(2014, 1, 2)


@pytest.mark.parametrize(
    ("name", "date"),
    [
        ("tile_20240601", "2024-06-01"),
        ("m_3712213_ne_10_060_20200524_20201208", "2020-05-24"),
        ("2024-06-01-town", "2024-06-01"),
        ("town.2024_06_01", "2024-06-01"),
        ("r043512_c002501", None),
        ("123202406012", None),
        ("r-435120_c20241399", None),
        ("tile", None),
    ],
)
def test_the_name_of_the_file_is_the_last_resort(
    tmp_path: Path, name: str, date: str | None
) -> None:
    metadata = TileMetadata.from_image(_image(tmp_path / f"{name}.tif"))
    assert (metadata.date and metadata.date.isoformat()) == date
    assert metadata.found_in == ({"date": "file name"} if date else {})


def test_what_is_no_date_is_passed_over_and_named(tmp_path: Path) -> None:
    tags = {
        "acquisition_date": "2024-02-30",
        "DATETIME": "0000:00:00 00:00:00",
        "CLOUD_COVER": "-1",
        "TIFFTAG_DATETIME": "2021:07:04 10:11:12",
    }
    metadata = TileMetadata.from_image(_image(tmp_path / "tile.tif", tags))
    assert metadata.date == dt.date(2021, 7, 4)
    assert metadata.cloud_cover is None
    assert metadata.ignored == (
        "tag acquisition_date: '2024-02-30' is no date",
        "tag DATETIME: '0000:00:00 00:00:00' is no date",
        "tag CLOUD_COVER: '-1' is no percentage",
    )


@pytest.mark.parametrize("text", ["", "[]", "[" * 100_000, '{"type": "Feature"}', "\xff\xfe"])
def test_a_file_beside_it_that_is_no_item_is_none_of_ours(tmp_path: Path, text: str) -> None:
    path = _image(tmp_path / "tile.tif")
    path.with_suffix(".json").write_text(text, encoding="latin-1")
    assert TileMetadata.from_image(path).date is None


def test_images_without_a_place_or_in_degrees(tmp_path: Path) -> None:
    plain = tmp_path / "plain.tif"
    profile = {"driver": "GTiff", "width": 8, "height": 8, "count": 3, "dtype": "uint8"}
    with (
        pytest.warns(rasterio.errors.NotGeoreferencedWarning),
        rasterio.open(plain, "w", **profile),
    ):
        pass
    assert TileMetadata.from_image(plain).to_fields() == {}
    degrees = tmp_path / "degrees.tif"
    transform = Affine(1e-5, 0, 24.0, 0, -1e-5, 60.0)
    with rasterio.open(degrees, "w", crs="EPSG:4326", transform=transform, **profile):
        pass
    metadata = TileMetadata.from_image(degrees)
    assert metadata.longitude == pytest.approx(24.00004)
    assert metadata.latitude == pytest.approx(59.99996)
    # A degree of latitude is 111.4 km at 60 degrees north, one of longitude half as long.
    assert metadata.gsd_m == pytest.approx(1.114 * math.sqrt(0.5), rel=0.01)


def test_what_is_no_image_is_refused(tmp_path: Path) -> None:
    (tmp_path / "text.tif").write_text("not an image", encoding="utf-8")
    with pytest.raises(InputError, match="cannot be read as an image"):
        TileMetadata.from_image(tmp_path / "text.tif")
