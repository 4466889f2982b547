"""Room for a manifest: all else in the file stays as it was, for every reader."""

from __future__ import annotations

import io
import logging
import struct
from pathlib import Path

import numpy as np
import pytest
import rasterio
import rasterio.shutil
from rasterio.io import MemoryFile

from rsaug.errors import InputError
from rsaug.grid import TileGrid, parse_crs
from rsaug.raster import encode_cog
from rsaug.tiffroom import add_room, has_manifest, page_count, with_room

TAGS = {"TIFFTAG_SOFTWARE": "a program", "RSAUG_KEY": "k" * 64}


def cog(size: int, bands: int = 3) -> bytes:
    tile = TileGrid(parse_crs(32635), 0.5, size).tile(-3, 5)
    array = np.random.default_rng(0).integers(0, 255, (bands, size, size), np.uint8)
    return encode_cog(array, tile, tags=TAGS, xmp="<x:xmpmeta/>")


def said(content: bytes) -> tuple[object, ...]:
    """What GDAL reads in a file."""
    with MemoryFile(content) as memory, memory.open() as src:
        profile = {name: value for name, value in src.profile.items() if name != "crs"}
        inside = (src.overviews(1), src.subdatasets, src.mask_flag_enums)
        tags = (src.tags(), src.tags(ns="xml:XMP"), src.tags(ns="IMAGE_STRUCTURE"))
        return src.read().tobytes(), profile, src.crs, tags, *inside


def first_page(content: bytes) -> int:
    return int(struct.unpack_from("<I", content, 4)[0])


# One block, whose place is in the directory itself, and several, whose places are elsewhere.
@pytest.mark.parametrize(("size", "bands"), [(16, 3), (48, 1), (640, 3)])
def test_room_in_a_single_page_moves_all_else_as_it_is(size: int, bands: int) -> None:
    plain = cog(size, bands)
    roomy = with_room(plain, 1001)
    assert said(roomy) == said(plain)
    assert first_page(roomy) == first_page(plain) < 300
    assert (has_manifest(io.BytesIO(plain)), has_manifest(io.BytesIO(roomy))) == (False, True)
    assert len(roomy) - len(plain) in (1001 + 12, 1001 + 13)
    with pytest.raises(InputError, match="without a manifest"):
        with_room(roomy, 5)


def pyramid(path: Path, *, big: bool = False, endian: str = "LITTLE") -> bytes:
    """A raster with overviews and a mask."""
    rough = path.with_name("rough.tif")
    array = np.random.default_rng(0).integers(0, 255, (3, 192, 192), np.uint8)
    shape = {"width": 192, "height": 192, "count": 3, "dtype": "uint8"}
    place = {"crs": "EPSG:32635", "transform": rasterio.Affine(1, 0, 5, 0, -1, 5)}
    with (
        rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True),
        rasterio.open(rough, "w", driver="GTiff", **shape, **place) as dst,
    ):
        dst.write(array)
        dst.write_mask(array[0] > 9)
        dst.update_tags(**TAGS)
    if endian == "BIG":
        rasterio.shutil.copy(rough, path, driver="GTiff", ENDIANNESS="BIG", TILED="YES")
        with rasterio.open(path, "r+") as dst:
            dst.build_overviews([2])
    else:
        rasterio.shutil.copy(
            rough, path, driver="COG", BLOCKSIZE=64, BIGTIFF="YES" if big else "NO"
        )
    return path.read_bytes()


@pytest.mark.parametrize(("big", "endian"), [(False, "LITTLE"), (True, "LITTLE"), (False, "BIG")])
def test_a_page_of_its_own_is_passed_over(
    tmp_path: Path, big: bool, endian: str, caplog: pytest.LogCaptureFixture
) -> None:
    plain = pyramid(tmp_path / "a.tif", big=big, endian=endian)
    pages = page_count(io.BytesIO(plain))
    assert pages > 2
    file = io.BytesIO(plain)
    add_room(file, 777)
    once = file.getvalue()
    with caplog.at_level(logging.INFO, "rasterio"):
        assert said(once) == said(plain)
    assert not [record for record in caplog.records if "error" in record.message]
    assert has_manifest(io.BytesIO(once))
    assert page_count(io.BytesIO(once)) == pages + 1
    # Only the link to the new page is another.
    changed = [a != b for a, b in zip(plain, once, strict=False)]
    assert 0 < sum(changed) <= 8
    # Other room takes the place of the first.
    add_room(file, 999)
    assert page_count(io.BytesIO(file.getvalue())) == pages + 1
    assert len(file.getvalue()) == len(once) + 222


def test_what_is_no_tiff_has_no_manifest() -> None:
    for content in (b"", b"II", b"no tiff at all", b"II*\0\x08\0\0\0", b"II*\0\xff\xff\xff\xff"):
        assert not has_manifest(io.BytesIO(content))
    with pytest.raises(InputError, match="no TIFF file"):
        page_count(io.BytesIO(b"\x89PNG"))
    with pytest.raises(InputError, match="no TIFF file"):
        with_room(b"\x89PNG", 9)


def test_pages_in_a_circle_are_left() -> None:
    # A directory without an entry that leads to itself.
    circle = b"II*\0" + struct.pack("<IHI", 8, 0, 8)
    assert not has_manifest(io.BytesIO(circle))
    with pytest.raises(InputError, match="circle"):
        page_count(io.BytesIO(circle))
