"""Queries on tiles: on their pixels, between them, in another CRS, where there is nothing."""

from __future__ import annotations

from pathlib import Path

import matplotlib
import numpy as np
import pandas as pd
import pytest
import torch
from affine import Affine
from pyproj import CRS
from roaddata import write_raster

from rsaug.downstream.datasets import RoadChips
from rsaug.downstream.datasets.contract import EVER, PixelGrid, Query
from rsaug.downstream.datasets.geotiles import GeoRoadTiles
from rsaug.downstream.datasets.tiles import RoadTile
from rsaug.errors import InputError

matplotlib.use("agg")

UTM = CRS.from_epsg(32635)
SIDE, LEFT, TOP = 40, 400_000.0, 6_700_000.0
ALWAYS = slice(*EVER, 1)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two tiles side by side, the second half a tile to the east, and their masks."""
    root = tmp_path_factory.mktemp("tiles")
    for number in range(2):
        rng = np.random.default_rng(number)
        image = rng.integers(1, 255, (3, SIDE, SIDE), dtype=np.uint8)
        write_raster(root / f"image{number}.tif", image, transform(number), 32635)
        mask = np.zeros((1, SIDE, SIDE), dtype=np.uint8)
        mask[0, 10 + number : 16] = 255
        write_raster(root / f"mask{number}.tif", mask, transform(number), 32635)
    return root


def transform(number: int) -> Affine:
    return Affine(1, 0, LEFT + number * SIDE / 2, 0, -1, TOP)


def tile(folder: Path, number: int) -> RoadTile:
    return RoadTile(
        name=f"t{number}",
        place=f"p{number}",
        image=folder / f"image{number}.tif",
        shape=(SIDE, SIDE),
        grid=PixelGrid(UTM, transform(number), (SIDE, SIDE)),
        mask=folder / f"mask{number}.tif",
    )


def dataset(folder: Path, *numbers: int, crs: CRS | None = None) -> GeoRoadTiles:
    tiles = [tile(folder, number) for number in numbers or (0, 1)]
    return GeoRoadTiles(tiles, [EVER] * len(tiles), crs)


def query(left: float, top: float, cols: int, rows: int, step: float = 1.0) -> Query:
    x = slice(LEFT + left, LEFT + left + cols * step, step)
    return x, slice(TOP - top - rows * step, TOP - top, step), ALWAYS


def test_part_of_a_tile_is_its_pixels(folder: Path) -> None:
    tiles = dataset(folder, 0)
    sample, whole = tiles[query(5, 7, 12, 20)], tiles.chips()[0]
    assert torch.equal(sample["image"], whole["image"][:, 7:27, 5:17])
    assert torch.equal(sample["mask"], whole["mask"][7:27, 5:17])


def test_first_tile_has_what_overlaps(folder: Path) -> None:
    sample, chips = dataset(folder)[query(0, 0, 60, SIDE)], dataset(folder).chips()
    assert torch.equal(sample["image"][:, :, :40], chips[0]["image"])
    assert torch.equal(sample["image"][:, :, 40:], chips[1]["image"][:, :, 20:])
    assert torch.equal(sample["mask"][:, 40:], chips[1]["mask"][:, 20:])


def test_there_is_no_road_where_there_is_no_tile(folder: Path) -> None:
    sample = dataset(folder, 0)[query(-10, -10, 20, 30)]
    assert sample["image"][:, :10].abs().sum() == sample["image"][:, :, :10].abs().sum() == 0
    assert sample["mask"][:, :10].sum() == 0
    assert sample["mask"][20:26, 10:].all()


def test_coarser_pixels_are_warped(folder: Path) -> None:
    tiles = dataset(folder, 0)
    sample, whole = tiles[query(0, 0, 20, 20, step=2.0)], tiles.chips()[0]
    assert sample["mask"].shape == (20, 20)
    assert torch.equal(sample["mask"], whole["mask"][::2, ::2])
    assert float(sample["image"].mean()) == pytest.approx(float(whole["image"].mean()), rel=0.05)


def test_another_crs_turns_the_tile(folder: Path) -> None:
    there = dataset(folder, 0, crs=CRS.from_epsg(32634))
    x, y, t = there.bounds
    sample = there[x.start : x.stop, y.start : y.stop, t]
    area = float((sample["image"].sum(0) > 0).sum()) * x.step * y.step
    assert area == pytest.approx(SIDE * SIDE, rel=0.06)
    assert float(sample["mask"].sum()) * x.step * y.step == pytest.approx(6 * SIDE, rel=0.15)


def test_time_chooses_among_tiles(folder: Path) -> None:
    years = [(pd.Timestamp(year, 1, 1), pd.Timestamp(year, 12, 31)) for year in (2016, 2018)]
    tiles = GeoRoadTiles([tile(folder, 0), tile(folder, 1)], years)
    when = slice(pd.Timestamp(2018, 3, 1), pd.Timestamp(2018, 4, 1))
    sample = tiles[LEFT + 20 : LEFT + 40, TOP - SIDE : TOP, when]
    assert torch.equal(sample["image"], tiles.chips()[1]["image"][:, :, :20])
    with pytest.raises(IndexError, match="not found in index"):
        tiles[:, :, slice(pd.Timestamp(2020, 1, 1), pd.Timestamp(2021, 1, 1))]


def test_nothing_is_there(folder: Path) -> None:
    with pytest.raises(IndexError, match="not found in index"):
        dataset(folder, 0)[query(500, 0, 10, 10)]


def test_union_has_both(folder: Path) -> None:
    union = dataset(folder, 0) | dataset(folder, 1)
    sample, chips = union[query(0, 0, 60, SIDE)], dataset(folder).chips()
    assert torch.equal(sample["image"][:, :, :20], chips[0]["image"][:, :, :20])
    assert torch.equal(sample["image"][:, :, 40:], chips[1]["image"][:, :, 20:])


def test_transforms_see_each_sample(folder: Path) -> None:
    tiles = GeoRoadTiles(
        [tile(folder, 0)], [EVER], transforms=lambda sample: {**sample, "seen": True}
    )
    assert tiles[query(0, 0, 4, 4)]["seen"]
    assert tiles.chips()[0]["seen"]


def test_a_mask_of_another_size_is_said(folder: Path, tmp_path: Path) -> None:
    write_raster(tmp_path / "mask.tif", np.zeros((1, 20, SIDE), np.uint8), transform(0), 32635)
    odd = RoadTile("t", "p", folder / "image0.tif", (SIDE, SIDE), mask=tmp_path / "mask.tif")
    tiles = dataset(folder, 0)
    with pytest.raises(InputError, match="has 20 x 40 pixels, 40 x 40 were expected"):
        tiles.read_mask(odd)


def test_tiles_without_a_place_are_refused(folder: Path) -> None:
    with pytest.raises(InputError, match="tiles that have one"):
        GeoRoadTiles([RoadTile("t", "p", folder / "image0.tif", (SIDE, SIDE))], [EVER])


@pytest.mark.parametrize("panels", [1, 2, 3])
def test_plot_shows_what_there_is(folder: Path, panels: int) -> None:
    tiles = dataset(folder, 0)
    sample = tiles.chips()[0] | {"prediction": torch.ones(SIDE, SIDE)}
    names = ("image", "mask", "prediction")[:panels]
    figure = tiles.plot({name: sample[name] for name in names}, suptitle="A tile")
    assert [axis.get_title() for axis in figure.axes] == [name.capitalize() for name in names]
    matplotlib.pyplot.close(figure)
    with pytest.raises(InputError, match="nothing to plot"):
        RoadChips.plot({"crs": None})
