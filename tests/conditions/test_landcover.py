"""Land cover: classes from tags, priority, rasters below, reports, colours."""

from __future__ import annotations

from itertools import permutations
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pytest
import rasterio
import shapely
from affine import Affine
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from pyproj import CRS, Transformer
from strategies import UTM

from rsaug.classes import LOVEDA, ClassSet, LandClass, RasterTable, read_class_set
from rsaug.conditions.landcover import (
    CLASSES,
    PALETTE,
    PRIORITY,
    LandAreas,
    classify,
    colourise,
    land_areas,
    landcover_map,
)
from rsaug.conditions.rastercover import RasterCover
from rsaug.errors import InputError
from rsaug.grid import Tile, TileGrid
from rsaug.vectors import read_vectors

GRID = TileGrid(UTM, 1.0, 16)
TILE = GRID.tile(-4000 * 90, 30_000)
LEFT, BOTTOM, RIGHT, TOP = TILE.bounds

# Classes whose numbers are in no order, and trees over roads.
GARDEN = ClassSet(
    name="garden",
    classes=(
        LandClass("ground", 200, (9, 9, 9)),
        LandClass("house", 3, (255, 0, 0)),
        LandClass("road", 255, (0, 0, 0)),
        LandClass("tree", 0, (0, 255, 0)),
    ),
    column="kind",
    buildings="house",
    roads="road",
    values={"ground": "ground", "house": "house", "road": "road", "tree": "tree", "7": "tree"},
    tags={"natural": {"tree_row": "tree", "*": "ground"}},
)


def features(rows: list[dict[str, Any]]) -> gpd.GeoDataFrame:
    """One feature a row of tags, on the whole tile unless the row has a geometry."""
    return gpd.GeoDataFrame([{"geometry": TILE.polygon} | row for row in rows], crs=UTM)


def names(ranks: NDArray[Any]) -> list[str | None]:
    return [None if rank < 0 else PRIORITY[rank] for rank in ranks]


def kinds(class_map: NDArray[np.uint8]) -> list[str]:
    return [CLASSES[value] for value in class_map.ravel()]


@pytest.mark.parametrize(
    ("tags", "name"),
    [
        ({"building": "yes"}, "building"),
        ({"building": "no", "landuse": "meadow"}, "agriculture"),
        ({"natural": "wood"}, "forest"),
        ({"natural": "Scrub "}, "forest"),
        ({"landuse": "orchard"}, "forest"),
        ({"landuse": "farmland"}, "agriculture"),
        ({"leisure": "pitch"}, "agriculture"),
        ({"leisure": "park"}, "agriculture"),
        ({"leisure": "swimming_pool"}, "water"),
        ({"natural": "water"}, "water"),
        ({"waterway": "riverbank"}, "water"),
        ({"landuse": "quarry"}, "barren"),
        ({"landuse": "construction"}, "barren"),
        ({"natural": "sand"}, "barren"),
        ({"amenity": "parking"}, "background"),
        ({"landuse": "residential"}, "background"),
        ({"building": "house", "natural": "wood"}, "building"),
        ({"natural": "wood", "leisure": "park"}, "forest"),
        ({"class": "building"}, "building"),
        ({"class": "trees"}, "forest"),
        ({"class": "bare"}, "barren"),
        ({"class": "pool"}, "water"),
        ({"class": "sport"}, "agriculture"),
        ({"class": "crops"}, "agriculture"),
        ({"class": "parking"}, "background"),
        ({"class": "forest", "building": "yes"}, "forest"),
        ({"class": None, "natural": "beach"}, "barren"),
        ({"class": "mystery", "natural": "beach"}, "barren"),
    ],
)
def test_classes_from_tags(tags: dict[str, Any], name: str) -> None:
    ranks, unknown = classify(features([tags]))
    assert (names(ranks), unknown) == ([name], {})


def test_what_is_not_known_is_counted() -> None:
    rows = [
        {"landuse": "moonbase"},
        {"landuse": "moonbase"},
        {"natural": "wood"},
        {},
        {"building": "no"},
    ]
    ranks, unknown = classify(features(rows))
    assert names(ranks) == [None, None, "forest", None, None]
    assert unknown == {"landuse=moonbase": 2, "no tag": 2}


