"""Data modules for torchgeo and Lightning: real tiles and synthetic ones in one training.

They need torchgeo, which comes with ``pip install 'rsaug[eval]'``.
"""

from __future__ import annotations

from rsaug.optional import require

require("torchgeo", extra="eval")

from rsaug.downstream.datamodules.roads import RoadDataModule  # noqa: E402  # after the message
from rsaug.downstream.datamodules.synthetic import SyntheticDataModule  # noqa: E402  # likewise

__all__ = ["RoadDataModule", "SyntheticDataModule"]
