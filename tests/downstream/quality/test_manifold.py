"""Membership of the manifold of real features, against its definition."""

from __future__ import annotations

import numpy as np
import pytest

from rsaug.downstream.quality.manifold import NEIGHBOURS, Manifold
from rsaug.errors import InputError


def unit(rng: np.random.Generator, n: int, d: int = 6) -> np.ndarray:
    vectors = rng.normal(size=(n, d))
    unit_length: np.ndarray = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return unit_length.astype(np.float32)


def test_realism_and_density_are_as_defined() -> None:
    rng = np.random.default_rng(0)
    real, places = unit(rng, 30), np.array([f"p{k // 2}" for k in range(30)])
    asked = unit(rng, 11)
    manifold = Manifold.of(real, places)
    radii = []
    for k, feature in enumerate(real):
        others = np.linalg.norm(real[places != places[k]] - feature, axis=1)
        radii.append(np.sort(others)[NEIGHBOURS - 1])
    np.testing.assert_allclose(manifold.radii, radii, atol=1e-5)
    half = np.array(radii) <= np.median(radii)
    for feature, realism, density in zip(
        asked, manifold.realism(asked), manifold.density(asked), strict=True
    ):
        distances = np.linalg.norm(real - feature, axis=1)
        assert realism == pytest.approx((np.array(radii)[half] / distances[half]).max(), rel=1e-3)
        assert density == (distances <= radii).sum() / NEIGHBOURS


def test_what_is_farther_away_is_less_real() -> None:
    rng = np.random.default_rng(1)
    base = np.zeros(6)
    base[0] = 1.0
    real = base + 0.05 * rng.normal(size=(20, 6))
    real /= np.linalg.norm(real, axis=1, keepdims=True)
    manifold = Manifold.of(real.astype(np.float32), np.arange(20).astype(str))
    away = np.array([[np.cos(a), np.sin(a), 0, 0, 0, 0] for a in (0.3, 0.8, 1.5)], np.float32)
    realism = manifold.realism(away)
    assert (np.diff(realism) < 0).all()
    assert realism[0] < 1 <= manifold.realism(base[None].astype(np.float32))[0]


def test_years_of_one_place_are_one_witness() -> None:
    rng = np.random.default_rng(2)
    with pytest.raises(InputError, match="real tiles of 3 places; more than 3 are needed"):
        Manifold.of(unit(rng, 9), np.repeat(["a", "b", "c"], 3))
