"""A folder at toy size that holds everything that the documentation's examples name."""

from __future__ import annotations

import shutil
from pathlib import Path

import geopandas as gpd
import numpy as np
from affine import Affine
from certificates import write_papers
from docblocks import ROOT, blocks
from layouttowns import write_places
from painter import CRS, NORTH, WEST, write_roads, write_wood
from PIL import Image
from runfolder import painted_run
from shapely.geometry import box
from tilefolder import make_tile_folder
from toy import toy_pipeline

from rsaug.grid import Tile, parse_crs
from rsaug.raster import write_cog
from rsaug.watermark import mark

SIDE, GSD_M = 128, 0.5
OWNER = "Helsinki city survey"


def make_place(folder: Path) -> Path:
    """Write ``folder``: layers, images, a run, tiles to train on, a model and detectors."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "examples").symlink_to(ROOT / "examples")
    (folder / "constraints.txt").symlink_to(ROOT / "constraints.txt")
    _write_layers(folder)
    _write_images(folder)
    painted_run(folder, name="roads-synth", variants=1)
    shutil.copytree(folder / "roads-synth", folder / "north")
    shutil.move(painted_run(folder / "below", name="south", variants=1, shift_m=128), folder)
    make_tile_folder(folder / "my-tiles")
    write_places(folder / "towns")
    toy_pipeline().save_pretrained(folder / "toy")
    return folder


def write_detectors(folder: Path) -> None:
    """Untrained detectors under every name that the pages give one."""
    from rsaug.downstream.detector import DetectorConfig, RoadDetector
    from rsaug.downstream.segmenter import RoadSegmenter, SegmenterConfig

    detector = RoadDetector(DetectorConfig("fpn", "tu-resnet10t", gsd_m=GSD_M))
    detector.facts = {"metrics": {"val/iou": 0.25}, "data": {"synthetic": []}}
    for name in ("detector", "roads-detector", "my-detector", "DIR"):
        detector.save(folder / name)
    RoadSegmenter(SegmenterConfig("fpn", "tu-resnet10t")).save(folder / "runs" / "segmenter")


def write_certificates(folder: Path) -> None:
    """A signer's chain and key, and who vouches for it; skips without the extra ``c2pa``."""
    papers = write_papers(folder / "papers")
    for name, path in (("chain", papers.chain), ("key", papers.key), ("anchors", papers.anchor)):
        (folder / f"{name}.pem").write_bytes(Path(path).read_bytes())


def tile() -> Tile:
    """The first tile of the roads."""
    transform = Affine(GSD_M, 0, WEST, 0, -GSD_M, NORTH)
    return Tile.from_transform(transform, (SIDE, SIDE), parse_crs(f"EPSG:{CRS}"))


def _write_layers(folder: Path) -> None:
    write_roads(folder / "roads.gpkg", rows=2, cols=2)
    roads = gpd.read_file(folder / "roads.gpkg").to_crs(4326)
    roads.to_file(folder / "town.gpkg", layer="roads", driver="GPKG")
    roads.to_file(folder / "roads.geojson")
    write_wood(folder / "cover.gpkg")
    wood = gpd.read_file(folder / "cover.gpkg")
    for name in ("landcover", "areas", "parks"):
        wood.to_crs(4326).to_file(folder / f"{name}.geojson")
    houses = [box(x, NORTH - 20, x + 10, NORTH - 8) for x in (WEST + 10, WEST + 40)]
    frame = gpd.GeoDataFrame({"height": [6.0, 9.0]}, geometry=houses, crs=CRS)
    for name in ("buildings", "houses"):
        frame.to_file(folder / f"{name}.gpkg")
    frame[:1].to_crs(4326).to_file(folder / "clouds.geojson")
    for name in ("garden", "city"):
        _write_table(folder, name)
    whole = gpd.GeoDataFrame(geometry=[box(WEST, NORTH - 64, WEST + 64, NORTH)], crs=CRS)
    for name in ("town", "region"):
        whole.to_crs(4326).to_file(folder / f"{name}.geojson")


def _write_table(folder: Path, name: str) -> None:
    """A file of settings as the page on land cover has it, and a raster of its numbers."""
    page = [block.text for block in blocks("toml") if block.page == "docs/landcover.md"]
    text = next(text for text in page if text.startswith(f'name = "{name}"'))
    (folder / f"{name}.toml").write_text(text, encoding="utf-8")
    write_cog(folder / f"{name}.tif", np.full((1, SIDE, SIDE), 2, dtype=np.uint8), tile())


def _write_images(folder: Path) -> None:
    noise = np.random.default_rng(0)
    where = tile()
    rows = np.arange(SIDE)
    road = (np.abs(rows - 60) < 8)[:, None] & np.ones(SIDE, dtype=bool)
    image = noise.integers(30, 90, (3, SIDE, SIDE)).astype(np.uint8)
    image[:, road] = 160
    (folder / "tiles").mkdir()
    for name in ("tile.tif", "town.tif", "dry.tif", "desert.tif", "tiles/one.tif"):
        write_cog(folder / name, image, where)
    write_cog(folder / "found.tif", road[None].astype(np.uint8), where)
    write_cog(
        folder / "ground.tif",
        np.linspace(0, 30, SIDE * SIDE, dtype=np.float32).reshape(1, SIDE, SIDE),
        where,
    )
    photo = noise.integers(0, 256, (3, 32, 32)).astype(np.uint8).repeat(12, 1).repeat(12, 2)
    marked = mark(photo, OWNER)
    Image.fromarray(marked.transpose(1, 2, 0)).save(folder / "picture.jpg", quality=95)
    for room in ("styles", "ortho"):
        (folder / room).mkdir()
        shutil.copy(folder / "tile.tif", folder / room)
    shutil.copy(folder / "picture.jpg", folder / "style.jpg")
