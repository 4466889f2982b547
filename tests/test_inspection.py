"""Inspections: what is said of layers and rasters, good ones and others."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pytest
import rasterio
import shapely
from affine import Affine
from numpy.typing import NDArray
from strategies import UTM

from rsaug.errors import InputError
from rsaug.grid import TileGrid
from rsaug.inspection import Inspection, Wanted, count_tiles, inspect_layer
from rsaug.roads import road_surfaces
from rsaug.sources import open_source
from rsaug.vectors import read_vectors

EAST, NORTH = 500_000.0, 6_700_000.0


def _lines(count: int, seed: int = 0) -> gpd.GeoDataFrame:
    """Streets and footways on 2 km by 2 km."""
    rng = np.random.default_rng(seed)
    start = rng.uniform(0, 2000, (count, 2)) + np.array([EAST, NORTH])
    ends = start + rng.uniform(-60, 60, (count, 2))
    lines = [shapely.LineString(pair) for pair in zip(start, ends, strict=True)]
    kinds = np.where(np.arange(count) % 4 == 0, "footway", "residential")
    widths = ["7.5" if nth % 3 == 0 else None for nth in range(count)]
    return gpd.GeoDataFrame({"highway": kinds, "width": widths}, geometry=lines, crs=UTM)


def _raster(path: Path, values: NDArray[Any], nodata: float | None = None) -> Path:
    bands = values if values.ndim == 3 else values[None]
    transform = Affine(10, 0, EAST, 0, -10, NORTH)
    profile = {"driver": "GTiff", "count": len(bands), "dtype": bands.dtype, "nodata": nodata}
    rows, cols = bands.shape[1:]
    with rasterio.open(
        path, "w", height=rows, width=cols, crs=UTM.to_wkt(), transform=transform, **profile
    ) as dst:
        dst.write(bands)
    return path


def _as_json(found: Inspection) -> str:
    return json.dumps(found.to_dict(), allow_nan=False)


def test_a_road_layer_says_what_is_in_it_and_what_comes_of_it(tmp_path: Path) -> None:
    lines = _lines(400)
    lines.to_file(tmp_path / "town.gpkg", layer="ways")
    found = inspect_layer(str(tmp_path / "town.gpkg"), Wanted(gsd_m=0.5, tile_size=200))
    assert found.use == "roads"
    assert found.holds["format"] == "GPKG"
    assert found.holds["layer_name"] == "ways"
    assert found.holds["features"] == 400
    assert found.holds["geometry_types"] == {"LineString": 400}
    assert found.holds["vertices"] == 800
    assert found.holds["extent_km"] == pytest.approx([2.1, 2.1], abs=0.1)
    columns = {column.name: column for column in found.columns}
    assert columns["highway"].filled == 1
    assert columns["highway"].values == {"residential": 300, "footway": 100}
    assert columns["width"].filled == pytest.approx(134 / 400)
    assert found.report == road_surfaces(lines, UTM).report.to_dict()
    made = {(row.what, row.name): row.amount for row in found.made}
    assert made["left out", "not a road (highway=footway)"] == "100"
    assert made["width by", "width"].startswith("100 (")
    assert found.obstacles == ()
    surfaces = road_surfaces(lines, UTM).surfaces.geometry.to_numpy()
    expected = sum(1 for _ in TileGrid(UTM, 0.5, 200).tiles_over(surfaces))
    assert found.tiles is not None
    assert (found.tiles.count, found.tiles.about) == (expected, False)
    assert found.tiles.image_gb == pytest.approx(expected * 200 * 200 * 4 / 1e9)
    assert json.loads(_as_json(found))["tiles"]["count"] == expected


def test_an_area_of_interest_narrows_it(tmp_path: Path) -> None:
    path = tmp_path / "town.gpkg"
    _lines(400).to_file(path)
    box = gpd.GeoSeries([shapely.box(EAST, NORTH, EAST + 500, NORTH + 500)], crs=UTM).to_crs(4326)
    bounds = tuple(box.total_bounds.tolist())
    found = inspect_layer(str(path), Wanted(aoi=",".join(map(str, bounds))))
    assert found.holds["features"] == len(read_vectors(path, bounds=bounds))
    nowhere = inspect_layer(str(path), Wanted(aoi="10,10,10.1,10.1"))
    assert nowhere.tiles is None
    assert "no feature in the area of interest" in nowhere.obstacles[0]
    assert _as_json(nowhere)


def test_a_very_large_layer_is_sampled_by_windows(tmp_path: Path) -> None:
    path = tmp_path / "country.fgb"
    lines = _lines(6000)
    lines.to_file(path)
    assert open_source(path).windowed
    whole = inspect_layer(str(path))
    found = inspect_layer(str(path), Wanted(most_features=1000))
    assert found.sample is not None
    assert 0.03 < found.sample < 0.5
    assert found.holds["features"] == 6000
    assert found.tiles is not None
    assert found.tiles.about
    assert whole.tiles is not None
    assert found.report["by_rule"]["highway"] < 1500
    # Nearly every tile of the extent holds a road.
    assert found.tiles.count == pytest.approx(whole.tiles.count, rel=0.35)


def test_buildings_and_land_cover_are_told_apart(tmp_path: Path) -> None:
    areas = gpd.GeoDataFrame(
        {"building": ["yes", "house", None], "natural": [None, None, "water"]},
        geometry=[
            shapely.box(EAST + 30 * k, NORTH, EAST + 30 * k + 20, NORTH + 10) for k in range(3)
        ],
        crs=UTM,
    )
    areas.to_file(tmp_path / "houses.gpkg")
    assert inspect_layer(str(tmp_path / "houses.gpkg")).use == "buildings"
    cover = inspect_layer(str(tmp_path / "houses.gpkg"), Wanted(use="landcover"))
    assert cover.report["by_class"] == {"water": 1, "building": 2}
    assert cover.report["area_m2"] == {"water": 200.0, "building": 400.0}
    areas.drop(columns="building").to_file(tmp_path / "ground.gpkg")
    ground = inspect_layer(str(tmp_path / "ground.gpkg"))
    assert ground.use == "landcover"
    assert ground.report["unknown"] == {"no tag": 2}


def test_what_is_no_road_nor_area_says_so(tmp_path: Path) -> None:
    points = gpd.GeoDataFrame(geometry=shapely.points([[EAST, NORTH]] * 3), crs=UTM)
    points.to_file(tmp_path / "points.gpkg")
    found = inspect_layer(str(tmp_path / "points.gpkg"))
    assert found.use is None
    assert found.tiles is None
    assert "holds only Point" in found.obstacles[0]
    areas = gpd.GeoDataFrame(geometry=[shapely.box(EAST, NORTH, EAST + 9, NORTH + 9)], crs=UTM)
    areas.to_file(tmp_path / "areas.gpkg")
    unknown = inspect_layer(str(tmp_path / "areas.gpkg"))
    assert unknown.tiles is None
    assert "add a column class" in unknown.obstacles[0]
    wrong = inspect_layer(str(tmp_path / "areas.gpkg"), Wanted(use="roads"))
    assert "holds no line" in wrong.obstacles[0]
    assert "--as landcover" in wrong.obstacles[0]


def test_everything_left_out_is_in_the_way(tmp_path: Path) -> None:
    lines = _lines(8).assign(highway="footway")
    lines.to_file(tmp_path / "paths.gpkg")
    found = inspect_layer(str(tmp_path / "paths.gpkg"))
    assert found.tiles is None
    assert "None of the 8 features is a road" in found.obstacles[0]


def test_odd_places_are_doubted(tmp_path: Path) -> None:
    lines = _lines(8)
    lines = lines.set_geometry(lines.translate(-EAST, -NORTH).scale(1e-4, 1e-4, origin=(0, 0)))
    lines = lines.set_crs(4326, allow_override=True)
    lines.to_file(tmp_path / "lost.gpkg")
    assert "Gulf of Guinea" in inspect_layer(str(tmp_path / "lost.gpkg")).obstacles[0]
    wide = gpd.GeoDataFrame(
        {"highway": ["primary"] * 2},
        geometry=[shapely.LineString([(x, 50), (x + 0.01, 50)]) for x in (0, 20)],
        crs=4326,
    )
    wide.to_file(tmp_path / "wide.gpkg")
    assert "20 degrees wide" in inspect_layer(str(tmp_path / "wide.gpkg")).obstacles[0]


def test_layers_that_cannot_be_read_are_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="does not exist"):
        inspect_layer(str(tmp_path / "none.gpkg"))
    with pytest.warns(UserWarning, match="'crs' was not provided"):
        _lines(4).set_crs(None, allow_override=True).to_file(tmp_path / "nowhere.gpkg")
    with pytest.raises(InputError, match="no CRS"):
        inspect_layer(str(tmp_path / "nowhere.gpkg"))
    swapped = _lines(4).to_crs(4326)
    swapped = swapped.set_geometry(swapped.translate(0, 60))
    swapped.to_file(tmp_path / "swapped.gpkg")
    with pytest.raises(InputError, match="swapped"):
        inspect_layer(str(tmp_path / "swapped.gpkg"))
    _lines(4).to_file(tmp_path / "town.gpkg")
    with pytest.raises(InputError, match="not elevation"):
        inspect_layer(str(tmp_path / "town.gpkg"), Wanted(use="elevation"))
    raster = _raster(tmp_path / "dem.tif", np.ones((4, 4), np.float32))
    with pytest.raises(InputError, match="is a raster"):
        inspect_layer(str(raster), Wanted(use="roads"))


def test_a_land_cover_raster_says_which_table_fits(tmp_path: Path) -> None:
    values = np.full((40, 60), 10, np.uint8)
    values[:10] = 80
    values[10:20] = 50
    values[:, :3] = 0
    found = inspect_layer(str(_raster(tmp_path / "cover.tif", values, nodata=0)))
    assert found.use == "landcover"
    assert found.report["table"] == "worldcover"
    assert found.report["table_knows"] == 1
    assert found.report["by_class"]["forest"] == pytest.approx(0.475, abs=0.01)
    assert found.report["by_class"]["water"] == pytest.approx(0.2375, abs=0.01)
    assert found.holds["no_data_share"] == pytest.approx(0.05)
    assert found.holds["pixel_m"] == pytest.approx(10, abs=0.02)
    assert found.obstacles == ()
    assert found.tiles is not None
    grid = TileGrid(UTM, 0.6, 256)
    box = shapely.box(EAST, NORTH - 400, EAST + 600, NORTH)
    assert found.tiles.count == sum(1 for _ in grid.tiles(box))
    values[:] = 200 + np.arange(60) % 30
    strange = inspect_layer(str(_raster(tmp_path / "strange.tif", values)))
    assert "TOML" in strange.obstacles[0]
    assert _as_json(strange)


def test_heights_and_images(tmp_path: Path) -> None:
    heights = np.linspace(100, 200, 60, dtype=np.float32).reshape(6, 10)
    dem = inspect_layer(str(_raster(tmp_path / "dem.tif", heights, nodata=-9999)))
    assert dem.use == "elevation"
    assert dem.report["lowest"] == 100
    assert dem.report["highest"] == 200
    image = inspect_layer(str(_raster(tmp_path / "image.tif", np.ones((3, 9, 9), np.uint8))))
    assert image.use == "image"
    strange = inspect_layer(str(_raster(tmp_path / "bands.tif", np.ones((5, 9, 9), np.float32))))
    assert strange.use is None
    assert "neither heights" in strange.obstacles[0]
    nothing = _raster(tmp_path / "nothing.tif", np.zeros((4, 4), np.float32), nodata=0)
    empty = inspect_layer(str(nothing))
    assert "no data" in empty.obstacles[0]
    assert _as_json(empty)
    assert empty.draw() == []


def test_rasters_that_cannot_be_read_are_one_sentence(tmp_path: Path) -> None:
    path = _raster(tmp_path / "dem.tif", np.random.default_rng(0).random((300, 300)))
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError, match="cannot be read"):
        inspect_layer(str(path))
    path.write_bytes(b"II*\0 not really")
    with pytest.raises(InputError, match="cannot be read"):
        inspect_layer(str(path))
    profile = {"driver": "GTiff", "count": 1, "height": 4, "width": 4, "dtype": "uint8"}
    nowhere = Affine(1, 0, 5, 0, -1, 5)
    path.unlink()
    with rasterio.open(path, "w", transform=nowhere, **profile):
        pass
    with pytest.raises(InputError, match="no CRS"):
        inspect_layer(str(path))


def test_a_raster_in_degrees_is_no_obstacle(tmp_path: Path) -> None:
    profile = {"driver": "GTiff", "count": 1, "height": 80, "width": 90, "dtype": "int16"}
    transform = Affine(1e-4, 0, 24.9, 0, -1e-4, 60.2)
    path = tmp_path / "dem.tif"
    with rasterio.open(path, "w", crs="EPSG:4326", transform=transform, **profile) as dst:
        dst.write(np.arange(7200, dtype=np.int16).reshape(1, 80, 90))
    found = inspect_layer(str(path))
    assert found.use == "elevation"
    assert found.obstacles == ()
    assert found.holds["pixel_m"] == pytest.approx(11.14 * np.sqrt(0.5), rel=0.01)
    assert found.tiles is not None
    assert found.tiles.crs == "EPSG:32635"


def test_pictures_show_the_layer_and_its_fullest_tile(tmp_path: Path) -> None:
    lines = _lines(50)
    crowd = shapely.LineString([(EAST + 700, NORTH + 700), (EAST + 705, NORTH + 703)])
    lines = lines.assign(highway="residential")
    lines.loc[10:40, "geometry"] = crowd
    lines.to_file(tmp_path / "town.gpkg")
    panels = inspect_layer(str(tmp_path / "town.gpkg"), Wanted(gsd_m=0.5, tile_size=100)).draw()
    assert len(panels) == 2
    assert max(panels[0].picture.shape) <= 513
    assert panels[1].picture.shape == (100, 100, 3)
    tile = next(TileGrid(UTM, 0.5, 100).tiles(crowd.centroid))
    assert tile.name in panels[1].title
    assert panels[1].picture.any()
    rasters: dict[str, NDArray[Any]] = {
        "dem": np.linspace(0, 1, 60, dtype=np.float32).reshape(6, 10),
        "cover": np.full((6, 10), 80, np.uint8),
        "image": np.full((3, 6, 10), 80, np.uint8),
    }
    for name, values in rasters.items():
        (panel,) = inspect_layer(str(_raster(tmp_path / f"{name}.tif", values))).draw()
        assert panel.picture.shape == (6, 10, 3)


def test_far_too_many_tiles_are_a_number_not_a_list() -> None:
    world = np.array([shapely.box(0, 0, 800_000, 9_000_000)])
    tiles = count_tiles(TileGrid(UTM, 0.1, 64), world)
    assert tiles.about
    assert tiles.count == pytest.approx(800_000 * 9_000_000 / 6.4**2, rel=0.01)
    assert tiles.image_gb > 1e6
    assert count_tiles(TileGrid(UTM, 0.1, 64), np.array([shapely.Polygon()])).count == 0


def test_the_example_is_as_its_files_say(examples_dir: Path) -> None:
    found = inspect_layer(str(examples_dir / "helsinki" / "roads.geojson"))
    assert found.use == "roads"
    assert sum(found.report["by_rule"].values()) == 901
    assert found.tiles is not None
    assert found.tiles.crs == "EPSG:32635"
