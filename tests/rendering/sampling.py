"""The noise schedule, and DDIM as released: two forwards a step, one after the other."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from rendering.released import Conditions

Predict = Callable[[Tensor, Tensor, "Conditions"], Tensor]
"""The noise in latents [B, 4, H, W] at timesteps [B], given conditions; `Released.predict`."""

STEPS = 1000
FIRST_BETA, LAST_BETA = 0.00085, 0.012


def schedule_buffers() -> dict[str, Tensor]:
    """The thirteen [1000] buffers at the root of the published file, in its order.

    Betas grow linearly in their square root; the posterior is that of DDPM (Ho et al. 2020, eq. 7).
    """
    # On the CPU even where modules are built on the meta device: these are constants, not weights.
    betas = torch.linspace(
        FIRST_BETA**0.5, LAST_BETA**0.5, STEPS, dtype=torch.float64, device="cpu"
    ).square()
    kept = torch.cumprod(1 - betas, dim=0)
    before = torch.cat([torch.ones(1, dtype=torch.float64, device="cpu"), kept[:-1]])
    variance = betas * (1 - before) / (1 - kept)
    buffers = {
        "betas": betas,
        "alphas_cumprod": kept,
        "alphas_cumprod_prev": before,
        "sqrt_alphas_cumprod": kept.sqrt(),
        "sqrt_one_minus_alphas_cumprod": (1 - kept).sqrt(),
        "log_one_minus_alphas_cumprod": (1 - kept).log(),
        "sqrt_recip_alphas_cumprod": (1 / kept).sqrt(),
        "sqrt_recipm1_alphas_cumprod": (1 / kept - 1).sqrt(),
        "posterior_variance": variance,
        "posterior_log_variance_clipped": variance.clamp(min=1e-20).log(),
        "posterior_mean_coef1": betas * before.sqrt() / (1 - kept),
        "posterior_mean_coef2": (1 - before) * (1 - betas).sqrt() / (1 - kept),
        "logvar": torch.zeros_like(betas),
    }
    return {name: values.float() for name, values in buffers.items()}


def ddim_timesteps(steps: int = 50) -> list[int]:
    """Evenly spaced from 1 on, in rising order: 1, 21, ..., 981 for 50 steps."""
    return [t + 1 for t in range(0, STEPS, STEPS // steps)]


def signal_levels(steps: int) -> tuple[list[float], list[float]]:
    """Cumulative alphas at the timesteps, and at those that follow them in sampling.

    The last step of sampling, the first of the two lists, leads to the level of timestep 0, not
    to 1.
    """
    kept = schedule_buffers()["alphas_cumprod"].tolist()
    times = ddim_timesteps(steps)
    return [kept[t] for t in times], [kept[0], *(kept[t] for t in times[:-1])]


def ddim_step(
    x: Tensor, noise: Tensor, alpha: float, alpha_next: float, sigma: float, fresh: Tensor | None
) -> Tensor:
    """Latents at the next level (Song et al. 2021, eq. 12); `fresh` is drawn noise for sigma."""
    clean = (x - math.sqrt(1 - alpha) * noise) / math.sqrt(alpha)
    out = math.sqrt(alpha_next) * clean + math.sqrt(1 - alpha_next - sigma**2) * noise
    return out if fresh is None else out + sigma * fresh


def unconditional(conditions: Conditions, negative_text: Tensor) -> Conditions:
    """Negative text and no content; the same maps and the same metadata."""
    return replace(
        conditions,
        text=negative_text,
        global_control=torch.zeros_like(conditions.global_control),
    )


def guided_noise(
    predict: Predict,
    x: Tensor,
    timestep: int,
    conditions: Conditions,
    negative: Conditions,
    guidance: float = 7.5,
) -> Tensor:
    """The prediction under guidance, by two forwards.

    With guidance 1 the release leaves out the metadata and fails; here that is two forwards, too.
    """
    times = torch.full((len(x),), timestep, device=x.device, dtype=torch.long)
    with_conditions = predict(x, times, conditions)
    without = predict(x, times, negative)
    return without + guidance * (with_conditions - without)


def guided_step(
    predict: Predict,
    x: Tensor,
    index: int,
    conditions: Conditions,
    negative: Conditions,
    *,
    steps: int = 50,
    guidance: float = 7.5,
    eta: float = 0.0,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Latents after one step.

    Args:
        predict: `Released.predict`.
        x: Latents, [B, 4, H, W].
        index: Of the timestep in `ddim_timesteps(steps)`; sampling begins with the last.
        conditions: Of the batch.
        negative: Those of the unconditional branch, from `unconditional`.
        steps: Of the whole trajectory.
        guidance: Scale of what the conditions add.
        eta: 0 for no noise between steps, 1 for as much as DDPM.
        generator: Of that noise.
    """
    noise = guided_noise(predict, x, ddim_timesteps(steps)[index], conditions, negative, guidance)
    alpha, alpha_next = (levels[index] for levels in signal_levels(steps))
    sigma = eta * math.sqrt((1 - alpha_next) / (1 - alpha) * (1 - alpha / alpha_next))
    fresh = None
    if eta > 0:
        fresh = torch.randn(x.shape, generator=generator, device=x.device, dtype=x.dtype)
    return ddim_step(x, noise, alpha, alpha_next, sigma, fresh)


@torch.no_grad()
def sample(
    predict: Predict,
    latents: Tensor,
    conditions: Conditions,
    negative_text: Tensor,
    *,
    steps: int = 50,
    guidance: float = 7.5,
    eta: float = 0.0,
    generator: torch.Generator | None = None,
    callback: Callable[[int, Tensor], None] | None = None,
) -> Tensor:
    """Latents at the end of the trajectory, to be decoded.

    Args:
        predict: `Released.predict`.
        latents: Noise of variance 1 to begin with, [B, 4, H, W].
        conditions: Of the batch.
        negative_text: Text tokens of the unconditional branch, [B, 77, context].
        steps: A divisor of 1000.
        guidance: Scale of what the conditions add.
        eta: 0 in the published interface, 0.2 in the published script.
        generator: Of the noise between steps.
        callback: Told the timestep and the latents after each step.
    """
    negative = unconditional(conditions, negative_text)
    times = ddim_timesteps(steps)
    x = latents
    for index in reversed(range(len(times))):
        x = guided_step(
            predict,
            x,
            index,
            conditions,
            negative,
            steps=steps,
            guidance=guidance,
            eta=eta,
            generator=generator,
        )
        if callback is not None:
            callback(times[index], x)
    return x
