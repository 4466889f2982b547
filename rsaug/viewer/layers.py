"""What can be shown on the map, by id, and how its pixels become a picture."""

from __future__ import annotations

import io
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Picture

from rsaug.conditions.stack import STACK
from rsaug.viewer.catalogue import Catalogue, GridKey
from rsaug.viewer.pixels import RunPixels
from rsaug.viewer.pyramid import Caches, Cell, Pyramid
from rsaug.viewer.rasters import RasterSet, look_at
from rsaug.viewer.webtiles import MOST_ZOOM, TILE_PX, Box, WebTile, zoom_of

_OVERZOOM = 2
_UNDERZOOM = 4
_MASK_COLOUR = (255, 176, 0)
_ROAD_GREY, _GROUND_GREY = 38, 236

Drawn = NDArray[np.uint8]
"""uint8 (4, rows, cols): red, green, blue, alpha."""


@dataclass(frozen=True, eq=False)
class Layer:
    """Something to show.

    Attributes:
        key: Its id.
        title: Its name for readers.
        group: ``image``, ``mosaic``, ``control``, ``label`` or ``real``.
        parts: What gives its pixels, one a grid.
        draw: Makes a picture of them.
        zoom: The zoom nearest to its own scale.
        least_zoom: The smallest zoom that it is shown at.
        note: What it shows, one sentence.
    """

    key: str
    title: str
    group: str
    parts: Sequence[Pyramid | RasterSet]
    draw: Callable[[NDArray[np.uint8]], Drawn]
    zoom: int
    least_zoom: int = 0
    note: str = ""

    @property
    def mercator(self) -> Box | None:
        """Bounds in Web Mercator; None where they cannot be said."""
        boxes = [part.mercator for part in self.parts if part.mercator is not None]
        if not boxes:
            return None
        left, bottom, right, top = zip(*boxes, strict=True)
        return min(left), min(bottom), max(right), max(top)

    def described(self) -> dict[str, Any]:
        """What the page has to know, JSON-able."""
        return {
            "id": self.key,
            "title": self.title,
            "group": self.group,
            "minzoom": self.least_zoom,
            "maxzoom": min(MOST_ZOOM, self.zoom + _OVERZOOM),
            "note": self.note,
        }

    def png(self, tile: WebTile) -> bytes | None:
        """The layer on a tile of the web, as PNG; None where there is nothing."""
        if not tile.exists or not self.least_zoom <= tile.z <= self.zoom + _OVERZOOM:
            return None
        whole: NDArray[np.uint8] | None = None
        for part in self.parts:
            pixels = part.tile(tile)
            if pixels is None:
                continue
            whole = pixels if whole is None else np.where(whole[-1:] == 0, pixels, whole)
        return None if whole is None or not whole[-1].any() else _encode(self.draw(whole))


def run_layers(
    catalogue: Catalogue, pixels: RunPixels, caches: Caches, of_controls: Caches
) -> dict[str, Layer]:
    """What a run has to show, by id; control maps, which are many, have caches of their own."""
    layers = []
    for variant in catalogue.variants:
        names = [i.name for i in catalogue.images.values() if i.variant == variant]
        key, title = f"image-{variant}", _numbered("Synthetic image", catalogue, variant)
        parts = _pyramids(key, catalogue, names, "image", 3, pixels.image, caches)
        layers += _layer(key, title, "image", parts, _as_is)
    firsts = [image.name for image in catalogue.tiles.values()]
    masks = _pyramids("mask", catalogue, firsts, "mask", 1, pixels.mask, caches)
    layers += _layer("mask", "Road mask", "overlay", masks, _tinted)
    layers += _layer("label", "Road mask", "label", masks, _plain, "Dark where there is a road.")
    layers += _control_layers(catalogue, pixels, of_controls, firsts)
    for key, name in catalogue.mosaics.items():
        path = catalogue.folder.file(name)
        raster = None if path is None else look_at(path)
        if raster is not None:
            title = _numbered("Mosaic", catalogue, int(key.rpartition("-")[2]))
            parts_ = [RasterSet(key, [raster], caches.pages)]
            layers.append(
                Layer(key, title, "mosaic", parts_, _as_is, raster.zoom, parts_[0].least_zoom)
            )
    return {layer.key: layer for layer in layers}


