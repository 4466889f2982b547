"""Real images taken apart into the controls of a model: six maps, a caption and metadata.

This is CRS-Diff's "image decoupling" (Tang et al. 2024). Each map is made by one extractor: from
vectors or heights where they are given, else by a network, else by an operator that needs no
weights. What made each map is kept with it.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from rsaug import __version__
from rsaug.conditions.caption import compose
from rsaug.conditions.facts import facts_from_maps
from rsaug.conditions.landcover import CLASSES, PALETTE, colourise
from rsaug.conditions.metadata import TileMetadata
from rsaug.conditions.stack import SLOTS, ControlStack
from rsaug.errors import InputError
from rsaug.files import write_whole
from rsaug.grid import Tile
from rsaug.optional import MissingExtra, require
from rsaug.raster import open_image, read_rgb
from rsaug.stackfile import write_stack

MIN_SIDE_PX = 64
MAX_PIXELS = 2**25
"""A stack of this many pixels takes 2.4 GB."""

ASSUMED_GSD_M = 0.6
"""Pixel size that a caption goes by where the image does not say its own."""

_ROAD, _BACKGROUND = CLASSES.index("road"), CLASSES.index("background")


class Extractor(Protocol):
    """One way to read one control off an image."""

    @property
    def slot(self) -> str:
        """The control, one of `SLOTS`."""

    @property
    def name(self) -> str:
        """What it is asked for by, unique in its slot."""

    @property
    def made_by(self) -> str:
        """What makes the map, for the record."""

    @property
    def automatic(self) -> bool:
        """Whether it may be taken without being asked for."""

    def why_not(self) -> str | None:
        """What stands in the way of using it here, in a sentence; None if nothing does."""

    def __call__(self, rgb: NDArray[np.uint8], gsd_m: float | None) -> NDArray[np.generic]:
        """The map, (rows, cols) or (3, rows, cols) in [0, 1], as its slot wants it.

        Args:
            rgb: (3, rows, cols) image.
            gsd_m: Side of a pixel in metres, if known.
        """


@dataclass(frozen=True)
class Operator:
    """An extractor without weights.

    Attributes:
        slot: The control.
        name: What it is asked for by.
        made_by: What makes the map.
        draw: From (rows, cols, 3) uint8 to the map, (rows, cols) in [0, 1].
        needs: A library of an extra that it needs, and the extra.
        automatic: Whether it may be taken without being asked for.
    """

    slot: str
    name: str
    made_by: str
    draw: Callable[[NDArray[np.uint8]], NDArray[np.generic]]
    needs: tuple[str, str] | None = None
    automatic: bool = True

    def why_not(self) -> str | None:
        """What is not installed, or None."""
        if self.needs is None:
            return None
        module, extra = self.needs
        try:
            require(module, extra=extra)
        except MissingExtra as error:
            return str(error)
        return None

    def __call__(self, rgb: NDArray[np.uint8], gsd_m: float | None) -> NDArray[np.generic]:
        """The map; it does not depend on the GSD."""
        return self.draw(np.ascontiguousarray(np.moveaxis(rgb, 0, -1)))


def offline_operators() -> tuple[Operator, ...]:
    """The extractors that need no weights; there is none for roads and land cover."""
    from rsaug.conditions import image_edges

    return (
        Operator(
            "mlsd",
            "offline",
            "LSD line segments of the image (Grompone von Gioi et al. 2010)",
            image_edges.line_segments,
            needs=("cv2", "image"),
        ),
        Operator(
            "hed",
            "offline",
            "Gaussian gradient magnitude of the image (no HED network)",
            image_edges.soft_edges,
        ),
        Operator(
            "sketch",
            "offline",
            "crests of the image's gradient (no sketch network)",
            image_edges.sketch_strokes,
        ),
        Operator(
            "depth",
            "offline",
            "relief of the image's brightness, a stand-in that measures no depth",
            image_edges.relief,
        ),
    )


class MapLayers(Protocol):
    """Maps of a place from vectors and heights; see `rsaug.overlay.Overlay`."""

    def road(self, tile: Tile) -> tuple[NDArray[np.uint8], str] | None:
        """Road mask 0/1 (rows, cols) and what made it; None without a layer of roads."""

    def cover(
        self, tile: Tile, road: NDArray[np.uint8] | None
    ) -> tuple[NDArray[np.uint8], str] | None:
        """LoveDA class of each pixel and what made it; None without such a layer."""

    def depth(self, tile: Tile) -> tuple[NDArray[np.float32], str] | None:
        """Depth in [0, 1] and what made it; None without heights."""


@dataclass(frozen=True, eq=False)
class Photo:
    """The file of a real image; its pixels are read when they are needed.

    Attributes:
        path: Its file.
        shape: (rows, cols).
        tile: Where it lies; None without a place, or in a CRS that no tile can have.
        unplaced: Why there is no tile, or "".
        metadata: What its file says.
        gsd_m: Side of a pixel in metres, if known.
    """

    path: Path
    shape: tuple[int, int]
    tile: Tile | None
    unplaced: str
    metadata: TileMetadata
    gsd_m: float | None

    @classmethod
    def open(cls, path: Path | str, gsd_m: float | None = None) -> Photo:
        """A file with three or more bands of uint8, of which the first three are taken.

        Args:
            path: The file, with a place on Earth or without.
            gsd_m: Side of a pixel in metres, where the file has no place.

        Raises:
            InputError: if there is no such image, or it is too small or too large.
        """
        path = Path(path)
        if not path.is_file():
            raise InputError(f"There is no image {path}; check the name.")
        if gsd_m is not None and not (math.isfinite(gsd_m) and gsd_m > 0):
            raise InputError(f"The GSD must be a positive number of metres, not {gsd_m}.")
        with open_image(path) as src:
            _check(path, src.height, src.width, src.count, src.dtypes[0])
            shape, has_crs = (src.height, src.width), src.crs is not None
        tile, unplaced = None, "it has no CRS"
        if has_crs:
            try:
                tile, unplaced = Tile.from_raster(path), ""
            except InputError as error:
                unplaced = str(error).rstrip(".")
        metadata = TileMetadata.from_image(path)
        known = tile.gsd_m if tile is not None else metadata.gsd_m
        return cls(path, shape, tile, unplaced, metadata, known if known is not None else gsd_m)

    def read(self) -> NDArray[np.uint8]:
        """The pixels, uint8 (3, rows, cols)."""
        return read_rgb(self.path)

    def without_data(self) -> int:
        """How many pixels the file marks as no data; they are taken as they are."""
        with open_image(self.path) as src:
            return int((src.dataset_mask() == 0).sum())


@dataclass(frozen=True, eq=False)
class Decoupled:
    """What an image was taken apart into.

    Attributes:
        stack: The six maps.
        made_by: What made each of them, by slot.
        chosen: Name of the extractor of each, ``layers`` where there was none.
        caption: A caption of what the road and land-cover maps show.
        caption_gsd_m: The pixel size that it went by.
    """

    stack: ControlStack
    made_by: Mapping[str, str]
    chosen: Mapping[str, str]
    caption: str
    caption_gsd_m: float


def _check(path: Path, rows: int, cols: int, bands: int, dtype: str) -> None:
    if bands < 3 or dtype != "uint8":
        raise InputError(
            f"{path} has {bands} band{'s' * (bands > 1)} of {dtype}; three of uint8 (red, green, "
            "blue) are needed. Scale it first, for instance with gdal_translate -ot Byte -scale."
        )
    if min(rows, cols) < MIN_SIDE_PX:
        raise InputError(
            f"{path} has {cols} x {rows} pixels; at least {MIN_SIDE_PX} a side are needed."
        )
    if rows * cols > MAX_PIXELS:
        raise InputError(
            f"{path} has {cols} x {rows} pixels, and at most {MAX_PIXELS} are taken apart at once; "
            "cut it into tiles first, for instance with gdal_retile."
        )


def choose(
    extractors: Sequence[Extractor], asked: Mapping[str, str], fixed: Sequence[str] = ()
) -> tuple[dict[str, Extractor], list[str]]:
    """An extractor for each slot, and what to know of the choice.

    The one that is asked for, else the first of the slot that is automatic and ready.

    Args:
        extractors: All there are, the better ones first.
        asked: Names by slot.
        fixed: Slots that are made from layers, for which none is needed.

    Raises:
        InputError: if there is no extractor of that name, what is asked for cannot be used, or a
            slot is left without one.
    """
    for slot, name in asked.items():
        names = [each.name for each in extractors if each.slot == slot]
        if slot not in SLOTS:
            raise InputError(f"No control is called {slot!r}; the slots are {list(SLOTS)}.")
        if name not in names:
            raise InputError(f"No extractor of {slot!r} is called {name!r}; there are {names}.")
        if slot in fixed:
            raise InputError(f"The {slot} map comes from the layers given; drop {slot}={name}.")
    chosen: dict[str, Extractor] = {}
    notes = []
    for slot in (slot for slot in SLOTS if slot not in fixed):
        why: str | None = f"There is no extractor of {slot!r}."
        for each in extractors:
            if each.slot != slot or not _is_meant(each, asked.get(slot)):
                continue
            missing = each.why_not()
            if missing is None:
                chosen[slot] = each
                break
            why = missing
            notes.append(f"{slot}: {each.name} is left out. {missing}")
        if slot not in chosen:
            raise InputError(f"The {slot} map cannot be made. {why}")
    return chosen, notes


def _is_meant(extractor: Extractor, asked: str | None) -> bool:
    return extractor.automatic if asked is None else extractor.name == asked


# A map and what made it; layers and where they are asked for.
_Made = tuple[NDArray[Any], str]
_Placed = tuple[MapLayers | None, Tile | None]


def decouple(
    photo: Photo,
    chosen: Mapping[str, Extractor],
    layers: MapLayers | None = None,
    wording: int = 0,
) -> Decoupled:
    """Take an image apart.

    Roads and land cover agree: a road of the road map is road in the other, and no other pixel is.

    Args:
        photo: The image.
        chosen: An extractor for each slot that ``layers`` does not fill; see `choose`.
        layers: Vectors and heights of the place.
        wording: Which of several wordings the caption has.

    Raises:
        InputError: if layers are given and the image has no place.
    """
    if layers is not None and photo.tile is None:
        raise InputError(
            f"Layers are given, but {photo.path} cannot be laid over them: {photo.unplaced}."
        )
    rgb = photo.read()

    names: dict[str, str] = {}

    def drawn(slot: str, layer: _Made | None = None) -> _Made:
        names[slot] = chosen[slot].name if layer is None else "layers"
        return layer or (chosen[slot](rgb, photo.gsd_m), chosen[slot].made_by)

    made = {slot: drawn(slot) for slot in ("mlsd", "hed", "sketch")}
    placed = layers, photo.tile
    made["depth"] = drawn("depth", _layer_of(placed, "depth"))
    mask, said = drawn("road", _layer_of(placed, "road"))
    road = (np.asarray(mask, dtype=np.float32) > 0.5).astype(np.uint8)
    made["road"] = road, said
    cover = _cover(placed, road)
    found = drawn("seg", cover)
    classes, covered = cover or _agreeing(found, road, said)
    made["seg"] = colourise(classes), covered
    gsd_m = photo.gsd_m or ASSUMED_GSD_M
    return Decoupled(
        ControlStack.from_maps(photo.shape, **{slot: values for slot, (values, _) in made.items()}),
        {slot: made[slot][1] for slot in SLOTS},
        {slot: names[slot] for slot in SLOTS},
        compose(facts_from_maps(classes, road, gsd_m=gsd_m), wording),
        gsd_m,
    )


def _layer_of(placed: _Placed, slot: Literal["road", "depth"]) -> _Made | None:
    layers, tile = placed
    if layers is None or tile is None:
        return None
    return layers.road(tile) if slot == "road" else layers.depth(tile)


def _cover(placed: _Placed, road: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], str] | None:
    layers, tile = placed
    return None if layers is None or tile is None else layers.cover(tile, road)


def _agreeing(
    found: _Made, road: NDArray[np.uint8], roads_by: str
) -> tuple[NDArray[np.uint8], str]:
    """Class map of an extractor with the roads of the road map; other roads become background."""
    colours, made_by = found
    classes = classes_of(colours)
    classes[(classes == _ROAD) & (road == 0)] = _BACKGROUND
    classes[road > 0] = _ROAD
    return classes, made_by if made_by == roads_by else f"{made_by}; roads as in the road map"


def classes_of(colours: NDArray[np.generic]) -> NDArray[np.uint8]:
    """Class of each colour, uint8 (rows, cols): that of the nearest colour of the palette.

    Args:
        colours: (3, rows, cols) in [0, 1].
    """
    palette = PALETTE.astype(np.float32) / np.float32(255)
    given = np.asarray(colours, dtype=np.float32)
    distance = np.stack([((given - colour[:, None, None]) ** 2).sum(0) for colour in palette])
    classes: NDArray[np.uint8] = distance.argmin(0).astype(np.uint8)
    return classes


def write_decoupled(folder: Path, name: str, photo: Photo, made: Decoupled) -> tuple[Path, Path]:
    """Write ``<name>.tif``, the control stack, and ``<name>.json``, all that is said of it.

    The files appear whole or not at all, the stack first; earlier ones are replaced.

    Returns:
        The two paths.

    Raises:
        OutputError: if a file cannot be written.
    """
    stack_path, record_path = folder / f"{name}.tif", folder / f"{name}.json"
    tags = {"SOFTWARE": f"rsaug {__version__}", "CAPTION": made.caption}
    write_stack(stack_path, made.stack, photo.tile, tags, made.made_by)
    text = json.dumps(record_of(photo, made), indent=2, ensure_ascii=False) + "\n"
    write_whole(record_path, text.encode())
    return stack_path, record_path


def record_of(photo: Photo, made: Decoupled) -> dict[str, Any]:
    """What is said of a decoupled image, ready for JSON."""
    rows, cols = photo.shape
    metadata = photo.metadata
    fields = metadata.to_fields()
    if photo.gsd_m is not None:
        # A micrometre; what is beyond comes of the transform's own rounding.
        fields["gsd"] = round(photo.gsd_m, 6)
    return {
        "image": photo.path.name,
        "rows": rows,
        "cols": cols,
        "pixels_without_data": photo.without_data(),
        "crs": None if photo.tile is None else photo.tile.crs.to_string(),
        "caption": made.caption,
        "caption_gsd_m": round(made.caption_gsd_m, 6),
        "caption_gsd_is_assumed": photo.gsd_m is None,
        "metadata": fields,
        "date": None if metadata.date is None else metadata.date.isoformat(),
        "metadata_found_in": dict(metadata.found_in),
        "metadata_ignored": list(metadata.ignored),
        "controls": {
            slot: {"extractor": made.chosen[slot], "made_by": made.made_by[slot]} for slot in SLOTS
        },
        "software": f"rsaug {__version__}",
    }
