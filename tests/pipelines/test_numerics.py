"""The same image in fp32, bf16 and fp16, within bounds; and twice in the same, to the byte."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import pytest
import torch
from affine import Affine
from numpy.typing import NDArray

from rsaug.conditions.stack import ControlStack
from rsaug.grid import Tile, parse_crs
from rsaug.pipelines.acceleration import Acceleration
from rsaug.pipelines.generate import load_generator
from rsaug.pipelines.settings import Settings
from rsaug.requests import TileRequest

SIDE = 64

BOUNDS = {"float16": (0.1, 4), "bfloat16": (1.0, 12)}
"""Mean and largest difference from float32, in values of 255, by type."""


def request(seed: int) -> TileRequest:
    place = Tile.from_transform(
        Affine(0.6, 0, 380_000, 0, -0.6, 3_800_000), (SIDE, SIDE), parse_crs(32611)
    )
    road = np.zeros((SIDE, SIDE), dtype=np.uint8)
    road[20:34] = 1
    return TileRequest(place, ControlStack.from_maps((SIDE, SIDE), road=road), 0, seed)


@lru_cache
def images(dtype: str) -> NDArray[np.int16]:
    """Images of the default model, int16 (2, 3, rows, cols)."""
    generator = load_generator(
        "default",
        Settings(steps=4),
        device="cpu",
        acceleration=Acceleration(dtype=dtype),
        tile_size=SIDE,
        workers=1,
    )
    return np.stack(generator.generate([request(1), request(2)])).astype(np.int16)


@pytest.mark.parametrize("dtype", sorted(BOUNDS))
def test_types_agree_within_their_bounds(dtype: str) -> None:
    wanted, made = images("float32"), images(dtype)
    assert wanted.std() > 5  # an image, not a plain colour
    apart = np.abs(wanted - made)
    mean, most = BOUNDS[dtype]
    assert apart.mean() <= mean
    assert apart.max() <= most


@pytest.mark.parametrize("dtype", ["float32", *sorted(BOUNDS)])
def test_the_same_type_gives_the_same_bytes(dtype: str) -> None:
    before = images(dtype)
    images.cache_clear()
    torch.manual_seed(9)
    np.testing.assert_array_equal(images(dtype), before)
