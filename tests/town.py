"""Small made-up towns for the tests of edges and depth."""

from __future__ import annotations

from collections.abc import Sequence

import geopandas as gpd
import numpy as np
import shapely
from hypothesis import strategies as st
from shapely.geometry.base import BaseGeometry
from strategies import UTM

from rsaug.conditions.landcover import CLASSES
from rsaug.conditions.outlines import Outlines, outlines
from rsaug.grid import Tile, TileGrid

GRID = TileGrid(UTM, 0.6, 32)
TILES = [[GRID.tile(-400 + row, 900 + col) for col in range(2)] for row in range(2)]
WHOLE = Tile.from_transform(TILES[0][0].transform, (64, 64), UTM)


def areas(**shapes: Sequence[BaseGeometry]) -> gpd.GeoDataFrame:
    """Land areas by class, as `rsaug.conditions.landcover.land_areas` returns them."""
    codes = [CLASSES.index(name) for name, of_class in shapes.items() for _ in of_class]
    geometry = [shape for of_class in shapes.values() for shape in of_class]
    return gpd.GeoDataFrame({"landcover": np.array(codes, np.uint8)}, geometry=geometry, crs=UTM)


def surfaces(shapes: Sequence[BaseGeometry]) -> gpd.GeoDataFrame:
    """Road surfaces."""
    return gpd.GeoDataFrame(geometry=list(shapes), crs=UTM)


def box_px(left: float, top: float, right: float, bottom: float) -> shapely.Polygon:
    """A box in pixels of `WHOLE`, from its north-west corner."""
    x, y = WHOLE.transform.c, WHOLE.transform.f
    side = WHOLE.transform.a
    return shapely.box(x + left * side, y - bottom * side, x + right * side, y - top * side)


@st.composite
def towns(draw: st.DrawFn) -> Outlines:
    """Outlines of a few roads, houses, fields and parcels in and around `WHOLE`."""
    left, bottom, right, top = WHOLE.bounds
    x, y = st.floats(left - 10, right + 10), st.floats(bottom - 10, top + 10)

    def line() -> shapely.LineString:
        return shapely.LineString(draw(st.lists(st.tuples(x, y), min_size=2, max_size=4)))

    def box() -> shapely.Polygon:
        at_x, at_y = draw(x), draw(y)
        width, height = draw(st.floats(0.5, 20)), draw(st.floats(0.5, 20))
        turn = draw(st.sampled_from([0.0, 0.0, 20.0, 45.0]))
        shape = shapely.box(at_x, at_y, at_x + width, at_y + height)
        return shapely.affinity.rotate(shape, turn)

    number = draw(st.integers(0, 4))
    roads = [line().buffer(draw(st.floats(0.5, 5)), quad_segs=8) for _ in range(number)]
    few = st.integers(0, 3)
    cover = areas(
        building=[box() for _ in range(draw(few))],
        agriculture=[box().buffer(3) for _ in range(draw(few))],
        water=[box() for _ in range(draw(few))],
    )
    parcels = surfaces([box().buffer(5, join_style="mitre") for _ in range(draw(few))])
    return outlines(areas=[cover], roads=surfaces(roads), parcels=parcels)
