"""Runs of rsaug synth as a dataset."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import rasterio
import torch
from torch.utils.data import DataLoader
from torchgeo.datasets import RasterDataset, stack_samples
from torchgeo.samplers import PreChippedGeoSampler, RandomGeoSampler

from rsaug.downstream.datasets import DataNotFound, SyntheticRoads
from rsaug.errors import InputError

# rasterio multiplies transforms in a way that affine 3.1 gives up. torchgeo 0.10 has other names
# for samplers than 0.8, and does what newer geopandas and pandas give up.
pytestmark = [
    pytest.mark.filterwarnings("ignore:Use `@` matmul:PendingDeprecationWarning"),
    pytest.mark.filterwarnings("ignore:(Use |The inplace):DeprecationWarning"),
]


@pytest.fixture
def copied(painted: Path, tmp_path: Path) -> Path:
    """A run to be spoilt."""
    return Path(shutil.copytree(painted, tmp_path / "run"))


def test_chips_are_the_files(painted: Path) -> None:
    chips = SyntheticRoads(painted).chips()
    manifest = pd.read_parquet(painted / "manifest.parquet")
    assert sorted(chips.names) == sorted(manifest["id"])
    assert chips.synthetic
    for k, (name, place) in enumerate(zip(chips.names, chips.places, strict=True)):
        sample = chips[k]
        with rasterio.open(painted / "images" / f"{name}.tif") as src:
            np.testing.assert_array_equal(sample["image"].numpy(), src.read())
        with rasterio.open(painted / "masks" / f"{place}.tif") as src:
            np.testing.assert_array_equal(sample["mask"].numpy(), src.read(1))
        assert (sample["image"].dtype, sample["mask"].dtype) == (torch.float32, torch.int64)
    assert chips.holds_road().all()


def test_samplers_and_loader_read_it(painted: Path) -> None:
    dataset = SyntheticRoads(painted, variants=[0])
    chips = dataset.chips()
    for k, query in enumerate(PreChippedGeoSampler(dataset)):
        assert torch.equal(dataset[query]["image"], chips[k]["image"])
        assert torch.equal(dataset[query]["mask"], chips[k]["mask"])
    sampler = RandomGeoSampler(dataset, size=32, length=4)
    (batch,) = DataLoader(dataset, batch_size=4, sampler=sampler, collate_fn=stack_samples)
    assert batch["image"].shape == (4, 3, 32, 32)
    assert batch["mask"].shape == (4, 32, 32)


def test_is_like_torchgeos_own_reading(painted: Path) -> None:
    ours = SyntheticRoads(painted, variants=[0])
    query = next(iter(PreChippedGeoSampler(ours)))
    theirs = RasterDataset(painted / "images")[query]
    # Where rounding makes the grid another one by a hair, torchgeo resamples; we do not.
    assert (ours[query]["image"] != theirs["image"]).float().mean() < 0.02
    assert set(ours[query]) - {"mask"} == set(theirs)


def test_conditions_are_the_control_maps(painted: Path) -> None:
    dataset = SyntheticRoads(painted, conditions=True)
    sample = dataset.chips()[0]
    with rasterio.open(painted / "conditions" / f"{dataset.tiles[0].place}.tif") as src:
        np.testing.assert_array_equal(sample["conditions"].numpy(), src.read())
    query = next(iter(PreChippedGeoSampler(dataset)))
    assert dataset[query]["conditions"].shape == (18, 64, 64)
    with pytest.raises(InputError, match="whole tiles only"):
        dataset[next(iter(RandomGeoSampler(dataset, size=32, length=1)))]


def test_variants_can_be_chosen(painted: Path) -> None:
    every, second = SyntheticRoads(painted), SyntheticRoads(painted, variants=[1])
    assert len(every) == 2 * len(second)
    assert all(tile.name.endswith("_v1") for tile in second.tiles)
    with pytest.raises(InputError, match=r"no image of the variants \[7\]"):
        SyntheticRoads(painted, variants=[7])


def test_intact_files_have_their_checksums(painted: Path) -> None:
    assert len(SyntheticRoads(painted, checksum=True)) == len(SyntheticRoads(painted))


def test_missing_file_is_said(copied: Path) -> None:
    mask = sorted((copied / "masks").iterdir())[0]
    mask.unlink()
    with pytest.raises(DataNotFound, match=rf"{mask.name} is missing"):
        SyntheticRoads(copied)


def test_half_a_file_is_said(copied: Path) -> None:
    image = sorted((copied / "images").iterdir())[0]
    image.write_bytes(image.read_bytes()[:1000])
    with pytest.raises(DataNotFound, match=r"has 1000 bytes, not \d+"):
        SyntheticRoads(copied)


def test_altered_file_is_found_by_its_checksum(copied: Path) -> None:
    image = sorted((copied / "images").iterdir())[0]
    content = bytearray(image.read_bytes())
    content[-1] ^= 1
    image.write_bytes(content)
    assert len(SyntheticRoads(copied)) > 0
    with pytest.raises(DataNotFound, match="checksum"):
        SyntheticRoads(copied, checksum=True)


@pytest.mark.parametrize(
    ("gone", "said"),
    [("run.json", "no run.json"), ("manifest.parquet", "its run is not finished")],
)
def test_other_folders_are_refused(copied: Path, gone: str, said: str) -> None:
    (copied / gone).unlink()
    with pytest.raises(DataNotFound, match=said):
        SyntheticRoads(copied)


def test_no_folder_at_all(tmp_path: Path) -> None:
    with pytest.raises(DataNotFound, match="rsaug synth --roads"):
        SyntheticRoads(tmp_path / "nothing")


def test_manifest_of_something_else(copied: Path) -> None:
    pd.DataFrame({"id": ["a"]}).to_parquet(copied / "manifest.parquet")
    with pytest.raises(DataNotFound, match="no manifest of rsaug synth"):
        SyntheticRoads(copied)
    (copied / "manifest.parquet").write_bytes(b"PAR1")
    with pytest.raises(DataNotFound, match="no manifest of rsaug synth"):
        SyntheticRoads(copied)


@pytest.mark.parametrize("assets", [{"image": {"href": "./a.tif"}}, {"thumbnail": {"href": "a"}}])
def test_manifest_that_says_too_little(copied: Path, assets: dict[str, dict[str, str]]) -> None:
    table = pd.read_parquet(copied / "manifest.parquet").drop(columns="assets")
    table.insert(0, "assets", pd.Series([assets] * len(table)))
    table.to_parquet(copied / "manifest.parquet")
    with pytest.raises(DataNotFound, match=r"says too little of an image|knows no 'image'"):
        SyntheticRoads(copied)


def test_files_outside_of_the_run_are_not_read(copied: Path) -> None:
    table = pd.read_parquet(copied / "manifest.parquet")
    for assets in table["assets"]:
        assets["image"]["href"] = "../elsewhere.tif"
    table.to_parquet(copied / "manifest.parquet")
    with pytest.raises(DataNotFound, match="outside of it"):
        SyntheticRoads(copied)
