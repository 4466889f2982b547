"""The land-cover network: its file, its windows, its scale, and the weights that are shipped."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from rsaug.conditions.landcover import CLASSES
from rsaug.errors import InputError
from rsaug.pipelines.extractors import landcover
from rsaug.pipelines.extractors.landcover import WEIGHTS, LandcoverConfig, LandcoverNet
from rsaug.pipelines.extractors.networks import networks
from rsaug.pipelines.extractors.windows import by_windows
from rsaug.pipelines.train.folder import image_path, read_index
from rsaug.pipelines.train.pack import read_pack
from rsaug.raster import read_rgb

ROAD = CLASSES.index("road")


def toy(widths: tuple[int, ...] = (4, 6)) -> LandcoverNet:
    """A network of toy size that has seen a batch, so that its means are not all zero."""
    torch.manual_seed(0)
    net = LandcoverNet(LandcoverConfig(widths=widths))
    net.train()
    with torch.no_grad():
        for _ in range(3):
            net(torch.rand(4, 3, 64, 64) * 255)
    return net.eval()


def noise(rows: int, cols: int) -> NDArray[np.uint8]:
    """(3, rows, cols)."""
    rng = np.random.default_rng(1)
    return rng.integers(0, 256, (3, rows, cols)).astype(np.uint8)


def test_a_saved_network_answers_as_before(tmp_path: Path) -> None:
    net = toy()
    net.save(tmp_path, {"note": "for readers"})
    again = LandcoverNet.load(tmp_path)
    assert again.config == net.config
    assert not again.training
    image = torch.from_numpy(noise(64, 48))[None]
    with torch.no_grad():
        # Kept in half precision.
        torch.testing.assert_close(again(image), net(image), atol=0.02, rtol=0.02)
    assert json.loads((tmp_path / "config.json").read_text())["facts"] == {"note": "for readers"}


@pytest.mark.parametrize("shape", [(64, 64), (65, 70), (97, 64)])
def test_sides_may_be_any_number(shape: tuple[int, int]) -> None:
    classes = toy().classify(noise(*shape))
    assert classes.shape == shape
    assert classes.dtype == np.uint8
    assert classes.max() < len(CLASSES)


def test_windows_equal_one_pass() -> None:
    net = LandcoverNet.load()
    config, halo = net.config, landcover._HALO
    image = torch.from_numpy(noise(32, 704))[None].float()
    with torch.no_grad():
        whole = net(image)
        made = by_windows(net, image, window=64, halo=halo, step=config.stride)
        narrow = by_windows(net, image, window=64, halo=32, step=config.stride)
    torch.testing.assert_close(made, whole, atol=1e-3, rtol=1e-3)
    assert (narrow - whole).abs().max() > 0.01
    assert halo % config.stride == landcover._WINDOW % config.stride == 0


def test_an_image_of_other_pixels_is_brought_to_those_of_the_training() -> None:
    # Blocks of one colour, so that enlarging loses nothing.
    net, image = toy(), np.repeat(np.repeat(noise(8, 12), 8, 1), 8, 2)
    small = net.classify(image, 0.6)
    np.testing.assert_array_equal(small, net.classify(image))
    large = net.classify(np.repeat(np.repeat(image, 2, 1), 2, 2), 0.3)
    assert large.shape == (128, 192)
    assert (large[::2, ::2] == small).mean() > 0.9
    as_it_is = net.classify(np.repeat(np.repeat(image, 2, 1), 2, 2))
    assert (as_it_is[::2, ::2] == small).mean() < (large[::2, ::2] == small).mean()


def test_files_that_are_none_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"config\.json is no config of the land-cover network"):
        LandcoverNet.load(tmp_path)
    toy().save(tmp_path)
    (tmp_path / "landcover.safetensors").write_text("hello")
    with pytest.raises(InputError, match="holds no weights of this network"):
        LandcoverNet.load(tmp_path)
    toy((4,)).save(tmp_path / "other")
    (tmp_path / "other" / "landcover.safetensors").replace(tmp_path / "landcover.safetensors")
    with pytest.raises(InputError, match=r"holds no weights|does not fit"):
        LandcoverNet.load(tmp_path)
    (tmp_path / "config.json").write_text('{"depth": 3}')
    with pytest.raises(InputError, match="is no config"):
        LandcoverNet.load(tmp_path)
    roads = next(each for each in networks(landcover=tmp_path / "none") if each.slot == "road")
    assert "holds no landcover.safetensors" in str(roads.why_not())


def test_the_shipped_weights_are_small_and_say_what_they_are() -> None:
    assert (WEIGHTS / "landcover.safetensors").stat().st_size < 2_300_000
    net = LandcoverNet.load()
    assert net.config.classes == CLASSES
    assert sum(p.numel() for p in net.parameters()) < 1_100_000
    facts = json.loads((WEIGHTS / "config.json").read_text())["facts"]
    assert facts["val"]["tiles"] == 47
    assert (WEIGHTS / "README.md").is_file()


def test_road_and_cover_agree_on_the_road() -> None:
    by_slot = {each.slot: each for each in networks() if each.name == "network"}
    rgb = noise(64, 64)
    road = np.asarray(by_slot["road"](rgb, 0.6))
    cover = np.asarray(by_slot["seg"](rgb, 0.6))
    yellow = np.all(cover.T == (1, 1, 0), axis=-1).T
    np.testing.assert_array_equal(road == 1, yellow)


def test_shipped_weights_find_roads(data_dir: Path) -> None:
    folder = data_dir / "naip-roads"
    val = read_index(folder, "val")
    chosen = val[val["year"] == 2018].iloc[::4]
    roads = read_pack(folder, "val").road[(val["year"] == 2018).to_numpy()][::4]
    net = LandcoverNet.load()
    made = np.stack(
        [net.classify(read_rgb(image_path(folder, name)), 0.6) for name in chosen["id"]]
    )
    both, either = ((made == ROAD) & (roads > 0)).sum(), ((made == ROAD) | (roads > 0)).sum()
    assert both / either > 0.5
