"""Mosaics: the pixels of the tiles, empty where there is none, marked and whole."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import rasterio
from painter import Painter, contents, write_roads
from test_synthesis import make, options

from rsaug.errors import OutputError
from rsaug.folder import RunFolder
from rsaug.grid import TileGrid, parse_crs
from rsaug.mosaic import write_mosaics
from rsaug.provenance import read_provenance
from rsaug.raster import write_cog


@pytest.fixture
def roads(tmp_path: Path) -> Path:
    return write_roads(tmp_path / "streets.gpkg")


def test_a_mosaic_has_the_pixels_of_its_tiles(roads: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    report = make(options(roads, out, mosaic=True, variants=2))
    names = [path.name for path in report.mosaics]
    assert names == ["mosaic.tif", "mosaic_v1.tif", "mosaic_mask.tif"]
    pairs = [("mosaic.tif", "images", ""), ("mosaic_v1.tif", "images", "_v1")]
    for name, kind, ending in [*pairs, ("mosaic_mask.tif", "masks", "")]:
        with rasterio.open(out / name) as mosaic:
            assert mosaic.shape == (3 * 128, 4 * 128)
            assert mosaic.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"
            for path in (out / "masks").iterdir():
                with rasterio.open(out / kind / f"{path.stem}{ending}.tif") as tile:
                    window = mosaic.window(*tile.bounds)
                    np.testing.assert_array_equal(mosaic.read(window=window), tile.read())
                    assert tile.crs == mosaic.crs
    said = read_provenance(out / "mosaic_v1.tif")
    assert said is not None
    assert said.variant == 1
    assert read_provenance(out / "mosaic_mask.tif") is None
    with rasterio.open(out / "mosaic.tif") as mosaic:
        assert "trainedAlgorithmicMedia" in next(iter(mosaic.tags(ns="xml:XMP").values()))


def test_what_is_there_stays_and_what_changed_is_made_anew(roads: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    make(options(roads, out, mosaic=True))
    before = (out / "mosaic.tif").stat().st_ino
    make(options(roads, out, mosaic=True))
    assert (out / "mosaic.tif").stat().st_ino == before
    make(options(roads, out, mosaic=True), Painter(grey=200))
    with rasterio.open(out / "mosaic.tif") as mosaic:
        assert (mosaic.read() == 200).any()


def test_where_no_tile_is_there_is_nothing(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    folder.prepare()
    grid = TileGrid(parse_crs(32635), 0.5, 64)
    tiles = [grid.tile(-3, 4), grid.tile(-2, 5)]
    for k, tile in enumerate(tiles):
        write_cog(folder.image(tile.name), np.full((3, 64, 64), 90 + k, np.uint8), tile)
        write_cog(folder.mask(tile.name), np.full((1, 64, 64), k, np.uint8), tile)
    image, mask = write_mosaics(folder, tiles, 1, {"model": "painter"})
    with rasterio.open(image) as mosaic:
        valid = mosaic.dataset_mask() > 0
        assert valid[:64, :64].all()
        assert valid[64:, 64:].all()
        assert valid.sum() == 2 * 64 * 64
    with rasterio.open(mask) as mosaic:
        labels = mosaic.read(1)
        assert mosaic.nodata == 255
        assert (labels[:64, 64:] == 255).all()
        assert {*np.unique(labels)} == {0, 1, 255}


def test_overviews_of_labels_have_no_values_between(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    folder.prepare()
    grid = TileGrid(parse_crs(32635), 0.5, 1024)
    tile = grid.tile(0, 0)
    mask = np.zeros((1, 1024, 1024), np.uint8)
    mask[0, ::2] = 1
    write_cog(folder.image(tile.name), np.zeros((3, 1024, 1024), np.uint8), tile)
    write_cog(folder.mask(tile.name), mask, tile)
    _, path = write_mosaics(folder, [tile], 1, {})
    with rasterio.open(path) as mosaic:
        assert mosaic.overviews(1)
        assert {*np.unique(mosaic.read(1, out_shape=(512, 512)))} <= {0, 1}


def test_a_mosaic_that_cannot_be_written_leaves_nothing(tmp_path: Path) -> None:
    """On a disk that is full: files may have 64 KB at most."""
    script = """
import sys, resource, signal
import numpy as np
from pathlib import Path
from rsaug.errors import OutputError
from rsaug.folder import RunFolder
from rsaug.grid import TileGrid, parse_crs
from rsaug.mosaic import write_mosaics
from rsaug.raster import write_cog
folder = RunFolder(Path(sys.argv[1]))
folder.prepare()
tiles = [TileGrid(parse_crs(32635), 0.5, 128).tile(0, col) for col in range(8)]
rng = np.random.default_rng(0)
for tile in tiles:
    write_cog(folder.image(tile.name), rng.integers(0, 255, (3, 128, 128), np.uint8), tile)
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 16, 1 << 16))
try:
    write_mosaics(folder, tiles, 1, {})
except OutputError as error:
    print("told:", error)
"""
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path)], capture_output=True, text=True, check=True
    )
    assert "told: " in done.stdout
    assert "mosaic.tif could not be written" in done.stdout
    assert {path.name for path in tmp_path.iterdir()} == {"images", "masks", "conditions", "items"}


@pytest.mark.skipif(os.geteuid() != 0, reason="a small disk can be mounted by root alone")
def test_a_full_disk_is_told_in_one_sentence(tmp_path: Path) -> None:
    small = ["mount", "-t", "tmpfs", "-o", "size=300k", "rsaug", str(tmp_path)]
    if subprocess.run(small, capture_output=True, check=False).returncode:
        pytest.skip("nothing can be mounted here")
    try:
        folder = RunFolder(tmp_path / "run")
        folder.prepare()
        tiles = [TileGrid(parse_crs(32635), 0.5, 128).tile(0, col) for col in range(5)]
        noise = np.random.default_rng(0)
        for tile in tiles:
            content = noise.integers(0, 255, (3, 128, 128), np.uint8)
            write_cog(folder.image(tile.name), content, tile)
        with pytest.raises(
            OutputError, match=r"mosaic\.tif could not be written: no space is left"
        ):
            write_mosaics(folder, tiles, 1, {})
        assert not [path for path in folder.root.iterdir() if path.is_file()]
    finally:
        subprocess.run(["umount", str(tmp_path)], check=True)


def test_memory_does_not_grow_with_the_area(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    folder.prepare()
    grid = TileGrid(parse_crs(32635), 0.5, 512)
    tiles = [grid.tile(row, col) for row in range(12) for col in range(12)]
    content = np.random.default_rng(0).integers(0, 255, (3, 512, 512), np.uint8)
    for tile in tiles:
        write_cog(folder.image(tile.name), content, tile)
    write_mosaics(folder, tiles[:1], 1, {})
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    write_mosaics(folder, tiles, 1, {})
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    # The cache of blocks is 128 MB; the mosaic has 113 MB of pixels and as much again of levels.
    assert grown < 200
    assert contents(tmp_path, "mosaic.tif")
    assert issubclass(OutputError, OSError)
