"""What is predicted, and how it is weighed: the equations, and that parts make up the batch."""

from __future__ import annotations

import pytest
import torch
from diffusers import DDIMScheduler, DPMSolverMultistepScheduler

from rsaug.errors import InputError
from rsaug.pipelines.train.objective import Objective
from rsaug.pipelines.train.recipe import make_scheduler

WHOLE = slice(None)


def epsilon_scheduler() -> DDIMScheduler:
    return DDIMScheduler(beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear")


@pytest.mark.parametrize("kind", ["epsilon", "v_prediction"])
def test_the_target_leads_back_to_the_clean_latent(kind: str) -> None:
    scheduler = DDIMScheduler(beta_schedule="squaredcos_cap_v2", prediction_type=kind)
    latents = torch.randn(16, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    torch.manual_seed(1)
    noisy, timesteps, target, _ = Objective(scheduler, None).draw(latents, WHOLE, 16)
    a = scheduler.alphas_cumprod[timesteps].view(-1, 1, 1, 1).double()
    if kind == "epsilon":
        clean = (noisy - (1 - a).sqrt() * target) / a.sqrt()
    else:
        clean = a.sqrt() * noisy - (1 - a).sqrt() * target
    rows = timesteps < 900
    torch.testing.assert_close(clean[rows], latents[rows].double(), atol=2e-4, rtol=2e-4)


def test_timesteps_are_spread_over_the_schedule() -> None:
    torch.manual_seed(0)
    _, timesteps, _, _ = Objective(make_scheduler(), 5.0).draw(torch.zeros(20, 1, 1, 1), WHOLE, 20)
    assert (timesteps // 50).tolist() == list(range(20))


def test_a_timestep_that_is_rounded_up_is_still_one_of_the_schedule() -> None:
    """Of a large batch the last is often rounded up to the end; of one of 16 in a long training."""
    total, last = 1 << 23, slice((1 << 23) - 1, None)
    objective = Objective(make_scheduler(), None)
    drawn = set()
    for seed in range(8):
        torch.manual_seed(seed)
        _, timesteps, _, _ = objective.draw(torch.zeros(1, 1, 1, 1), last, total)
        drawn.add(int(timesteps))
    assert drawn == {999}


def test_a_part_draws_what_the_whole_batch_does() -> None:
    objective = Objective(make_scheduler(), 5.0)
    latents = torch.randn(6, 4, 8, 8)
    torch.manual_seed(3)
    whole = objective.draw(latents, WHOLE, 6)
    for part in (slice(0, 2), slice(2, 6)):
        torch.manual_seed(3)
        some = objective.draw(latents[part], part, 6)
        for mine, all_of_it in zip(some, whole, strict=True):
            assert torch.equal(mine, all_of_it[part])


def test_weights_in_signal_space_are_bounded() -> None:
    alpha = torch.linspace(0.001, 0.999, 50)
    snr = alpha / (1 - alpha)
    # An error of v is 1 / (snr + 1), one of epsilon 1 / snr of what it is in the clean latent.
    of_v = Objective(make_scheduler(), 5.0).weight(alpha) * (snr + 1)
    torch.testing.assert_close(of_v, snr.clamp(1, 5))
    of_epsilon = Objective(epsilon_scheduler(), 5.0).weight(alpha) * snr
    torch.testing.assert_close(of_epsilon, snr.clamp(max=5))
    assert torch.equal(Objective(epsilon_scheduler(), None).weight(alpha), torch.ones(50))


def test_the_noise_is_the_models_whatever_its_sampler() -> None:
    sampler = DPMSolverMultistepScheduler.from_config(make_scheduler().config)
    latents = torch.randn(4, 4, 8, 8)
    drawn = []
    for scheduler in (make_scheduler(), sampler):
        torch.manual_seed(0)
        drawn.append(Objective(scheduler, 5.0).draw(latents, WHOLE, 4))
    for ours, theirs in zip(*drawn, strict=True):
        assert torch.equal(ours, theirs)


def test_what_predicts_something_else_is_refused() -> None:
    with pytest.raises(InputError, match="predicts 'sample'"):
        Objective(DDIMScheduler(prediction_type="sample"), None)
