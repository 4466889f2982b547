"""The CRS-Diff pipeline: controls, text, content and metadata to aerial imagery."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
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
from rsaug.pipelines.denoiser import Denoiser, clean_estimate, prediction_for
from rsaug.pipelines.grain import LEVEL, add_grain, draw_grain
from rsaug.pipelines.guidance import Branch, Guidance, Interval
from rsaug.pipelines.metadata import FIELDS, MetadataEmbedding
from rsaug.pipelines.reuse import DeepReuse
from rsaug.pipelines.steering import ControlUse, Steering, check_uses
from rsaug.pipelines.text import CaptionEncoder


@dataclass
class CRSDiffOutput(BaseOutput):
    """What a call returns.

    Attributes:
        images: (n, height, width, 3) float in [0, 1], or the final latents (n, c, h, w).
    """

    images: Any


def encoded(vae: AutoencoderDC | AutoencoderKL, images: Tensor) -> Tensor:
    """Latents (n, c, h/f, w/f) by an autoencoder; see :meth:`CRSDiffPipeline.encode_images`."""
    result = vae.encode(images)
    deep = isinstance(vae, AutoencoderDC)
    latent: Tensor = result.latent if deep else result.latent_dist.mode()
    scale: float = vae.config.scaling_factor
    return latent * scale


def decoded(vae: AutoencoderDC | AutoencoderKL, latents: Tensor) -> Tensor:
    """Images by an autoencoder; see :meth:`CRSDiffPipeline.decode_latents`."""
    images: Tensor = vae.decode(latents / vae.config.scaling_factor).sample.float()
    return images


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
        guide_controls: whether guidance also amplifies the local controls where the caller gives
            them no scale of their own. The published model keeps them in both branches.
        trained_controls: names of the slots the weights know; None for all.
        default_steps: denoising steps when the caller does not say.
        default_guidance: guidance scale when the caller does not say.
        default_control_guidance: that of the local controls; None for ``default_guidance`` where
            the model guides controls, else 1.
        grain: deviation of the finest detail of photographs, in levels of 255, which images are
            given where they have less; 0 for images as decoded. See `rsaug.pipelines.grain`.
    """

    model_cpu_offload_seq = "text_encoder->image_encoder->unet->vae"
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
        grain: float = 0.0,
        default_control_guidance: float | None = None,
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
            grain=grain,
            default_control_guidance=default_control_guidance,
        )
        deep = isinstance(vae, AutoencoderDC)
        levels = vae.config["encoder_block_out_channels" if deep else "block_out_channels"]
        self.vae_scale_factor = 2 ** (len(levels) - 1)

    @property
    def side_px(self) -> int:
        """What the sides of a picture are multiples of."""
        levels = len(self.unet.config.block_out_channels)
        return int(self.vae_scale_factor * 2 ** (levels - 1))

    @property
    def reads_content(self) -> bool:
        """Whether there is something that turns an image into what the content adapter takes."""
        statistics: int = 2 * self.unet.config.in_channels
        return self.image_encoder is not None or (
            self.content_adapter.config.content_dim == statistics
        )

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
        if not self.reads_content:
            raise ValueError(
                "the model has no image encoder, so it can take no content image; convert it with "
                "one, or leave the image out"
            )
        images = images.to(device, dtype)
        if self.image_encoder is None:
            content = latent_statistics(self.encode_images(images))
        else:
            content = self.image_encoder(clip_pixels(images)).image_embeds
        return content.to(dtype).expand(count, -1)

    def encode_images(self, images: Tensor) -> Tensor:
        """Latents (n, c, h/f, w/f), of about unit variance, of ``images`` (n, 3, h, w) in [-1, 1].

        The same images give the same latents: of a variational autoencoder's distribution the mode.
        """
        return encoded(self.vae, images)

    def decode_latents(self, latents: Tensor) -> Tensor:
        """Images (n, 3, h, w) in [-1, 1], not clamped, float32, of latents."""
        return decoded(self.vae, latents.to(self.unet.dtype))

    def scales(self, text: float | None, controls: float | None) -> tuple[float, float]:
        """Guidance scales of text and of local controls, the model's own in the place of None."""
        config = self.config
        text = float(config.default_guidance if text is None else text)
        if controls is None:
            controls = config.default_control_guidance
        if controls is None:
            controls = text if config.guide_controls else 1.0
        return text, float(controls)

    def grained(
        self,
        images: Tensor,
        strength: float = 1.0,
        generators: Sequence[torch.Generator] | None = None,
        noise: Tensor | None = None,
    ) -> Tensor:
        """Images with the model's grain, float32, not clamped; as they are where it has none.

        Args:
            images: (n, 3, h, w) in [-1, 1].
            strength: how much of it.
            generators: one an image.
            noise: (n, 1, h, w), standard normal, in the place of the generators'.
        """
        floor = strength * self.config.grain * LEVEL
        if floor <= 0:
            return images
        noise = draw_grain(images.shape, generators) if noise is None else noise
        return add_grain(images, noise, floor)

    def _finished(
        self,
        latents: Tensor,
        output_type: str,
        grain_strength: float,
        generators: Sequence[torch.Generator] | None,
    ) -> Any:
        """Images in [0, 1] as :meth:`__call__` returns them, or the latents as they are."""
        if output_type == "latent":
            return latents
        images = self.grained(self.decode_latents(latents), grain_strength, generators)
        images = (images / 2 + 0.5).clamp(0, 1)
        return images.permute(0, 2, 3, 1).cpu().numpy() if output_type == "np" else images

    def check_inputs(
        self,
        controls: Tensor,
        present: Tensor,
        prompt: Sequence[str],
        metadata: Tensor | None,
        generator: Sequence[torch.Generator] | None,
        image: Tensor | None,
        strength: float,
    ) -> None:
        """Raise ValueError when the inputs of a call do not fit the model or each other."""
        channels = self.local_adapter.config.control_channels
        factor = self.side_px
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
        if image is not None and tuple(image.shape) != (count, 3, *controls.shape[2:]):
            raise ValueError(
                f"image must be {(count, 3, *controls.shape[2:])}, got {tuple(image.shape)}"
            )
        if not 0 <= strength <= 1:
            raise ValueError(f"strength must be 0 to 1, got {strength}")
        if image is None and strength != 1:
            raise ValueError("strength says how much of an image is remade, but no image is given")

    def denoiser(
        self,
        controls: Tensor,
        present: Tensor,
        prompt: Sequence[str],
        negative_prompt: str,
        content_image: Tensor | None,
        content_scale: float,
        metadata: Tensor | None,
        guidance: Guidance,
        control_uses: Mapping[str, ControlUse],
        control_scale: float,
        reuse_every: int = 1,
    ) -> Denoiser:
        """The network under its conditions, which are encoded here once; see :meth:`__call__`.

        Raises:
            ValueError: for uses of controls that are not given.
        """
        check_uses(control_uses, controls, present)
        count, device, dtype = len(controls), self._execution_device, self.unet.dtype
        nothing = self.content_adapter(self.encode_content(None, count))
        content = nothing
        if content_image is not None and content_scale != 0:
            content = self.content_adapter(self.encode_content(content_image, count))
            # Between the tokens of no image and of this one; at 1 the model as it was trained.
            content = nothing + content_scale * (content - nothing)
        bound = torch.cat([self.encode_prompt(prompt).to(dtype), content], 1)
        free = torch.cat([self.encode_prompt([negative_prompt] * count).to(dtype), nothing], 1)
        if torch.equal(bound, free):
            # Nothing is said that could be followed, so there is no branch to compute for it.
            guidance = replace(guidance, text=guidance.controls)
        if metadata is None:
            metadata = torch.full((count, len(FIELDS)), torch.nan)
        steering = Steering(
            self.local_adapter,
            controls.to(device, dtype),
            present.to(device, dtype),
            control_uses,
        )
        return Denoiser(
            unet=self.unet if reuse_every == 1 else DeepReuse(self.unet, reuse_every),
            local_adapter=self.local_adapter,
            contexts={Branch.FREE: free, Branch.CONTROLS: free, Branch.BOUND: bound},
            class_labels=self.metadata_embedding(metadata.to(device)).to(dtype),
            steering=steering,
            guidance=guidance,
            control_scale=control_scale,
        )

    @torch.no_grad()
    def __call__(
        self,
        controls: Tensor,
        present: Tensor,
        prompt: str | Sequence[str] = "",
        negative_prompt: str = "",
        content_image: Tensor | None = None,
        content_scale: float = 1.0,
        metadata: Tensor | None = None,
        num_inference_steps: int | None = None,
        guidance_scale: float | None = None,
        control_guidance_scale: float | None = None,
        guidance_interval: Interval = (0.0, 1.0),
        guidance_rescale: float = 0.0,
        control_uses: Mapping[str, ControlUse] | None = None,
        control_scale: float = 1.0,
        reuse_every: int = 1,
        image: Tensor | None = None,
        strength: float = 1.0,
        project: Callable[[Tensor, int], Tensor] | None = None,
        eta: float = 0.0,
        grain_strength: float = 1.0,
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
            negative_prompt: text of the branches that guidance leads away from.
            content_image: (1 or n, 3, h, w) in [-1, 1], whose look to take over.
            content_scale: how much of it; 0 is absence.
            metadata: (n, 7) rows of :meth:`MetadataEmbedding.pack`; None for none.
            num_inference_steps: denoising steps; None for the model's own number.
            guidance_scale: guidance on text and content image, 1 switches it off; None for the
                model's own.
            control_guidance_scale: guidance on the local controls; None for the model's own, or
                where it has none, for ``guidance_scale`` if it guides controls, else 1. See
                :class:`Guidance`.
            guidance_interval: when guidance is on, as parts of the trajectory from 0 to 1.
            guidance_rescale: share in which guided predictions are given back their deviation.
            control_uses: strength, interval and region of controls by name.
            control_scale: factor on all of the adapter's residuals.
            reuse_every: how often all of the UNet is computed; in the steps between only its first
                level, with the deeper features of before. See :class:`DeepReuse`.
            image: (n, 3, h, w) in [-1, 1], to start from instead of noise alone.
            strength: how much of ``image`` is made anew: the share of the steps that is done.
            project: ``f(clean, step)``, called with the estimate (n, c, h/f, w/f) of the clean
                latents at every step; returns the one to go on with. Training-free editing.
            eta: noise that DDIM adds, as a share of what ancestral sampling adds.
            grain_strength: how much of the model's grain images are given; 0 for none.
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
        self.check_inputs(controls, present, prompts, metadata, generator, image, strength)
        device = self._execution_device
        steps = num_inference_steps or self.config.default_steps
        text_scale, of_controls = self.scales(guidance_scale, control_guidance_scale)

        # 2. Conditions
        denoiser = self.denoiser(
            controls,
            present,
            prompts,
            negative_prompt,
            content_image,
            content_scale,
            metadata,
            Guidance(text_scale, of_controls, guidance_interval, guidance_rescale),
            control_uses or {},
            control_scale,
            reuse_every,
        )

        # 3. Timesteps and what they start from; latents stay in float32 for any type of networks
        scheduler = self.scheduler
        scheduler.set_timesteps(steps, device=device)
        first = steps - min(steps, round(steps * strength))
        timesteps = scheduler.timesteps[first * scheduler.order :]
        if hasattr(scheduler, "set_begin_index"):
            scheduler.set_begin_index(first * scheduler.order)
        size = [side // self.vae_scale_factor for side in controls.shape[-2:]]
        shape = (count, self.unet.config.in_channels, *size)
        noise = list(generator) if generator is not None else None
        if latents is None:
            latents = randn_tensor(shape, generator=noise, device=device, dtype=torch.float32)
        latents = latents.to(device, torch.float32)
        if image is None:
            latents = latents * scheduler.init_noise_sigma
        else:
            clean = self.encode_images(image.to(device, self.unet.dtype)).float()
            # Nothing is made anew without a step.
            started = len(timesteps) > 0
            latents = scheduler.add_noise(clean, latents, timesteps[:1]) if started else clean
        takes = inspect.signature(scheduler.step).parameters
        # A stochastic scheduler draws its own noise from these.
        step_kwargs: dict[str, Any] = {"generator": noise} if noise and "generator" in takes else {}
        if "eta" in takes:
            step_kwargs["eta"] = eta

        # 4. Denoising
        for k, timestep in enumerate(self.progress_bar(timesteps)):
            step = first + k
            sample = scheduler.scale_model_input(latents, timestep)
            prediction = denoiser(sample, timestep, step / steps)
            if project is not None:
                clean = project(clean_estimate(scheduler, prediction, sample, timestep), step)
                prediction = prediction_for(scheduler, clean, sample, timestep)
            latents = scheduler.step(prediction, timestep, latents, **step_kwargs)[0]
            if callback_on_step_end is not None:
                tensors = {"latents": latents} if callback_on_step_end_tensor_inputs else {}
                latents = callback_on_step_end(self, step, timestep, tensors).get(
                    "latents", latents
                )

        # 5. Decode
        images = self._finished(latents, output_type, grain_strength, noise)
        self.maybe_free_model_hooks()
        return CRSDiffOutput(images=images) if return_dict else (images,)
