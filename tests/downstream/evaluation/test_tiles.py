"""What an evaluation reads: runs and real tiles, and which lie on which."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from runfolder import painted_run, placed_run
from tilefolder import make_tile_folder

from rsaug.downstream.evaluation.tiles import (
    check_comparable,
    locate,
    read_photos,
    read_real,
    read_run,
)
from rsaug.errors import InputError


@pytest.fixture(scope="module")
def real_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tile_folder(tmp_path_factory.mktemp("real") / "tiles")


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return painted_run(tmp_path_factory.mktemp("synth"))


def test_a_run_is_read_as_it_was_made(run_folder: Path) -> None:
    run = read_run(run_folder)
    assert len(run) == run.of == 2 * len(list((run_folder / "masks").glob("*.tif")))
    assert sorted(run.names.tolist()) == run.names.tolist()
    assert (run.variants.tolist(), run.gsd_m) == ([0, 1] * (len(run) // 2), 0.6)
    for image, mask in zip(run.images, run.masks, strict=True):
        # The painter's road is grey 128 and nothing else is.
        np.testing.assert_array_equal(mask == 1, (image == 128).all(axis=0))


def test_a_limit_takes_tiles_with_all_their_variants(run_folder: Path) -> None:
    some = read_run(run_folder, limit=2)
    assert len(set(some.places)) == 2
    assert (len(some), some.of) == (4, len(read_run(run_folder)))


def test_real_tiles_are_of_the_split_and_the_year_of_digitizing(real_folder: Path) -> None:
    val = read_real(real_folder, "val")
    assert val.names.tolist() == ["c_2018", "d_2018"]
    assert (val.of, val.places.tolist()) == (4, ["c", "d"])
    # The test place's road that reaches into d is not burned there.
    assert val.masks[1].any(axis=0).sum() == pytest.approx(10, abs=1)
    assert read_photos(real_folder, "train").names.tolist() == [
        f"{place}_{year}" for place in "ab" for year in (2018, 2020)
    ]
    assert len(read_photos(real_folder, "train", limit=3)) == 3


def test_the_test_split_takes_no_part(real_folder: Path) -> None:
    for read in (read_real, read_photos):
        with pytest.raises(InputError, match="'test' takes no part"):
            read(real_folder, "test")


def test_tiles_on_real_ones_take_their_places(real_folder: Path, tmp_path: Path) -> None:
    real = read_real(real_folder, "val")
    run = read_run(placed_run(tmp_path / "run", real.tiles, real.masks, real.images))
    placed, paired = locate(run, real)
    assert paired
    assert placed.places.tolist() == ["c", "d"]
    other, paired = locate(run, real.take(np.array([1])))
    assert not paired
    assert other.places.tolist() == ["synthetic:t0", "d"]


def test_other_masks_on_the_same_places_are_no_pairs(real_folder: Path, tmp_path: Path) -> None:
    real = read_real(real_folder, "val")
    shifted = np.roll(real.masks, 1, axis=2)
    run = read_run(placed_run(tmp_path / "run", real.tiles, shifted, real.images))
    assert locate(run, real)[1] is False


@pytest.mark.parametrize(
    ("options", "message"),
    [({"gsd_m": 0.3}, "make tiles with --gsd 0.6"), ({"size": 128}, "with --tile-size 64")],
)
def test_other_pixels_cannot_be_compared(
    real_folder: Path, tmp_path: Path, options: dict[str, float], message: str
) -> None:
    run = read_run(painted_run(tmp_path, **options))  # type: ignore[arg-type]
    with pytest.raises(InputError, match=message):
        check_comparable(run, read_real(real_folder, "val"))


@pytest.mark.parametrize("name", ["../../secret", "a/b", "", "..", "a\x00b"])
def test_names_that_lead_out_of_the_folder_are_refused(tmp_path: Path, name: str) -> None:
    table = pd.DataFrame({"id": [name], "rsaug:tile": ["t"], "rsaug:variant": [0]})
    table.to_parquet(tmp_path / "manifest.parquet")
    with pytest.raises(InputError, match="of the name"):
        read_run(tmp_path)


@pytest.mark.parametrize("content", [b"", b"PAR1 nonsense PAR1"])
def test_a_broken_manifest_is_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "manifest.parquet").write_bytes(content)
    with pytest.raises(InputError, match="is no manifest"):
        read_run(tmp_path)
