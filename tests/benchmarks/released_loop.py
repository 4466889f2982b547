"""The published model on our own networks, and a step of its loop with any of our remedies."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from diffusers import AutoencoderKL, DDIMScheduler, UNet2DConditionModel
from diffusers.models.attention_processor import Attention, AttnProcessor, AttnProcessor2_0
from torch import Tensor, nn

from rsaug.pipelines.adapter import LocalAdapter, SpatialSelfAttention
from rsaug.pipelines.content import ContentAdapter
from rsaug.pipelines.denoiser import Denoiser
from rsaug.pipelines.guidance import Branch, Guidance
from rsaug.pipelines.metadata import CRS_DIFF_RANGES, MetadataEmbedding
from rsaug.pipelines.pipeline import CRSDiffPipeline
from rsaug.pipelines.presets import SD15
from rsaug.pipelines.steering import Steering
from rsaug.pipelines.text import CaptionEncoder

REMEDIES = (
    "metadata once",
    "content once",
    "controls once",
    "fused attention",
    "one batch",
    "channels last",
    "bfloat16",
    "compiled",
)
"""In the order in which they are added."""

ROWS = ("as released", *REMEDIES)
GUIDANCE = 7.5
FULL_BASE = 320
_METADATA = (2019.0, 7.0, 14.0, 0.6, 3.0, 37.5, -122.0)


class PlainSelfAttention(SpatialSelfAttention):
    """The adapter's self-attention with all its logits at once, as published."""

    def forward(self, x: Tensor) -> Tensor:
        """Attended ``x``."""
        q, k, v = (conv(x).flatten(2) for conv in (self.query, self.key, self.value))
        weights = torch.softmax(q.transpose(1, 2) @ k, -1)
        attended: Tensor = v @ weights.transpose(1, 2)
        return x + attended.view(x.shape)


def use_attention(pipe: CRSDiffPipeline, fused: bool) -> None:
    """Switch all attention of UNet and adapter, in place, where it is not as asked for."""
    norm = pipe.local_adapter.levels[0].local.norm1
    if isinstance(norm.attention, PlainSelfAttention) != fused:
        return
    for part in (*pipe.unet.modules(), *pipe.local_adapter.modules()):
        if isinstance(part, Attention):
            part.set_processor(AttnProcessor2_0() if fused else AttnProcessor())
        elif isinstance(part, SpatialSelfAttention):
            part.__class__ = SpatialSelfAttention if fused else PlainSelfAttention


