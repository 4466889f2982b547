"""Training examples read from tile folders."""

from __future__ import annotations

import math
from pathlib import Path

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
import rasterio
from numpy.typing import NDArray
from PIL import Image
from shapely.geometry import box
from tilefolder import EPSG, GSD_M, SIZE, YEARS, corner, make_tile_folder

from rsaug.conditions.image_edges import soft_edges
from rsaug.conditions.landcover import CLASSES
from rsaug.downstream.roadtiles import read_road_tiles
from rsaug.errors import InputError
from rsaug.pipelines.metadata import FIELDS
from rsaug.pipelines.train.folder import cut_windows, read_chips, read_index
from rsaug.pipelines.train.pack import Pack, read_pack
from rsaug.pipelines.train.rows import compose_seg, seen_seg


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The small folder with land cover, near infrared and captions besides."""
    folder = make_tile_folder(tmp_path_factory.mktemp("made") / "tiles")
    left, top = corner("a")
    half = SIZE * GSD_M / 2
    layer = gpd.GeoDataFrame(
        {"place": ["a", "c"], "class": ["building", "water"]},
        geometry=[
            box(left, top - half, left + half, top),
            # Of a val place, but it reaches over the whole of the training place b.
            box(*corner("b"), corner("c")[0] + 5, top - SIZE * GSD_M),
        ],
        crs=EPSG,
    )
    layer.to_crs(4326).to_file(folder / "landcover.geojson", COORDINATE_PRECISION=12)
    (folder / "nir").mkdir()
    with rasterio.open(folder / "rgb" / "b_2018.tif") as src:
        profile, red = src.profile, src.read(1)
    profile.update(count=1)
    nir = np.where(np.arange(SIZE) < SIZE // 4, 255, red).astype(np.uint8)
    with rasterio.open(folder / "nir" / "b_2018.tif", "w", **profile) as dst:
        dst.write(nir, 1)
    captions = pd.read_csv(folder / "captions.csv")
    captions["split"] = ["train", "train", "val", "val", "test"]
    captions["scene"] = "farm"
    captions["caption"] = [f"Fields at {place}." for place in captions["place"]]
    captions.to_csv(folder / "captions.csv", index=False)
    return folder


@pytest.fixture(scope="module")
def pack(folder: Path) -> Pack:
    """Its training split, with the texts by hand alone."""
    return read_pack(folder, "train", SIZE, wordings=0)


def test_images_and_masks_are_those_that_a_segmenter_gets(pack: Pack, folder: Path) -> None:
    tiles = read_road_tiles(folder, "train")
    assert len(pack) == 2 * len(YEARS)
    np.testing.assert_array_equal(pack.rgb.transpose(0, 3, 1, 2), tiles.images)
    np.testing.assert_array_equal(pack.road, tiles.masks)
    assert pack.road.any(axis=(1, 2)).all()


def test_labels_of_other_splits_stay_out(pack: Pack) -> None:
    assert not (pack.areas == CLASSES.index("water")).any()
    assert all("c" not in text and "e" not in text.split() for t in pack.captions for text in t)


def test_land_cover_is_burned(pack: Pack) -> None:
    building = pack.areas[0] == CLASSES.index("building")
    assert building[: SIZE // 2, : SIZE // 2].all()
    assert building.sum() == (SIZE // 2) ** 2
    assert pack.has_areas.all()


def test_edges_are_those_of_the_image_and_those_of_the_map(pack: Pack) -> None:
    lines, soft, sketch = pack.map_edges[0]
    assert set(np.unique(lines)) <= {0, 255}
    # Beside the border of the building, away from the tile's own.
    assert soft[4, SIZE // 2 - 1 : SIZE // 2 + 1].min() > 150
    assert sketch[4, SIZE // 2 - 1 : SIZE // 2 + 1].max() < 100
    assert np.median(sketch) == 255
    for row, rgb in zip(pack.photo_edges, pack.rgb, strict=True):
        np.testing.assert_array_equal(row[1], (soft_edges(rgb) * 255).astype(np.uint8))
    assert pack.has_map.all()


def test_a_network_is_shown_every_image(folder: Path, pack: Pack) -> None:
    def look(rgb: NDArray[np.uint8], gsd_m: float | None) -> NDArray[np.uint8]:
        assert gsd_m == pytest.approx(GSD_M)
        return np.where(rgb[0] > 128, CLASSES.index("water"), CLASSES.index("road")).astype(
            np.uint8
        )

    shown = read_pack(folder, "train", SIZE, look=look)
    assert shown.has_seen.all()
    np.testing.assert_array_equal(shown.seen == CLASSES.index("water"), pack.rgb[..., 0] > 128)
    assert not pack.has_seen.any()
    seg = seen_seg(shown.seen[0], shown.road[0])
    np.testing.assert_array_equal(seg == CLASSES.index("road"), shown.road[0] > 0)


def test_vegetation_comes_from_the_near_infrared(pack: Pack) -> None:
    green = [bool(tile.any()) for tile in pack.vegetation]
    assert green == [False, False, True, False]
    assert pack.vegetation[2][:, : SIZE // 4].mean() > 0.9
    assert not pack.vegetation[2][:, SIZE // 4 :].any()


def test_captions_come_in_three_wordings(pack: Pack) -> None:
    assert pack.captions[0] == ("Fields at a.", "farm", "farm. Fields at a.")


def test_composed_texts_come_besides(folder: Path, pack: Pack) -> None:
    more = read_pack(folder, "train", SIZE)
    assert len(more.captions) == len(pack.captions)
    for texts, written in zip(more.captions, pack.captions, strict=True):
        composed = [text for text in texts if text not in written]
        assert texts[: len(written)] == written
        assert len(composed) >= 6
        assert len(texts) - len(composed) == round(len(composed) / 2)
    without_b = read_pack(folder, "train", SIZE, limit=2)
    assert without_b.captions == more.captions[:2]


def test_metadata_is_what_is_known(pack: Pack) -> None:
    row = dict(zip(FIELDS, pack.metadata[1].tolist(), strict=True))
    assert row["year"] == YEARS[1]
    assert row["gsd"] == pytest.approx(GSD_M)
    assert 40 < row["latitude"] < 41
    assert -125 < row["longitude"] < -123
    assert all(math.isnan(row[name]) for name in ("month", "day", "cloud_cover"))


def test_packs_are_joined(pack: Pack) -> None:
    both = pack + pack
    assert len(both) == 2 * len(pack)
    assert both.captions == pack.captions * 2
    np.testing.assert_array_equal(both.road[len(pack) :], pack.road)


def test_segmentation_has_roads_above_areas_above_plants() -> None:
    building, forest, road = (CLASSES.index(name) for name in ("building", "forest", "road"))
    areas = np.array([[building, building, 0, 0]], dtype=np.uint8)
    plants = np.array([[1, 1, 1, 0]], dtype=np.uint8)
    roads = np.array([[0, 1, 0, 0]], dtype=np.uint8)
    np.testing.assert_array_equal(compose_seg(areas, plants, roads), [[building, road, forest, 0]])


@pytest.fixture
def scans(tmp_path: Path) -> Path:
    """Images without georeference, with masks: 100 x 70 pixels, the left part of one is blank."""
    for name in ("images", "masks"):
        (tmp_path / name).mkdir()
    rng = np.random.default_rng(0)
    for name in ("p", "q"):
        image = rng.integers(0, 200, (70, 100, 3), dtype=np.uint8)
        if name == "q":
            image[:, :32] = 255
        mask = np.zeros((70, 100), dtype=np.uint8)
        mask[:, 10:20] = 255
        Image.fromarray(image).save(tmp_path / "images" / f"{name}.png")
        Image.fromarray(mask).save(tmp_path / "masks" / f"{name}.png")
    table = pd.DataFrame({"id": ["p", "q"], "split": "train"})
    table.to_csv(tmp_path / "index.csv", index=False)
    return tmp_path


def test_scans_are_cut_into_tiles_without_blanks(scans: Path) -> None:
    pack = read_pack(scans, "train", 32, gsd_m=1.0)
    assert len(pack) == 6 + 4
    assert [int(road.sum()) for road in pack.road[:4]] == [10 * 32, 0, 0, 10 * 32]
    assert not pack.has_areas.any()
    assert not pack.has_map.any()
    assert not pack.map_edges.any()
    assert pack.metadata[0, FIELDS.index("gsd")] == 1.0
    np.testing.assert_array_equal(pack.rgb, read_chips(scans, "train", 32))


@pytest.mark.parametrize(
    ("split", "size", "message"),
    [("val", 32, "no row with split='val'"), ("train", 128, "no 128x128 example")],
)
def test_nothing_to_read(scans: Path, split: str, size: int, message: str) -> None:
    with pytest.raises(InputError, match=message):
        read_pack(scans, split, size)


def test_a_mask_of_another_size_or_none_is_refused(scans: Path) -> None:
    (scans / "masks" / "p.png").rename(scans / "p.png")
    with pytest.raises(InputError, match=r"p\.png cannot be read"):
        read_pack(scans, "train", 32)
    with Image.open(scans / "p.png") as mask:
        mask.crop((0, 0, 50, 70)).save(scans / "masks" / "p.png")
    with pytest.raises(InputError, match="mask of p in"):
        read_pack(scans, "train", 32)


def test_tiles_of_another_size_are_refused(folder: Path) -> None:
    with pytest.raises(InputError, match="expected 256x256"):
        read_pack(folder, "train")


def test_a_folder_without_labels_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"neither roads\.geojson nor masks/"):
        read_pack(tmp_path, "train")
    with pytest.raises(InputError, match=r"no index\.csv"):
        read_index(tmp_path, "train")
    (tmp_path / "index.csv").write_text("id\n1\n")
    with pytest.raises(InputError, match="lacks the columns"):
        read_index(tmp_path, "train")


@pytest.mark.parametrize(
    "content", [b"", b"\xff\xfe\x00", b"id,split\na,b,c,d\ne,f,g,h,i\n", b"id,split,year\na,b,c\n"]
)
def test_an_index_that_cannot_be_read_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "index.csv").write_bytes(content)
    with pytest.raises(InputError, match="cannot be read"):
        read_index(tmp_path, "train")


def test_captions_without_a_column_are_refused(folder: Path) -> None:
    (folder / "captions.csv").rename(folder / "kept.csv")
    try:
        (folder / "captions.csv").write_text("place,caption\na,b\n")
        with pytest.raises(InputError, match=r"lacks the columns \['scene', 'split'\]"):
            read_pack(folder, "train", SIZE)
    finally:
        (folder / "kept.csv").replace(folder / "captions.csv")


def test_windows_are_whole() -> None:
    assert cut_windows(70, 100, 32) == [(r, c) for r in (0, 32) for c in (0, 32, 64)]
    assert cut_windows(31, 100, 32) == []
