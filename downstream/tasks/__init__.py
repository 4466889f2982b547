"""Tasks for torchgeo and Lightning: road detectors.

They need torchgeo, which comes with ``pip install 'rsaug[eval]'``.
"""

from __future__ import annotations

from rsaug.optional import require

require("torchgeo", extra="eval")

from rsaug.downstream.tasks.roads import RoadSegmentationTask  # noqa: E402  # after the message

__all__ = ["RoadSegmentationTask"]
