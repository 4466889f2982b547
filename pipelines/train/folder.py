"""Real tiles on disk, as a training set.

A tile folder holds ``index.csv`` (at least the columns ``id`` and ``split``) and one image a row,
``rgb/<id>.tif`` or ``images/<id>.{tif,jpg,png}``. Splits are taken from the index and never mixed.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from rsaug.errors import InputError
from rsaug.raster import read_rgb

BLANK = 250
"""From this value on in every band a pixel says nothing."""

_MOST_BLANK = 0.02
_IMAGE_PATTERNS = ("rgb/{}.tif", "images/{}.tif", "images/{}.jpg", "images/{}.png")


def read_index(folder: Path, split: str) -> pd.DataFrame:
    """Rows of ``folder/index.csv`` that belong to ``split``, sorted by id.

    Raises:
        InputError: if there is no index, it lacks a column, or the split is empty.
    """
    index = read_whole_index(folder)
    rows = index[index["split"] == split].sort_values("id", ignore_index=True)
    if rows.empty:
        raise InputError(f"{folder / 'index.csv'} has no row with split={split!r}")
    return rows


def read_whole_index(folder: Path) -> pd.DataFrame:
    """All rows of ``folder/index.csv``, as they come.

    Raises:
        InputError: if there is no index or it lacks a column.
    """
    path = folder / "index.csv"
    if not path.is_file():
        raise InputError(f"{folder} is no tile folder: it has no index.csv")
    try:
        index = pd.read_csv(path, dtype={"id": str})
        if "year" in index:
            index["year"] = pd.to_numeric(index["year"])
    except (OSError, ValueError) as error:
        raise InputError(f"{path} cannot be read: {error}".rstrip()) from error
    missing = {"id", "split"} - set(index.columns)
    if missing:
        raise InputError(f"{path} lacks the columns {sorted(missing)}")
    return index


def image_path(folder: Path, tile_id: str) -> Path:
    """Path of a tile's image.

    Raises:
        InputError: if the tile has no image in the folder.
    """
    for pattern in _IMAGE_PATTERNS:
        path = folder / pattern.format(tile_id)
        if path.is_file():
            return path
    raise InputError(f"{folder} has no image for tile {tile_id!r}")


def cut_windows(height: int, width: int, size: int) -> list[tuple[int, int]]:
    """Upper-left (row, col) of the whole ``size`` windows of an image, in reading order."""
    return [
        (row, col)
        for row in range(0, height - size + 1, size)
        for col in range(0, width - size + 1, size)
    ]


def is_blank(chip: np.ndarray) -> bool:
    """Whether more than 2 % of a chip (rows, cols, 3) is `BLANK` or above in every band.

    Scanned map sheets mark missing data in white.
    """
    return bool((chip.min(axis=2) >= BLANK).mean() > _MOST_BLANK)


def cut_chips(image: np.ndarray, size: int) -> list[np.ndarray]:
    """The whole ``size`` x ``size`` chips of an image (rows, cols, 3) that are not blank."""
    places = cut_windows(image.shape[0], image.shape[1], size)
    chips = [image[row : row + size, col : col + size] for row, col in places]
    return [chip for chip in chips if not is_blank(chip)]


def read_chips(folder: Path, split: str, size: int) -> np.ndarray:
    """All whole ``size`` x ``size`` chips of a split that are not blank, (n, size, size, 3) uint8.

    Raises:
        InputError: if there is none.
    """
    ids = read_index(folder, split)["id"]
    images = (read_rgb(image_path(folder, tile_id)).transpose(1, 2, 0) for tile_id in ids)
    chips = [chip for image in images for chip in cut_chips(image, size)]
    if not chips:
        raise InputError(f"{folder} has no {size}x{size} chip in split {split!r}")
    return np.stack(chips)
