"""Files of a stranger: they cost no memory, read no other file, ask no server and run nothing."""

from __future__ import annotations

import base64
import http.server
import io
import json
import os
import re
import socket
import threading
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
import rasterio
import rasterio.errors
from affine import Affine
from painter import CRS, NORTH, WEST, Painter, write_roads
from pyproj import CRS as CRS_OF
from shapely.geometry import LineString

from rsaug.decoupling import Photo
from rsaug.errors import InputError
from rsaug.folder import RunFolder
from rsaug.grid import Tile, parse_crs, to_lonlat
from rsaug.jsontext import parse_json
from rsaug.manifest import MOST_ROWS, read_manifest
from rsaug.mark_verification import look_at_image
from rsaug.options import SynthOptions
from rsaug.provenance import read_provenance
from rsaug.quarantine import failures
from rsaug.raster import open_image, read_rgb, write_cog
from rsaug.rasterfile import opened
from rsaug.record import read_record
from rsaug.road_rules import read_rules
from rsaug.sources import open_source
from rsaug.sources.tags import _tags
from rsaug.stackfile import read_stack
from rsaug.status import read_status
from rsaug.synthesis import make_plan, run
from rsaug.verification import verify
from rsaug.warp import raster_info, read_onto

DEEP = "[" * 100_000


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of one tile."""
    folder = tmp_path_factory.mktemp("run")
    asked = SynthOptions(
        roads=str(write_roads(folder / "roads.gpkg", rows=1, cols=1)),
        gsd=0.5,
        tile_size=128,
        out=str(folder / "run"),
    )
    run(make_plan(asked), Painter())
    return folder / "run"


@pytest.fixture
def copy(finished: Path, tmp_path: Path) -> Path:
    """A copy of it, to be altered."""
    import shutil

    return Path(shutil.copytree(finished, tmp_path / "run"))


# What JSON, TOML and text can say.


@pytest.mark.parametrize(
    "text", [DEEP, '{"a":' * 100_000, '"\\ud800"', b'"\xed\xa0\x80"', "9" * 5000, b'\xff\xfe"\0"\0']
)
def test_json_that_cannot_be_taken_up_is_a_value_error(text: str | bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse_json(text)


def test_json_is_what_it_was() -> None:
    value = {"a": [1, 2.5, None, True, "\u00e4\U0001f6e3"], "\\ud83d": "\\uD83D"}
    for ascii_only in (True, False):
        text = json.dumps(value, ensure_ascii=ascii_only)
        assert parse_json(text) == parse_json(text.encode()) == value
    assert parse_json(b"\xef\xbb\xbf[1]") == [1]


@pytest.mark.parametrize("content", [DEEP, '{"options": {"roads": "\\ud800"}}'])
def test_records_that_nest_or_hold_half_a_letter_are_told(copy: Path, content: str) -> None:
    (copy / "run.json").write_text(content)
    for read in (read_record, lambda path: read_status(path.parent, 0.0)):
        with pytest.raises(InputError, match="record"):
            read(copy / "run.json")


@pytest.mark.parametrize(
    ("option", "name"), [("roads", "a\0b"), ("style", "a\0b"), ("model", "x" * 5000)]
)
def test_names_of_files_that_there_cannot_be_are_told(copy: Path, option: str, name: str) -> None:
    document = json.loads((copy / "run.json").read_text())
    document["options"][option] = name
    (copy / "run.json").write_text(json.dumps(document))
    with pytest.raises(InputError, match="file that there cannot be"):
        read_record(copy / "run.json")


def test_a_run_whose_every_document_nests_is_counted(copy: Path) -> None:
    (item,) = (copy / "items").iterdir()
    item.write_text(DEEP)
    assert not RunFolder(copy).is_whole(item.stem)
    assert not RunFolder(copy).holds(item.stem, "0" * 64)
    found = [f.problem for f in verify(copy).findings if f.item == item.stem]
    assert any("item cannot be read" in problem for problem in found)
    (copy / "model.json").write_text(DEEP)
    found = [f.problem for f in verify(copy).findings if f.item == "model.json"]
    assert any("cannot be read" in problem for problem in found)
    (copy / "quarantine").mkdir()
    (copy / "quarantine" / "a.json").write_text(DEEP)
    assert [failure.item for failure in failures(RunFolder(copy))] == ["a"]
    (copy / "collection.json").write_text(DEEP)
    with pytest.raises(InputError, match=r"collection\.json"):
        verify(copy)


def test_tags_that_nest_are_no_tags() -> None:
    assert _tags('{"a":' * 100_000) == {}


@pytest.mark.parametrize("number", ["1" + "0" * 400, "9" * 5000, "[" * 5000, "1e999", "nan"])
def test_absurd_numbers_in_tables_are_told(tmp_path: Path, number: str) -> None:
    from rsaug.pipelines.train.mix import read_mix

    rules = tmp_path / "rules.toml"
    rules.write_text(f"[defaults]\nwidth_m = {number}\n")
    with pytest.raises(InputError, match=r"TOML|finite number of metres"):
        read_rules(rules)
    mix = tmp_path / "mix.toml"
    mix.write_text(f"drop_text = {number}\n")
    with pytest.raises(InputError):
        read_mix(mix)


def test_a_crs_that_is_no_text_is_told() -> None:
    with pytest.raises(InputError, match="not a known CRS"):
        parse_crs("EPSG:\udcff")


# Layers.


def roads() -> gpd.GeoDataFrame:
    line = LineString([(WEST, NORTH), (WEST + 50, NORTH + 20)])
    return gpd.GeoDataFrame({"width": ["4"]}, geometry=[line], crs=CRS)


def test_a_shapefile_with_a_broken_crs_is_told(tmp_path: Path) -> None:
    path = tmp_path / "roads.shp"
    roads().to_file(path)
    text = path.with_suffix(".prj").read_text()
    wrong = text.replace("Transverse", "Tr\x9ensverse")
    path.with_suffix(".prj").write_text(wrong, encoding="latin-1")
    with pytest.raises(InputError, match="CRS"):
        open_source(path)


def test_a_layer_of_another_planet_is_told(tmp_path: Path) -> None:
    path = tmp_path / "roads.shp"
    roads().to_file(path)
    text = path.with_suffix(".prj").read_text()
    assert "6378137.0" in text
    path.with_suffix(".prj").write_text(text.replace("6378137.0", "3396190.0"))
    with pytest.raises(InputError, match="no relation to longitude and latitude"):
        open_source(path)


@pytest.mark.parametrize("method", [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_a_zip_file_of_any_kind_of_damage_is_told(tmp_path: Path, method: int) -> None:
    roads().to_file(tmp_path / "roads.shp")
    path = tmp_path / "roads.zip"
    with zipfile.ZipFile(path, "w", method) as archive:
        for part in tmp_path.glob("roads.*"):
            if part.suffix != ".zip":
                archive.write(part, part.name)
        at = archive.getinfo("roads.shp").header_offset
    content = bytearray(path.read_bytes())
    for shift in (4, 8, 40, 45, 60):
        broken = bytearray(content)
        broken[at + shift : at + shift + 6] = b"\xff\x00\xff\x00\xff\x13"
        path.write_bytes(broken)
        with pytest.raises(InputError):
            open_source(path).read()


# Rasters.


def tile(size: int) -> Tile:
    corner = Affine(0.5, 0, WEST, 0, -0.5, NORTH)
    return Tile.from_transform(corner, (size, size), parse_crs(CRS))


PROFILE: dict[str, Any] = {
    "driver": "GTiff",
    "count": 3,
    "dtype": "uint8",
    "crs": f"EPSG:{CRS}",
    "transform": Affine(0.5, 0, WEST, 0, -0.5, NORTH),
}


def bomb(path: Path, side: int, **options: Any) -> Path:
    """A GeoTIFF of a few kilobytes that says that it has side x side pixels."""
    profile = {**PROFILE, "width": side, "height": side, "sparse_ok": True, **options}
    with rasterio.open(path, "w", **profile):
        pass
    assert path.stat().st_size < 50_000_000
    return path


def test_an_image_that_grows_when_it_is_read_is_refused(tmp_path: Path) -> None:
    path = bomb(tmp_path / "bomb.tif", 100_000, tiled=True, blockxsize=2048, blockysize=2048)
    with pytest.raises(InputError, match=r"100000 x 100000 pixels, 30 GB"):
        read_rgb(path)
    assert raster_info(path).shape == (100_000, 100_000)  # what is read by windows may be large
    stack = bomb(tmp_path / "stack.tif", 20_000, count=18, tiled=True)
    with pytest.raises(InputError, match="no control stack"):
        read_stack(stack)


def test_an_image_of_one_huge_block_is_refused(tmp_path: Path) -> None:
    options = {"tiled": True, "blockxsize": 40_960, "blockysize": 40_960, "compress": "deflate"}
    path = bomb(tmp_path / "block.tif", 40_000, count=1, **options)
    with pytest.raises(InputError, match=r"blocks of 40960 x 40960"), open_image(path):
        pass
    with pytest.raises(InputError, match="blocks"):
        raster_info(path)


def test_a_picture_that_grows_is_refused(tmp_path: Path) -> None:
    """A PNG of 2 GB of nothing: GDAL reads it row by row, and all of it is refused."""
    import struct
    import zlib

    def chunk(kind: bytes, content: bytes) -> bytes:
        check = zlib.crc32(kind + content)
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", check)

    head = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    data = zlib.compress(bytes(1 << 20))
    path = tmp_path / "bomb.png"
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", data) + chunk(b"IEND", b"")
    )
    with pytest.raises(InputError, match="60000 x 60000"):
        read_rgb(path)


@contextmanager
def server() -> Iterator[tuple[str, list[str]]]:
    """A web server, and what it is asked for."""
    asked: list[str] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_error(404)

        do_HEAD = do_GET

        def log_message(self, *args: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as web:
        thread = threading.Thread(target=web.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{web.server_port}", asked
        finally:
            web.shutdown()
            thread.join()


def test_overviews_that_lie_elsewhere_are_not_looked_for(tmp_path: Path) -> None:
    """A GeoTIFF can say in itself where its overviews are: in any file, or on a server."""
    secret = tmp_path / "secret.tif"
    with rasterio.open(secret, "w", **{**PROFILE, "width": 32, "height": 32}) as dst:
        dst.write(np.full((3, 32, 32), 77, dtype=np.uint8))
    with server() as (address, asked):
        for place in (str(secret), f"/vsicurl/{address}/overview.tif"):
            path = tmp_path / "image.tif"
            path.unlink(missing_ok=True)
            with rasterio.open(path, "w", **{**PROFILE, "width": 64, "height": 64}) as dst:
                dst.write(np.zeros((3, 64, 64), dtype=np.uint8))
                dst.update_tags(ns="OVERVIEWS", OVERVIEW_FILE=place)
            for read in (
                read_rgb,
                raster_info,
                lambda path: read_onto(path, tile(64), resampling="bilinear"),
            ):
                with pytest.raises(InputError, match="names another file for its overviews"):
                    read(path)
            with (
                pytest.raises(rasterio.errors.RasterioIOError, match="another file"),
                opened(path, "GTiff", overview_level=0),
            ):
                pass
        assert asked == []
    # That is what GDAL would do by itself.
    path = tmp_path / "elsewhere.tif"
    with rasterio.open(path, "w", **{**PROFILE, "width": 64, "height": 64}) as dst:
        dst.update_tags(ns="OVERVIEWS", OVERVIEW_FILE=str(secret))
    with rasterio.open(path) as src:
        assert src.overviews(1) == [2]


def test_images_that_lie_nowhere_are_told(tmp_path: Path) -> None:
    mars = rasterio.crs.CRS.from_string("+proj=utm +zone=35 +a=3396190 +b=3376200 +units=m")
    nowhere = Affine(0.5, 0, float("nan"), 0, -0.5, NORTH)
    for change in ({"crs": mars}, {"transform": nowhere}):
        path = tmp_path / "image.tif"
        profile = {**PROFILE, "width": 64, "height": 64, **change}
        with rasterio.open(path, "w", **profile) as dst:
            dst.write(np.zeros((3, 64, 64), dtype=np.uint8))
        photo = Photo.open(path)
        assert (photo.metadata.longitude, photo.metadata.latitude) == (None, None)
    with pytest.raises(InputError, match="square, north-up pixels"):
        Tile.from_raster(path)
    with pytest.raises(InputError, match="no relation to longitude"):
        to_lonlat(CRS_OF.from_wkt(mars.to_wkt()))


def test_a_raster_whose_crs_cannot_be_read_is_told(tmp_path: Path) -> None:
    """A projection of Erdas Imagine without its map, of which no CRS can be made."""
    path = tmp_path / "image.img"
    profile = {"driver": "HFA", "width": 64, "height": 64, "count": 3, "dtype": "uint8"}
    place = {"crs": "EPSG:32635", "transform": Affine(0.5, 0, WEST, 0, -0.5, NORTH)}
    with rasterio.open(path, "w", **profile, **place) as dst:
        dst.write(np.zeros((3, 64, 64), dtype=np.uint8))
    content = bytearray(path.read_bytes())
    name = content.index(b"Map_Info\0")
    # Where an entry's data lie stands eight bytes before its name.
    content[name - 8 : name - 4] = bytes(4)
    path.write_bytes(content)
    for reader in (
        read_rgb,
        raster_info,
        Tile.from_raster,
        Photo.open,
        read_stack,
        read_provenance,
    ):
        with pytest.raises(InputError, match="CRS cannot be read"):
            reader(path)


def test_tags_of_another_encoding_are_left_out(tmp_path: Path) -> None:
    """Older programs write names in Latin-1; GDAL hands them on as they are."""
    path = tmp_path / "image.tif"
    with rasterio.open(path, "w", **{**PROFILE, "width": 64, "height": 64}) as dst:
        dst.write(np.zeros((3, 64, 64), dtype=np.uint8))
        dst.update_tags(TIFFTAG_ARTIST="Bj?rn Marker", ns="")
        dst.set_band_description(1, "Bj?rn")
    path.write_bytes(path.read_bytes().replace(b"Bj?rn", "Bj\xf6rn".encode("latin-1")))
    assert read_provenance(path) is None
    assert not look_at_image(path).synthetic
    assert Photo.open(path).read().shape == (3, 64, 64)
    with pytest.raises(InputError, match="no control stack"):
        read_stack(path)


def test_files_beside_an_image_are_not_read(tmp_path: Path) -> None:
    path = tmp_path / "image.tif"
    write_cog(path, np.full((3, 64, 64), 9, dtype=np.uint8), tile(64))
    wanted = read_rgb(path)
    with rasterio.open(path) as src:
        other = src.profile | {"count": 1, "driver": "GTiff"}
    for suffix in (".msk", ".ovr"):
        with rasterio.open(f"{path}{suffix}", "w", **other) as dst:
            dst.write(np.zeros((1, 64, 64), dtype=np.uint8))
    Path(f"{path}.aux.xml").write_text(
        "<PAMDataset><SRS>EPSG:3857</SRS><GeoTransform>0,1,0,0,0,-1</GeoTransform></PAMDataset>"
    )
    with open_image(path) as src:
        assert src.crs.to_epsg() == CRS
        assert src.overviews(1) == []
        assert (src.dataset_mask() == 255).all()
        assert np.array_equal(src.read(), wanted)


@pytest.mark.parametrize("how", ["/vsicurl/{}/a.tif", "/vsicurl?url={}/a.tif", "{}/a.tif"])
def test_no_server_is_asked_where_a_file_is_meant(how: str) -> None:
    with server() as (address, asked):
        for read in (read_rgb, raster_info, read_stack):
            with pytest.raises(InputError):
                read(how.format(address))
        if how.startswith("/vsi"):
            with pytest.raises(InputError):
                open_source(how.format(address))
        assert asked == []


# Runs.


def test_links_and_dots_in_a_run_lead_nowhere(copy: Path, tmp_path: Path) -> None:
    secret = tmp_path / "secret.tif"
    (image,) = (copy / "images").iterdir()
    secret.write_bytes(image.read_bytes())
    (item,) = (copy / "items").iterdir()
    whole = json.loads(item.read_text())
    inside = "../images/../../secret.tif"
    for href in ("../../secret.tif", str(secret), f"file://{secret}", inside):
        whole["assets"]["image"]["href"] = href
        item.write_text(json.dumps(whole))
        assert RunFolder(copy).asset(href) is None
        assert not RunFolder(copy).is_whole(item.stem)
        found = [finding.problem for finding in verify(copy).findings]
        assert f"names {href}, which lies outside of the run" in found
    image.unlink()
    image.symlink_to(secret)
    whole["assets"]["image"]["href"] = f"../images/{image.name}"
    item.write_text(json.dumps(whole))
    assert not RunFolder(copy).is_whole(item.stem)
    verify(copy, discard=True)
    assert secret.exists()
    assert not image.is_symlink()


def test_names_with_dots_in_a_manifest_are_refused(copy: Path) -> None:
    from rsaug.downstream.evaluation.tiles import read_run

    table = pd.read_parquet(copy / "manifest.parquet")
    table["id"] = "../../secret"
    table.to_parquet(copy / "manifest.parquet")
    with pytest.raises(InputError, match="secret"):
        read_run(copy)


def test_a_manifest_that_grows_is_refused(tmp_path: Path) -> None:
    """A table of a hundred million rows in a few kilobytes."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    group = pa.table({"id": pa.DictionaryArray.from_arrays(np.zeros(10**6, np.int8), ["a"])})
    path = tmp_path / "manifest.parquet"
    with pq.ParquetWriter(path, group.schema) as writer:
        for _ in range(MOST_ROWS // 10**6 + 1):
            writer.write_table(group)
    assert path.stat().st_size < 100_000
    with pytest.raises(ValueError, match=r"11000000 rows"):
        read_manifest(path, ["id"])
    with pytest.raises(ValueError, match="no column 'b'"):
        read_manifest(_small(tmp_path), ["b"])


def test_a_manifest_of_another_type_is_told(copy: Path) -> None:
    """Whole numbers of 127 bits in the schema that Arrow keeps in the file."""
    path = copy / "manifest.parquet"
    pd.DataFrame({"id": np.zeros(1, dtype=np.int16)}).to_parquet(path)
    content = path.read_bytes()
    found = re.search(rb"ARROW:schema.{1,4}?([A-Za-z0-9+/]{40,}=*)", content, re.DOTALL)
    assert found is not None
    schema = bytearray(base64.b64decode(found[1]))
    schema[schema.rindex(b"\x10\0\0\0")] = 127
    path.write_bytes(content.replace(found[1], base64.b64encode(schema)))
    with pytest.raises(ValueError, match="64 bits"):
        read_manifest(path, ["id"])
    assert ("manifest.parquet", "cannot be read") in {
        (finding.item, finding.problem) for finding in verify(copy).findings
    }


def test_a_manifest_with_bytes_that_are_no_text_is_told(tmp_path: Path) -> None:
    path = tmp_path / "manifest.parquet"
    pd.DataFrame({"id": ["r1_c2"]}).to_parquet(path, compression=None)
    path.write_bytes(path.read_bytes().replace(b"r1_c2", b"r1\xfec2"))
    with pytest.raises(ValueError, match="UTF8"):
        read_manifest(path, ["id"])


def _small(folder: Path) -> Path:
    path = folder / "small.parquet"
    pd.DataFrame({"id": ["a"]}).to_parquet(path)
    return path


# Arrays and models.


class Trap:
    """Makes a file when it is unpickled."""

    def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
        return os.mkdir, ("sprung",)


def test_arrays_of_objects_are_not_unpickled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from rsaug.downstream.quality.features import _read

    monkeypatch.chdir(tmp_path)
    for name in ("keys", "features"):
        content: dict[str, Any] = {"keys": np.array(["a"]), "features": np.zeros((1, 4))}
        content[name] = np.array([Trap()], dtype=object)
        np.savez(tmp_path / "features.npz", **content)
        with pytest.raises(InputError, match="no file of features"):
            _read(tmp_path / "features.npz")
    assert not Path("sprung").exists()


@pytest.mark.parametrize("shape", [[1 << 40], [1 << 62, 4], [-1], [0, 1 << 60], [2, 2]])
def test_weights_of_another_size_than_they_say(tmp_path: Path, shape: list[int]) -> None:
    from rsaug.pipelines.convert.checkpoint import open_checkpoint

    header = {"a": {"dtype": "F32", "shape": shape, "data_offsets": [0, 12]}}
    text = json.dumps(header).encode()
    path = tmp_path / "model.safetensors"
    path.write_bytes(len(text).to_bytes(8, "little") + text + bytes(12))
    with pytest.raises(InputError, match="safetensors"), open_checkpoint(path) as checkpoint:
        checkpoint.read("a")


def test_a_header_of_weights_larger_than_its_file(tmp_path: Path) -> None:
    from rsaug.pipelines.convert.checkpoint import open_checkpoint

    path = tmp_path / "model.safetensors"
    path.write_bytes((1 << 62).to_bytes(8, "little") + b"{}")
    with pytest.raises(InputError, match="safetensors"), open_checkpoint(path):
        pass


@pytest.mark.parametrize("content", [b"", b"PK\3\4", b"\x93NUMPY\1\0", b"(1, 2", b"\x80\4."])
def test_what_is_no_file_of_arrays_is_a_value_error(content: bytes) -> None:
    from rsaug.downstream.arrays import read_arrays

    file = io.BytesIO()
    np.save(file, np.zeros(3))
    for given in (content, file.getvalue()):
        with pytest.raises(ValueError, match=r"."):
            read_arrays(given)


@pytest.mark.parametrize("header", ["(1, 4", "{'a", "'\\U00ffffff'", "{'descr': '<f8'}", "9**9**9"])
def test_headers_of_arrays_are_not_believed(header: str) -> None:
    from rsaug.downstream.arrays import read_arrays

    text = header.encode().ljust(118)
    array = b"\x93NUMPY\1\0" + len(text).to_bytes(2, "little") + text + bytes(32)
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("a.npy", array)
    with pytest.raises(ValueError, match=r"."):
        read_arrays(file.getvalue())


def test_members_that_are_no_arrays_or_hold_no_letters_are_told() -> None:
    from rsaug.downstream.arrays import read_arrays

    file = io.BytesIO()
    np.savez(file, keys=np.array(["a", "b"]), empty=np.array([""]), big=np.array(["a"], ">U1"))
    assert read_arrays(file.getvalue())["keys"].tolist() == ["a", "b"]
    content = file.getvalue().replace(b"a\0\0\0b", b"a\0\0\x7fb")
    with pytest.raises(ValueError, match=r"letters|CRC"):
        read_arrays(content)
    letters = io.BytesIO()
    np.save(letters, np.array(["a", "b"]))
    for member, message in ((b"no array", "no array"), (letters.getvalue(), "letters")):
        file = io.BytesIO()
        with zipfile.ZipFile(file, "w") as archive:
            archive.writestr("keys.npy", member.replace(b"a\0\0\0b", b"a\0\0\x7fb"))
        with pytest.raises(ValueError, match=message):
            read_arrays(file.getvalue())


def test_arrays_that_grow_are_refused() -> None:
    """Three gigabytes of zeros in three megabytes; it is the archive's own word that is taken."""
    from rsaug.downstream.arrays import read_arrays

    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.npy", bytes(1 << 20))
    content = file.getvalue()
    said = (1 << 20).to_bytes(4, "little")
    assert content.count(said) == 2
    with pytest.raises(ValueError, match="4294967280 bytes"):
        read_arrays(content.replace(said, (0xFFFFFFF0).to_bytes(4, "little")))


def test_heights_in_lists_and_tables_are_counted() -> None:
    from shapely.geometry import box

    from rsaug.conditions.depth import building_heights

    frame = gpd.GeoDataFrame(
        {"height": [["4", "5"], {"a": 1}, "7", None]},
        geometry=[box(WEST + k, NORTH, WEST + k + 0.5, NORTH + 1) for k in range(4)],
        crs=CRS,
    )
    heights = building_heights(frame, parse_crs(CRS))
    assert heights.height_m[2] == 7
    assert sum(heights.report.ignored.values()) == 2


def test_a_training_checkpoint_that_is_cut_anywhere_is_told(tmp_path: Path) -> None:
    import torch

    from rsaug.pipelines.train.checkpoint import resume

    path = tmp_path / "run.ckpt"
    torch.save({"parts": {}, "step": 3, "made_by": {}}, path)
    content = path.read_bytes()
    assert resume(path, {}, {}) == 3
    for at in range(0, len(content), 97):
        for altered in (content[:at], content[:at] + b"\x8e\xff\x0b" + content[at + 3 :]):
            path.write_bytes(altered)
            try:
                assert resume(path, {}, {}) == 3  # where what was altered says nothing
            except InputError as error:
                assert "checkpoint" in str(error) or "another recipe" in str(error)  # noqa: PT017


def test_nothing_of_a_run_reaches_for_the_network(
    copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*args: object, **kwargs: object) -> None:
        raise AssertionError("the network was asked")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    read_status(copy, 0.0)
    assert verify(copy).findings == ()


@pytest.mark.parametrize("ranges", [3, [1, 2], [[1, 2], 7.5], {"a": 1}, "x"])
def test_a_model_whose_configuration_is_of_another_kind(tmp_path: Path, ranges: object) -> None:
    from rsaug.pipelines.catalog import describe_model
    from rsaug.pipelines.folders import INDEX, PIPELINE

    index = {"_class_name": PIPELINE, "metadata_embedding": ["x", "MetadataEmbedding"]}
    (tmp_path / INDEX).write_text(json.dumps(index))
    (tmp_path / "metadata_embedding").mkdir()
    config = tmp_path / "metadata_embedding" / "config.json"
    config.write_text(json.dumps({"ranges": ranges}))
    if ranges in ({"a": 1}, "x"):
        assert describe_model(str(tmp_path)).parts == {}  # what is told of them is what is there
        return
    with pytest.raises(InputError, match="of another kind"):
        describe_model(str(tmp_path))


def test_bytes_that_are_no_array_are_told(tmp_path: Path) -> None:
    from rsaug.downstream.quality.features import _read

    file = io.BytesIO()
    np.savez(file, keys=np.array(["a"]), features=np.zeros((1, 4)))
    content = bytearray(file.getvalue())
    at = content.index(b"'shape': (1, 4)")
    content[at : at + 15] = b"'shape': (9**9)"
    (tmp_path / "features.npz").write_bytes(content)
    with pytest.raises(InputError, match="no file of features"):
        _read(tmp_path / "features.npz")
