"""Train the small autoencoder of the default model.

The latent is batch-normalised while training, so that the denoiser meets zero mean and unit
variance in every channel; afterwards the normalisation is folded into the encoder's last
convolution, exactly, and the saved model is a plain :class:`diffusers.AutoencoderDC`.

Reconstruction alone makes latents that are as rough as white noise. Two things make them smooth and
can be asked for: latents that are turned or scaled down before they are decoded, to the image that
was, too (EQ-VAE, Kouzelis et al. 2025, arXiv:2502.09509), and a loss on roughness. Neither is on by
default: with both, a generator made worse images after 2000 steps (one run).
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
from torch.nn.functional import interpolate

from rsaug.pipelines.train.checkpoint import digest_of
from rsaug.pipelines.train.loop import Loop, Schedule, seeded, turn, warmup_cosine
from rsaug.pipelines.train.losses import LPIPS
from rsaug.pipelines.train.machine import Run

SCALES = (0.25, 0.375, 0.5, 0.625, 0.75, 1.0, 1.0)
"""By how much a latent is scaled before it is decoded, one as likely as another."""

# AlexNet, on which LPIPS looks at images, halves them five times.
_LEAST_SEEN = 48


@dataclass(frozen=True)
class AutoencoderRecipe:
    """How the autoencoder is trained; the defaults made the shipped one.

    Attributes:
        latent_channels: channels of a latent.
        widths: channels of each level, the full resolution first.
        encoder_layers: residual blocks of each level.
        decoder_layers: the same of the decoder.
        crop: side of a training image in pixels.
        batch: images a step.
        lpips_weight: weight of the perceptual distance beside L1.
        latent_noise: most noise on a latent when it is decoded, in deviations of the latent.
        equivariance: share of the batches whose latent is turned and scaled before it is decoded.
        roughness_weight: weight of :func:`roughness` beside L1.
    """

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
    equivariance: float = 0.0
    roughness_weight: float = 0.0
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


def roughness(latents: Tensor) -> Tensor:
    """How little neighbours in latents (n, c, h, w) of unit variance have in common.

    Half the mean squared difference: 0 where they are the same, 1 for white noise.
    """
    down, across = (latents.diff(dim=dim).pow(2).mean() for dim in (-2, -1))
    return (down + across) / 4


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


@dataclass(frozen=True)
class Change:
    """A symmetry of the square and a scale, for an image and for its latent alike.

    Attributes:
        quarter: quarter turns.
        mirror: whether mirrored after that.
        scale: factor on the number of rows and columns, at most 1.
    """

    quarter: int = 0
    mirror: bool = False
    scale: float = 1.0

    @classmethod
    def draw(cls, share: float, rng: np.random.Generator) -> Change:
        """One by chance; in all but a ``share`` of the draws, none."""
        if rng.random() >= share:
            return cls()
        scale = float(rng.choice(SCALES))
        return cls(int(rng.integers(4)), bool(rng.integers(2)), scale)

    def __call__(self, x: Tensor, cell: int = 1) -> Tensor:
        """``x`` (n, c, h, w) changed; where it is scaled, averaged over what falls together.

        Args:
            x: latents or images.
            cell: rows and columns that stay together: of an image those of a cell of its latent.
        """
        x = turn(x, self.quarter, self.mirror)
        if self.scale == 1:
            return x
        size = [cell * round(side // cell * self.scale) for side in x.shape[-2:]]
        return interpolate(x, size, mode="bilinear", antialias=True)


class Autoencoding(nn.Module):
    """Images to what the autoencoder makes of them, and how far that looks from them.

    Args:
        recipe: sizes.
        lpips_weights: safetensors file of :class:`LPIPS`, or None for no perceptual distance.
    """

    def __init__(
        self,
        recipe: AutoencoderRecipe,
        lpips_weights: Path | None,
        start: AutoencoderDC | None = None,
    ) -> None:
        super().__init__()
        self.model = start or make_autoencoder(recipe)
        self.norm = nn.BatchNorm2d(self.model.config.latent_channels, affine=False, momentum=0.02)
        self.lpips = LPIPS(lpips_weights) if lpips_weights else None

    def forward(self, x: Tensor, noise: Tensor, change: Change) -> tuple[Tensor, dict[str, Tensor]]:
        """What is decoded of images (n, 3, h, w), and what is to be made small.

        Args:
            x: images in [-1, 1].
            noise: (n, c, h/8, w/8) of the latents; of scaled ones the first rows and columns.
            change: what is done to the latents before they are decoded, and to the images that
                they are compared with.
        """
        z = self.norm(self.model.encode(x).latent.float())
        changed, x = change(z), change(x, cell=x.shape[-1] // z.shape[-1])
        y = self.model.decode(changed + noise[..., : changed.shape[-2], : changed.shape[-1]]).sample
        losses = {"l1": (y.float() - x).abs().mean(), "roughness": roughness(z)}
        if self.lpips:
            large = min(x.shape[-2:]) >= _LEAST_SEEN
            losses["lpips"] = self.lpips(y, x).mean() if large else y.new_zeros(())
        return y, losses


def train_autoencoder(
    chips: NDArray[np.uint8],
    out: Path,
    lpips_weights: Path | None,
    recipe: AutoencoderRecipe,
    log: Callable[[str], None],
    *,
    start: AutoencoderDC | None = None,
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
        start: an autoencoder to go on from, in place; of its own sizes, not the recipe's.
        run: device, precision and how often something is written.

    Returns:
        The averaged model, its latent normalised by channel.

    Raises:
        InputError: for a run that cannot be, or a checkpoint of another run.
    """
    with seeded(recipe.seed, torch.device("cpu")):
        network = Autoencoding(recipe, lpips_weights, start)
    network.model.to(memory_format=torch.channels_last)
    made_by: dict[str, object] = {
        "recipe": asdict(recipe),
        "lpips": lpips_weights is not None,
        "start": digest_of(start) if start else None,
        "data": digest_of(chips),
    }
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
        made_by,
        log,
    )
    pool = torch.from_numpy(chips)
    config = network.model.config
    side = recipe.crop // 2 ** (len(config.encoder_block_out_channels) - 1)
    shape = (recipe.batch, config.latent_channels, side, side)
    weights = {"l1": 1.0, "lpips": recipe.lpips_weight, "roughness": recipe.roughness_weight}

    def losses(step: int, part: slice) -> dict[str, Tensor]:
        # Keyed by the step, so that a resumed run sees what an uninterrupted one would.
        draw = np.random.default_rng((recipe.seed, step))
        rng = torch.Generator().manual_seed(recipe.seed * 1_000_003 + step)
        x = sample_crops(pool, recipe, draw, part)
        change = Change.draw(recipe.equivariance, draw)
        x = x.to(loop.device, memory_format=torch.channels_last)
        # A latent that bears noise makes a decoder that forgives the denoiser's errors.
        amount = torch.rand(recipe.batch, 1, 1, 1, generator=rng) * recipe.latent_noise
        noise = amount * torch.randn(shape, generator=rng)
        _, found = loop.forward(x, noise[part].to(loop.device), change)
        weighed = torch.stack([weights[name] * value for name, value in found.items()])
        return {"loss": weighed.sum(), **found}

    def export() -> None:
        fold_norm(network.model, network.norm)
        network.model.save_pretrained(out)

    loop.train(losses)
    loop.finish(export)
    return network.model
