"""Burning against brute force, and GeoTIFFs there and back."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import rasterio
import rasterio.features
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image
from rasterio.enums import ColorInterp
from strategies import UTM, grids, road_lines

from rsaug.errors import InputError
from rsaug.grid import Tile, TileGrid
from rsaug.raster import burn, encode_cog, read_rgb, write_cog
from rsaug.roads import road_surfaces

TILE = TileGrid(UTM, 0.6, 64).tile(-173_812, 10_023)


def pixel_centres(tile: Tile) -> NDArray[np.object_]:
    """Points in the middle of the pixels, (rows, cols)."""
    rows, cols = np.mgrid[0.5 : tile.shape[0], 0.5 : tile.shape[1]]
    left, _, _, top = tile.bounds
    points: NDArray[np.object_] = shapely.points(
        left + cols * tile.transform.a, top - rows * tile.transform.a
    )
    return points


def holding(shape: shapely.Geometry, tile: Tile) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Whether each pixel's centre is in the shape, and whether it is clear of the outline."""
    centres = pixel_centres(tile)
    shapely.prepare(shape)
    clear = shapely.distance(centres, shape.boundary) > 1e-6 * tile.transform.a
    return shapely.contains(shape, centres), clear


@settings(deadline=None, max_examples=40)
@given(st.data())
def test_burn_is_point_in_polygon_at_pixel_centres(data: st.DataObject) -> None:
    tile = data.draw(grids()).tile(-20_000, 5_000)
    surfaces = road_surfaces(data.draw(road_lines(tile)), tile.crs).surfaces.geometry
    burned = burn([(shape, 1) for shape in surfaces], tile)
    inside, clear = zip(*(holding(shape, tile) for shape in surfaces), strict=True)
    sure = np.all(clear, axis=0)
    np.testing.assert_array_equal(burned[sure], np.any(inside, axis=0)[sure])


@settings(deadline=None, max_examples=20)
@given(st.data())
def test_tiles_put_together_are_the_mosaic(data: st.DataObject) -> None:
    grid = TileGrid(UTM, data.draw(st.sampled_from([0.3, 0.6, 1.0])), 16)
    tiles = [[grid.tile(-40_000 + row, 9_000 + col) for col in range(3)] for row in range(3)]
    whole = Tile.from_transform(tiles[0][0].transform, (48, 48), UTM)
    surfaces = road_surfaces(data.draw(road_lines(whole)), UTM).surfaces.geometry
    shapes = [(shape, number) for number, shape in enumerate(surfaces, start=1)]
    mosaic = np.block([[burn(shapes, tile) for tile in row] for row in tiles])
    np.testing.assert_array_equal(mosaic, burn(shapes, whole))


def test_later_shapes_cover_earlier_ones() -> None:
    left, bottom, right, top = TILE.bounds
    middle = (left + right) / 2
    burned = burn([(TILE.polygon, 7), (shapely.box(left, bottom, middle, top), 9)], TILE)
    assert (burned[:, :32] == 9).all()
    assert (burned[:, 32:] == 7).all()


def test_large_shapes_are_cut_without_a_trace() -> None:
    """A lake of 50,000 corners with an island, against GDAL given the whole of it."""
    angle = np.linspace(0, 2 * np.pi, 50_000, endpoint=False)
    radius = 900 + 8 * np.sin(angle * 1000)
    shore = np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1)
    origin = np.array(TILE.bounds[:2]) - [900, 0]
    lake = shapely.Polygon(shore + origin, [shore[::-1] * 0.99 + origin])
    burned = burn([(lake, 1)], TILE)
    whole = rasterio.features.rasterize([lake], TILE.shape, transform=TILE.transform)
    assert 0 < burned.mean() < 1
    np.testing.assert_array_equal(burned, whole)
    assert not burn([(shapely.affinity.translate(lake, 5000), 1)], TILE).any()


def test_nothing_burns_to_zero() -> None:
    burned = burn([], TILE)
    assert burned.dtype == np.uint8
    assert burned.shape == (64, 64)
    assert not burned.any()


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
