"""A small folder of road tiles, laid out as the real one."""

from __future__ import annotations

from pathlib import Path

import geopandas as gpd
import numpy as np
import pandas as pd
import rasterio
from affine import Affine
from shapely.geometry import LineString

SIZE, GSD_M, EPSG = 64, 0.6, 26910
WIDTH_M = 6.0
SPLITS = {"a": "train", "b": "train", "c": "val", "d": "val", "e": "test"}
YEARS = (2018, 2020)
IMAGE_YEAR = 2018


def corner(place: str) -> tuple[float, float]:
    """(left, top) of a place; each lies right beside the one before it."""
    return 400_000.0 + "abcde".index(place) * SIZE * GSD_M, 4_500_000.0


def road_x(place: str) -> float:
    """Where the road of a place runs, from north to south."""
    return corner(place)[0] + 12.1 + 3 * "abcde".index(place)


def _write_image(path: Path, place: str, year: int) -> None:
    left, top = corner(place)
    noise = np.random.default_rng(("abcde".index(place), year))
    image = noise.integers(40, 90, (3, SIZE, SIZE), dtype=np.uint8)
    x = left + (np.arange(SIZE) + 0.5) * GSD_M
    image[:, :, np.abs(x - road_x(place)) < WIDTH_M / 2] = 200
    with rasterio.open(
        path,
        "w",
        driver="GTiff",
        width=SIZE,
        height=SIZE,
        count=3,
        dtype="uint8",
        crs=f"EPSG:{EPSG}",
        transform=Affine(GSD_M, 0, left, 0, -GSD_M, top),
    ) as dst:
        dst.write(image)


def make_tile_folder(folder: Path) -> Path:
    """Write ``folder``: two training places, two val places and a test place, in two years each.

    Each has one road across the tile; that of the test place ``e`` also reaches 8 m into ``d``.
    """
    (folder / "rgb").mkdir(parents=True)
    rows, lines = [], []
    for place, split in SPLITS.items():
        left, top = corner(place)
        x, south = road_x(place), top - SIZE * GSD_M
        lines.append((place, LineString([(x, south - 10), (x, top + 10)])))
        for year in YEARS:
            rows.append({"id": f"{place}_{year}", "place": place, "year": year, "split": split})
            _write_image(folder / "rgb" / f"{place}_{year}.tif", place, year)
    left, top = corner("e")
    lines.append(("e", LineString([(left - 8, top - 20), (left + 30, top - 20)])))
    pd.DataFrame(rows).assign(digitized=True).to_csv(folder / "index.csv", index=False)
    captions = pd.DataFrame({"place": list(SPLITS), "image_year": IMAGE_YEAR})
    captions.to_csv(folder / "captions.csv", index=False)
    places, geometry = zip(*lines, strict=True)
    roads = gpd.GeoDataFrame(
        {"place": places, "highway": "residential", "width": WIDTH_M},
        geometry=list(geometry),
        crs=EPSG,
    )
    roads.to_crs(4326).to_file(folder / "roads.geojson", COORDINATE_PRECISION=12)
    return folder
