"""What the rasters of a run show: small pictures of them, and what is measured on them.

Rasters are read no larger than they are shown, whatever size they say they have.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import rasterio
from numpy.typing import NDArray
from pyproj import CRS
from pyproj.exceptions import CRSError
from rasterio.enums import Resampling

from rsaug.conditions.landcover import CLASSES, PALETTE
from rsaug.conditions.stack import CHANNEL_NAMES, STACK
from rsaug.credentials import is_signed
from rsaug.errors import InputError
from rsaug.pictures import Picture, picture_of
from rsaug.provenance import DIGITAL_SOURCE_TYPE, EDITED_SOURCE_TYPE, read_provenance, read_xmp
from rsaug.raster import open_image
from rsaug.rasterfile import tags_of, without_place
from rsaug.reporting.run import Box, Piece
from rsaug.storage import AnyPath

SIDE = 256
"""Longer side of what is read of a raster, in pixels."""

_ROAD_TINT = np.array([255, 122, 26], dtype=np.float64)
_TINTED = 0.55

T = TypeVar("T")


@dataclass(frozen=True, eq=False)
class Look:
    """Pictures of a piece.

    Attributes:
        piece: The piece.
        panels: Title, picture, and whether it is a photo rather than a map.
        road_share: Share of the mask that is road; None without a mask.
        classes: Share of the land-cover map by class; empty without one.
        box: (left, bottom, right, top) in its CRS; None where it has no place.
        crs: Code of the CRS.
        problem: Why a raster could not be read; "" where all could.
    """

    piece: Piece
    panels: tuple[tuple[str, Picture, bool], ...]
    road_share: float | None
    classes: Mapping[str, float]
    box: Box | None
    crs: str
    problem: str = ""


def spread(things: Sequence[T], most: int) -> list[T]:
    """At most so many of some things, spread evenly over them, the first among them."""
    if len(things) <= most:
        return list(things)
    return [things[k * len(things) // most] for k in range(most)]


def look_at(piece: Piece) -> Look:
    """Pictures of a piece and what is measured on them; of what cannot be read the reason."""
    panels: list[tuple[str, Picture, bool]] = []
    share: float | None = None
    classes: dict[str, float] = {}
    box, crs, problem = piece.box, piece.crs, ""
    try:
        rgb = None
        if "image" in piece.files:
            rgb, box, crs = _image(piece.files["image"], box, crs)
            panels.append(("image", rgb, True))
        if "mask" in piece.files:
            mask = _mask(piece.files["mask"])
            share = float((mask > 0).mean())
            if rgb is not None and rgb.shape[:2] == mask.shape:
                panels.append(("roads of the mask", tinted(rgb, mask), True))
            else:
                panels.append(("road mask", picture_of(mask, "binary"), False))
        if "filled" in piece.files:
            filled = _mask(piece.files["filled"])
            panels.append(("filled in", picture_of(filled, "binary"), False))
        if "conditions" in piece.files:
            maps, classes = _controls(piece.files["conditions"])
            panels += maps
        if "labels" in piece.files:
            panels.append(("labels", picture_of(_mask(piece.files["labels"]), "classes"), False))
    except InputError as error:
        problem = str(error)
    except UnicodeDecodeError:
        problem = f"A raster of {piece.name} holds text that is not UTF-8."
    return Look(piece, tuple(panels), share, classes, box, crs, problem)


def marks_of(piece: Piece) -> dict[str, bool] | None:
    """Which marks an image bears, by name; None where it cannot be read or there is none."""
    path = piece.files.get("image")
    if path is None:
        return None
    try:
        with without_place():
            said, xmp = read_provenance(path), read_xmp(path) or ""
        signed = is_signed(path)
    except (InputError, OSError, UnicodeDecodeError):
        return None
    return {
        "tags that say it is synthetic": said is not None,
        "IPTC digital source type in XMP": DIGITAL_SOURCE_TYPE in xmp or EDITED_SOURCE_TYPE in xmp,
        "C2PA signature": signed,
        "watermark named in its tags": bool(said and said.watermark),
    }


def tinted(rgb: Picture, mask: NDArray[np.uint8]) -> Picture:
    """An image with the roads of a mask tinted, uint8 (rows, cols, 3)."""
    on = mask.astype(bool)[..., None]
    blend = (1 - _TINTED) * rgb + _TINTED * _ROAD_TINT
    return np.where(on, np.rint(blend), rgb).astype(np.uint8)


def _image(path: AnyPath, box: Box | None, crs: str) -> tuple[Picture, Box | None, str]:
    with open_image(path) as src:
        if src.count < 3 or src.dtypes[0] != "uint8":
            raise InputError(f"{path.name} is no image of three bands of uint8.")
        if box is None and src.crs is not None:
            left, bottom, right, top = src.bounds
            box, crs = (left, bottom, right, top), _code(src.crs.to_wkt())
        rgb = _small(src, [1, 2, 3], Resampling.average)
    return np.ascontiguousarray(np.moveaxis(rgb, 0, -1)), box, crs


def _mask(path: AnyPath) -> NDArray[np.uint8]:
    with open_image(path) as src:
        if src.dtypes[0] != "uint8":
            raise InputError(f"{path.name} is no mask of uint8.")
        mask: NDArray[np.uint8] = _small(src, [1], Resampling.nearest)[0]
        return mask


def _controls(path: AnyPath) -> tuple[list[tuple[str, Picture, bool]], dict[str, float]]:
    """Pictures of the controls that were given, and shares of land cover where it is one."""
    panels, classes = [], {}
    with open_image(path) as src:
        if src.descriptions != CHANNEL_NAMES:
            raise InputError(f"{path.name} is no control stack.")
        for k, slot in enumerate(STACK):
            if tags_of(src, band=3 * k + 1).get("GIVEN") != "YES":
                continue
            palette = slot.look == "palette"
            how = Resampling.average if slot.look == "grey" else Resampling.nearest
            bands = [3 * k + band for band in ((1, 2, 3) if palette else (1,))]
            values = np.nan_to_num(_small(src, bands, how))
            drawn = picture_of(values if palette else values[0], slot.look)
            panels.append((slot.title.lower(), drawn, False))
            if slot.name == "seg":
                classes = _shares(drawn)
    return panels, classes


def _shares(picture: Picture) -> dict[str, float]:
    """Share of each land-cover class in the picture of its map, of those that are there."""
    codes = picture.reshape(-1, 3).astype(np.int64) @ np.array([1 << 16, 1 << 8, 1])
    wanted = PALETTE.astype(np.int64) @ np.array([1 << 16, 1 << 8, 1])
    found = {
        name: float((codes == code).mean()) for name, code in zip(CLASSES, wanted, strict=True)
    }
    return {name: share for name, share in found.items() if share > 0}


def _small(src: rasterio.DatasetReader, bands: list[int], how: Resampling) -> NDArray[np.generic]:
    rows, cols = src.shape
    scale = min(1.0, SIDE / max(rows, cols))
    shape = (len(bands), max(1, round(rows * scale)), max(1, round(cols * scale)))
    values: NDArray[np.generic] = src.read(bands, out_shape=shape, resampling=how)
    return values


def _code(wkt: str) -> str:
    try:
        authority = CRS.from_wkt(wkt).to_authority()
    except CRSError:
        return ""
    return ":".join(authority) if authority else ""
