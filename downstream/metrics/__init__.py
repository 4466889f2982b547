"""Road metrics: of pixels, of paths through the road graph, and of its shape.

All are made of numbers that are counted tile by tile, added up over a data set and only then
divided. Functions need numpy, scipy and shapely; those that draw a skeleton need scikit-image, and
`rsaug.downstream.metrics.modules`, the same as torchmetrics, needs torchmetrics.
"""

from rsaug.downstream.metrics.cldice import cldice_counts
from rsaug.downstream.metrics.paths import (
    apls,
    apls_counts,
    apls_scores,
    connectivity,
    connectivity_counts,
    connectivity_scores,
)
from rsaug.downstream.metrics.pixels import (
    COUNTS,
    Scores,
    confusion_counts,
    f1,
    iou,
    near,
    precision,
    recall,
    relaxed_counts,
    relaxed_scores,
    road_scores,
    total_scores,
)
from rsaug.downstream.metrics.topo import topo_counts

__all__ = [
    "COUNTS",
    "Scores",
    "apls",
    "apls_counts",
    "apls_scores",
    "cldice_counts",
    "confusion_counts",
    "connectivity",
    "connectivity_counts",
    "connectivity_scores",
    "f1",
    "iou",
    "near",
    "precision",
    "recall",
    "relaxed_counts",
    "relaxed_scores",
    "road_scores",
    "topo_counts",
    "total_scores",
]
