"""Tiles with larger pixels than the model knows: made finer, and averaged."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from affine import Affine
from numpy.typing import NDArray
from painter import contents, write_roads
from pyproj import CRS
from toy import SIDE, toy_pipeline

from rsaug.conditions.stack import ControlStack
from rsaug.grid import Tile
from rsaug.options import SynthOptions
from rsaug.pipelines.generate import CRSDiffGenerator, load_generator
from rsaug.pipelines.loading import generator_for
from rsaug.pipelines.metadata import FIELDS
from rsaug.pipelines.rescaled import RescaledGenerator, rescaled
from rsaug.pipelines.seamless_tiles import SeamlessGenerator
from rsaug.pipelines.settings import Settings
from rsaug.requests import TileRequest
from rsaug.synthesis import make_plan, run

STEP = 16
"""What the sides of the toy model's images are multiples of; it knows pixels of 0.5 to 1 m."""


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("model")
    toy_pipeline().save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def plain(model: Path) -> CRSDiffGenerator:
    return load_generator(str(model), Settings(steps=2), device="cpu", tile_size=SIDE, workers=2)


def request(seed: int, gsd_m: float = 2.0, crs: int = 32611) -> TileRequest:
    pixel = gsd_m / CRS.from_epsg(crs).axis_info[0].unit_conversion_factor
    transform = Affine(pixel, 0, 380_000, 0, -pixel, 3_800_000)
    tile = Tile.from_transform(transform, (SIDE, SIDE), CRS.from_epsg(crs))
    road = np.zeros((SIDE, SIDE), dtype=np.uint8)
    road[20:24] = 1
    return TileRequest(tile, ControlStack.from_maps((SIDE, SIDE), road=road), 0, seed)


def twice(maps: NDArray[np.float32]) -> NDArray[np.float32]:
    return maps.repeat(2, axis=-2).repeat(2, axis=-1)


def test_an_image_is_that_of_the_model_averaged(plain: CRSDiffGenerator) -> None:
    asked = request(1)
    region = np.linspace(0, 1, SIDE * SIDE, dtype=np.float32).reshape(SIDE, SIDE)
    asked = replace(asked, regions={"road": region}, prompt="desert")
    generator = rescaled(plain, 2.0, SIDE)
    assert isinstance(generator, RescaledGenerator)
    assert (generator.side, generator.gsd_m) == (2 * SIDE, 1.0)
    finer = Tile.from_transform(
        asked.tile.transform @ Affine.scale(0.5), (2 * SIDE, 2 * SIDE), asked.tile.crs
    )
    controls = ControlStack(twice(asked.controls.maps), asked.controls.present)
    inner = replace(asked, tile=finer, controls=controls, regions={"road": twice(region)})
    large = plain.generate([inner])[0].astype(float)
    expected = halving(SIDE) @ large @ halving(SIDE).T
    [image] = generator.generate([asked])
    assert image.dtype == np.uint8
    assert np.abs(image - expected).max() <= 0.5 + 1e-3


def halving(side: int) -> NDArray[np.float64]:
    """(side, 2 side): each pixel from the four nearest, by their distance from its middle."""
    middles = 2 * (np.arange(side) + 0.5)
    distances = np.abs(np.arange(2 * side) + 0.5 - middles[:, None])
    weights = np.clip(1 - distances / 2, 0, None)
    return np.asarray(weights / weights.sum(axis=1, keepdims=True))


