"""Training examples of the generator: images with their controls, captions and metadata."""

from __future__ import annotations

import csv
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from rsaug.conditions.edges import edge_map, line_map, sketch_map
from rsaug.conditions.image_edges import line_segments, sketch_strokes, soft_edges
from rsaug.conditions.landcover import CLASSES, LandAreas, land_areas, landcover_map
from rsaug.conditions.outlines import Outlines, outlines
from rsaug.conditions.road import road_mask
from rsaug.errors import InputError
from rsaug.grid import Tile
from rsaug.pipelines.metadata import FIELDS
from rsaug.pipelines.train.folder import cut_windows, image_path, read_index
from rsaug.raster import open_image, read_rgb
from rsaug.roads import Roads, road_surfaces
from rsaug.vectors import read_vectors

Look = Callable[[NDArray[np.uint8], float | None], NDArray[np.uint8]]
"""From an image (3, rows, cols) and its pixel size in metres to LoveDA's classes (rows, cols)."""

EDGE_SLOTS = ("mlsd", "hed", "sketch")
"""Slots of the edge maps of an example, in their order."""

_VEGETATION_NDVI = 0.1


@dataclass(frozen=True)
class Pack:
    """Examples as arrays, one row each.

    Attributes:
        rgb: (n, size, size, 3) uint8.
        road: (n, size, size) uint8, 1 on road surface.
        areas: (n, size, size) uint8 class indices from land-cover outlines, background elsewhere.
        vegetation: (n, size, size) uint8, 1 where NDVI says plants.
        seen: (n, size, size) uint8 class indices as a network sees them in the image.
        photo_edges: (n, 3, size, size) uint8, straight lines, soft edges and sketch of the image as
            `EDGE_SLOTS` names them, times 255.
        map_edges: (n, 3, size, size) uint8, the same of the roads and areas that are mapped.
        has_areas: (n,) whether land cover is known from outlines or from NDVI.
        has_seen: (n,) whether a network has looked at the image.
        has_map: (n,) whether there is a map to take edges from.
        captions: texts that describe the example; may be empty.
        metadata: (n, 7) in the order of :data:`FIELDS`, NaN where unknown.
    """

    rgb: NDArray[np.uint8]
    road: NDArray[np.uint8]
    areas: NDArray[np.uint8]
    vegetation: NDArray[np.uint8]
    seen: NDArray[np.uint8]
    photo_edges: NDArray[np.uint8]
    map_edges: NDArray[np.uint8]
    has_areas: NDArray[np.bool_]
    has_seen: NDArray[np.bool_]
    has_map: NDArray[np.bool_]
    captions: list[tuple[str, ...]]
    metadata: NDArray[np.float32]

    def __len__(self) -> int:
        """Number of examples."""
        return len(self.rgb)

    def __add__(self, other: Pack) -> Pack:
        """Examples of both, ours first."""
        arrays: dict[str, Any] = {
            name: np.concatenate([mine, getattr(other, name)])
            for name, mine in vars(self).items()
            if name != "captions"
        }
        return Pack(captions=self.captions + other.captions, **arrays)


def read_pack(
    folder: Path,
    split: str,
    size: int = 256,
    gsd_m: float | None = None,
    look: Look | None = None,
    limit: int | None = None,
) -> Pack:
    """Examples of one split of a tile folder.

    A folder with ``roads.geojson`` (and, as far as there are, ``landcover.geojson``, ``nir/`` and
    ``captions.csv``) holds georeferenced tiles of one size; one with ``masks/<id>.png`` holds
    images of any size with finished road masks, which are cut into tiles.

    Args:
        folder: tile folder; see :mod:`rsaug.pipelines.train.folder`.
        split: which rows of its index.
        size: side of an example in pixels.
        gsd_m: pixel size where the images have no georeference.
        look: a network that sees land cover, such as
            `rsaug.pipelines.extractors.landcover.LandcoverNet.classify`; outlines are seldom
            complete.
        limit: take the first of the images only.

    Raises:
        InputError: if the folder has neither, or a tile has another size.
    """
    if (folder / "roads.geojson").is_file():
        return _read_vector_folder(folder, split, size, look, limit)
    if (folder / "masks").is_dir():
        return _read_mask_folder(folder, split, size, gsd_m, look, limit)
    raise InputError(f"{folder} has neither roads.geojson nor masks/: no labels to train on")