def test_layer_of_buildings_is_buildings() -> None:
    layer = features([{"landuse": "moonbase"}, {}])
    ranks, unknown = classify(layer, buildings=True)
    assert (names(ranks), unknown) == (["building"] * 2, {})
    ranks, unknown = classify(layer, read_class_set("roads"), buildings=True)
    assert (names(ranks), unknown) == ([None] * 2, {"building": 2})


def test_classes_of_a_user() -> None:
    rows: list[dict[str, Any]] = [
        {"kind": "tree"},
        {"kind": "shed", "natural": "sand"},
        {"natural": "tree_row"},
        {"natural": "no"},
        {"building": "yes", "natural": "tree_row"},
        {"building": True},
        {"landuse": "forest"},
    ]
    ranks, unknown = classify(features(rows), GARDEN)
    assert ranks.tolist() == [3, 0, 3, -1, 1, 1, -1]
    # Nothing is asked of `landuse` in this set.
    assert unknown == {"no tag": 2}


def test_numbers_in_a_column_name_classes() -> None:
    ranks, _ = classify(features([{"kind": 7}, {"kind": 8}]), GARDEN)
    assert ranks.tolist() == [3, -1]
    ranks, _ = classify(features([{"kind": 7}, {"kind": None}]), GARDEN)
    assert ranks.tolist() == [3, -1]


def test_tables_name_classes_only() -> None:
    tables = [LOVEDA.values, *LOVEDA.tags.values()]
    assert {name for table in tables for name in table.values()} <= set(CLASSES)
    assert sorted(PRIORITY) == sorted(CLASSES)


def test_land_areas_report() -> None:
    west = shapely.box(LEFT, BOTTOM, LEFT + 8, TOP)
    rows = [
        {"natural": "wood"},
        {"natural": "wood", "geometry": shapely.Point(0, 0)},
        {"natural": "wood", "geometry": None},
        {"building": "yes", "geometry": west},
        {"natural": "water", "geometry": west},
        {"natural": "water", "geometry": shapely.box(LEFT + 8, BOTTOM, RIGHT, TOP)},
        {"landuse": "moonbase"},
    ]
    land = land_areas(features(rows), UTM)
    assert land.by_class == {"forest": 1, "water": 2, "building": 1}
    assert land.area_m2 == {"forest": 256.0, "water": 256.0, "building": 128.0}
    assert land.unknown == {"landuse=moonbase": 1}
    assert land.dropped == {"no geometry": 1, "not an area": 1}
    assert [CLASSES[value] for value in land.areas["landcover"]] == [
        "forest",
        "water",
        "water",
        "building",
    ]
    assert land.overlaps() == {
        "water over forest": 2,
        "building over forest": 1,
        "building over water": 1,
    }
    assert land.to_dict() == {
        "by_class": land.by_class,
        "area_m2": land.area_m2,
        "unknown": land.unknown,
        "dropped": land.dropped,
    }


def test_area_is_in_square_metres_of_the_crs() -> None:
    feet = CRS.from_epsg(2263)
    square = gpd.GeoDataFrame(
        {"natural": ["wood"]}, geometry=[shapely.box(980_000, 200_000, 980_100, 200_100)], crs=feet
    )
    assert land_areas(square, feet).area_m2["forest"] == pytest.approx((100 * 0.3048006) ** 2)


@pytest.mark.parametrize("index", [[5, 6, 7], [2, 0, 1], [1, 1, 1], ["a", "b", "c"]])
def test_the_index_of_the_features_does_not_matter(index: list[Any]) -> None:
    """Shapes and classes go together, as after a choice of rows."""
    strips = [shapely.box(LEFT + x, BOTTOM, LEFT + x + 5, TOP) for x in (0, 5, 10)]
    rows = [
        {"natural": "water", "geometry": strips[0]},
        {"natural": "wood", "geometry": strips[1]},
        {"building": "yes", "geometry": strips[2]},
    ]
    land = land_areas(features(rows).set_axis(index), UTM)
    row = landcover_map([land], None, TILE)[0]
    assert kinds(row[[2, 7, 12, 15]]) == ["water", "forest", "building", "background"]
    held = {
        CLASSES[v]: g for v, g in zip(land.areas["landcover"], land.areas.geometry, strict=True)
    }
    assert [held[name] for name in ("water", "forest", "building")] == strips


