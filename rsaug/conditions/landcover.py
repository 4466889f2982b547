"""The segmentation control: land cover in LoveDA's seven classes, from mapped areas.

LoveDA: Wang et al. 2021, "LoveDA: A Remote Sensing Land-Cover Dataset for Domain Adaptive Semantic
Segmentation". Its classes are few: grass, meadows, parks and pitches count as agriculture, parking
and built-up ground as background.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import geopandas as gpd
import numpy as np
import shapely
from numpy.typing import NDArray
from pyproj import CRS

from rsaug.errors import InputError
from rsaug.grid import Tile
from rsaug.osm_tags import LANDCOVER_BY_CLASS, LANDCOVER_BY_TAG
from rsaug.raster import burn
from rsaug.vectors import clean, meeting

CLASSES = ("background", "building", "road", "water", "barren", "forest", "agriculture")

PALETTE = np.array(
    [
        (255, 255, 255),
        (255, 0, 0),
        (255, 255, 0),
        (0, 0, 255),
        (159, 129, 183),
        (0, 255, 0),
        (255, 195, 128),
    ],
    dtype=np.uint8,
)
"""Colour of each class, RGB uint8 (7, 3), as CRS-Diff's segmentation maps have it."""

PRIORITY = ("background", "agriculture", "forest", "barren", "water", "building", "road")
"""Which class covers which where areas overlap, from the lowest to the highest."""

_RANK = np.array([PRIORITY.index(name) for name in CLASSES])
_UNKNOWN = 255


@dataclass(frozen=True, eq=False)
class LandAreas:
    """Areas with their land cover.

    Attributes:
        areas: Polygons with the column ``landcover``, an index into `CLASSES`.
        by_class: Areas by name of class.
        unknown: Areas taken as background because nothing is known of their tags, by what they say.
        dropped: Features that are no area, by reason.
    """

    areas: gpd.GeoDataFrame
    by_class: dict[str, int]
    unknown: dict[str, int]
    dropped: dict[str, int]


def land_areas(features: gpd.GeoDataFrame, crs: CRS, *, buildings: bool = False) -> LandAreas:
    """The areas among ``features`` in ``crs``, each with its class.

    Args:
        features: Features in any CRS with OSM tags or a ``class`` column; see `classify`.
        crs: CRS of the result.
        buildings: The layer holds buildings only, whatever its columns say.

    Raises:
        InputError: if there is no area.
    """
    kept, dropped = clean(features, crs)
    is_area = shapely.get_dimensions(kept.geometry.to_numpy()) == 2
    if not is_area.any():
        kinds = ", ".join(sorted(set(features.geom_type.dropna()))) or "no geometry at all"
        raise InputError(f"The layer holds no area, only {kinds}; land cover is read from areas.")
    if not is_area.all():
        dropped["not an area"] = int((~is_area).sum())
    kept = kept[is_area]
    classes, unknown = classify(kept, buildings=buildings)
    areas = gpd.GeoDataFrame({"landcover": classes}, geometry=kept.geometry, crs=crs)
    count = np.bincount(classes, minlength=len(CLASSES))
    by_class = {name: int(n) for name, n in zip(CLASSES, count, strict=True) if n}
    return LandAreas(areas, by_class, unknown, dropped)


def classify(
    areas: gpd.GeoDataFrame, *, buildings: bool = False
) -> tuple[NDArray[np.uint8], dict[str, int]]:
    """Class of each feature, uint8 (n,) into `CLASSES`, and what was not known, counted.

    A ``class`` column decides (LoveDA's names, or building, bare, sand, trees, wood, grass, sport,
    crops, water, pool, parking). Where it says nothing: ``building``, then the tables of
    `rsaug.osm_tags.LANDCOVER_BY_TAG` in their order. A feature of which nothing is known is
    background.
    """
    if buildings:
        return np.full(len(areas), CLASSES.index("building"), dtype=np.uint8), {}
    classes = np.full(len(areas), _UNKNOWN, dtype=np.uint8)
    said = np.full(len(areas), "", dtype=object)

    def take(column: str, index: Mapping[str, int]) -> None:
        if column not in areas:
            return
        values = areas[column].astype("string").str.strip().str.lower()
        found = values.map(index).to_numpy(dtype=float, na_value=np.nan)
        fresh = (classes == _UNKNOWN) & ~np.isnan(found)
        classes[fresh] = found[fresh].astype(np.uint8)
        mute = (said == "") & values.notna().to_numpy()
        said[mute] = (f"{column}=" + values[mute]).to_numpy()

    take("class", _indices(LANDCOVER_BY_CLASS))
    if "building" in areas:
        built = areas["building"].notna() & ~areas["building"].isin(["no", "", False])
        classes[(classes == _UNKNOWN) & built.to_numpy()] = CLASSES.index("building")
    for key, table in LANDCOVER_BY_TAG.items():
        take(key, _indices(table))
    unknown = classes == _UNKNOWN
    classes[unknown] = CLASSES.index("background")
    return classes, dict(Counter(value or "no tag" for value in said[unknown]))


def landcover_map(
    layers: Sequence[gpd.GeoDataFrame], road_mask: NDArray[np.uint8] | None, tile: Tile
) -> NDArray[np.uint8]:
    """Land cover of a tile, uint8 (rows, cols) of indices into `CLASSES`.

    Areas are burned in the order of `PRIORITY` whatever layer they are from; roads go on top;
    background is what nothing covers.

    Args:
        layers: `LandAreas.areas` of each layer, in the tile's CRS.
        road_mask: 0/1 (rows, cols), or None for no roads.
        tile: The tile.
    """
    parts = [layer.iloc[meeting(layer, tile)] for layer in layers]
    shapes = [shape for part in parts for shape in part.geometry]
    values = np.concatenate([np.zeros(0, np.uint8), *(part["landcover"] for part in parts)])
    order = np.argsort(_RANK[values.astype(np.intp)], kind="stable")
    classes = burn([(shapes[i], int(values[i])) for i in order], tile)
    if road_mask is not None:
        classes[road_mask > 0] = CLASSES.index("road")
    return classes


def colourise(classes: NDArray[np.uint8]) -> NDArray[np.float32]:
    """The palette's colours of a class map, float32 (3, rows, cols) in [0, 1]."""
    colours = PALETTE.astype(np.float32) / np.float32(255)
    return np.moveaxis(colours[classes], -1, 0)


def _indices(table: Mapping[str, str]) -> dict[str, int]:
    return {value: CLASSES.index(name) for value, name in table.items()}
