"""The CRS-Diff pipeline: controls, text, content and metadata to aerial imagery."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from diffusers import AutoencoderDC, AutoencoderKL, DiffusionPipeline, UNet2DConditionModel
from diffusers.schedulers.scheduling_utils import SchedulerMixin
from diffusers.utils import BaseOutput
from diffusers.utils.torch_utils import randn_tensor
from torch import Tensor

from rsaug.conditions.stack import SLOTS
from rsaug.pipelines.adapter import LocalAdapter
from rsaug.pipelines.content import ContentAdapter, clip_pixels, latent_statistics
from rsaug.pipelines.metadata import FIELDS, MetadataEmbedding
from rsaug.pipelines.text import CaptionEncoder


@dataclass
class CRSDiffOutput(BaseOutput):
    """What a call returns.

    Attributes:
        images: (n, height, width, 3) float in [0, 1], or the final latents (n, c, h, w).
    """

    images: Any


class CRSDiffPipeline(DiffusionPipeline):
    """Latent diffusion under six spatial controls, text, a content image and metadata.

    CRS-Diff, Tang et al., IEEE TGRS 62, 2024 (arXiv 2403.11614). One class serves the published
    model (stable-diffusion-sized, CLIP encoders) and our small default (a caption encoder of its
    own, latent statistics for content); the components decide.

    Args:
        vae: autoencoder.
        unet: denoiser, with an identity class embedding that takes the metadata vector.
        local_adapter: controls to residuals.
        metadata_embedding: seven numbers to the metadata vector.
        content_adapter: image embedding to context tokens.
        text_encoder: a :class:`CaptionEncoder`, or CLIP's text model together with ``tokenizer``.
        scheduler: any diffusers scheduler.
        tokenizer: CLIP's tokenizer; None with a :class:`CaptionEncoder`.
        image_encoder: CLIP's image model; None for latent statistics.
        guide_controls: whether guidance also amplifies the local controls, that is, whether the
            unconditional branch goes without them. The published model keeps them in both.
        trained_controls: names of the slots the weights know; None for all.
        default_steps: denoising steps when the caller does not say.
        default_guidance: guidance scale when the caller does not say.
    """

    model_cpu_offload_seq = "text_encoder->image_encoder->local_adapter->unet->vae"
    _optional_components: ClassVar = ["tokenizer", "image_encoder"]
    _callback_tensor_inputs: ClassVar = ["latents"]

    def __init__(
        self,
        vae: AutoencoderDC | AutoencoderKL,
        unet: UNet2DConditionModel,
        local_adapter: LocalAdapter,
        metadata_embedding: MetadataEmbedding,
        content_adapter: ContentAdapter,
        text_encoder: Any,
        scheduler: SchedulerMixin,
        tokenizer: Any = None,
        image_encoder: Any = None,
        guide_controls: bool = False,
        trained_controls: list[str] | None = None,
        default_steps: int = 50,
        default_guidance: float = 7.5,
    ) -> None:
        super().__init__()
        self.register_modules(
            vae=vae,
            unet=unet,
            local_adapter=local_adapter,
            metadata_embedding=metadata_embedding,
            content_adapter=content_adapter,
            text_encoder=text_encoder,
            scheduler=scheduler,
            tokenizer=tokenizer,
            image_encoder=image_encoder,
        )
        self.register_to_config(
            guide_controls=guide_controls,
            trained_controls=list(SLOTS if trained_controls is None else trained_controls),
            default_steps=default_steps,
            default_guidance=default_guidance,
        )
        deep = isinstance(vae, AutoencoderDC)
        levels = vae.config["encoder_block_out_channels" if deep else "block_out_channels"]
        self.vae_scale_factor = 2 ** (len(levels) - 1)

    def encode_prompt(self, prompts: Sequence[str]) -> Tensor:
        """Context tokens (n, length, dim) of ``prompts``; the empty string is "no text"."""
        device = self._execution_device
        tokens: Tensor
        if isinstance(self.text_encoder, CaptionEncoder):
            tokens = self.text_encoder(self.text_encoder.tokenize(prompts).to(device))
            return tokens
        ids = self.tokenizer(
            list(prompts),
            padding="max_length",
            max_length=self.tokenizer.model_max_length,
            truncation=True,
            return_tensors="pt",
        )
        tokens = self.text_encoder(ids.input_ids.to(device))[0]
        return tokens

    def encode_content(self, images: Tensor | None, count: int) -> Tensor:
        """Embeddings (count, content_dim) of ``images`` (n, 3, h, w) in [-1, 1], zero without."""
        dim = self.content_adapter.config.content_dim
        device, dtype = self._execution_device, self.unet.dtype
        if images is None:
            return torch.zeros(count, dim, device=device, dtype=dtype)
        images = images.to(device, dtype)
        if self.image_encoder is None:
            content = latent_statistics(self._encode_latent(images))
        else:
            content = self.image_encoder(clip_pixels(images)).image_embeds
        return content.to(dtype).expand(count, -1)

    def _encode_latent(self, images: Tensor) -> Tensor:
        encoded = self.vae.encode(images)
        deep = isinstance(self.vae, AutoencoderDC)
        latent: Tensor = encoded.latent if deep else encoded.latent_dist.mode()
        scale: float = self.vae.config.scaling_factor
        return latent * scale

    def check_inputs(
        self,
        controls: Tensor,
        present: Tensor,
        prompt: Sequence[str],
        metadata: Tensor | None,
        generator: Sequence[torch.Generator] | None,
    ) -> None:
        """Raise ValueError when the inputs of a call do not fit the model or each other."""
        channels = self.local_adapter.config.control_channels
        factor = self.vae_scale_factor * 2 ** (len(self.unet.config.block_out_channels) - 1)
        if controls.ndim != 4 or controls.shape[1] != channels:
            raise ValueError(f"controls must be (n, {channels}, h, w), got {tuple(controls.shape)}")
        if controls.shape[2] % factor or controls.shape[3] % factor:
            raise ValueError(
                f"controls must have sides that {factor} divides, got {tuple(controls.shape[2:])}"
            )
        count = len(controls)
        if tuple(present.shape) != (count, len(SLOTS)):
            raise ValueError(f"present must be ({count}, {len(SLOTS)}), got {tuple(present.shape)}")
        if len(prompt) != count:
            raise ValueError(f"{count} control stacks but {len(prompt)} prompts")
        if metadata is not None and tuple(metadata.shape) != (count, len(FIELDS)):
            raise ValueError(f"metadata must be ({count}, 7), got {tuple(metadata.shape)}")
        if generator is not None and len(generator) != count:
            raise ValueError(f"{count} control stacks but {len(generator)} generators")

    @torch.no_grad()
    def __call__(
        self,
        controls: Tensor,
        present: Tensor,
        prompt: str | Sequence[str] = "",
        negative_prompt: str = "",
        content_image: Tensor | None = None,
        metadata: Tensor | None = None,
        num_inference_steps: int | None = None,
        guidance_scale: float | None = None,
        control_scale: float = 1.0,
        generator: Sequence[torch.Generator] | None = None,
        latents: Tensor | None = None,
        output_type: str = "np",
        return_dict: bool = True,
        callback_on_step_end: Callable[..., dict[str, Tensor]] | None = None,
        callback_on_step_end_tensor_inputs: Sequence[str] = ("latents",),
    ) -> Any:
        """Imagery for a batch of control stacks.

        Args:
            controls: (n, 18, h, w) in [0, 1], slots in CRS-Diff's order; absent maps zero.
            present: (n, 6), 1 where a map is given.
            prompt: one text, or one a stack; empty for none.
            negative_prompt: text of the unconditional branch.
            content_image: (1 or n, 3, h, w) in [-1, 1], whose look to take over.
            metadata: (n, 7) rows of :meth:`MetadataEmbedding.pack`; None for none.
            num_inference_steps: denoising steps; None for the model's own number.
            guidance_scale: classifier-free guidance, 1 switches it off; None for the model's own.
            control_scale: factor on the adapter's residuals.
            generator: one generator a stack, so that a result does not depend on its batch.
            latents: starting noise (n, c, h/f, w/f) instead of the generators'.
            output_type: ``np``, ``pt`` (both in [0, 1]) or ``latent``.
            return_dict: whether to return a :class:`CRSDiffOutput` or a tuple.
            callback_on_step_end: called as ``f(pipeline, step, timestep, tensors)`` after a step;
                returns tensors to replace.
            callback_on_step_end_tensor_inputs: names of the tensors it gets; only ``latents``.

        Returns:
            A :class:`CRSDiffOutput` with images (n, h, w, 3), or (n, 3, h, w) as ``pt``; a tuple of
            them without ``return_dict``.

        Raises:
            ValueError: when the inputs do not fit the model or each other.
        """
        # 1. Check inputs
        count = len(controls)
        prompts = [prompt] * count if isinstance(prompt, str) else list(prompt)
        self.check_inputs(controls, present, prompts, metadata, generator)
        device, dtype = self._execution_device, self.unet.dtype
        steps = num_inference_steps or self.config.default_steps
        scale = self.config.default_guidance if guidance_scale is None else guidance_scale
        guided = scale != 1.0
        controls, present = controls.to(device, dtype), present.to(device, dtype)

        # 2. Conditions; the unconditional branch comes first
        content = self.encode_content(content_image, count)
        text = self.encode_prompt(prompts)
        if metadata is None:
            metadata = torch.full((count, len(FIELDS)), torch.nan)
        class_labels = self.metadata_embedding(metadata.to(device)).to(dtype)
        if guided:
            text = torch.cat([self.encode_prompt([negative_prompt] * count), text])
            content = torch.cat([torch.zeros_like(content), content])
            class_labels = class_labels.repeat(2, 1)
            keep = 0.0 if self.config.guide_controls else 1.0
            controls = torch.cat([controls * keep, controls])
            present = torch.cat([present * keep, present])
        context = torch.cat([text.to(dtype), self.content_adapter(content)], 1)
        modulation = self.local_adapter.encode_controls(controls, present)

        # 3. Timesteps and starting noise
        self.scheduler.set_timesteps(steps, device=device)
        size = [side // self.vae_scale_factor for side in controls.shape[-2:]]
        shape = (count, self.unet.config.in_channels, *size)
        noise = list(generator) if generator is not None else None
        if latents is None:
            latents = randn_tensor(shape, generator=noise, device=device, dtype=torch.float32)
        latents = latents.to(device, torch.float32) * self.scheduler.init_noise_sigma
        # A stochastic scheduler draws its own noise from these.
        takes_noise = "generator" in inspect.signature(self.scheduler.step).parameters
        step_kwargs = {"generator": noise} if takes_noise and noise is not None else {}

        # 4. Denoising; latents stay in float32, whatever the network's precision
        for step, timestep in enumerate(self.progress_bar(self.scheduler.timesteps)):
            sample = torch.cat([latents, latents]) if guided else latents
            sample = self.scheduler.scale_model_input(sample, timestep).to(dtype)
            residuals = self.local_adapter(sample, timestep, context, modulation)
            prediction = self.unet(
                sample,
                timestep,
                context,
                class_labels=class_labels,
                down_block_additional_residuals=[r * control_scale for r in residuals.down],
                mid_block_additional_residual=residuals.mid * control_scale,
                return_dict=False,
            )[0].float()
            if guided:
                free, bound = prediction.chunk(2)
                prediction = free + scale * (bound - free)
            latents = self.scheduler.step(prediction, timestep, latents, **step_kwargs)[0]
            if callback_on_step_end is not None:
                tensors = {"latents": latents} if callback_on_step_end_tensor_inputs else {}
                latents = callback_on_step_end(self, step, timestep, tensors).get(
                    "latents", latents
                )

        # 5. Decode
        images: Any = latents
        if output_type != "latent":
            decoded = self.vae.decode(latents.to(dtype) / self.vae.config.scaling_factor).sample
            images = (decoded.float() / 2 + 0.5).clamp(0, 1)
            if output_type == "np":
                images = images.permute(0, 2, 3, 1).cpu().numpy()
        self.maybe_free_model_hooks()
        return CRSDiffOutput(images=images) if return_dict else (images,)
