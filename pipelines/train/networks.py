"""The networks of a CRS-Diff model as training sees them: what is trained, and one forward."""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch import Tensor, nn

from rsaug.errors import InputError
from rsaug.pipelines.pipeline import CRSDiffPipeline
from rsaug.pipelines.text import CaptionEncoder
from rsaug.pipelines.train.examples import Batch

Phase = Literal["joint", "text", "conditions"]
"""What is trained: all; the denoiser, on text alone; or the condition networks, under it."""

PARTS = ("unet", "local_adapter", "metadata_embedding", "content_adapter", "text_encoder")
"""Networks of a pipeline that can be trained."""

_TRAINED: dict[Phase, tuple[str, ...]] = {
    "joint": ("unet", "local_adapter", "metadata_embedding", "content_adapter"),
    "text": ("unet",),
    "conditions": ("local_adapter", "metadata_embedding", "content_adapter"),
}


def trained_parts(pipe: CRSDiffPipeline, phase: Phase, *, text: bool) -> tuple[str, ...]:
    """Names of the networks that a phase trains.

    Args:
        pipe: the model. A :class:`CaptionEncoder` is trained with all the rest in any case.
        phase: of the training.
        text: whether to train the text encoder, too.

    Raises:
        InputError: if the text encoder is to be trained where the denoiser is not.
    """
    if phase not in _TRAINED:
        raise InputError(f"No phase is called {phase!r}; there are {', '.join(_TRAINED)}.")
    if text and phase == "conditions":
        raise InputError(
            "The text encoder cannot be trained in the phase 'conditions', in which the denoiser "
            "stays as it is; train it in the phase 'text'."
        )
    own = phase == "joint" and isinstance(pipe.text_encoder, CaptionEncoder)
    return (*_TRAINED[phase], *(("text_encoder",) if text or own else ()))


class GeneratorNetworks(nn.Module):
    """Noisy latents and their conditions to the denoiser's prediction.

    Frozen networks stay in evaluation mode. In the phase ``text`` the denoiser sees text alone, as
    Stable Diffusion does: no controls, no content tokens, no metadata.

    Args:
        pipe: the model, whose networks these are.
        phase: what of it is trained.
        text: whether the text encoder is trained, too.
    """

    unet: Any
    local_adapter: Any
    metadata_embedding: Any
    content_adapter: Any
    text_encoder: Any

    def __init__(self, pipe: CRSDiffPipeline, phase: Phase, *, text: bool = False) -> None:
        super().__init__()
        self.phase, self._pipe = phase, pipe
        trained = trained_parts(pipe, phase, text=text)
        for name in PARTS:
            part = getattr(pipe, name)
            part.requires_grad_(name in trained)
            self.add_module(name, part)
        self.frozen = [name for name in PARTS if name not in trained]

    def train(self, mode: bool = True) -> GeneratorNetworks:
        """Set what is trained to training, or all to evaluation."""
        super().train(mode)
        for name in self.frozen:
            self.get_submodule(name).eval()
        return self

    def forward(self, noisy: Tensor, timesteps: Tensor, batch: Batch) -> Tensor:
        """The prediction for noisy latents (n, c, h, w) at ``timesteps`` (n,), of their shape."""
        text = self._pipe.encode_prompt(batch.prompts)
        if self.phase == "text":
            width = self.metadata_embedding.config.out_channels
            labels = torch.zeros(len(noisy), width, device=noisy.device)
            prediction: Tensor = self.unet(noisy, timesteps, text, class_labels=labels).sample
            return prediction
        context = torch.cat([text, self._content_tokens(batch)], 1)
        modulation = self.local_adapter.encode_controls(batch.controls, batch.present)
        residuals = self.local_adapter(noisy, timesteps, context, modulation)
        prediction = self.unet(
            noisy,
            timesteps,
            context,
            class_labels=self.metadata_embedding(batch.metadata),
            down_block_additional_residuals=list(residuals.down),
            mid_block_additional_residual=residuals.mid,
        ).sample
        return prediction

    def _content_tokens(self, batch: Batch) -> Tensor:
        """Tokens of the content images (n, tokens, dim).

        Dropout draws its numbers for the whole batch, so that they do not depend on how it is cut.
        """
        whole = batch.content.new_zeros(batch.total, batch.content.shape[1])
        whole[batch.part] = batch.content
        tokens: Tensor = self.content_adapter(whole)[batch.part]
        return tokens
