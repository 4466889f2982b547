"""SpaceNet 3 and 5: satellite chips with road centrelines (Van Etten et al. 2018)."""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Collection, Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import rasterio.errors
from numpy.typing import NDArray
from pyproj import CRS
from pyproj.exceptions import CRSError
from rasterio.windows import Window

from rsaug.downstream.datasets.burned import BurnedRoads, with_width
from rsaug.downstream.datasets.contract import EVER, DataNotFound, PixelGrid, Transform
from rsaug.downstream.datasets.deepglobe import check_shares, split_of
from rsaug.downstream.datasets.geotiles import GeoRoadTiles
from rsaug.downstream.datasets.tiles import RoadTile, read_bands
from rsaug.errors import InputError
from rsaug.grid import to_lonlat
from rsaug.jsontext import parse_json
from rsaug.raster import open_image
from rsaug.road_rules import read_rules

ROAD_TYPES = {
    1: "motorway",
    2: "primary",
    3: "secondary",
    4: "tertiary",
    5: "residential",
    6: "unclassified",
    7: "track",
}
"""OSM's word for a ``road_type`` of SpaceNet's labelling guide."""

_AOIS = ("AOI_*", "train/AOI_*", "SN[35]_roads/train/AOI_*", "SN[35]_roads/AOI_*")
_IMAGES = ("PS-RGB", "RGB-PanSharpen")
_LABELS = ("geojson_roads", "geojson_roads_speed", "geojson/spacenetroads")
_CHIP = re.compile(r"_((?:img|chip)\d+)$")
_LANES = ("lane_number", "lane_numbe", "lanes")
_TYPES = ("road_type",)
# A place is a block of so many degrees, about two kilometres.
_BLOCK_DEG = 0.02
_KEPT = 256
_HOW = (
    "SpaceNetRoads reads <root>/AOI_2_Vegas/PS-RGB/*_img1.tif with geojson_roads/*_img1.geojson, "
    "as the tarballs SN3_roads_train_AOI_*.tar.gz and SN5_roads_train_AOI_*.tar.gz hold it; root "
    "may also be a folder above, with train or SN3_roads/train in it. Older copies with "
    "RGB-PanSharpen and geojson/spacenetroads are read as well. Fetch them from "
    "s3://spacenet-dataset/spacenet/, as https://spacenet.ai says."
)


