"""Train the small autoencoder of the default model.

The latent is batch-normalised while training, so that the denoiser meets zero mean and unit
variance in every channel; afterwards the normalisation is folded into the encoder's last
convolution, exactly, and the saved model is a plain :class:`diffusers.AutoencoderDC`.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderDC
from torch import Tensor, nn

from rsaug.pipelines.train.loop import (
    Ema,
    Stateful,
    resume,
    save_checkpoint,
    turn,
    warmup_cosine,
)
from rsaug.pipelines.train.losses import LPIPS


@dataclass(frozen=True)
class AutoencoderRecipe:
    """How the autoencoder is trained; the defaults made the shipped one."""

    latent_channels: int = 16
    widths: tuple[int, ...] = (32, 48, 96, 192)
    encoder_layers: tuple[int, ...] = (0, 1, 1, 2)
    decoder_layers: tuple[int, ...] = (0, 1, 2, 2)
    crop: int = 128
    batch: int = 8
    steps: int = 3400
    warmup: int = 100
    learning_rate: float = 1.5e-3
    weight_decay: float = 1e-3
    lpips_weight: float = 0.5
    latent_noise: float = 0.15
    ema_decay: float = 0.998
    seed: int = 0


def make_autoencoder(recipe: AutoencoderRecipe) -> AutoencoderDC:
    """An untrained autoencoder, 8x down in space, that keeps full resolution to one convolution."""
    levels = len(recipe.widths)
    return AutoencoderDC(
        latent_channels=recipe.latent_channels,
        encoder_block_types="ResBlock",
        decoder_block_types="ResBlock",
        encoder_block_out_channels=recipe.widths,
        decoder_block_out_channels=recipe.widths,
        encoder_layers_per_block=recipe.encoder_layers,
        decoder_layers_per_block=recipe.decoder_layers,
        encoder_qkv_multiscales=((),) * levels,
        decoder_qkv_multiscales=((),) * levels,
        upsample_block_type="interpolate",
        downsample_block_type="pixel_unshuffle",
        encoder_out_shortcut=False,
    )


def fold_norm(model: AutoencoderDC, norm: nn.BatchNorm2d) -> None:
    """Make ``model.encode`` give what ``norm`` gave after it: (z - mean) / std, by channel."""
    conv = model.encoder.conv_out
    if norm.running_mean is None or norm.running_var is None or conv.bias is None:
        raise TypeError("the normalisation keeps no running statistics to fold")
    scale = torch.rsqrt(norm.running_var + norm.eps)
    with torch.no_grad():
        conv.weight.mul_(scale.view(-1, 1, 1, 1))
        conv.bias.copy_((conv.bias - norm.running_mean) * scale)


def to_unit(images: Tensor) -> Tensor:
    """uint8 (n, h, w, 3) to float (n, 3, h, w) in [-1, 1]."""
    return images.permute(0, 3, 1, 2).float() / 127.5 - 1


def sample_crops(chips: Tensor, recipe: AutoencoderRecipe, rng: np.random.Generator) -> Tensor:
    """A batch of random crops, turned, mirrored and shifted in colour; float in [-1, 1]."""
    size, limit = recipe.crop, chips.shape[1] - recipe.crop + 1
    crops = []
    for k in rng.integers(len(chips), size=recipe.batch):
        row, col = rng.integers(limit, size=2)
        crop = to_unit(chips[k, row : row + size, col : col + size][None])
        crop = turn(crop, int(rng.integers(4)), bool(rng.integers(2)))
        if rng.random() < 0.5:
            gain = torch.as_tensor(rng.uniform(0.8, 1.2, (1, 3, 1, 1)), dtype=torch.float32)
            crop = ((crop + 1) * gain - 1 + float(rng.uniform(-0.1, 0.1))).clamp(-1, 1)
        crops.append(crop)
    return torch.cat(crops)


class Trainer:
    """Model, optimiser and average of one training run; resumes from its checkpoint.

    Args:
        out: folder of the finished model; the checkpoint goes beside it as ``<out>.ckpt``.
        lpips_weights: safetensors file of :class:`LPIPS`, or None to train on L1 alone.
        recipe: sizes and schedule.
        device: where to train.
    """

    def __init__(
        self, out: Path, lpips_weights: Path | None, recipe: AutoencoderRecipe, device: torch.device
    ) -> None:
        torch.manual_seed(recipe.seed)
        self.out, self.recipe, self.device = out, recipe, device
        self.model = make_autoencoder(recipe).to(device, memory_format=torch.channels_last)
        self.norm = nn.BatchNorm2d(recipe.latent_channels, affine=False, momentum=0.02).to(device)
        self.lpips = LPIPS(lpips_weights).to(device) if lpips_weights else None
        self.ema = Ema(self.model.parameters(), recipe.ema_decay)
        self.optimizer = torch.optim.AdamW(
            self.model.parameters(),
            lr=recipe.learning_rate,
            betas=(0.9, 0.99),
            weight_decay=recipe.weight_decay,
        )
        self.checkpoint = out.with_name(out.name + ".ckpt")
        self._parts: dict[str, Stateful] = {
            "model": self.model,
            "norm": self.norm,
            "optimizer": self.optimizer,
            "ema": self.ema,
        }
        self._made_by = {"recipe": asdict(recipe), "lpips": lpips_weights is not None}
        self.step = resume(self.checkpoint, self._parts, self._made_by)

    def save(self) -> None:
        """Write the checkpoint."""
        save_checkpoint(self.checkpoint, self._parts, self.step, self._made_by)

    def train_step(self, x: Tensor, rng: torch.Generator) -> tuple[float, float]:
        """One optimisation step on images (n, 3, h, w) in [-1, 1]; the L1 and the LPIPS loss."""
        recipe = self.recipe
        factor = warmup_cosine(self.step, recipe.steps, recipe.warmup)
        for group in self.optimizer.param_groups:
            group["lr"] = recipe.learning_rate * factor
        x = x.to(self.device, memory_format=torch.channels_last)
        with torch.autocast(self.device.type, torch.bfloat16):
            z = self.norm(self.model.encode(x).latent.float())
            # A latent that bears noise makes a decoder that forgives the denoiser's errors.
            amount = torch.rand(len(z), 1, 1, 1, generator=rng) * recipe.latent_noise
            noise = amount * torch.randn(z.shape, generator=rng)
            y = self.model.decode(z + noise.to(self.device)).sample
            perceptual = self.lpips(y, x).mean() if self.lpips else x.new_zeros(())
        l1 = (y.float() - x).abs().mean()
        self.optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward(l1 + recipe.lpips_weight * perceptual)
        nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimizer.step()
        self.ema.update()
        self.step += 1
        return l1.item(), perceptual.item()

    def export(self) -> AutoencoderDC:
        """Save the averaged model to ``out``, its latent normalised, and return it."""
        self.ema.swap()
        fold_norm(self.model, self.norm)
        self.model.save_pretrained(self.out)
        return self.model


def train_autoencoder(
    chips: np.ndarray,
    out: Path,
    lpips_weights: Path | None,
    recipe: AutoencoderRecipe,
    log: Callable[[str], None],
    *,
    device: torch.device,
    log_every: int = 50,
    save_every: int = 250,
) -> AutoencoderDC:
    """Train on ``chips`` and save to ``out``; resumes what is there.

    Args:
        chips: training images, (n, size, size, 3) uint8.
        out: folder of the finished model; checkpoints go beside it as ``<out>.ckpt``.
        lpips_weights: safetensors file of :class:`LPIPS`, or None to train on L1 alone.
        recipe: sizes and schedule.
        log: where progress lines go.
        device: where to train.
        log_every: steps between lines.
        save_every: steps between checkpoints.

    Returns:
        The averaged model, its latent normalised by channel.
    """
    trainer = Trainer(out, lpips_weights, recipe, device)
    pool = torch.from_numpy(chips)
    losses: list[tuple[float, float]] = []
    began, first = time.monotonic(), trainer.step
    while trainer.step < recipe.steps:
        # Keyed by the step, so that a resumed run sees what an uninterrupted one would.
        draw = np.random.default_rng((recipe.seed, trainer.step))
        noise = torch.Generator().manual_seed(recipe.seed * 1_000_003 + trainer.step)
        losses.append(trainer.train_step(sample_crops(pool, recipe, draw), noise))
        if trainer.step % save_every == 0 or trainer.step == recipe.steps:
            trainer.save()
        if trainer.step % log_every == 0:
            pace = (time.monotonic() - began) / (trainer.step - first)
            l1, perceptual = np.mean(losses, axis=0)
            log(f"step {trainer.step}: l1 {l1:.4f} lpips {perceptual:.4f} {pace:.2f} s/step")
            losses.clear()
    return trainer.export()
