"""Masks in files to lines in files, and the circle back to masks."""

from __future__ import annotations

import json
from pathlib import Path

import geopandas as gpd
import numpy as np
import pytest
import rasterio
import shapely
from affine import Affine
from numpy.typing import NDArray
from pyproj import CRS
from strategies import UTM

from rsaug.conditions.road import road_mask
from rsaug.downstream.metrics import confusion_counts, iou
from rsaug.downstream.vectorize import rasters_of, vectorize, write_lines
from rsaug.errors import InputError, OutputError
from rsaug.grid import Tile, TileGrid
from rsaug.raster import write_cog
from rsaug.roads import Roads, road_surfaces
from rsaug.vectors import read_vectors

GSD_M = 0.6


@pytest.fixture(scope="module")
def roads(examples_dir: Path) -> Roads:
    """The roads of the example."""
    return road_surfaces(read_vectors(examples_dir / "helsinki" / "roads.geojson"), UTM)


@pytest.fixture(scope="module")
def tiles(roads: Roads) -> list[Tile]:
    """Three by two tiles in the middle of the example."""
    left, bottom, right, top = roads.surfaces.total_bounds
    grid = TileGrid(UTM, GSD_M, 256)
    row = int(-(bottom + top) / 2 / (256 * GSD_M))
    col = int((left + right) / 2 / (256 * GSD_M))
    return [grid.tile(row + k // 3, col + k % 3) for k in range(6)]


@pytest.fixture(scope="module")
def folder(roads: Roads, tiles: list[Tile], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of their masks, as a run has it."""
    root = tmp_path_factory.mktemp("run")
    (root / "masks").mkdir()
    for tile in tiles:
        write_cog(root / "masks" / f"{tile.name}.tif", road_mask(roads, tile)[None], tile)
    (root / "run.json").write_text("{}", encoding="utf-8")
    return root


def masks_of(lines: gpd.GeoDataFrame, tiles: list[Tile]) -> NDArray[np.uint8]:
    """Masks that `rsaug synth` would burn of a layer."""
    again = road_surfaces(lines, UTM)
    return np.stack([road_mask(again, tile) for tile in tiles])


@pytest.mark.parametrize("name", ["roads.gpkg", "roads.geojson"])
def test_the_circle_closes(
    name: str, folder: Path, roads: Roads, tiles: list[Tile], tmp_path: Path
) -> None:
    found = vectorize([folder])
    write_lines(tmp_path / name, found.lines)
    lines = read_vectors(tmp_path / name, kind="lines")
    true = np.stack([road_mask(roads, tile) for tile in tiles])
    counts = confusion_counts(masks_of(lines, tiles), true)
    assert iou(counts.sum(axis=0)) > 0.93
    report = road_surfaces(lines, UTM).report
    assert report.by_rule["width"] == len(lines) > 30
    assert not report.ignored
    assert not report.dropped


def test_tiles_are_taken_as_one(folder: Path, tiles: list[Tile]) -> None:
    whole = vectorize([folder])
    assert whole.rasters == 6
    assert [*whole.lines["source"].unique()] == ["6 rasters"]
    parts = [vectorize([path]) for path in rasters_of([folder])]
    assert sum(len(part.lines) for part in parts) > len(whole.lines)
    assert sum(part.km for part in parts) == pytest.approx(whole.km, rel=0.05)
    # No road ends where one tile meets the next.
    seam = tiles[0].bounds[2]
    ends = shapely.get_coordinates(shapely.boundary(whole.lines.geometry.to_numpy()))
    at_seam = ends[np.abs(ends[:, 0] - seam) < GSD_M]
    place, times = np.unique(at_seam.round(3), axis=0, return_counts=True)
    assert (times > 1).all()
    crossing = whole.lines.geometry.crosses(
        shapely.LineString([(seam, tiles[0].bounds[3]), (seam, tiles[-1].bounds[1])])
    )
    assert crossing.any() or len(place)


def test_the_order_of_the_rasters_does_not_matter(folder: Path, tmp_path: Path) -> None:
    paths = rasters_of([folder])
    for name, given in (("one", paths), ("other", paths[::-1])):
        found = vectorize(given, source="me")
        write_lines(tmp_path / f"{name}.gpkg", found.lines)
        write_lines(tmp_path / f"{name}.geojson", found.lines)
    for ending in ("gpkg", "geojson"):
        one, other = ((tmp_path / f"{n}.{ending}").read_bytes() for n in ("one", "other"))
        assert one == other


def test_geojson_is_in_degrees_and_geopackage_in_the_crs_of_the_rasters(
    folder: Path, tmp_path: Path
) -> None:
    found = vectorize([folder])
    write_lines(tmp_path / "roads.geojson", found.lines)
    content = json.loads((tmp_path / "roads.geojson").read_text())
    assert "crs" not in content
    lon, lat = content["features"][0]["geometry"]["coordinates"][0]
    assert 24.9 < lon < 25
    assert 60.1 < lat < 60.2
    write_lines(tmp_path / "roads.gpkg", found.lines)
    back = gpd.read_file(tmp_path / "roads.gpkg")
    assert back.crs == UTM
    assert back.length.sum() / 1000 == pytest.approx(found.km, rel=1e-4)
    assert [*back.columns] == ["width", "length_m", "source", "geometry"]


def write(path: Path, values: NDArray[np.generic], **options: object) -> Path:
    """A raster with pixels of a metre."""
    profile = {
        "driver": "GTiff",
        "count": 1,
        "height": values.shape[0],
        "width": values.shape[1],
        "dtype": values.dtype,
        "crs": UTM.to_wkt(),
        "transform": Affine(1, 0, 500_000, 0, -1, 6_700_000),
        **options,
    }
    with rasterio.open(path, "w", **profile) as dst:
        dst.write(values, 1)
    return path


def test_probabilities_and_what_is_not_known(tmp_path: Path) -> None:
    values = np.full((40, 80), 0.1, np.float32)
    values[17:24] = 0.6
    values[17:24, 60:] = np.nan
    path = write(tmp_path / "p.tif", values)
    assert vectorize([path]).km == pytest.approx(0.06, abs=0.002)
    assert len(vectorize([path], threshold=0.7).lines) == 0
    assert vectorize([path], threshold=0.05).km > 0
    # A mask with 255 where nothing is known, as mosaics have it, and one that says 255 for road.
    mask = np.zeros((40, 80), np.uint8)
    mask[17:24], mask[:, 60:] = 1, 255
    assert vectorize([write(tmp_path / "m.tif", mask, nodata=255)]).km == pytest.approx(0.06, 0.02)
    mask[mask == 255] = 0
    assert vectorize([write(tmp_path / "w.tif", mask * 255)]).lines["width"].iloc[0] == 7


@pytest.mark.parametrize("name", ["none.gpkg", "none.geojson"])
def test_a_mask_without_a_road_makes_an_empty_layer(name: str, tmp_path: Path) -> None:
    found = vectorize([write(tmp_path / "m.tif", np.zeros((40, 80), np.uint8))])
    assert found.to_dict() == {"rasters": 1, "lines": 0, "km": 0.0, "changes": {}}
    write_lines(tmp_path / name, found.lines)
    assert len(gpd.read_file(tmp_path / name)) == 0


def test_what_a_folder_stands_for(folder: Path, tmp_path: Path) -> None:
    assert len(rasters_of([folder])) == 6
    assert len(rasters_of([folder / "masks"])) == 6
    mask = np.zeros((8, 8), np.uint8)
    for name in ("mosaic.tif", "mosaic_mask.tif"):
        write(tmp_path / name, mask)
    assert rasters_of([tmp_path]) == [tmp_path / "mosaic_mask.tif"]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"crs": CRS.from_epsg(32636).to_wkt()}, "in EPSG:32636"),
        ({"transform": Affine(2, 0, 500_000, 0, -2, 6_700_000)}, "with pixels of 2"),
        ({"transform": Affine(1, 0, 500_000.4, 0, -1, 6_700_000)}, "0.40 by 0.00 of a pixel"),
        ({"crs": CRS.from_epsg(4326).to_wkt()}, "geographic CRS"),
        ({"transform": Affine(1, 0, 9e7, 0, -1, 6_700_000)}, "are taken as one"),
    ],
)
def test_rasters_of_two_grids_are_refused(
    change: dict[str, object], said: str, tmp_path: Path
) -> None:
    mask = np.zeros((64, 64), np.uint8)
    paths = [write(tmp_path / "a.tif", mask), write(tmp_path / "b.tif", mask, **change)]
    with pytest.raises(InputError, match=said):
        vectorize(paths)


def test_wrong_input_is_said(tmp_path: Path) -> None:
    grey = np.arange(64, dtype=np.uint8).reshape(8, 8)
    path = write(tmp_path / "grey.tif", grey)
    with pytest.raises(InputError, match="several values besides 0, from 1 to 63"):
        vectorize([path])
    assert vectorize([path], threshold=200).rasters == 1
    with pytest.raises(InputError, match="no band 2"):
        vectorize([path], band=2)
    with pytest.raises(InputError, match="does not exist"):
        vectorize([tmp_path / "none.tif"])
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="holds no raster"):
        vectorize([tmp_path / "empty"])
    with pytest.raises(InputError, match=r"\.gpkg or \.geojson"):
        write_lines(tmp_path / "roads.shp", vectorize([path], threshold=200).lines)
    with pytest.raises(OutputError, match="could not be written"):
        write_lines(tmp_path / "no" / "roads.gpkg", vectorize([path], threshold=200).lines)
