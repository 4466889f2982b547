"""How tiles are made: what can be asked of a model, and what each leaves to it."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from diffusers import (
    DDIMScheduler,
    DPMSolverMultistepScheduler,
    EulerDiscreteScheduler,
    UniPCMultistepScheduler,
)

from rsaug.errors import InputError
from rsaug.pipelines.guidance import Interval
from rsaug.pipelines.pipeline import CRSDiffPipeline

SCHEDULERS: Mapping[str, Any] = {
    "ddim": DDIMScheduler,
    "dpm++": DPMSolverMultistepScheduler,
    "unipc": UniPCMultistepScheduler,
    "euler": EulerDiscreteScheduler,
}
"""Schedulers by the names they are asked for."""


@dataclass(frozen=True)
class Settings:
    """How tiles are made, the same for every tile of a run; None is the model's own choice.

    Attributes:
        prompt: text; empty for none.
        negative_prompt: text that guidance leads away from.
        style_strength: how much of the style image is taken over.
        date: date of acquisition to imitate.
        steps: denoising steps.
        guidance: classifier-free guidance scale of text and style.
        control_guidance: that of the controls.
        guidance_interval: when guidance is on; see `rsaug.pipelines.guidance`.
        guidance_rescale: share in which guided predictions are given back their deviation.
        strengths: strength of controls by name, 1 unless named.
        intervals: when a control is given, by name; always unless named.
        scheduler: a name of :data:`SCHEDULERS`.
        reuse: how often all of the UNet is computed; see `rsaug.pipelines.reuse`.
        grain: how much of the model's grain images are given; see `rsaug.pipelines.grain`.
    """

    prompt: str = ""
    negative_prompt: str = ""
    style_strength: float = 1.0
    date: dt.date | None = None
    steps: int | None = None
    guidance: float | None = None
    control_guidance: float | None = None
    guidance_interval: Interval = (0.0, 1.0)
    guidance_rescale: float = 0.0
    strengths: Mapping[str, float] = field(default_factory=dict)
    intervals: Mapping[str, Interval] = field(default_factory=dict)
    scheduler: str | None = None
    reuse: int = 1
    grain: float = 1.0

    def check(self) -> None:
        """Check what can be checked without a model.

        Raises:
            InputError: for a value that no model can work with.
        """
        if self.scheduler is not None and self.scheduler not in SCHEDULERS:
            raise InputError(
                f"No scheduler is called {self.scheduler!r}; there are {sorted(SCHEDULERS)}."
            )
        if self.steps is not None and not 1 <= self.steps <= 1000:
            raise InputError(f"The number of steps must be 1 to 1000, not {self.steps}.")
        scales = {
            "guidance scale": self.guidance,
            "guidance scale of the controls": self.control_guidance,
            "strength of the style": self.style_strength,
            "strength of the grain": self.grain,
        }
        for what, value in scales.items():
            if value is not None and not (math.isfinite(value) and value >= 0):
                raise InputError(f"The {what} must be a number from 0 up, not {value}.")
        if self.reuse < 1:
            raise InputError(
                f"All of the network is computed every 1, 2, ... steps, not every {self.reuse}."
            )
        if not 0 <= self.guidance_rescale <= 1:
            raise InputError(
                f"Guidance is rescaled by a share of 0 to 1, not {self.guidance_rescale}."
            )

    def resolved(self, pipe: CRSDiffPipeline) -> Settings:
        """The settings with the choices of a pipeline in the place of None."""
        guidance, control_guidance = pipe.scales(self.guidance, self.control_guidance)
        return replace(
            self,
            steps=self.steps or pipe.config.default_steps,
            guidance=guidance,
            control_guidance=control_guidance,
            scheduler=self.scheduler or _scheduler_name(pipe),
        )


def _scheduler_name(pipe: CRSDiffPipeline) -> str:
    kind = type(pipe.scheduler)
    return next((name for name, cls in SCHEDULERS.items() if cls is kind), "ddim")
