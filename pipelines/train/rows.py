"""Images of tile folders with all that is made of them: the rows of a pack, one after another."""

from __future__ import annotations

import csv
import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pyproj import CRS

from rsaug.conditions.caption import scene_of
from rsaug.conditions.edges import edge_map, line_map, sketch_map
from rsaug.conditions.facts import TileFacts, facts_from_maps, tile_facts
from rsaug.conditions.image_edges import line_segments, sketch_strokes, soft_edges
from rsaug.conditions.landcover import CLASSES, LandAreas, land_areas, landcover_map
from rsaug.conditions.outlines import Outlines, outlines
from rsaug.conditions.road import road_mask
from rsaug.errors import InputError
from rsaug.grid import Tile
from rsaug.pipelines.metadata import FIELDS
from rsaug.pipelines.train.captions import (
    WORDINGS,
    compose_texts,
    count_lines,
    measure_facts,
    mix_texts,
    outlined_areas,
)
from rsaug.pipelines.train.folder import BLANK, cut_windows, image_path, is_blank, read_index
from rsaug.raster import open_image, read_rgb
from rsaug.roads import Roads, road_surfaces
from rsaug.vectors import areas_of, read_vectors

Look = Callable[[NDArray[np.uint8], float | None], NDArray[np.uint8]]
"""From an image (3, rows, cols) and its pixel size in metres to LoveDA's classes (rows, cols)."""

EDGE_SLOTS = ("mlsd", "hed", "sketch")
"""Slots of the edge maps of an example, in their order."""

_VEGETATION_NDVI = 0.1


@dataclass(frozen=True)
class Reading:
    """How images are read.

    Attributes:
        size: side of an example in pixels.
        gsd_m: pixel size where the images have no georeference.
        look: a network that sees land cover; None for none.
        limit: take the first of the images only.
        wordings: texts composed for an example.
        encode: from an image (rows, cols, 3) to a file of it and what comes back of that; edges,
            land cover and texts are made of what comes back. None keeps it as it is.
        skip: ids of images to pass over.
        left_out: what was left out, counted here by reason.
    """

    size: int = 256
    gsd_m: float | None = None
    look: Look | None = None
    limit: int | None = None
    wordings: int = WORDINGS
    encode: Callable[[NDArray[np.uint8]], tuple[bytes, NDArray[np.uint8]]] | None = None
    skip: frozenset[str] = frozenset()
    left_out: Counter[str] = field(default_factory=Counter)

    def pick(self, index: pd.DataFrame) -> pd.DataFrame:
        """The rows of an index that are read."""
        return index[~index["id"].isin(self.skip)][: self.limit]

    def keep(self, rgb: NDArray[np.uint8]) -> tuple[bytes | None, NDArray[np.uint8]]:
        """The file of an image, if there is one, and the image as it is kept."""
        return (None, rgb) if self.encode is None else self.encode(rgb)


@dataclass(frozen=True)
class Example:
    """An example and where it is from.

    Attributes:
        name: its own name, that of its image and, where that was cut, row and column.
        image: id of its image.
        place: where it lies; empty if not said.
        city: the same.
        year: year of the image, None if not known.
        road_m: metres of road by ``highway``; empty where only a mask is known.
        row: its values, for `rsaug.pipelines.train.pack.stack_examples`.
        encoded: file of its image, where `Reading.encode` made one.
    """

    name: str
    image: str
    place: str
    city: str
    year: int | None
    road_m: Mapping[str, float]
    row: dict[str, Any]
    encoded: bytes | None = None


def read_examples(folder: Path, split: str, reading: Reading) -> Iterator[Example]:
    """Examples of one split of a tile folder, in the order of its ids.

    Raises:
        InputError: if the folder is none, or a tile has another size.
    """
    if (folder / "roads.geojson").is_file():
        return _vector_examples(folder, split, reading)
    if (folder / "masks").is_dir():
        return _mask_examples(folder, split, reading)
    raise InputError(f"{folder} has neither roads.geojson nor masks/: no labels to train on")


