"""Measuring how fine photographs are."""

from __future__ import annotations

import numpy as np
import pytest

from rsaug.pipelines.train.grain import measure_grain

RNG = np.random.default_rng(7)


def photographs(*deviations: float) -> np.ndarray:
    """Grey pictures with white noise of some deviations, in levels."""
    grey = np.stack([RNG.normal(128, deviation, (128, 128)) for deviation in deviations])
    return np.repeat(np.clip(np.rint(grey), 0, 255).astype(np.uint8)[..., None], 3, -1)


@pytest.mark.parametrize("deviation", [3.0, 9.0])
def test_it_is_the_deviation_of_the_finest_detail(deviation: float) -> None:
    found = measure_grain(photographs(deviation, deviation))
    assert found == pytest.approx(deviation * (8 / 9) ** 0.5, rel=0.02)


def test_it_is_the_median() -> None:
    few_are_rough = measure_grain(photographs(3.0, 3.0, 3.0, 30.0))
    assert few_are_rough == pytest.approx(3.0, rel=0.1)


def test_only_so_many_images_are_looked_at() -> None:
    assert measure_grain(photographs(3.0, 30.0, 3.0), images=2) < 4
