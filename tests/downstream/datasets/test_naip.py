"""NAIP tiles: what the package carries, and what a user has to bring."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from pyproj import CRS
from roaddata import make_naip, some_naip_tiles

from rsaug.downstream.datasets import DataNotFound, NAIPRoads
from rsaug.downstream.datasets.naip import naip_roads, naip_tiles
from rsaug.downstream.roadtiles import read_road_tiles
from rsaug.errors import InputError


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Noise in place of the imagery of two places to train on and two to validate on."""
    return make_naip(tmp_path_factory.mktemp("made") / "naip")


def test_package_carries_what_the_docs_say() -> None:
    tiles, roads = naip_tiles(), naip_roads()
    assert len(tiles) == 1375
    places = tiles.drop_duplicates("place").groupby("split").size()
    assert places.to_dict() == {"train": 401, "val": 47, "test": 64}
    assert tiles.groupby("place")["split"].nunique().max() == 1
    assert set(roads["place"]) <= set(tiles["place"])
    lines = roads[roads["highway"].notna()]
    assert len(lines) == 1643
    assert lines.to_crs(6414).length.sum() / 1000 == pytest.approx(182, abs=1)


def test_places_have_the_years_of_the_imagery(folder: Path) -> None:
    every = NAIPRoads(folder, allow_missing=True)
    rows = some_naip_tiles(2, ("train",))
    assert sorted(tile.name for tile in every.tiles) == sorted(row.id for row in rows)
    assert every.missing == 1081 - len(rows)
    own = NAIPRoads(folder, years="image", places=sorted({row.place for row in rows}))
    assert len(own) == 2
    years = {row.id: row.year == row.image_year for row in rows}
    assert all(years[tile.name] for tile in own.tiles)


def test_each_tile_is_read_in_its_own_zone(folder: Path) -> None:
    naip = NAIPRoads(folder, "val", allow_missing=True)
    chips = naip.chips()
    for tile, row in zip(naip.tiles, some_naip_tiles(2, ("val",)), strict=True):
        assert tile.grid is not None
        assert tile.grid.crs == CRS.from_epsg(row.epsg)
    assert chips[0]["image"].shape == (3, 256, 256)
    assert set(chips[0]["mask"].unique().tolist()) <= {0, 1}
    quarters = naip.chips(128)
    assert (quarters[3]["mask"] == chips[0]["mask"][128:, 128:]).all()


def test_a_query_is_burned_where_it_lies(folder: Path) -> None:
    naip = NAIPRoads(folder, "val", allow_missing=True)
    x, y = (slice(*edges) for edges in np.reshape(naip.index.geometry.iloc[0].bounds, (2, 2)).T)
    when = naip.index.index[0]
    sample = naip[x, y, slice(when.left, when.right)]
    assert (sample["mask"] == naip.chips()[0]["mask"]).all()


def test_a_tile_of_another_place_is_said(folder: Path, tmp_path: Path) -> None:
    first, second, *_ = sorted((folder / "images").iterdir())
    (tmp_path / second.name).write_bytes(first.read_bytes())
    (tmp_path / first.name).write_bytes(first.read_bytes())
    chips = NAIPRoads(tmp_path, allow_missing=True).chips()
    assert chips[chips.names.index(first.stem)]["image"].shape == (3, 256, 256)
    with pytest.raises(InputError, match="another tile, or in another CRS"):
        chips[chips.names.index(second.stem)]


def test_missing_tiles_are_said(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(DataNotFound, match=r"tiles are not in .*allow_missing=True"):
        NAIPRoads(folder)
    with pytest.raises(DataNotFound, match=r"holds none of the 1081 tiles\. .* images/<id>\.tif"):
        NAIPRoads(tmp_path)
    with pytest.raises(DataNotFound, match="jonathanventura/urban-tree-detection-data"):
        NAIPRoads(tmp_path / "nothing")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"split": "all"}, "There is no split 'all'"),
        ({"years": "last"}, "'all' or 'image'"),
        ({"places": ["atlantis_1"]}, "'atlantis_1' for one; places of another split"),
    ],
)
def test_other_options_are_refused(folder: Path, options: dict[str, str], said: str) -> None:
    with pytest.raises(InputError, match=said):
        NAIPRoads(folder, **options)  # type: ignore[arg-type]


def test_masks_are_those_of_the_tile_folder(data_dir: Path) -> None:
    folder = data_dir / "naip-roads"
    if not folder.is_dir():
        pytest.skip("the real tiles are not there; set RSAUG_DATA to the folder above naip-roads")
    tiles = read_road_tiles(folder, "val", image_year_only=True)
    naip = NAIPRoads(folder, "val", years="image")
    assert [tile.place for tile in naip.tiles] == tiles.places.tolist()
    for tile, mask, image in zip(naip.tiles, tiles.masks, tiles.images, strict=True):
        np.testing.assert_array_equal(naip.read_mask(tile), mask)
        np.testing.assert_array_equal(naip.read_image(tile), image)