@dataclass(frozen=True)
class _Layers:
    """What is mapped, in one CRS.

    Attributes:
        roads: road surfaces.
        areas: land cover; None where there is no layer of it.
        features: the areas as they are tagged.
        drawn: outlines of both.
    """

    roads: Roads
    areas: LandAreas | None
    features: gpd.GeoDataFrame | None
    drawn: Outlines

    def left_out(self) -> dict[str, int]:
        """How many features were left out, by layer and reason."""
        counts = {f"road lines: {why}": n for why, n in self.roads.report.dropped.items()}
        if self.areas is not None:
            counts |= {f"areas: {why}": n for why, n in self.areas.dropped.items()}
            counts |= {f"areas of unknown class: {why}": n for why, n in self.areas.unknown.items()}
        return counts


def _lay_out(lines: gpd.GeoDataFrame, polygons: gpd.GeoDataFrame | None, crs: CRS) -> _Layers:
    roads = road_surfaces(lines, crs)
    if polygons is None:
        return _Layers(roads, None, None, outlines(roads=roads.surfaces))
    outlined = areas_of(polygons, crs, why="land cover is read from areas")
    local = land_areas(outlined, crs)
    drawn = outlines(areas=[local.areas], roads=roads.surfaces)
    return _Layers(roads, local, outlined.features, drawn)


def _vector_examples(folder: Path, split: str, reading: Reading) -> Iterator[Example]:
    index = reading.pick(read_index(folder, split))
    captions = _read_captions(folder / "captions.csv", split)
    lines = _of_places(read_vectors(folder / "roads.geojson"), index)
    outlined = folder / "landcover.geojson"
    polygons = _of_places(read_vectors(outlined), index) if outlined.is_file() else None
    zones: dict[str, _Layers] = {}
    for entry in index.to_dict("records"):
        path = image_path(folder, entry["id"])
        tile = Tile.from_raster(path)
        if tile.shape != (reading.size, reading.size):
            raise InputError(
                f"{path} is {tile.shape} pixels, expected {reading.size}x{reading.size}"
            )
        zone = tile.crs.to_string()
        if zone not in zones:
            zones[zone] = _lay_out(lines, polygons, tile.crs)
            if len(zones) == 1:
                reading.left_out.update(zones[zone].left_out())
        written = captions.get(str(entry.get("place")), ())
        yield _mapped_example(folder, entry, tile, zones[zone], written, reading)


def _mapped_example(
    folder: Path,
    entry: Mapping[Any, Any],
    tile: Tile,
    layers: _Layers,
    written: tuple[str, ...],
    reading: Reading,
) -> Example:
    original = read_rgb(image_path(folder, entry["id"])).transpose(1, 2, 0)
    nir = folder / "nir" / f"{entry['id']}.tif"
    plants = _vegetation(original, nir)
    encoded, rgb = reading.keep(original)
    look = reading.look
    lon, lat = tile.lonlat
    known = {"year": entry.get("year"), "gsd": tile.gsd_m, "latitude": lat, "longitude": lon}
    road, seen = road_mask(layers.roads, tile), _seen(rgb, tile.gsd_m, look)
    held = tile_facts(tile, seen_seg(seen, road), roads=layers.roads)
    year = _whole(entry.get("year"))
    facts = measure_facts(
        rgb,
        road,
        vegetation=plants if nir.is_file() else None,
        seen=seen if look else None,
        gsd_m=tile.gsd_m,
        road_m=held.road_m,
        road_lines=count_lines(layers.roads, tile),
        outlined_m2=None if layers.features is None else outlined_areas(layers.features, tile),
        scene=_scene(written, held if look else None),
        year=year,
    )
    composed = compose_texts(facts, held if look else None, entry["id"], reading.wordings)
    row = {
        "rgb": rgb,
        "road": road,
        "areas": _class_map(layers.areas, tile),
        "vegetation": plants,
        "seen": seen,
        "has_seen": look is not None,
        "photo_edges": _photo_edges(rgb),
        "map_edges": _map_edges(layers.drawn, tile),
        "has_areas": layers.areas is not None or nir.is_file(),
        "has_map": True,
        "captions": mix_texts(written, composed),
        "metadata": _metadata_row(known),
    }
    place, city = _said(entry.get("place")), _said(entry.get("city"))
    return Example(entry["id"], entry["id"], place, city, year, held.road_m, row, encoded)