def real_layer(rasters: RasterSet, title: str) -> Layer:
    """Real imagery."""
    return Layer("real", title, "real", [rasters], _as_is, rasters.zoom, rasters.least_zoom)


def _control_layers(
    catalogue: Catalogue, pixels: RunPixels, caches: Caches, names: Sequence[str]
) -> list[Layer]:
    slots = catalogue.controls
    parts = _pyramids(
        "controls",
        catalogue,
        names,
        "conditions",
        3 * len(slots),
        lambda name: pixels.controls(name, slots),
        caches,
    )
    layers: list[Layer] = []
    for slot in STACK:
        if slot.name in slots:
            first = 3 * slots.index(slot.name)
            layers += _layer(
                f"control-{slot.name}",
                slot.title,
                "control",
                parts,
                partial(_three, first),
                slot.meaning[:1].upper() + slot.meaning[1:] + ".",
            )
    return layers


def _layer(
    key: str,
    title: str,
    group: str,
    parts: Sequence[Pyramid],
    draw: Callable[[NDArray[np.uint8]], Drawn],
    note: str = "",
) -> list[Layer]:
    """The layer of some pyramids; none where they have no place on the map."""
    placed = [part for part in parts if part.mercator is not None]
    if not placed:
        return []
    zoom = min(MOST_ZOOM - _OVERZOOM, max(0, math.ceil(max(part.zoom for part in placed))))
    layer = Layer(key, title, group, placed, draw, zoom, 0, note)
    left, bottom, right, top = layer.mercator or (0, 0, 1, 1)
    whole = math.floor(zoom_of(max(right - left, top - bottom, 1e-3) / 256))
    least = max(0, min(whole - _UNDERZOOM, zoom))
    return [Layer(key, title, group, placed, draw, zoom, least, note)]


def _pyramids(
    key: str,
    catalogue: Catalogue,
    names: Sequence[str],
    asset: str,
    bands: int,
    read: Callable[[str], NDArray[np.uint8] | None],
    caches: Caches,
) -> list[Pyramid]:
    """A pyramid for each grid that files of some images lie on."""
    grids: dict[GridKey, dict[Cell, str]] = {}
    for name in names:
        image = catalogue.images[name]
        if asset in image.files:
            grids.setdefault(image.grid, {})[image.cell] = name
    return [
        Pyramid((key, number), grid, images, bands, read, caches)
        for number, (grid, images) in enumerate(grids.items())
    ]


def _numbered(title: str, catalogue: Catalogue, variant: int) -> str:
    return title if len(catalogue.variants) == 1 else f"{title}, variant {variant}"


def _as_is(pixels: NDArray[np.uint8]) -> Drawn:
    return pixels


def _three(first: int, pixels: NDArray[np.uint8]) -> Drawn:
    """Three of many bands, from the ``first`` on."""
    return pixels[[first, first + 1, first + 2, -1]]


def _tinted(pixels: NDArray[np.uint8]) -> Drawn:
    share, there = pixels
    out = np.empty((4, *share.shape), dtype=np.uint8)
    out[:3] = np.array(_MASK_COLOUR, dtype=np.uint8)[:, None, None]
    out[3] = np.minimum(share, there)
    return out


def _plain(pixels: NDArray[np.uint8]) -> Drawn:
    share = pixels[0].astype(np.uint16)
    grey = (_ROAD_GREY * share + _GROUND_GREY * (255 - share)) // 255
    return np.stack([*(grey.astype(np.uint8),) * 3, pixels[1]])


def _encode(drawn: Drawn) -> bytes:
    out = io.BytesIO()
    bands = drawn[:3] if drawn[3].min() == 255 else drawn
    picture = Picture.fromarray(np.ascontiguousarray(np.moveaxis(bands, 0, -1)))
    # On one machine, bytes cost less than the time to save them.
    picture.save(out, "PNG", compress_level=1)
    return out.getvalue()


def known(layers: Mapping[str, Layer]) -> list[dict[str, Any]]:
    """What the page has to know of all layers."""
    return [layer.described() for layer in layers.values()]


NOTHING = _encode(np.zeros((4, TILE_PX, TILE_PX), dtype=np.uint8))
"""A tile of the web with nothing on it, as PNG."""
