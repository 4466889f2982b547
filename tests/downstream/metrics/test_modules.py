"""The torchmetrics versions: the numbers of the functions, added over batches and processes."""

from __future__ import annotations

import subprocess
import sys
from typing import Any, cast

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from roadtowns import town

from rsaug.downstream.graph.masks import graph_of_mask
from rsaug.downstream.metrics import (
    apls_counts,
    apls_scores,
    cldice_counts,
    confusion_counts,
    connectivity_counts,
    connectivity_scores,
    relaxed_counts,
    relaxed_scores,
    topo_counts,
    total_scores,
)
from rsaug.errors import InputError

pytest.importorskip("torchmetrics")
from torchmetrics.utilities import dim_zero_sum

from rsaug.downstream.metrics.modules import (
    Apls,
    ClDice,
    Connectivity,
    RelaxedOverlap,
    RoadMetric,
    RoadOverlap,
    Topo,
)

GSD_M = 4.0
FEW: dict[str, Any] = {"interval_m": 20.0, "radius_m": 100.0}
METRICS: dict[str, RoadMetric] = {
    "overlap": RoadOverlap(),
    "relaxed": RelaxedOverlap(slack_px=2),
    "cldice": ClDice(),
    "apls": Apls(GSD_M, options={"snap_m": 6.0}),
    "topo": Topo(GSD_M, options=FEW),
    "connectivity": Connectivity(GSD_M),
}


@pytest.fixture(scope="module")
def tiles() -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Found and true masks of three towns, and of a tile without a road."""
    masks = np.zeros((2, 4, 72, 72), np.uint8)
    for k in range(3):
        for side, graph in enumerate(town(6, k)):
            for road in graph.lines:
                for along in np.arange(0, road.length, 1.0):
                    at = road.interpolate(along)
                    row, col = 60 - int(at.y / GSD_M), int(at.x / GSD_M) + 8
                    masks[side, k, row - 1 : row + 2, col - 1 : col + 2] = 1
    return masks[0], masks[1]


def expected(name: str, found: NDArray[np.uint8], true: NDArray[np.uint8]) -> Any:
    """The scores that the functions give."""
    graphs = [[graph_of_mask(m, GSD_M) for m in side] for side in (found, true)]
    pairs = list(zip(*graphs, strict=True))
    if name == "overlap":
        return [*vars(total_scores(confusion_counts(found, true))).values()]
    if name == "relaxed":
        return relaxed_scores(relaxed_counts(found, true, 2).sum(axis=0)).tolist()
    if name == "cldice":
        return relaxed_scores(cldice_counts(found, true).sum(axis=0)).tolist()
    if name == "apls":
        return apls_scores(np.sum([apls_counts(*p, snap_m=6.0) for p in pairs], axis=0)).tolist()
    if name == "topo":
        return relaxed_scores(np.sum([topo_counts(*p, **FEW) for p in pairs], axis=0)).tolist()
    return connectivity_scores(np.sum([connectivity_counts(*p) for p in pairs], axis=0)).tolist()


@pytest.mark.parametrize("name", METRICS)
def test_scores_are_those_of_the_functions(
    name: str, tiles: tuple[NDArray[np.uint8], NDArray[np.uint8]]
) -> None:
    found, true = (torch.from_numpy(side) for side in tiles)
    metric = METRICS[name]
    metric.reset()
    metric.update(found[:1], true[:1])
    metric.update(found[1:, None], true[1:, None])
    scores = metric.compute()
    assert [*scores] == [*metric.names]
    np.testing.assert_allclose([float(s) for s in scores.values()], expected(name, *tiles))
    assert 0 < min(map(float, scores.values())) < 1
    # What a process of its own has counted is added.
    other = metric.clone()
    metric.reset()
    metric.update(found[:2], true[:2])
    other.reset()
    other.update(found[2:], true[2:])
    metric.counts = metric.counts + cast(torch.Tensor, other.counts)
    metric._computed = None
    again = metric.compute()
    assert {k: float(v) for k, v in again.items()} == pytest.approx(
        {k: float(v) for k, v in scores.items()}
    )


def test_sums_are_added_over_processes() -> None:
    for metric in METRICS.values():
        assert metric._reductions == {"counts": dim_zero_sum}


def test_probabilities_and_the_unknown() -> None:
    metric = RoadOverlap(threshold=0.7, ignore_index=255)
    metric.update(
        torch.tensor([[[0.9, 0.6, 0.8, 0.9]]]), torch.tensor([[[1, 1, 0, 255]]], dtype=torch.uint8)
    )
    scores = metric.compute()
    assert (float(scores["precision"]), float(scores["recall"])) == (0.5, 0.5)


def test_where_there_is_no_road_scores_are_nan() -> None:
    for metric in METRICS.values():
        metric.reset()
        metric.update(torch.zeros(1, 8, 8), torch.zeros(1, 8, 8, dtype=torch.int64))
        assert all(torch.isnan(score) for score in metric.compute().values())
        metric.reset()


@pytest.mark.parametrize(
    ("preds", "target", "said"),
    [
        (torch.zeros(1, 4, 4), torch.zeros(1, 4, 5), "one shape"),
        (torch.zeros(4, 4), torch.zeros(4, 4), "n, rows, cols"),
        (torch.full((1, 4, 4), 3.0), torch.zeros(1, 4, 4), "probabilities"),
        (torch.full((1, 4, 4), 256), torch.zeros(1, 4, 4), "Predictions hold"),
        (torch.zeros(1, 4, 4), torch.full((1, 4, 4), 255), "ignore_index"),
    ],
)
def test_what_is_no_mask_is_refused(preds: Any, target: Any, said: str) -> None:
    with pytest.raises(InputError, match=said):
        RoadOverlap().update(preds, target)


def test_wrong_options_are_said_at_once() -> None:
    with pytest.raises(InputError, match="snap_m"):
        Apls(1.0, options={"snap_m": -1.0})


def test_the_functions_need_no_torch() -> None:
    code = (
        "import sys, rsaug.downstream.metrics, rsaug.downstream.graph.lines\n"
        "heavy = {'torch', 'torchmetrics', 'torchgeo', 'lightning', 'networkx', 'skimage'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