def test_layer_without_an_area_is_refused_unless_it_may_be() -> None:
    lines = features([{"geometry": shapely.LineString([(0, 0), (1, 1)])}])
    with pytest.raises(InputError, match="holds no area, only LineString"):
        land_areas(lines, UTM)
    for layer in (lines, lines.iloc[:0]):
        land = land_areas(layer, UTM, allow_none=True)
        assert (land.by_class, len(land.shapes), len(land.areas)) == ({}, 0, 0)
        assert not landcover_map([land], None, TILE).any()


def test_of_a_collection_the_areas_are_taken() -> None:
    whole = shapely.GeometryCollection(
        [
            shapely.box(LEFT, BOTTOM, LEFT + 4, TOP),
            shapely.box(LEFT + 2, BOTTOM, LEFT + 6, TOP),
            shapely.LineString([(LEFT, TOP), (RIGHT, BOTTOM)]),
        ]
    )
    land = land_areas(features([{"natural": "wood", "geometry": whole}]), UTM)
    assert land.area_m2 == {"forest": 96.0}
    assert (landcover_map([land], None, TILE) > 0).sum() == 96


@pytest.mark.parametrize(("low", "high"), list(permutations(range(7), 2)))
def test_the_higher_class_covers_the_lower_in_any_order(low: int, high: int) -> None:
    """Within a layer and across layers."""
    rows = [{"class": CLASSES[low]}, {"class": CLASSES[high]}]
    expected = max(CLASSES[low], CLASSES[high], key=PRIORITY.index)
    one = [land_areas(features(rows), UTM)]
    two = [land_areas(features([row]), UTM) for row in rows]
    for layers in (one, two):
        assert set(kinds(landcover_map(layers, None, TILE))) == {expected}


def test_roads_go_on_top_and_background_is_what_is_left() -> None:
    west = shapely.box(LEFT, BOTTOM, LEFT + 8, TOP)
    road = np.zeros(TILE.shape, np.uint8)
    road[4, :] = 1
    land = land_areas(features([{"building": "yes", "geometry": west}]), UTM)
    class_map = landcover_map([land], road, TILE)
    expected = np.zeros(TILE.shape, np.uint8)
    expected[:, :8] = CLASSES.index("building")
    expected[4, :] = CLASSES.index("road")
    np.testing.assert_array_equal(class_map, expected)
    assert class_map.dtype == np.uint8


def test_a_class_may_cover_roads() -> None:
    rows = [
        {"kind": "tree", "geometry": shapely.box(LEFT, BOTTOM, LEFT + 8, TOP)},
        {"kind": "house"},
    ]
    road = np.zeros(TILE.shape, np.uint8)
    road[4, :] = 1
    land = land_areas(features(rows), UTM, classes=GARDEN)
    class_map = landcover_map([land], road, TILE, GARDEN)
    assert class_map[4].tolist() == [0] * 8 + [255] * 8
    assert class_map[5].tolist() == [0] * 8 + [3] * 8
    assert (landcover_map([], road, TILE, GARDEN)[5] == 200).all()
    without = ClassSet("plain", GARDEN.classes[:2])
    assert (landcover_map([], road, TILE, without) == 200).all()


def test_layers_of_another_class_set_are_refused() -> None:
    land = land_areas(features([{"kind": "tree"}]), UTM, classes=GARDEN)
    with pytest.raises(InputError, match="classes of 'garden', a map in those of 'loveda'"):
        landcover_map([land], None, TILE)


def test_no_layers_no_roads() -> None:
    assert not landcover_map([], None, TILE).any()


def test_colours_are_loveda_s() -> None:
    class_map = np.arange(7, dtype=np.uint8).reshape(1, 7)
    colours = colourise(class_map)
    assert colours.dtype == np.float32
    assert colours.shape == (3, 1, 7)
    np.testing.assert_array_equal(np.round(colours[:, 0].T * 255), PALETTE)
    assert tuple(PALETTE[CLASSES.index("barren")]) == (159, 129, 183)


def test_colours_of_another_set() -> None:
    colours = colourise(np.array([[255, 200]], np.uint8), GARDEN)
    np.testing.assert_array_equal(np.round(colours[:, 0].T * 255), [[0, 0, 0], [9, 9, 9]])
    with pytest.raises(InputError, match="holds 255, which is no class of 'loveda'"):
        colourise(np.array([[255, 0]], np.uint8))