def _said(value: Any) -> str:
    return "" if value is None or value != value else str(value)


def _scene(written: tuple[str, ...], held: TileFacts | None) -> str:
    """The kind of scene as a person wrote it, or as it is told from what a tile holds."""
    if written:
        return written[1]
    return "" if held is None else scene_of(held)


def _whole(year: float | None) -> int | None:
    return None if year is None or math.isnan(year) else int(year)


def _of_places(layer: gpd.GeoDataFrame, index: pd.DataFrame) -> gpd.GeoDataFrame:
    """Features of the split's own places, where the layer names them: no label of another split."""
    if "place" not in layer or "place" not in index:
        return layer
    return layer[layer["place"].isin(index["place"])]


def _mask_examples(folder: Path, split: str, reading: Reading) -> Iterator[Example]:
    size, look, found = reading.size, reading.look, 0
    for entry in reading.pick(read_index(folder, split)).to_dict("records"):
        tile_id = entry["id"]
        image = read_rgb(image_path(folder, tile_id)).transpose(1, 2, 0)
        with open_image(folder / "masks" / f"{tile_id}.png") as src:
            mask = src.read(1) > 0
        if mask.shape != image.shape[:2]:
            raise InputError(
                f"The mask of {tile_id} in {folder} is {mask.shape} pixels, its image "
                f"{image.shape[:2]}."
            )
        place, city = _said(entry.get("place")), _said(entry.get("city"))
        year = _whole(entry.get("year"))
        for row, col in cut_windows(image.shape[0], image.shape[1], size):
            window = np.s_[row : row + size, col : col + size]
            if is_blank(image[window]):
                reading.left_out[f"windows with {BLANK} or more in every band"] += 1
                continue
            road = mask[window].astype(np.uint8)
            encoded, rgb = reading.keep(image[window])
            values = unmapped_example(rgb, road, {"gsd": reading.gsd_m}, look=look)
            name = f"{tile_id} {row} {col}"
            values["captions"] = _texts_of_mask(values, reading.gsd_m, name, reading.wordings)
            yield Example(name, tile_id, place, city, year, {}, values, encoded)
            found += 1
    if not found:
        raise InputError(f"{folder} has no {size}x{size} example in split {split!r}")


def _texts_of_mask(
    example: Mapping[str, Any], gsd_m: float | None, key: str, wordings: int
) -> tuple[str, ...]:
    """Texts composed from an image and its mask alone."""
    seen = example["seen"] if example["has_seen"] else None
    held = None
    if gsd_m is not None:
        cover = np.zeros_like(example["road"]) if seen is None else seen_seg(seen, example["road"])
        held = facts_from_maps(cover, example["road"], gsd_m=gsd_m)
    known = held if seen is not None else None
    facts = measure_facts(
        example["rgb"],
        example["road"],
        seen=seen,
        gsd_m=gsd_m,
        road_m=None if held is None else held.road_m,
        scene=_scene((), known),
    )
    return compose_texts(facts, known, key, wordings)


