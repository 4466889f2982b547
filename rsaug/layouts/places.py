"""Labelled places as layouts: those of the training split alone."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import geopandas as gpd
import numpy as np
import pandas as pd
import shapely
from pyproj import CRS

from rsaug.errors import InputError
from rsaug.grid import to_lonlat
from rsaug.layouts.layout import ROAD_COLUMNS, Layout, areas_frame, roads_frame
from rsaug.vectors import clean, read_vectors

TRAIN = "train"
"""The only split whose places may be used."""

_COLUMNS = ("place", "split", "epsg", "left", "top")
# Squares that share an edge overlap by rounding.
_SHARED_M2 = 1.0


class Site(NamedTuple):
    """Where a labelled place of any split lies.

    Attributes:
        name: Of the place.
        split: Its split.
        epsg: Its CRS.
        left: Its left edge there.
        top: Its upper edge there.
    """

    name: str
    split: str
    epsg: int
    left: float
    top: float

    def box(self, side_m: float) -> shapely.Polygon:
        """Its ground."""
        return shapely.box(self.left, self.top - side_m, self.left + side_m, self.top)

    def lonlat(self, side_m: float) -> tuple[float, float]:
        """Longitude and latitude of its middle."""
        lon, lat = to_lonlat(crs_of(self.epsg)).transform(
            self.left + side_m / 2, self.top - side_m / 2
        )
        return float(lon), float(lat)


@dataclass(frozen=True, eq=False)
class Places:
    """Labelled places.

    Attributes:
        layouts: Those of the training split, sorted by name, with and without roads.
        sites: All of them, of every split.
        side_m: Side of each.
        left_out: Training places that share ground with places of other splits.
    """

    layouts: tuple[Layout, ...]
    sites: tuple[Site, ...]
    side_m: float
    left_out: tuple[str, ...] = ()


def read_places(
    table: pd.DataFrame,
    roads: gpd.GeoDataFrame,
    landcover: gpd.GeoDataFrame | None = None,
    *,
    side_m: float,
    names: Collection[str] | None = None,
) -> Places:
    """The training places of a table of tiles, with their roads and land cover.

    A training place that shares ground with one of another split is left out: what lies there is
    measured on.

    Args:
        table: A row an image: ``place``, ``split``, ``epsg``, ``left``, ``top``.
        roads: Lines with OpenStreetMap's tags; those with a column ``place`` belong to it alone.
        landcover: Areas with a column ``class``; as the roads.
        side_m: Side of a place.
        names: Only these places.

    Raises:
        InputError: if a column is missing, one of the names is no training place, or nothing is
            left.
    """
    missing = [name for name in _COLUMNS if name not in table]
    if missing:
        raise InputError(f"The table of places lacks the columns {missing}.")
    if landcover is not None and "class" not in landcover:
        raise InputError("The land cover of places needs a column 'class', and has none.")
    sites = _sites(table)
    train = [site for site in sites if site.split == TRAIN]
    if names is not None:
        strange = sorted({*names} - {site.name for site in train})
        if strange:
            raise InputError(
                f"{len(strange)} of the places are not in the split {TRAIN!r}, {strange[0]!r} for "
                "one; layouts are made of training places alone."
            )
        train = [site for site in train if site.name in names]
    shared = _shared(train, [site for site in sites if site.split != TRAIN], side_m)
    kept = [site for site in train if site.name not in shared]
    if not kept:
        raise InputError(f"There is no place of the split {TRAIN!r} to make layouts of.")
    lines = _Layer(roads, dimension=1)
    areas = None if landcover is None else _Layer(landcover, dimension=2)
    layouts = [_layout(site, lines, areas, side_m) for site in kept]
    return Places(tuple(layouts), tuple(sites), side_m, tuple(sorted(shared)))


def read_folder(
    folder: Path, landcover: Path | None, *, side_m: float, names: Collection[str] | None = None
) -> Places:
    """The training places of a tile folder with ``index.csv`` and ``roads.geojson``.

    Raises:
        InputError: if a file is missing or of no use; and as `read_places`.
    """
    index, lines = folder / "index.csv", folder / "roads.geojson"
    for path in (index, lines):
        if not path.is_file():
            raise InputError(f"{folder} is no folder of labelled places: it has no {path.name}.")
    cover = None if landcover is None else read_vectors(landcover)
    return read_places(pd.read_csv(index), read_vectors(lines), cover, side_m=side_m, names=names)


def _sites(table: pd.DataFrame) -> list[Site]:
    rows = table.drop_duplicates("place").sort_values("place")
    columns = zip(*(rows[name].tolist() for name in _COLUMNS), strict=True)
    return [
        Site(str(place), str(split), int(epsg), float(left), float(top))
        for place, split, epsg, left, top in columns
    ]


def _shared(train: list[Site], others: list[Site], side_m: float) -> set[str]:
    """Names of training places on ground of other splits."""
    found: set[str] = set()
    for epsg in {site.epsg for site in train}:
        here = [site for site in train if site.epsg == epsg]
        there = [site.box(side_m) for site in others if site.epsg == epsg]
        if not there:
            continue
        boxes = np.array([site.box(side_m) for site in here], dtype=object)
        mine, other = shapely.STRtree(there).query(boxes, predicate="intersects")
        shared = shapely.area(shapely.intersection(boxes[mine], np.array(there)[other]))
        found |= {here[k].name for k in mine[shared > _SHARED_M2]}
    return found


class _Layer:
    """Lines or polygons of a layer, by place where it names one, else by where they lie."""

    def __init__(self, layer: gpd.GeoDataFrame, dimension: int) -> None:
        self.layer, self.dimension = layer, dimension
        self._in: dict[int, dict[str, gpd.GeoDataFrame] | gpd.GeoDataFrame] = {}

    def of(self, site: Site, side_m: float) -> gpd.GeoDataFrame:
        """Those of a place, one part a row, in metres from its lower left corner."""
        if site.epsg not in self._in:
            parts = self._parts(crs_of(site.epsg))
            named = "place" in parts
            self._in[site.epsg] = dict(list(parts.groupby("place"))) if named else parts
        every = self._in[site.epsg]
        if isinstance(every, dict):
            found = every.get(site.name, self.layer.iloc[:0])
        else:
            found = every.iloc[np.sort(every.sindex.query(site.box(side_m)))]
        corner = np.array([site.left, site.top - side_m])
        shapes = shapely.transform(found.geometry.to_numpy(), lambda xy: xy - corner)
        frame = pd.DataFrame(found.drop(columns=found.geometry.name)).reset_index(drop=True)
        return gpd.GeoDataFrame(frame, geometry=list(shapes))

    def _parts(self, crs: CRS) -> gpd.GeoDataFrame:
        kept, _ = clean(self.layer, crs)
        parts, owner = shapely.get_parts(kept.geometry.to_numpy(), return_index=True)
        right = shapely.get_dimensions(parts) == self.dimension
        return kept.iloc[owner[right]].set_geometry(list(parts[right]), crs=crs)


def _layout(site: Site, roads: _Layer, landcover: _Layer | None, side_m: float) -> Layout:
    lines = roads.of(site, side_m)
    if "highway" in lines:
        lines = lines[lines["highway"].notna()]
    columns = {name: lines[name].to_numpy() for name in ROAD_COLUMNS if name in lines}
    if "width" in columns:
        columns["width"] = pd.to_numeric(pd.Series(columns["width"]), errors="coerce").to_numpy()
    areas = areas_frame([], [])
    if landcover is not None:
        cover = landcover.of(site, side_m)
        areas = areas_frame(cover.geometry.to_numpy(), cover["class"].to_numpy())
    made = roads_frame(lines.geometry.to_numpy(), **columns)
    return Layout(side_m, made, areas, site.name, site.lonlat(side_m)).clipped()


@lru_cache
def crs_of(epsg: int) -> CRS:
    """The CRS of an EPSG code."""
    return CRS.from_epsg(epsg)