@st.composite
def patches(draw: st.DrawFn, tile: Tile, most: int = 8) -> gpd.GeoDataFrame:
    """Triangles and boxes of all classes around a tile; some of no class."""
    left, bottom, right, top = tile.bounds
    x, y = st.floats(left - 9, right + 9), st.floats(bottom - 9, top + 9)
    size = st.floats(1, right - left)
    rows = []
    for _ in range(draw(st.integers(1, most))):
        west, south, wide, high = draw(x), draw(y), draw(size), draw(size)
        shape = shapely.box(west, south, west + wide, south + high)
        if draw(st.booleans()):
            corners = [(west, south), (west + wide, south + high / 3), (west, south + high)]
            shape = shapely.Polygon(corners)
        rows.append({"class": draw(st.sampled_from([*CLASSES, "mystery"])), "geometry": shape})
    return gpd.GeoDataFrame(rows, crs=tile.crs)


def by_point(layer: gpd.GeoDataFrame, tile: Tile) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """Pixel by pixel: the highest class of the shapes around its centre, and whether it is sure."""
    rows, cols = np.mgrid[0.5 : tile.shape[0], 0.5 : tile.shape[1]]
    left, _, _, top = tile.bounds
    points = shapely.points(left + cols * tile.transform.a, top - rows * tile.transform.a)
    rank, sure = np.zeros(tile.shape, int), np.ones(tile.shape, bool)
    for name, shape in zip(layer["class"], layer.geometry, strict=True):
        if name in PRIORITY:
            inside = shapely.contains(shape, points)
            rank[inside] = np.maximum(rank[inside], PRIORITY.index(name))
        sure &= shapely.distance(points, shape.boundary) > 1e-6
    return np.array([CLASSES.index(name) for name in PRIORITY], np.uint8)[rank], sure


@settings(deadline=None, max_examples=40)
@given(st.data())
def test_the_highest_class_that_holds_the_centre_decides(data: st.DataObject) -> None:
    layer = data.draw(patches(TILE))
    expected, sure = by_point(layer, TILE)
    found = landcover_map([land_areas(layer, UTM, allow_none=True)], None, TILE)
    np.testing.assert_array_equal(found[sure], expected[sure])


@settings(deadline=None, max_examples=40)
@given(st.data())
def test_neither_order_nor_layers_matter(data: st.DataObject) -> None:
    layer = data.draw(patches(TILE))
    whole = landcover_map([land_areas(layer, UTM)], None, TILE)
    order = data.draw(st.permutations(range(len(layer))))
    cut = data.draw(st.integers(0, len(layer)))
    parts = [layer.iloc[order[cut:]], layer.iloc[order[:cut]]]
    shuffled = [land_areas(part, UTM, allow_none=True) for part in parts]
    np.testing.assert_array_equal(landcover_map(shuffled, None, TILE), whole)


# Rasters.

TABLE = RasterTable(
    "test",
    "Test",
    {
        1: ("water",),
        2: ("forest",),
        3: ("background",),
        4: (),
        300: ("tree", "barren"),
        -5: ("road",),
    },
    {4: "clouds"},
)


def raster(path: Path, values: NDArray[Any], **more: Any) -> Path:
    """A GeoTIFF that covers the tile and 5 m around, of 2 m pixels unless told."""
    profile = {
        "driver": "GTiff",
        "dtype": values.dtype,
        "height": values.shape[0],
        "width": values.shape[1],
        "count": 1,
        "crs": UTM.to_wkt(),
        "transform": Affine(2.0, 0, LEFT - 5, 0, -2.0, TOP + 5),
    }
    with rasterio.open(path, "w", **(profile | more)) as dst:
        dst.write(values, 1)
    return path


def test_numbers_become_classes(tmp_path: Path) -> None:
    values = np.full((14, 14), 1, np.int16)
    values[:, 4:6], values[:, 6:8], values[:, 8:10], values[:, 10:] = 2, 300, -5, 3
    cover = RasterCover.open(raster(tmp_path / "a.tif", values), TABLE)
    found = cover.read(TILE)
    expected = ["water"] * 3 + ["forest"] * 4 + ["barren"] * 4 + ["road"] * 4 + ["background"]
    assert kinds(found.data[7]) == expected
    assert not found.mask.any()
    assert found.dtype == np.uint8


