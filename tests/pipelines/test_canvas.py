"""Pictures larger than a window."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from toy import generators, toy_pipeline

from rsaug.pipelines.canvas import CanvasPipeline, Windows
from rsaug.pipelines.steering import ControlUse


@pytest.fixture(scope="module")
def pipe() -> Any:
    return toy_pipeline()


def canvas_of(pipe: Any, window_px: int = 64, overlap_px: int = 32) -> CanvasPipeline:
    canvas = CanvasPipeline.of(pipe)
    canvas.window_px, canvas.overlap_px = window_px, overlap_px
    return canvas


def road(rows: int, cols: int) -> tuple[torch.Tensor, torch.Tensor]:
    maps = torch.zeros(1, 18, rows, cols)
    maps[:, 9:12, 20:30] = 1
    present = torch.zeros(1, 6)
    present[:, 3] = 1
    return maps, present


@settings(deadline=None, max_examples=50)
@given(st.integers(1, 40), st.integers(1, 40), st.integers(2, 8), st.integers(1, 3))
def test_windows_cover_the_picture_and_join_to_it(
    rows: int, cols: int, window: int, overlap: int
) -> None:
    step = 4
    windows = Windows(
        (rows * step, cols * step), window * step, min(overlap, window // 2) * step, step
    )
    x = torch.randn(2, 3, rows * step, cols * step)
    boxes = windows.boxes()
    for box in boxes:
        for part, side in zip(box, windows.shape, strict=True):
            assert part.start % step == 0
            assert part.stop <= side
    joined = windows.join([x[(..., *box)] for box in boxes])
    torch.testing.assert_close(joined, x)
    torch.testing.assert_close(
        windows.join([x[(..., *box)] for box in boxes[:1]]), x[(..., *boxes[0])]
    )


def test_a_seam_fades() -> None:
    windows = Windows((8, 24), 16, 8, 8)
    joined = windows.join([torch.zeros(1, 1, 8, 16), torch.ones(1, 1, 8, 16)])[0, 0, 3]
    assert joined[0] == 0
    assert joined[-1] == 1
    assert all(0 <= b - a <= 1 / 8 + 1e-6 for a, b in pairwise(joined.tolist()))


def test_up_to_a_window_it_is_the_pipeline(pipe: Any) -> None:
    maps, present = road(64, 64)
    given_: dict[str, Any] = {"controls": maps, "present": present, "output_type": "pt"}
    plain = pipe(**given_, generator=generators(1)).images
    for canvas in (canvas_of(pipe), canvas_of(pipe, window_px=128)):
        torch.testing.assert_close(
            canvas(**given_, generator=generators(1)).images, plain, rtol=0, atol=0
        )


def test_a_large_picture_has_one_noise_and_no_seam(pipe: Any) -> None:
    maps, present = road(96, 160)
    image = torch.rand(1, 3, 96, 160, generator=torch.Generator().manual_seed(3)) * 2 - 1
    given_: dict[str, Any] = {
        "controls": maps,
        "present": present,
        "image": image,
        "output_type": "pt",
    }
    region = torch.zeros(1, 96, 160)
    region[..., :80] = 1
    use = {"road": ControlUse(1.0, region=region)}
    made = canvas_of(pipe)(**given_, strength=0.7, control_uses=use, generator=generators(1)).images
    assert made.shape == (1, 3, 96, 160)
    again = canvas_of(pipe)(**given_, strength=0.7, control_uses=use, generator=generators(1))
    torch.testing.assert_close(again.images, made, rtol=0, atol=0)
    # A window as large as the picture sees all of it at once; the toy's reach is its whole picture,
    # so the two differ, but not much.
    whole = canvas_of(pipe, window_px=160)(
        **given_, strength=0.7, control_uses=use, generator=generators(1)
    ).images
    assert (made - whole).abs().mean() < 0.25 * (whole - 0.5).abs().mean()


def test_the_autoencoder_goes_through_windows(pipe: Any) -> None:
    image = torch.rand(1, 3, 96, 320, generator=torch.Generator().manual_seed(3)) * 2 - 1
    canvas = canvas_of(pipe, window_px=192, overlap_px=96)
    with torch.no_grad():
        whole, parts = pipe.encode_images(image), canvas.encode_images(image)
        assert parts.shape == whole.shape
        assert (parts - whole).abs().mean() < 0.05 * whole.abs().mean()
        decoded, by_parts = pipe.decode_latents(whole), canvas.decode_latents(whole)
        assert by_parts.shape == decoded.shape == image.shape
        assert (by_parts - decoded).abs().mean() < 0.05 * decoded.abs().mean()
