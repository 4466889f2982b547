"""Reading a scene: from the layers that are named to what is prepared on a grid."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TypeAlias, TypeVar

import geopandas as gpd
import numpy as np
import shapely
from pyproj import CRS, Transformer

from rsaug.aoi import areas_in, around, in_degrees, read_aoi
from rsaug.classes import ClassSet
from rsaug.conditions.depth import height_range, read_height_range
from rsaug.conditions.rastercover import RasterCover
from rsaug.conditions.reference import Reference
from rsaug.conditions.road_channels import REACH_M
from rsaug.errors import InputError
from rsaug.grid import TileGrid, parse_crs, point_scale, utm_crs
from rsaug.ground import Ground, Parcels
from rsaug.layers import BLOCK_TILES, MANY_FEATURES, Blocks, Layer, Reporting, Whole
from rsaug.options import SceneOptions
from rsaug.road_rules import default_rules, read_rules
from rsaug.roads import MITRE_LIMIT, Roads, road_surfaces
from rsaug.scene import Scene
from rsaug.sources import Bounds, Kind, VectorSource, open_source
from rsaug.sources.memory import FrameSource
from rsaug.vectors import nothing_there
from rsaug.warp import is_raster, raster_info

T = TypeVar("T", bound=Reporting)

Frame: TypeAlias = "gpd.GeoDataFrame | gpd.GeoSeries"
"""Features in memory."""

# An area of interest of no more blocks than this is read at once, however many features the layer
# has elsewhere.
_FEW_BLOCKS = 4
# Edges look this far around a tile, and no farther.
_HALO_PX = 32
# What buildings add to the range of heights where they are read block by block, in metres.
_BUILDINGS_M = 30.0

_KINDS: Mapping[str, Kind] = {
    "roads": "lines",
    "landcover": "areas",
    "buildings": "areas",
    "parcels": "areas",
}


def read_scene(
    options: SceneOptions,
    *,
    labels: ClassSet | None = None,
    frames: Mapping[str, Frame] = MappingProxyType({}),
) -> Scene:
    """The scene of some layers; of a large one only what lies near the tiles at hand is read.

    Args:
        options: What is named.
        labels: Class set of label masks, if any are wanted.
        frames: Layers, and the area of interest, that are in memory, by option; what the options
            say in their place is what messages call them.

    Raises:
        InputError: if a file or a value cannot be used.
    """
    return _Reader(options, labels, frames).scene()


def without_effect(options: SceneOptions, controls: Sequence[str]) -> list[str]:
    """Sentences on options that nothing is made of with these controls, none or one."""
    edges = {"mlsd", "hed", "sketch"} & {*controls}
    idle = {
        "parcels": not edges or options.reference is not None,
        "reference": not edges,
        "dem": "depth" not in controls,
        "dsm": "depth" not in controls,
        "height_range": "depth" not in controls,
        "road_rules": options.roads is None,
        "tunnels": options.roads is None,
    }
    given = [name for name, is_idle in idle.items() if is_idle and getattr(options, name)]
    if not given:
        return []
    names = ", ".join(f"--{name.replace('_', '-')}" for name in given)
    return [f"Without effect here, since no map is made of it: {names}."]


def resolved(options: SceneOptions, scene: Scene) -> dict[str, object]:
    """Options as the scene resolved them: CRS, range of heights, layers without passwords."""
    crs = scene.grid.crs
    authority = crs.to_authority()
    found: dict[str, object] = {
        "crs": ":".join(authority) if authority else crs.to_wkt(),
        **scene.specs,
    }
    if scene.height_range_m is not None and "depth" in scene.available():
        found["height_range"] = ",".join(f"{height:g}" for height in scene.height_range_m)
    return found


@dataclass
class _Reader:
    """Reads the layers of one scene.

    Attributes:
        options: What is named.
        labels: Class set of label masks.
        frames: Layers in memory, by option.
    """

    options: SceneOptions
    labels: ClassSet | None
    frames: Mapping[str, Frame]

    def __post_init__(self) -> None:
        options = self.options
        self._place = self._area_of_interest()
        self._rules = read_rules(options.road_rules) if options.road_rules else default_rules()
        self._rasters = self._named_rasters()
        degrees = None if self._place is None else _bounds_of(self._place)
        self._sources = {
            name: self._source(name, spec, degrees)
            for name in options.layers
            if (spec := getattr(options, name)) is not None and name not in self._rasters
        }
        self._grid = TileGrid(self._crs(), options.gsd, options.tile_size)
        self._notes: list[str] = []

    def _area_of_interest(self) -> gpd.GeoSeries | None:
        spec = self.options.aoi
        if "aoi" in self.frames:
            source = FrameSource(spec or "aoi", self.frames["aoi"])
            return areas_in(source.read(), source.spec)
        return read_aoi(spec) if spec else None

    def _source(self, name: str, spec: str, degrees: Bounds | None) -> VectorSource:
        if name in self.frames:
            return FrameSource(spec, self.frames[name])
        return open_source(spec, kind=_KINDS[name], area=degrees)

    def scene(self) -> Scene:
        """The scene."""
        grid, options, crs = self._grid, self.options, self._grid.crs
        rules, tunnels, labels = self._rules, options.tunnels, self.labels
        roads: Layer[Roads] | None = self._layer(
            "roads",
            lambda part, some: road_surfaces(part, crs, rules, tunnels=tunnels, allow_none=some),
            margin_m=self._reach_m(),
        )
        near = self._near(roads)
        landcover: Layer[Ground] | None = self._layer(
            "landcover",
            lambda part, some: Ground.of(part, crs, labels=labels, allow_none=some),
            near=near,
        )
        buildings: Layer[Ground] | None = self._layer(
            "buildings",
            lambda part, some: Ground.of(part, crs, buildings=True, labels=labels, allow_none=some),
            near=near,
        )
        parcels: Layer[Parcels] | None = self._layer(
            "parcels", lambda part, some: Parcels.of(part, crs, allow_none=some), near=near
        )
        extent = self._extent(roads, (landcover, buildings), parcels)
        covers = self._covers()
        self._check_rasters(extent, covers)
        return Scene(
            grid=grid,
            roads=roads,
            landcover=landcover,
            buildings=buildings,
            parcels=parcels,
            rasters=tuple(cover for cover, _ in covers),
            label_rasters=tuple(label for _, label in covers if label is not None),
            labels=labels,
            dem=self._heights("dem"),
            dsm=self._heights("dsm"),
            height_range_m=self._height_range(extent, buildings),
            reference=self._reference(extent),
            notes=tuple(self._notes),
            aoi=self._aoi(),
            extent=extent,
            specs=self._specs(),
            attribution=tuple(
                dict.fromkeys(
                    credit
                    for source in self._sources.values()
                    if (credit := getattr(source, "attribution", None))
                )
            ),
        )

    def _layer(
        self,
        name: str,
        prepare: Callable[[gpd.GeoDataFrame, bool], T],
        *,
        margin_m: float | None = None,
        near: Bounds | None = None,
    ) -> Layer[T] | None:
        """A layer as it is prepared; the flag says whether there may be nothing of it."""
        source = self._sources.get(name)
        if source is None:
            return None
        margin_m = _HALO_PX * self._grid.gsd_m if margin_m is None else margin_m
        if self._by_block(source):
            return Blocks(source, self._grid, lambda part: prepare(part, True), margin_m)
        if self._place is not None:
            near = around(self._place, self._grid, margin_m)
        frame = source.read(near)
        if frame.empty:
            # Near the roads there should be some of every layer; in an area of one's own choice
            # there may be none, unless it is all that there is.
            alone = len(self._sources) + len(self._all_rasters()) == 1
            if name == "roads" or self._place is None or alone:
                raise nothing_there(source, near)
            where = " within the area asked for" if near else ""
            self._notes.append(f"{source.spec} has no feature{where}.")
        return Whole(prepare(frame, frame.empty))

    def _reach_m(self) -> float:
        """How far from its line a road can show on a map, in metres of the CRS."""
        rules = self._rules
        stretch = MITRE_LIMIT if rules.join == "mitre" else math.sqrt(2)
        half_width_m = rules.max_width_m / 2 * stretch * self._scale()
        return float(REACH_M + half_width_m + 2 * self._grid.gsd_m)

    def _scale(self) -> float:
        """The most that the CRS stretches lengths around the place, at least 1."""
        bounds = None if self._place is None else _bounds_of(self._place)
        if bounds is None:
            bounds = self._sources["roads"].info().bounds if "roads" in self._sources else None
        if bounds is None:
            return 1.0
        west, south, east, north = bounds
        lon, lat = np.array([west, west, east, east]), np.array([south, north, south, north])
        scale = point_scale(self._grid.crs, lon, lat)
        finite = scale[np.isfinite(scale)]
        return float(max(1.0, finite.max(initial=1.0)))

    def _by_block(self, source: VectorSource) -> bool:
        """Whether a layer is too large to be prepared at once."""
        if not (source.windowed and (source.count or 0) > MANY_FEATURES):
            return False
        if self._place is None:
            if source.info().bounds is None:
                raise InputError(
                    f"{source.spec} is too large to be read at once and says nothing of its place; "
                    "give an --aoi."
                )
            return True
        left, bottom, right, top = self._place.to_crs(self._grid.crs).total_bounds
        side = BLOCK_TILES * self._grid.tile_size * self._grid.resolution
        blocks = math.ceil((right - left) / side) * math.ceil((top - bottom) / side)
        return bool(blocks > _FEW_BLOCKS)

    def _crs(self) -> CRS:
        """The CRS asked for, or the UTM zone of the area of interest or of the first layer."""
        if self.options.crs:
            return parse_crs(self.options.crs)
        if self._place is not None:
            return utm_crs(self._place)
        for source in self._sources.values():
            if self._by_block(source):
                return utm_crs(source.info().bounds or (0, 0, 0, 0))
            frame = source.read()
            if frame.empty:
                raise InputError(f"{source.spec} has no feature.")
            return utm_crs(frame)
        for path in self._all_rasters():
            info = raster_info(path)
            return utm_crs(_degrees(info.crs, info.bounds))
        raise InputError("There is no layer to tell the place by; give --aoi.")

    def _near(self, roads: Layer[Roads] | None) -> Bounds | None:
        """Where layers besides the roads are read when there is no area of interest."""
        if isinstance(roads, Whole):
            return around(roads.prepared.surfaces, self._grid, 0)
        return None

    def _aoi(self) -> shapely.Geometry | None:
        if self._place is None:
            return None
        return shapely.union_all(self._place.to_crs(self._grid.crs).to_numpy())

    def _extent(
        self,
        roads: Layer[Roads] | None,
        grounds: tuple[Layer[Ground] | None, ...],
        parcels: Layer[Parcels] | None,
    ) -> tuple[float, float, float, float] | None:
        """Box around the area of interest, or what is mapped, in the grid's CRS."""
        if self._place is not None:
            return _box(self._place.to_crs(self._grid.crs).total_bounds)
        boxes = []
        if isinstance(roads, Whole):
            boxes.append(roads.prepared.surfaces.total_bounds)
        elif roads is None:
            boxes += [
                ground.prepared.areas.areas.total_bounds
                for ground in grounds
                if isinstance(ground, Whole)
            ]
            if isinstance(parcels, Whole):
                boxes.append(parcels.prepared.features.total_bounds)
        for name, source in self._sources.items():
            layer_is_read = name == "roads" and isinstance(roads, Whole)
            if not layer_is_read and self._by_block(source) and (b := source.info().bounds):
                boxes.append(_projected(b, self._grid.crs))
        if not boxes:
            for path in self._all_rasters():
                info = raster_info(path)
                to_grid = Transformer.from_crs(info.crs, self._grid.crs, always_xy=True)
                boxes.append(to_grid.transform_bounds(*info.bounds))
        finite = np.array([box for box in boxes if np.isfinite(box).all()]).reshape(-1, 4)
        if not len(finite):
            return None
        return _box([*finite[:, :2].min(axis=0), *finite[:, 2:].max(axis=0)])

    def _named_rasters(self) -> dict[str, Path]:
        """Rasters of land cover by the option that names them."""
        options = self.options
        found = {}
        if options.landcover_raster is not None:
            found["landcover_raster"] = Path(options.landcover_raster)
        name = options.landcover
        is_file = "landcover" in options.files() and "landcover" not in self.frames
        if name is not None and is_file and is_raster(name):
            found["landcover"] = Path(name)
        if found and options.landcover_table is None:
            raise InputError(
                f"{next(iter(found.values()))} is a raster, and nothing says what its numbers "
                "mean; give --landcover-table, e.g. worldcover, nlcd or a TOML file."
            )
        if options.landcover_table is not None and not found:
            raise InputError("A table of land cover is given, but no raster that it is for.")
        return found

    def _all_rasters(self) -> list[Path]:
        others = [
            Path(p) for p in (self.options.reference, self.options.dem, self.options.dsm) if p
        ]
        return [*self._rasters.values(), *others]

    def _covers(self) -> list[tuple[RasterCover, RasterCover | None]]:
        table = self.options.landcover_table
        if table is None:
            return []
        return [
            (
                RasterCover.open(path, table),
                None if self.labels is None else RasterCover.open(path, table, self.labels),
            )
            for path in self._rasters.values()
        ]

    def _heights(self, name: str) -> Path | None:
        """The raster of heights of an option."""
        given = getattr(self.options, name)
        if given is None:
            return None
        if self.options.dem is not None and self.options.dsm is not None:
            raise InputError("Depth is from a DEM or from a DSM, not from both; give one of them.")
        count = raster_info(given).count
        if count != 1:
            raise InputError(f"{given} has {count} bands; heights are a raster of one.")
        return Path(given)

    def _reference(self, extent: tuple[float, float, float, float] | None) -> Reference | None:
        if self.options.reference is None:
            return None
        reference = Reference(Path(self.options.reference))
        if extent is not None and not reference.meets(extent, self._grid.crs):
            raise InputError(
                f"{self.options.reference} does not reach into the area; check that it is of the "
                "same place."
            )
        return reference

    def _check_rasters(
        self,
        extent: tuple[float, float, float, float] | None,
        covers: list[tuple[RasterCover, RasterCover | None]],
    ) -> None:
        """Refuse rasters of land cover of which nothing is understood.

        Raises:
            InputError: if a raster has no value in the area, or no number that its table knows.
        """
        for cover, _ in covers if extent is not None else ():
            found = cover.survey(extent or (0, 0, 1, 1), self._grid.crs)
            if found.no_data == found.pixels:
                raise InputError(
                    f"{cover.path} has no value in the area; check that it is of the same place."
                )
            unknown = sum(found.unknown.values())
            if unknown > (found.pixels - found.no_data) / 2:
                numbers = ", ".join([*found.unknown][:5])
                raise InputError(
                    f"Of {cover.path} most numbers in the area ({numbers}) are not in the table "
                    f"{cover.table.name!r}; name another with --landcover-table."
                )

    def _height_range(
        self, extent: tuple[float, float, float, float] | None, buildings: Layer[Ground] | None
    ) -> tuple[float, float] | None:
        """The range asked for, or one that suits the area; the same for every tile of the run."""
        if self.options.height_range is not None:
            return read_height_range(self.options.height_range)
        dsm = self._heights("dsm")
        ground = dsm or self._heights("dem")
        if ground is None and buildings is None:
            return None
        heights = buildings.prepared.heights if isinstance(buildings, Whole) else None
        heights = None if dsm is not None else heights
        low, high = 0.0, 0.0
        if extent is not None and (ground is not None or heights is not None):
            low, high = height_range(extent, self._grid.crs, ground, heights)
        if isinstance(buildings, Blocks) and dsm is None:
            high += _BUILDINGS_M
        return round(low, 1), round(max(high, low + 10.0), 1)

    def _specs(self) -> dict[str, str]:
        """Names of the layers that come by network, without passwords."""
        return {
            name: source.spec
            for name, source in self._sources.items()
            if source.spec != str(getattr(self.options, name)) and "://" in source.spec
        }


def _bounds_of(place: gpd.GeoSeries) -> Bounds:
    west, south, east, north = place.to_crs(4326).total_bounds.tolist()
    return west, south, east, north


def _degrees(crs: CRS, bounds: tuple[float, float, float, float]) -> Bounds:
    degrees = bounds if crs.is_geographic else in_degrees(crs, bounds)
    if degrees is None:
        raise InputError("The raster has no place on Earth that a UTM zone could be found for.")
    return degrees


def _projected(bounds: Bounds, crs: CRS) -> tuple[float, float, float, float]:
    return _box(Transformer.from_crs(4326, crs, always_xy=True).transform_bounds(*bounds))


def _box(edges: object) -> tuple[float, float, float, float]:
    left, bottom, right, top = (float(edge) for edge in np.asarray(edges))
    return left, bottom, right, top
