"""Train the small autoencoder of the default model.

The latent is batch-normalised while training, so that the denoiser meets zero mean and unit
variance in every channel; afterwards the normalisation is folded into the encoder's last
convolution, exactly, and the saved model is a plain :class:`diffusers.AutoencoderDC`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderDC
from numpy.typing import NDArray
from torch import Tensor, nn

from rsaug.pipelines.train.checkpoint import digest_of
from rsaug.pipelines.train.loop import Loop, Schedule, seeded, turn, warmup_cosine
from rsaug.pipelines.train.losses import LPIPS
from rsaug.pipelines.train.machine import Run


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


def sample_crops(
    chips: Tensor, recipe: AutoencoderRecipe, rng: np.random.Generator, part: slice = slice(None)
) -> Tensor:
    """Random crops, turned, mirrored and shifted in colour; a ``part`` of a batch, in [-1, 1]."""
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
    return torch.cat(crops[part])


class Autoencoding(nn.Module):
    """Images to what the autoencoder makes of them, and how far that looks from them.

    Args:
        recipe: sizes.
        lpips_weights: safetensors file of :class:`LPIPS`, or None for no perceptual distance.
    """

    def __init__(self, recipe: AutoencoderRecipe, lpips_weights: Path | None) -> None:
        super().__init__()
        self.model = make_autoencoder(recipe)
        self.norm = nn.BatchNorm2d(recipe.latent_channels, affine=False, momentum=0.02)
        self.lpips = LPIPS(lpips_weights) if lpips_weights else None

    def forward(self, x: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
        """Images (n, 3, h, w) decoded from the latents of ``x`` and ``noise``; the distance ()."""
        z = self.norm(self.model.encode(x).latent.float())
        y = self.model.decode(z + noise).sample
        return y, self.lpips(y, x).mean() if self.lpips else x.new_zeros(())


def train_autoencoder(
    chips: NDArray[np.uint8],
    out: Path,
    lpips_weights: Path | None,
    recipe: AutoencoderRecipe,
    log: Callable[[str], None],
    *,
    run: Run | None = None,
) -> AutoencoderDC:
    """Train on ``chips`` and save to ``out``; resumes what is there.

    In several processes the latent is normalised by each process's part of a batch.

    Args:
        chips: training images, (n, size, size, 3) uint8.
        out: folder of the finished model; checkpoints go beside it as ``<out>.ckpt``.
        lpips_weights: safetensors file of :class:`LPIPS`, or None to train on L1 alone.
        recipe: sizes and schedule.
        log: where progress lines go.
        run: device, precision and how often something is written.

    Returns:
        The averaged model, its latent normalised by channel.

    Raises:
        InputError: for a run that cannot be, or a checkpoint of another run.
    """
    with seeded(recipe.seed, torch.device("cpu")):
        network = Autoencoding(recipe, lpips_weights)
    network.model.to(memory_format=torch.channels_last)
    loop = Loop(
        network,
        Schedule(
            steps=recipe.steps,
            batch=recipe.batch,
            learning_rate=recipe.learning_rate,
            factor=lambda step: warmup_cosine(step, recipe.steps, recipe.warmup),
            weight_decay=recipe.weight_decay,
            betas=(0.9, 0.99),
            ema_decay=recipe.ema_decay,
        ),
        run or Run(log_every=50, save_every=250),
        out,
        {"recipe": asdict(recipe), "lpips": lpips_weights is not None, "data": digest_of(chips)},
        log,
    )
    pool = torch.from_numpy(chips)
    side = recipe.crop // 2 ** (len(recipe.widths) - 1)
    shape = (recipe.batch, recipe.latent_channels, side, side)

    def losses(step: int, part: slice) -> dict[str, Tensor]:
        # Keyed by the step, so that a resumed run sees what an uninterrupted one would.
        draw = np.random.default_rng((recipe.seed, step))
        rng = torch.Generator().manual_seed(recipe.seed * 1_000_003 + step)
        x = sample_crops(pool, recipe, draw, part)
        x = x.to(loop.device, memory_format=torch.channels_last)
        # A latent that bears noise makes a decoder that forgives the denoiser's errors.
        amount = torch.rand(recipe.batch, 1, 1, 1, generator=rng) * recipe.latent_noise
        noise = amount * torch.randn(shape, generator=rng)
        y, perceptual = loop.forward(x, noise[part].to(loop.device))
        l1 = (y.float() - x).abs().mean()
        return {"loss": l1 + recipe.lpips_weight * perceptual, "l1": l1, "lpips": perceptual}

    def export() -> None:
        fold_norm(network.model, network.norm)
        network.model.save_pretrained(out)

    loop.train(losses)
    loop.finish(export)
    return network.model