def unmapped_example(
    rgb: NDArray[np.uint8],
    road: NDArray[np.uint8],
    known: Mapping[str, float | None],
    *,
    areas: NDArray[np.uint8] | None = None,
    captions: tuple[str, ...] = (),
    look: Look | None = None,
) -> dict[str, Any]:
    """A row for `stack_examples` of which there is a mask, but no map to take edges from.

    Args:
        rgb: (size, size, 3).
        road: (size, size), 1 on road surface.
        known: metadata by name of the field; see :data:`FIELDS`.
        areas: (size, size) class indices of land cover; None where it is not known.
        captions: texts that describe it.
        look: a network that sees land cover.
    """
    blank = np.zeros(road.shape, dtype=np.uint8)
    return {
        "rgb": rgb,
        "road": road,
        "areas": blank if areas is None else areas,
        "vegetation": blank,
        "seen": _seen(rgb, known.get("gsd"), look),
        "has_seen": look is not None,
        "photo_edges": _photo_edges(rgb),
        "map_edges": np.zeros((len(EDGE_SLOTS), *road.shape), dtype=np.uint8),
        "has_areas": areas is not None,
        "has_map": False,
        "captions": captions,
        "metadata": _metadata_row(known),
    }


def _seen(rgb: NDArray[np.uint8], gsd_m: float | None, look: Look | None) -> NDArray[np.uint8]:
    if look is None:
        return np.zeros(rgb.shape[:2], dtype=np.uint8)
    return look(np.ascontiguousarray(rgb.transpose(2, 0, 1)), gsd_m)


def _photo_edges(rgb: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return _in_bytes(line_segments(rgb), soft_edges(rgb), sketch_strokes(rgb))


def _map_edges(mapped: Outlines, tile: Tile) -> NDArray[np.uint8]:
    return _in_bytes(line_map(mapped, tile), edge_map(mapped, tile), sketch_map(mapped, tile))


def _in_bytes(*maps: NDArray[Any]) -> NDArray[np.uint8]:
    """Maps in [0, 1], (n, rows, cols) times 255."""
    return np.stack([(each * 255).astype(np.uint8) for each in maps])


def _class_map(areas: LandAreas | None, tile: Tile) -> NDArray[np.uint8]:
    return landcover_map([] if areas is None else [areas], None, tile)


def _vegetation(rgb: NDArray[np.uint8], nir_path: Path) -> NDArray[np.uint8]:
    if not nir_path.is_file():
        return np.zeros(rgb.shape[:2], dtype=np.uint8)
    with open_image(nir_path) as src:
        nir = src.read(1).astype(np.float32)
    if nir.shape != rgb.shape[:2]:
        raise InputError(f"{nir_path} is {nir.shape} pixels, its image {rgb.shape[:2]}.")
    red = rgb[..., 0].astype(np.float32)
    ndvi = (nir - red) / np.maximum(nir + red, 1)
    plants: NDArray[np.uint8] = (ndvi > _VEGETATION_NDVI).astype(np.uint8)
    return plants


def _read_captions(path: Path, split: str) -> dict[str, tuple[str, ...]]:
    """Texts by place: the caption, the scene, and both."""
    if not path.is_file():
        return {}
    with path.open(newline="", encoding="utf-8") as file:
        reader = csv.DictReader(file)
        missing = {"place", "split", "scene", "caption"} - set(reader.fieldnames or ())
        if missing:
            raise InputError(f"{path} lacks the columns {sorted(missing)}")
        rows = [row for row in reader if row["split"] == split]
    return {
        row["place"]: (row["caption"], row["scene"], f"{row['scene']}. {row['caption']}")
        for row in rows
    }


def _metadata_row(known: Mapping[str, float | None]) -> NDArray[np.float32]:
    values = [known.get(name) for name in FIELDS]
    return np.array([math.nan if v is None else float(v) for v in values], dtype=np.float32)


def compose_seg(
    areas: NDArray[np.uint8], vegetation: NDArray[np.uint8], road: NDArray[np.uint8]
) -> NDArray[np.uint8]:
    """Class indices with plants where no outline lies, and roads on top."""
    seg = areas.copy()
    seg[(seg == 0) & (vegetation > 0)] = CLASSES.index("forest")
    seg[road > 0] = CLASSES.index("road")
    return seg


def seen_seg(seen: NDArray[np.uint8], road: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Class indices as a network sees them, with roads where they are and nowhere else."""
    seg = seen.copy()
    seg[seg == CLASSES.index("road")] = CLASSES.index("background")
    seg[road > 0] = CLASSES.index("road")
    return seg
