"""Land cover: the class of every pixel, from mapped areas, from rasters, or from both.

Which areas cover which is declared by the class set: `rsaug.classes`. The segmentation control is
in LoveDA's classes; label masks can be in any set. Areas, of whatever layer, cover rasters.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import geopandas as gpd
import numpy as np
import shapely
from numpy.typing import NDArray
from pyproj import CRS

from rsaug.classes import ANY, LOVEDA, ClassSet
from rsaug.conditions.rastercover import RasterCover
from rsaug.errors import InputError
from rsaug.grid import Tile, linear_unit_m
from rsaug.shapes import Shapes
from rsaug.vectors import Areas, areas_of

CLASSES = LOVEDA.names
"""LoveDA's classes, by their number in label files."""

PALETTE = LOVEDA.palette[: len(CLASSES)]
"""Colour of each class, RGB uint8 (7, 3), as CRS-Diff's segmentation maps have it."""

PRIORITY = LOVEDA.priority
"""Which class covers which where areas overlap, from the lowest to the highest."""

_UNKNOWN = -1


@dataclass(frozen=True, eq=False)
class LandAreas:
    """Areas with their land cover.

    Attributes:
        shapes: The areas, from the lowest class to the highest.
        ranks: Place of each one's class in the priority, uint8 (n,).
        classes: The class set.
        by_class: Areas by name of class.
        area_m2: Their area by name of class, overlaps counted in each; in square metres of the CRS.
        unknown: Areas left out because nothing is known of their tags, by what they say.
        dropped: Features that are no area, by reason.
    """

    shapes: Shapes
    ranks: NDArray[np.uint8]
    classes: ClassSet
    by_class: dict[str, int]
    area_m2: dict[str, float]
    unknown: dict[str, int]
    dropped: dict[str, int]

    @cached_property
    def areas(self) -> gpd.GeoDataFrame:
        """The areas with the column ``landcover``, the class's number in label files."""
        values = self.classes.value_of_rank[self.ranks]
        return gpd.GeoDataFrame(
            {"landcover": values}, geometry=self.shapes.geometry, crs=self.shapes.crs
        )

    def levels(self, tile: Tile) -> NDArray[np.uint8]:
        """Place in the priority of the highest area of each pixel, plus one; 0 where none is."""
        return self.shapes.burn(tile, self._levels)

    def overlaps(self) -> dict[str, int]:
        """Pairs of areas of which one covers a part of the other, by their classes.

        Keys read ``building over forest``. The time goes with the pairs that touch.
        """
        geometry = self.shapes.geometry
        below, above = shapely.STRtree(geometry).query(geometry, predicate="intersects")
        lower = self.ranks[below] < self.ranks[above]
        below, above = below[lower], above[lower]
        # Interiors meet: an edge or a corner in common covers nothing.
        covers = shapely.relate_pattern(geometry[below], geometry[above], "T********")
        pairs = Counter(zip(self.ranks[above[covers]], self.ranks[below[covers]], strict=True))
        names = self.classes.priority
        return {f"{names[high]} over {names[low]}": n for (high, low), n in sorted(pairs.items())}

    def to_dict(self) -> dict[str, dict[str, int] | dict[str, float]]:
        """The report, for JSON."""
        return {
            "by_class": self.by_class,
            "area_m2": {name: round(area, 1) for name, area in self.area_m2.items()},
            "unknown": self.unknown,
            "dropped": self.dropped,
        }

    @cached_property
    def _levels(self) -> NDArray[np.uint8]:
        return self.ranks + np.uint8(1)


def land_areas(
    features: gpd.GeoDataFrame | Areas,
    crs: CRS,
    *,
    classes: ClassSet = LOVEDA,
    buildings: bool = False,
    allow_none: bool = False,
) -> LandAreas:
    """The areas among ``features`` in ``crs``, each with its class.

    Args:
        features: Features in any CRS with OSM tags or a column that names a class; see `classify`.
        crs: CRS of the result, projected.
        classes: The class set.
        buildings: The layer holds buildings only, whatever its columns say.
        allow_none: Whether a layer without an area is right, as a part of a layer can be.

    Raises:
        InputError: if there is no area.
    """
    why = "land cover is read from areas"
    areas = areas_of(features, crs, why=why, allow_none=allow_none)
    kept = areas.features
    ranks, unknown = classify(kept, classes, buildings=buildings)
    known = np.flatnonzero(ranks != _UNKNOWN)
    # Stable, and within a class the order makes no difference to the map.
    order = known[np.argsort(ranks[known], kind="stable")]
    places = ranks[order].astype(np.uint8)
    geometry = _areas_only(kept.geometry.to_numpy()[order])
    areas_m2 = shapely.area(geometry) * linear_unit_m(crs) ** 2
    count = np.bincount(places, minlength=len(classes.classes))
    area_m2 = np.bincount(places, areas_m2, minlength=len(classes.classes))
    present = [(name, n) for n, name in enumerate(classes.priority) if count[n]]
    return LandAreas(
        shapes=Shapes(geometry, crs),
        ranks=places,
        classes=classes,
        by_class={name: int(count[n]) for name, n in present},
        area_m2={name: float(area_m2[n]) for name, n in present},
        unknown=unknown,
        dropped=dict(areas.dropped),
    )


