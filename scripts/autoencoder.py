"""How much of real val tiles an autoencoder keeps: PSNR and LPIPS, and pictures to look at."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import typer
from diffusers import AutoencoderDC
from PIL import Image

from rsaug.pipelines.models import DEFAULT_MODEL
from rsaug.pipelines.train.autoencoder import to_unit
from rsaug.pipelines.train.folder import read_chips
from rsaug.pipelines.train.losses import LPIPS

_PICTURES = 6


def main(
    data: Annotated[Path, typer.Option(help="Tile folder; its val split is used.")],
    lpips: Annotated[Path, typer.Option(help="LPIPS weights (safetensors).")],
    model: Annotated[Path, typer.Option(help="Folder of the autoencoder.")] = DEFAULT_MODEL / "vae",
    pictures: Annotated[
        Path | None, typer.Option(help="Where to draw real (above) and rebuilt tiles.")
    ] = None,
) -> None:
    """Print mean and spread over the tiles of the val split."""
    vae = AutoencoderDC.from_pretrained(model, use_safetensors=True, low_cpu_mem_usage=False)
    vae = vae.float().eval()
    distance = LPIPS(lpips)
    images = to_unit(torch.from_numpy(read_chips(data, "val", 256)))
    psnr, perceptual, latents, rebuilt = [], [], [], []
    with torch.inference_mode():
        for k in range(len(images)):
            image = images[k : k + 1]
            latent = vae.encode(image).latent
            back = vae.decode(latent).sample.clamp(-1, 1)
            # Peak signal 2 in [-1, 1].
            psnr.append(10 * torch.log10(4 / (back - image).pow(2).mean()).item())
            perceptual.append(distance(back, image).item())
            latents.append(latent)
            rebuilt.append(back)
    moments = torch.cat(latents).std((0, 2, 3))
    typer.echo(f"tiles {len(images)}, latent deviation {moments.min():.2f} to {moments.max():.2f}")
    for name, values in (("PSNR (dB)", psnr), ("LPIPS (alex)", perceptual)):
        typer.echo(f"{name} {np.mean(values):.3f}, standard deviation {np.std(values):.3f}")
    if pictures:
        chosen = np.linspace(0, len(images) - 1, _PICTURES).round().astype(int)
        rows = [torch.cat([side[k] for k in chosen], -1) for side in (images, torch.cat(rebuilt))]
        sheet = torch.cat(rows, -2)
        pixels = ((sheet + 1) * 127.5).round().byte().permute(1, 2, 0).numpy()
        Image.fromarray(pixels).save(pictures)


if __name__ == "__main__":
    typer.run(main)
