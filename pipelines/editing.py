"""Real images edited by a CRS-Diff pipeline that was trained for none of it.

Each edit bends the estimate of the clean picture while noise is taken away: towards what is known
around a mask, or towards the pixels whose means are given. Where that is done on pixels, the
latents move by the difference that it makes to their encoding, z + E(x') - E(x) with x = D(z), so
that what the autoencoder loses is not lost again at every step.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import assert_never

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from rsaug.compositing import back_project, enlarge, paste, recolour, with_means
from rsaug.editing import Picture
from rsaug.edits import Edit, Inpaint, Restyle, Upscale
from rsaug.pipelines.canvas import CanvasPipeline
from rsaug.pipelines.denoiser import clean_estimate
from rsaug.pipelines.generate import CRSDiffGenerator
from rsaug.pipelines.guidance import Guidance
from rsaug.pipelines.noise import keyed_generator
from rsaug.pipelines.steering import ControlUse

CONTEXT_PX = 128
"""How far around a mask is looked at."""

# The part of the denoising from which the seam is fitted pixel by pixel, and not cell by cell.
_ON_PIXELS_FROM = 0.8

_FULL = (0.0, 1.0)

_RGB = NDArray[np.uint8]


class CRSDiffEditor:
    """Edits of real images by a CRS-Diff pipeline; see `rsaug.edits` for what they do.

    Args:
        generator: the pipeline with its settings.
        edit: what is done.
    """

    def __init__(self, generator: CRSDiffGenerator, edit: Edit) -> None:
        self.generator, self.task = generator, edit
        self.canvas = CanvasPipeline.of(generator.pipe)

    def describe(self) -> dict[str, object]:
        """The model, its settings and the edit; JSON-able."""
        return {**self.generator.describe(), "edit": self.task.command, **asdict(self.task)}

    def sees(self, control: str) -> bool:
        """Whether the model was trained on a control."""
        return self.generator.sees(control)

    def notes(self, gsd_m: float, controls: Sequence[str] = ()) -> list[str]:
        """What of the settings the model cannot follow, one sentence each."""
        notes = self.generator.notes(gsd_m, controls)
        strength = getattr(self.task, "strength", 0.0)
        if strength > 0 and self._steps_of(strength) == 0:
            steps = self.generator.settings.steps or self.canvas.config.default_steps
            notes.append(
                f"A strength of {strength:g} is less than half of one of {steps} steps, so nothing "
                "is made anew; give more of either."
            )
        return notes

    @torch.no_grad()
    def edit(self, picture: Picture) -> _RGB:
        """The result for one picture, uint8 (3, rows, cols)."""
        match self.task:
            case Restyle(strength):
                return self._restyle(picture, strength)
            case Inpaint(resamplings):
                return self._inpaint(picture, resamplings)
            case Upscale(factor, strength):
                return self._upscale(picture, factor, strength)
            case _:
                assert_never(self.task)

    def _restyle(self, picture: Picture, strength: float) -> _RGB:
        """The picture noised in part and denoised under its controls (Meng et al. 2022, SDEdit).

        Colours last through it, so with a style the picture is given those of the style first.
        """
        if self._steps_of(strength) == 0:
            return picture.rgb
        view, start = _View(self.canvas, picture), picture.rgb.astype(np.float32)
        if self.generator.style is not None:
            share = min(1.0, self.generator.settings.style_strength)
            look = _to_pixels(self.generator.style)
            start = np.clip(recolour(start, look, share), 0, 255)
        made = self._sampled(view, view.fitted(start), strength)
        return _to_rgb(self._grained(view.cut(made), picture.seed))

    def _upscale(self, picture: Picture, factor: int, strength: float) -> _RGB:
        """The enlarged picture, denoised with its means kept, as in DDNM (Wang et al. 2023).

        The means of a result that is x are those of the picture y when the range of the averaging A
        is right: x + A+ (y - A x). Here A+ is bicubic, which leaves no blocks, and only the last
        correction, on pixels, is exact.
        """
        rough, means = enlarge(picture.rgb, factor), picture.rgb
        if self._steps_of(strength) == 0:
            return with_means(back_project(rough, means, factor), means, factor)
        view = _View(self.canvas, picture)
        # What is mirrored beyond the edges has means, too; within, they are those of the picture.
        whole = F.avg_pool2d(view.fitted(rough), factor)
        whole[..., : means.shape[1], : means.shape[2]] = _to_tensor(means, self._device)

        def towards_means(clean: Tensor, step: int) -> Tensor:
            image = self.canvas.decode_latents(clean)
            lack = whole - F.avg_pool2d(image, factor)
            better = image + F.interpolate(lack, scale_factor=factor, mode="bicubic")
            return clean + self._encoding(better) - self._encoding(image)

        made = self._sampled(view, view.fitted(np.clip(rough, 0, 255)), strength, towards_means)
        made = self._grained(view.cut(made), picture.seed)
        return with_means(back_project(_to_pixels(made), means, factor), means, factor)

    def _inpaint(self, picture: Picture, resamplings: int) -> _RGB:
        """What is around the mask, and inside what the model makes to go with it."""
        if picture.mask is None:
            raise ValueError("a picture to fill in needs a mask")
        box = _around(picture.mask, self._native_px)
        part = Picture(
            picture.rgb[(slice(None), *box)],
            picture.controls.cut(box),
            picture.seed,
            picture.fields,
            picture.mask[box],
        )
        view = _View(self.canvas, part)
        made = _to_pixels(self._grained(view.cut(self._filled(view, part, resamplings)), part.seed))
        result = picture.rgb.copy()
        result[(slice(None), *box)] = paste(part.rgb, made, picture.mask[box])
        return result

    def _filled(self, view: _View, picture: Picture, resamplings: int) -> Tensor:
        """Images (1, 3, h, w) in [-1, 1] by RePaint (Lugmayr et al., CVPR 2022) on latents.

        At each step the estimate takes the known part's place outside the mask, and the step is
        done again from freshly noised latents, until inside and outside agree.
        """
        canvas, scheduler = self.canvas, self.canvas.scheduler
        inside = view.fitted_mask(picture)
        known = view.fitted(picture.rgb)
        encoded = self._encoding(known)
        # Cells beside the mask have seen what is under it.
        cells = F.max_pool2d(inside, canvas.vae_scale_factor)
        cells = F.max_pool2d(cells, 3, stride=1, padding=1)

        steps = int(self.generator.settings.steps or canvas.config.default_steps)
        # The last step at least, however few there are.
        on_pixels_from = min(_ON_PIXELS_FROM, (steps - 1) / steps)

        def with_known(clean: Tensor, moment: float) -> Tensor:
            if moment < on_pixels_from:
                return cells * clean + (1 - cells) * encoded
            image = canvas.decode_latents(clean)
            fitted = torch.where(inside > 0, image, known)
            return clean + self._encoding(fitted) - self._encoding(image)

        denoise = self._denoiser(view, picture)
        scheduler.set_timesteps(steps, device=self._device)
        signal = [float(scheduler.alphas_cumprod[int(t)]) for t in scheduler.timesteps] + [1.0]
        generator = torch.Generator().manual_seed(picture.seed)
        latents = self._noise(encoded, generator)
        for step, timestep in enumerate(scheduler.timesteps):
            here, next_ = signal[step], signal[step + 1]
            for again in range(resamplings if step < steps - 1 else 1):
                if again:
                    ratio = here / next_
                    noise = self._noise(encoded, generator)
                    latents = ratio**0.5 * latents + (1 - ratio) ** 0.5 * noise
                moment = step / steps
                clean = clean_estimate(
                    scheduler, denoise(latents, timestep, moment), latents, timestep
                )
                clean = with_known(clean, moment)
                latents = _ancestral(clean, latents, here, next_, self._noise(encoded, generator))
        return canvas.decode_latents(latents)

    def _sampled(
        self,
        view: _View,
        start: Tensor,
        strength: float,
        project: Callable[[Tensor, int], Tensor] | None = None,
    ) -> Tensor:
        """Images (1, 3, h, w) in [-1, 1] of the pipeline's own sampling from a picture."""
        settings, picture = self.generator.settings, view.picture
        latents = self.canvas(
            view.controls,
            view.present,
            prompt=settings.prompt,
            negative_prompt=settings.negative_prompt,
            content_image=self.generator.style,
            content_scale=settings.style_strength,
            metadata=self._metadata(picture),
            num_inference_steps=settings.steps,
            guidance_scale=settings.guidance,
            control_guidance_scale=settings.control_guidance,
            guidance_interval=settings.guidance_interval,
            guidance_rescale=settings.guidance_rescale,
            control_uses=self._uses(view),
            reuse_every=settings.reuse,
            image=start,
            strength=strength,
            project=project,
            # Drawn on the CPU, so that the noise does not depend on the device.
            generator=[torch.Generator().manual_seed(picture.seed)],
            output_type="latent",
        ).images
        return self.canvas.decode_latents(latents)

    def _denoiser(self, view: _View, picture: Picture) -> Callable[[Tensor, Tensor, float], Tensor]:
        settings = self.generator.settings
        text, controls = self.canvas.scales(settings.guidance, settings.control_guidance)
        return self.canvas.denoiser(
            view.controls,
            view.present,
            [settings.prompt],
            settings.negative_prompt,
            self.generator.style,
            settings.style_strength,
            self._metadata(picture),
            Guidance(text, controls, settings.guidance_interval, settings.guidance_rescale),
            self._uses(view),
            1.0,
            settings.reuse,
        )

    def _uses(self, view: _View) -> dict[str, ControlUse]:
        """How the controls are used that are given, of those that something is said of."""
        settings = self.generator.settings
        return {
            name: ControlUse(settings.strengths.get(name, 1.0), settings.intervals.get(name, _FULL))
            for name in view.given
            if name in settings.strengths or name in settings.intervals
        }

    def _metadata(self, picture: Picture) -> Tensor:
        """Metadata of a picture, (1, 7); what the model has not learned to read is left out."""
        embedding = self.canvas.metadata_embedding
        fields = dict(picture.fields)
        if embedding.null is not None:
            fields = {name: v for name, v in fields.items() if embedding.knows(name, v)}
        row: Tensor = embedding.pack(fields)
        return row[None]

    def _grained(self, images: Tensor, seed: int) -> Tensor:
        """Images (1, 3, h, w) with the model's grain, if it has one."""
        generators = [keyed_generator(seed, "grain")]
        return self.canvas.grained(images, self.generator.settings.grain, generators)

    def _encoding(self, images: Tensor) -> Tensor:
        return self.canvas.encode_images(images.to(self._device, self.canvas.unet.dtype)).float()

    def _noise(self, like: Tensor, generator: torch.Generator) -> Tensor:
        return torch.randn(like.shape, generator=generator).to(like.device)

    def _steps_of(self, strength: float) -> int:
        steps = self.generator.settings.steps or self.canvas.config.default_steps
        return round(steps * strength)

    @property
    def _native_px(self) -> int:
        """Side of the pictures that the model was trained on."""
        return int(self.canvas.unet.config.sample_size * self.canvas.vae_scale_factor)

    @property
    def _device(self) -> torch.device:
        return torch.device(self.canvas._execution_device)


