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

_IMAGE_PATTERNS = ("rgb/{}.tif", "images/{}.tif", "images/{}.jpg", "images/{}.png")


def read_index(folder: Path, split: str) -> pd.DataFrame:
    """Rows of ``folder/index.csv`` that belong to ``split``, sorted by id.

    Raises:
        InputError: if there is no index, it lacks a column, or the split is empty.
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
    rows = index[index["split"] == split].sort_values("id", ignore_index=True)
    if rows.empty:
        raise InputError(f"{path} has no row with split={split!r}")
    return rows


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


def read_chips(folder: Path, split: str, size: int, blank: int = 250) -> np.ndarray:
    """All whole ``size`` x ``size`` chips of a split, uint8 (n, size, size, 3).

    Chips with more than 2 % of their pixels at or above ``blank`` in every band are left out:
    scanned map sheets mark missing data in white.
    """
    chips = []
    for tile_id in read_index(folder, split)["id"]:
        rgb = read_rgb(image_path(folder, tile_id)).transpose(1, 2, 0)
        for row, col in cut_windows(rgb.shape[0], rgb.shape[1], size):
            chip = rgb[row : row + size, col : col + size]
            if (chip.min(axis=2) >= blank).mean() <= 0.02:
                chips.append(chip)
    if not chips:
        raise InputError(f"{folder} has no {size}x{size} chip in split {split!r}")
    return np.stack(chips)