def test_what_a_table_does_not_know_is_counted_not_guessed(tmp_path: Path) -> None:
    values = np.full((14, 14), 1, np.int16)
    values[:, 3:5], values[:, 5:7], values[:, 7:9] = 4, 77, 9
    cover = RasterCover.open(raster(tmp_path / "a.tif", values, nodata=9), TABLE)
    report = cover.report(TILE)
    assert report.pixels == 256
    assert report.shares == {"water": 0.25}
    assert report.unknown == {"4 (clouds)": 64, "77": 64}
    assert report.no_data == 64
    found = cover.read(TILE)
    assert np.ma.getmaskarray(found)[0].tolist() == [False] + [True] * 12 + [False] * 3
    assert report.to_dict()["shares"] == {"water": 0.25}


def test_rasters_of_floating_numbers(tmp_path: Path) -> None:
    values = np.full((14, 14), 2.0, np.float32)
    values[:, 3:5], values[:, 5:7], values[:, 7:9] = 2.5, np.nan, 1e30
    cover = RasterCover.open(raster(tmp_path / "a.tif", values), TABLE)
    report = cover.report(TILE)
    assert report.shares == {"forest": 0.25}
    assert report.unknown == {"1000000015047466219876688855040": 64, "not a whole number": 64}
    assert report.no_data == 64


def test_many_unknown_numbers_are_summed_up(tmp_path: Path) -> None:
    values = (1000 + np.arange(196).reshape(14, 14)).astype(np.uint16)
    report = RasterCover.open(raster(tmp_path / "a.tif", values), TABLE).report(TILE)
    assert len(report.unknown) == 51
    assert sum(report.unknown.values()) == report.pixels
    assert report.shares == {}


def test_areas_and_roads_cover_rasters(tmp_path: Path) -> None:
    """Even areas of the lowest class; what is unknown of an area does not."""
    cover = RasterCover.open(raster(tmp_path / "a.tif", np.full((14, 14), 1, np.uint8)), TABLE)
    strips = [shapely.box(LEFT + x, BOTTOM, LEFT + x + 4, TOP) for x in (0, 4, 8)]
    rows = [
        {"landuse": "residential", "geometry": strips[0]},
        {"landuse": "moonbase", "geometry": strips[1]},
        {"natural": "wood", "geometry": strips[2]},
    ]
    road = np.zeros(TILE.shape, np.uint8)
    road[3] = 1
    land = land_areas(features(rows), UTM)
    layers: list[LandAreas | RasterCover] = [cover, land]
    for ordered in (layers, layers[::-1]):
        class_map = landcover_map(ordered, road, TILE)
        assert set(kinds(class_map[3])) == {"road"}
        expected = ["background"] * 4 + ["water"] * 4 + ["forest"] * 4 + ["water"] * 4
        assert kinds(class_map[9]) == expected


def test_the_last_raster_that_knows_decides(tmp_path: Path) -> None:
    first, second = np.full((14, 14), 1, np.uint8), np.full((14, 14), 2, np.uint8)
    second[:, 7:] = 4
    covers = [
        RasterCover.open(raster(tmp_path / "a.tif", first), TABLE),
        RasterCover.open(raster(tmp_path / "b.tif", second), TABLE),
    ]
    row = kinds(landcover_map(covers, None, TILE)[5])
    assert row == ["forest"] * 9 + ["water"] * 7
    assert set(kinds(landcover_map(covers[::-1], None, TILE))) == {"water"}


def test_a_raster_in_the_classes_of_a_user(tmp_path: Path) -> None:
    path = raster(tmp_path / "a.tif", np.full((14, 14), 300, np.int16))
    cover = RasterCover.open(path, TABLE, GARDEN)
    assert set(landcover_map([cover], None, TILE, GARDEN).ravel()) == {0}
    with pytest.raises(InputError, match="classes of 'garden', a map in those of 'loveda'"):
        landcover_map([cover], None, TILE)


def test_rasters_that_say_nothing_are_refused(tmp_path: Path) -> None:
    path = raster(tmp_path / "a.tif", np.full((14, 14), 1, np.uint8))
    with pytest.raises(InputError, match="neither a raster table that comes along"):
        RasterCover.open(path, "worldcovr")
    with pytest.raises(InputError, match="1 bands, so there is no band 2"):
        RasterCover.open(path, "worldcover", band=2)
    only = ClassSet("only", (LandClass("trees", 0, (0, 0, 0)),))
    with pytest.raises(InputError, match="'worldcover' knows no class of 'only'"):
        RasterCover.open(path, "worldcover", only)


