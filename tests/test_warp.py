"""Rasters on tiles: against brute force and GDAL, tile by tile, and files that are none."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from affine import Affine
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from pyproj import CRS, Transformer
from rasterio.enums import ColorInterp, Resampling
from rasterio.vrt import WarpedVRT
from strategies import UTM

from rsaug.errors import InputError
from rsaug.grid import Tile, TileGrid
from rsaug.warp import is_raster, raster_info, read_onto

# 25.5 E, 60.2 N: where the tests' tiles and rasters lie.
X, Y = Transformer.from_crs(4326, UTM, always_xy=True).transform(25.5, 60.2)

PLACES = {
    "degrees": (4326, Affine(2e-5, 0, 25.499, 0, -1e-5, 60.2005)),
    "same CRS": (32635, Affine(0.6, 0, X - 60, 0, -0.6, Y + 60)),
    "half a pixel off": (32635, Affine(1.0, 0, round(X) - 60.5, 0, -1.0, round(Y) + 60.5)),
    "turned": (32635, Affine(0.78, 0.5, X - 80, 0.45, -0.87, Y)),
    "south up": (32635, Affine(0.7, 0, X - 60, 0, 0.7, Y - 60)),
    "another zone": (32636, None),
    "web mercator": (3857, None),
}


def write(
    path: Path, values: NDArray[Any], transform: Affine, crs: Any = 32635, **more: Any
) -> Path:
    """A GeoTIFF of one band, in small blocks."""
    profile = {
        "driver": "GTiff",
        "dtype": values.dtype,
        "height": values.shape[0],
        "width": values.shape[1],
        "count": 1,
        "crs": crs,
        "transform": transform,
        "tiled": True,
        "blockxsize": 32,
        "blockysize": 32,
    }
    with rasterio.open(path, "w", **(profile | more)) as dst:
        dst.write(values, 1)
    return path


def place(name: str) -> tuple[int, Affine]:
    epsg, transform = PLACES[name]
    if transform is None:
        x, y = Transformer.from_crs(4326, epsg, always_xy=True).transform(25.5, 60.2)
        transform = Affine(1.1, 0, x - 90, 0, -1.1, y + 90)
    return epsg, transform


def noise(shape: tuple[int, int] = (150, 160), seed: int = 0) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 255, shape).astype(np.uint8)


def tile_at(row: int, col: int, grid: TileGrid) -> Tile:
    """A tile of the grid, counted from the one over the middle."""
    side = grid.tile_size * grid.resolution
    return grid.tile(row - int(Y // side) - 1, col + int(X // side))


def centres(tile: Tile) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    rows, cols = np.mgrid[: tile.shape[0], : tile.shape[1]]
    left, _, _, top = tile.bounds
    return left + (cols + 0.5) * tile.transform.a, top - (rows + 0.5) * tile.transform.a


def by_index(
    values: NDArray[Any], epsg: int, transform: Affine, tile: Tile, nodata: float | None = None
) -> tuple[NDArray[Any], NDArray[np.bool_], NDArray[np.bool_]]:
    """Pixel by pixel: the value, whether there is one, and whether it is clear of an edge."""
    x, y = Transformer.from_crs(tile.crs, epsg, always_xy=True).transform(*centres(tile))
    out, there = np.zeros(tile.shape, values.dtype), np.zeros(tile.shape, bool)
    clear = np.ones(tile.shape, bool)
    back = ~transform
    for at in np.ndindex(tile.shape):
        col = back.a * x[at] + back.b * y[at] + back.c
        row = back.d * x[at] + back.e * y[at] + back.f
        clear[at] = min(abs(col - round(col)), abs(row - round(row))) > 1e-5
        i, j = int(np.floor(row)), int(np.floor(col))
        if 0 <= i < values.shape[0] and 0 <= j < values.shape[1] and values[i, j] != nodata:
            out[at], there[at] = values[i, j], True
    return out, there, clear


@pytest.mark.parametrize("name", PLACES)
def test_nearest_is_the_pixel_that_holds_the_centre(tmp_path: Path, name: str) -> None:
    epsg, transform = place(name)
    values = noise()
    path = write(tmp_path / "a.tif", values, transform, epsg, nodata=9)
    tile = tile_at(0, 0, TileGrid(UTM, 1.7, 96))
    found = read_onto(path, tile)
    expected, there, clear = by_index(values, epsg, transform, tile, nodata=9)
    assert 0.2 < there.mean() < 1
    assert clear.mean() > 0.9 or name == "half a pixel off"
    np.testing.assert_array_equal(~np.ma.getmaskarray(found)[clear], there[clear])
    both = there & clear
    np.testing.assert_array_equal(found.data[both], expected[both])
    assert found.dtype == np.uint8


@pytest.mark.parametrize("name", ["degrees", "turned", "web mercator"])
@pytest.mark.parametrize("resampling", ["nearest", "bilinear"])
def test_gdal_warps_to_the_same(tmp_path: Path, name: str, resampling: Any) -> None:
    """With a tolerance that makes it project every pixel, and kernels not scaled by the window."""
    epsg, transform = place(name)
    smooth = np.add.outer(np.arange(150), 2 * np.arange(160)).astype(np.float32)
    path = write(tmp_path / "a.tif", smooth, transform, epsg)
    tile = tile_at(0, 0, TileGrid(UTM, 0.8, 64))
    found = read_onto(path, tile, resampling=resampling)
    with (
        rasterio.open(path) as src,
        WarpedVRT(
            src,
            crs=UTM.to_wkt(),
            transform=tile.transform,
            width=64,
            height=64,
            tolerance=1e-9,
            resampling=Resampling[resampling],
            nodata=-1,
            XSCALE=1,
            YSCALE=1,
        ) as warped,
    ):
        expected = warped.read(1)
    both = ~found.mask & (expected != -1)
    assert both.mean() > 0.5
    np.testing.assert_allclose(found.data[both], expected[both], atol=1e-3)


def test_bilinear_of_a_plane_is_the_plane(tmp_path: Path) -> None:
    """At any place, but for the rim, where there are not four pixels around."""
    rows, cols = np.mgrid[0.5:80, 0.5:90]
    transform = Affine(2.0, 0, round(X) - 90.3, 0, -2.0, round(Y) + 80.7)
    path = write(tmp_path / "a.tif", (3 * rows - 5 * cols).astype(np.float32), transform)
    tile = tile_at(0, 0, TileGrid(UTM, 0.9, 128))
    found = read_onto(path, tile, resampling="bilinear")
    x, y = centres(tile)
    col, row = (x - transform.c) / 2, (transform.f - y) / 2
    inner = (col > 0.5) & (col < 89.5) & (row > 0.5) & (row < 79.5)
    assert inner.mean() > 0.3
    assert not np.ma.getmaskarray(found)[inner].any()
    np.testing.assert_allclose(found.data[inner], (3 * row - 5 * col)[inner], atol=1e-3)
    assert found.dtype == np.float32


def test_bilinear_leaves_out_what_has_no_value(tmp_path: Path) -> None:
    """A hole and a NaN that no nodata declares: their pixels are masked, no neighbour moves."""
    values = np.full((20, 20), 7, np.float32)
    values[10, 10], values[5, 5] = -9999, np.nan
    transform = Affine(4.0, 0, round(X), 0, -4.0, round(Y))
    path = write(tmp_path / "a.tif", values, transform, nodata=-9999)
    tile = Tile.from_transform(Affine(1.0, 0, round(X), 0, -1.0, round(Y)), (80, 80), UTM)
    found = read_onto(path, tile, resampling="bilinear")
    expected = np.zeros((80, 80), bool)
    expected[40:44, 40:44] = expected[20:24, 20:24] = True
    np.testing.assert_array_equal(found.mask, expected)
    assert set(found.compressed()) == {7.0}


@settings(
    deadline=None, max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    st.sampled_from(sorted(PLACES)),
    st.sampled_from([0.3, 0.6, 1.0, 1 / 3, 2.5]),
    st.sampled_from(["nearest", "bilinear"]),
    st.integers(-2, 2),
    st.integers(-2, 2),
    st.integers(5, 40),
)
def test_tiles_put_together_are_the_mosaic(
    tmp_path: Path, name: str, gsd_m: float, resampling: Any, row: int, col: int, size: int
) -> None:
    """To the last bit, on edges of the source's pixels too."""
    epsg, transform = place(name)
    path = write(tmp_path / "a.tif", noise(), transform, epsg, nodata=3)
    grid = TileGrid(UTM, gsd_m, size)
    tiles = [[tile_at(row + r, col + c, grid) for c in range(3)] for r in range(2)]
    whole = Tile.from_transform(tiles[0][0].transform, (2 * size, 3 * size), UTM)
    mosaic = read_onto(path, whole, resampling=resampling)
    parts = [[read_onto(path, tile, resampling=resampling) for tile in line] for line in tiles]
    np.testing.assert_array_equal(np.block([[p.data for p in line] for line in parts]), mosaic.data)
    np.testing.assert_array_equal(np.block([[p.mask for p in line] for line in parts]), mosaic.mask)


