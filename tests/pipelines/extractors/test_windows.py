"""Windows: the same pixels as in one pass, whatever the size of the image."""

from __future__ import annotations

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from rsaug.pipelines.extractors.windows import by_windows


def net() -> nn.Module:
    """A small network of stride 4 that reaches 13 pixels: 1 + 2 * 4 + 4."""
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(2, 4, 3, padding=1),
        nn.AvgPool2d(4),
        nn.Conv2d(4, 3, 5, padding=2),
        nn.Upsample(scale_factor=4),
    ).double()


@settings(max_examples=25, deadline=None)
@given(rows=st.integers(1, 20), cols=st.integers(1, 20), window=st.integers(1, 6))
def test_windows_equal_one_pass(rows: int, cols: int, window: int) -> None:
    image = torch.rand(1, 2, 4 * rows, 4 * cols, dtype=torch.float64)
    network = net()
    with torch.no_grad():
        whole = network(image)
        made = by_windows(network, image, window=4 * window, halo=16, step=4)
    torch.testing.assert_close(made, whole, rtol=1e-12, atol=1e-12)


def test_no_window_is_larger_than_asked_for() -> None:
    sizes = []

    def network(image: Tensor) -> Tensor:
        sizes.append(tuple(image.shape[-2:]))
        return image

    image = torch.rand(1, 1, 100, 300)
    assert torch.equal(by_windows(network, image, window=32, halo=16, step=16), image)
    assert max(max(size) for size in sizes) == 64
    assert len(sizes) == 4 * 10


def test_a_small_image_is_one_window() -> None:
    shapes = []

    def network(image: Tensor) -> Tensor:
        shapes.append(image.shape)
        return image

    by_windows(network, torch.zeros(1, 1, 64, 64), window=32, halo=16, step=16)
    assert len(shapes) == 1
