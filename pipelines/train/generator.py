"""Train the denoiser and the adapters of a CRS-Diff model on tiles of one's own.

v-prediction (Salimans & Ho 2022) on a cosine schedule with zero terminal SNR (Lin et al. 2024), the
loss weighted by min-SNR (Hang et al. 2023) with a floor of one, averaged weights.
"""

from __future__ import annotations

import copy
import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import AutoencoderDC, DDIMScheduler
from torch import Tensor, nn

from rsaug.pipelines.generate import SCHEDULERS
from rsaug.pipelines.metadata import MetadataRanges
from rsaug.pipelines.pipeline import CRSDiffPipeline
from rsaug.pipelines.presets import DEFAULT, Preset, make_networks
from rsaug.pipelines.text import CaptionEncoder, learn_vocabulary
from rsaug.pipelines.train.examples import Batch, ConditionMix, LatentCache, draw_batch
from rsaug.pipelines.train.loop import Ema, Stateful, resume, save_checkpoint, seeded
from rsaug.pipelines.train.pack import Pack

# What may change when a run is taken up again.
_FREE = ("steps", "sampler", "sampling_steps", "guidance")


@dataclass(frozen=True)
class GeneratorRecipe:
    """How the denoiser is trained; the defaults made the shipped one.

    Attributes:
        steps: optimisation steps; the learning rate falls over the last quarter, so a run may be
            given more of them until then.
        batch: samples a step.
        min_snr: upper bound on a sample's weight in signal space; the lower one is 1.
        mix: which conditions a sample sees.
        preset: sizes of the networks.
        sampler: scheduler of the finished pipeline, by its name in `SCHEDULERS`.
        sampling_steps: denoising steps of the finished pipeline when its caller does not say.
        guidance: its guidance scale when its caller does not say.
    """

    steps: int = 3600
    batch: int = 16
    warmup: int = 100
    learning_rate: float = 6e-4
    weight_decay: float = 1e-2
    ema_decay: float = 0.998
    min_snr: float = 5.0
    seed: int = 0
    mix: ConditionMix = field(default_factory=ConditionMix)
    preset: Preset = DEFAULT
    sampler: str = "dpm++"
    sampling_steps: int = 12
    guidance: float = 2.0


def make_scheduler() -> DDIMScheduler:
    """The noise schedule that the default model is trained on."""
    return DDIMScheduler(
        beta_schedule="squaredcos_cap_v2",
        prediction_type="v_prediction",
        rescale_betas_zero_snr=True,
        timestep_spacing="trailing",
        clip_sample=False,
    )


