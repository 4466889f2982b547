"""Where layouts are put on the map: near the places they look like, and on none of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import shapely
from numpy.typing import NDArray
from pyproj import CRS

from rsaug.errors import InputError
from rsaug.grid import Tile, TileGrid, to_lonlat, utm_crs
from rsaug.layouts.layout import Layout
from rsaug.layouts.places import Places, crs_of

_FARTHEST = 400  # Squares that a layout may lie from where it wants to.


@dataclass(frozen=True, eq=False)
class Placed:
    """A layout with its ground.

    Attributes:
        layout: The layout.
        row: Row of its upper left tile in the grid.
        col: Column of that tile.
        span: Tiles along each side.
    """

    layout: Layout
    row: int
    col: int
    span: int

    def tiles(self, grid: TileGrid) -> Iterator[Tile]:
        """Its tiles, row by row."""
        for row in range(self.row, self.row + self.span):
            for col in range(self.col, self.col + self.span):
                yield grid.tile(row, col)

    def corner(self, grid: TileGrid) -> tuple[float, float]:
        """(x, y) of its lower left corner in the CRS."""
        left, bottom, _, _ = grid.tile(self.row + self.span - 1, self.col).bounds
        return left, bottom


def place_layouts(
    layouts: Sequence[Layout],
    grid: TileGrid,
    places: Places | None = None,
    others: Sequence[shapely.Polygon] = (),
) -> list[Placed]:
    """Layouts on whole tiles of a grid, one empty tile between any two.

    Each lies as near as can be to the ground that it looks like (`Layout.at`), so that a model
    which is told where a tile lies is told of the right region, and at least a tile from every
    labelled place of every split, so that no tile of a layout shares ground with one.

    Args:
        layouts: All of one side, a whole number of tiles.
        grid: The grid, without overlap.
        places: Places whose ground is left free.
        others: Further ground that is left free, in the CRS of the grid.

    Raises:
        InputError: if the sides are no whole number of tiles, or there is no room.
    """
    if not layouts:
        return []
    tile_m = grid.tile_size * grid.gsd_m
    span = round(layouts[0].side_m / tile_m)
    if not span or any(abs(layout.side_m - span * tile_m) > 1e-6 for layout in layouts):
        raise InputError(
            f"Layouts of {layouts[0].side_m:g} m a side are no whole number of tiles of "
            f"{tile_m:g} m; choose another --gsd or --tile-size."
        )
    taken = _taken(grid, places, others)
    used: set[tuple[int, int]] = set()
    begin: dict[tuple[int, int], int] = {}
    stride, placed = span + 1, []
    for layout in layouts:
        cell = _cell(layout.at, grid, stride)
        for ring in range(begin.get(cell, 0), _FARTHEST):
            free = next(
                (
                    at
                    for at in _ring(cell, ring)
                    if at not in used and _free(at, stride, grid, taken)
                ),
                None,
            )
            if free is not None:
                break
        else:
            raise InputError("There is no room left for layouts near the places; ask for fewer.")
        begin[cell] = ring
        used.add(free)
        placed.append(Placed(layout, free[0] * stride, free[1] * stride, span))
    return placed


def choose_crs(layouts: Sequence[Layout]) -> CRS:
    """The UTM zone of most layouts; the others lie in it, too, a little larger than they are.

    Raises:
        InputError: if no layout says where it lies.
    """
    spots = [layout.at for layout in layouts if layout.at is not None]
    if not spots:
        raise InputError("Layouts need a place on Earth: give --at LON,LAT or places.")
    zones = [utm_crs((lon, lat, lon, lat)).to_epsg() for lon, lat in spots]
    names, counts = np.unique(np.array(zones), return_counts=True)
    return CRS.from_epsg(int(names[counts.argmax()]))


def _cell(at: tuple[float, float] | None, grid: TileGrid, stride: int) -> tuple[int, int]:
    """The square of ``stride`` tiles that a place lies in."""
    if at is None:
        raise InputError("A layout says nothing of where it lies, so it cannot be placed.")
    x, y = to_lonlat(grid.crs).transform(*at, direction="INVERSE")
    side = stride * grid.tile_size * grid.resolution
    return int(np.floor(-y / side)), int(np.floor(x / side))


def _ring(cell: tuple[int, int], ring: int) -> Iterator[tuple[int, int]]:
    """Squares around one, so many away."""
    row, col = cell
    for down in range(-ring, ring + 1):
        step = 1 if abs(down) == ring else 2 * ring
        for right in range(-ring, ring + 1, max(step, 1)):
            yield row + down, col + right


def _free(at: tuple[int, int], stride: int, grid: TileGrid, taken: shapely.STRtree | None) -> bool:
    if taken is None:
        return True
    side = stride * grid.tile_size * grid.resolution
    left, top = at[1] * side, -at[0] * side
    return not len(taken.query(shapely.box(left, top - side, left + side, top), "intersects"))


def _taken(
    grid: TileGrid, places: Places | None, others: Sequence[shapely.Polygon]
) -> shapely.STRtree | None:
    """Ground that is left free, a tile wider, in the CRS of the grid."""
    margin = grid.tile_size * grid.resolution
    # A hair less: what is a tile away from another layout does not touch it.
    boxes: list[NDArray[np.object_]] = [
        np.array([shapely.buffer(box, 0.99 * margin, join_style="mitre") for box in others], object)
    ]
    sites = places.sites if places else ()
    side_m = places.side_m if places else 0.0
    for epsg in sorted({site.epsg for site in sites}):
        own = np.array([site.box(side_m) for site in sites if site.epsg == epsg], object)
        boxes.append(shapely.buffer(_moved(own, crs_of(epsg), grid.crs), margin))
    every = np.concatenate(boxes)
    return shapely.STRtree(every) if len(every) else None


def _moved(shapes: NDArray[np.object_], source: CRS, target: CRS) -> NDArray[np.object_]:
    """Shapes in another CRS."""

    def moved(xy: NDArray[np.float64]) -> NDArray[np.float64]:
        lon, lat = to_lonlat(source).transform(xy[:, 0], xy[:, 1])
        return np.column_stack(to_lonlat(target).transform(lon, lat, direction="INVERSE"))

    result: NDArray[np.object_] = shapely.transform(shapes, moved)
    return result
