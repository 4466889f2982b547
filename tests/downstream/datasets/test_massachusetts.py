"""Massachusetts Roads in each of its layouts."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from roaddata import image_and_mask, make_massachusetts, make_prepared

from rsaug.downstream.datasets import DataNotFound, MassachusettsRoads
from rsaug.errors import InputError


@pytest.mark.parametrize("kaggle", [False, True], ids=["author", "kaggle"])
@pytest.mark.parametrize("split", ["train", "val", "test"])
def test_published_layouts(tmp_path: Path, kaggle: bool, split: str) -> None:
    folder = make_massachusetts(tmp_path / "roads", kaggle=kaggle, tiles=2)
    tiles = MassachusettsRoads(folder, split)
    assert len(tiles) == 2
    for number in range(2):
        image, mask = image_and_mask(number)
        np.testing.assert_array_equal(tiles[number]["image"].numpy(), image.transpose(2, 0, 1))
        np.testing.assert_array_equal(tiles[number]["mask"].numpy(), mask // 255)


def test_prepared_folder(tmp_path: Path) -> None:
    tiles = MassachusettsRoads(make_prepared(tmp_path / "roads"))
    assert [tile.name for tile in tiles.tiles] == ["10078660_15", "crop_train_10078660_1"]
    assert {tile.place for tile in tiles.tiles} == {"10078660"}
    chips = tiles.chips()
    shares = [float(sample["mask"].float().mean()) for sample in (chips[0], chips[1])]
    assert list(chips.scores("road_fraction").values()) == pytest.approx(shares, abs=1e-3)


def test_no_road_where_there_is_no_imagery(tmp_path: Path) -> None:
    image = np.full((256, 256, 3), 90, np.uint8)
    image[:, 150:] = 254
    # White as well, but a field, and a small roof on the edge.
    image[20:140, 10:130] = 255
    image[200:220, :20] = 255
    mask = np.zeros((256, 256), np.uint8)
    mask[60:67] = mask[205:212] = 255
    for kind, values in (("sat", image), ("map", mask)):
        (tmp_path / "train" / kind).mkdir(parents=True)
        suffix = "tiff" if kind == "sat" else "tif"
        Image.fromarray(values).save(tmp_path / "train" / kind / f"10078660_15.{suffix}")
    tiles = MassachusettsRoads(tmp_path)
    seen = (mask == 255) & (np.arange(256) < 150)
    np.testing.assert_array_equal(tiles[0]["mask"].numpy(), seen)
    windows = tiles.chips(128)
    np.testing.assert_array_equal(windows[0]["mask"].numpy(), seen[:128, :128])
    np.testing.assert_array_equal(windows[1]["mask"].numpy(), seen[:128, 128:])
    assert windows.holds_road().tolist() == [True, True, True, True]
    published = MassachusettsRoads(tmp_path, blank_roads=True)
    np.testing.assert_array_equal(published[0]["mask"].numpy(), mask == 255)


def test_real_prepared_folder(data_dir: Path) -> None:
    folder = data_dir / "massachusetts-roads"
    if not folder.is_dir():
        pytest.skip("the real tiles are not there; set RSAUG_DATA to their parent folder")
    tiles = {split: MassachusettsRoads(folder, split) for split in ("train", "val", "test")}
    assert {split: len(part) for split, part in tiles.items()} == {
        "train": 134,
        "val": 33,
        "test": 20,
    }
    crop = next(k for k, tile in enumerate(tiles["train"].tiles) if tile.shape == (512, 512))
    known = dict(tiles["train"].tiles[crop].scores)["road_fraction"]
    assert float(tiles["train"][crop]["mask"].float().mean()) == pytest.approx(known, abs=1e-4)


def test_half_a_download(tmp_path: Path) -> None:
    folder = make_massachusetts(tmp_path / "roads")
    mask = sorted((folder / "train" / "map").iterdir())[1]
    mask.unlink()
    with pytest.raises(DataNotFound, match=rf"1 of 4 images .* {mask.name} for one"):
        MassachusettsRoads(folder)
    assert len(MassachusettsRoads(folder, "val")) == 4


def test_broken_image(tmp_path: Path) -> None:
    folder = make_massachusetts(tmp_path / "roads")
    path = sorted((folder / "train" / "sat").iterdir())[0]
    path.write_bytes(path.read_bytes()[:6])
    with pytest.raises(InputError, match="is no image"):
        MassachusettsRoads(folder)


def test_mask_of_another_size(tmp_path: Path) -> None:
    folder = make_massachusetts(tmp_path / "roads")
    Image.new("L", (32, 64)).save(sorted((folder / "train" / "map").iterdir())[0])
    with pytest.raises(InputError, match="has 64 x 32 pixels, 64 x 64 were expected"):
        MassachusettsRoads(folder)[0]


def test_image_without_colour(tmp_path: Path) -> None:
    folder = make_massachusetts(tmp_path / "roads")
    Image.new("L", (64, 64)).save(sorted((folder / "train" / "sat").iterdir())[0])
    with pytest.raises(InputError, match="has 1 band, at least 3"):
        MassachusettsRoads(folder)[0]


def test_what_goes_where_is_said(tmp_path: Path) -> None:
    with pytest.raises(DataNotFound, match=r"is no folder\. .*sat/<id>\.tiff"):
        MassachusettsRoads(tmp_path / "nothing")
    with pytest.raises(DataNotFound, match=r"no split 'val' in any known layout"):
        MassachusettsRoads(tmp_path, "val")
    (tmp_path / "train" / "sat").mkdir(parents=True)
    (tmp_path / "train" / "map").mkdir()
    with pytest.raises(DataNotFound, match=r"holds no \.tiff"):
        MassachusettsRoads(tmp_path)
    with pytest.raises(InputError, match="no split 'valid'"):
        MassachusettsRoads(tmp_path, "valid")
