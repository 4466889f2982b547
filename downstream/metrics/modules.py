"""The road metrics as torchmetrics metrics, for training loops; they need the extra `eval`.

Each counts what its function counts, tile by tile, and adds it up; over several processes the sums
are added. ``compute`` divides and gives a dictionary of scores, so that the metrics go into a
`torchmetrics.MetricCollection` and a Lightning log as they are.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torchmetrics import Metric

from rsaug.downstream.graph.masks import Cleaning, graph_of_mask
from rsaug.downstream.graph.roadgraph import RoadGraph
from rsaug.downstream.metrics.cldice import cldice_counts
from rsaug.downstream.metrics.paths import (
    apls_counts,
    apls_scores,
    connectivity_counts,
    connectivity_scores,
)
from rsaug.downstream.metrics.pixels import (
    confusion_counts,
    f1,
    iou,
    precision,
    recall,
    relaxed_counts,
    relaxed_scores,
)
from rsaug.downstream.metrics.topo import topo_counts
from rsaug.errors import InputError

Count = Callable[[NDArray[np.uint8], NDArray[np.uint8]], NDArray[Any]]


class RoadMetric(Metric):
    """A metric of road masks from numbers that are added up over tiles.

    Args:
        threshold: Predictions of floating-point numbers are road from this value on; give
            probabilities, not logits.
        ignore_index: Value of labels that are not known; such pixels count as no road on both
            sides. None where there are none.
    """

    is_differentiable = False
    higher_is_better = True
    full_state_update = False
    counts: Tensor

    names: tuple[str, ...] = ()
    """Of the scores."""

    def __init__(
        self, threshold: float = 0.5, ignore_index: int | None = None, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.threshold, self.ignore_index = threshold, ignore_index
        zeros = torch.zeros(4, dtype=torch.float64)
        self.add_state("counts", default=zeros, dist_reduce_fx="sum")

    def update(self, preds: Tensor, target: Tensor) -> None:
        """Count tiles.

        Args:
            preds: (n, rows, cols) or (n, 1, rows, cols): 0 and 1, or probabilities.
            target: The same, 0 and 1.

        Raises:
            InputError: if the shapes differ or are others, or the values are.
        """
        found, truth = _masks(preds, target, self.threshold, self.ignore_index)
        counts = torch.from_numpy(self._count(found, truth).astype(np.float64))
        self.counts += counts.to(self.counts.device)

    def compute(self) -> dict[str, Tensor]:
        """The scores of all tiles together by name, 0-dimensional; NaN where they are 0 / 0."""
        scores = self._score(self.counts.cpu().numpy())
        return {
            name: torch.tensor(float(score), dtype=torch.float64, device=self.counts.device)
            for name, score in zip(self.names, scores, strict=True)
        }

    def _count(self, found: NDArray[np.uint8], truth: NDArray[np.uint8]) -> NDArray[Any]:
        """The numbers of some tiles, added up, (4,)."""
        raise NotImplementedError

    def _score(self, counts: NDArray[np.float64]) -> NDArray[np.float64]:
        """The scores of added numbers."""
        raise NotImplementedError


class RoadOverlap(RoadMetric):
    """IoU, precision, recall and F1 of the road class; see `confusion_counts`."""

    names = ("iou", "precision", "recall", "f1")

    def _count(self, found: NDArray[np.uint8], truth: NDArray[np.uint8]) -> NDArray[Any]:
        return _added(confusion_counts(found, truth))

    def _score(self, counts: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.array([score(counts) for score in (iou, precision, recall, f1)])


class RelaxedOverlap(RoadMetric):
    """Relaxed precision, recall and F1; see `relaxed_counts`.

    Args:
        slack_px: How many pixels a road may lie beside its label.
        **kwargs: As `RoadMetric`.
    """

    names = ("relaxed_precision", "relaxed_recall", "relaxed_f1")

    def __init__(self, slack_px: float = 3.0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.slack_px = slack_px

    def _count(self, found: NDArray[np.uint8], truth: NDArray[np.uint8]) -> NDArray[Any]:
        return _added(relaxed_counts(found, truth, self.slack_px))

    def _score(self, counts: NDArray[np.float64]) -> NDArray[np.float64]:
        return relaxed_scores(counts)


class ClDice(RoadMetric):
    """Precision and sensitivity of skeletons, and clDice; see `cldice_counts`."""

    names = ("cldice_precision", "cldice_sensitivity", "cldice")

    def _count(self, found: NDArray[np.uint8], truth: NDArray[np.uint8]) -> NDArray[Any]:
        return _added(cldice_counts(found, truth))

    def _score(self, counts: NDArray[np.float64]) -> NDArray[np.float64]:
        return relaxed_scores(counts)


class GraphMetric(RoadMetric):
    """A metric of the road graphs of masks.

    Args:
        gsd_m: Metres a pixel.
        cleaning: How skeletons are made graphs, on both sides; by default `Cleaning()`.
        options: Of the function behind it, by name.
        **kwargs: As `RoadMetric`.
    """

    _of_graphs: Callable[..., NDArray[Any]]

    def __init__(
        self,
        gsd_m: float,
        cleaning: Cleaning | None = None,
        options: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.gsd_m, self.cleaning, self.options = gsd_m, cleaning, dict(options or {})
        # What is wrong with the options is said here and not after an epoch.
        self._count_graphs(RoadGraph.empty(), RoadGraph.empty())

    def _count_graphs(self, found: RoadGraph, truth: RoadGraph) -> NDArray[Any]:
        return type(self)._of_graphs(found, truth, **self.options)

    def _count(self, found: NDArray[np.uint8], truth: NDArray[np.uint8]) -> NDArray[Any]:
        total = np.zeros(4)
        for ours, theirs in zip(found, truth, strict=True):
            graphs = (graph_of_mask(mask, self.gsd_m, self.cleaning) for mask in (ours, theirs))
            total += self._count_graphs(*graphs)
        return total


class Apls(GraphMetric):
    """APLS and its two directions; see `apls_counts`."""

    names = ("apls", "apls_recall", "apls_precision")
    _of_graphs = staticmethod(apls_counts)

    def _score(self, counts: NDArray[np.float64]) -> NDArray[np.float64]:
        return apls_scores(counts)


class Topo(GraphMetric):
    """Precision, recall and F1 of TOPO; see `topo_counts`."""

    names = ("topo_precision", "topo_recall", "topo_f1")
    _of_graphs = staticmethod(topo_counts)

    def _score(self, counts: NDArray[np.float64]) -> NDArray[np.float64]:
        return relaxed_scores(counts)


class Connectivity(GraphMetric):
    """Shares of true routes that are connected and that are correct; see `connectivity_counts`."""

    names = ("connectivity", "correct_paths")
    _of_graphs = staticmethod(connectivity_counts)

    def _score(self, counts: NDArray[np.float64]) -> NDArray[np.float64]:
        return connectivity_scores(counts)


def _added(counts: NDArray[Any]) -> NDArray[Any]:
    """Numbers (n, k) of tiles, added up, (k,)."""
    total: NDArray[Any] = counts.sum(axis=0)
    return total


def _masks(
    preds: Tensor, target: Tensor, threshold: float, ignore_index: int | None
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Both as arrays of 0 and 1, (n, rows, cols)."""
    if preds.shape != target.shape:
        raise InputError(
            f"Predictions and labels must have one shape, not {tuple(preds.shape)} and "
            f"{tuple(target.shape)}."
        )
    if preds.ndim == 4 and preds.shape[1] == 1:
        preds, target = preds[:, 0], target[:, 0]
    if preds.ndim != 3:
        raise InputError(
            f"Masks must be (n, rows, cols) or (n, 1, rows, cols), not {tuple(preds.shape)}."
        )
    found, truth = preds.detach().cpu(), target.detach().cpu()
    if found.is_floating_point():
        if not bool(((found >= 0) & (found <= 1)).all()):
            raise InputError(
                "Predictions must be probabilities from 0 to 1; take the sigmoid first."
            )
        found = found >= threshold
    if ignore_index is not None:
        unknown = truth == ignore_index
        found, truth = found.clone(), truth.clone()
        found[unknown], truth[unknown] = 0, 0
    for name, mask in (("Predictions", found), ("Labels", truth)):
        if not bool(((mask == 0) | (mask == 1)).all()):
            raise InputError(
                f"{name} hold values other than 0 and 1 (the largest is {mask.max().item()}); "
                "name one that stands for the unknown in the labels by ignore_index."
            )
    return found.to(torch.uint8).numpy(), truth.to(torch.uint8).numpy()
