"""The network under all its conditions, as a function of latent and time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from diffusers import UNet2DConditionModel
from torch import Tensor

from rsaug.pipelines.adapter import LocalAdapter
from rsaug.pipelines.guidance import Branch, Guidance
from rsaug.pipelines.reuse import DeepReuse
from rsaug.pipelines.steering import Steering


@dataclass(frozen=True, eq=False)
class Denoiser:
    """Guided predictions, all branches of a step in one forward.

    Whatever does not depend on the step - context, metadata, the controls' modulation - was
    computed before.

    Attributes:
        unet: the denoiser, or what stands for it during this trajectory.
        local_adapter: what turns the controls into residuals.
        contexts: (n, tokens, dim) context tokens of each branch.
        class_labels: (n, dim) metadata vectors, the same for every branch.
        steering: the controls.
        guidance: how branches are weighed.
        control_scale: factor on the adapter's residuals.
    """

    unet: UNet2DConditionModel | DeepReuse
    local_adapter: LocalAdapter
    contexts: Mapping[Branch, Tensor]
    class_labels: Tensor
    steering: Steering
    guidance: Guidance
    control_scale: float = 1.0
    _batched: dict[tuple[Branch, ...], tuple[Tensor, Tensor]] = field(default_factory=dict)

    def __call__(self, sample: Tensor, timestep: Tensor, moment: float) -> Tensor:
        """The guided prediction (n, c, h, w), float32, of the kind the scheduler expects.

        Args:
            sample: (n, c, h, w) noisy latent, scaled as the scheduler's model input.
            timestep: scalar tensor.
            moment: from 0 to 1; see `rsaug.pipelines.guidance.Interval`.
        """
        branches = self.guidance.branches(moment)
        if isinstance(self.unet, DeepReuse):
            self.unet.keep_for(tuple(branches))
        count = len(branches)
        sample = torch.cat([sample] * count).to(self.class_labels.dtype)
        context, class_labels = self._conditions(tuple(branches))
        modulation = self.steering.at(moment, branches)
        residuals = self.local_adapter(sample, timestep, context, modulation)
        down, mid = residuals.down, residuals.mid
        if self.control_scale != 1:
            down = tuple(r * self.control_scale for r in down)
            mid = mid * self.control_scale
        prediction: Tensor = self.unet(
            sample,
            timestep,
            context,
            class_labels=class_labels,
            down_block_additional_residuals=list(down),
            mid_block_additional_residual=mid,
            return_dict=False,
        )[0]
        return self.guidance.combine(prediction.float().chunk(count), branches)

    def _conditions(self, branches: tuple[Branch, ...]) -> tuple[Tensor, Tensor]:
        """Context and metadata of the branches, one after the other along the batch."""
        if branches not in self._batched:
            context = torch.cat([self.contexts[branch] for branch in branches])
            self._batched[branches] = context, self.class_labels.repeat(len(branches), 1)
        return self._batched[branches]


def clean_estimate(scheduler: Any, prediction: Tensor, sample: Tensor, timestep: Tensor) -> Tensor:
    """The clean latent that a prediction implies, same shape.

    Args:
        scheduler: whose noise schedule and prediction type hold.
        prediction: the network's output.
        sample: (n, c, h, w) noisy latent, scaled as the model's input, which is
            ``sqrt(a) * clean + sqrt(1 - a) * noise`` for every scheduler.
        timestep: scalar tensor.

    Raises:
        ValueError: for a prediction type other than epsilon, v_prediction and sample.
    """
    a = _signal(scheduler, timestep, sample)
    kind = scheduler.config.prediction_type
    if kind == "epsilon":
        return (sample - (1 - a).sqrt() * prediction) / a.sqrt()
    if kind == "v_prediction":
        return a.sqrt() * sample - (1 - a).sqrt() * prediction
    if kind == "sample":
        return prediction
    raise ValueError(f"a scheduler of prediction type {kind!r} is not known here")


def prediction_for(scheduler: Any, clean: Tensor, sample: Tensor, timestep: Tensor) -> Tensor:
    """The prediction that implies a clean latent: the inverse of `clean_estimate`."""
    a = _signal(scheduler, timestep, sample)
    kind = scheduler.config.prediction_type
    if kind == "sample":
        return clean
    noise = (sample - a.sqrt() * clean) / (1 - a).sqrt()
    return noise if kind == "epsilon" else a.sqrt() * noise - (1 - a).sqrt() * clean


def _signal(scheduler: Any, timestep: Tensor, like: Tensor) -> Tensor:
    """Share of the signal's variance, the cumulative product of alphas, at a timestep."""
    shares = scheduler.alphas_cumprod
    below = int(timestep)
    share: Tensor = shares[below]
    # Euler's timesteps may lie between two of the training, and its noise then does, too.
    if between := float(timestep) - below:
        low, high = (((1 - shares[t]) / shares[t]).sqrt() for t in (below, below + 1))
        sigma = low + between * (high - low)
        share = 1 / (1 + sigma**2)
    return share.to(like.device, torch.float32)
