"""Train the decoder of a finished model on what its denoiser makes.

An autoencoder's decoder has seen the latents of photographs. Those that a small denoiser makes are
smoother, and decoded they are blurred photographs. Here the decoder learns to make a photograph of
them: a real latent is noised, the denoiser cleans it in one evaluation, and what is decoded of that
is compared with the real image: pixels, LPIPS, and a critic (Esser et al. 2021) that tells decoded
from real patches. Encoder and denoiser stay as they are.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import EllipsisType

import numpy as np
import torch
from diffusers import DDIMScheduler
from torch import Tensor, nn

from rsaug.errors import InputError
from rsaug.pipelines.pipeline import CRSDiffPipeline
from rsaug.pipelines.train.checkpoint import digest_of
from rsaug.pipelines.train.critic import PatchCritic, held, hinge_loss
from rsaug.pipelines.train.examples import Batch, draw_batch, photographs
from rsaug.pipelines.train.loop import Loop, Schedule, seeded
from rsaug.pipelines.train.losses import LPIPS
from rsaug.pipelines.train.machine import Run
from rsaug.pipelines.train.mix import ConditionMix, read_mix
from rsaug.pipelines.train.models import image_cache, save_half
from rsaug.pipelines.train.networks import GeneratorNetworks
from rsaug.pipelines.train.pack import Pack


@dataclass(frozen=True)
class DecoderRecipe:
    """How a decoder is trained on what the denoiser makes.

    Attributes:
        steps: optimisation steps.
        batch: images a step.
        crop: side of the part of an image that is decoded, in pixels.
        warmup: steps in which the critic alone learns.
        real_share: share of the images whose latent is that of the photograph itself.
        noise: lowest and highest deviation of the noise that the denoiser has to take away, in
            shares of the signal's own scale.
        l1_weight: weight of the absolute error in pixels.
        lpips_weight: weight of the perceptual distance.
        critic_weight: weight of the critic's verdict.
        critic_width: channels of its first layer.
        mix: which conditions the denoiser sees.
    """

    steps: int = 1500
    batch: int = 4
    crop: int = 160
    warmup: int = 100
    learning_rate: float = 3e-4
    weight_decay: float = 1e-3
    real_share: float = 0.2
    noise: tuple[float, float] = (0.1, 0.8)
    l1_weight: float = 0.5
    lpips_weight: float = 1.0
    critic_weight: float = 0.1
    critic_width: int = 48
    ema_decay: float = 0.995
    seed: int = 0
    mix: ConditionMix = field(default_factory=lambda: read_mix("ours"))


class Decoding(nn.Module):
    """Latents to images, and what decoder and critic are to make small.

    Args:
        pipe: the model, of whose autoencoder only the decoder is trained.
        lpips: the perceptual distance.
        width: channels of the critic's first layer.
    """

    def __init__(self, pipe: CRSDiffPipeline, lpips: LPIPS, width: int) -> None:
        super().__init__()
        self._pipe = pipe
        pipe.vae.requires_grad_(False)
        self.decoder = pipe.vae.decoder.requires_grad_(True)
        self.critic = PatchCritic(width)
        self.lpips = lpips

    def forward(self, latents: Tensor, real: Tensor) -> dict[str, Tensor]:
        """Losses of latents (n, c, h/f, w/f) and the photographs that they should become."""
        made = self._pipe.decode_latents(latents)
        with held(self.critic):
            verdict = -self.critic(made).float().mean()
        return {
            "l1": (made - real).abs().mean(),
            "lpips": self.lpips(made, real).mean(),
            "verdict": verdict,
            "critic": hinge_loss(self.critic(real), self.critic(made.detach())),
        }


class _Smoother:
    """Latents of photographs as the denoiser makes them."""

    def __init__(self, pipe: CRSDiffPipeline, recipe: DecoderRecipe, device: torch.device) -> None:
        self.networks = GeneratorNetworks(pipe, "joint").eval().requires_grad_(False).to(device)
        self.scheduler = DDIMScheduler.from_config(pipe.scheduler.config)
        alpha = self.scheduler.alphas_cumprod
        deviation = ((1 - alpha) / alpha).sqrt()
        low, high = recipe.noise
        self.timesteps = torch.nonzero((deviation >= low) & (deviation <= high)).flatten()
        if not len(self.timesteps):
            raise InputError(f"The noise schedule has no step with noise of {low:g} to {high:g}.")

    @torch.no_grad()
    def __call__(self, batch: Batch, real_share: float) -> Tensor:
        """Estimates (n, c, h/f, w/f) of the clean latents from noisy ones, in one evaluation.

        Of a share of them the clean latent itself. Drawn from torch's generator of the CPU for the
        whole batch, whatever the part.
        """
        clean = batch.latents
        draw = torch.randint(len(self.timesteps), (batch.total,))
        kept = torch.rand(batch.total, 1, 1, 1)[batch.part].to(clean.device) < real_share
        noise = torch.randn(batch.total, *clean.shape[1:])[batch.part].to(clean.device)
        timesteps = self.timesteps[draw[batch.part]].to(clean.device)
        noisy = self.scheduler.add_noise(clean, noise, timesteps)
        prediction = self.networks(noisy, timesteps, batch).float()
        alpha = self.scheduler.alphas_cumprod.to(clean.device)[timesteps].view(-1, 1, 1, 1)
        if self.scheduler.config.prediction_type == "epsilon":
            estimate = (noisy - (1 - alpha).sqrt() * prediction) / alpha.sqrt()
        else:
            estimate = alpha.sqrt() * noisy - (1 - alpha).sqrt() * prediction
        return torch.where(kept, clean, estimate)


def train_decoder(
    pack: Pack,
    pipe: CRSDiffPipeline,
    out: Path,
    lpips_weights: Path,
    recipe: DecoderRecipe,
    log: Callable[[str], None],
    *,
    run: Run | None = None,
) -> CRSDiffPipeline:
    """Train the decoder of ``pipe``, in place, and save the whole model to ``out``; resumes.

    Args:
        pack: training examples.
        pipe: a trained model.
        out: folder of the finished model.
        lpips_weights: safetensors file of :class:`LPIPS`.
        recipe: schedule and weights.
        log: where progress lines go.
        run: device, precision and how often something is written.

    Returns:
        The model with averaged weights in its decoder.

    Raises:
        InputError: for a run that cannot be, images smaller than a crop, or a checkpoint of another
            run.
    """
    run = run or Run(log_every=25, save_every=100)
    _check(pack, pipe, recipe)
    start = digest_of(*(p for p in pipe.components.values() if isinstance(p, nn.Module)))
    arrays = [values for values in vars(pack).values() if isinstance(values, np.ndarray)]
    with seeded(recipe.seed, torch.device("cpu")):
        network = Decoding(pipe, LPIPS(lpips_weights), recipe.critic_width)
    loop = Loop(
        network.to(memory_format=torch.channels_last),
        Schedule(
            steps=recipe.steps,
            batch=recipe.batch,
            learning_rate=recipe.learning_rate,
            factor=lambda step: min(1.0, 2 * (recipe.steps - step) / recipe.steps),
            weight_decay=recipe.weight_decay,
            betas=(0.5, 0.99),
            ema_decay=recipe.ema_decay,
        ),
        run,
        out,
        {
            "recipe": {k: v for k, v in asdict(recipe).items() if k != "steps"},
            "start": start,
            "data": digest_of(*arrays, repr(pack.captions)),
        },
        log,
    )
    device = loop.device
    smoother = _Smoother(pipe, recipe, device)
    factor = pipe.vae_scale_factor
    cache = image_cache(pipe, pack.rgb, device, full=run.products() == "no")
    # What encodes stays as it is; what decodes learns.
    network.decoder.requires_grad_(True).train()
    odds = np.full(len(pack), 1 / len(pack))

    weights = {
        "l1": recipe.l1_weight,
        "lpips": recipe.lpips_weight,
        "verdict": recipe.critic_weight,
        "critic": 1.0,
    }

    def losses(step: int, part: slice) -> Mapping[str, Tensor]:
        # Keyed by the step, so that a resumed run goes on as an uninterrupted one would.
        draw = np.random.default_rng((recipe.seed, step))
        batch = draw_batch(pack, cache, odds, recipe.mix, recipe.batch, draw, part).to(device)
        real = photographs(pack, batch).to(device)
        with seeded(recipe.seed * 1_000_003 + step, device), loop.accelerator.autocast():
            latents = smoother(batch, recipe.real_share)
        window = _draw_window(latents, recipe.crop // factor, draw)
        found = loop.forward(latents[window], real[_pixels(window, factor)])
        late = step >= recipe.warmup
        loss = sum(
            weights[name] * value for name, value in found.items() if late or name == "critic"
        )
        return {"loss": loss, **found}

    loop.train(losses)
    loop.finish(lambda: save_half(pipe, out))
    return pipe


Window = tuple[EllipsisType, slice, slice]


def _draw_window(latents: Tensor, cells: int, rng: np.random.Generator) -> Window:
    """A square of cells of latents, anywhere."""
    first = [int(rng.integers(side - cells + 1)) for side in latents.shape[-2:]]
    return (..., slice(first[0], first[0] + cells), slice(first[1], first[1] + cells))


def _pixels(window: Window, factor: int) -> Window:
    """The pixels of a square of cells."""
    rows, cols = (slice(s.start * factor, s.stop * factor) for s in window[1:])
    return (..., rows, cols)


def _check(pack: Pack, pipe: CRSDiffPipeline, recipe: DecoderRecipe) -> None:
    """Raise InputError for what cannot be trained."""
    if recipe.crop % pipe.vae_scale_factor or recipe.crop > min(pack.rgb.shape[1:3]):
        raise InputError(
            f"A crop of {recipe.crop} pixels must be a multiple of {pipe.vae_scale_factor} and fit "
            f"into examples of {pack.rgb.shape[1]}x{pack.rgb.shape[2]}."
        )
