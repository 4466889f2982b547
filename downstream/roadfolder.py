"""A folder of one's own tiles with roads as a dataset: the same that ``rsaug train`` takes."""

from __future__ import annotations

from pathlib import Path

from numpy import uint8
from numpy.typing import NDArray
from rasterio.windows import Window

from rsaug.downstream.datasets.burned import BurnedRoads
from rsaug.downstream.datasets.contract import EVER, DataNotFound, PixelGrid, Transform
from rsaug.downstream.datasets.geotiles import GeoRoadTiles
from rsaug.downstream.datasets.tiles import RoadTile
from rsaug.downstream.training_options import ROADS_FILE
from rsaug.errors import InputError
from rsaug.grid import Tile
from rsaug.pipelines.train.folder import image_path, read_index
from rsaug.vectors import read_vectors


class RoadFolder(GeoRoadTiles):
    """Georeferenced tiles with the road mask of each, burned from centrelines.

    The folder holds ``index.csv`` with ``id`` and ``split``, ``rgb/<id>.tif`` or
    ``images/<id>.tif``, and ``roads.geojson`` with OpenStreetMap's tags. A column ``place`` in the
    index says which tiles show one place, else each is one of its own; where the roads have it as
    well, a tile gets those of the places of its split alone. A column ``digitized`` says whose
    roads are drawn; other tiles are left out.

    Args:
        root: The folder.
        split: ``train``, ``val`` or ``test``.
        transforms: What each sample goes through.

    Raises:
        DataNotFound: if the folder has no index, no roads or no tile of the split.
        InputError: if a file cannot be read.
    """

    def __init__(
        self, root: Path | str, split: str = "train", transforms: Transform | None = None
    ) -> None:
        folder = Path(root)
        if not (folder / ROADS_FILE).is_file():
            raise DataNotFound(f"{root} is no folder of tiles with roads: it has no {ROADS_FILE}.")
        try:
            rows = read_index(folder, split)
        except InputError as error:
            raise DataNotFound(str(error)) from error
        if "digitized" in rows:
            rows = rows[rows["digitized"].astype(bool)]
        places = rows["place" if "place" in rows else "id"].astype(str)
        lines = read_vectors(folder / ROADS_FILE, kind="lines")
        if "place" in rows and "place" in lines:
            lines = lines[lines["place"].isin(rows["place"])]
        self.roads = BurnedRoads(lines.reset_index(drop=True))
        paths = [image_path(folder, name) for name in rows["id"]]
        tiles = [_tile(path, place) for path, place in zip(paths, places, strict=True)]
        super().__init__(tiles, [EVER] * len(tiles), transforms=transforms)

    def read_mask(self, tile: RoadTile, window: Window | None = None) -> NDArray[uint8]:
        """Road mask of a tile, burned on its own pixels, uint8 0/1 (rows, cols)."""
        if tile.grid is None:
            raise InputError(f"The tile {tile.name} has no place on Earth.")
        if window is None:
            return self.roads.mask(tile.grid)
        shape = int(window.height), int(window.width)
        return self.roads.mask(tile.grid.window(int(window.row_off), int(window.col_off), shape))


def _tile(path: Path, place: str) -> RoadTile:
    on = Tile.from_raster(path)
    grid = PixelGrid(on.crs, on.transform, on.shape)
    return RoadTile(path.stem, place, path, on.shape, grid)
