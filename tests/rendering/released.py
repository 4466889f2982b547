"""The whole published model, with the names of the published file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from rendering.adapter import LocalAdapter
from rendering.clip_text import TextModel
from rendering.content import ContentAdapter
from rendering.metadata import MetadataEmbedding
from rendering.sampling import schedule_buffers
from rendering.unet import UNet
from rendering.vae import Autoencoder
from rendering.widths import Widths


@dataclass(frozen=True)
class Conditions:
    """All that the model is told of a batch of B tiles."""

    text: Tensor
    """Last hidden state of the text model, [B, 77, context]."""
    maps: Tensor
    """Six maps of three channels, of 0 to 1, [B, 18, H, W]; an absent map is black."""
    global_control: Tensor
    """Embeddings of the content and of a sentence, [B, 2 context]; the second half is not used."""
    metadata: Tensor
    """Seven numbers in their own units, [B, 7]."""


class DiffusionModel(nn.Module):
    """What gives the UNet the first part of its name."""

    def __init__(self, widths: Widths) -> None:
        super().__init__()
        self.diffusion_model = UNet(widths)


class Transformer(nn.Module):
    """What gives the text model the second part of its name."""

    def __init__(self, widths: Widths) -> None:
        super().__init__()
        self.text_model = TextModel(widths)


class TextStage(nn.Module):
    """What gives the text model the first part of its name."""

    def __init__(self, widths: Widths) -> None:
        super().__init__()
        self.transformer = Transformer(widths)


class Released(nn.Module):
    """CRS-Diff, with random weights; `checkpoint.released_model` gives them sane scales."""

    def __init__(self, widths: Widths) -> None:
        super().__init__()
        self.widths = widths
        for name, values in schedule_buffers().items():
            self.register_buffer(name, values)
        self.model = DiffusionModel(widths)
        self.first_stage_model = Autoencoder(widths)
        self.cond_stage_model = TextStage(widths)
        self.local_adapter = LocalAdapter(widths)
        self.global_content_adapter = ContentAdapter(widths)
        self.metadata_emb = MetadataEmbedding(widths)

    def encode_text(self, ids: Tensor) -> Tensor:
        """[B, 77] numbers of tokens to [B, 77, context]."""
        out: Tensor = self.cond_stage_model.transformer.text_model(ids)
        return out

    def context(self, text: Tensor, global_control: Tensor, global_strength: float = 1.0) -> Tensor:
        """77 tokens of the text and four of the content, [B, 81, context]."""
        content = global_control.chunk(2, dim=1)[0]
        tokens = self.global_content_adapter(content) * global_strength
        return torch.cat([text, tokens], dim=1)

    def predict(
        self,
        x: Tensor,
        timesteps: Tensor,
        conditions: Conditions,
        scales: Sequence[float] | None = None,
        global_strength: float = 1.0,
    ) -> Tensor:
        """The predicted noise of latents [B, 4, H/8, W/8] at timesteps [B].

        As in the release, every call builds the metadata embedding and the features of the maps
        anew, though neither depends on the step.
        """
        context = self.context(conditions.text, conditions.global_control, global_strength)
        residuals = self.local_adapter(x, timesteps, context, conditions.maps, scales)
        metadata = self.metadata_emb(conditions.metadata)
        out: Tensor = self.model.diffusion_model(x, timesteps, context, metadata, residuals)
        return out
