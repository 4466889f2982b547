"""A scene: the layers of a place on one tile grid, and what they say about each tile."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import geopandas as gpd
import numpy as np
import shapely
from numpy.typing import NDArray
from shapely.geometry.base import BaseGeometry

from rsaug.conditions.landcover import LandAreas, colourise, land_areas, landcover_map
from rsaug.conditions.road import road_mask
from rsaug.conditions.stack import ControlStack
from rsaug.errors import InputError
from rsaug.grid import Tile, TileGrid, linear_unit_m, parse_crs, to_lonlat, utm_crs
from rsaug.record import is_box
from rsaug.roads import MAX_WIDTH_M, Roads, road_surfaces
from rsaug.vectors import clean, read_vectors

Bounds = tuple[float, float, float, float]


@dataclass(frozen=True, eq=False)
class Scene:
    """Layers of a place, in the CRS of a grid.

    Attributes:
        grid: Where the tiles lie.
        roads: Road surfaces.
        areas: Land cover, one entry a layer; without one there is no segmentation control.
        aoi: Area of interest in the grid's CRS; None for wherever there are roads.
    """

    grid: TileGrid
    roads: Roads
    areas: tuple[LandAreas, ...] = ()
    aoi: BaseGeometry | None = None

    def tiles(self) -> list[Tile]:
        """The tiles that hold a road, that is, whose mask is not empty, row by row.

        With an area of interest, those that it touches. A tile that it touches is made whole, with
        every road in it.

        Raises:
            InputError: if there is none.
        """
        surfaces = self.roads.surfaces.geometry.to_numpy()
        if self.aoi is not None:
            surfaces = surfaces[shapely.intersects(surfaces, self._reach())]
        tiles = list(self.grid.tiles_over(surfaces)) if len(surfaces) else []
        boxes = shapely.box(*np.array([tile.bounds for tile in tiles]).reshape(-1, 4).T)
        if self.aoi is not None:
            # Inset, so that an area which only shares an edge with a tile does not touch it.
            near = shapely.intersects(self.aoi, shapely.buffer(boxes, -1e-3 * self.grid.resolution))
            tiles = [tile for tile, keep in zip(tiles, near, strict=True) if keep]
            boxes = boxes[near]
        sure = self._surely_hold_a_road(boxes)
        held = [
            tile
            for tile, known in zip(tiles, sure, strict=True)
            if known or road_mask(self.roads.surfaces, tile).any()
        ]
        if not held:
            raise InputError(
                "No tile of the area of interest holds a road; check that the area and the roads "
                "are of the same place."
            )
        return held

    def controls(self, tile: Tile) -> tuple[NDArray[np.uint8], ControlStack]:
        """Road mask, uint8 0/1 (rows, cols), and the control stack of a tile."""
        mask = road_mask(self.roads.surfaces, tile)
        slots: dict[str, NDArray[np.generic]] = {"road": mask}
        if self.areas:
            layers = [layer.areas for layer in self.areas]
            slots["seg"] = colourise(landcover_map(layers, mask, tile))
        return mask, ControlStack.from_maps(tile.shape, **slots)

    def _reach(self) -> BaseGeometry:
        """The area of interest with a margin of a tile."""
        return shapely.buffer(self.aoi, 2 * self.grid.tile_size * self.grid.resolution)

    def _surely_hold_a_road(self, boxes: NDArray[np.object_]) -> NDArray[np.bool_]:
        """Which tiles hold a road for certain, told without burning it.

        A surface is a union of discs as wide as the road. A disc of two pixels' width that reaches
        two pixels into a tile holds a smaller one, of 1.4 pixels' width, that lies inside the tile,
        and any disc of that size holds the centre of a pixel.
        """
        surfaces = self.roads.surfaces
        wide = (surfaces["width_m"] >= 2 * self.grid.gsd_m).to_numpy()
        inner = shapely.buffer(boxes, -2 * self.grid.resolution, join_style="mitre")
        box, surface = surfaces.sindex.query(inner, predicate="intersects")
        sure = np.zeros(len(boxes), dtype=bool)
        sure[box[wide[surface]]] = True
        return sure


def read_scene(
    roads: Path | str,
    *,
    gsd_m: float,
    tile_size: int,
    landcover: Path | str | None = None,
    buildings: Path | str | None = None,
    aoi: str | None = None,
    crs: str | None = None,
) -> Scene:
    """The scene of some layers; of a large file only what lies near the area is read.

    Args:
        roads: Lines, tagged as in OpenStreetMap; see `rsaug.roads.road_surfaces`.
        gsd_m: Side of a pixel in metres.
        tile_size: Side of a tile in pixels.
        landcover: Areas; see `rsaug.conditions.landcover.classify`.
        buildings: Areas that are buildings, whatever their tags.
        aoi: A vector file of areas, or "west,south,east,north" in degrees.
        crs: A projected CRS; by default the UTM zone of the area of interest or of the roads.

    Raises:
        InputError: if a file or a value cannot be used.
    """
    chosen = parse_crs(crs) if crs else None
    place = read_aoi(aoi) if aoi else None
    grid = None
    if place is not None:
        grid = TileGrid(chosen or utm_crs(place), gsd_m, tile_size)
    lines = read_vectors(roads, bounds=_around(place, grid) if grid else None, kind="lines")
    grid = grid or TileGrid(chosen or utm_crs(lines), gsd_m, tile_size)
    surfaces = road_surfaces(lines, grid.crs)
    near = _around(place if place is not None else surfaces.surfaces, grid)
    areas = tuple(
        land_areas(
            read_vectors(path, bounds=near, kind="areas"),
            grid.crs,
            buildings=is_buildings,
        )
        for path, is_buildings in ((landcover, False), (buildings, True))
        if path is not None
    )
    area = None if place is None else shapely.union_all(place.to_crs(grid.crs).to_numpy())
    return Scene(grid, surfaces, areas, area)


def read_aoi(aoi: str) -> gpd.GeoSeries:
    """The area of interest that ``aoi`` names: a vector file, or a box in degrees.

    Args:
        aoi: Path of a file with areas, or "west,south,east,north", longitudes and latitudes.

    Raises:
        InputError: if it is neither.
    """
    if is_box(aoi):
        return _box(aoi)
    frame = read_vectors(aoi, kind="areas")
    kept, _ = clean(frame, frame.crs)
    areas = kept.geometry[shapely.get_dimensions(kept.geometry.to_numpy()) == 2]
    if areas.empty:
        kinds = ", ".join(sorted(set(frame.geom_type.dropna()))) or "no geometry"
        raise InputError(f"{aoi} holds no area, only {kinds}; an area of interest is a polygon.")
    return areas


def _box(aoi: str) -> gpd.GeoSeries:
    try:
        west, south, east, north = map(float, aoi.split(","))
    except ValueError as error:
        raise InputError(
            f"{aoi!r} is neither a file nor four numbers west,south,east,north."
        ) from error
    if not (-180 <= west < east <= 180 and -90 <= south < north <= 90):
        raise InputError(
            f"{aoi!r} is no box in degrees: west,south,east,north is needed, with west below east "
            "and south below north."
        )
    box = shapely.box(west, south, east, north)
    # A straight edge in degrees is bent on the map; enough points follow it.
    bent = shapely.segmentize(box, max(east - west, north - south) / 64)
    return gpd.GeoSeries([bent], crs=4326)


def _around(place: gpd.GeoSeries | gpd.GeoDataFrame, grid: TileGrid) -> Bounds | None:
    """(west, south, east, north) in degrees around a place and the tiles that it touches.

    None where the box would cross the antimeridian or has no finite edge: then all is read.
    """
    margin = grid.tile_size * grid.resolution + MAX_WIDTH_M / linear_unit_m(grid.crs)
    left, bottom, right, top = place.to_crs(grid.crs).total_bounds
    west, south, east, north = to_lonlat(grid.crs).transform_bounds(
        left - margin, bottom - margin, right + margin, top + margin
    )
    if not all(map(math.isfinite, (west, south, east, north))) or west >= east:
        return None
    return west, south, east, north
