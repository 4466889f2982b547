"""What is compared: the tiles of a run of ``rsaug synth``, and real tiles of a tile folder."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from rsaug.downstream.roadtiles import burn_roads
from rsaug.errors import InputError
from rsaug.folder import RunFolder
from rsaug.grid import Tile, crs_name
from rsaug.manifest import read_manifest
from rsaug.pipelines.train.folder import image_path, read_index
from rsaug.raster import open_image, read_all, read_rgb
from rsaug.storage import AnyPath
from rsaug.vectors import read_vectors

_MANIFEST_COLUMNS = ["id", "rsaug:tile", "rsaug:variant"]
_SAFE_NAME = re.compile(r"[\w-]+")
# Two pixel sizes that differ by less are one.
_SAME_GSD = 0.05


@dataclass(frozen=True, eq=False)
class Tiles:
    """Images with what is known of them, one a row.

    Attributes:
        images: (n, 3, rows, cols) uint8 RGB.
        masks: (n, rows, cols) uint8, 1 on road and 0 elsewhere.
        names: (n,) name of each image.
        places: (n,) where each is from; images of one place are no independent evidence.
        tiles: n tiles, where each lies.
        variants: (n,) which of the images of its tile a synthetic one is; 0 for real ones.
        cities: (n,) name of the city; empty where none is known.
        of: How many images there are where these were taken from.
    """

    images: NDArray[np.uint8]
    masks: NDArray[np.uint8]
    names: NDArray[np.str_]
    places: NDArray[np.str_]
    tiles: tuple[Tile, ...]
    variants: NDArray[np.intp]
    cities: NDArray[np.str_]
    of: int

    def __len__(self) -> int:
        """Number of images."""
        return len(self.images)

    @property
    def gsd_m(self) -> float:
        """Metres a pixel."""
        return self.tiles[0].gsd_m

    def take(self, which: NDArray[np.generic]) -> Tiles:
        """Those at some positions, or where a mask is true."""
        chosen = np.arange(len(self))[which]
        return replace(
            self,
            images=self.images[chosen],
            masks=self.masks[chosen],
            names=self.names[chosen],
            places=self.places[chosen],
            tiles=tuple(self.tiles[k] for k in chosen),
            variants=self.variants[chosen],
            cities=self.cities[chosen],
        )


def read_run(
    folder: Path, limit: int | None = None, *, only: Collection[str] | None = None
) -> Tiles:
    """The images of a run with their road masks, sorted by name.

    Args:
        folder: Folder of ``rsaug synth``.
        limit: At most so many tiles, spread evenly, with all their variants.
        only: Names of images; others are left out before any limit.

    Raises:
        InputError: if it is no such folder, or images in it are of several sizes.
    """
    run = RunFolder(folder)
    if not run.manifest.is_file():
        raise InputError(f"{folder} is no folder of rsaug synth: it has no manifest.parquet.")
    try:
        table = read_manifest(run.manifest, _MANIFEST_COLUMNS)
    except (OSError, ValueError) as error:
        raise InputError(f"{run.manifest} is no manifest of rsaug synth ({error}).") from error
    table = table.sort_values("id", ignore_index=True)
    if table.empty:
        raise InputError(f"{folder} holds no image; let rsaug synth finish first.")
    for name in (*table["id"], *table["rsaug:tile"]):
        # It becomes a path, and the table may be from anywhere.
        if not _SAFE_NAME.fullmatch(str(name)):
            raise InputError(f"{run.manifest} has an image or tile of the name {name!r}.")
    of = len(table)
    if only is not None:
        table = table[table["id"].isin([*only])]
        if table.empty:
            raise InputError(f"{folder} holds none of the {len(only)} images that it should.")
    tiles = _spread(sorted(set(table["rsaug:tile"])), limit)
    table = table[table["rsaug:tile"].isin(tiles)]
    paths = [run.image(name) for name in table["id"]]
    masks = {name: _read_mask(run.mask(name)) for name in tiles}
    return Tiles(
        images=_stack([read_rgb(path) for path in paths], folder),
        masks=_stack([masks[name] for name in table["rsaug:tile"]], folder),
        names=table["id"].to_numpy(dtype=np.str_),
        places=table["rsaug:tile"].to_numpy(dtype=np.str_),
        tiles=tuple(Tile.from_raster(path) for path in paths),
        variants=table["rsaug:variant"].to_numpy(dtype=np.intp),
        cities=np.full(len(table), ""),
        of=of,
    )


def read_real(folder: Path, split: str) -> Tiles:
    """The real tiles of a split with their road masks, sorted by id.

    Where ``index.csv`` has a column ``digitized``, only those count; where ``captions.csv`` says in
    which image the roads of a place were drawn (``image_year``), the other years are left out.

    Args:
        folder: Tile folder with ``index.csv``, ``rgb/`` and ``roads.geojson``.
        split: ``train`` or ``val``; never ``test``, which is for those who choose nothing by it.

    Raises:
        InputError: if the folder lacks something, nothing is left, or the split is ``test``.
    """
    rows = index_of(folder, split)
    of = len(rows)
    if "digitized" in rows:
        rows = rows[rows["digitized"].astype(bool)]
    rows = _of_image_year(rows, folder / "captions.csv")
    if rows.empty:
        raise InputError(f"{folder} has no tile with digitized roads in the split {split!r}.")
    return replace(_read_rows(folder, rows, with_masks=True), of=of)


def read_photos(folder: Path, split: str, limit: int | None = None) -> Tiles:
    """All images of a split, every year, without their roads (all masks are 0), sorted by id.

    Args:
        folder: Tile folder.
        split: ``train`` or ``val``.
        limit: At most so many, spread evenly.

    Raises:
        InputError: as `read_real`.
    """
    rows = index_of(folder, split)
    of = len(rows)
    rows = rows[rows["id"].isin(_spread(rows["id"].tolist(), limit))]
    return replace(_read_rows(folder, rows, with_masks=False), of=of)


def check_comparable(synthetic: Tiles, real: Tiles) -> None:
    """Refuse tiles of another pixel size or shape than the real ones.

    Raises:
        InputError: that says what differs.
    """
    ours, theirs = synthetic.gsd_m, real.gsd_m
    if abs(ours / theirs - 1) > _SAME_GSD:
        raise InputError(
            f"The tiles of the run have pixels of {ours:g} m, the real ones of {theirs:g} m; a "
            f"comparison needs one scale, so make tiles with --gsd {theirs:g}."
        )
    if synthetic.images.shape[2:] != real.images.shape[2:]:
        (rows, cols), (real_rows, real_cols) = synthetic.images.shape[2:], real.images.shape[2:]
        raise InputError(
            f"The tiles of the run are of {rows} x {cols} pixels, the real ones of {real_rows} x "
            f"{real_cols}; make tiles with --tile-size {real_cols}."
        )


def locate(synthetic: Tiles, real: Tiles) -> tuple[Tiles, bool]:
    """Synthetic tiles with the places of the real ones that they coincide with.

    Returns:
        The synthetic tiles, those that lie on a real tile under its place and city; and whether
        all of them do and were made from the masks of the real ones, so that one can be compared
        with the other place by place.
    """
    at = {position(tile): k for k, tile in enumerate(real.tiles)}
    found = np.array([at.get(position(tile), -1) for tile in synthetic.tiles])
    here = found >= 0
    elsewhere = np.char.add("synthetic:", synthetic.places)
    placed = replace(
        synthetic,
        places=np.where(here, real.places[found], elsewhere),
        cities=np.where(here, real.cities[found], synthetic.cities),
    )
    same = bool(here.all()) and np.array_equal(synthetic.masks, real.masks[found])
    return placed, same


def position(tile: Tile) -> tuple[object, ...]:
    """Where a tile lies, to the millimetre."""
    return crs_name(tile.crs), tile.shape, *(round(edge, 3) for edge in tile.bounds)


def index_of(folder: Path, split: str) -> pd.DataFrame:
    """Rows of the index of a tile folder that are of a split, each with a ``place``.

    Raises:
        InputError: if there is no such folder or split, or the split is ``test``.
    """
    if split == "test":
        raise InputError("The split 'test' takes no part in an evaluation; take 'val' or 'train'.")
    rows = read_index(folder, split)
    return rows if "place" in rows else rows.assign(place=rows["id"])


def _of_image_year(rows: pd.DataFrame, captions: Path) -> pd.DataFrame:
    if "year" not in rows or not captions.is_file():
        return rows
    years = pd.read_csv(captions)
    if not {"place", "image_year"} <= set(years.columns):
        return rows
    drawn_on = rows["place"].map(years.set_index("place")["image_year"])
    return rows[drawn_on.isna() | (rows["year"] == drawn_on)]


def _read_rows(folder: Path, rows: pd.DataFrame, *, with_masks: bool) -> Tiles:
    paths = [image_path(folder, name) for name in rows["id"]]
    tiles = tuple(Tile.from_raster(path) for path in paths)
    images = _stack([read_rgb(path) for path in paths], folder)
    masks = np.zeros((len(rows), *images.shape[2:]), dtype=np.uint8)
    if with_masks:
        roads = folder / "roads.geojson"
        if not roads.is_file():
            raise InputError(f"{folder} has no roads.geojson, which real roads are taken from.")
        lines = read_vectors(roads)
        if "place" in lines:
            lines = lines[lines["place"].isin(rows["place"])]
        masks = burn_roads(lines, tiles)
    cities = rows["city"] if "city" in rows else pd.Series("", index=rows.index)
    return Tiles(
        images=images,
        masks=masks,
        names=rows["id"].to_numpy(dtype=np.str_),
        places=rows["place"].to_numpy(dtype=np.str_),
        tiles=tiles,
        variants=np.zeros(len(rows), dtype=np.intp),
        cities=cities.fillna("").to_numpy(dtype=np.str_),
        of=len(rows),
    )


def _read_mask(path: AnyPath) -> NDArray[np.uint8]:
    with open_image(path) as src:
        mask: NDArray[np.uint8] = read_all(src, 1)
    return (mask > 0).astype(np.uint8)


def _stack(arrays: Sequence[NDArray[np.uint8]], folder: Path) -> NDArray[np.uint8]:
    shapes = sorted({array.shape[-2:] for array in arrays})
    if len(shapes) > 1:
        raise InputError(
            f"The tiles in {folder} are of several sizes ({shapes[0]} and {shapes[1]}); one is "
            "needed."
        )
    return np.stack(arrays)


def _spread(names: list[str], limit: int | None) -> list[str]:
    """At most ``limit`` of the names, spread evenly over them."""
    if limit is None or limit >= len(names):
        return names
    return [names[k] for k in np.linspace(0, len(names) - 1, limit).round().astype(int)]
