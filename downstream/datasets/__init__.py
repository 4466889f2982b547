"""Datasets for torchgeo: synthetic tiles, road vectors and real tiles with road masks.

They need torchgeo, which comes with ``pip install 'rsaug[eval]'``.
"""

from __future__ import annotations

from rsaug.optional import require

require("torchgeo", extra="eval")

from rsaug.downstream.datasets.chips import RoadChips  # noqa: E402  # after the message above
from rsaug.downstream.datasets.contract import CLASSES, PALETTE, DataNotFound  # noqa: E402
from rsaug.downstream.datasets.deepglobe import DeepGlobeRoads  # noqa: E402
from rsaug.downstream.datasets.massachusetts import MassachusettsRoads  # noqa: E402
from rsaug.downstream.datasets.naip import NAIPRoads  # noqa: E402
from rsaug.downstream.datasets.registry import ENTRY_POINTS, dataset_class, datasets  # noqa: E402
from rsaug.downstream.datasets.spacenet import SpaceNetRoads  # noqa: E402
from rsaug.downstream.datasets.synthetic import SyntheticRoads  # noqa: E402
from rsaug.downstream.datasets.vectors import RoadVectors  # noqa: E402

__all__ = [
    "CLASSES",
    "ENTRY_POINTS",
    "PALETTE",
    "DataNotFound",
    "DeepGlobeRoads",
    "MassachusettsRoads",
    "NAIPRoads",
    "RoadChips",
    "RoadVectors",
    "SpaceNetRoads",
    "SyntheticRoads",
    "dataset_class",
    "datasets",
]
