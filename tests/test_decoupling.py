"""Decoupling: which extractor makes which map, how the maps agree, and what is written."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import geopandas as gpd
import numpy as np
import pytest
import rasterio
from affine import Affine
from numpy.typing import NDArray
from painter import CRS, NORTH, WEST, write_roads, write_wood
from shapely.geometry import box

from rsaug.conditions.landcover import CLASSES, colourise
from rsaug.conditions.stack import SLOTS
from rsaug.decoupling import (
    MIN_SIDE_PX,
    Decoupled,
    Extractor,
    Photo,
    choose,
    classes_of,
    decouple,
    offline_operators,
    write_decoupled,
)
from rsaug.errors import InputError
from rsaug.grid import Tile, parse_crs
from rsaug.overlay import LayerPaths, Overlay
from rsaug.raster import write_cog
from rsaug.stackfile import read_stack

UTM = parse_crs(f"EPSG:{CRS}")
ROAD, FOREST, BACKGROUND = (CLASSES.index(n) for n in ("road", "forest", "background"))
SIDE = 128


@dataclass(frozen=True)
class Fixed:
    """An extractor that answers with a map of its own, whatever the image."""

    slot: str
    name: str
    map: NDArray[np.generic]
    automatic: bool = True
    missing: str | None = None

    @property
    def made_by(self) -> str:
        """What the record says."""
        return f"the test's {self.name}"

    def why_not(self) -> str | None:
        """What the test wants to be in the way."""
        return self.missing

    def __call__(self, rgb: NDArray[np.uint8], gsd_m: float | None) -> NDArray[np.generic]:
        """The map."""
        return self.map


def write_image(
    path: Path, *, bands: int = 3, dtype: str = "uint8", side: int = SIDE, placed: bool = True
) -> Path:
    """A noisy image over the streets of `painter.write_roads`, at 0.5 m."""
    shape = (bands, side, side)
    image = np.random.default_rng(0).integers(0, 256, shape).astype(dtype)
    place = Tile.from_transform(Affine(0.5, 0, WEST, 0, -0.5, NORTH), (side, side), UTM)
    write_cog(path, image, place if placed else None)
    return path


@pytest.fixture
def image(tmp_path: Path) -> Path:
    """An image with a place."""
    return write_image(tmp_path / "town_20180615.tif")


def stripes(value: int) -> NDArray[np.uint8]:
    """Class map with a road down the middle on ground of one class."""
    classes = np.full((SIDE, SIDE), value, np.uint8)
    classes[:, 60:68] = ROAD
    return classes


def extractors(classes: NDArray[np.uint8]) -> dict[str, Extractor]:
    """One for each slot, fast."""
    road = (classes == ROAD).astype(np.uint8)
    flat = np.full((SIDE, SIDE), 0.5, np.float32)
    maps: dict[str, NDArray[np.generic]] = {"mlsd": road, "hed": flat, "sketch": flat}
    maps |= {"depth": flat, "road": road, "seg": colourise(classes)}
    return {slot: Fixed(slot, "fixed", values) for slot, values in maps.items()}


def test_colours_become_the_classes_that_they_were_of() -> None:
    classes = np.arange(len(CLASSES), dtype=np.uint8).reshape(1, -1)
    np.testing.assert_array_equal(classes_of(colourise(classes)), classes)
    near = np.clip(colourise(classes) + 0.02, 0, 1)
    np.testing.assert_array_equal(classes_of(near), classes)


def test_the_first_that_is_ready_is_taken() -> None:
    blank = np.zeros((1, 1))
    every: list[Extractor] = [
        Fixed("hed", "asked", blank, automatic=False),
        Fixed("hed", "absent", blank, missing="No weights."),
        Fixed("hed", "good", blank),
        Fixed("hed", "spare", blank),
    ]
    others = [slot for slot in SLOTS if slot != "hed"]
    chosen, notes = choose(every, {}, fixed=others)
    assert chosen["hed"].name == "good"
    assert notes == ["hed: absent is left out. No weights."]
    for name in ("asked", "spare"):
        chosen, notes = choose(every, {"hed": name}, fixed=others)
        assert (chosen["hed"].name, notes) == (name, [])
    for asked, message in (
        ({"hed": "absent"}, "hed map cannot be made. No weights"),
        ({"hed": "best"}, r"No extractor of 'hed' is called 'best'; there are \['asked'"),
        ({"heat": "good"}, "No control is called 'heat'"),
        ({"road": "good"}, "No extractor of 'road'"),
    ):
        with pytest.raises(InputError, match=message):
            choose(every, asked, fixed=others)
    with pytest.raises(
        InputError, match=r"mlsd map cannot be made\. There is no extractor of 'mlsd'"
    ):
        choose(every, {})
    with pytest.raises(InputError, match="comes from the layers"):
        choose([Fixed("road", "good", blank)], {"road": "good"}, fixed=SLOTS)


def test_offline_operators_make_maps_of_their_slots(image: Path) -> None:
    rgb = Photo.open(image).read()
    for operator in offline_operators():
        if operator.why_not() is not None:
            continue
        made = np.asarray(operator(rgb, None))
        assert made.shape == (SIDE, SIDE)
        assert 0 <= made.min() <= made.max() <= 1
        assert operator.made_by
    assert {operator.slot for operator in offline_operators()} == {*SLOTS} - {"road", "seg"}


def test_all_six_maps_and_what_made_them(image: Path) -> None:
    made = decouple(Photo.open(image), extractors(stripes(FOREST)))
    assert made.stack.given == SLOTS
    assert made.made_by == dict.fromkeys(SLOTS, "the test's fixed")
    np.testing.assert_array_equal(classes_of(made.stack.slot("seg")), stripes(FOREST))
    assert "trees" in made.caption.lower() or "forest" in made.caption.lower()


@pytest.fixture
def layers(tmp_path: Path, image: Path) -> Callable[..., Overlay]:
    """Layers around the image."""
    roads = str(write_roads(tmp_path / "town.gpkg", rows=1, cols=1))
    wood = str(write_wood(tmp_path / "wood.gpkg"))
    towers = gpd.GeoDataFrame({"height": ["30"]}, geometry=[block()], crs=CRS)
    towers.to_file(tmp_path / "towers.gpkg")
    dem = write_ground(tmp_path / "dem.tif")
    every = {"roads": roads, "landcover": wood, "buildings": str(tmp_path / "towers.gpkg")}
    everything = every | {"ground": dem, "surface": dem}
    tile = Photo.open(image).tile
    assert tile is not None

    def read(*names: str, **given: tuple[float, float]) -> Overlay:
        chosen = {name: everything[name] for name in names}
        return Overlay.read(LayerPaths(**chosen), [tile], **given)  # type: ignore[arg-type]

    return read


def block() -> object:
    """A building of 10 x 10 m in the image."""
    return box(WEST + 10, NORTH - 20, WEST + 20, NORTH - 10)


def write_ground(path: Path) -> Path:
    """Ground that rises eastward from 100 m, half a metre a metre; 40 m of it without data."""
    heights = np.tile(100 + np.arange(64, dtype=np.float32) / 2, (64, 1))
    heights[:, :4] = -9999
    where = {"crs": CRS, "transform": Affine(1, 0, WEST, 0, -1, NORTH), "nodata": -9999}
    with rasterio.open(
        path, "w", driver="GTiff", width=64, height=64, count=1, dtype="float32", **where
    ) as out:
        out.write(heights, 1)
    return path


def test_roads_of_a_layer_are_those_of_both_maps(
    image: Path, layers: Callable[..., Overlay]
) -> None:
    made = decouple(Photo.open(image), extractors(stripes(FOREST)), layers("roads"))
    road = made.stack.slot("road")[0] > 0
    # The street of 8 m lies 30 m south of the north edge, from 5 m on.
    assert road[60, 20]
    assert not road[20, 64]
    classes = classes_of(made.stack.slot("seg"))
    np.testing.assert_array_equal(classes == ROAD, road)
    assert classes[20, 64] == BACKGROUND
    assert classes[20, 20] == FOREST
    assert made.made_by["road"] == "vectors: town.gpkg"
    assert made.made_by["seg"] == "the test's fixed; roads as in the road map"
    assert made.chosen["road"] == "layers"
    assert made.chosen["seg"] == "fixed"


def test_land_cover_of_layers(image: Path, layers: Callable[..., Overlay]) -> None:
    chosen = extractors(stripes(BACKGROUND))
    made = decouple(Photo.open(image), chosen, layers("landcover", "buildings"))
    classes = classes_of(made.stack.slot("seg"))
    assert classes[30, 30] == CLASSES.index("building")
    assert classes[100, 20] == FOREST
    assert classes[100, 64] == ROAD
    assert made.made_by["road"] == "the test's fixed"
    assert made.made_by["seg"] == "vectors: wood.gpkg, towers.gpkg; roads as in the road map"


def test_depth_of_heights(image: Path, layers: Callable[..., Overlay]) -> None:
    chosen, photo = extractors(stripes(FOREST)), Photo.open(image)
    overlay = layers("ground", "buildings", height_range_m=(100.0, 150.0))
    made = decouple(photo, chosen, overlay)
    depth = made.stack.slot("depth")[0]
    assert depth[10, 100] == pytest.approx((50 * 0.5 - 0.25) / 50, abs=0.02)
    assert depth[30, 30] == pytest.approx((30 + 15 * 0.5 - 0.25) / 50, abs=0.02)
    assert made.made_by["depth"].startswith("heights: dem.tif and buildings of towers.gpkg; 100.0")
    assert "pixels without a height" in made.made_by["depth"]
    surface = decouple(photo, chosen, layers("surface", height_range_m=(100.0, 150.0)))
    assert surface.stack.slot("depth")[0, 30, 30] < 0.3
    flat = decouple(photo, chosen, layers("buildings"))
    assert flat.stack.slot("depth")[0, 30, 30] == 1
    assert flat.stack.slot("depth")[0, 10, 10] == 0


def test_layers_need_a_place(tmp_path: Path, layers: Callable[..., Overlay]) -> None:
    photo = Photo.open(write_image(tmp_path / "lost.tif", placed=False))
    with pytest.raises(InputError, match=r"lost\.tif cannot be laid over them: it has no CRS"):
        decouple(photo, extractors(stripes(FOREST)), layers("roads"))


def test_two_rasters_of_heights_are_one_too_many(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="not from both"):
        LayerPaths(ground=tmp_path / "a.tif", surface=tmp_path / "b.tif")


def written(folder: Path, image: Path) -> Decoupled:
    """What was made of an image and written to a folder."""
    photo = Photo.open(image, 0.25)
    made = decouple(photo, extractors(stripes(FOREST)))
    write_decoupled(folder, image.stem, photo, made)
    return made


def test_what_is_written_is_what_was_made(tmp_path: Path, image: Path) -> None:
    (tmp_path / "out").mkdir()
    made = written(tmp_path / "out", image)
    stack = read_stack(tmp_path / "out" / f"{image.stem}.tif")
    np.testing.assert_array_equal(stack.maps, made.stack.maps)
    assert stack.given == SLOTS
    with rasterio.open(tmp_path / "out" / f"{image.stem}.tif") as src, rasterio.open(image) as of:
        assert (src.crs, src.transform, src.dtypes[0]) == (of.crs, of.transform, "float32")
        assert src.tags(4)["MADE_BY"] == "the test's fixed"
        assert src.tags()["CAPTION"] == made.caption
    record = json.loads((tmp_path / "out" / f"{image.stem}.json").read_text())
    assert record["caption"] == made.caption
    assert record["controls"]["hed"] == {"extractor": "fixed", "made_by": "the test's fixed"}
    assert record["pixels_without_data"] == 0
    assert record["date"] == "2018-06-15"
    assert record["metadata_found_in"]["date"] == "file name"
    fields = record["metadata"]
    assert (fields["year"], fields["month"], fields["gsd"]) == (2018, 6, 0.5)
    assert fields["longitude"] == pytest.approx(24.9, abs=0.1)


def test_pixels_without_data_are_counted(tmp_path: Path, image: Path) -> None:
    with rasterio.open(image) as src:
        profile, pixels = src.profile, src.read()
    pixels[:, :10, :20] = 0
    profile |= {"driver": "GTiff", "nodata": 0}
    with rasterio.open(tmp_path / "holes.tif", "w", **profile) as out:
        out.write(pixels)
    assert Photo.open(tmp_path / "holes.tif").without_data() >= 200


def test_an_image_without_a_place_is_taken_apart_too(tmp_path: Path) -> None:
    image = write_image(tmp_path / "lost.tif", placed=False)
    (tmp_path / "out").mkdir()
    written(tmp_path / "out", image)
    record = json.loads((tmp_path / "out" / "lost.json").read_text())
    assert record["crs"] is None
    assert record["metadata"] == {"gsd": 0.25}
    assert read_stack(tmp_path / "out" / "lost.tif").given == SLOTS
    assert Photo.open(image).gsd_m is None


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("grey.tif", {"bands": 1}, "has 1 band of uint8; three of uint8"),
        ("deep.tif", {"dtype": "uint16"}, "has 3 bands of uint16; three of uint8"),
        ("tiny.tif", {"side": MIN_SIDE_PX - 1}, "has 63 x 63 pixels; at least 64"),
    ],
)
def test_images_that_cannot_be_used(
    tmp_path: Path, name: str, options: dict[str, object], message: str
) -> None:
    path = write_image(tmp_path / name, **options)  # type: ignore[arg-type]
    with pytest.raises(InputError, match=message):
        Photo.open(path)


def test_files_that_are_no_images(tmp_path: Path, image: Path) -> None:
    with pytest.raises(InputError, match=r"There is no image .*none\.tif"):
        Photo.open(tmp_path / "none.tif")
    (tmp_path / "text.tif").write_text("hello")
    with pytest.raises(InputError, match="cannot be read as an image"):
        Photo.open(tmp_path / "text.tif")
    with pytest.raises(InputError, match="GSD must be a positive number"):
        Photo.open(image, -1.0)