class _View:
    """A picture as the model takes it: mirrored at its lower and right edges to whole strides.

    Args:
        canvas: the pipeline.
        picture: the picture; its controls have the size of the result.
    """

    def __init__(self, canvas: CanvasPipeline, picture: Picture) -> None:
        self.picture = picture
        self._device = torch.device(canvas._execution_device)
        self._size = picture.controls.maps.shape[1:]
        side = canvas.side_px
        self._pad = (0, -self._size[1] % side, 0, -self._size[0] % side)
        given = picture.controls.only(canvas.config.trained_controls)
        self.given = given.given
        self.controls = self._padded(torch.from_numpy(given.maps)[None])
        self.present = torch.tensor([given.present], dtype=torch.float32)

    def fitted(self, rgb: NDArray[np.uint8] | NDArray[np.float32]) -> Tensor:
        """An image of the result's size, (1, 3, h, w) in [-1, 1]."""
        return self._padded(_to_tensor(rgb, self._device))

    def fitted_mask(self, picture: Picture) -> Tensor:
        """Its mask, (1, 1, h, w) of 0 and 1; what is mirrored is masked as it is in the image."""
        mask = torch.from_numpy(np.asarray(picture.mask, dtype=np.float32))
        return self._padded(mask[None, None].to(self._device))

    def cut(self, images: Tensor) -> Tensor:
        """Images without what was mirrored."""
        return images[..., : self._size[0], : self._size[1]]

    def _padded(self, x: Tensor) -> Tensor:
        return F.pad(x, self._pad, mode="reflect") if any(self._pad) else x