class SpaceNetRoads(GeoRoadTiles):
    """Chips of 1300 x 1300 px at 0.3 m in six cities, with roads as masks.

    SpaceNet gives centrelines. They are widened by the road rules of rsaug, of which ``road_type``
    and the number of lanes are the tags, or to one width, and burned on the chip's own pixels.
    Chips of 16 bits are made 8 bits by percentiles of each band of each chip.

    Only the training chips of the challenges have labels, so all three splits are of them: by lot
    of the place, a block of 0.02 degrees.

    Args:
        root: Folder with the areas of interest, or one above it.
        split: ``train``, ``val`` or ``test``.
        aois: Take these areas only, such as ``AOI_2_Vegas``.
        width_m: One width for every road; by default the rules decide.
        rules: TOML file of road rules of your own.
        percentiles: Which percentiles become 0 and 255; of no effect on chips of 8 bits.
        val: Share of the places to validate on.
        test: Share of the places to test on.
        seed: Of the lot.
        crs: CRS of queries; by default that of the first chip, which is in degrees.
        res: Side of a pixel where a query has no step.
        transforms: What each sample goes through.

    Attributes:
        unlabelled: Chips that were left out because they have no file of labels.

    Raises:
        DataNotFound: if there is nothing to read; the message says what goes where.
        InputError: if a number is out of range, or a chip is broken.
    """

    def __init__(
        self,
        root: Path | str = "spacenet",
        split: str = "train",
        aois: Collection[str] | None = None,
        width_m: float | None = None,
        rules: Path | str | None = None,
        percentiles: tuple[float, float] = (2.0, 98.0),
        val: float = 0.1,
        test: float = 0.1,
        seed: int = 0,
        crs: CRS | None = None,
        res: float | tuple[float, float] | None = None,
        transforms: Transform | None = None,
    ) -> None:
        self.root = root
        self.split = split
        check_shares(split, val, test)
        low, high = percentiles
        if not 0 <= low < high <= 100:
            raise InputError(f"Percentiles lie between 0 and 100, the lower first: {percentiles}.")
        self.percentiles = (float(low), float(high))
        self._rules = with_width(None if rules is None else read_rules(rules), width_m)
        self._burned: OrderedDict[Path, BurnedRoads] = OrderedDict()
        self._levels: dict[Path, NDArray[np.float64]] = {}
        pairs, self.unlabelled = _pairs(Path(root), aois)
        every = [_tile(aoi, image, label) for aoi, image, label in pairs]
        tiles = [tile for tile in every if split_of(tile.place, val, test, seed) == split]
        if not tiles:
            raise DataNotFound(
                f"None of the {len(every)} labelled chips in {root} fell into the split {split!r}; "
                "fetch more areas, or give another share or seed."
            )
        super().__init__(tiles, [EVER] * len(tiles), crs, res, transforms)

    def read_image(self, tile: RoadTile, window: Window | None = None) -> NDArray[np.uint8]:
        """RGB of a chip in 8 bits, uint8 (3, rows, cols)."""
        values = read_bands(tile.image, tile.shape, window, bands=(1, 2, 3))
        if values.dtype == np.uint8:
            return values
        low, high = self._range(tile)
        scaled = (values - low) / np.maximum(high - low, 1)
        eight: NDArray[np.uint8] = np.rint(255 * np.clip(scaled, 0, 1)).astype(np.uint8)
        return eight

    def read_mask(self, tile: RoadTile, window: Window | None = None) -> NDArray[np.uint8]:
        """Road mask of a chip, burned on its own pixels, uint8 0/1 (rows, cols)."""
        if tile.grid is None:
            raise InputError(f"The chip {tile.name} has no place on Earth.")
        grid = tile.grid
        if window is not None:
            shape = int(window.height), int(window.width)
            grid = grid.window(int(window.row_off), int(window.col_off), shape)
        return self._roads_of(tile).mask(grid)

    def mask_onto(self, tiles: Any, grid: PixelGrid) -> NDArray[np.uint8]:
        """Road mask of a query, burned on the pixels that it asks for."""
        mask = np.zeros(grid.shape, dtype=np.uint8)
        for tile in tiles:
            mask |= self._roads_of(tile).mask(grid)
        return mask

    def _range(self, tile: RoadTile) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """The values that become 0 and 255, (3, 1, 1) each; 0 is where there is no imagery."""
        if tile.image not in self._levels:
            bands = read_bands(tile.image, tile.shape, None, bands=(1, 2, 3))
            levels = [
                np.percentile(band[band > 0] if (band > 0).any() else band, self.percentiles)
                for band in bands
            ]
            self._levels[tile.image] = np.array(levels).T[:, :, None, None]
        low, high = self._levels[tile.image]
        return low, high

    def _roads_of(self, tile: RoadTile) -> BurnedRoads:
        """The roads of a chip, of the few that are kept."""
        if tile.layer is None:
            raise InputError(f"The chip {tile.name} has no file of labels.")
        if tile.layer not in self._burned:
            self._burned[tile.layer] = BurnedRoads(read_labels(tile.layer), self._rules)
            while len(self._burned) > _KEPT:
                self._burned.popitem(last=False)
        return self._burned[tile.layer]


def read_labels(path: Path) -> gpd.GeoDataFrame:
    """Roads of a chip in degrees, in OSM's tags ``highway`` and ``lanes``; there may be none.

    Raises:
        InputError: if the file is broken. An empty one has no road.
    """
    try:
        text = path.read_text(encoding="utf-8")
        content = parse_json(text) if text.strip() else {"features": []}
        if not content["features"]:
            return gpd.GeoDataFrame({"geometry": []}, geometry="geometry", crs=4326)
        frame = gpd.GeoDataFrame.from_features(content["features"], crs=_crs_of(content))
    except (OSError, ValueError, KeyError, TypeError, AttributeError, CRSError) as error:
        raise InputError(f"{path} holds no GeoJSON of roads ({error}); fetch it again.") from error
    tags: dict[str, Any] = {}
    for column in _TYPES:
        if column in frame and "highway" not in frame:
            numbers = frame[column].map(_as_number)
            tags["highway"] = numbers.map(lambda number: ROAD_TYPES.get(number, "road"))
    for column in _LANES:
        if column in frame:
            tags["lanes"] = frame[column]
    return frame.assign(**tags)