def learning_rate_factor(step: int, steps: int, warmup: int) -> float:
    """Linear warm-up, constant, then linear to zero over the last quarter."""
    return min(1.0, (step + 1) / warmup, (steps - step) / max(1, steps // 4))


def metadata_ranges(metadata: np.ndarray) -> MetadataRanges:
    """Range of each field over examples (n, 7); None for one that is not known of any."""
    ranges: list[tuple[float, float] | None] = []
    for column in metadata.T:
        known = column[~np.isnan(column)]
        low, high = (round(float(f(known)), 4) for f in (np.min, np.max)) if known.size else (0, 0)
        ranges.append((low, high) if known.size else None)
    return tuple(ranges)


class Trainer:
    """Networks, optimiser and averages of one training run; resumes from its checkpoint.

    Args:
        pack: training examples.
        vae: trained autoencoder, frozen.
        out: folder of the finished pipeline; the checkpoint goes beside it as ``<out>.ckpt``.
        recipe: schedule and sizes.
        device: where to train.
    """

    def __init__(
        self,
        pack: Pack,
        vae: AutoencoderDC,
        out: Path,
        recipe: GeneratorRecipe,
        device: torch.device,
    ) -> None:
        torch.manual_seed(recipe.seed)
        self.vae, self.out, self.recipe, self.device = vae, out, recipe, device
        words = learn_vocabulary(text for texts in pack.captions for text in texts)
        preset = recipe.preset.fitted(vae.config.latent_channels, metadata_ranges(pack.metadata))
        unet, adapter, metadata, content = make_networks(preset)
        text = CaptionEncoder(words, dim=unet.config.cross_attention_dim)
        self.parts: dict[str, Any] = {
            "unet": unet,
            "local_adapter": adapter,
            "metadata_embedding": metadata,
            "content_adapter": content,
            "text_encoder": text,
        }
        self.networks = nn.ModuleDict(self.parts).to(device).to(memory_format=torch.channels_last)
        self.scheduler = make_scheduler()
        self.ema = Ema(self.networks.parameters(), recipe.ema_decay)
        self.optimizer = torch.optim.AdamW(
            self.networks.parameters(),
            lr=recipe.learning_rate,
            betas=(0.9, 0.99),
            weight_decay=recipe.weight_decay,
        )
        self.checkpoint = out.with_name(out.name + ".ckpt")
        self._parts: dict[str, Stateful] = {
            "networks": self.networks,
            "optimizer": self.optimizer,
            "ema": self.ema,
        }
        self._made_by = {
            "recipe": {k: v for k, v in asdict(recipe).items() if k not in _FREE},
            "vocabulary": words,
            "examples": len(pack),
        }
        self.step = resume(self.checkpoint, self._parts, self._made_by)

    def save(self) -> None:
        """Write the checkpoint."""
        save_checkpoint(self.checkpoint, self._parts, self.step, self._made_by)

    def predict(self, noisy: Tensor, timesteps: Tensor, batch: Batch) -> Tensor:
        """The networks' v for noisy latents (n, c, h, w) at ``timesteps`` (n,)."""
        net = self.parts
        with torch.autocast(self.device.type, torch.bfloat16):
            text = net["text_encoder"](net["text_encoder"].tokenize(batch.prompts).to(self.device))
            context = torch.cat([text, net["content_adapter"](batch.content)], 1)
            adapter = net["local_adapter"]
            modulation = adapter.encode_controls(batch.controls, batch.present)
            residuals = adapter(noisy, timesteps, context, modulation)
            out = net["unet"](
                noisy,
                timesteps,
                context,
                class_labels=net["metadata_embedding"](batch.metadata),
                down_block_additional_residuals=list(residuals.down),
                mid_block_additional_residual=residuals.mid,
            ).sample
        prediction: Tensor = out.float()
        return prediction

    def loss(self, batch: Batch) -> Tensor:
        """Weighted v-loss of a batch at timesteps spread evenly over the schedule."""
        count, steps = len(batch.latents), self.scheduler.config.num_train_timesteps
        # One timestep from each of n equal parts: less variance than n independent ones.
        spread = (torch.arange(count) + torch.rand(count)) / count
        timesteps = (spread * steps).long().to(self.device)
        noise = torch.randn(batch.latents.shape).to(self.device)
        noisy = self.scheduler.add_noise(batch.latents, noise, timesteps)
        alpha = self.scheduler.alphas_cumprod.to(self.device)[timesteps].view(-1, 1, 1, 1)
        target = alpha.sqrt() * noise - (1 - alpha).sqrt() * batch.latents
        snr = alpha / (1 - alpha)
        weight = snr.clamp(1.0, self.recipe.min_snr) / (snr + 1)
        error = (self.predict(noisy, timesteps, batch) - target).pow(2)
        loss: Tensor = (weight * error).mean()
        return loss

    def train_step(self, batch: Batch) -> float:
        """One optimisation step; the loss."""
        factor = learning_rate_factor(self.step, self.recipe.steps, self.recipe.warmup)
        for group in self.optimizer.param_groups:
            group["lr"] = self.recipe.learning_rate * factor
        self.networks.train()
        # Keyed by the step, so that a resumed run goes on as an uninterrupted one would.
        with seeded(self.recipe.seed * 1_000_003 + self.step, self.device):
            loss = self.loss(batch)
        self.optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward(loss)
        nn.utils.clip_grad_norm_(self.networks.parameters(), 1.0)
        self.optimizer.step()
        self.ema.update()
        self.step += 1
        return loss.item()

    def pipeline(self) -> CRSDiffPipeline:
        """A pipeline on the live networks; swap the averages in around its use."""
        self.networks.eval()
        recipe = self.recipe
        return CRSDiffPipeline(
            vae=self.vae,
            scheduler=SCHEDULERS[recipe.sampler].from_config(self.scheduler.config),
            guide_controls=True,
            trained_controls=list(recipe.mix.slots),
            default_steps=recipe.sampling_steps,
            default_guidance=recipe.guidance,
            **self.parts,
        )

    def export(self) -> CRSDiffPipeline:
        """Save the averaged pipeline in half precision to ``out`` and return it as loaded."""
        self.ema.swap()
        save_half(self.pipeline(), self.out)
        self.ema.swap()
        pipe: CRSDiffPipeline = CRSDiffPipeline.from_pretrained(
            self.out, use_safetensors=True, low_cpu_mem_usage=False
        )
        return pipe


def save_half(pipe: CRSDiffPipeline, out: Path) -> None:
    """Save a copy of the pipeline in half precision, without a word on where its parts lay."""
    copy.deepcopy(pipe).to(torch.float16).save_pretrained(out)
    for path in out.rglob("*.json"):
        config = json.loads(path.read_text(encoding="utf-8"))
        if config.pop("_name_or_path", None) is not None:
            text = json.dumps(config, indent=2, sort_keys=True)
            path.write_text(f"{text}\n", encoding="utf-8")


def train_generator(
    pack: Pack,
    weights: np.ndarray,
    vae: AutoencoderDC,
    out: Path,
    recipe: GeneratorRecipe,
    log: Callable[[str], None],
    *,
    device: torch.device,
    log_every: int = 25,
    save_every: int = 200,
) -> CRSDiffPipeline:
    """Train on ``pack`` and save the pipeline to ``out``; resumes what is there.

    Args:
        pack: training examples.
        weights: (n,) how often each example is drawn; need not sum to one.
        vae: trained autoencoder.
        out: folder of the finished pipeline.
        recipe: schedule and sizes.
        log: where progress lines go.
        device: where to train.
        log_every: steps between lines.
        save_every: steps between checkpoints.

    Returns:
        The trained pipeline, averaged weights, in half precision.
    """
    trainer = Trainer(pack, vae, out, recipe, device)
    cache = LatentCache(pack.rgb, vae, device)
    odds = np.asarray(weights, dtype=np.float64) / np.sum(weights)
    losses: list[float] = []
    began, first = time.monotonic(), trainer.step
    while trainer.step < recipe.steps:
        draw = np.random.default_rng((recipe.seed, trainer.step))
        batch = draw_batch(pack, cache, odds, recipe.mix, recipe.batch, draw)
        losses.append(trainer.train_step(batch.to(device)))
        if trainer.step % save_every == 0 or trainer.step == recipe.steps:
            trainer.save()
        if trainer.step % log_every == 0:
            pace = (time.monotonic() - began) / (trainer.step - first)
            log(f"step {trainer.step}: loss {np.mean(losses):.4f} {pace:.2f} s/step")
            losses.clear()
    return trainer.export()
