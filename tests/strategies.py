"""Hypothesis strategies for tiles, grids and roads."""

from __future__ import annotations

import geopandas as gpd
import shapely
from hypothesis import strategies as st
from pyproj import CRS

from rsaug.grid import Tile, TileGrid

UTM = CRS.from_epsg(32635)

# Where UTM coordinates are: hundreds of kilometres east, thousands north.
_EAST_M = (300_000.0, 700_000.0)
_NORTH_M = (100_000.0, 9_000_000.0)


@st.composite
def grids(draw: st.DrawFn) -> TileGrid:
    """Grids in UTM with small tiles, some with overlap."""
    size = draw(st.integers(8, 64))
    return TileGrid(
        crs=UTM,
        gsd_m=draw(st.sampled_from([0.1, 0.3, 0.6, 1.0, 1 / 3, 2.5])),
        tile_size=size,
        overlap=draw(st.integers(0, size // 2)),
    )


@st.composite
def areas(draw: st.DrawFn, grid: TileGrid) -> shapely.Polygon:
    """Boxes and triangles up to four tiles wide, at any place of a UTM zone."""
    side = grid.tile_size * grid.resolution
    x = draw(st.floats(*_EAST_M))
    y = draw(st.floats(*_NORTH_M))
    width = draw(st.floats(0.1, 4)) * side
    height = draw(st.floats(0.1, 4)) * side
    if draw(st.booleans()):
        return shapely.box(x, y, x + width, y + height)
    return shapely.Polygon([(x, y), (x + width, y + height / 2), (x + width / 3, y + height)])


@st.composite
def road_lines(draw: st.DrawFn, tile: Tile, most: int = 6) -> gpd.GeoDataFrame:
    """Bent roads of many widths in and around a tile."""
    left, bottom, right, top = tile.bounds
    reach = (right - left) / 2
    points = st.tuples(
        st.floats(left - reach, right + reach), st.floats(bottom - reach, top + reach)
    )
    paths = draw(
        st.lists(st.lists(points, min_size=2, max_size=6, unique=True), min_size=1, max_size=most)
    )
    widths = [draw(st.floats(0.5, 30)) for _ in paths]
    return gpd.GeoDataFrame(
        {"width": widths}, geometry=[shapely.LineString(path) for path in paths], crs=tile.crs
    )