def metadata_by_element(embedding: MetadataEmbedding, rows: Tensor) -> Tensor:
    """The metadata vector (n, dim) of ``rows`` (n, 7), one small operation an element."""
    dim = embedding.config.embedding_dim
    total = torch.zeros(len(rows), embedding.config.out_channels, device=rows.device)
    for k, project in enumerate(embedding.projections):
        low, high = CRS_DIFF_RANGES[k] or (0.0, 1.0)
        scaled = (rows[:, k] - low) / (high - low) * 1000
        waves = torch.zeros(len(rows), dim, device=rows.device)
        for i in range(dim // 2):
            frequency = 10000.0 ** (-2 * i / dim)
            waves[:, 2 * i] = torch.sin(scaled * frequency)
            waves[:, 2 * i + 1] = torch.cos(scaled * frequency)
        total = total + project(waves)
    return total


@dataclass(frozen=True)
class Inputs:
    """What a batch is made from, float32."""

    latents: Tensor
    maps: Tensor
    present: Tensor
    texts: dict[Branch, Tensor]
    contents: dict[Branch, Tensor]
    metadata: Tensor

    @classmethod
    def random(cls, pipe: CRSDiffPipeline, batch: int, side: int, device: torch.device) -> Inputs:
        """Noise, road maps of blocks, and random tokens; the same on every device."""
        generator = torch.Generator().manual_seed(0)

        def draw(*shape: int) -> Tensor:
            return torch.randn(*shape, generator=generator)

        maps = torch.zeros(batch, 18, side, side)
        roads = (draw(batch, 1, side // 16, side // 16) > 1).float()
        maps[:, 9:12] = nn.functional.interpolate(roads, scale_factor=16)
        present = torch.zeros(batch, 6)
        present[:, 3] = 1
        tokens = pipe.unet.config.cross_attention_dim
        content = pipe.content_adapter.config.content_dim
        inputs = {
            "latents": draw(batch, 4, side // 8, side // 8),
            "maps": maps,
            "present": present,
            "metadata": torch.tensor([_METADATA]).repeat(batch, 1),
        }
        texts = {b: draw(batch, 77, tokens).to(device) for b in (Branch.BOUND, Branch.CONTROLS)}
        contents = {
            Branch.BOUND: draw(batch, content).to(device),
            Branch.CONTROLS: torch.zeros(batch, content, device=device),
        }
        moved = {name: tensor.to(device) for name, tensor in inputs.items()}
        return cls(texts=texts, contents=contents, **moved)


class Loop:
    """One step of denoising with some of the remedies.

    Args:
        pipe: networks, with the remedies that are theirs already in place.
        inputs: what to make.
        remedies: which there are.
    """

    def __init__(self, pipe: CRSDiffPipeline, inputs: Inputs, remedies: Iterable[str]) -> None:
        self.pipe, self.remedies = pipe, frozenset(remedies)
        dtype = pipe.unet.dtype
        self.inputs = Inputs(
            latents=inputs.latents,
            maps=inputs.maps.to(dtype),
            present=inputs.present.to(dtype),
            texts={b: t.to(dtype) for b, t in inputs.texts.items()},
            contents={b: t.to(dtype) for b, t in inputs.contents.items()},
            metadata=inputs.metadata,
        )
        given = self.inputs
        self.labels = pipe.metadata_embedding(given.metadata).to(dtype)
        self.contexts = {b: self._context(b) for b in given.texts}
        self.denoiser = Denoiser(
            unet=pipe.unet,
            local_adapter=pipe.local_adapter,
            contexts=self.contexts,
            class_labels=self.labels,
            steering=Steering(pipe.local_adapter, given.maps, given.present, {}),
            guidance=Guidance(text=GUIDANCE, controls=1.0),
        )
        self.modulation = self.denoiser.steering.at(0.0, [Branch.BOUND])

    def prepare(self) -> None:
        """Switch the networks' attention, which rows share, to that of this row."""
        use_attention(self.pipe, "fused attention" in self.remedies)

    def __call__(self, sample: Tensor, timestep: Tensor) -> Tensor:
        """The guided prediction for ``sample``."""
        if "one batch" in self.remedies:
            return self.denoiser(sample, timestep, 0.0)
        bound = self._predict(sample, timestep, Branch.BOUND)
        free = self._predict(sample, timestep, Branch.CONTROLS)
        return free + GUIDANCE * (bound - free)

    def _context(self, branch: Branch) -> Tensor:
        content = self.pipe.content_adapter(self.inputs.contents[branch])
        return torch.cat([self.inputs.texts[branch], content], 1)

    def _predict(self, sample: Tensor, timestep: Tensor, branch: Branch) -> Tensor:
        pipe, given, done = self.pipe, self.inputs, self.remedies
        labels, context, modulation = self.labels, self.contexts[branch], self.modulation
        if "metadata once" not in done:
            labels = metadata_by_element(pipe.metadata_embedding, given.metadata)
        if "content once" not in done:
            context = self._context(branch)
        if "controls once" not in done:
            modulation = pipe.local_adapter.encode_controls(given.maps, given.present)
        residuals = pipe.local_adapter(sample, timestep, context, modulation)
        prediction: Tensor = pipe.unet(
            sample,
            timestep,
            context,
            class_labels=labels,
            down_block_additional_residuals=list(residuals.down),
            mid_block_additional_residual=residuals.mid,
            return_dict=False,
        )[0]
        return prediction


def make_pipeline(base: int) -> CRSDiffPipeline:
    """The published model with a first width of ``base``, random weights, nothing silent."""
    context = scaled(768, base)
    widths = tuple(base * k for k in (1, 2, 4, 4))
    unet = {**SD15.unet, "block_out_channels": widths, "cross_attention_dim": context}
    adapter = {
        "block_out_channels": widths,
        "cross_attention_dim": context,
        "stem_channels": tuple(scaled(w, base) for w in (32, 64, 64, 128, 128)),
        "inject_channels": tuple(scaled(w, base) for w in (192, 256, 384, 512)),
        "zero_init": False,
    }
    torch.manual_seed(0)
    pipe = CRSDiffPipeline(
        vae=make_autoencoder(base).eval(),
        unet=UNet2DConditionModel(**unet).eval(),
        local_adapter=LocalAdapter(**adapter).eval(),
        metadata_embedding=MetadataEmbedding(base, 4 * base).eval(),
        content_adapter=ContentAdapter(context, context).eval(),
        text_encoder=CaptionEncoder(["road"], dim=context, max_length=77).eval(),
        scheduler=make_scheduler(),
        default_guidance=GUIDANCE,
    )
    pipe.set_progress_bar_config(disable=True)
    return pipe


def scaled(width: int, base: int) -> int:
    """A width of the published model, for another first width; heads and groups divide it."""
    return max(8, 8 * round(width * base / FULL_BASE / 8))


def make_autoencoder(base: int) -> AutoencoderKL:
    widths = (128, 256, 512, 512) if base == FULL_BASE else (32, 32, 64, 64)
    kinds = {
        "down_block_types": ("DownEncoderBlock2D",) * 4,
        "up_block_types": ("UpDecoderBlock2D",) * 4,
    }
    return AutoencoderKL(
        block_out_channels=widths, layers_per_block=2, latent_channels=4, sample_size=512, **kinds
    )


def make_scheduler() -> DDIMScheduler:
    return DDIMScheduler(
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        clip_sample=False,
        set_alpha_to_one=False,
        steps_offset=1,
    )
