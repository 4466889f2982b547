"""A folder with one of everything that commands read, at toy size, and with what they cannot."""

from __future__ import annotations

import shutil
import zipfile
from pathlib import Path

import geopandas as gpd
import numpy as np
from affine import Affine
from benchdata import MODEL, asked
from layouttowns import write_places
from painter import CRS, NORTH, WEST, write_wood
from runfolder import painted_run
from safetensors.torch import save_file
from shapely.geometry import box
from tilefolder import make_tile_folder
from toy import toy_pipeline
from toytraining import random_lpips

from rsaug.downstream.bench.strict import as_yaml
from rsaug.downstream.detector import DetectorConfig, RoadDetector
from rsaug.grid import Tile, parse_crs
from rsaug.raster import write_cog

SIDE = 64

MISSING, EMPTY, TEXT, FOLDER, FILE = "not-there.tif", "empty.tif", "text.tif", "folder", "town.tif"
UNUSUAL = "ärger mit 道路.tif"
LONG = "x" * 5000
"""Names of what cannot be read: not there at all, of no bytes, of words, a folder, a file."""


def make_place(folder: Path) -> Path:
    """Write inputs that are good and inputs that are bad, each under a name of its own."""
    painted_run(folder, variants=1, gsd_m=0.5, size=SIDE)
    (folder / "streets.gpkg").rename(folder / "roads.gpkg")
    write_wood(folder / "areas.gpkg")
    transform = Affine(0.5, 0, WEST, 0, -0.5, NORTH)
    tile = Tile.from_transform(transform, (SIDE, SIDE), parse_crs(f"EPSG:{CRS}"))
    noise = np.random.default_rng(0).integers(30, 90, (3, SIDE, SIDE)).astype(np.uint8)
    write_cog(folder / "town.tif", noise, tile)
    write_cog(folder / "heights.tif", noise[:1].astype(np.float32), tile)
    mask = np.zeros((1, SIDE, SIDE), np.uint8)
    mask[:, 20:28] = 1
    write_cog(folder / "mask.tif", mask, tile)
    hole = box(WEST + 5, NORTH - 15, WEST + 12, NORTH - 5)
    gpd.GeoSeries([hole], crs=CRS).to_file(folder / "clouds.gpkg")
    make_tile_folder(folder / "tiles")
    shutil.copytree(folder / "tiles", folder / "real")
    # Captions are read in training alone, and want more columns.
    (folder / "real" / "captions.csv").unlink()
    write_places(folder / "towns")
    toy_pipeline().save_pretrained(folder / "model")
    RoadDetector(DetectorConfig("fpn", "tu-resnet10t", gsd_m=0.6)).save(folder / "detector")
    save_file(random_lpips(), folder / "lpips.safetensors")
    sweep = asked(folder, folder / "swept", seeds=[0], label_places=["all"], models=[MODEL])
    (folder / "sweep.yaml").write_text(as_yaml(sweep), encoding="utf-8")
    _make_bad(folder)
    return folder


def _make_bad(folder: Path) -> None:
    for name in (EMPTY, "empty.gpkg", "empty.yaml", "empty.json"):
        (folder / name).touch()
    for name in (TEXT, "text.gpkg", "text.safetensors", "text.json", "text.yaml"):
        (folder / name).write_text("No roads here: just - words\n\tand more.\n", encoding="utf-8")
    (folder / "wrong.yaml").write_text("roads: roads.gpkg\ntile_sise: 64\n", encoding="utf-8")
    (folder / "type.yaml").write_text("roads: roads.gpkg\ntile_size: big\n", encoding="utf-8")
    (folder / "record.json").write_text('{"options": {"roads": "roads.gpkg"}}', encoding="utf-8")
    (folder / FOLDER).mkdir()
    with zipfile.ZipFile(folder / "last.ckpt", "w") as checkpoint:
        checkpoint.writestr("archive/data.pkl", b"cos\nsystem\n(S'true'\ntR.")
