"""Content images: which picture a tile gets, and that nothing but the tile and the seed decides."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import rasterio
from affine import Affine
from numpy.typing import NDArray
from strategies import UTM

from rsaug.conditions.content import Folder, Mosaic, OneImage, open_content
from rsaug.errors import InputError
from rsaug.grid import Tile, TileGrid

GRID = TileGrid(UTM, 1.0, 32)
ROW, COL = -200_000, 15_000


def _grid_tile(row: int, col: int) -> Tile:
    return GRID.tile(ROW + row, COL + col)


def _noise(rows: int, cols: int, seed: int = 0) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(1, 256, (3, rows, cols), dtype=np.uint8)


def _write(
    path: Path,
    rgb: NDArray[np.uint8],
    *,
    row: int = 0,
    col: int = 0,
    nodata: int | None = None,
    crs: str = UTM.to_wkt(),
) -> Path:
    """A raster whose upper left corner is that of a tile of the grid."""
    profile = {"driver": "GTiff", "count": len(rgb), "height": rgb.shape[1], "width": rgb.shape[2]}
    transform = _grid_tile(row, col).transform
    with rasterio.open(
        path, "w", dtype="uint8", crs=crs, transform=transform, nodata=nodata, **profile
    ) as dst:
        dst.write(rgb)
    return path


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """A folder of twelve pictures of one colour each, without a place, and a text."""
    folder = tmp_path / "images"
    folder.mkdir()
    for k in range(12):
        _write(folder / f"style{k:02d}.tif", np.full((3, 4, 4), k, np.uint8))
    (folder / "readme.txt").write_text("Pictures.", encoding="utf-8")
    (folder / ".hidden.tif").write_text("", encoding="utf-8")
    return folder


def test_one_image_is_for_every_tile(images: Path) -> None:
    source = open_content(images / "style03.tif")
    assert isinstance(source, OneImage)
    assert (source.pick(_grid_tile(0, 0)) == 3).all()
    assert source.describe() == "image style03.tif"


def test_a_folder_gives_each_tile_its_own_whatever_the_order(images: Path) -> None:
    tiles = [_grid_tile(row, col) for row in range(20) for col in range(20)]
    source = open_content(images, seed=5)
    assert isinstance(source, Folder)
    picks = [source.name(tile) for tile in tiles]
    backwards = Folder(sorted(images.glob("style*.tif"), reverse=True), seed=5)
    assert [backwards.name(tile) for tile in reversed(tiles)] == picks[::-1]
    for tile, name in zip(tiles[:20], picks, strict=False):
        assert (source.pick(tile) == int(name[5:7])).all()
    counts = Counter(picks)
    assert len(counts) == 12
    # 400 draws among 12: 33 each, with a standard deviation of 5.5.
    assert min(counts.values()) > 10
    assert max(counts.values()) < 60
    other = Folder(sorted(images.glob("style*.tif")), seed=6)
    assert picks != [other.name(tile) for tile in tiles]
    assert source.describe() == "one of 12 images a tile, seed 5"


def test_the_same_ground_of_another_numbering_gets_the_same_picture(images: Path) -> None:
    source = Folder(sorted(images.glob("style*.tif")))
    tile = _grid_tile(3, 4)
    alone = Tile.from_transform(tile.transform, tile.shape, tile.crs)
    assert source.name(alone) == source.name(tile)


def test_a_picture_less_changes_only_the_tiles_that_had_it(images: Path) -> None:
    tiles = [_grid_tile(row, col) for row in range(20) for col in range(10)]
    paths = sorted(images.glob("style*.tif"))
    before, after = Folder(paths), Folder(paths[:4] + paths[5:])
    for tile in tiles:
        if before.name(tile) != paths[4].name:
            assert after.name(tile) == before.name(tile)


def test_pictures_that_cannot_be_used_are_named_when_the_folder_is_opened(images: Path) -> None:
    _write(images / "grey.tif", _noise(8, 8)[:1])
    (images / "text.png").write_text("not a picture", encoding="utf-8")
    big = _write(images / "cut.tif", _noise(200, 200))
    big.write_bytes(big.read_bytes()[:5000])
    with pytest.raises(InputError, match="3 of 15 content images") as refusal:
        open_content(images)
    for said in ("cut.tif cannot", "text.png cannot", "grey.tif has 1 bands"):
        assert said in str(refusal.value)


def test_nothing_to_open_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="does not exist"):
        open_content(tmp_path / "none.tif")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="holds no image"):
        open_content(tmp_path / "empty")
    with pytest.raises(InputError, match="at least one"):
        Folder([])
    with pytest.raises(InputError, match="at least one"):
        Mosaic([])


def test_a_mosaic_gives_the_ground_of_the_tile(tmp_path: Path) -> None:
    rgb = _noise(96, 128)
    source = open_content(f"mosaic:{_write(tmp_path / 'town.tif', rgb)}")
    assert isinstance(source, Mosaic)
    for row, col in ((0, 0), (1, 2), (2, 3)):
        expected = rgb[:, 32 * row : 32 * row + 32, 32 * col : 32 * col + 32]
        np.testing.assert_array_equal(source.pick(_grid_tile(row, col)), expected)


def test_a_mosaic_of_pieces_is_one_raster(tmp_path: Path) -> None:
    rgb = _noise(64, 128)
    whole = Mosaic([str(_write(tmp_path / "whole.tif", rgb))])
    folder = tmp_path / "pieces"
    folder.mkdir()
    _write(folder / "a.tif", rgb[:, :, :80])
    _write(folder / "b.tif", np.concatenate([rgb[:, :, :64] // 2, rgb[:, :, 64:]], axis=2))
    pieces = open_content(folder, mosaic=True)
    for col in range(4):
        tile = _grid_tile(0, col)
        np.testing.assert_array_equal(pieces.pick(tile), whole.pick(tile))
    assert pieces.describe() == "nearest ground of a mosaic of 2 rasters"


@pytest.mark.parametrize(("row", "col"), [(0, -3), (5, 1), (-2, 9), (40, 60)])
def test_off_the_mosaic_the_nearest_ground_is_taken(tmp_path: Path, row: int, col: int) -> None:
    rgb = _noise(160, 192)
    source = Mosaic([_write(tmp_path / "town.tif", rgb)])
    tile = _grid_tile(row, col)
    placed = source.place(tile)
    middle = np.array([row + 0.5, col + 0.5]) * 32
    nearest = np.clip(middle, 16, [160 - 16, 192 - 16])
    left, _, _, top = placed.bounds
    first = _grid_tile(0, 0)
    found = np.array([first.bounds[3] - top + 16, left - first.bounds[0] + 16])
    # Windows are tried every eighth of a tile and more coarsely on a large mosaic.
    assert np.abs(found - nearest).max() <= 8
    picked = source.pick(tile)
    at_row, at_col = (found - 16).astype(int)
    np.testing.assert_array_equal(picked, rgb[:, at_row : at_row + 32, at_col : at_col + 32])
    np.testing.assert_array_equal(picked, Mosaic(list(tmp_path.glob("*.tif"))).pick(tile))


def test_ground_without_data_is_not_taken(tmp_path: Path) -> None:
    rgb = _noise(128, 256)
    rgb[:, :, 64:] = 0
    rgb[:, 40:60, 20:30] = 0
    source = Mosaic([_write(tmp_path / "town.tif", rgb, nodata=0)])
    for row, col in ((0, 7), (3, 4), (-5, 5)):
        assert (source.pick(_grid_tile(row, col)) > 0).all()
    # Most of this tile is there, so it stays where it is and its gap is closed.
    holed = source.pick(_grid_tile(1, 0))
    assert (holed > 0).all()
    np.testing.assert_array_equal(holed[:, :8], rgb[:, 32:40, :32])


def test_the_nearer_of_two_rasters_is_taken(tmp_path: Path) -> None:
    _write(tmp_path / "a.tif", np.full((3, 64, 64), 10, np.uint8), col=20)
    _write(tmp_path / "b.tif", np.full((3, 64, 64), 200, np.uint8), col=0)
    source = open_content(tmp_path, mosaic=True)
    assert (source.pick(_grid_tile(0, 5)) == 200).all()
    assert (source.pick(_grid_tile(0, 17)) == 10).all()


def test_of_many_rasters_the_nearest_is_found_without_looking_at_all(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    for nth, (row, col) in enumerate(rng.integers(0, 60, (15, 2)).tolist()):
        rows, cols = rng.integers(32, 150, 2).tolist()
        picture = np.full((3, rows, cols), 10 + nth, np.uint8)
        _write(tmp_path / f"{nth:02d}.tif", picture, row=row, col=col)
    paths = sorted(tmp_path.glob("*.tif"))
    together, alone = Mosaic(paths), [Mosaic([path]) for path in paths]
    for row, col in rng.integers(-5, 65, (12, 2)).tolist():
        tile = _grid_tile(row, col)
        found = together.place(tile)
        if found is tile:
            continue
        middle = tile.polygon.centroid
        others = [middle.distance(each.place(tile).polygon.centroid) for each in alone]
        # Distances on the map and on the ground differ by up to a thousandth.
        assert middle.distance(found.polygon.centroid) <= min(others) * 1.001


def test_a_mosaic_smaller_than_a_tile_fills_it(tmp_path: Path) -> None:
    source = Mosaic([_write(tmp_path / "a.tif", np.full((3, 12, 12), 77, np.uint8))])
    for row, col in ((0, 0), (3, 9)):
        assert (source.pick(_grid_tile(row, col)) == 77).all()


def test_a_mosaic_in_another_crs_and_on_another_continent(tmp_path: Path) -> None:
    profile = {"driver": "GTiff", "count": 3, "height": 300, "width": 300, "dtype": "uint8"}
    transform = Affine(1e-5, 0, -119.5, 0, -1e-5, 37.0)
    path = tmp_path / "far.tif"
    with rasterio.open(path, "w", crs="EPSG:4326", transform=transform, **profile) as dst:
        dst.write(_noise(300, 300))
    picked = Mosaic([path]).pick(_grid_tile(0, 0))
    assert picked.shape == (3, 32, 32)
    assert (picked > 0).all()


def test_rasters_that_are_no_mosaic_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="1 bands of uint8"):
        Mosaic([_write(tmp_path / "grey.tif", _noise(8, 8)[:1])])
    nothing = _write(tmp_path / "nothing.tif", np.zeros((3, 8, 8), np.uint8), nodata=0)
    with pytest.raises(InputError, match="no data anywhere"):
        Mosaic([nothing]).pick(_grid_tile(0, 0))
