"""Which threshold on the probability of road is best, found in one pass over the tiles."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torchmetrics import Metric

from rsaug.downstream.losses import known_pixels

BINS = 200
"""Thresholds that are tried: every 0.005."""


class BestThreshold(Metric):
    """The threshold of the highest road IoU over all tiles, and that IoU.

    Args:
        ignore_index: Value of labels that are not known; such pixels do not count.
        **kwargs: As torchmetrics has them.
    """

    is_differentiable = False
    full_state_update = False
    counts: Tensor

    def __init__(self, ignore_index: int | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.ignore_index = ignore_index
        zeros = torch.zeros(2, BINS + 1, dtype=torch.int64)
        self.add_state("counts", default=zeros, dist_reduce_fx="sum")

    def update(self, preds: Tensor, target: Tensor) -> None:
        """Count tiles.

        Args:
            preds: (n, rows, cols) probabilities.
            target: (n, rows, cols), 1 on road, 0 elsewhere and `ignore_index`.
        """
        known = known_pixels(target, self.ignore_index) > 0
        bins = (preds[known] * BINS).floor().long()
        for kind in (0, 1):
            seen = torch.bincount(bins[target[known] == kind], minlength=BINS + 1)
            self.counts[kind] += seen

    def compute(self) -> dict[str, Tensor]:
        """``threshold`` and ``top_iou``, 0-dimensional; 0.5 and NaN where there is no road."""
        # Found from each bin on up.
        false, hit = self.counts.flip(1).cumsum(1).flip(1).double()
        if not hit[0]:
            nothing = torch.tensor(float("nan"), dtype=torch.float64, device=hit.device)
            return {"threshold": torch.full_like(nothing, 0.5), "top_iou": nothing}
        iou = hit / (hit[0] + false)
        # Of equally good ones that in the middle, which is the least sure of being so by chance.
        best = torch.nonzero(iou == iou.max())[:, 0]
        return {"threshold": best[len(best) // 2].double() / BINS, "top_iou": iou.max()}
