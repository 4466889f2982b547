"""Splits that have nothing in common: planted leaks are found, neighbours are none."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import rasterio
import shapely
from affine import Affine
from hypothesis import given
from hypothesis import strategies as st
from pyproj import CRS, Transformer
from tilefolder import SIZE, make_tile_folder

from rsaug.errors import InputError
from rsaug.grid import Tile
from rsaug.pipelines.train.disjoint import (
    Footprint,
    check_disjoint,
    footprints,
    overlapping,
    without_common,
)

UTM = CRS(32633)


def image(
    name: str, split: str, x: float, y: float, *, side: int = 100, crs: CRS = UTM
) -> Footprint:
    tile = Tile.from_transform(Affine(0.5, 0, x, 0, -0.5, y), (side, side), crs)
    return Footprint(Path("folder"), name, split, None, name.encode(), tile)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tile_folder(tmp_path_factory.mktemp("made") / "tiles")


@pytest.fixture
def tiles(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made, tmp_path / "tiles"))


def test_neighbours_have_nothing_in_common(tiles: Path) -> None:
    """The places of the small folder touch each other."""
    images = footprints([tiles])
    assert len(images) == 10
    check_disjoint(images)


def test_a_place_in_two_splits_is_found(tiles: Path) -> None:
    index = pd.read_csv(tiles / "index.csv")
    index.loc[index["id"] == "b_2020", "split"] = "val"
    index.to_csv(tiles / "index.csv", index=False)
    with pytest.raises(InputError, match=r"1 places are .*: b \(train and val\)"):
        check_disjoint(footprints([tiles]))


def test_ground_in_two_splits_is_found(tiles: Path) -> None:
    """One pixel of a val image lies on a training image; also on an image of the test split."""
    for name, other in (("c_2018", "b"), ("d_2020", "e")):
        path = tiles / "rgb" / f"{name}.tif"
        with rasterio.open(path, "r+") as src:
            before = src.transform
            shift = -0.6 if other == "b" else 0.6
            src.transform = Affine.translation(shift, 0) @ before
        pairs = "b_2018|b_2020" if other == "b" else "e_2018|e_2020"
        with pytest.raises(InputError, match=rf"overlap on the ground: .*({pairs})"):
            check_disjoint(footprints([tiles]))
        with rasterio.open(path, "r+") as src:
            src.transform = before
    check_disjoint(footprints([tiles]))


def test_pixels_in_two_splits_are_found(tiles: Path) -> None:
    """A training image has been copied to a test place, keeping the place's georeference."""
    with rasterio.open(tiles / "rgb" / "a_2018.tif") as src:
        pixels = src.read()
    with rasterio.open(tiles / "rgb" / "e_2020.tif", "r+") as dst:
        dst.write(pixels)
    message = "same pixels: tiles/a_2018 (train) and tiles/e_2020 (test)"
    with pytest.raises(InputError, match=re.escape(message)):
        check_disjoint(footprints([tiles]))
    for name in ("a_2018", "e_2020"):
        with rasterio.open(tiles / "rgb" / f"{name}.tif", "r+") as dst:
            dst.write(np.full((3, SIZE, SIZE), 255, dtype=np.uint8))
    check_disjoint(footprints([tiles]))


def test_what_is_in_common_is_left_out_of_the_first_split() -> None:
    images = [
        image("a", "train", 5e5, 5e6),
        image("b", "train", 5e5 + 50, 5e6),
        image("c", "val", 5e5 + 25, 5e6 - 49),
        image("d", "test", 5e5 + 25, 5e6 - 98),
        image("e", "val", 6e5, 5e6),
    ]
    stay, gone = without_common(images, ("train", "val"))
    assert [each.image for each in gone] == ["a", "b", "c"]
    check_disjoint(stay)
    assert [each.image for each in stay] == ["d", "e"]


def test_leaks_between_folders_are_found(tiles: Path, tmp_path: Path) -> None:
    other = Path(shutil.copytree(tiles, tmp_path / "other"))
    check_disjoint(footprints([tiles, other]))
    index = pd.read_csv(other / "index.csv")
    index["split"] = index["split"].map({"train": "val", "val": "train", "test": "test"})
    index.to_csv(other / "index.csv", index=False)
    with pytest.raises(InputError, match=r"8 pairs .* same pixels.* and 3 more"):
        check_disjoint(footprints([tiles, other]))


def test_a_row_given_twice_is_refused(tiles: Path) -> None:
    index = pd.read_csv(tiles / "index.csv")
    pd.concat([index, index[:1]]).to_csv(tiles / "index.csv", index=False)
    with pytest.raises(InputError, match="more than one row"):
        footprints([tiles])


@given(
    st.lists(
        st.tuples(st.integers(0, 30), st.integers(0, 30), st.integers(1, 12), st.booleans()),
        max_size=12,
    )
)
def test_overlap_is_that_of_the_pixels(boxes: list[tuple[int, int, int, bool]]) -> None:
    """Against counting pixels of a common grid."""
    images, ground = [], []
    for nth, (col, row, side, train) in enumerate(boxes):
        split = "train" if train else "val"
        x, y = 5e5 + col * 0.5, 5e6 - row * 0.5
        images.append(image(str(nth), split, x, y, side=side))
        canvas = np.zeros((50, 50), dtype=bool)
        canvas[row : row + side, col : col + side] = True
        ground.append(canvas)
    expected = {
        (a, b)
        for b in range(len(boxes))
        for a in range(b)
        if images[a].split != images[b].split and (ground[a] & ground[b]).any()
    }
    found = {(int(a.image), int(b.image)) for a, b in overlapping(images)}
    assert found == expected


@pytest.mark.parametrize("offset_m", [-60, -49, 0, 40, 49, 60])
def test_overlap_in_two_zones(offset_m: float) -> None:
    """Where the zones meet, against the intersection in longitude and latitude."""
    here = image("a", "train", 766_000, 4_650_000)
    neighbour = CRS(32634)
    move = Transformer.from_crs(UTM, neighbour, always_xy=True)
    x, y = move.transform(766_000, 4_650_000)
    there = image("b", "val", x + offset_m, y, crs=neighbour)
    corners = []
    for each in (here, there):
        assert each.tile is not None
        to_world = Transformer.from_crs(each.tile.crs, 4326, always_xy=True)
        outline = shapely.get_coordinates(shapely.segmentize(each.tile.polygon, 1))
        corners.append(shapely.Polygon(np.column_stack(to_world.transform(*outline.T))))
    meet = corners[0].intersection(corners[1]).area > 0.001 * corners[0].area
    assert bool(overlapping([here, there])) == meet
    assert (abs(offset_m) < 50) == meet or abs(offset_m) == 49
