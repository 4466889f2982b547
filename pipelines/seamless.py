"""Imagery without end and without seams, any part of which can be made alone.

The latent is a field over the ground. Its noise is keyed by place and seed. It is denoised in a few
phases, in each by windows that know nothing of each other; between phases the clean estimates of
overlapping windows are faded into one, which is noised again, by the noise of the ground, to where
the next phase begins. The windows of a phase lie across the borders of those of the one before, so
that what did not agree is made anew under one window. A window depends on the few windows of the
phase before that it overlaps, and on nothing else: so do all pixels, whatever is made beside them,
in whatever order, by whichever worker. To denoise in phases that are blended once each is the idea
of InfiniteDiffusion (Goslin 2025); noise is not blended here, since overlaps would lose some of it.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import product
from typing import Any

import torch
from torch import Tensor

from rsaug.errors import InputError
from rsaug.pipelines.denoiser import clean_estimate
from rsaug.pipelines.guidance import Guidance
from rsaug.pipelines.pipeline import CRSDiffPipeline
from rsaug.pipelines.steering import ControlUse

_CHUNK = 32


@dataclass(frozen=True)
class Box:
    """A rectangle of whole cells or pixels of an endless grid, rows to the south, half open."""

    top: int
    left: int
    bottom: int
    right: int

    @property
    def shape(self) -> tuple[int, int]:
        """(rows, cols)."""
        return self.bottom - self.top, self.right - self.left

    def grown(self, by: int) -> Box:
        """The box with a margin on all sides."""
        return Box(self.top - by, self.left - by, self.bottom + by, self.right + by)

    def times(self, factor: int) -> Box:
        """The same box on a grid that is so many times as fine."""
        return Box(*(edge * factor for edge in (self.top, self.left, self.bottom, self.right)))

    def common(self, other: Box) -> Box:
        """What lies in both; only of boxes that overlap."""
        return Box(
            max(self.top, other.top),
            max(self.left, other.left),
            min(self.bottom, other.bottom),
            min(self.right, other.right),
        )

    def within(self, other: Box) -> tuple[slice, slice]:
        """Where the box lies in an array that covers ``other``."""
        return (
            slice(self.top - other.top, self.bottom - other.top),
            slice(self.left - other.left, self.right - other.left),
        )


@dataclass(frozen=True)
class Layout:
    """Windows over an endless grid, each row and column of them as wide as the next.

    Attributes:
        window: side of a window in cells.
        overlap: cells that neighbours share; half a window at most.
        start: first row and column of the window number 0.
    """

    window: int
    overlap: int
    start: int = 0

    @property
    def stride(self) -> int:
        """Cells from one window to the next."""
        return self.window - self.overlap

    def box(self, row: int, col: int) -> Box:
        """The cells of a window."""
        top, left = (self.start + k * self.stride for k in (row, col))
        return Box(top, left, top + self.window, left + self.window)

    def over(self, box: Box) -> Iterator[tuple[int, int]]:
        """Numbers of the windows that overlap a box, row by row."""
        return product(self._span(box.top, box.bottom), self._span(box.left, box.right))

    def weights(self) -> Tensor:
        """How much each cell of a window counts, (window, window); over all windows they sum to 1.

        Linear over what is shared with a neighbour.
        """
        ramp = torch.ones(self.window)
        if self.overlap:
            rise = (torch.arange(self.overlap) + 0.5) / self.overlap
            ramp[: self.overlap] = rise
            ramp[-self.overlap :] = 1 - rise
        return ramp[:, None] * ramp

    def _span(self, first: int, end: int) -> range:
        low = first - self.start - self.window
        return range(low // self.stride + 1, -(-(end - self.start) // self.stride))


@dataclass(frozen=True, eq=False)
class WindowConditions:
    """What a window is made from.

    Attributes:
        controls: (18, rows, cols) control maps.
        present: (6,) which of them are given.
        prompt: its text.
        metadata: (7,) row of :meth:`MetadataEmbedding.pack`, None for none.
        uses: strength, interval and region of controls by name.
    """

    controls: Tensor
    present: Tensor
    prompt: str = ""
    metadata: Tensor | None = None
    uses: dict[str, ControlUse] = field(default_factory=dict)


Conditions = Callable[[Box], WindowConditions]
"""From a box of pixels of the endless grid to what it is made from, always the same."""


@dataclass(frozen=True)
class SeamlessOptions:
    """How a field is made.

    Attributes:
        seed: of the noise.
        steps: denoising steps; None for the model's own number.
        guidance: how text and controls are followed; None for the model's own.
        negative_prompt: what guidance leads away from.
        window: side of a window in pixels; None for the sample size of the denoiser.
        overlap: pixels that neighbours share.
        phases: how often windows meet; 1 for only at the end.
        halo: pixels around a tile that are decoded with it and cut off.
        kept: finished windows that are remembered.
    """

    seed: int = 0
    steps: int | None = None
    guidance: Guidance | None = None
    negative_prompt: str = ""
    window: int | None = None
    overlap: int = 64
    phases: int = 3
    halo: int = 64
    kept: int = 256


def ground_noise(seed: int, phase: int, box: Box, channels: int) -> Tensor:
    """Standard normal noise (channels, rows, cols), float32, that belongs to the cells of a box.

    The same cell has the same noise in every box that holds it.

    Args:
        seed: of the field.
        phase: each has noise of its own.
        box: the cells.
        channels: of the latent.
    """
    noise = torch.empty(channels, *box.shape)
    rows = range(box.top // _CHUNK, -(-box.bottom // _CHUNK))
    for row, col in product(rows, range(box.left // _CHUNK, -(-box.right // _CHUNK))):
        digest = hashlib.sha256(f"{seed}/{phase}/{row}/{col}".encode()).digest()
        source = torch.Generator().manual_seed(int.from_bytes(digest[:8], "big") >> 1)
        chunk = torch.randn(channels, _CHUNK, _CHUNK, generator=source)
        place = Box(row, col, row + 1, col + 1).times(_CHUNK)
        part = place.common(box)
        noise[(..., *part.within(box))] = chunk[(..., *part.within(place))]
    return noise


class SeamlessField:
    """The imagery of a model under conditions that are known everywhere.

    Args:
        pipe: the model; batches of one, so that a window does not depend on its company.
        conditions: what a window is made from.
        options: how.
        content_image: (1, 3, h, w) in [-1, 1], whose look to take over everywhere.

    Raises:
        InputError: for sizes that the model cannot work with.
    """

    def __init__(
        self,
        pipe: CRSDiffPipeline,
        conditions: Conditions,
        options: SeamlessOptions | None = None,
        content_image: Tensor | None = None,
    ) -> None:
        self.pipe, self.conditions = pipe, conditions
        self.options = options = options or SeamlessOptions()
        self.content_image = content_image
        self.factor: int = pipe.vae_scale_factor
        self.steps = options.steps or int(pipe.config.default_steps)
        self._guidance = options.guidance or _own_guidance(pipe)
        window = options.window or int(pipe.unet.config.sample_size) * self.factor
        self._check(window)
        layout = Layout(window // self.factor, options.overlap // self.factor)
        # Borders of one phase lie in the middle of the windows of the next.
        self.layouts = [
            Layout(layout.window, layout.overlap, (k % 2) * (layout.stride // 2))
            for k in range(options.phases)
        ]
        self._weights = layout.weights()
        self._cuts = [round(k * self.steps / options.phases) for k in range(options.phases + 1)]
        self._windows: OrderedDict[tuple[int, int, int], Tensor] = OrderedDict()
        self.evaluated = 0
        """Windows denoised so far, each phase by itself."""

    def image(self, box: Box) -> Tensor:
        """Pixels (3, rows, cols) in [-1, 1], float32, of a box whose edges are whole cells."""
        factor = self.factor
        edges = (box.top, box.left, box.bottom, box.right)
        if any(edge % factor for edge in edges):
            raise InputError(f"The edges of a box must be multiples of {factor} pixels: {edges}.")
        cells = Box(*(edge // factor for edge in edges)).grown(self.options.halo // factor)
        with torch.no_grad():
            decoded = self.pipe.decode_latents(self.latents(cells)[None].to(self._device))[0]
        inner = box.within(cells.times(factor))
        return decoded[(..., *inner)].clamp(-1, 1).cpu()

    def latents(self, box: Box, phase: int | None = None) -> Tensor:
        """The clean latent (c, rows, cols), float32, of a box of cells, at the end of a phase.

        Args:
            box: in cells.
            phase: number of the phase; the last one by default.
        """
        phase = self.options.phases - 1 if phase is None else phase
        layout = self.layouts[phase]
        total = torch.zeros(self.pipe.unet.config.in_channels, *box.shape)
        for row, col in layout.over(box):
            place = layout.box(row, col)
            part = place.common(box)
            inside = part.within(place)
            window = self._window(phase, row, col)
            total[(..., *part.within(box))] += window[(..., *inside)] * self._weights[inside]
        return total

    @property
    def _device(self) -> torch.device:
        device: torch.device = self.pipe._execution_device
        return device

    def _window(self, phase: int, row: int, col: int) -> Tensor:
        """The clean estimate (c, window, window) of a window at the end of a phase."""
        key = (phase, row, col)
        if key in self._windows:
            self._windows.move_to_end(key)
            return self._windows[key]
        made = self._denoise(phase, self.layouts[phase].box(row, col))
        self._windows[key] = made
        while len(self._windows) > self.options.kept:
            self._windows.popitem(last=False)
        return made

    @torch.no_grad()
    def _denoise(self, phase: int, box: Box) -> Tensor:
        channels = self.pipe.unet.config.in_channels
        noise = ground_noise(self.options.seed, phase, box, channels)[None].to(self._device)
        scheduler = self.pipe.scheduler
        scheduler.set_timesteps(self.steps, device=self._device)
        first, end = self._cuts[phase], self._cuts[phase + 1]
        timesteps = scheduler.timesteps
        if phase == 0:
            sample = noise * scheduler.init_noise_sigma
        else:
            clean = self.latents(box, phase - 1)[None].to(self._device)
            # The scheduler is one, and what was asked of it for other windows is over.
            scheduler.set_timesteps(self.steps, device=self._device)
            sample = scheduler.add_noise(clean, noise, timesteps[first : first + 1])
        if hasattr(scheduler, "set_begin_index"):
            scheduler.set_begin_index(first)
        denoiser = self._denoiser(box)
        for step in range(first, end):
            timestep = timesteps[step]
            scaled = scheduler.scale_model_input(sample, timestep)
            prediction = denoiser(scaled, timestep, step / self.steps)
            if step == end - 1:
                sample = clean_estimate(scheduler, prediction, scaled, timestep)
            else:
                sample = scheduler.step(prediction, timestep, sample)[0]
        self.evaluated += 1
        made: Tensor = sample[0].float().cpu()
        return made

    def _denoiser(self, box: Box) -> Any:
        given = self.conditions(box.times(self.factor))
        return self.pipe.denoiser(
            given.controls[None],
            given.present[None],
            [given.prompt],
            self.options.negative_prompt,
            self.content_image,
            1.0,
            None if given.metadata is None else given.metadata[None],
            self._guidance,
            given.uses,
            1.0,
        )

    def _check(self, window: int) -> None:
        options = self.options
        side = self.factor * 2 ** (len(self.pipe.unet.config.block_out_channels) - 1)
        if window % side or window <= 0:
            raise InputError(f"A window must be a multiple of {side} pixels, not {window}.")
        for name, value in (("overlap", options.overlap), ("halo", options.halo)):
            if value < 0 or value % self.factor:
                raise InputError(
                    f"The {name} must be a multiple of {self.factor} pixels, not {value}."
                )
        if 2 * options.overlap > window:
            raise InputError(
                f"Windows of {window} pixels can overlap by {window // 2}, not {options.overlap}."
            )
        if not 1 <= options.phases <= self.steps:
            raise InputError(
                f"There must be 1 to {self.steps} phases, one step each at least, not "
                f"{options.phases}."
            )
        if options.kept < 1:
            raise InputError(f"At least one window must be remembered, not {options.kept}.")


def _own_guidance(pipe: CRSDiffPipeline) -> Guidance:
    scale = float(pipe.config.default_guidance)
    return Guidance(scale, scale if pipe.config.guide_controls else 1.0)
