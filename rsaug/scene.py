"""A scene: the layers of a place on one tile grid, and what they say about each tile."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray
from shapely.geometry.base import BaseGeometry

from rsaug.classes import ClassSet
from rsaug.conditions.depth import depth_map
from rsaug.conditions.edges import edge_map, line_map, sketch_map
from rsaug.conditions.facts import TileFacts, tile_facts
from rsaug.conditions.landcover import colourise, landcover_map
from rsaug.conditions.outlines import Outlines, outlines
from rsaug.conditions.rastercover import RasterCover
from rsaug.conditions.reference import Reference
from rsaug.conditions.road import road_mask
from rsaug.conditions.road_channels import road_channels
from rsaug.conditions.stack import SLOTS, ControlStack
from rsaug.errors import InputError
from rsaug.grid import Tile, TileGrid
from rsaug.ground import Ground, Parcels
from rsaug.layers import BLOCK_TILES, Block, Blocks, Layer, Report, block_bounds, block_of
from rsaug.roads import Roads

MOST_TILES = 5_000_000
"""More tiles than this are not even listed."""

_EDGES = ("mlsd", "hed", "sketch")


@dataclass(frozen=True, eq=False)
class Scene:
    """Layers of a place, in the CRS of a grid.

    Attributes:
        grid: Where the tiles lie.
        roads: Road surfaces.
        landcover: Areas of land cover.
        buildings: Buildings, with their heights.
        parcels: Parcels.
        rasters: Land cover from rasters, below the areas: in LoveDA's classes.
        label_rasters: The same in the classes of the label masks.
        labels: Class set of the label masks.
        dem: Raster of the ground's heights, to which those of buildings are added.
        dsm: Raster of the heights of all that stands there, in place of both.
        height_range_m: Heights that are darkest and lightest in the depth map.
        reference: Image whose edges are drawn in place of those of the map.
        aoi: Area of interest in the grid's CRS; None for wherever there is something mapped.
        extent: (left, bottom, right, top) of what is mapped, in the grid's CRS.
        specs: Layers that come by network, as they may be told to anyone.
        attribution: Whom the data ask to be named.
        notes: What was named and came to nothing, one sentence each.
    """

    grid: TileGrid
    roads: Layer[Roads] | None = None
    landcover: Layer[Ground] | None = None
    buildings: Layer[Ground] | None = None
    parcels: Layer[Parcels] | None = None
    rasters: tuple[RasterCover, ...] = ()
    label_rasters: tuple[RasterCover, ...] = ()
    labels: ClassSet | None = None
    dem: Path | None = None
    dsm: Path | None = None
    height_range_m: tuple[float, float] | None = None
    reference: Reference | None = None
    aoi: BaseGeometry | None = None
    extent: tuple[float, float, float, float] | None = None
    specs: Mapping[str, str] = field(default_factory=dict)
    attribution: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    _surveys: Report = field(default_factory=dict)
    _no_ground: dict[str, int] = field(default_factory=dict)
    _no_image: dict[str, int] = field(default_factory=dict)
    _drawn: dict[tuple[int, ...], tuple[list[object], Outlines]] = field(default_factory=dict)

    def tiles(self, *, bare: bool = False) -> list[Tile]:
        """The tiles to make, row by row; block by block where a layer is read so.

        They are those that hold a road, that is, whose mask is not empty; with an area of interest,
        those of them that it touches. A tile that it touches is made whole, with every road in it.

        Args:
            bare: Whether tiles without a road are wanted as well: all that the area of interest
                touches. Without roads all are, and without an area of interest all that the box
                around what is mapped touches.

        Raises:
            InputError: if there is none, or there are more than `MOST_TILES`.
        """
        if self.roads is None or (bare and self.aoi is not None):
            tiles = self._tiles_of_areas()
            missing = "Nothing is mapped that a tile could hold."
        else:
            tiles = [tile for block in self._road_tiles(self.roads) for tile in block]
            missing = (
                "No tile of the area of interest holds a road; check that the area and the roads "
                "are of the same place."
            )
        if not tiles:
            raise InputError(missing)
        layers = (self.roads, self.landcover, self.buildings, self.parcels)
        if any(isinstance(layer, Blocks) for layer in layers):
            # In this order each block is read once.
            tiles.sort(key=lambda tile: (block_of(tile), tile.row, tile.col))
        return tiles

    def road_mask(self, tile: Tile) -> NDArray[np.uint8]:
        """Road mask of a tile, uint8 0/1 (rows, cols); all 0 without roads."""
        if self.roads is None:
            return np.zeros(tile.shape, dtype=np.uint8)
        return road_mask(self.roads.at(tile), tile)

    def class_map(
        self, tile: Tile, mask: NDArray[np.uint8], classes: ClassSet | None = None
    ) -> NDArray[np.uint8]:
        """Land cover of a tile with its roads, uint8 (rows, cols) of the classes' numbers.

        Args:
            tile: The tile.
            mask: Its road mask.
            classes: ``labels`` of the scene, or None for LoveDA's classes.
        """
        grounds = [layer.at(tile) for layer in (self.landcover, self.buildings) if layer]
        if classes is None:
            areas = [ground.areas for ground in grounds]
            return landcover_map([*areas, *self.rasters], mask, tile)
        labelled = [ground.labels for ground in grounds if ground.labels is not None]
        return landcover_map([*labelled, *self.label_rasters], mask, tile, classes)

    def available(self) -> tuple[str, ...]:
        """Names of the controls that the layers are enough for, in the order of the slots."""
        cover = bool(self.landcover or self.buildings or self.rasters)
        mapped = bool(self.roads or self.landcover or self.buildings or self.parcels)
        edges = mapped or self.reference is not None
        have = {
            **dict.fromkeys(_EDGES, edges),
            "road": self.roads is not None,
            "depth": any((self.dem, self.dsm, self.buildings)),
            "seg": cover,
        }
        return tuple(slot for slot in SLOTS if have[slot])

    def choose(self, names: Sequence[str], default: Sequence[str]) -> tuple[str, ...]:
        """The controls to make, in the order of the slots.

        Args:
            names: Those asked for; empty for the default.
            default: Those wanted unless asked for, as far as the layers are enough for them.

        Raises:
            InputError: if one is no control, or needs a layer that is not there.
        """
        for name in names:
            if name not in SLOTS:
                raise InputError(f"No control is called {name!r}; there are {', '.join(SLOTS)}.")
            if name not in self.available():
                raise InputError(
                    f"The control {name!r} needs a layer that is not given; the layers are enough "
                    f"for {', '.join(self.available()) or 'none'}."
                )
        wanted = names or [name for name in default if name in self.available()]
        return tuple(slot for slot in SLOTS if slot in wanted)

    def controls(
        self, tile: Tile, names: Sequence[str] = ("road", "seg")
    ) -> tuple[NDArray[np.uint8], ControlStack]:
        """Road mask, uint8 0/1 (rows, cols), and the control stack of a tile.

        Args:
            tile: The tile.
            names: Which controls, of those that the layers are enough for; others are left out.
        """
        mask = self.road_mask(tile)
        names = [name for name in names if name in self.available()]
        slots: dict[str, NDArray[np.generic]] = {}
        if "road" in names:
            slots["road"] = mask
        if "seg" in names:
            slots["seg"] = colourise(self.class_map(tile, mask))
        if "depth" in names:
            slots["depth"] = self._depth(tile)
        slots |= self._edges(tile, [name for name in _EDGES if name in names])
        return mask, ControlStack.from_maps(tile.shape, **slots)

    def channels(self, tile: Tile, names: Sequence[str]) -> dict[str, NDArray[np.generic]]:
        """Road channels of a tile by name; see `rsaug.conditions.road_channels`.

        Raises:
            InputError: if there are no roads, or a name is no channel.
        """
        if self.roads is None:
            raise InputError("Road channels need roads; give a layer of them.")
        return road_channels(self.roads.at(tile), tile, names)

    def facts(self, tile: Tile, mask: NDArray[np.uint8]) -> TileFacts:
        """What a tile holds, in numbers, of which a caption can be made."""
        buildings = self.buildings.at(tile) if self.buildings else None
        heights = buildings.heights if buildings else None
        return tile_facts(
            tile,
            self.class_map(tile, mask),
            roads=self.roads.at(tile) if self.roads else None,
            buildings=heights.shapes if heights else None,
            heights_m=heights.height_m if heights else None,
            areas=self.landcover.at(tile).tagged if self.landcover else None,
        )

    def report(self) -> Report:
        """What was made of the features of each layer, of those read by now."""
        layers: dict[str, Layer[Any] | None] = {
            "roads": self.roads,
            "landcover": self.landcover,
            "buildings": self.buildings,
            "parcels": self.parcels,
        }
        found = {name: layer.report() for name, layer in layers.items() if layer is not None}
        if self.extent is not None and not self._surveys:
            for raster in self.rasters:
                survey = raster.survey(self.extent, self.grid.crs)
                self._surveys[raster.path.name] = survey.to_dict()
        if self._surveys:
            found["landcover_rasters"] = self._surveys
        if self._no_ground:
            found["depth"] = {"pixels without a height": sum(self._no_ground.values())}
        if self._no_image:
            found["reference"] = {"pixels without an image": sum(self._no_image.values())}
        return found

    def _depth(self, tile: Tile) -> NDArray[np.float32]:
        if self.height_range_m is None:
            raise InputError("Depth needs a range of heights; give one.")
        heights = self.buildings.at(tile).heights if self.buildings and not self.dsm else None
        depth = depth_map(tile, self.dsm or self.dem, heights, height_range_m=self.height_range_m)
        if depth.no_ground:
            self._no_ground[tile.name] = depth.no_ground
        return depth.values

    def _edges(self, tile: Tile, names: Sequence[str]) -> dict[str, NDArray[np.generic]]:
        if not names:
            return {}
        if self.reference is not None:
            edges, without = self.reference.edges(tile, names)
            if without:
                self._no_image[tile.name] = without
            return edges
        makers: dict[str, Callable[[Outlines, Tile], NDArray[Any]]] = {
            "mlsd": line_map,
            "hed": edge_map,
            "sketch": sketch_map,
        }
        drawn = self._outlines(tile)
        return {name: makers[name](drawn, tile) for name in names}

    def _outlines(self, tile: Tile) -> Outlines:
        """Outlines of what is prepared around the tile, kept for the next tile of the block."""
        roads = self.roads.at(tile) if self.roads else None
        grounds = [layer.at(tile) for layer in (self.landcover, self.buildings) if layer]
        parcels = self.parcels.at(tile) if self.parcels else None
        parts: list[object] = [roads, *grounds, parcels]
        key = tuple(map(id, parts))
        if key not in self._drawn:
            made = outlines(
                areas=[ground.areas.areas for ground in grounds],
                roads=None if roads is None else roads.surfaces,
                parcels=None if parcels is None else parcels.features,
            )
            self._drawn.clear()
            # The parts are kept with it, so that no other object can have their identity.
            self._drawn[key] = parts, made
        return self._drawn[key][1]

    def _tiles_of_areas(self) -> list[Tile]:
        """Every tile that the area of interest touches, or else that what is mapped touches."""
        if self.aoi is not None:
            shapes = np.array([self.aoi], dtype=object)
        elif self.extent is not None:
            shapes = np.array([shapely.box(*self.extent)], dtype=object)
        else:
            return []
        self._check_number(shapes)
        return list(self.grid.tiles_over(shapes))

    def _road_tiles(self, roads: Layer[Roads]) -> Iterator[list[Tile]]:
        """Tiles that hold a road, in one list, or where roads are read by block, one a block."""
        if not isinstance(roads, Blocks):
            found = roads.at(self.grid.tile(0, 0))
            self._check_number(self._within_reach(found.surfaces.geometry.to_numpy()))
            yield self._holding(found, None)
            return
        for block in self._blocks():
            first = self.grid.tile(block[0] * BLOCK_TILES, block[1] * BLOCK_TILES)
            yield self._holding(roads.at(first), block)

    def _blocks(self) -> list[Block]:
        """Blocks of tiles that the area of interest, or else what is mapped, lies in."""
        if self.aoi is None and self.extent is None:
            raise InputError("Nothing says where the tiles are to lie; give an --aoi.")
        area = self.aoi if self.aoi is not None else shapely.box(*(self.extent or ()))
        self._check_number(np.array([area], dtype=object))
        coarse = TileGrid(self.grid.crs, self.grid.gsd_m, self.grid.stride * BLOCK_TILES)
        return [(tile.row, tile.col) for tile in coarse.tiles(area)]

    def _holding(self, roads: Roads, block: Block | None) -> list[Tile]:
        """Tiles that hold a road, and that the area of interest touches if there is one."""
        surfaces = self._within_reach(roads.surfaces.geometry.to_numpy())
        if block is not None and len(surfaces):
            # A road that leads far out of the block is not followed.
            around = shapely.box(*block_bounds(self.grid, block))
            surfaces = shapely.clip_by_rect(surfaces, *shapely.buffer(around, 1).bounds)
        tiles = list(self.grid.tiles_over(surfaces)) if len(surfaces) else []
        if block is not None:
            row, col = block
            tiles = [tile for tile in tiles if block_of(tile) == (row, col)]
        boxes = shapely.box(*np.array([tile.bounds for tile in tiles]).reshape(-1, 4).T)
        if self.aoi is not None:
            # Inset, so that an area which only shares an edge with a tile does not touch it.
            near = shapely.intersects(self.aoi, shapely.buffer(boxes, -1e-3 * self.grid.resolution))
            tiles = [tile for tile, keep in zip(tiles, near, strict=True) if keep]
            boxes = boxes[near]
        sure = self._surely_hold_a_road(roads, boxes)
        return [
            tile
            for tile, known in zip(tiles, sure, strict=True)
            if known or road_mask(roads, tile).any()
        ]

    def _within_reach(self, surfaces: NDArray[np.object_]) -> NDArray[np.object_]:
        """Those surfaces that come near the area of interest, if there is one."""
        if self.aoi is None:
            return surfaces
        reach = shapely.buffer(self.aoi, 2 * self.grid.tile_size * self.grid.resolution)
        shapely.prepare(reach)
        near: NDArray[np.object_] = surfaces[shapely.intersects(surfaces, reach)]
        return near

    def _check_number(self, shapes: NDArray[np.object_]) -> None:
        """Refuse to list more tiles than anyone can make.

        Raises:
            InputError: that says how many there are about, and the way out.
        """
        about = self.grid.about(shapes)
        if about > MOST_TILES:
            raise InputError(
                f"About {about:.2g} tiles of {self.grid.tile_size} px at {self.grid.gsd_m:g} m lie "
                f"in this area; at most {MOST_TILES:,} are listed. Give a smaller --aoi, a larger "
                "--gsd or a larger --tile-size."
            )

    def _surely_hold_a_road(self, roads: Roads, boxes: NDArray[np.object_]) -> NDArray[np.bool_]:
        """Which tiles hold a road for certain, told without burning it.

        A surface is a union of discs as wide as the road. A disc of two pixels' width that reaches
        two pixels into a tile holds a smaller one, of 1.4 pixels' width, that lies inside the tile,
        and any disc of that size holds the centre of a pixel. Areas are not such unions, nor are
        roads with flat ends or cut bends.
        """
        sure = np.zeros(len(boxes), dtype=bool)
        if roads.rules.cap == "flat" or roads.rules.join != "round":
            return sure
        wide = roads.half_widths >= self.grid.resolution
        inner = shapely.buffer(boxes, -2 * self.grid.resolution, join_style="mitre")
        box, surface = roads.surfaces.sindex.query(inner, predicate="intersects")
        sure[box[wide[surface]]] = True
        return sure
