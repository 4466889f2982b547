"""What the folder of a run holds, as the map needs it: images by name, and where each lies."""

from __future__ import annotations

import math
import posixpath
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import rasterio.crs
import rasterio.errors

from rsaug.conditions.stack import SLOTS
from rsaug.errors import InputError
from rsaug.viewer.confined import Confined

_NAME = re.compile(r"[A-Za-z0-9._-]{1,200}")
_ASSETS = ("image", "mask", "conditions")
_MOST_SIDE = 8192


@dataclass(frozen=True)
class GridKey:
    """A grid that tiles lie on: they are of one size, and whole tiles apart.

    Attributes:
        crs: ``EPSG:N``, or WKT.
        side: Side of a pixel in units of the CRS.
        shape: Pixels of a tile, (rows, cols).
        origin: Where the corner of a tile lies, as (x, y) of the one at row 0 and column 0.
    """

    crs: str
    side: float
    shape: tuple[int, int]
    origin: tuple[float, float]


@dataclass(frozen=True)
class Image:
    """An image of a run.

    Attributes:
        name: Its name.
        tile: Name of its tile, which variants share.
        variant: Which of the images of its tile it is.
        grid: Grid that the tile lies on.
        cell: (row, col) in that grid.
        outline: Corners in degrees: (lon, lat) five times, the last as the first.
        files: Path of each asset as seen from the folder, by name.
        properties: What its item says of it.
    """

    name: str
    tile: str
    variant: int
    grid: GridKey
    cell: tuple[int, int]
    outline: tuple[tuple[float, float], ...]
    files: Mapping[str, str]
    properties: Mapping[str, Any]

    @property
    def road_share(self) -> float | None:
        """Share of the tile that is road."""
        return number(self.properties.get("rsaug:road_fraction"))

    @property
    def controls(self) -> tuple[str, ...]:
        """Control maps that it was made from, in the order of the stack."""
        given = self.properties.get("rsaug:controls")
        return tuple(name for name in SLOTS if isinstance(given, list) and name in given)


@dataclass(frozen=True, eq=False)
class Catalogue:
    """The images of a run.

    Attributes:
        folder: Where it is.
        images: By name, row by row from the north-west.
        unreadable: Names of items that say too little or lead elsewhere.
        record: What ``run.json`` says.
    """

    folder: Confined
    images: Mapping[str, Image]
    unreadable: tuple[str, ...] = ()
    record: Mapping[str, Any] = field(default_factory=dict)

    @cached_property
    def variants(self) -> tuple[int, ...]:
        """Variants that there are."""
        return tuple(sorted({image.variant for image in self.images.values()}))

    @cached_property
    def tiles(self) -> Mapping[str, Image]:
        """The first image of each tile, by name of the tile."""
        found: dict[str, Image] = {}
        for image in self.images.values():
            if image.tile not in found or image.variant < found[image.tile].variant:
                found[image.tile] = image
        return found

    @cached_property
    def controls(self) -> tuple[str, ...]:
        """Control maps that any tile has, in the order of the stack."""
        given = {name for image in self.tiles.values() for name in image.controls}
        return tuple(name for name in SLOTS if name in given)

    @cached_property
    def bounds(self) -> tuple[float, float, float, float]:
        """(west, south, east, north) of all images in degrees."""
        lons, lats = zip(*(p for image in self.images.values() for p in image.outline), strict=True)
        return min(lons), min(lats), max(lons), max(lats)

    @cached_property
    def gsd_m(self) -> float | None:
        """Metres a pixel of the first image that says so."""
        said = (number(image.properties.get("gsd")) for image in self.images.values())
        return next((value for value in said if value is not None), None)

    @cached_property
    def mosaics(self) -> Mapping[str, str]:
        """Mosaics by id, as paths seen from the folder."""
        names = {f"mosaic-{v}": f"mosaic_v{v}.tif" if v else "mosaic.tif" for v in self.variants}
        return {key: name for key, name in names.items() if self.folder.file(name) is not None}