def _read_vector_folder(
    folder: Path, split: str, size: int, look: Look | None, limit: int | None
) -> Pack:
    index = read_index(folder, split)[:limit]
    captions = _read_captions(folder / "captions.csv", split)
    lines = _of_places(read_vectors(folder / "roads.geojson"), index)
    outlined = folder / "landcover.geojson"
    polygons = _of_places(read_vectors(outlined), index) if outlined.is_file() else None
    layers: dict[str, tuple[Roads, LandAreas | None, Outlines]] = {}
    rows = []
    for entry in index.to_dict("records"):
        path = image_path(folder, entry["id"])
        tile = Tile.from_raster(path)
        if tile.shape != (size, size):
            raise InputError(f"{path} is {tile.shape} pixels, expected {size}x{size}")
        zone = tile.crs.to_string()
        if zone not in layers:
            local = None if polygons is None else land_areas(polygons, tile.crs)
            surfaces = road_surfaces(lines, tile.crs)
            mapped = outlines(areas=[] if local is None else [local.areas], roads=surfaces.surfaces)
            layers[zone] = (surfaces, local, mapped)
        roads, local, drawn = layers[zone]
        rgb = read_rgb(path).transpose(1, 2, 0)
        road, areas = road_mask(roads, tile), _class_map(local, tile)
        nir = folder / "nir" / f"{entry['id']}.tif"
        lon, lat = tile.lonlat
        known = {"year": entry.get("year"), "gsd": tile.gsd_m, "latitude": lat, "longitude": lon}
        rows.append(
            {
                "rgb": rgb,
                "road": road,
                "areas": areas,
                "vegetation": _vegetation(rgb, nir),
                "seen": _seen(rgb, tile.gsd_m, look),
                "has_seen": look is not None,
                "photo_edges": _photo_edges(rgb),
                "map_edges": _map_edges(drawn, tile),
                "has_areas": local is not None or nir.is_file(),
                "has_map": True,
                "captions": captions.get(str(entry.get("place")), ()),
                "metadata": _metadata_row(known),
            }
        )
    return stack_examples(rows)


def _of_places(layer: gpd.GeoDataFrame, index: pd.DataFrame) -> gpd.GeoDataFrame:
    """Features of the split's own places, where the layer names them: no label of another split."""
    if "place" not in layer or "place" not in index:
        return layer
    return layer[layer["place"].isin(index["place"])]


def _read_mask_folder(
    folder: Path,
    split: str,
    size: int,
    gsd_m: float | None,
    look: Look | None,
    limit: int | None,
) -> Pack:
    rows: list[dict[str, Any]] = []
    for tile_id in read_index(folder, split)["id"][:limit]:
        image = read_rgb(image_path(folder, tile_id)).transpose(1, 2, 0)
        with open_image(folder / "masks" / f"{tile_id}.png") as src:
            mask = src.read(1) > 0
        if mask.shape != image.shape[:2]:
            raise InputError(
                f"The mask of {tile_id} in {folder} is {mask.shape} pixels, its image "
                f"{image.shape[:2]}."
            )
        for row, col in cut_windows(image.shape[0], image.shape[1], size):
            window = np.s_[row : row + size, col : col + size]
            if (image[window].min(axis=2) >= 250).mean() > 0.02:
                continue
            road = mask[window].astype(np.uint8)
            rows.append(unmapped_example(image[window], road, {"gsd": gsd_m}, look=look))
    if not rows:
        raise InputError(f"{folder} has no {size}x{size} example in split {split!r}")
    return stack_examples(rows)


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


def stack_examples(rows: list[dict[str, Any]]) -> Pack:
    """The examples of some rows."""
    columns = {name: [row[name] for row in rows] for name in rows[0]}
    captions = columns.pop("captions")
    return Pack(captions=captions, **{name: np.stack(values) for name, values in columns.items()})


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