def test_survey_is_the_share_of_the_area(tmp_path: Path) -> None:
    """WorldCover's numbers, in degrees, a quarter of it forest."""
    values = np.full((300, 400), 30, np.uint8)
    values[:150, :200], values[200:, :], values[:, 390:] = 10, 99, 0
    left, top = Transformer.from_crs(UTM, 4326, always_xy=True).transform(LEFT, TOP)
    place = Affine(1e-4, 0, left, 0, -1e-4, top)
    path = raster(tmp_path / "a.tif", values, crs=4326, transform=place, nodata=0)
    cover = RasterCover.open(path, "worldcover")
    to_utm = Transformer.from_crs(4326, UTM, always_xy=True)
    box = to_utm.transform_bounds(left, top - 0.03, left + 0.04, top)
    report = cover.survey(box, UTM)
    assert max(report.pixels, 200_000) <= 512 * 512
    assert report.shares["forest"] == pytest.approx(0.25, abs=0.02)
    assert report.unknown["99"] / report.pixels == pytest.approx(0.325, abs=0.02)
    for bad in ((0.0, 0.0, 0.0, 1.0), (0.0, 0.0, float("nan"), 1.0)):
        with pytest.raises(InputError, match="is no box"):
            cover.survey(bad, UTM)


@settings(
    deadline=None, max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.data())
def test_tiles_put_together_are_the_mosaic(tmp_path: Path, data: st.DataObject) -> None:
    """Areas, roads, a raster in the same CRS and one in another, both with holes."""
    row, col = data.draw(st.integers(-50, 50)), data.draw(st.integers(-50, 50))
    tiles = [
        [GRID.tile(TILE.row + row + r, TILE.col + col + c) for c in range(3)] for r in range(2)
    ]
    whole = Tile.from_transform(tiles[0][0].transform, (32, 48), UTM)
    left, _, _, top = whole.bounds
    numbers = (
        np.random.default_rng([row + 50, col + 50]).integers(0, 6, (2, 40, 40)).astype(np.uint8)
    )
    place = Affine(1.5, 0, left - 3.5, 0, -1.5, top + 2.5)
    web = CRS.from_epsg(3857)
    x, y = Transformer.from_crs(UTM, web, always_xy=True).transform(left - 5, top + 5)
    covers: list[LandAreas | RasterCover] = [
        RasterCover.open(raster(tmp_path / "a.tif", numbers[0], transform=place), TABLE),
        RasterCover.open(
            raster(tmp_path / "b.tif", numbers[1], crs=3857, transform=Affine(3, 0, x, 0, -3, y)),
            TABLE,
        ),
    ]
    layers = [*covers, land_areas(data.draw(patches(whole)), UTM, allow_none=True)]
    mask = (np.random.default_rng(1).random(whole.shape) < 0.1).astype(np.uint8)
    expected = landcover_map(layers, mask, whole)
    mosaic = np.block(
        [
            [
                landcover_map(layers, mask[16 * r : 16 * r + 16, 16 * c : 16 * c + 16], tile)
                for c, tile in enumerate(line)
            ]
            for r, line in enumerate(tiles)
        ]
    )
    np.testing.assert_array_equal(mosaic, expected)


def test_example_layers(examples_dir: Path) -> None:
    """A real place: most is known, and tiles agree with the whole."""
    frame = read_vectors(examples_dir / "helsinki" / "landcover.geojson")
    utm = frame.estimate_utm_crs()
    land = land_areas(frame, utm)
    assert sum(land.by_class.values()) + sum(land.unknown.values()) == len(frame)
    assert sum(land.unknown.values()) < 0.25 * len(frame)
    houses = land_areas(
        read_vectors(examples_dir / "helsinki" / "buildings.geojson"), utm, buildings=True
    )
    x, y = land.areas.geometry.iloc[len(land.areas) // 2].centroid.coords[0]
    grid = TileGrid(utm, 1.0, 128)
    first_row, first_col = -int(y // 128) - 1, int(x // 128)
    tiles = [[grid.tile(first_row + r, first_col + c) for c in range(2)] for r in range(2)]
    whole = Tile.from_transform(tiles[0][0].transform, (256, 256), utm)
    expected = landcover_map([land, houses], None, whole)
    assert len(np.unique(expected)) >= 3
    mosaic = np.block(
        [[landcover_map([land, houses], None, tile) for tile in line] for line in tiles]
    )
    np.testing.assert_array_equal(mosaic, expected)