def _ancestral(clean: Tensor, latents: Tensor, here: float, after: float, noise: Tensor) -> Tensor:
    """A step of DDIM with eta = 1 between two shares of signal (Song et al. 2021, eq. 12, 16)."""
    direction = (latents - here**0.5 * clean) / (1 - here) ** 0.5
    variance = max(0.0, (1 - after) / (1 - here) * (1 - here / after))
    rest = max(0.0, 1 - after - variance)
    step: Tensor = after**0.5 * clean + rest**0.5 * direction + variance**0.5 * noise
    return step


def _around(mask: NDArray[np.bool_], least_px: int) -> tuple[slice, slice]:
    """The part of an image that is looked at to fill in a mask, ``least_px`` a side or more."""
    parts = []
    for axis, side in zip((1, 0), mask.shape, strict=True):
        there = np.flatnonzero(mask.any(axis=axis))
        first, end = int(there[0]) - CONTEXT_PX, int(there[-1]) + 1 + CONTEXT_PX
        lacking = max(0, least_px - (end - first))
        first, end = first - lacking // 2, end + lacking - lacking // 2
        # At an edge of the image the view moves inwards.
        first, end = first - max(0, end - side), end - min(0, first)
        parts.append(slice(max(0, first), min(side, end)))
    return parts[0], parts[1]


def _to_tensor(rgb: NDArray[np.uint8] | NDArray[np.float32], device: torch.device) -> Tensor:
    image = torch.from_numpy(np.array(rgb, dtype=np.float32))[None]
    return (image / 127.5 - 1).to(device)


def _to_pixels(images: Tensor) -> NDArray[np.float32]:
    """Values of 0 to 255, not clipped, (3, rows, cols)."""
    pixels: NDArray[np.float32] = ((images[0].float().cpu() + 1) * 127.5).numpy()
    return pixels


def _to_rgb(images: Tensor) -> _RGB:
    rgb: _RGB = np.rint(np.clip(_to_pixels(images), 0, 255)).astype(np.uint8)
    return rgb
