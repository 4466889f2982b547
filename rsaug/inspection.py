"""Inspections: what a layer or raster holds, what would be made of it, and what stands in the way.

Nothing is changed and nothing is written. What would be made is found out by making it: the roads,
the areas or the heights that a run would use.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import shapely
from numpy.typing import NDArray
from pyproj import CRS, Geod
from shapely.geometry.base import BaseGeometry

from rsaug.aoi import read_aoi
from rsaug.grid import TileGrid, crs_name, parse_crs, utm_crs
from rsaug.pictures import Panel
from rsaug.sources import Bounds

Use = Literal["roads", "landcover", "buildings", "elevation", "image"]

# More tiles than this are estimated, not counted.
_COUNTED_TILES = 50_000
# Bytes a pixel, uncompressed: three of the image and one of its mask; 18 bands of float32.
_IMAGE_BYTES, _CONTROL_BYTES = 4, 72
# A layer within this of longitude and latitude 0 has most likely lost its CRS.
_NULL_ISLAND_DEGREES = 1.0
# A UTM zone is 6 degrees wide; as far again beside it, lengths are off by less than a percent.
_WIDE_DEGREES = 12.0


@dataclass(frozen=True)
class Wanted:
    """What a layer is looked at for.

    Attributes:
        use: What it is to be used as; None to tell by what it holds.
        gsd_m: Side of a pixel in metres.
        tile_size: Side of a tile in pixels.
        crs: CRS of the tiles; None for the UTM zone of the layer.
        aoi: Area of interest, a file or "west,south,east,north".
        table: What the numbers of a land-cover raster mean; None for the table that fits best.
        most_features: Of a layer that can be read by window and holds more, a sample is read.
    """

    use: Use | None = None
    gsd_m: float = 0.6
    tile_size: int = 256
    crs: str | None = None
    aoi: str | None = None
    table: str | None = None
    most_features: int = 1_000_000

    def area(self, crs: CRS) -> BaseGeometry | None:
        """The area of interest in a CRS, if there is one."""
        if self.aoi is None:
            return None
        area: BaseGeometry = shapely.union_all(read_aoi(self.aoi).to_crs(crs).to_numpy())
        return area

    def aoi_bounds(self) -> Bounds | None:
        """(west, south, east, north) of the area of interest in degrees."""
        if self.aoi is None:
            return None
        west, south, east, north = read_aoi(self.aoi).to_crs(4326).total_bounds.tolist()
        return west, south, east, north

    def grid(self, place: Bounds) -> TileGrid:
        """The grid of the tiles of a layer with this extent in degrees."""
        crs = parse_crs(self.crs) if self.crs else utm_crs(place)
        return TileGrid(crs, self.gsd_m, self.tile_size)


@dataclass(frozen=True)
class Column:
    """A column of a layer.

    Attributes:
        name: Its name.
        type: Its type.
        filled: Share of the features that have a value.
        values: Its most frequent values and how many features have them, for tags and for columns
            of few values.
    """

    name: str
    type: str
    filled: float
    values: Mapping[str, int]


@dataclass(frozen=True)
class Row:
    """A line of what would be made of a layer.

    Attributes:
        what: What it is about, e.g. ``width by``.
        name: The rule, the class or the reason.
        amount: How much, in words.
    """

    what: str
    name: str
    amount: str


@dataclass(frozen=True)
class Tiles:
    """How many tiles a layer makes.

    Attributes:
        count: How many.
        about: Whether that is an estimate.
        gsd_m: Side of a pixel in metres.
        tile_size: Side of a tile in pixels.
        crs: Their CRS.
    """

    count: int
    about: bool
    gsd_m: float
    tile_size: int
    crs: str

    @property
    def image_gb(self) -> float:
        """Gigabytes of one image and mask a tile, uncompressed."""
        return self.count * self.tile_size**2 * _IMAGE_BYTES / 1e9

    @property
    def control_gb(self) -> float:
        """Gigabytes of the control stacks, uncompressed."""
        return self.count * self.tile_size**2 * _CONTROL_BYTES / 1e9

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        sizes = {"image_gb": round(self.image_gb, 3), "control_gb": round(self.control_gb, 3)}
        return {**vars(self), **sizes}


def _nothing() -> list[Panel]:
    return []


@dataclass(frozen=True, eq=False)
class Inspection:
    """What was found.

    Attributes:
        spec: What was looked at.
        kind: ``vector`` or ``raster``.
        holds: Facts by name, ready for JSON.
        columns: Columns of a vector layer.
        use: What it would be used as; None where it is of no use.
        made: What would be made of it, for a reader.
        report: The same for JSON.
        tiles: How many tiles it makes; None where it makes none.
        obstacles: What stands in the way, each with what to do.
        sample: Share of the features that was read, where that is not all.
        draw: Makes the panels of a picture.
    """

    spec: str
    kind: Literal["vector", "raster"]
    holds: Mapping[str, Any]
    columns: tuple[Column, ...] = ()
    use: Use | None = None
    made: tuple[Row, ...] = ()
    report: Mapping[str, Any] = field(default_factory=dict)
    tiles: Tiles | None = None
    obstacles: tuple[str, ...] = ()
    sample: float | None = None
    draw: Callable[[], list[Panel]] = field(default=_nothing, repr=False)

    def to_dict(self) -> dict[str, Any]:
        """Everything but the picture, ready for JSON."""
        return {
            "layer": self.spec,
            "kind": self.kind,
            "holds": dict(self.holds),
            "columns": [vars(column) | {"values": dict(column.values)} for column in self.columns],
            "use": self.use,
            "made": dict(self.report),
            "tiles": self.tiles.to_dict() if self.tiles else None,
            "obstacles": list(self.obstacles),
            "sample": self.sample,
        }


def inspect_layer(spec: str, wanted: Wanted | None = None) -> Inspection:
    """What a vector layer or a raster holds and what would be made of it.

    Args:
        spec: A raster, or anything that `rsaug.sources.open_source` takes.
        wanted: What it is looked at for.

    Raises:
        InputError: if it cannot be read, or is of no place on Earth.
    """
    from rsaug.raster_inspection import inspect_raster
    from rsaug.vector_inspection import inspect_vector
    from rsaug.warp import is_raster

    wanted = wanted or Wanted()
    return inspect_raster(spec, wanted) if is_raster(spec) else inspect_vector(spec, wanted)


def count_tiles(
    grid: TileGrid,
    shapes: NDArray[np.object_],
    share: float | None = None,
    area: BaseGeometry | None = None,
) -> Tiles:
    """How many tiles of a grid some shapes touch; estimated where there are very many.

    Args:
        grid: The grid.
        shapes: (n,) geometries in its CRS.
        share: Which share of the shapes these are, if not all.
        area: Area of interest in the grid's CRS, which a tile has to touch as well.
    """
    shapes = shapes[~(shapely.is_missing(shapes) | shapely.is_empty(shapes))]
    count = grid.about(shapes)
    about = share is not None or count > _COUNTED_TILES
    if not about:
        within = None if area is None else set(grid.tiles(area))
        count = sum(1 for tile in grid.tiles_over(shapes) if within is None or tile in within)
    elif share:
        count = round(count / share)
    if about:
        # Shapes that share a tile are counted one by one; there cannot be more than the extent has.
        around = shapely.total_bounds(shapes if area is None else np.array([area]))
        left, bottom, right, top = around / (grid.stride * grid.resolution)
        count = min(count, int((right - left + 2) * (top - bottom + 2)))
    return Tiles(count, about, grid.gsd_m, grid.tile_size, crs_name(grid.crs))


def extent(bounds: Bounds | None) -> dict[str, Any]:
    """The extent of a layer for a reader: degrees, and kilometres through its middle."""
    if bounds is None:
        return {}
    west, south, east, north = bounds
    wide = east - west + (360 if west > east else 0)
    geod, middle = Geod(ellps="WGS84"), (south + north) / 2
    # In four legs, since the shortest way between two far places goes round the other side.
    lons = [west + wide * leg / 4 for leg in range(5)]
    width_m = geod.line_length(lons, [middle] * 5)
    height_m = geod.line_length([west] * 3, [south, middle, north])
    return {
        "extent_degrees": [round(edge, 6) for edge in bounds],
        "extent_km": [round(width_m / 1000, 3), round(height_m / 1000, 3)],
    }


def describe_crs(crs: CRS) -> str:
    """The CRS for a reader: its code and name."""
    code = crs_name(crs)
    return code if code == crs.name else f"{code} ({crs.name})"


def doubts(bounds: Bounds | None) -> list[str]:
    """What is odd about a place, with what to do."""
    if bounds is None:
        return []
    west, _, east, _ = bounds
    wide = east - west + (360 if west > east else 0)
    if max(map(abs, bounds)) < _NULL_ISLAND_DEGREES:
        return [
            "Everything lies within a degree of longitude 0 and latitude 0, in the Gulf of Guinea: "
            "the CRS is most likely wrong; assign the right one, for instance with ogr2ogr -a_srs."
        ]
    if wide > _WIDE_DEGREES:
        return [
            f"It is {wide:.0f} degrees wide, more than a UTM zone can show without stretching it; "
            "work on one part at a time with --aoi, or name a CRS for all of it with --crs."
        ]
    return []
