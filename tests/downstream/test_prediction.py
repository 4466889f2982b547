"""From images to rasters of roads, and on to lines that make tiles again."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import geopandas as gpd
import numpy as np
import pytest
import rasterio
import torch
from affine import Affine
from numpy.typing import NDArray
from painter import Painter, write_roads
from strategies import UTM

pytest.importorskip("segmentation_models_pytorch", reason="needs the extra `eval`")
pytest.importorskip("skimage", reason="needs the extra `graph`")

from rsaug.downstream.detector import DetectorConfig, RoadDetector
from rsaug.downstream.prediction import UNKNOWN, predict
from rsaug.downstream.probing import Looking
from rsaug.errors import InputError
from rsaug.grid import Tile
from rsaug.options import SynthOptions
from rsaug.raster import open_image, write_cog
from rsaug.synthesis import make_plan, run

BRIGHT = 150
SMALL = Looking(128, 32)


class _Brightness(torch.nn.Module):
    """A network in which light pixels are roads, as they are in painted tiles."""

    def __init__(self, inner: torch.nn.Module) -> None:
        super().__init__()
        self.encoder = inner.encoder

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return 20 * images.mean(dim=1, keepdim=True)


@pytest.fixture
def detector() -> RoadDetector:
    """A detector that sees a road wherever it is brighter than `BRIGHT`."""
    level = BRIGHT / 255
    made = RoadDetector(
        DetectorConfig("unet", "tu-resnet10t", mean=(level,) * 3, std=(0.1,) * 3, gsd_m=0.6)
    )
    made.network = _Brightness(made.network)
    return made.eval()


def town(side: int = 200) -> NDArray[np.uint8]:
    """RGB (3, side, side): two light roads on dark ground."""
    image = np.full((3, side, side), 60, np.uint8)
    image[:, 90:101] = 220
    image[:, :, 40:47] = 220
    return image


def tile_of(side: int = 200, gsd_m: float = 0.6, left: float = 500_000) -> Tile:
    """Where the town lies."""
    return Tile.from_transform(Affine(gsd_m, 0, left, 0, -gsd_m, 6_700_000), (side, side), UTM)


def test_rasters_lie_on_the_image_and_say_what_they_are(
    detector: RoadDetector, tmp_path: Path
) -> None:
    image, tile = town(), tile_of()
    write_cog(tmp_path / "town.tif", image, tile)
    found = predict(detector, [str(tmp_path / "town.tif")], str(tmp_path / "out"), looking=SMALL)
    (one,) = found.images
    with rasterio.open(one.mask) as src:
        np.testing.assert_array_equal(src.read(1), image[0] > BRIGHT)
        assert Tile.from_raster(one.mask).geobox == tile.geobox
        assert src.nodata == UNKNOWN
        tags = src.tags()
    assert tags["RSAUG_THRESHOLD"] == "0.5"
    assert tags["RSAUG_IMAGE_SYNTHETIC"] == "no"
    assert tags["RSAUG_IMAGE"] == "town, as it is"
    with rasterio.open(one.probability) as src:
        value = src.read(1) * src.scales[0]
        assert src.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"
    logit = 20 * (image[0] / 255 - BRIGHT / 255) / 0.1
    np.testing.assert_allclose(value, 1 / (1 + np.exp(-logit)), atol=0.5 / 250 + 1e-4)
    assert one.road_fraction == pytest.approx((image[0] > BRIGHT).mean())
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "town_mask.tif",
        "town_probability.tif",
    ]


def test_an_image_of_other_pixels_is_looked_at_in_the_detectors_own(
    detector: RoadDetector, tmp_path: Path
) -> None:
    write_cog(tmp_path / "fine.tif", town(), tile_of(gsd_m=0.3))
    (one,) = predict(detector, [tmp_path / "fine.tif"], tmp_path, looking=SMALL).images
    assert one.scale == pytest.approx(2)
    assert Tile.from_raster(one.mask).geobox == tile_of(gsd_m=0.3).geobox
    with rasterio.open(one.mask) as src:
        assert (src.read(1) != (town()[0] > BRIGHT)).mean() < 0.02
        assert src.tags()["RSAUG_IMAGE"] == "fine, resampled to 0.6 m"


def test_where_the_image_has_no_data_nothing_is_said(
    detector: RoadDetector, tmp_path: Path
) -> None:
    image = town()
    image[:, :, 150:] = 0
    with rasterio.open(
        tmp_path / "part.tif",
        "w",
        driver="GTiff",
        width=200,
        height=200,
        count=3,
        dtype="uint8",
        nodata=0,
        crs=UTM.to_wkt(),
        transform=tile_of().transform,
    ) as dst:
        dst.write(image)
    found = predict(detector, [tmp_path / "part.tif"], tmp_path / "out", looking=SMALL)
    for path in (found.images[0].mask, found.images[0].probability):
        with rasterio.open(path) as src:
            values = src.read(1)
        assert (values[:, 150:] == UNKNOWN).all()
        assert (values[:, :150] != UNKNOWN).all()


def test_tiles_of_a_folder_are_one_image(detector: RoadDetector, tmp_path: Path) -> None:
    image = town()
    room = tmp_path / "tiles" / "images"
    room.mkdir(parents=True)
    for name, first in (("west", 0), ("east", 100)):
        corner = tile_of().transform @ Affine.translation(first, 0)
        tile = Tile.from_transform(corner, (200, 100), UTM)
        write_cog(room / f"{name}.tif", image[:, :, first : first + 100], tile)
        # Another image of the same tile, of which nothing must be seen.
        write_cog(room / f"{name}_v1.tif", 255 - image[:, :, first : first + 100], tile)
    (one,) = predict(detector, [tmp_path / "tiles"], tmp_path, looking=SMALL).images
    assert one.name == "tiles"
    with rasterio.open(one.mask) as src:
        np.testing.assert_array_equal(src.read(1), image[0] > BRIGHT)


def test_an_image_without_a_place_has_rasters_but_no_lines(
    detector: RoadDetector, tmp_path: Path
) -> None:
    write_cog(tmp_path / "photo.tif", town(), None)
    images = [tmp_path / "photo.tif"]
    with pytest.raises(InputError, match="photo has no place on Earth"):
        predict(detector, images, tmp_path / "out", vectors=tmp_path / "roads.gpkg")
    assert not (tmp_path / "out").exists()
    (one,) = predict(detector, images, tmp_path / "out", looking=SMALL, gsd_m=0.3).images
    assert one.scale == pytest.approx(2)
    (one,) = predict(detector, images, tmp_path / "out", looking=SMALL).images
    assert one.scale == 1
    with open_image(one.mask) as src:
        assert src.crs is None
        np.testing.assert_array_equal(src.read(1), town()[0] > BRIGHT)


@pytest.mark.parametrize("mosaic", [True, False])
def test_the_circle_closes(detector: RoadDetector, tmp_path: Path, mosaic: bool) -> None:
    streets = write_roads(tmp_path / "streets.gpkg", rows=2, cols=2)
    asked = SynthOptions(
        roads=str(streets),
        gsd=0.6,
        tile_size=128,
        variants=2,
        mosaic=mosaic,
        out=str(tmp_path / "run"),
    )
    run(make_plan(asked), Painter(grey=220))
    lines = tmp_path / "roads.gpkg"
    found = predict(detector, [tmp_path / "run"], tmp_path / "out", looking=SMALL, vectors=lines)
    assert found.images[0].name == "run"
    with rasterio.open(found.images[0].mask) as src:
        assert src.tags()["RSAUG_IMAGE_SYNTHETIC"] == "yes"
    roads = gpd.read_file(lines)
    assert len(roads) == found.lines["lines"] > 0
    assert roads["width"].median() == pytest.approx(8, abs=0.5)
    length = gpd.read_file(streets).length.sum()
    assert roads["length_m"].sum() == pytest.approx(length, rel=0.05)
    again = make_plan(replace(asked, roads=str(lines), out=str(tmp_path / "again")))
    # Roads that are cut by the edge of the imagery end on it, and so touch the next tile.
    assert {tile.name for tile in again.tiles} >= {tile.name for tile in make_plan(asked).tiles}
    assert again.scene.report()["roads"]["by_rule"]["width"] == len(roads)


def test_wrong_input_is_named(detector: RoadDetector, tmp_path: Path) -> None:
    write_cog(tmp_path / "grey.tif", town()[:1], tile_of())
    write_cog(tmp_path / "deep.tif", town().astype(np.uint16), tile_of())
    write_cog(tmp_path / "town.tif", town(), tile_of())
    (tmp_path / "other").mkdir()
    write_cog(tmp_path / "other" / "town.tif", town(), tile_of())
    with rasterio.open(tmp_path / "town.tif") as src:
        profile, values = src.profile, src.read()
    profile.update(driver="GTiff", crs="EPSG:4326", transform=Affine(1e-5, 0, 24, 0, -1e-5, 60))
    with rasterio.open(tmp_path / "degrees.tif", "w", **profile) as dst:
        dst.write(values)
    (tmp_path / "empty").mkdir()
    for names, message in (
        (["none.tif"], "none.tif does not exist"),
        (["grey.tif"], "grey.tif has 1 band, but this detector looks at 3"),
        (["deep.tif"], "deep.tif has pixels of uint16"),
        (["degrees.tif"], "degrees.tif is in degrees"),
        (["town.tif", "other/town.tif"], "Two images are called town"),
        (["empty"], "holds no raster"),
    ):
        with pytest.raises(InputError, match=message):
            predict(detector, [tmp_path / name for name in names], tmp_path / "out")
    with pytest.raises(InputError, match="threshold must lie between"):
        predict(detector, [tmp_path / "town.tif"], tmp_path / "out", threshold=2)
    with pytest.raises(InputError, match="must be a number of metres"):
        predict(detector, [tmp_path / "town.tif"], tmp_path / "out", gsd_m=0)
    with pytest.raises(InputError, match=r"to end in \.gpkg"):
        predict(detector, [tmp_path / "town.tif"], tmp_path / "out", vectors=tmp_path / "r.shp")
    assert not (tmp_path / "out").exists()
