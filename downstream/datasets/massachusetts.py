"""The Massachusetts Roads dataset (Mnih 2013, Machine Learning for Aerial Image Labeling)."""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError
from rasterio.windows import Window
from scipy import ndimage

from rsaug.downstream.datasets.chips import PlainRoadTiles
from rsaug.downstream.datasets.contract import SPLITS, DataNotFound, Transform
from rsaug.downstream.datasets.tiles import RoadTile
from rsaug.errors import InputError
from rsaug.pipelines.train.folder import image_path, read_whole_index

_PUBLISHED = {"train": "train", "val": "valid", "test": "test"}
_PLACE = re.compile(r"\d{8}")
_SHARES = ("valid_fraction", "road_fraction")
_HOW = (
    "MassachusettsRoads reads one of these: the layout of its author, "
    "<root>/{train,valid,test}/sat/<id>.tiff with map/<id>.tif beside sat; the layout on Kaggle, "
    "<root>/tiff/{train,val,test}/<id>.tiff with {train,val,test}_labels/<id>.tif; or a prepared "
    "folder, <root>/index.csv with images/<id>.jpg and masks/<id>.png. It is at "
    "https://www.cs.toronto.edu/~vmnih/data/."
)

# Of all bands, from here on a pixel is white; JPEG moves white by a little.
_WHITE = 250
# A hectare: no roof and no sand pit on the edge of a tile is as large and as white.
_LEAST_BLANK_PX = 10_000


class MassachusettsRoads(PlainRoadTiles):
    """Aerial tiles of 1500 x 1500 px at 1 m, with OpenStreetMap's roads drawn 7 px wide.

    Masks miss some roads. Many tiles are partly white, where there is no imagery, and the published
    masks go on there; nobody can see those roads, so they are left out. `RoadChips.without_blank`
    leaves out windows that are mostly white. The tiles have no georeferencing. `chips` cuts them to
    size.

    Args:
        root: Folder in the layout of the author or of Kaggle, or a prepared one.
        split: ``train``, ``val`` or ``test``.
        transforms: What each sample goes through.
        blank_roads: Whether masks keep their roads where there is no imagery, as in scores that
            others publish.

    Raises:
        DataNotFound: if there is no such folder, or an image or its mask is missing.
        InputError: if there is no such split, or an image is broken.
    """

    def __init__(
        self,
        root: Path | str = "massachusetts-roads",
        split: str = "train",
        transforms: Transform | None = None,
        blank_roads: bool = False,
    ) -> None:
        self.root = root
        self.split = split
        self.blank_roads = blank_roads
        self._blank: dict[str, bytes | None] = {}
        if split not in SPLITS:
            raise InputError(f"There is no split {split!r}; there are {', '.join(SPLITS)}.")
        # Masks of a prepared folder are 0 and 1, published ones 0 and 255.
        self.road_from = 1 if (Path(root) / "index.csv").is_file() else 128
        super().__init__(_tiles(Path(root), split), transforms)

    def read_mask(self, tile: RoadTile, window: Window | None = None) -> NDArray[np.uint8]:
        """Road mask of a tile, uint8 0/1 (rows, cols), without roads where there is no imagery.

        Args:
            tile: One of ours.
            window: The part to read; by default the whole tile.

        Raises:
            InputError: if a file is missing, broken or of another size.
        """
        mask = super().read_mask(tile, window)
        if self.blank_roads or not mask.any():
            return mask
        # Looking for blank ground takes the whole image, so what is found is remembered, packed.
        if tile.name not in self._blank:
            found = blank_ground(self.read_image(tile))
            self._blank[tile.name] = (
                zlib.compress(np.packbits(found).tobytes(), 1) if found.any() else None
            )
        packed = self._blank[tile.name]
        if packed is not None:
            bits = np.frombuffer(zlib.decompress(packed), np.uint8)
            blank = np.unpackbits(bits, count=tile.shape[0] * tile.shape[1]).reshape(tile.shape)
            mask[(blank if window is None else blank[window.toslices()]) == 1] = 0
        return mask


def blank_ground(image: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Where an image (3, rows, cols) holds no imagery: white that is large and meets its edge."""
    groups, _ = ndimage.label(image.min(axis=0) >= _WHITE)
    edge = np.concatenate([groups[0], groups[-1], groups[:, 0], groups[:, -1]])
    large = np.bincount(groups.ravel()) >= _LEAST_BLANK_PX
    large[0] = False
    blank: NDArray[np.bool_] = np.isin(groups, np.unique(edge[large[edge]]))
    return blank


def image_shape(path: Path) -> tuple[int, int]:
    """(rows, cols) of an image, from its header alone.

    Raises:
        InputError: if it is none.
    """
    try:
        with Image.open(path) as image:
            return image.height, image.width
    except (OSError, UnidentifiedImageError, Image.DecompressionBombError) as error:
        raise InputError(f"{path} is no image ({error}); fetch it again.") from error


def _tiles(root: Path, split: str) -> list[RoadTile]:
    if not root.is_dir():
        raise DataNotFound(f"{root} is no folder. {_HOW}")
    if (root / "index.csv").is_file():
        return list(_prepared(root, split))
    published = root / _PUBLISHED[split]
    for images, masks in (
        (published / "sat", published / "map"),
        (root / "tiff" / split, root / "tiff" / f"{split}_labels"),
        (root / split, root / f"{split}_labels"),
    ):
        if images.is_dir() and masks.is_dir():
            return list(_paired(images, masks))
    raise DataNotFound(f"{root} holds no split {split!r} in any known layout. {_HOW}")


def _paired(images: Path, masks: Path) -> Iterator[RoadTile]:
    """The images of a folder, each with its mask in another."""
    paths = sorted(path for path in images.iterdir() if path.suffix.lower() in (".tiff", ".tif"))
    if not paths:
        raise DataNotFound(f"{images} holds no .tiff. {_HOW}")
    without = [path for path in paths if not (masks / f"{path.stem}.tif").is_file()]
    if without:
        raise DataNotFound(
            f"{len(without)} of {len(paths)} images in {images} have no mask in {masks}, "
            f"{without[0].stem}.tif for one; fetch the rest, or remove those images."
        )
    for path in paths:
        mask = masks / f"{path.stem}.tif"
        yield RoadTile(path.stem, _place(path.stem), path, image_shape(path), mask=mask)


def _prepared(root: Path, split: str) -> Iterator[RoadTile]:
    """The rows of an index that are of a split."""
    rows = read_whole_index(root)
    rows = rows[rows["split"] == split].sort_values("id")
    if rows.empty:
        raise DataNotFound(f"{root / 'index.csv'} has no row of the split {split!r}.")
    for row in rows.to_dict("records"):
        name = str(row["id"])
        mask = root / "masks" / f"{name}.png"
        if not mask.is_file():
            raise DataNotFound(f"{mask} is missing, the mask of {name}. {_HOW}")
        path = image_path(root, name)
        scores = tuple((key, float(row[key])) for key in _SHARES if key in row)
        yield RoadTile(name, _place(name), path, image_shape(path), mask=mask, scores=scores)


def _place(name: str) -> str:
    """The place of a tile: the eight digits in its name, which crops of one tile share."""
    found = _PLACE.search(name)
    return found.group() if found else name