@pytest.mark.parametrize("crs", [32611, 2229], ids=["metres", "feet"])
@pytest.mark.parametrize("gsd_m", [1.3, 2.0, 3.9])
def test_what_is_made_is_the_same_ground_at_a_gsd_the_model_knows(
    plain: CRSDiffGenerator, gsd_m: float, crs: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = request(1, gsd_m, crs)
    generator = rescaled(plain, gsd_m, SIDE)
    assert isinstance(generator, RescaledGenerator)
    assert generator.side % STEP == 0
    seen: list[TileRequest] = []
    real = plain.generate

    def noted(requests: list[TileRequest]) -> list[NDArray[np.uint8]]:
        seen.extend(requests)
        return real(requests)

    monkeypatch.setattr(plain, "generate", noted)
    [image] = generator.generate([asked])
    assert image.shape == (3, SIDE, SIDE)
    [inner] = seen
    assert inner.tile.gsd_m == pytest.approx(1.0)
    assert inner.tile.lonlat == pytest.approx(asked.tile.lonlat)
    assert inner.tile.shape == inner.controls.maps.shape[1:] == (generator.side,) * 2
    # To half of what sides are multiples of.
    assert abs(generator.side * 1.0 - SIDE * gsd_m) <= STEP / 2
    known = plain.metadata(inner.tile)[FIELDS.index("gsd")].item()
    assert known == pytest.approx(1.0)


def test_maps_get_no_value_that_was_not_there(plain: CRSDiffGenerator) -> None:
    generator = rescaled(plain, 1.3, SIDE)
    assert isinstance(generator, RescaledGenerator)
    colours = np.random.default_rng(0).choice([0.0, 0.25, 1.0], (3, SIDE, SIDE)).astype("float32")
    asked = replace(request(0, 1.3), controls=ControlStack.from_maps((SIDE, SIDE), seg=colours))
    seg = generator._enlarged(asked).controls.slot("seg")
    assert {*np.unique(seg)} == {0.0, 0.25, 1.0}


@pytest.mark.parametrize("gsd_m", [0.3, 0.6, 1.0, 1.05, 4.1])
def test_it_is_the_same_generator_where_nothing_is_gained(
    plain: CRSDiffGenerator, gsd_m: float
) -> None:
    """Known, finer, nearly known (no larger image would be made), and far coarser."""
    assert rescaled(plain, gsd_m, SIDE) is plain


def test_a_model_that_was_never_told_the_gsd_is_left_alone(model: Path) -> None:
    generator = load_generator(str(model), device="cpu", tile_size=SIDE, workers=1)
    generator.pipe.metadata_embedding.register_to_config(ranges=[None] * len(FIELDS))
    assert rescaled(generator, 2.0, SIDE) is generator


def test_a_tile_is_the_same_alone_and_in_company(plain: CRSDiffGenerator) -> None:
    generator = rescaled(plain, 2.0, SIDE)
    requests = [request(seed) for seed in range(3)]
    together = generator.generate(requests)
    assert (together[0] != together[1]).any()
    for one, image in zip(requests, together, strict=True):
        np.testing.assert_array_equal(generator.generate([one])[0], image)


def test_it_says_what_it_does(plain: CRSDiffGenerator) -> None:
    generator = rescaled(plain, 2.0, SIDE)
    assert generator.describe()["rescaled"] == {"gsd_m": 1.0, "side_px": 2 * SIDE}
    assert "rescaled" not in plain.describe()
    [said] = generator.notes(2.0)
    assert "made at that, 128 x 128, and averaged to pixels of 2 m" in said
    assert generator.reach(request(0).tile) is None
    assert generator.sees("road") is plain.sees("road")


def test_a_run_is_rescaled_unless_it_is_seamless(model: Path, tmp_path: Path) -> None:
    roads = write_roads(tmp_path / "streets.gpkg")
    asked = SynthOptions(
        str(roads), gsd=2.0, tile_size=SIDE, crs="EPSG:32635", model=str(model), steps=1, limit=2
    )
    folders = []
    for name, workers in (("one", 1), ("two", 2)):
        out = tmp_path / name
        generator = generator_for(replace(asked, out=str(out)), workers)
        assert isinstance(generator, RescaledGenerator)
        run(make_plan(replace(asked, out=str(out))), generator)
        folders.append(contents(out))
    images = {name: data for name, data in folders[0].items() if name.startswith("images/")}
    assert len(images) == 2
    assert images == {name: folders[1][name] for name in images}
    seamless = replace(asked, seamless=True, overlap=STEP, steps=3)
    assert isinstance(generator_for(seamless, 1), SeamlessGenerator)
    made_by = json.loads(folders[0]["run.json"])["generator"]
    assert made_by["rescaled"] == {"gsd_m": 1.0, "side_px": 2 * SIDE}
