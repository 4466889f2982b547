"""torchgeo's base of tasks, which 0.10 moved to another place."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torchgeo.trainers import BaseTask
else:
    try:
        from torchgeo.tasks import BaseTask
    except ModuleNotFoundError:
        from torchgeo.trainers import BaseTask

__all__ = ["BaseTask"]
