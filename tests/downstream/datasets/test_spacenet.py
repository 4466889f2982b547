"""SpaceNet's chips, centrelines and percentiles."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import rasterio
from affine import Affine
from roaddata import (
    SPACENET_CORNER,
    SPACENET_DEG,
    SPACENET_SIDE,
    make_spacenet,
    write_geojson,
    write_raster,
)

from rsaug.downstream.datasets import DataNotFound, SpaceNetRoads
from rsaug.downstream.datasets.spacenet import read_labels
from rsaug.errors import InputError

AREA = Path("SN3_roads") / "train" / "AOI_2_Vegas"
PIXEL_M = SPACENET_DEG * 111_320 * np.cos(np.radians(SPACENET_CORNER[1]))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three chips of 16 bits, each with a road of two lanes from north to south."""
    return make_spacenet(tmp_path_factory.mktemp("made") / "spacenet")


def every(folder: Path, **options: object) -> SpaceNetRoads:
    return SpaceNetRoads(folder, val=0, test=0, **options)  # type: ignore[arg-type]


@pytest.mark.parametrize("width_m", [None, 4.0], ids=["by the rules", "constant"])
def test_roads_are_as_wide_as_asked(folder: Path, width_m: float | None) -> None:
    chips = every(folder, width_m=width_m).chips()
    wide_m = 7.0 if width_m is None else width_m  # two lanes of 3.5 m
    for k in range(3):
        mask = chips[k]["mask"]
        assert float(mask.float().mean()) * SPACENET_SIDE * PIXEL_M == pytest.approx(
            wide_m, abs=PIXEL_M
        )
        assert (mask == mask[:1]).all()


def test_sixteen_bits_become_eight(folder: Path) -> None:
    tiles = every(folder, percentiles=(10, 90))
    image = tiles.chips()[0]["image"].numpy()
    with rasterio.open(tiles.tiles[0].image) as src:
        values = src.read().astype(np.float64)
    for band, raw in zip(image, values, strict=True):
        low, high = np.percentile(raw[raw > 0], (10, 90))
        expected = np.clip(255 * (raw - low) / (high - low), 0, 255)
        assert np.abs(band - expected).max() <= 0.5
        assert (band[:, -4:] == 0).all()
    part = tiles.chips(40)[3]["image"].numpy()
    np.testing.assert_array_equal(part, image[:, 40:, 40:])


def test_eight_bits_stay(tmp_path: Path) -> None:
    tiles = every(make_spacenet(tmp_path / "roads", chips=1, dtype="uint8"))
    with rasterio.open(tiles.tiles[0].image) as src:
        np.testing.assert_array_equal(tiles.chips()[0]["image"].numpy(), src.read())


def test_a_query_is_answered_in_degrees(folder: Path) -> None:
    tiles = every(folder)
    left, bottom, right, top = tiles.tiles[1].grid.bounds  # type: ignore[union-attr]
    sample = tiles[left:right, bottom:top, tiles.bounds[2]]
    whole = tiles.chips()[1]
    assert (sample["image"] == whole["image"]).all()
    assert (sample["mask"] == whole["mask"]).all()


@pytest.mark.parametrize("root", [AREA, AREA.parent, Path("SN3_roads"), Path()])
def test_any_folder_above_will_do(folder: Path, root: Path) -> None:
    assert len(every(folder / root)) == 3


def test_older_layout(folder: Path, tmp_path: Path) -> None:
    area = tmp_path / "AOI_3_Paris_Roads_Train"
    (area / "geojson" / "spacenetroads").mkdir(parents=True)
    (area / "RGB-PanSharpen").mkdir()
    left, top = SPACENET_CORNER
    values = np.full((3, 20, 20), 500, dtype=np.uint16)
    where = Affine(SPACENET_DEG, 0, left, 0, -SPACENET_DEG, top)
    write_raster(
        area / "RGB-PanSharpen" / "RGB-PanSharpen_AOI_3_Paris_img7.tif", values, where, 4326
    )
    labels = area / "geojson" / "spacenetroads" / "spacenetroads_AOI_3_Paris_img7.geojson"
    write_geojson(labels, [[left, top - 1e-4], [left + 1e-3, top - 1e-4]], {"lane_numbe": "1"})
    tiles = every(tmp_path)
    assert [tile.name for tile in tiles.tiles] == ["AOI_3_Paris_img7"]
    assert read_labels(labels)["lanes"].tolist() == ["1"]


def test_places_are_in_one_split(folder: Path) -> None:
    every_place = {tile.place for tile in every(folder).tiles}
    assert len(every_place) == 3
    train, test = (SpaceNetRoads(folder, split, val=0, test=0.5) for split in ("train", "test"))
    places = [{tile.place for tile in part.tiles} for part in (train, test)]
    assert places[0] | places[1] == every_place
    assert not places[0] & places[1]
    with pytest.raises(DataNotFound, match=r"None of the 3 labelled chips .* the split 'val'"):
        SpaceNetRoads(folder, "val", val=0, test=0.5)


def test_chips_without_labels_are_counted(tmp_path: Path) -> None:
    folder = make_spacenet(tmp_path / "roads")
    labels = sorted((folder / AREA / "geojson_roads").iterdir())
    labels[0].unlink()
    labels[1].write_text("", encoding="utf-8")
    tiles = every(folder)
    assert (len(tiles), tiles.unlabelled) == (2, 1)
    assert tiles.chips().holds_road().tolist() == [False, True]
    whole = labels[2].read_text(encoding="utf-8")
    nowhere = whole.replace("{", '{"crs": {"properties": {"name": "EPSG:0"}}, ', 1)
    for broken in (whole[:20], nowhere, "[]", '{"features": [1]}'):
        labels[2].write_text(broken, encoding="utf-8")
        with pytest.raises(InputError, match="no GeoJSON of roads"):
            every(folder).chips()[1]
    for path in labels[1:]:
        path.unlink()
    with pytest.raises(DataNotFound, match="3 chips have no labels"):
        every(folder)


def test_kinds_of_road_are_osms(tmp_path: Path) -> None:
    path = tmp_path / "roads.geojson"
    for number, word in (("1", "motorway"), ("7", "track"), ("9", "road"), ("?", "road")):
        write_geojson(path, [[0, 0], [1, 1]], {"road_type": number})
        assert read_labels(path)["highway"].tolist() == [word]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"aois": ["AOI_5_Khartoum"]}, "has no AOI_5_Khartoum; it has AOI_2_Vegas"),
        ({"percentiles": (98, 2)}, "the lower first"),
        ({"split": "all"}, "no split 'all'"),
        ({"width_m": -1}, "positive number of metres"),
    ],
)
def test_other_options_are_refused(folder: Path, options: dict[str, object], said: str) -> None:
    with pytest.raises(InputError, match=said):
        every(folder, **options)


def test_what_goes_where_is_said(tmp_path: Path) -> None:
    with pytest.raises(DataNotFound, match="SN3_roads_train_AOI"):
        SpaceNetRoads(tmp_path)
    with pytest.raises(DataNotFound, match="is no folder"):
        SpaceNetRoads(tmp_path / "nothing")
