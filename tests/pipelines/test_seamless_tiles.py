"""Tiles without seams: the same alone and in company, and on any number of cores."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pytest
from numpy.typing import NDArray
from painter import contents, write_roads
from shapely.geometry import box
from test_synthesis import options
from toy import toy_pipeline

from rsaug.conditions.stack import ControlStack
from rsaug.errors import InputError
from rsaug.grid import TileGrid, parse_crs
from rsaug.pipelines.generate import load_generator
from rsaug.pipelines.layout import Box
from rsaug.pipelines.seamless_tiles import SeamlessGenerator
from rsaug.pipelines.settings import Settings
from rsaug.progress import RunReport
from rsaug.requests import TileConditions, TileRequest
from rsaug.synthesis import make_plan, run

GRID = TileGrid(parse_crs(32611), 0.6, 64)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("model")
    pipe = toy_pipeline()
    pipe.register_to_config(grain=6.0)
    pipe.save_pretrained(folder)
    return folder


def seamless(model: Path, workers: int = 1, **settings: Any) -> SeamlessGenerator:
    asked = Settings(**{"steps": 3, **settings})
    generator = load_generator(str(model), asked, device="cpu", tile_size=64, workers=workers)
    return SeamlessGenerator(generator, overlap_px=16)


class Ground:
    """Roads of 12 pixels, a street every 50 rows; changed tiles have none."""

    def __init__(self, *changed: tuple[int, int], regions: Mapping[str, float] = {}) -> None:
        self.changed, self.regions = changed, regions
        self.asked: set[tuple[int, int]] = set()

    def at(self, row: int, col: int) -> TileConditions:
        """What a tile is made from."""
        self.asked.add((row, col))
        rows = np.arange(64 * row, 64 * row + 64)
        mask = np.repeat((rows % 50 < 12)[:, None], 64, 1).astype(np.uint8)
        if (row, col) in self.changed:
            mask[:] = 0
        stack = ControlStack.from_maps((64, 64), road=mask)
        regions = {n: np.full((64, 64), v, np.float32) for n, v in self.regions.items()}
        return TileConditions(GRID.tile(row, col), stack, regions)


def request(ground: Ground, row: int, col: int, seed: int = 3) -> TileRequest:
    here = ground.at(row, col)
    return TileRequest(here.tile, here.controls, 0, seed, here.regions, around=ground)


def test_a_tile_is_the_same_alone_in_company_and_on_any_number_of_cores(model: Path) -> None:
    places = [(-2, -1), (-2, 0), (-1, -1)]
    ground = Ground()
    together = seamless(model, 2).generate([request(ground, *place) for place in places])
    for place, image in zip(places, together, strict=True):
        (alone,) = seamless(model).generate([request(Ground(), *place)])
        np.testing.assert_array_equal(alone, image)
        assert image.dtype == np.uint8
        assert image.shape == (3, 64, 64)


def test_what_is_out_of_reach_changes_nothing_and_what_is_within_does(model: Path) -> None:
    generator = seamless(model)
    rows, cols = generator.reach(GRID.tile(0, 0))
    ground = Ground()
    (image,) = generator.generate([request(ground, 0, 0)])
    assert ground.asked <= {(row, col) for row in rows for col in cols}
    # The corners of the reach are asked for, so it is no larger than it has to be.
    assert {(rows[0], cols[0]), (rows[-1], cols[-1])} <= ground.asked
    outside = Ground((rows[0] - 1, 0), (0, cols[-1] + 1))
    (same,) = generator.generate([request(outside, 0, 0)])
    np.testing.assert_array_equal(same, image)
    (other,) = generator.generate([request(Ground((0, 1)), 0, 0)])
    assert (other != image).any()


def test_seeds_texts_and_regions_matter(model: Path) -> None:
    generator = seamless(model)
    (image,) = generator.generate([request(Ground(), 0, 0)])
    (seeded,) = generator.generate([request(Ground(), 0, 0, seed=4)])
    assert (seeded != image).mean() > 0.5
    (faint,) = generator.generate([request(Ground(regions={"road": 0.0}), 0, 0)])
    assert (faint != image).any()
    (worded,) = seamless(model, prompt="desert").generate([request(Ground(), 0, 0)])
    assert (worded != image).any()


def test_a_request_without_surroundings_is_refused(model: Path) -> None:
    here = Ground().at(0, 0)
    with pytest.raises(ValueError, match="needs to know what is around"):
        seamless(model).generate([TileRequest(here.tile, here.controls, 0, 1)])


def test_what_cannot_be_without_seams_is_refused(model: Path) -> None:
    generator = load_generator(str(model), Settings(reuse=2), device="cpu", tile_size=64)
    with pytest.raises(InputError, match="--reuse"):
        SeamlessGenerator(generator)
    plain = load_generator(str(model), device="cpu", tile_size=64)
    with pytest.raises(InputError, match="overlap by 32"):
        SeamlessGenerator(plain, overlap_px=48)


def make(roads: Path, out: Path, generator: SeamlessGenerator, **more: Any) -> RunReport:
    asked = options(roads, out, tile_size=64, seamless=True, **more)
    return run(make_plan(asked), generator)


def images(folder: Path) -> dict[str, bytes]:
    return contents(folder / "images")


def test_a_run_is_the_same_whole_and_in_parts(model: Path, tmp_path: Path) -> None:
    roads = write_roads(tmp_path / "streets.gpkg", rows=1, cols=1)
    report = make(roads, tmp_path / "whole", seamless(model, 2), mosaic=True)
    # 64 pixels at 0.5 m are 32 m, and a street of 54 m lies in two tiles.
    assert report.progress.made >= 2
    assert (tmp_path / "whole/mosaic.tif").exists()
    make(roads, tmp_path / "part", seamless(model), limit=1)
    part = images(tmp_path / "part")
    assert part == {name: images(tmp_path / "whole")[name] for name in part}
    again = make(roads, tmp_path / "whole", seamless(model))
    assert again.progress.made == 0
    assert seamless(model).describe()["seamless"] == {
        "window": 64,
        "overlap": 16,
        "phases": 3,
        "halo": 64,
    }


def test_all_of_the_area_is_made(model: Path, tmp_path: Path) -> None:
    roads = write_roads(tmp_path / "streets.gpkg", rows=1, cols=2)
    asked = options(roads, tmp_path / "out", tile_size=64)
    (tile,) = make_plan(asked).tiles[:1]
    left, bottom, right, top = (round(edge) for edge in tile.bounds)
    area = gpd.GeoDataFrame(geometry=[box(left, bottom - 63, right, top)], crs=32635)
    area.to_file(tmp_path / "area.gpkg", driver="GPKG")
    asked = replace(asked, aoi=str(tmp_path / "area.gpkg"))
    # The street reaches into two rows of tiles.
    assert len(make_plan(asked).tiles) == 2
    assert len(make_plan(replace(asked, seamless=True)).tiles) == 3


def worst(a: NDArray[np.uint8], b: NDArray[np.uint8]) -> int:
    return int(np.abs(a.astype(int) - b).max())


def test_neighbours_continue_each_other(model: Path) -> None:
    """Decoded with a halo, a tile's edge is that of a tile shifted over it."""
    generator = seamless(model, grain=0.0)
    ground = Ground()
    left, right = generator.generate([request(ground, 0, 0), request(ground, 0, 1)])
    field = generator._field(3, ground, (64, 64))
    across = field.image(Box(0, 32, 64, 96))
    pixels = ((across / 2 + 0.5) * 255).round().numpy().astype(np.uint8)
    assert worst(pixels[:, :, :32], left[:, :, 32:]) <= 1
    assert worst(pixels[:, :, 32:], right[:, :, :32]) <= 1