def test_large_windows_are_read_in_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    epsg, transform = place("turned")
    path = write(tmp_path / "a.tif", noise(), transform, epsg, nodata=3)
    tile = tile_at(0, 0, TileGrid(UTM, 3.1, 48))
    once = {name: read_onto(path, tile, resampling=name) for name in ("nearest", "bilinear")}
    monkeypatch.setattr("rsaug.warp._MOST_PIXELS", 40)
    for name, expected in once.items():
        found = read_onto(path, tile, resampling=name)  # type: ignore[arg-type]
        np.testing.assert_array_equal(found.data, expected.data)
        np.testing.assert_array_equal(found.mask, expected.mask)


def test_bilinear_reads_overviews_and_nearest_does_not(tmp_path: Path) -> None:
    """A chequered raster of 0 and 200, whose overviews, averaged, are 100 everywhere."""
    values = (np.indices((256, 256)).sum(axis=0) % 2 * 200).astype(np.uint8)
    path = write(tmp_path / "a.tif", values, Affine(0.5, 0, round(X), 0, -0.5, round(Y)))
    with rasterio.open(path, "r+") as dst:
        dst.build_overviews([2, 4], Resampling.average)
    grid = TileGrid(UTM, 2.0, 32)
    tile = grid.tile(-int(Y // 64), int(X // 64) + 1)
    for level in range(2):
        mean = read_onto(path, tile, resampling="bilinear")
        assert set(mean.compressed()) == {100.0}, level
    assert set(read_onto(path, tile).compressed()) <= {0, 200}
    finer = TileGrid(UTM, 0.9, 32).tile(-int(Y // 28.8) + 1, int(X // 28.8) + 2)
    assert len(set(read_onto(path, finer, resampling="bilinear").compressed())) > 10


def test_tile_outside_is_masked(tmp_path: Path) -> None:
    path = write(tmp_path / "a.tif", noise(), Affine(1, 0, X, 0, -1, Y))
    found = read_onto(path, tile_at(90, 90, TileGrid(UTM, 1.0, 32)))
    assert found.mask.all()
    assert not found.data.any()
    polar = Tile.from_transform(Affine(9, 0, 2e6, 0, -9, 2e6), (8, 8), CRS.from_epsg(5041))
    assert read_onto(path, polar, resampling="bilinear").mask.all()


def test_only_nodata_is_masked(tmp_path: Path) -> None:
    path = write(tmp_path / "a.tif", np.zeros((40, 40), np.uint8), place("same CRS")[1], nodata=0)
    assert read_onto(path, tile_at(0, 0, TileGrid(UTM, 1.0, 32))).mask.all()


def test_bands(tmp_path: Path) -> None:
    epsg, transform = place("same CRS")
    path = tmp_path / "a.tif"
    stack = np.stack([noise(), noise(seed=1)])
    with rasterio.open(
        path, "w", driver="GTiff", dtype="uint8", height=150, width=160, count=2, crs=epsg,
        transform=transform,
    ) as dst:  # fmt: skip
        dst.write(stack)
        dst.colorinterp = (ColorInterp.gray, ColorInterp.undefined)
    tile = tile_at(0, 0, TileGrid(UTM, 0.6, 16))
    expected, there, clear = by_index(stack[1], epsg, transform, tile)
    found = read_onto(path, tile, band=2)
    np.testing.assert_array_equal(found.data[clear & there], expected[clear & there])
    for band in (0, 3):
        with pytest.raises(InputError, match=f"2 bands, so there is no band {band}"):
            read_onto(path, tile, band=band)


def test_info(tmp_path: Path) -> None:
    path = write(tmp_path / "a.tif", noise(), Affine(2.0, 0, X, 0, -2.0, Y), nodata=5)
    info = raster_info(path)
    assert (info.driver, info.crs, info.shape, info.count) == ("GTiff", UTM, (150, 160), 1)
    assert (info.dtype, info.nodata, info.resolution) == ("uint8", 5.0, (2.0, 2.0))
    assert info.bounds == pytest.approx((X, Y - 300, X + 320, Y))
    assert info.pixel_m == pytest.approx(2.0, rel=1e-3)
    assert info.colours == ("gray",)
    degrees = write(tmp_path / "b.tif", noise(), Affine(1e-3, 0, 25, 0, -1e-3, 60), 4326)
    assert raster_info(degrees).pixel_m == pytest.approx(111_200e-3 * 0.5**0.5, rel=0.01)
    turned = write(tmp_path / "c.tif", noise(), place("turned")[1])
    assert raster_info(turned).resolution == pytest.approx((0.9005, 1.0034), rel=1e-3)
    assert raster_info(turned).bounds[3] > place("turned")[1].f


@pytest.mark.parametrize(("driver", "name"), [("HFA", "a.img"), ("COG", "a.tif")])
def test_other_formats(tmp_path: Path, driver: str, name: str) -> None:
    epsg, transform = place("same CRS")
    path = tmp_path / name
    with rasterio.open(
        path, "w", driver=driver, dtype="uint8", height=150, width=160, count=1, crs=epsg,
        transform=transform,
    ) as dst:  # fmt: skip
        dst.write(noise(), 1)
    tile = tile_at(0, 0, TileGrid(UTM, 0.6, 16))
    plain = write(tmp_path / "plain.tif", noise(), transform, epsg)
    np.testing.assert_array_equal(read_onto(path, tile), read_onto(plain, tile))
    assert is_raster(path)


def test_side_files_are_not_read(tmp_path: Path) -> None:
    """An overview beside the file could be in any format that GDAL knows."""
    epsg, transform = place("same CRS")
    path = write(tmp_path / "a.tif", noise(), transform, epsg)
    tile = tile_at(0, 0, TileGrid(UTM, 5.0, 16))
    before = read_onto(path, tile, resampling="bilinear")
    other = write(tmp_path / "b.tif", np.zeros((75, 80), np.uint8), transform, epsg)
    other.rename(tmp_path / "a.tif.ovr")
    (tmp_path / "a.tif.aux.xml").write_text(
        "<PAMDataset><PAMRasterBand band='1'><NoDataValue>9</NoDataValue></PAMRasterBand>"
        "</PAMDataset>"
    )
    np.testing.assert_array_equal(read_onto(path, tile, resampling="bilinear"), before)
    assert raster_info(path).nodata is None


def test_rasters_are_told_from_vectors(tmp_path: Path) -> None:
    path = write(tmp_path / "a.tif", noise(), Affine(1, 0, X, 0, -1, Y))
    (tmp_path / "no-suffix").write_bytes(path.read_bytes())
    (tmp_path / "areas.geojson").write_text("{}")
    assert is_raster(path)
    assert is_raster(tmp_path / "no-suffix")
    assert is_raster("missing.TIF")
    assert is_raster("picture.vrt")
    for vector in ("areas.geojson", "missing.gpkg", "a.gpkg|layername=b", "postgresql://h/d"):
        assert not is_raster(tmp_path / vector)
    assert not is_raster(tmp_path)


def test_names_that_are_no_local_file_are_refused(tmp_path: Path) -> None:
    for name in (
        "/vsicurl/http://h/a.tif",
        "http://h/a.tif",
        "s3://b/a.tif",
        "/vsizip/a.zip/a.tif",
    ):
        with pytest.raises(InputError, match="is not a local file"):
            raster_info(name)
    for missing in (tmp_path / "a.tif", tmp_path):
        with pytest.raises(InputError, match="does not exist or is no file"):
            raster_info(missing)


def test_formats_that_reach_for_other_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    path.write_text("<VRTDataset rasterXSize='1' rasterYSize='1'></VRTDataset>")
    with pytest.raises(InputError, match="not a raster of a format that is read here: GeoTIFF"):
        raster_info(path)


@pytest.mark.parametrize("keep", [9, 100, 600])
def test_cut_off_files_are_refused(tmp_path: Path, keep: int) -> None:
    epsg, transform = place("same CRS")
    path = write(tmp_path / "a.tif", noise(), transform, epsg)
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(InputError, match="cannot be read as a raster"):
        read_onto(path, tile_at(0, 0, TileGrid(UTM, 1.0, 32)))


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"crs": None}, "has no CRS"),
        ({"transform": Affine.identity()}, "nothing of where its pixels lie"),
        ({"dtype": "complex64"}, "complex numbers"),
    ],
)
@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
def test_rasters_without_what_it_needs_are_refused(
    tmp_path: Path, more: dict[str, Any], message: str
) -> None:
    epsg, transform = place("same CRS")
    values = noise().astype(more.get("dtype", "uint8"))
    given: dict[str, Any] = {"crs": epsg, "transform": transform} | more
    path = write(tmp_path / "a.tif", values, **given)
    with pytest.raises(InputError, match=message):
        raster_info(path)
