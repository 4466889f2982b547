"""Grain: as fine as it says, where it is lacking, and nobody's but its own image's."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from toy import SIDE, controls, generators, toy_pipeline

from rsaug.pipelines.canvas import CanvasPipeline
from rsaug.pipelines.grain import LEVEL, add_grain, draw_grain, fine_deviation
from rsaug.pipelines.pipeline import CRSDiffPipeline

RNG = np.random.default_rng(4)


def grainy_pipeline(levels: float = 8.0) -> CRSDiffPipeline:
    pipe: CRSDiffPipeline = toy_pipeline()
    pipe.register_to_config(grain=levels)
    return pipe


def images(pipe: CRSDiffPipeline, *seeds: int, **options: Any) -> np.ndarray:
    maps, present = controls(len(seeds), 3)
    maps[:], present[:] = maps[:1].clone(), present[:1].clone()
    made: np.ndarray = pipe(maps, present, generator=generators(*seeds), **options).images
    return made


def noise_image(deviation: float, side: int = 256) -> torch.Tensor:
    grey = torch.from_numpy(RNG.normal(0, deviation, (1, 1, side, side))).float()
    return grey.expand(1, 3, -1, -1)


def test_of_white_noise_eight_ninths_are_fine() -> None:
    found = fine_deviation(noise_image(0.1))
    assert found.shape == (1, 1, 256, 256)
    assert abs((found**2).mean().item() - 0.01 * 8 / 9) < 2e-4


def test_it_is_that_of_each_square() -> None:
    grey = noise_image(1.0, 20)
    found = fine_deviation(grey)
    detail = torch.zeros(20, 20)
    for row in range(1, 19):
        for col in range(1, 19):
            around = grey[0, 0, row - 1 : row + 2, col - 1 : col + 2]
            detail[row, col] = grey[0, 0, row, col] - around.mean()
    for row, col in ((6, 7), (10, 13)):
        square = detail[row - 4 : row + 5, col - 4 : col + 5]
        expected = square.square().mean().sqrt().item()
        assert found[0, 0, row, col].item() == pytest.approx(expected, rel=1e-4)


def test_an_even_image_is_brought_up_to_the_floor() -> None:
    even = torch.full((1, 3, 256, 256), 0.25)
    made = add_grain(even, draw_grain(even.shape, generators(1)), 0.03)
    assert abs(fine_deviation(made).square().mean().sqrt().item() - 0.03) < 5e-4
    noise = made - even
    assert abs(noise.mean().item()) < 5e-4
    # Grey: the same in all three channels.
    torch.testing.assert_close(noise[:, :1].expand_as(noise), noise)


def test_what_is_fine_enough_stays_and_what_is_not_is_filled_up() -> None:
    coarse, fine = noise_image(0.02), noise_image(0.2)
    noise = draw_grain(fine.shape, generators(3))
    torch.testing.assert_close(add_grain(fine, noise, 0.05), fine)
    made = fine_deviation(add_grain(coarse, noise, 0.05)).square().mean().sqrt()
    assert abs(made.item() - 0.05) < 2e-3


def test_an_image_does_not_depend_on_its_company() -> None:
    pipe = grainy_pipeline()
    together = images(pipe, 1, 2)
    for k, seed in enumerate((1, 2)):
        # Another batch size is another rounding of the networks, and nothing more.
        np.testing.assert_allclose(images(pipe, seed)[0], together[k], atol=1e-4)


def test_strength_0_is_the_image_as_decoded() -> None:
    pipe, plain = grainy_pipeline(40.0), toy_pipeline()
    smooth = images(plain, 1)
    np.testing.assert_array_equal(images(pipe, 1, grain_strength=0.0), smooth)
    half, whole = (np.abs(images(pipe, 1, grain_strength=s) - smooth).mean() for s in (0.5, 1.0))
    assert 0.001 < half < whole


def test_latents_have_none() -> None:
    pipe, plain = grainy_pipeline(), toy_pipeline()
    given = images(pipe, 1, output_type="latent")
    torch.testing.assert_close(given, images(plain, 1, output_type="latent"))


@pytest.mark.parametrize("levels", [0.0, 8.0])
def test_it_is_part_of_a_saved_model_and_of_its_canvas(tmp_path: Path, levels: float) -> None:
    pipe = grainy_pipeline(levels)
    pipe.save_pretrained(tmp_path)
    again = CRSDiffPipeline.from_pretrained(tmp_path, use_safetensors=True)
    again.set_progress_bar_config(disable=True)
    assert again.config.grain == CanvasPipeline.of(again).config.grain == levels
    # Loaded weights lie elsewhere in memory, and products round differently.
    np.testing.assert_allclose(images(again, 3), images(pipe, 3), atol=1e-4)
    assert images(pipe, 3).shape == (1, SIDE, SIDE, 3)


def test_levels_are_those_of_255() -> None:
    assert 255 * LEVEL == 2