def _crs_of(content: dict[str, Any]) -> CRS:
    """CRS of GeoJSON: degrees unless it names a projected one, as older files may."""
    named = content.get("crs") or {}
    crs = CRS.from_user_input(named.get("properties", {}).get("name", "EPSG:4326"))
    return CRS.from_epsg(4326) if crs.is_geographic else crs


@lru_cache(maxsize=64)
def _crs(wkt: str) -> CRS:
    return CRS.from_wkt(wkt)


def _as_number(value: object) -> int:
    try:
        return int(float(str(value)))
    except ValueError:
        return 0


def _pairs(root: Path, aois: Collection[str] | None) -> tuple[list[tuple[str, Path, Path]], int]:
    """Area, image and labels of each chip, and how many chips have no labels."""
    if not root.is_dir():
        raise DataNotFound(f"{root} is no folder. {_HOW}")
    own = [root] if root.name.startswith("AOI_") else []
    areas = sorted({*own, *(path for pattern in _AOIS for path in root.glob(pattern))})
    areas = [area for area in areas if _subfolder(area, _IMAGES) is not None]
    names = [_area_name(area) for area in areas]
    strange = sorted(set(aois or ()) - set(names))
    if strange:
        raise DataNotFound(f"{root} has no {strange[0]}; it has {', '.join(names) or 'none'}.")
    pairs, unlabelled = [], 0
    for area, name in zip(areas, names, strict=True):
        if aois is None or name in aois:
            found = list(_pairs_of(area))
            pairs += [(name, image, label) for image, label in found if label is not None]
            unlabelled += sum(label is None for _, label in found)
    if not pairs:
        raise DataNotFound(
            f"{root} holds no labelled chip in any known layout"
            + (f"; {unlabelled} chips have no labels" if unlabelled else "")
            + f". {_HOW}"
        )
    return pairs, unlabelled


def _pairs_of(area: Path) -> Iterator[tuple[Path, Path | None]]:
    """Each image of an area, and its labels if there are any."""
    images, labels = _subfolder(area, _IMAGES), _subfolder(area, _LABELS)
    if images is None:
        return
    by_chip = {} if labels is None else {_chip(path): path for path in labels.glob("*.geojson")}
    for path in sorted(images.glob("*.tif"), key=lambda path: path.name):
        yield path, by_chip.get(_chip(path))


def _subfolder(area: Path, names: tuple[str, ...]) -> Path | None:
    return next((area / name for name in names if (area / name).is_dir()), None)


def _area_name(area: Path) -> str:
    """``AOI_2_Vegas``, of that folder or of ``AOI_2_Vegas_Roads_Train``."""
    return "_".join(area.name.split("_")[:3])


def _chip(path: Path) -> str:
    found = _CHIP.search(path.stem)
    return found.group(1) if found else path.stem


def _tile(aoi: str, image: Path, label: Path) -> RoadTile:
    """A chip with its place, from the header of its file."""
    try:
        with open_image(image) as src:
            if src.crs is None:
                raise InputError(f"{image} has no CRS; fetch it again.")
            crs, transform = _crs(src.crs.to_wkt()), src.transform
            shape = int(src.shape[0]), int(src.shape[1])
    except rasterio.errors.RasterioError as error:
        raise InputError(f"{image} cannot be read ({error}); fetch it again.") from error
    grid = PixelGrid(crs, transform, shape)
    left, bottom, right, top = grid.bounds
    lon, lat = to_lonlat(crs).transform((left + right) / 2, (bottom + top) / 2)
    place = f"{aoi}_{int(lon // _BLOCK_DEG)}_{int(lat // _BLOCK_DEG)}"
    return RoadTile(f"{aoi}_{_chip(image)}", place, image, shape, grid, layer=label)
