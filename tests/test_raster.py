"""GeoTIFFs there and back."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import rasterio
from numpy.typing import NDArray
from PIL import Image
from rasterio.enums import ColorInterp
from strategies import UTM

from rsaug.errors import InputError
from rsaug.grid import Tile, TileGrid
from rsaug.raster import encode_cog, read_rgb, write_cog

TILE = TileGrid(UTM, 0.6, 64).tile(-173_812, 10_023)


def noise(bands: int, dtype: str = "uint8") -> NDArray[np.generic]:
    """Random pixels for the tile."""
    values = np.random.default_rng(0).integers(0, 256, (bands, *TILE.shape))
    return (values / 255).astype(dtype) if dtype == "float32" else values.astype(dtype)


def test_rgb_comes_back_with_its_place_and_tags(tmp_path: Path) -> None:
    path = tmp_path / "image.tif"
    image = noise(3)
    write_cog(path, image, TILE, descriptions=("red", "green", "blue"), tags={"MADE_BY": "a test"})
    assert list(tmp_path.iterdir()) == [path]
    with rasterio.open(path) as src:
        np.testing.assert_array_equal(src.read(), image)
        assert src.transform == TILE.transform
        assert src.crs.to_epsg() == 32635
        assert src.nodata is None
        assert src.descriptions == ("red", "green", "blue")
        assert src.colorinterp == (ColorInterp.red, ColorInterp.green, ColorInterp.blue)
        assert src.tags()["MADE_BY"] == "a test"
        assert src.overviews(1) == []
        assert src.block_shapes == [(64, 64)] * 3
        assert src.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"
    np.testing.assert_array_equal(read_rgb(path), image)


@pytest.mark.parametrize(("bands", "dtype"), [(1, "uint8"), (18, "float32")])
def test_other_arrays_come_back(tmp_path: Path, bands: int, dtype: str) -> None:
    path = tmp_path / "map.tif"
    write_cog(path, noise(bands, dtype), TILE)
    with rasterio.open(path) as src:
        assert src.dtypes == (dtype,) * bands
        np.testing.assert_array_equal(src.read(), noise(bands, dtype))


def test_odd_sizes_come_back(tmp_path: Path) -> None:
    tile = TileGrid(UTM, 0.6, 601).tile(0, 0)
    image = np.random.default_rng(1).integers(0, 256, (3, 601, 601)).astype(np.uint8)
    write_cog(tmp_path / "image.tif", image, tile)
    np.testing.assert_array_equal(read_rgb(tmp_path / "image.tif"), image)


def test_same_input_same_bytes() -> None:
    tags = {"B": "2", "A": "1"}
    assert encode_cog(noise(3), TILE, tags=tags) == encode_cog(noise(3), TILE, tags=tags)


def test_arrays_that_do_not_fit_are_refused() -> None:
    with pytest.raises(InputError, match=r"needs \(bands, 64, 64\)"):
        encode_cog(np.zeros((3, 64, 63), np.uint8), TILE)
    with pytest.raises(InputError, match="2 descriptions for 3 bands"):
        encode_cog(noise(3), TILE, descriptions=("red", "green"))


def test_image_without_a_place_is_read(tmp_path: Path) -> None:
    path = tmp_path / "image.png"
    Image.fromarray(np.moveaxis(noise(3), 0, -1)).save(path)
    np.testing.assert_array_equal(read_rgb(path), noise(3))


def test_images_that_are_none_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "image.tif"
    with pytest.raises(InputError, match="cannot be read"):
        read_rgb(path)
    write_cog(path, noise(1), TILE)
    with pytest.raises(InputError, match="1 bands of uint8; three"):
        read_rgb(path)
    write_cog(path, noise(3, "float32"), TILE)
    with pytest.raises(InputError, match="3 bands of float32; three"):
        read_rgb(path)


@pytest.mark.parametrize("name", ["photo.png", "photo.tif", "photo.vrt"])
def test_a_file_that_would_have_gdal_read_others_is_no_image(tmp_path: Path, name: str) -> None:
    """A VRT under any name: it can point at every file that there is, and at the network."""
    secret = tmp_path / "secret.tif"
    write_cog(secret, noise(3), TILE)
    bands = "".join(
        f'<VRTRasterBand dataType="Byte" band="{band}"><SimpleSource><SourceFilename>{secret}'
        f"</SourceFilename><SourceBand>{band}</SourceBand></SimpleSource></VRTRasterBand>"
        for band in (1, 2, 3)
    )
    text = f'<VRTDataset rasterXSize="64" rasterYSize="64">{bands}</VRTDataset>'
    (tmp_path / name).write_text(text)
    with pytest.raises(InputError, match="cannot be read as an image: it is none of GeoTIFF"):
        read_rgb(tmp_path / name)
    with pytest.raises(InputError, match="cannot be read as a raster"):
        Tile.from_raster(tmp_path / name)
