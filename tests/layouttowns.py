"""Labelled places at toy size to make layouts of."""

from __future__ import annotations

from pathlib import Path

import geopandas as gpd
import pandas as pd
import shapely

SIDE_M = 120.0
EPSG = 26911
SPLITS = {"a": "train", "b": "train", "c": "train", "d": "train", "v": "val", "t": "test"}


def corner(place: str) -> tuple[float, float]:
    """(left, top) of a place; ``d`` lies partly on the ground of the test place."""
    if place == "d":
        left, top = corner("t")
        return left + SIDE_M / 2, top
    return 400_000.0 + 300 * "abcvt".index(place), 3_750_000.0


def table() -> pd.DataFrame:
    """A row a place."""
    rows = [
        {"id": name, "place": name, "split": split, "epsg": EPSG, "left": x, "top": y}
        for name, split in SPLITS.items()
        for x, y in [corner(name)]
    ]
    return pd.DataFrame(rows)


def roads() -> gpd.GeoDataFrame:
    """A street from west to east in every place, and one that meets it from the south."""
    lines, rows = [], []
    for k, name in enumerate(SPLITS):
        left, top = corner(name)
        y = top - SIDE_M / 2 + 3 * k
        lines.append(shapely.LineString([(left - 5, y), (left + SIDE_M + 5, y)]))
        rows.append({"place": name, "highway": "residential", "width": 8.0})
        x = left + 20 + 5 * k
        lines.append(shapely.LineString([(x, top - SIDE_M - 5), (x, y)]))
        rows.append({"place": name, "highway": "service", "width": 5.0})
    return gpd.GeoDataFrame(rows, geometry=lines, crs=EPSG).to_crs(4326)


def landcover() -> gpd.GeoDataFrame:
    """A building in the north-west of every place."""
    boxes = [
        shapely.box(left + 10, top - 40, left + 30, top - 10) for left, top in map(corner, SPLITS)
    ]
    frame = gpd.GeoDataFrame({"place": [*SPLITS], "class": "building"}, geometry=boxes, crs=EPSG)
    return frame.to_crs(4326)


def write_places(folder: Path) -> Path:
    """The places as a tile folder without imagery."""
    folder.mkdir(parents=True)
    table().to_csv(folder / "index.csv", index=False)
    roads().to_file(folder / "roads.geojson", COORDINATE_PRECISION=9)
    landcover().to_file(folder / "landcover.geojson", COORDINATE_PRECISION=9)
    return folder
