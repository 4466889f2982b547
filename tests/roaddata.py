"""Road data sets at toy size, laid out as they are published."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from affine import Affine
from numpy.typing import NDArray
from PIL import Image

from rsaug.downstream.datasets.naip import GSD_M, naip_tiles

SIDE = 64
SPACENET_DEG = 2.7e-6
SPACENET_SIDE = 80
SPACENET_CORNER = (-115.17, 36.12)


def road_columns(number: int) -> slice:
    """Columns of the road of a tile; every fourth tile has none."""
    first = 8 + 5 * (number % 4)
    return slice(first, first if number % 4 == 3 else first + 6)


def image_and_mask(number: int, side: int = SIDE) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """RGB (rows, cols, 3) and mask (rows, cols) of 0 and 255, bright on the road."""
    image = np.random.default_rng(number).integers(40, 90, (side, side, 3), dtype=np.uint8)
    mask = np.zeros((side, side), dtype=np.uint8)
    image[:, road_columns(number)], mask[:, road_columns(number)] = 200, 255
    return image, mask


def make_massachusetts(folder: Path, *, kaggle: bool = False, tiles: int = 4) -> Path:
    """The author's layout, or Kaggle's: ``tiles`` tiles a split; numbers run on over the splits."""
    for start, split in enumerate(("train", "valid", "test")):
        name = {"valid": "val"}.get(split, split)
        images = folder / "tiff" / name if kaggle else folder / split / "sat"
        masks = folder / "tiff" / f"{name}_labels" if kaggle else folder / split / "map"
        images.mkdir(parents=True)
        masks.mkdir(parents=True)
        for number in range(tiles):
            image, mask = image_and_mask(number)
            stem = f"{10078660 + 15 * (tiles * start + number)}_15"
            Image.fromarray(image).save(images / f"{stem}.tiff")
            Image.fromarray(mask).save(masks / f"{stem}.tif")
    return folder


def make_prepared(folder: Path) -> Path:
    """A folder with an index: one tile a split, and a crop of the tile that is trained on."""
    (folder / "images").mkdir(parents=True)
    (folder / "masks").mkdir()
    rows = ["id,split,valid_fraction,road_fraction"]
    names = {"10078660_15": "train", "crop_train_10078660_1": "train"}
    names |= {"10078675_15": "val", "10078690_15": "test"}
    for number, (name, split) in enumerate(names.items()):
        image, mask = image_and_mask(number)
        Image.fromarray(image).save(folder / "images" / f"{name}.jpg")
        Image.fromarray(mask > 0).save(folder / "masks" / f"{name}.png")
        rows.append(f"{name},{split},1.0,{(mask > 0).mean():.4f}")
    (folder / "index.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    return folder


def make_deepglobe(folder: Path, tiles: int = 24) -> Path:
    """The challenge's layout; masks are not pure black and white, as published ones are not."""
    (folder / "train").mkdir(parents=True)
    for number in range(tiles):
        image, mask = image_and_mask(number)
        grey = np.where(mask > 0, 250, 1).astype(np.uint8)
        Image.fromarray(image).save(folder / "train" / f"{1000 + number}_sat.jpg")
        Image.fromarray(grey).save(folder / "train" / f"{1000 + number}_mask.png")
    return folder


def make_spacenet(folder: Path, *, chips: int = 3, dtype: str = "uint16") -> Path:
    """SpaceNet 3's layout: chips in degrees, each far from the next, with a road across each."""
    area = folder / "SN3_roads" / "train" / "AOI_2_Vegas"
    for room in ("PS-RGB", "geojson_roads"):
        (area / room).mkdir(parents=True)
    for number in range(chips):
        left, top = SPACENET_CORNER[0] + 0.1 * number, SPACENET_CORNER[1]
        name = f"SN3_roads_train_AOI_2_Vegas_{{}}_img{number}"
        shape = (3, SPACENET_SIDE, SPACENET_SIDE)
        values = np.random.default_rng(number).integers(100, 900, shape).astype(dtype)
        values[:, :, -4:] = 0
        write_raster(
            area / "PS-RGB" / f"{name.format('PS-RGB')}.tif",
            values,
            Affine(SPACENET_DEG, 0, left, 0, -SPACENET_DEG, top),
            4326,
        )
        x = left + SPACENET_DEG * SPACENET_SIDE / 2
        line = [[x, top - 2 * SPACENET_DEG * SPACENET_SIDE], [x, top + SPACENET_DEG]]
        tags = {"road_type": "5", "lane_number": "2", "paved": "1"}
        write_geojson(
            area / "geojson_roads" / f"{name.format('geojson_roads')}.geojson", line, tags
        )
    return folder


def make_naip(folder: Path, places: int = 2, splits: tuple[str, ...] = ("train", "val")) -> Path:
    """Noise in place of the imagery of the first places of some splits, as ``images/<id>.tif``."""
    (folder / "images").mkdir(parents=True)
    for row in some_naip_tiles(places, splits):
        values = np.random.default_rng(len(row.id)).integers(40, 90, (4, 256, 256))
        transform = Affine(GSD_M, 0, row.left, 0, -GSD_M, row.top)
        path = folder / "images" / f"{row.id}.tif"
        write_raster(path, values.astype(np.uint8), transform, row.epsg)
    return folder


def some_naip_tiles(places: int, splits: tuple[str, ...]) -> list[Any]:
    """Rows of all years of the first places of splits."""
    table = naip_tiles()
    rows = []
    for split in splits:
        part = table[table["split"] == split]
        chosen = sorted(set(part["place"]))[:places]
        rows += [*part[part["place"].isin(chosen)].itertuples()]
    return rows


def write_geojson(path: Path, line: list[list[float]], tags: dict[str, str]) -> None:
    """A layer of one line."""
    feature = {
        "type": "Feature",
        "properties": tags,
        "geometry": {"type": "LineString", "coordinates": line},
    }
    content = {"type": "FeatureCollection", "features": [feature]}
    path.write_text(json.dumps(content), encoding="utf-8")


def write_raster(path: Path, values: NDArray[Any], transform: Affine, epsg: int) -> None:
    """A GeoTIFF of bands (n, rows, cols)."""
    count, rows, cols = values.shape
    with rasterio.open(
        path,
        "w",
        driver="GTiff",
        width=cols,
        height=rows,
        count=count,
        dtype=values.dtype,
        crs=f"EPSG:{epsg}",
        transform=transform,
    ) as dst:
        dst.write(values)