def classify(
    areas: gpd.GeoDataFrame, classes: ClassSet = LOVEDA, *, buildings: bool = False
) -> tuple[NDArray[np.int16], dict[str, int]]:
    """Class of each feature as its place in the priority, and what was not known, counted.

    The class set's column decides. Where it says nothing: ``building``, then the set's tables of
    tags, in their order. What no table knows is counted by the first thing that the feature says.

    Args:
        areas: The features.
        classes: The class set.
        buildings: All are buildings, whatever their columns say.

    Returns:
        int16 (n,), -1 where nothing is known; and how many of those say what.
    """
    ranks = np.full(len(areas), _UNKNOWN, dtype=np.int16)
    said = np.full(len(areas), "", dtype=object)
    built = None if classes.buildings is None else classes.rank(classes.buildings)

    def take(column: str, names: Mapping[str, str]) -> None:
        if column not in areas:
            return
        # Whole numbers that became floating ones beside empty cells are whole again.
        values = areas[column].convert_dtypes().astype("string").str.strip().str.lower()
        values = values.where(~values.isin(["", "no", "false"]))
        table = {value: classes.rank(name) for value, name in names.items()}
        found = values.map(table).to_numpy(dtype=float, na_value=np.nan)
        if ANY in table:
            found[np.isnan(found) & values.notna().to_numpy()] = table[ANY]
        fresh = (ranks == _UNKNOWN) & ~np.isnan(found)
        ranks[fresh] = found[fresh].astype(np.int16)
        mute = (said == "") & values.notna().to_numpy()
        said[mute] = (f"{column}=" + values[mute]).to_numpy()

    if buildings:
        ranks[:] = _UNKNOWN if built is None else built
        said[:] = "building"
    else:
        if classes.column is not None:
            take(classes.column, classes.values)
        take("building", {} if classes.buildings is None else {ANY: classes.buildings})
        for key, names in classes.tags.items():
            take(key, names)
    unknown = Counter(value or "no tag" for value in said[ranks == _UNKNOWN])
    return ranks, dict(unknown)


def _areas_only(geometry: NDArray[np.object_]) -> NDArray[np.object_]:
    """The geometries, of a collection what is an area in it."""
    geometry = geometry.copy()
    for n in np.flatnonzero(
        shapely.get_type_id(geometry) == shapely.GeometryType.GEOMETRYCOLLECTION
    ):
        parts = shapely.get_parts(geometry[n])
        geometry[n] = shapely.union_all(parts[shapely.get_dimensions(parts) == 2])
    return geometry


def landcover_map(
    layers: Sequence[LandAreas | RasterCover],
    road_mask: NDArray[np.uint8] | None,
    tile: Tile,
    classes: ClassSet = LOVEDA,
) -> NDArray[np.uint8]:
    """Land cover of a tile, uint8 (rows, cols) of the classes' numbers in label files.

    Of the areas that hold a pixel's centre the one of the highest class decides, whatever layer it
    is from, and the road map is an area too. Where there is none, the last raster does that knows a
    class there. What is left is the first class.

    Args:
        layers: Areas and rasters in the classes of the set, areas in the tile's CRS.
        road_mask: 0/1 (rows, cols), or None for no roads. Left out where no class is for roads.
        tile: The tile.
        classes: The class set.

    Raises:
        InputError: if a layer is in another class set or another CRS.
    """
    for layer in layers:
        if layer.classes != classes:
            raise InputError(
                f"A layer is in the classes of {layer.classes.name!r}, a map in those of "
                f"{classes.name!r} is asked for; read the layer with that class set."
            )
    # The highest of each layer's highest is the highest of all.
    levels = np.zeros(tile.shape, dtype=np.uint8)
    for layer in layers:
        if isinstance(layer, LandAreas):
            np.maximum(levels, layer.levels(tile), out=levels)
    if road_mask is not None and classes.roads is not None:
        road = np.uint8(classes.rank(classes.roads) + 1)
        np.maximum(levels, (road_mask > 0) * road, out=levels)
    for layer in reversed(layers):
        if isinstance(layer, RasterCover) and not levels.all():
            np.copyto(levels, layer.levels(tile), where=levels == 0)
    return classes.values_of(levels)


def colourise(class_map: NDArray[np.uint8], classes: ClassSet = LOVEDA) -> NDArray[np.float32]:
    """The palette's colours of a class map, float32 (3, rows, cols) in [0, 1].

    Args:
        class_map: uint8 (rows, cols) of the classes' numbers in label files.
        classes: The class set.

    Raises:
        InputError: if the map holds a number that is no class.
    """
    strange = np.setdiff1d(np.flatnonzero(np.bincount(class_map.ravel())), classes.value_of_rank)
    if len(strange):
        raise InputError(
            f"The class map holds {strange[0]}, which is no class of {classes.name!r}."
        )
    colours = classes.palette.astype(np.float32) / np.float32(255)
    return np.moveaxis(colours[class_map], -1, 0)
