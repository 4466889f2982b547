"""The pipeline on pictures larger than it takes at once: overlapping windows, joined at every step.

The noise is drawn once for the whole picture, and the predictions of all windows are faded into one
before the scheduler moves on (Bar-Tal et al., "MultiDiffusion", ICML 2023), so that windows agree
where they meet. The autoencoder goes through the same windows.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product

import torch
from torch import Tensor

from rsaug.pipelines.denoiser import Denoiser
from rsaug.pipelines.folders import SETTINGS
from rsaug.pipelines.guidance import Guidance
from rsaug.pipelines.pipeline import CRSDiffPipeline
from rsaug.pipelines.steering import ControlUse

WINDOW_PX = 1024
"""Sides up to this are made in one piece."""

OVERLAP_PX = 128


@dataclass(frozen=True)
class Windows:
    """Where windows lie on a picture and how much each counts where they overlap.

    Attributes:
        shape: (rows, cols) of the picture.
        window: Side of a window, at most.
        overlap: How much neighbours share, at least; half a window at most.
        step: Windows begin and end on multiples of this.
    """

    shape: tuple[int, int]
    window: int
    overlap: int
    step: int

    def boxes(self) -> list[tuple[slice, slice]]:
        """The windows, row by row."""
        rows, cols = (self._cuts(side) for side in self.shape)
        return list(product(rows, cols))

    def join(self, parts: Sequence[Tensor], zoom: float = 1.0) -> Tensor:
        """One picture of one part a window; a single part as it is.

        Args:
            parts: (n, c, rows, cols) each, in the order of `boxes`.
            zoom: Size of the parts over that of the windows.
        """
        if len(parts) == 1:
            return parts[0]
        rows, cols = (round(side * zoom) for side in self.shape)
        total = parts[0].new_zeros(*parts[0].shape[:2], rows, cols, dtype=torch.float32)
        weights = total.new_zeros(rows, cols)
        for box, part in zip(self.boxes(), parts, strict=True):
            here = _zoomed(box, zoom)
            ramps = [
                self._ramp(s, side, round(self.overlap * zoom), total)
                for s, side in zip(here, (rows, cols), strict=True)
            ]
            weight = ramps[0][:, None] * ramps[1]
            total[(..., *here)] += part.float() * weight
            weights[here] += weight
        return (total / weights).to(parts[0].dtype)

    def _cuts(self, side: int) -> list[slice]:
        """Windows along a side: as few as will do, spread evenly."""
        if side <= self.window:
            return [slice(0, side)]
        room = side - self.window
        count = -(-room // (self.window - self.overlap)) + 1
        starts = [k * room // (count - 1) // self.step * self.step for k in range(count)]
        # The last one ends where the picture does.
        starts[-1] = room
        return [slice(start, start + self.window) for start in starts]

    @staticmethod
    def _ramp(part: slice, side: int, overlap: int, like: Tensor) -> Tensor:
        """Weights along a window: up over the overlap, and down, but not at the picture's edge."""
        at = torch.arange(part.stop - part.start, device=like.device, dtype=like.dtype) + 0.5
        up = at if part.start > 0 else at.new_full(at.shape, overlap)
        down = at.flip(0) if part.stop < side else at.new_full(at.shape, overlap)
        return (torch.minimum(up, down) / max(overlap, 1)).clamp(max=1)


@dataclass(frozen=True, eq=False)
class WindowedDenoiser:
    """Denoisers of all windows as one of the picture.

    Attributes:
        windows: The windows, in latent cells.
        parts: One denoiser each.
    """

    windows: Windows
    parts: Sequence[Denoiser]

    def __call__(self, sample: Tensor, timestep: Tensor, moment: float) -> Tensor:
        """The guided prediction (n, c, h, w); see `Denoiser`."""
        pairs = zip(self.parts, self.windows.boxes(), strict=True)
        return self.windows.join(
            [part(sample[(..., *box)], timestep, moment) for part, box in pairs]
        )


class CanvasPipeline(CRSDiffPipeline):
    """A :class:`CRSDiffPipeline` for pictures of any size; up to a window it is the same.

    Its windows are `WINDOW_PX` wide unless ``window_px`` and ``overlap_px`` are set, both multiples
    of ``side_px``.
    """

    window_px: int = WINDOW_PX
    overlap_px: int = OVERLAP_PX

    @classmethod
    def of(cls, pipe: CRSDiffPipeline) -> CanvasPipeline:
        """A canvas with the components of ``pipe``, which are shared, not copied."""
        canvas = cls(**pipe.components, **{name: pipe.config[name] for name in SETTINGS})
        canvas.set_progress_bar_config(disable=True)
        return canvas

    def denoiser(  # type: ignore[override]
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
    ) -> Denoiser | WindowedDenoiser:
        """The network under its conditions, window by window where the maps are large."""
        windows = self._windows(controls.shape[-2:])

        def of_part(box: tuple[slice, slice]) -> Denoiser:
            return CRSDiffPipeline.denoiser(
                self,
                controls[(..., *box)],
                present,
                prompt,
                negative_prompt,
                content_image,
                content_scale,
                metadata,
                guidance,
                {name: _cut(use, box) for name, use in control_uses.items()},
                control_scale,
                reuse_every,
            )

        parts = [of_part(box) for box in windows.boxes()]
        if len(parts) == 1:
            return parts[0]
        factor = self.vae_scale_factor
        rows, cols = windows.shape
        cells = Windows(
            (rows // factor, cols // factor),
            windows.window // factor,
            windows.overlap // factor,
            windows.step // factor,
        )
        return WindowedDenoiser(cells, parts)

    def encode_images(self, images: Tensor) -> Tensor:
        """Latents (n, c, h/f, w/f) of ``images`` (n, 3, h, w) in [-1, 1]."""
        encode = super().encode_images
        return self._by_window(encode, images, self._windows(images.shape[-2:]), 1)

    def decode_latents(self, latents: Tensor) -> Tensor:
        """Images (n, 3, h, w) in [-1, 1], not clamped, float32, of latents."""
        factor = self.vae_scale_factor
        size = [side * factor for side in latents.shape[-2:]]
        decode = super().decode_latents
        return self._by_window(decode, latents, self._windows(size), factor)

    def _windows(self, size: Sequence[int]) -> Windows:
        return Windows((size[0], size[1]), self.window_px, self.overlap_px, self.side_px)

    def _by_window(
        self, network: Callable[[Tensor], Tensor], x: Tensor, windows: Windows, scale: int
    ) -> Tensor:
        """A network of the autoencoder on a picture; ``scale`` is pixels a cell of its input."""
        boxes = windows.boxes()
        parts = [network(x[(..., *_zoomed(box, 1 / scale))]) for box in boxes]
        zoom = parts[0].shape[-1] / boxes[0][1].stop
        return windows.join(parts, zoom)


def _zoomed(box: tuple[slice, slice], zoom: float) -> tuple[slice, slice]:
    rows, cols = (slice(round(s.start * zoom), round(s.stop * zoom)) for s in box)
    return rows, cols


def _cut(use: ControlUse, box: tuple[slice, slice]) -> ControlUse:
    return use if use.region is None else replace(use, region=use.region[(..., *box)])
