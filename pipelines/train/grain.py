"""How fine photographs are; see `rsaug.pipelines.grain`."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from rsaug.pipelines.grain import fine_deviation

_IMAGES = 256


def measure_grain(rgb: NDArray[np.uint8], *, images: int = _IMAGES) -> float:
    """The median of the deviation of the finest detail in photographs, in levels of 255.

    Args:
        rgb: (n, rows, cols, 3).
        images: how many of them are looked at, spread evenly.
    """
    rows = np.unique(np.linspace(0, len(rgb) - 1, min(images, len(rgb))).round().astype(int))
    found = [
        fine_deviation(torch.from_numpy(rgb[k : k + 1].transpose(0, 3, 1, 2).copy())).flatten()
        for k in rows.tolist()
    ]
    return round(float(torch.cat(found).median()), 2)
