"""Layers laid over real images: the maps of a place from vectors and heights, image by image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import geopandas as gpd
import numpy as np
from numpy.typing import NDArray
from pyproj import CRS

from rsaug.conditions.depth import Heights, building_heights, depth_map, height_range
from rsaug.conditions.landcover import LandAreas, land_areas, landcover_map
from rsaug.conditions.road import road_mask
from rsaug.errors import InputError
from rsaug.grid import Tile, to_lonlat
from rsaug.roads import Roads, road_surfaces
from rsaug.sources import is_file
from rsaug.vectors import Bounds, read_vectors
from rsaug.warp import raster_info

# How far around the images features are read: a road's line may lie beside the image.
_MARGIN_M = 100.0


@dataclass(frozen=True)
class LayerPaths:
    """Names of layers, as `rsaug.vectors.read_vectors` takes them.

    Attributes:
        roads: Lines with OSM tags.
        landcover: Areas with OSM tags or a class.
        buildings: Areas, whatever their tags.
        ground: A raster of the ground's heights in metres (DEM).
        surface: A raster of the heights of all that stands there (DSM); instead of ``ground``.
    """

    roads: str | None = None
    landcover: str | None = None
    buildings: str | None = None
    ground: Path | None = None
    surface: Path | None = None

    def __post_init__(self) -> None:
        """Refuse two rasters.

        Raises:
            InputError: if there are both.
        """
        if self.ground is not None and self.surface is not None:
            raise InputError("Depth is from a DEM or from a DSM, not from both; give one of them.")

    @property
    def any(self) -> bool:
        """Whether there is any layer."""
        return any(value is not None for value in vars(self).values())

    def slots(self) -> tuple[str, ...]:
        """The controls that they make."""
        made = {
            "road": self.roads is not None,
            "depth": any(v is not None for v in (self.buildings, self.ground, self.surface)),
            "seg": self.landcover is not None or self.buildings is not None,
        }
        return tuple(slot for slot, is_made in made.items() if is_made)


@dataclass(eq=False)
class Overlay:
    """The layers of a place, made ready for each CRS of the images; see `Overlay.read`.

    Attributes:
        paths: Where they are from.
        tiles: Where the images lie.
        frames: Features by name of layer.
        height_range_m: Heights that are 0 and 1, the same for all images.
    """

    paths: LayerPaths
    tiles: tuple[Tile, ...]
    frames: dict[str, gpd.GeoDataFrame]
    given_range_m: tuple[float, float] | None = None
    _zones: dict[str, _Zone] = field(default_factory=dict)

    @classmethod
    def read(
        cls,
        paths: LayerPaths,
        tiles: Sequence[Tile],
        height_range_m: tuple[float, float] | None = None,
    ) -> Overlay:
        """The layers around some images.

        Args:
            paths: The layers.
            tiles: Where the images lie; at least one.
            height_range_m: Heights that are 0 and 1; by default those of `height_range`.

        Raises:
            InputError: if a layer cannot be read or has nothing near any image.
        """
        for raster in (paths.ground, paths.surface):
            # Its pixels are read later, and only where a model was trained on depth.
            if raster is not None:
                raster_info(raster)
        around = _around(tiles)
        kinds = {"roads": "lines", "landcover": "areas", "buildings": "areas"}
        frames = {
            name: read_vectors(getattr(paths, name), bounds=around, kind=kind)  # type: ignore[arg-type]
            for name, kind in kinds.items()
            if getattr(paths, name) is not None
        }
        return cls(paths, tuple(tiles), frames, height_range_m)

    def road(self, tile: Tile) -> tuple[NDArray[np.uint8], str] | None:
        """Road mask 0/1 (rows, cols) and what made it; None without roads."""
        roads = self._zone(tile.crs).roads
        if roads is None:
            return None
        return road_mask(roads, tile), f"vectors: {_shown(self.paths.roads)}"

    def cover(
        self, tile: Tile, road: NDArray[np.uint8] | None
    ) -> tuple[NDArray[np.uint8], str] | None:
        """LoveDA class of each pixel with the roads on top; None without such layers."""
        areas = self._zone(tile.crs).areas
        if not areas:
            return None
        given = [text for text in (self.paths.landcover, self.paths.buildings) if text is not None]
        made_by = f"vectors: {', '.join(map(_shown, given))}; roads as in the road map"
        return landcover_map(areas, road, tile), made_by

    def depth(self, tile: Tile) -> tuple[NDArray[np.float32], str] | None:
        """Depth in [0, 1] and what made it; None without heights."""
        heights = self._heights(tile.crs)
        ground = self._raster
        if ground is None and heights is None:
            return None
        low, high = self.height_range_m
        made = depth_map(tile, ground, heights, height_range_m=(low, high))
        parts = [f"heights: {ground.name}" if ground is not None else "heights: flat ground"]
        if heights is not None:
            parts.append(f"buildings of {_shown(self.paths.buildings)}")
        text = f"{' and '.join(parts)}; {low:.1f} m is 0, {high:.1f} m is 1"
        if made.no_ground:
            text += f"; {made.no_ground} pixels without a height are 0"
        return made.values, text

    @cached_property
    def height_range_m(self) -> tuple[float, float]:
        """Heights that are 0 and 1."""
        if self.given_range_m is not None:
            return self.given_range_m
        crs = self.tiles[0].crs
        west, south, east, north = _around(self.tiles, margin_m=0.0)
        bounds = to_lonlat(crs).transform_bounds(west, south, east, north, direction="INVERSE")
        return height_range(bounds, crs, self._raster, self._heights(crs))

    @property
    def _raster(self) -> Path | None:
        return self.paths.surface or self.paths.ground

    def _heights(self, crs: CRS) -> Heights | None:
        # A surface model has the buildings in it.
        return None if self.paths.surface is not None else self._zone(crs).heights

    def _zone(self, crs: CRS) -> _Zone:
        key = crs.to_wkt()
        if key not in self._zones:
            self._zones[key] = _Zone.of(self.frames, crs)
        return self._zones[key]


@dataclass(frozen=True, eq=False)
class _Zone:
    """The layers in one CRS."""

    roads: Roads | None
    areas: tuple[LandAreas, ...]
    heights: Heights | None

    @classmethod
    def of(cls, frames: dict[str, gpd.GeoDataFrame], crs: CRS) -> _Zone:
        # Near the images there may be nothing but footpaths.
        lines = frames.get("roads")
        roads = None if lines is None else road_surfaces(lines, crs, allow_none=True)
        areas = tuple(
            land_areas(frames[name], crs, buildings=name == "buildings")
            for name in ("landcover", "buildings")
            if name in frames
        )
        buildings = frames.get("buildings")
        return cls(roads, areas, None if buildings is None else building_heights(buildings, crs))


def _shown(layer: str | None) -> str:
    """A layer's name for the record: without folders, servers and passwords."""
    if layer is None:
        return "nothing"
    return Path(layer).name if is_file(layer) else layer.split(":")[0]


def _around(tiles: Sequence[Tile], margin_m: float = _MARGIN_M) -> Bounds:
    """(west, south, east, north) in degrees around some tiles."""
    boxes = []
    for tile in tiles:
        margin = margin_m / tile.gsd_m * tile.transform.a
        left, bottom, right, top = tile.bounds
        box = left - margin, bottom - margin, right + margin, top + margin
        boxes.append(to_lonlat(tile.crs).transform_bounds(*box))
    edges = np.array(boxes)
    # Longitudes as seen from the first box, so that the antimeridian is no border.
    first = edges[0, 0]
    west, east = ((edges[:, [0, 2]] - first + 180) % 360 - 180).T
    east = np.where(east < west, east + 360, east)
    low, high = float(west.min()), float(east.max())
    south, north = float(edges[:, 1].min()), float(edges[:, 3].max())
    if high - low >= 360:
        return -180.0, south, 180.0, north
    return _wrapped(first + low), south, _wrapped(first + high), north


def _wrapped(longitude: float) -> float:
    return float((longitude + 180) % 360 - 180)
