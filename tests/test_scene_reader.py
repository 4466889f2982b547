"""Reading a scene: large layers by block, rasters, ranges, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import rasterio
import shapely
from affine import Affine
from painter import CRS, NORTH, WEST, write_roads, write_wood

from rsaug import scene_reader
from rsaug.conditions.stack import SLOTS
from rsaug.errors import InputError
from rsaug.layers import Blocks, Whole
from rsaug.options import SceneOptions
from rsaug.scene import Scene
from rsaug.scene_reader import read_scene, resolved, without_effect


def read(**options: Any) -> Scene:
    """The scene of layers on a grid of 128 px at 0.5 m, unless the options say otherwise."""
    named: dict[str, Any] = {"gsd": 0.5, "tile_size": 128}
    named |= {name: str(v) if isinstance(v, Path) else v for name, v in options.items()}
    return read_scene(SceneOptions(**named))


@pytest.fixture
def roads(tmp_path: Path) -> Path:
    return write_roads(tmp_path / "streets.gpkg")


@pytest.fixture
def houses(tmp_path: Path) -> Path:
    """A row of houses, some with heights."""
    boxes = [
        shapely.box(WEST + 20 * n, NORTH - 60, WEST + 20 * n + 12, NORTH - 45) for n in range(12)
    ]
    levels = ["2", "3", None, "many"] * 3
    frame = gpd.GeoDataFrame({"building:levels": levels}, geometry=boxes, crs=CRS)
    frame.to_file(tmp_path / "houses.gpkg")
    return tmp_path / "houses.gpkg"


def write_raster(path: Path, values: np.ndarray, pixel_m: float = 10.0) -> Path:
    """A raster over the streets, wider by 100 m."""
    transform = Affine(pixel_m, 0, WEST - 100, 0, -pixel_m, NORTH + 100)
    profile = {"driver": "GTiff", "crs": f"EPSG:{CRS}", "transform": transform}
    rows, cols = values.shape
    with rasterio.open(
        path, "w", width=cols, height=rows, count=1, dtype=values.dtype, **profile
    ) as dst:
        dst.write(values, 1)
    return path


@pytest.fixture
def hill(tmp_path: Path) -> Path:
    """Ground that rises by 1 m in 10 to the east, from 30 m."""
    return write_raster(
        tmp_path / "hill.tif", np.tile(30 + np.arange(60, dtype=np.float32), (50, 1))
    )


def same(one: Scene, other: Scene, names: tuple[str, ...] = SLOTS) -> int:
    """Check that two scenes have the same tiles with the same maps; how many."""
    tiles = one.tiles()
    assert [tile.name for tile in tiles] == [tile.name for tile in other.tiles()]
    for tile in tiles:
        (mask, stack), (mask_2, stack_2) = one.controls(tile, names), other.controls(tile, names)
        np.testing.assert_array_equal(mask, mask_2)
        np.testing.assert_array_equal(stack.maps, stack_2.maps)
        assert stack.present == stack_2.present
    return len(tiles)


@pytest.mark.parametrize("aoi", [None, "24.9,60.1,24.92,60.2"])
def test_large_layers_are_read_by_block_and_give_the_same(
    roads: Path, houses: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, aoi: str | None
) -> None:
    # A house that ends a pixel west of where a block begins, and of the first tiles.
    beyond = gpd.GeoDataFrame(
        geometry=[shapely.box(WEST - 9, NORTH - 60, WEST - 0.6, NORTH)], crs=CRS
    )
    pd.concat([gpd.read_file(houses), beyond]).to_file(houses)
    layers = {"roads": roads, "buildings": houses, "landcover": write_wood(tmp_path / "wood.gpkg")}
    box = gpd.GeoSeries([shapely.box(WEST - 500, NORTH - 900, WEST + 60, NORTH + 100)], crs=CRS)
    if aoi is not None:
        aoi = ",".join(str(edge) for edge in box.to_crs(4326).total_bounds)
    options = {**layers, "aoi": aoi, "height_range": "0,12", "crs": f"EPSG:{CRS}"}
    whole = read(**options)
    monkeypatch.setattr(scene_reader, "MANY_FEATURES", 2)
    monkeypatch.setattr(scene_reader, "_FEW_BLOCKS", 0)
    parted = read(**options)
    assert isinstance(whole.roads, Whole)
    assert isinstance(parted.roads, Blocks)
    assert isinstance(parted.buildings, Blocks)
    number = same(whole, parted)
    assert number == 12 if aoi is None else 3 <= number < 12
    for name in ("by_rule", "dropped", "by_class"):
        assert parted.report()["roads"][name] == whole.report()["roads"][name]


def test_every_slot_comes_from_the_layers(roads: Path, houses: Path, tmp_path: Path) -> None:
    scene = read(roads=roads, buildings=houses, landcover=write_wood(tmp_path / "wood.gpkg"))
    assert scene.available() == SLOTS
    _, stack = scene.controls(scene.tiles()[0], SLOTS)
    assert stack.given == SLOTS
    for name in SLOTS:
        assert np.ptp(stack.slot(name)) > 0.1, name
    assert scene.choose((), ("road", "seg")) == ("road", "seg")
    assert scene.choose(("depth", "mlsd"), ()) == ("mlsd", "depth")
    only = read(roads=roads)
    assert only.available() == ("mlsd", "hed", "sketch", "road")
    with pytest.raises(InputError, match="'depth' needs a layer that is not given"):
        only.choose(("depth",), ())
    with pytest.raises(InputError, match="No control is called 'rood'"):
        only.choose(("rood",), ())


def test_heights_share_one_range_that_is_recorded(roads: Path, hill: Path, houses: Path) -> None:
    scene = read(roads=roads, dem=hill, buildings=houses)
    low, high = scene.height_range_m or (0, 0)
    # The ground from 30 m on plus the highest house, of three levels.
    assert 30 < low < 45
    assert high > low + 20
    options = SceneOptions(str(roads), dem=str(hill), buildings=str(houses), gsd=0.5, tile_size=128)
    found = resolved(options, scene)
    assert found == {"crs": "EPSG:32635", "height_range": f"{low:g},{high:g}"}
    again = read(roads=roads, dem=hill, buildings=houses, height_range=found["height_range"])
    assert same(scene, again, ("depth",)) == 12
    tiles = scene.tiles()
    depths = [scene.controls(tile, ("depth",))[1].slot("depth")[0] for tile in tiles[:4]]
    # Eastward it rises across the edges of tiles, too.
    street = np.concatenate([depth[-1] for depth in depths])
    assert (np.diff(street) >= -1e-6).all()


def test_a_dsm_has_the_buildings_in_it(roads: Path, hill: Path, houses: Path) -> None:
    bare = read(roads=roads, dem=hill, height_range="30,90")
    scene = read(roads=roads, dsm=hill, buildings=houses, height_range="30,90")
    assert same(bare, scene, ("depth",)) == 12
    assert read(roads=roads, dsm=hill).height_range_m == read(roads=roads, dem=hill).height_range_m
    with pytest.raises(InputError, match="from a DEM or from a DSM, not from both"):
        read(roads=roads, dem=hill, dsm=hill)


def test_land_cover_from_a_raster_lies_below_the_areas(roads: Path, tmp_path: Path) -> None:
    codes = np.full((50, 60), 80, np.uint8)  # water in WorldCover
    codes[:, 30:] = 10  # trees
    raster = write_raster(tmp_path / "cover.tif", codes)
    scene = read(roads=roads, landcover_raster=raster, landcover_table="worldcover")
    tile = scene.tiles()[0]
    mask = scene.road_mask(tile)
    classes = scene.class_map(tile, mask)
    assert set(np.unique(classes)) == {2, 3}
    as_landcover = read(roads=roads, landcover=raster, landcover_table="worldcover")
    assert same(scene, as_landcover) == 12
    wood = write_wood(tmp_path / "wood.gpkg")
    both = read(roads=roads, landcover=wood, landcover_raster=raster, landcover_table="worldcover")
    np.testing.assert_array_equal(np.unique(both.class_map(tile, mask)), [2, 5])


def test_edges_come_from_a_reference_where_there_is_one(roads: Path, tmp_path: Path) -> None:
    path = tmp_path / "photo.tif"
    image = np.zeros((3, 800, 1200), np.uint8)
    image[:, 300:420, 250:700] = 200
    transform = Affine(0.5, 0, WEST - 100, 0, -0.5, NORTH + 100)
    with rasterio.open(
        path, "w", driver="GTiff", width=1200, height=800, count=3, dtype="uint8",
        crs=f"EPSG:{CRS}", transform=transform,
    ) as dst:  # fmt: skip
        dst.write(image)
    scene = read(roads=roads, reference=path)
    tile = scene.tiles()[0]
    _, stack = scene.controls(tile, ("hed", "sketch"))
    assert stack.given == ("hed", "sketch")
    # The upper edge of the bright block is 50 m below the image's upper one.
    assert stack.slot("hed")[0, 99:101, 60:].min() > 0.5
    assert stack.slot("hed")[0, :80].max() == 0
    # The border of the image is no edge, and beyond it there is nothing.
    edge = scene.grid.tile(tile.row - 1, tile.col - 1)
    _, stack = scene.controls(edge, ("hed", "sketch"))
    assert stack.slot("hed").max() == 0
    assert stack.slot("sketch").min() == 1
    with pytest.raises(InputError, match="1 bands of float32; three of uint8"):
        read(roads=roads, reference=write_raster(tmp_path / "a.tif", np.zeros((9, 9), np.float32)))


def test_tiles_without_roads_where_they_are_wanted(roads: Path, houses: Path) -> None:
    box = gpd.GeoSeries([shapely.box(WEST, NORTH - 60, WEST + 60, NORTH + 60)], crs=CRS)
    aoi = ",".join(str(edge) for edge in box.to_crs(4326).total_bounds)
    scene = read(roads=roads, aoi=aoi, crs=f"EPSG:{CRS}")
    assert len(scene.tiles()) < len(scene.tiles(bare=True))
    no_roads = read(buildings=houses)
    assert len(no_roads.tiles()) == 4
    assert no_roads.available() == ("mlsd", "hed", "sketch", "depth", "seg")
    mask, _ = no_roads.controls(no_roads.tiles()[0])
    assert not mask.any()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"landcover_table": "nlcd"}, "no raster that it is for"),
        ({"height_range": "5"}, "is not two heights in metres"),
        ({"height_range": "5,5"}, "low has to be below high"),
        ({"dem": "none.tif"}, "none.tif does not exist"),
        ({"road_rules": "none.toml"}, "none.toml"),
        ({"buildings": "none.gpkg"}, "none.gpkg does not exist"),
    ],
)
def test_what_cannot_be_read_is_refused(roads: Path, options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        read(roads=roads, **options)


def test_a_raster_without_a_table_is_refused(roads: Path, hill: Path) -> None:
    for name in ("landcover", "landcover_raster"):
        with pytest.raises(InputError, match="give --landcover-table"):
            read(roads=roads, **{name: hill})


def test_a_large_layer_that_does_not_say_where_it_is_needs_an_area(
    roads: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "roads.parquet"
    gpd.read_file(roads).to_parquet(path, write_covering_bbox=True)
    table = pq.read_table(path)
    geo = json.loads(table.schema.metadata[b"geo"])
    geo["columns"]["geometry"].pop("bbox")
    metadata = {**table.schema.metadata, b"geo": json.dumps(geo).encode()}
    pq.write_table(table.replace_schema_metadata(metadata), path)
    monkeypatch.setattr(scene_reader, "MANY_FEATURES", 2)
    with pytest.raises(InputError, match=r"says nothing of its place; give an --aoi"):
        read(roads=path)


def test_live_maps_are_no_files() -> None:
    options = SceneOptions("osm", buildings="osm|layername=buildings", landcover="osm:Town")
    assert options.files() == {}


def test_a_huge_area_is_refused_with_the_count(roads: Path) -> None:
    scene = read(roads=roads, aoi="20,55,30,65", gsd=0.1, tile_size=64)
    with pytest.raises(InputError, match=r"About .*e\+10 tiles of 64 px at 0.1 m .* --aoi"):
        scene.tiles(bare=True)
    assert scene.tiles()


def test_an_area_may_hold_nothing_of_a_layer(roads: Path, tmp_path: Path) -> None:
    """It is told; where there is no other layer, or no area was named, it is refused."""
    far = gpd.GeoDataFrame(
        geometry=[shapely.box(WEST + 9e4, NORTH, WEST + 9e4 + 9, NORTH + 9)], crs=CRS
    )
    far.to_file(tmp_path / "far.gpkg")
    box = gpd.GeoSeries([shapely.box(WEST, NORTH - 150, WEST + 200, NORTH)], crs=CRS)
    aoi = ",".join(str(edge) for edge in box.to_crs(4326).total_bounds)
    scene = read(roads=roads, buildings=tmp_path / "far.gpkg", aoi=aoi)
    (note,) = scene.notes
    assert note.endswith("far.gpkg has no feature within the area asked for.")
    assert same(scene, read(roads=roads, aoi=aoi), ("road", "hed")) > 0
    for options in ({"roads": roads}, {"aoi": aoi}):
        with pytest.raises(InputError, match=r"far\.gpkg has no feature within the area"):
            read(buildings=tmp_path / "far.gpkg", **options)


def test_parcels_alone_are_drawn_and_lines_are_none(tmp_path: Path) -> None:
    lots = gpd.GeoSeries([shapely.box(WEST + 10, NORTH - 50, WEST + 50, NORTH - 10)], crs=CRS)
    lots.to_crs(4326).to_file(tmp_path / "lots.geojson")
    scene = read(parcels=tmp_path / "lots.geojson")
    (tile,) = scene.tiles()
    _, stack = scene.controls(tile, ("mlsd", "hed"))
    assert stack.slot("mlsd").any()
    assert scene.report()["parcels"]["by_class"] == {"parcel": 1}
    borders = gpd.GeoSeries([lots.boundary.iloc[0]], crs=CRS)
    borders.to_file(tmp_path / "borders.gpkg")
    with pytest.raises(InputError, match="holds no area, only LineString; parcels are areas"):
        read(parcels=tmp_path / "borders.gpkg")


def test_rasters_of_the_wrong_kind_or_place_are_refused(
    roads: Path, hill: Path, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=r"most numbers in the area .* 'worldcover'; name another"):
        read(roads=roads, landcover_raster=hill, landcover_table="worldcover")
    photo, elsewhere = tmp_path / "photo.tif", tmp_path / "elsewhere.tif"
    for path, east in ((photo, 0), (elsewhere, 90_000)):
        transform = Affine(1, 0, WEST + east, 0, -1, NORTH)
        with rasterio.open(
            path, "w", driver="GTiff", width=300, height=300, count=3, dtype="uint8",
            crs=f"EPSG:{CRS}", transform=transform,
        ) as dst:  # fmt: skip
            dst.write(np.full((3, 300, 300), 90, np.uint8))
    with pytest.raises(InputError, match="has 3 bands; heights are a raster of one"):
        read(roads=roads, dem=photo)
    with pytest.raises(InputError, match="does not reach into the area"):
        read(roads=roads, reference=elsewhere)
    scene = read(roads=roads, reference=photo)
    for tile in scene.tiles():
        scene.controls(tile, ("hed",))
    assert "reference" not in scene.report()
    # The tile above lies beyond the photograph.
    first = scene.tiles()[0]
    scene.controls(scene.grid.tile(first.row - 1, first.col), ("hed",))
    assert scene.report()["reference"] == {"pixels without an image": 128 * 128}


def test_columns_that_the_rules_name_have_to_be_there(roads: Path, tmp_path: Path) -> None:
    rules = tmp_path / "rules.toml"
    rules.write_text('[columns]\nhighway = "FCLASS"\n')
    with pytest.raises(InputError, match=r"name \['FCLASS'\] .*'highway'.* it has \['highway', 'w"):
        read(roads=roads, road_rules=rules)
    rules.write_text('[columns]\nhighway = ["FCLASS", "highway"]\n')
    assert len(read(roads=roads, road_rules=rules).tiles()) == 12


def test_options_without_effect_are_told() -> None:
    options = SceneOptions("r", parcels="p", dem="d", tunnels=True)
    assert without_effect(options, ("road", "hed", "depth")) == []
    (note,) = without_effect(options, ("road",))
    assert note.endswith(": --parcels, --dem.")
    (note,) = without_effect(SceneOptions(landcover="l", tunnels=True), ("seg",))
    assert note.endswith(": --tunnels.")
