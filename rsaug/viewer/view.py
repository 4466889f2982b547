"""All that the page asks for, without the web: a run, its layers, its scores and its review."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import chain
from pathlib import Path
from typing import Any

from rsaug.errors import InputError, RsaugError
from rsaug.optional import require
from rsaug.provenance import read_provenance
from rsaug.viewer.cache import Cache
from rsaug.viewer.catalogue import Catalogue, Image, read_catalogue
from rsaug.viewer.layers import Layer, known, real_layer, run_layers
from rsaug.viewer.pixels import RunPixels
from rsaug.viewer.pyramid import Caches, Page, Pyramid
from rsaug.viewer.rasters import RasterSet
from rsaug.viewer.reference import check_reference, read_reference
from rsaug.viewer.review import Review
from rsaug.viewer.roadvectors import Box, Features, MaskOutlines, RoadLines, road_file
from rsaug.viewer.scores import dropped, read_scores
from rsaug.viewer.webtiles import WebTile

_PAGE_BYTES, _REDUCED_BYTES = 96 << 20, 192 << 20
_CONTROL_PAGE_BYTES, _CONTROL_REDUCED_BYTES = 64 << 20, 192 << 20
# A browser keeps pictures as well, so they are seldom asked for again.
_PICTURE_BYTES, _OUTLINE_BYTES = 64 << 20, 32 << 20
_WARMED = 20_000
"""Of so many images at most all are read before they are asked for."""

_OPENING_S = 3.0
"""So long at most nothing is read ahead while a page is opened."""

_SAFE = 2**53
"""From here on a number of JavaScript is not exact."""


class View:
    """A run to be looked at.

    Args:
        root: Its folder.
        real: A raster, or a folder of them, to be looked at beside it.

    Raises:
        InputError: if it is not the folder of a run, or there is no ``real``.
    """

    def __init__(self, root: Path, real: Path | None = None) -> None:
        if real is not None:
            check_reference(real)
        self.catalogue: Catalogue = read_catalogue(root)
        images = self.catalogue.images
        caches = Caches.of(_PAGE_BYTES, _REDUCED_BYTES)
        self._pictures: Cache[bytes | None] = Cache(_PICTURE_BYTES, lambda b: len(b or b""))
        outlines: Cache[list[Any]] = Cache(_OUTLINE_BYTES, lambda found: 400 * len(found) + 64)
        pixels = RunPixels(self.catalogue)
        of_controls = Caches.of(_CONTROL_PAGE_BYTES, _CONTROL_REDUCED_BYTES)
        self.layers: dict[str, Layer] = run_layers(self.catalogue, pixels, caches, of_controls)
        self.scores = read_scores(self.catalogue.folder, images)
        self.review = Review(self.catalogue.folder, [*images], dropped(self.scores))
        self._real = _Real(real, caches.pages)
        self._pixels = pixels
        named = road_file(self.catalogue)
        self._roads: RoadLines | MaskOutlines = (
            MaskOutlines(self.catalogue, pixels.mask, outlines.get)
            if named is None
            else RoadLines(self.catalogue.folder, named)
        )
        self._busy = 0
        self._quiet_until = 0.0

    def start(self) -> None:
        """Read ahead, in the background, what will be asked for first; ends with the process."""
        for work in (self.read_ahead, self._real.read, self._import):
            threading.Thread(target=work, daemon=True, name=f"view-{work.__name__}").start()

    def opening(self) -> None:
        """To be called when a page is opened: until it asks for tiles, nothing is read ahead."""
        self._quiet_until = time.monotonic() + _OPENING_S

    def about(self) -> dict[str, Any]:
        """The run as the page begins with it, JSON-able; images are columns of one order."""
        images = [*self.catalogue.images.values()]
        record = self.catalogue.record
        generator = record.get("generator")
        return {
            "folder": self.catalogue.folder.root.name,
            "created": _text(record.get("created")),
            "software": _text(record.get("software")),
            "model": _text(generator.get("model")) if isinstance(generator, dict) else None,
            "gsd_m": self.catalogue.gsd_m,
            "bounds": self.catalogue.bounds,
            "unreadable": len(self.catalogue.unreadable),
            "variants": self.catalogue.variants,
            "layers": known(self.layers),
            "images": {
                "name": [image.name for image in images],
                "tile": [image.tile for image in images],
                "variant": [image.variant for image in images],
                "outline": [image.outline for image in images],
                "road": [image.road_share for image in images],
            },
            "scores": {
                column: [values.get(image.name) for image in images]
                for column, values in self.scores.items()
            },
            "verdicts": self.review.verdicts(),
            "can_write": self.review.can_write,
            "real": self._real.wanted,
            "roads": self._roads.kind,
        }

    def image(self, name: str) -> dict[str, Any]:
        """All that is said of an image, JSON-able.

        Raises:
            KeyError: if the run has none of that name.
        """
        image = self.catalogue.images[name]
        scores = {column: values.get(name) for column, values in self.scores.items()}
        return {
            "name": name,
            "properties": _exact(image.properties),
            "inside": _exact(self._inside(image)),
            "scores": {column: value for column, value in scores.items() if value is not None},
            "shares": self._pixels.shares.get(image.tile),
        }

    def _inside(self, image: Image) -> dict[str, Any] | None:
        """What the file of an image says of itself; None where it does not."""
        path = self.catalogue.folder.file(image.files.get("image", ""))
        try:
            said = None if path is None else read_provenance(path)
        except InputError:
            return None
        return None if said is None else {**vars(said)}

    def png(self, key: str, tile: WebTile) -> bytes | None:
        """A layer on a tile of the web, as PNG; None where there is nothing.

        Raises:
            KeyError: if there is no such layer.
        """
        layer = self._real.layer() if key == "real" else self.layers.get(key)
        if layer is None:
            raise KeyError(key)
        if not tile.exists:
            return None
        self._busy += 1
        self._quiet_until = 0.0
        try:
            return self._pictures.get((key, tile), lambda: layer.png(tile))
        finally:
            self._busy -= 1

    def real(self) -> dict[str, Any]:
        """What the page has to know of the real imagery, once it has been looked through.

        Raises:
            KeyError: if none is wanted.
            InputError: if it holds nothing that can be shown.
        """
        layer = self._real.layer()
        if layer is None:
            raise KeyError("real")
        return {**layer.described(), "left_out": self._real.left_out}

    def shares(self) -> dict[str, Any]:
        """Shares of land cover by name of the tile, as far as they are counted, JSON-able."""
        tiles = self.catalogue.tiles.values()
        of = sum("seg" in image.controls and "conditions" in image.files for image in tiles)
        return {"of": of, "tiles": dict(self._pixels.shares)}

    def roads(self, box: Box) -> Features:
        """Roads within a box in degrees, as GeoJSON.

        Raises:
            RsaugError: if they cannot be read.
        """
        return self._roads.within(box)

    def read_ahead(self) -> None:
        """Compute the overviews of the first variant and of the masks, then of the controls."""
        if len(self.catalogue.images) > _WARMED:
            return
        first = f"image-{self.catalogue.variants[0]}"
        works = chain.from_iterable(
            part.read_ahead() for key in (first, "mask") for part in self._parts(key)
        )
        with ThreadPoolExecutor(2, "view-warm") as pool:
            for done in pool.map(self._unhurried, works):
                del done
        # All controls share their parts, and nobody waits for these.
        controls = next((k for k, v in self.layers.items() if v.group == "control"), "")
        for part in self._parts(controls):
            for work in part.read_ahead():
                self._wait()
                work()

    def _parts(self, key: str) -> list[Pyramid]:
        layer = self.layers.get(key)
        return [] if layer is None else [p for p in layer.parts if isinstance(p, Pyramid)]

    def _unhurried(self, work: Callable[[], object]) -> None:
        """Work as soon as no page is being opened."""
        while time.monotonic() < self._quiet_until:
            time.sleep(0.02)
        work()

    def _wait(self) -> None:
        """Let the requests of the page go first."""
        while self._busy > 0:
            time.sleep(0.02)

    def _import(self) -> None:
        """Have the library that reads mosaics and real imagery there before the first tile."""
        if self._real.wanted or self.catalogue.mosaics:
            require("rio_tiler.reader", extra="view")


class _Real:
    """Real imagery, looked through in the background."""

    def __init__(self, path: Path | None, cache: Cache[Page | None]) -> None:
        self._path, self._cache = path, cache
        self._done = threading.Event()
        self._layer: Layer | None = None
        self._error: RsaugError | None = None
        self.left_out = 0

    @property
    def wanted(self) -> bool:
        """Whether there is to be some."""
        return self._path is not None

    def read(self) -> None:
        """Look it through."""
        try:
            if self._path is not None:
                found = read_reference(self._path)
                self.left_out = found.left_out
                rasters = RasterSet("real", found.rasters, self._cache)
                self._layer = real_layer(rasters, found.title)
        except RsaugError as error:
            self._error = error
        finally:
            self._done.set()

    def layer(self) -> Layer | None:
        """Its layer, waited for; None where none is wanted.

        Raises:
            RsaugError: if nothing of it can be shown.
        """
        if self._path is None:
            return None
        self._done.wait()
        if self._error is not None:
            raise self._error
        return self._layer


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None


def _exact(value: Any) -> Any:
    """JSON that JavaScript reads as it is: large whole numbers as text."""
    if isinstance(value, dict):
        return {str(name): _exact(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_exact(inner) for inner in value]
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) >= _SAFE:
        return str(value)
    return value
