"""What the denoiser is trained to predict, for epsilon and for v, and how samples are weighed."""

from __future__ import annotations

from typing import Any

import torch
from diffusers import DDIMScheduler
from torch import Tensor

from rsaug.errors import InputError

KINDS = ("epsilon", "v_prediction")
"""Kinds of prediction that can be trained, as schedulers name them."""


class Objective:
    """The squared error of a prediction at timesteps spread evenly over a noise schedule.

    Args:
        scheduler: any scheduler of the model; its noise schedule and its kind of prediction hold.
        min_snr: upper bound on a sample's weight in signal space (Hang et al. 2023), None for plain
            squared errors. For v the lower bound is 1, as a schedule with zero terminal SNR would
            else learn nothing from pure noise.

    Raises:
        InputError: if the model predicts something else.
    """

    def __init__(self, scheduler: Any, min_snr: float | None) -> None:
        # Samplers change the noise schedule to their needs; this one takes it as configured.
        self._noise = DDIMScheduler.from_config(scheduler.config)
        self.kind: str = scheduler.config.prediction_type
        self.steps: int = scheduler.config.num_train_timesteps
        self.min_snr = min_snr
        if self.kind not in KINDS:
            raise InputError(
                f"The model predicts {self.kind!r}; only {' and '.join(KINDS)} can be trained."
            )

    def draw(
        self, latents: Tensor, part: slice, total: int
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Noisy latents, their timesteps (n,), what to predict for them, and their weights.

        Drawn from torch's generator of the CPU for the whole batch, whatever the part.

        Args:
            latents: (n, c, h, w) clean latents, a part of a batch.
            part: which samples of it these are.
            total: samples in the batch.
        """
        # One timestep from each of n equal parts: less variance than n independent ones.
        spread = (torch.arange(total) + torch.rand(total)) / total
        # In float32 the last of them can be rounded up to one.
        timesteps = (spread * self.steps).long().clamp(max=self.steps - 1)[part].to(latents.device)
        noise = torch.randn(total, *latents.shape[1:])[part].to(latents.device)
        noisy = self._noise.add_noise(latents, noise, timesteps)
        alpha = self._noise.alphas_cumprod.to(latents.device)[timesteps].view(-1, 1, 1, 1)
        target = noise
        if self.kind == "v_prediction":
            target = alpha.sqrt() * noise - (1 - alpha).sqrt() * latents
        return noisy, timesteps, target, self.weight(alpha)

    def weight(self, alpha: Tensor) -> Tensor:
        """Weight of a squared error where the signal has the share ``alpha`` of the variance."""
        if self.min_snr is None:
            return torch.ones_like(alpha)
        snr = alpha / (1 - alpha)
        if self.kind == "epsilon":
            return snr.clamp(max=self.min_snr) / snr
        return snr.clamp(1.0, self.min_snr) / (snr + 1)
