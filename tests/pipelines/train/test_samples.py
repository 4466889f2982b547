"""Examples from samples of torchgeo's kind: a real dataset of it, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import torch
from affine import Affine

from rsaug.conditions.landcover import CLASSES
from rsaug.errors import InputError
from rsaug.pipelines.metadata import FIELDS
from rsaug.pipelines.train.samples import pack_of_samples

SIDE, GSD_M = 64, 0.5


def sample(size: int = SIDE, **changes: Any) -> dict[str, Any]:
    rng = torch.Generator().manual_seed(size)
    image = torch.randint(1, 200, (4, size, size), generator=rng).float()
    mask = torch.zeros(size, size, dtype=torch.long)
    mask[: size // 2] = 2
    return {"image": image, "mask": mask, **changes}


@pytest.fixture(scope="module")
def rasters(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An image of 128 x 128 pixels of 14 June 2019 and its mask, road on the diagonal."""
    folder = tmp_path_factory.mktemp("rasters")
    rng = np.random.default_rng(0)
    rgb = rng.integers(1, 200, (3, 128, 128), dtype=np.uint8)
    mask = np.eye(128, dtype=np.uint8)[None]
    for name, values in (("image_20190614.tif", rgb), ("mask_20190614.tif", mask)):
        with rasterio.open(
            folder / name,
            "w",
            driver="GTiff",
            width=128,
            height=128,
            count=len(values),
            dtype="uint8",
            crs="EPSG:32633",
            transform=Affine(GSD_M, 0, 500_000, 0, -GSD_M, 5_000_000),
        ) as dst:
            dst.write(values)
    return folder


# rasterio multiplies transforms in a way that affine will deprecate.
@pytest.mark.filterwarnings("ignore:Use `@` matmul:PendingDeprecationWarning")
def test_a_torchgeo_dataset_and_its_sampler(rasters: Path) -> None:
    pytest.importorskip("torchgeo", reason="needs the extra `eval`")
    from torchgeo.datasets import RasterDataset
    from torchgeo.samplers import GridGeoSampler

    class Images(RasterDataset):
        filename_glob = "image_*.tif"
        filename_regex = r"image_(?P<date>\d{8})"

    class Masks(RasterDataset):
        filename_glob = "mask_*.tif"
        filename_regex = r"mask_(?P<date>\d{8})"
        is_image = False

    dataset = Images(rasters) & Masks(rasters)
    sampler = GridGeoSampler(dataset, size=SIDE, stride=SIDE)
    pack = pack_of_samples((dataset[query] for query in sampler), SIDE)
    with rasterio.open(rasters / "image_20190614.tif") as src:
        image = src.read().transpose(1, 2, 0)
    quarters = [image[r : r + SIDE, c : c + SIDE] for r in (0, SIDE) for c in (0, SIDE)]
    assert len(pack) == 4
    for k in range(4):
        nth = next(n for n, quarter in enumerate(quarters) if np.array_equal(pack.rgb[k], quarter))
        on_diagonal = nth in (0, 3)
        np.testing.assert_array_equal(pack.road[k], np.eye(SIDE) * on_diagonal)
        known = dict(zip(FIELDS, pack.metadata[k].tolist(), strict=True))
        assert (known["year"], known["month"], known["day"]) == (2019, 6, 14)
        assert known["gsd"] == pytest.approx(GSD_M)
        assert known["longitude"] == pytest.approx(15.0, abs=1e-3)
        assert known["latitude"] == pytest.approx(45.15, abs=1e-2)
    assert not pack.has_areas.any()
    assert not pack.has_map.any()


def test_larger_samples_are_cut_and_empty_ones_counted() -> None:
    whole = sample(2 * SIDE, caption="a field")
    whole["image"][:, :SIDE, :SIDE] = 0
    lines: list[str] = []
    pack = pack_of_samples([whole, sample()], SIDE, road=(2,), gsd_m=0.3, log=lines.append)
    assert len(pack) == 4
    assert lines == ["1 of 5 examples left out: more than 2 % of their pixels are empty"]
    assert [road.mean() for road in pack.road] == [1, 0, 0, 0.5]
    assert pack.captions == [("a field",)] * 3 + [()]
    assert pack.metadata[:, FIELDS.index("gsd")] == pytest.approx(0.3)
    assert np.isnan(pack.metadata[:, FIELDS.index("year")]).all()


def test_land_cover_comes_from_the_same_mask() -> None:
    pack = pack_of_samples([sample()], SIDE, road=(), classes={0: "water", 2: "forest"})
    assert pack.has_areas.all()
    assert set(pack.areas[0, : SIDE // 2].flat) == {CLASSES.index("forest")}
    assert set(pack.areas[0, SIDE // 2 :].flat) == {CLASSES.index("water")}


@pytest.mark.parametrize(
    ("samples", "options", "message"),
    [
        ([{"image": torch.zeros(3, 8, 8)}], {}, r"lacks \['mask'\]"),
        ([sample(mask=torch.zeros(2, 2))], {}, r"a mask \(2, 2\)"),
        ([sample(image=torch.rand(2, SIDE, SIDE))], {}, "3 or more"),
        ([sample(image=torch.rand(3, SIDE, SIDE))], {}, "must be 0 to 255"),
        ([sample(image=torch.full((3, SIDE, SIDE), 4000.0))], {}, "must be 0 to 255"),
        ([sample(image=torch.full((3, SIDE, SIDE), torch.nan))], {}, "must be 0 to 255"),
        ([sample(32)], {}, "too small for 64x64"),
        ([sample(image=torch.zeros(3, SIDE, SIDE))], {}, "no 64x64 example"),
        ([], {}, "no 64x64 example"),
        ([sample()], {"classes": {1: "sea"}}, "class of 1 is 'sea'"),
        ([sample()], {"classes": {300: "water"}}, "values are 0 to 255"),
    ],
)
def test_other_samples_are_refused(
    samples: list[dict[str, Any]], options: dict[str, Any], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        pack_of_samples(samples, SIDE, **options)
