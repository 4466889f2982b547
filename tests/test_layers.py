"""Layers read block by block are the same as layers read at once."""

from __future__ import annotations

from pathlib import Path

import geopandas as gpd
import numpy as np
import pytest
import shapely
from strategies import UTM

from rsaug.conditions.road import road_mask
from rsaug.grid import TileGrid
from rsaug.layers import BLOCK_TILES, Blocks, Whole, added, block_bounds, block_of
from rsaug.roads import Roads, road_surfaces
from rsaug.scene import Scene
from rsaug.sources import Bounds, SourceInfo, VectorSource, open_source

GRID = TileGrid(UTM, 1.0, 16)
# Around a corner where four blocks meet.
ROW, COL = -25_000 * BLOCK_TILES, 1_250 * BLOCK_TILES


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Roads and footways around the corner, long ones among them that lead from block to block."""
    rng = np.random.default_rng(5)
    left, _, _, top = GRID.tile(ROW, COL).bounds
    start = rng.uniform(-200, 200, (150, 1, 2)) + np.array([left, top])
    steps = rng.normal(0, 25, (150, 4, 2))
    steps[:10] *= 6
    lines = shapely.linestrings(np.concatenate([start, start + np.cumsum(steps, axis=1)], axis=1))
    frame = gpd.GeoDataFrame(
        {
            "highway": rng.choice(["residential", "primary", "footway", "track"], 150),
            "width": rng.choice(["4", "11", "wide", ""], 150),
            "layer": rng.choice(["0", "1", "-1"], 150),
        },
        geometry=lines,
        crs=UTM,
    )
    file = tmp_path_factory.mktemp("layers") / "roads.fgb"
    frame.to_file(file)
    return file


def by_block(path: Path) -> Blocks[Roads]:
    return Blocks(
        open_source(path, kind="lines"),
        GRID,
        lambda part: road_surfaces(part, UTM, allow_none=True),
        margin_m=20,
    )


def test_maps_do_not_depend_on_where_blocks_end(path: Path) -> None:
    roads = road_surfaces(open_source(path).read(), UTM)
    layer, whole = by_block(path), Whole(roads)
    drawn = 0
    for row in range(ROW - 9, ROW + 9):
        for col in range(COL - 9, COL + 9):
            tile = GRID.tile(row, col)
            mask = road_mask(layer.at(tile), tile)
            np.testing.assert_array_equal(mask, road_mask(whole.at(tile), tile))
            drawn += int(mask.sum())
    assert drawn > 10_000


def test_every_feature_is_counted_once(path: Path) -> None:
    whole = Whole(road_surfaces(open_source(path).read(), UTM)).report()
    layer = by_block(path)
    for row in range(-6, 6):
        for col in range(-6, 6):
            layer.at(GRID.tile(ROW + row * BLOCK_TILES, COL + col * BLOCK_TILES))
    # Blocks are dropped and read again, and still nothing is counted twice.
    layer.at(GRID.tile(ROW, COL))
    report = layer.report()
    for name in ("by_rule", "ignored", "dropped", "by_class"):
        assert report[name] == whole[name]
    assert report["km_by_rule"] == pytest.approx(whole["km_by_rule"], abs=0.01)


def test_blocks_hold_their_tiles() -> None:
    for grid in (GRID, TileGrid(UTM, 0.6, 64, overlap=8)):
        tile = grid.tile(ROW + 5, COL - 7)
        left, bottom, right, top = block_bounds(grid, block_of(tile))
        assert shapely.box(left, bottom, right, top).covers(tile.polygon)
        assert block_of(tile) == (ROW // BLOCK_TILES, COL // BLOCK_TILES - 1)


def test_reports_are_added_name_by_name() -> None:
    one = {"by_rule": {"width": 1, "lanes": 2}, "parcels": 1}
    other = {"by_rule": {"lanes": 3, "highway": 1}, "parcels": 4, "dropped": {}}
    total = {"by_rule": {"width": 1, "lanes": 5, "highway": 1}, "parcels": 5, "dropped": {}}
    assert added(one, other) == total
    assert one["by_rule"] == {"width": 1, "lanes": 2}


class Counting:
    """A source that counts how often it is read."""

    def __init__(self, source: VectorSource) -> None:
        self.source, self.reads = source, 0
        self.spec, self.crs, self.count = source.spec, source.crs, source.count
        self.windowed = source.windowed

    def info(self) -> SourceInfo:
        """That of the source."""
        return self.source.info()

    def read(self, bounds: Bounds | None = None) -> gpd.GeoDataFrame:
        """Features of the source, counted."""
        self.reads += 1
        return self.source.read(bounds)


def test_a_run_over_a_wide_area_reads_each_block_once_and_once_for_the_tiles(path: Path) -> None:
    """Six blocks wide, more than are kept: row by row each would be read for every row of tiles."""
    source = Counting(open_source(path, kind="lines"))
    layer = Blocks(source, GRID, lambda part: road_surfaces(part, UTM, allow_none=True), 20)
    left, _, _, top = GRID.tile(ROW, COL).bounds
    width = BLOCK_TILES * 16
    area = shapely.box(left - 3 * width + 1, top - width + 1, left + 3 * width - 1, top - 1)
    scene = Scene(GRID, roads=layer, aoi=area)
    tiles = scene.tiles()
    assert len({block_of(tile) for tile in tiles}) > 3
    assert source.reads == 6
    for tile in tiles:
        scene.road_mask(tile)
    assert source.reads <= 12
