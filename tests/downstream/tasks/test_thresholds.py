"""The best threshold against a search over all of them."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from rsaug.downstream.metrics import confusion_counts, iou
from rsaug.downstream.tasks.thresholds import BINS, BestThreshold


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 2**16), st.floats(0.05, 3))
def test_no_threshold_has_a_higher_iou(seed: int, sharpness: float) -> None:
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, 2, (3, 8, 9))
    seen = 1 / (1 + np.exp(-sharpness * (truth - 0.3) - rng.normal(size=truth.shape)))
    metric = BestThreshold()
    for found, labels in zip(seen, truth, strict=True):
        metric.update(torch.from_numpy(found)[None].float(), torch.from_numpy(labels)[None])
    best = metric.compute()

    def at(threshold: float) -> float:
        found = seen.astype(np.float32) >= np.float32(threshold)
        return float(iou(confusion_counts(found, truth).sum(axis=0)))

    assert float(best["top_iou"]) == pytest.approx(max(at(k / BINS) for k in range(BINS + 1)))
    assert float(best["top_iou"]) == pytest.approx(at(float(best["threshold"])), abs=0.02)


def test_unknown_pixels_do_not_count_and_no_road_has_no_best() -> None:
    metric = BestThreshold(ignore_index=255)
    seen = torch.tensor([[[0.1, 0.9, 0.6, 1.0]]])
    metric.update(seen, torch.tensor([[[0, 1, 255, 255]]]))
    assert float(metric.compute()["top_iou"]) == 1
    assert 0.1 < float(metric.compute()["threshold"]) < 0.9
    metric.reset()
    metric.update(seen, torch.tensor([[[0, 0, 255, 0]]]))
    assert float(metric.compute()["threshold"]) == 0.5
    assert torch.isnan(metric.compute()["top_iou"])
