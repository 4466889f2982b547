"""The autoencoder of a model: what it leaves of real tiles, and statistics of its latents."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rsaug.errors import InputError
from rsaug.pipelines.content import latent_statistics

if TYPE_CHECKING:
    from rsaug.pipelines.pipeline import CRSDiffPipeline


class Autoencoder:
    """The autoencoder of a CRS-Diff model, on the CPU.

    No denoiser comes nearer to real tiles than these are after encoding and decoding: it is the
    decoder that draws the pixels.

    Args:
        pipe: The model.
        digest: SHA-256 of its files.
    """

    def __init__(self, pipe: CRSDiffPipeline, digest: str) -> None:
        self.pipe, self.digest = pipe, digest

    @classmethod
    def load(cls, model: str) -> Autoencoder:
        """That of a model: ``default``, a folder or a hub id.

        Raises:
            InputError: if there is no such model.
        """
        from diffusers.utils import logging

        from rsaug.modelfiles import folder_digest
        from rsaug.pipelines.models import load_pipeline, model_folder

        logging.disable_progress_bar()
        folder = model_folder(model)
        return cls(load_pipeline(folder, torch.device("cpu")), folder_digest(folder))

    @property
    def name(self) -> str:
        """What it is, with the beginning of the digest of its model."""
        return f"autoencoder of the model {self.digest[:8]}"

    @torch.inference_mode()
    def rebuild(self, images: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Images (n, 3, rows, cols) uint8 encoded and decoded, of the same shape.

        Raises:
            InputError: if the sides are no multiples of what a latent pixel covers.
        """
        out = np.empty_like(images)
        for k, part in self._parts(images):
            decoded = self.pipe.decode_latents(self.pipe.encode_images(part))
            pixels = (decoded / 2 + 0.5).clamp(0, 1) * 255
            out[k] = pixels.round().to(torch.uint8).numpy()[0]
        return out

    @torch.inference_mode()
    def statistics(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Mean and deviation of each latent channel of images (n, 3, rows, cols) uint8, (n, 2c).

        Raises:
            InputError: as `rebuild`.
        """
        rows = [latent_statistics(self.pipe.encode_images(part)) for _, part in self._parts(images)]
        statistics: NDArray[np.float32] = torch.cat(rows).numpy()
        return statistics

    def _parts(self, images: NDArray[np.uint8]) -> Iterator[tuple[int, Tensor]]:
        """Each image by itself, in [-1, 1]."""
        factor = self.pipe.vae_scale_factor
        if images.shape[2] % factor or images.shape[3] % factor:
            raise InputError(
                f"The model's autoencoder takes images whose sides are multiples of {factor} "
                f"pixels, not {images.shape[2]} x {images.shape[3]}."
            )
        for k in range(len(images)):
            part = torch.from_numpy(images[k : k + 1].copy())
            yield k, (part.float() / 127.5 - 1).to(self.pipe.unet.dtype)
