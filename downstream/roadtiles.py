"""Real tiles with the road masks of their places, for training and measuring.

The folder is laid out as `naip-roads`:

- ``index.csv`` with the columns ``id``, ``place``, ``year``, ``split`` and, optionally,
  ``digitized``; one row an image;
- ``rgb/<id>.tif``, georeferenced;
- ``roads.geojson``, centrelines in OSM tags with a column ``place``;
- ``captions.csv`` with ``place`` and ``image_year``, the year that the roads were digitized on.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import geopandas as gpd
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from rsaug.conditions.road import road_mask
from rsaug.errors import InputError
from rsaug.grid import Tile
from rsaug.pipelines.train.folder import image_path, read_index
from rsaug.raster import read_rgb
from rsaug.roads import road_surfaces
from rsaug.vectors import read_vectors


@dataclass(frozen=True, eq=False)
class RoadTiles:
    """Images and road masks of one split.

    Attributes:
        images: (n, 3, rows, cols) uint8 RGB.
        masks: (n, rows, cols) uint8, 1 on road and 0 elsewhere.
        places: (n,) name of the place of each tile; the years of a place share its name.
        tiles: n tiles, where each image lies.
        split: The split that all of them belong to: ``train``, ``val`` or ``test``.
    """

    images: NDArray[np.uint8]
    masks: NDArray[np.uint8]
    places: NDArray[np.str_]
    tiles: tuple[Tile, ...]
    split: str

    def __len__(self) -> int:
        return len(self.images)


def read_road_tiles(folder: Path, split: str, *, image_year_only: bool = False) -> RoadTiles:
    """The digitized tiles of a split, sorted by id, with masks burned on each tile's own grid.

    Only the roads of the split's own places are burned, so nothing of a neighbouring place in
    another split gets in.

    Args:
        folder: A folder as described above.
        split: ``train``, ``val`` or ``test``.
        image_year_only: Take only the image that the roads were digitized on, one a place; else
            every year of the place, with the same roads.

    Raises:
        InputError: if the folder lacks a file or a column, or nothing of the split is left.
    """
    rows = read_index(folder, split)
    _require_columns(rows, {"place", "year"}, folder / "index.csv")
    if "digitized" in rows:
        rows = rows[rows["digitized"].astype(bool)]
    if image_year_only:
        rows = _of_image_year(rows, folder / "captions.csv")
    if rows.empty:
        raise InputError(f"{folder} has no digitized tile in split {split!r}.")
    lines = read_vectors(folder / "roads.geojson")
    _require_columns(lines, {"place"}, folder / "roads.geojson")
    lines = lines[lines["place"].isin(rows["place"])]
    paths = [image_path(folder, tile_id) for tile_id in rows["id"]]
    tiles = tuple(Tile.from_raster(path) for path in paths)
    return RoadTiles(
        images=np.stack([read_rgb(path) for path in paths]),
        masks=burn_roads(lines, tiles),
        places=rows["place"].to_numpy(dtype=np.str_),
        tiles=tiles,
        split=split,
    )


def burn_roads(lines: gpd.GeoDataFrame, tiles: tuple[Tile, ...]) -> NDArray[np.uint8]:
    """Road masks of ``tiles`` (all of one shape) from centrelines, (n, rows, cols) 0/1."""
    roads = {crs: road_surfaces(lines, crs) for crs in {tile.crs for tile in tiles}}
    return np.stack([road_mask(roads[tile.crs], tile) for tile in tiles])


def _of_image_year(rows: pd.DataFrame, captions: Path) -> pd.DataFrame:
    if not captions.is_file():
        raise InputError(f"{captions} is missing; it says which year each place was digitized on.")
    years = pd.read_csv(captions)
    _require_columns(years, {"place", "image_year"}, captions)
    year_of = years.set_index("place")["image_year"]
    return rows[rows["year"] == rows["place"].map(year_of)]


def _require_columns(table: pd.DataFrame, needed: set[str], path: Path) -> None:
    missing = sorted(needed - set(table.columns))
    if missing:
        raise InputError(f"{path} lacks the columns {missing}.")
