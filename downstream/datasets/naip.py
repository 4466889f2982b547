"""NAIP tiles of California with our road vectors, which the package carries."""

from __future__ import annotations

import gzip
import io
from collections.abc import Collection
from functools import lru_cache
from importlib import resources
from pathlib import Path
from typing import Any, Literal

import geopandas as gpd
import numpy as np
import pandas as pd
from affine import Affine
from numpy.typing import NDArray
from pyproj import CRS
from rasterio.windows import Window

from rsaug.downstream.datasets.burned import BurnedRoads
from rsaug.downstream.datasets.contract import SPLITS, DataNotFound, PixelGrid, Transform
from rsaug.downstream.datasets.geotiles import GeoRoadTiles
from rsaug.downstream.datasets.tiles import RoadTile
from rsaug.errors import InputError

SIDE, GSD_M = 256, 0.6
_PATTERNS = ("rgb/{}.tif", "images/{}.tif", "{}.tif")
_HOW = (
    "NAIPRoads brings road vectors, not imagery. Clone "
    "https://github.com/jonathanventura/urban-tree-detection-data and give the folder of the clone "
    "as root, or any folder with those tiles as images/<id>.tif, rgb/<id>.tif or <id>.tif, such as "
    "images/bishop_2020_0.tif."
)


class NAIPRoads(GeoRoadTiles):
    """Tiles of 256 x 256 px at 0.6 m at 512 places in seven cities, with roads digitized by us.

    Masks are burned from centrelines with kerb-to-kerb widths, 182 km in all, which come with the
    package (CC BY 4.0). The imagery is the user's to fetch: crops of USDA NAIP, published as the
    Urban Tree Detection Data (Ventura et al., CC BY 4.0). Splits are by place: 401 to train on, 47
    and 64 to validate and to test on. Each place has up to three years on one grid; it was
    digitized on one of them, and roads may have changed in the others.

    Args:
        root: Folder with the tiles.
        split: ``train``, ``val`` or ``test``.
        years: ``all``, or ``image`` for the year alone that a place was digitized on.
        places: Take these places only.
        crs: CRS of queries; by default that of the first tile. The cities lie in two UTM zones;
            `chips` reads each tile in its own.
        res: Side of a pixel where a query has no step.
        transforms: What each sample goes through.
        allow_missing: Whether to go on with the tiles that are there.

    Raises:
        DataNotFound: if tiles are missing; the message says what goes where.
        InputError: if there is no such split, year or place.
    """

    def __init__(
        self,
        root: Path | str = "urban-tree-detection-data",
        split: str = "train",
        years: Literal["all", "image"] = "all",
        places: Collection[str] | None = None,
        crs: CRS | None = None,
        res: float | tuple[float, float] | None = None,
        transforms: Transform | None = None,
        allow_missing: bool = False,
    ) -> None:
        self.root = root
        self.split = split
        rows, whole = _rows(split, years, places)
        files = _find(Path(root), rows["id"].tolist(), allow_missing)
        self.missing = len(rows) - len(files)
        rows = rows[rows["id"].isin(files)]
        self.roads = BurnedRoads(_roads_at(tuple(sorted(set(whole["place"])))))
        tiles = [_tile(row, files[str(row.id)]) for row in rows.itertuples()]
        times = [
            (pd.Timestamp(year=int(year), month=1, day=1), _end_of(int(year)))
            for year in rows["year"]
        ]
        super().__init__(tiles, times, crs, res, transforms)

    def read_mask(self, tile: RoadTile, window: Window | None = None) -> NDArray[np.uint8]:
        """Road mask of a tile, burned on its own pixels, uint8 0/1 (rows, cols)."""
        if tile.grid is None:
            raise InputError(f"The tile {tile.name} has no place on Earth.")
        if window is None:
            return self.roads.mask(tile.grid)
        shape = int(window.height), int(window.width)
        return self.roads.mask(tile.grid.window(int(window.row_off), int(window.col_off), shape))

    def mask_onto(self, tiles: Any, grid: PixelGrid) -> NDArray[np.uint8]:
        """Road mask of a query, burned on the pixels that it asks for."""
        return self.roads.mask(grid)


def naip_tiles() -> pd.DataFrame:
    """Every digitized tile: id, place, city, year, split, epsg, left, top, image_year."""
    return pd.read_csv(io.BytesIO(_carried("tiles.csv.gz")), dtype={"id": str, "place": str})


def naip_roads() -> gpd.GeoDataFrame:
    """Our centrelines in degrees, with OSM tags, ``width`` in metres and ``place``."""
    lines = gpd.read_file(io.BytesIO(_carried("roads.geojson.gz")))
    return lines.set_crs(4326, allow_override=True)


def _carried(name: str) -> bytes:
    path = resources.files("rsaug.downstream.datasets") / "naip_roads" / name
    return gzip.decompress(path.read_bytes())


@lru_cache(maxsize=8)
def _roads_at(places: tuple[str, ...]) -> gpd.GeoDataFrame:
    """The lines of places; those of a neighbouring place in another split are left out."""
    lines = naip_roads()
    return lines[lines["place"].isin(places)].reset_index(drop=True)


def _rows(
    split: str, years: str, places: Collection[str] | None
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Rows of the tiles asked for, and of the whole split."""
    if split not in SPLITS:
        raise InputError(f"There is no split {split!r}; there are {', '.join(SPLITS)}.")
    if years not in ("all", "image"):
        raise InputError(f"Years are 'all' or 'image', not {years!r}.")
    table = naip_tiles()
    whole = table[table["split"] == split]
    rows = whole[whole["year"] == whole["image_year"]] if years == "image" else whole
    if places is not None:
        strange = sorted(set(places) - set(whole["place"]))
        if strange:
            raise InputError(
                f"{len(strange)} of the places are not in the split {split!r}, {strange[0]!r} for "
                "one; places of another split cannot be taken."
            )
        rows = rows[rows["place"].isin([*places])]
    return rows, whole


def _find(root: Path, names: list[str], allow_missing: bool) -> dict[str, Path]:
    """File of each tile by its name.

    Raises:
        DataNotFound: if there is none, or not all of them are there and they have to be.
    """
    if not root.is_dir():
        raise DataNotFound(f"{root} is no folder. {_HOW}")
    found: dict[str, Path] = {}
    for name in names:
        paths = (root / pattern.format(name) for pattern in _PATTERNS)
        path = next((path for path in paths if path.is_file()), None)
        if path is not None:
            found[name] = path
    if not found:
        raise DataNotFound(f"{root} holds none of the {len(names)} tiles. {_HOW}")
    if len(found) < len(names) and not allow_missing:
        absent = next(name for name in names if name not in found)
        raise DataNotFound(
            f"{len(names) - len(found)} of {len(names)} tiles are not in {root}, {absent}.tif for "
            f"one. Fetch them, or give allow_missing=True to go on without. {_HOW}"
        )
    return found


def _tile(row: Any, path: Path) -> RoadTile:
    """A row of the table as a tile; where it lies says the table, not the file."""
    transform = Affine(GSD_M, 0, float(row.left), 0, -GSD_M, float(row.top))
    return RoadTile(
        name=str(row.id),
        place=str(row.place),
        image=path,
        shape=(SIDE, SIDE),
        grid=PixelGrid(_utm(int(row.epsg)), transform, (SIDE, SIDE)),
    )


@lru_cache
def _utm(epsg: int) -> CRS:
    return CRS.from_epsg(epsg)


def _end_of(year: int) -> pd.Timestamp:
    return pd.Timestamp(year=year, month=12, day=31, hour=23, minute=59, second=59)
