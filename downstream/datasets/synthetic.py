"""The tiles of a run of ``rsaug synth`` as a dataset."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pandas as pd
import torch
from affine import Affine
from numpy.typing import NDArray
from pyproj import CRS
from pyproj.exceptions import CRSError
from rasterio.windows import Window
from torch import Tensor

from rsaug.conditions.stack import CHANNEL_NAMES
from rsaug.downstream.datasets.contract import (
    EVER,
    DataNotFound,
    PixelGrid,
    Transform,
)
from rsaug.downstream.datasets.geotiles import GeoRoadTiles
from rsaug.downstream.datasets.tiles import RoadTile, read_bands
from rsaug.errors import InputError
from rsaug.manifest import read_manifest
from rsaug.raster import open_image

_COLUMNS = [
    "id",
    "assets",
    "proj:code",
    "proj:shape",
    "proj:transform",
    "rsaug:synthetic",
    "rsaug:tile",
    "rsaug:variant",
    "rsaug:road_fraction",
]
_SHARE = "road_fraction"


class SyntheticRoads(GeoRoadTiles):
    """Images that ``rsaug synth`` made, with their exact road masks.

    What there is says ``manifest.parquet``; nothing else in the folder is looked at. That each file
    is there in the size that the manifest says is always checked, the sums only on request. A run
    is of no time, so it goes together with imagery of any.

    Args:
        root: Folder of the run.
        conditions: Whether a sample holds the control maps as well: ``conditions``, float32
            (18, rows, cols).
        variants: Which images of a tile to take, by number from 0; by default all. A query is
            answered with the first of a place, `chips` has them all.
        crs: CRS of queries; by default that of the run.
        res: Side of a pixel where a query has no step; by default that of the run.
        transforms: What each sample goes through.
        checksum: Whether to compare the SHA-256 of every file with that in the manifest.

    Raises:
        DataNotFound: if the folder is that of no finished run, or a file of it is missing or
            unlike what the manifest says.
        InputError: if none of the variants is there.
    """

    synthetic: ClassVar[bool] = True
    road_from = 1

    def __init__(
        self,
        root: Path | str = "roads-synth",
        conditions: bool = False,
        variants: Collection[int] | None = None,
        crs: CRS | None = None,
        res: float | tuple[float, float] | None = None,
        transforms: Transform | None = None,
        checksum: bool = False,
    ) -> None:
        self.root = root
        self.conditions = conditions
        table = _read_manifest(Path(root))
        if variants is not None:
            table = table[table["rsaug:variant"].isin([*variants])]
            if table.empty:
                raise InputError(f"{root} has no image of the variants {sorted(variants)}.")
        wanted = ("image", "mask", "conditions") if conditions else ("image", "mask")
        folder = Path(root).resolve()
        try:
            self._files = {
                str(row["id"]): _files(folder, row["assets"], wanted, checksum)
                for _, row in table.iterrows()
            }
            tiles = [_tile(row, self._files[str(row["id"])]) for _, row in table.iterrows()]
        except (KeyError, TypeError, CRSError) as error:
            raise DataNotFound(
                f"The manifest of {root} says too little of an image ({error!r}); it is not what "
                "rsaug synth wrote."
            ) from error
        super().__init__(tiles, [EVER] * len(tiles), crs, res, transforms)

    def read_extra(self, tile: RoadTile, window: Window | None = None) -> dict[str, Tensor]:
        """The control maps, where they are asked for."""
        if not self.conditions:
            return {}
        path, bands = self._files[tile.name]["conditions"], range(1, len(CHANNEL_NAMES) + 1)
        values = read_bands(path, tile.shape, window, bands=[*bands])
        return {"conditions": torch.from_numpy(values.astype(np.float32))}

    def holds_road(self, windows: Any) -> NDArray[np.bool_]:
        """Whether there is a road in each window; of whole tiles the manifest says it."""
        if any((part.height, part.width) != self.tiles[number].shape for number, part in windows):
            return super().holds_road(windows)
        shares = [dict(self.tiles[number].scores)[_SHARE] for number, _ in windows]
        return np.array(shares) > 0

    def _extra_onto(self, tiles: Any, grid: PixelGrid) -> dict[str, Tensor]:
        if not self.conditions:
            return {}
        for tile in tiles:
            if tile.grid.offset(grid) == (0, 0) and grid.shape == tile.shape:
                return self.read_extra(tile)
        raise InputError(
            "Control maps are given of whole tiles only; ask for the bounds of one, as "
            "PreChippedGeoSampler does, or leave conditions out."
        )


def _read_manifest(root: Path) -> pd.DataFrame:
    """The manifest of a finished run, sorted by name."""
    record, manifest = root / "run.json", root / "manifest.parquet"
    if not root.is_dir():
        raise DataNotFound(
            f"{root} is no folder. Synthetic tiles are read from a folder of rsaug synth; check "
            f"the name, or make one with rsaug synth --roads ROADS --out {root}."
        )
    if not record.is_file():
        raise DataNotFound(
            f"{root} is no folder of rsaug synth: it has no run.json. Give the folder that --out "
            "named, the one with images/, masks/ and manifest.parquet in it."
        )
    if not manifest.is_file():
        raise DataNotFound(
            f"{root} has no manifest.parquet, so its run is not finished; let it go on with "
            f"rsaug synth --config {record}."
        )
    try:
        table = read_manifest(manifest, _COLUMNS)
    except (OSError, ValueError) as error:
        raise DataNotFound(f"{manifest} is no manifest of rsaug synth ({error}).") from error
    if table.empty or not table["rsaug:synthetic"].all():
        raise DataNotFound(
            f"{manifest} lists {len(table)} images, which are not all marked as synthetic; it is "
            "not what rsaug synth wrote."
        )
    return table.sort_values("id", ignore_index=True)


def _files(
    root: Path, assets: Mapping[str, Mapping[str, Any]], wanted: tuple[str, ...], checksum: bool
) -> dict[str, Path]:
    """The files of an item by name of asset, each there in its size.

    Raises:
        DataNotFound: if one is missing or unlike what the manifest says.
    """
    files = {}
    for name in wanted:
        asset = assets.get(name)
        if asset is None:
            raise DataNotFound(f"The manifest of {root} knows no {name!r} of an image.")
        path = (root / asset["href"]).resolve()
        if not path.is_relative_to(root):
            raise DataNotFound(f"The manifest of {root} names {asset['href']}, outside of it.")
        size = path.stat().st_size if path.is_file() else None
        if size != asset["file:size"]:
            what = "is missing" if size is None else f"has {size} bytes, not {asset['file:size']}"
            raise DataNotFound(
                f"{path} {what}, so {root} is only a part of a run or was altered. Copy it again, "
                "or see what is wrong with rsaug verify."
            )
        if checksum and asset["file:checksum"] != f"1220{_sha256(path)}":
            raise DataNotFound(f"{path} is not what rsaug synth wrote: its checksum is another.")
        files[name] = path
    return files


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _tile(row: pd.Series[Any], files: Mapping[str, Path]) -> RoadTile:
    """A row of the manifest as a tile."""
    rows, cols = (int(side) for side in row["proj:shape"])
    transform = Affine(*(float(number) for number in row["proj:transform"][:6]))
    if row["proj:code"]:
        crs = _crs(row["proj:code"])
    else:
        with open_image(files["image"]) as src:
            crs = _crs(src.crs.to_wkt())
    return RoadTile(
        name=str(row["id"]),
        place=str(row["rsaug:tile"]),
        image=files["image"],
        shape=(rows, cols),
        grid=PixelGrid(crs, transform, (rows, cols)),
        mask=files["mask"],
        scores=((_SHARE, float(row["rsaug:road_fraction"])),),
    )


@lru_cache(maxsize=64)
def _crs(name: str) -> CRS:
    return CRS.from_user_input(name)