def read_catalogue(root: Path) -> Catalogue:
    """The images of the run in a folder.

    Raises:
        InputError: if it is not the folder of a run, or none of its images can be shown.
    """
    folder = Confined(root)
    record = folder.json("run.json")
    if record is None:
        raise InputError(
            f"{root} has no run.json that can be read, so it is not the folder of a run; name one "
            "that rsaug synth made."
        )
    names = _listed(folder)
    found, unreadable = [], []
    for name in names:
        image = _read_image(folder, name)
        if image is None:
            unreadable.append(name)
        else:
            found.append(image)
    if not found:
        raise InputError(
            f"{root} has no image that can be shown, in {len(names)} items; see what "
            f"rsaug verify {root} says."
        )
    found.sort(key=lambda image: (image.cell, image.variant, image.name))
    images = {image.name: image for image in found}
    return Catalogue(folder, images, tuple(unreadable), record)


def _listed(folder: Confined) -> list[str]:
    """Names of the items of the last run; of all that are there while it goes on."""
    collection = folder.json("collection.json")
    links = collection.get("links") if collection else None
    if isinstance(links, list):
        hrefs = [link.get("href") for link in links if _is_item(link)]
        names = [posixpath.basename(href).removesuffix(".json") for href in hrefs]
    else:
        names = [name.removesuffix(".json") for name in folder.names("items", ".json")]
    return [name for name in dict.fromkeys(names) if _NAME.fullmatch(name)]


def _is_item(link: object) -> bool:
    return isinstance(link, dict) and link.get("rel") == "item" and isinstance(link["href"], str)


def _read_image(folder: Confined, name: str) -> Image | None:
    item = folder.json(f"items/{name}.json")
    if item is None:
        return None
    try:
        properties, assets = item["properties"], item["assets"]
        hrefs = {
            kind: posixpath.normpath(posixpath.join("items", str(assets[kind]["href"])))
            for kind in _ASSETS
            if kind in assets
        }
        grid, cell = _place(properties)
        ring = item["geometry"]["coordinates"][0]
        outline = tuple((_degrees(lon, 180), _degrees(lat, 90)) for lon, lat in ring)
        tile, variant = str(properties.get("rsaug:tile", name)), properties.get("rsaug:variant", 0)
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError):
        return None
    if len(outline) < 4 or not isinstance(variant, int) or not 0 <= variant < 10_000:
        return None
    files = {kind: path for kind, path in hrefs.items() if folder.file(path) is not None}
    if not files or not _NAME.fullmatch(tile):
        return None
    return Image(name, tile, variant, grid, cell, outline, files, properties)


def _place(properties: Mapping[str, Any]) -> tuple[GridKey, tuple[int, int]]:
    """The grid of an item, and where in it the item is.

    Raises:
        KeyError, TypeError, ValueError: if it does not say so.
    """
    crs = properties.get("proj:code") or properties["proj:wkt2"]
    rows, cols = (int(n) for n in properties["proj:shape"])
    a, b, left, d, e, top = (float(v) for v in properties["proj:transform"][:6])
    if not (0 < rows <= _MOST_SIDE and 0 < cols <= _MOST_SIDE):
        raise ValueError("no tile is of this size")
    if not (isinstance(crs, str) and _is_crs(crs)):
        raise ValueError("no CRS")
    if not (a > 0 and b == d == 0 and math.isclose(-e, a, rel_tol=1e-6)):
        raise ValueError("pixels that are not square or not north up")
    across, down = left / (a * cols), -top / (a * rows)
    col, row = math.floor(across + 1e-6), math.floor(down + 1e-6)
    # Of tiles on the grid of rsaug both are 0; of others, what all tiles of a grid have in common.
    phase = (round(across - col, 5) * a * cols, -round(down - row, 5) * a * rows)
    return GridKey(crs, a, (rows, cols), (phase[0] + 0.0, phase[1] + 0.0)), (row, col)


@lru_cache(maxsize=64)
def _is_crs(text: str) -> bool:
    try:
        rasterio.crs.CRS.from_string(text)
    except rasterio.errors.CRSError:
        return False
    return True


def _degrees(value: object, most: float) -> float:
    degrees = number(value)
    if degrees is None or abs(degrees) > most:
        raise ValueError("no degrees")
    return degrees


def number(value: object) -> float | None:
    """A finite number as it is; None for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if math.isfinite(value) else None
