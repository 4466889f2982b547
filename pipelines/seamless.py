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

from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import product
from typing import Any, TypeVar

import torch
from torch import Tensor

from rsaug.errors import InputError
from rsaug.pipelines.denoiser import clean_estimate
from rsaug.pipelines.guidance import Guidance
from rsaug.pipelines.lanes import Lanes
from rsaug.pipelines.noise import keyed_generator
from rsaug.pipelines.pipeline import CRSDiffPipeline
from rsaug.pipelines.steering import ControlUse

T = TypeVar("T")
R = TypeVar("R")

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

    def around(self, box: Box) -> Box:
        """The box of all windows that overlap a box."""
        rows, cols = self._span(box.top, box.bottom), self._span(box.left, box.right)
        first, last = self.box(rows[0], cols[0]), self.box(rows[-1], cols[-1])
        return Box(first.top, first.left, last.bottom, last.right)

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
        content_scale: how much of the content image is taken over.
        window: side of a window in pixels; None for the sample size of the denoiser.
        overlap: pixels that neighbours share.
        phases: how often windows meet; 1 for only at the end.
        halo: pixels around a tile that are decoded with it and cut off.
        grain: how much of the model's grain images are given, if it has one.
        kept: finished windows that are remembered.
    """

    seed: int = 0
    steps: int | None = None
    guidance: Guidance | None = None
    negative_prompt: str = ""
    content_scale: float = 1.0
    window: int | None = None
    overlap: int = 64
    phases: int = 3
    halo: int = 64
    grain: float = 1.0
    kept: int = 256


def ground_noise(seed: int, purpose: int | str, box: Box, channels: int) -> Tensor:
    """Standard normal noise (channels, rows, cols), float32, that belongs to the cells of a box.

    The same cell has the same noise in every box that holds it.

    Args:
        seed: of the field.
        purpose: number of a phase, or another name; each has noise of its own.
        box: the cells.
        channels: of the latent.
    """
    noise = torch.empty(channels, *box.shape)
    rows = range(box.top // _CHUNK, -(-box.bottom // _CHUNK))
    for row, col in product(rows, range(box.left // _CHUNK, -(-box.right // _CHUNK))):
        source = keyed_generator(seed, purpose, row, col)
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
        lanes: what denoises several windows at once; one after another without.

    Raises:
        InputError: for sizes that the model cannot work with.
    """

    def __init__(
        self,
        pipe: CRSDiffPipeline,
        conditions: Conditions,
        options: SeamlessOptions | None = None,
        content_image: Tensor | None = None,
        lanes: Lanes | None = None,
    ) -> None:
        self.lanes = lanes
        self.pipe, self.conditions = pipe, conditions
        self.options = options = options or SeamlessOptions()
        self.content_image = content_image
        self.factor: int = pipe.vae_scale_factor
        self.steps = options.steps or int(pipe.config.default_steps)
        self._guidance = options.guidance or _own_guidance(pipe)
        window = options.window or int(pipe.unet.config.sample_size) * self.factor
        self._check(window)
        self.window = window
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
        return self.images([box])[0]

    def images(self, boxes: Sequence[Box]) -> list[Tensor]:
        """The pixels of several boxes; see `image`."""
        cells = [self._cells(box).grown(self.options.halo // self.factor) for box in boxes]
        self._prepare(cells)
        latents = [self.latents(area)[None] for area in cells]
        return self._map(self._decoded, list(zip(boxes, cells, latents, strict=True)))

    def cone(self, box: Box) -> Box:
        """All pixels whose conditions the pixels of a box depend on."""
        area = self._cells(box).grown(self.options.halo // self.factor)
        for layout in reversed(self.layouts):
            area = layout.around(area)
        return area.times(self.factor)

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

    def _grained(self, images: Tensor, box: Box) -> Tensor:
        """Images (1, 3, rows, cols) of a box of pixels with the grain of its ground."""
        noise = ground_noise(self.options.seed, "grain", box, 1)[None]
        return self.pipe.grained(images, self.options.grain, noise=noise)

    def _cells(self, box: Box) -> Box:
        edges = (box.top, box.left, box.bottom, box.right)
        if any(edge % self.factor for edge in edges):
            raise InputError(
                f"The edges of a box must be multiples of {self.factor} pixels: {edges}."
            )
        return Box(*(edge // self.factor for edge in edges))

    def _prepare(self, areas: Sequence[Box]) -> None:
        """Denoise all windows that some areas of cells need, those of a phase at once."""
        wanted: list[list[tuple[int, int, int]]] = []
        for phase, layout in reversed([*enumerate(self.layouts)]):
            places = dict.fromkeys(place for area in areas for place in layout.over(area))
            keys = [(phase, *place) for place in places if (phase, *place) not in self._windows]
            wanted.append(keys)
            areas = [layout.box(row, col) for _, row, col in keys]
        # None that is needed now may be forgotten before it is used.
        needed = sum(len(keys) for keys in wanted)
        for keys in reversed(wanted):
            boxes = [self.layouts[phase].box(row, col) for phase, row, col in keys]
            starts = [self._start(key[0], box) for key, box in zip(keys, boxes, strict=True)]
            jobs = list(zip(keys, boxes, starts, strict=True))
            for key, made in zip(keys, self._map(self._denoise, jobs), strict=True):
                self._remember(key, made, max(self.options.kept, needed))

    def _remember(self, key: tuple[int, int, int], window: Tensor, most: int) -> None:
        self._windows[key] = window
        self.evaluated += 1
        while len(self._windows) > most:
            self._windows.popitem(last=False)

    def _map(self, function: Callable[[CRSDiffPipeline, T], R], items: Sequence[T]) -> list[R]:
        if self.lanes is None:
            return [function(self.pipe, item) for item in items]
        return self.lanes.map(function, items)

    @torch.no_grad()
    def _decoded(self, pipe: CRSDiffPipeline, job: tuple[Box, Box, Tensor]) -> Tensor:
        """Pixels of a box from the latent of an area of cells around it."""
        box, cells, latents = job
        pixels = cells.times(self.factor)
        images = self._grained(pipe.decode_latents(latents.to(self._device)), pixels)[0]
        return images[(..., *box.within(pixels))].clamp(-1, 1).cpu()

    @property
    def _device(self) -> torch.device:
        device: torch.device = self.pipe._execution_device
        return device

    def _window(self, phase: int, row: int, col: int) -> Tensor:
        """The clean estimate (c, window, window) of a window at the end of a phase."""
        key = (phase, row, col)
        if key not in self._windows:
            box = self.layouts[phase].box(row, col)
            job = (key, box, self._start(phase, box))
            (made,) = self._map(self._denoise, [job])
            self._remember(key, made, self.options.kept)
        self._windows.move_to_end(key)
        return self._windows[key]

    def _start(self, phase: int, box: Box) -> Tensor | None:
        """The clean estimate (c, window, window) that a phase begins with; None for the first."""
        return None if phase == 0 else self.latents(box, phase - 1)

    @torch.no_grad()
    def _denoise(
        self, pipe: CRSDiffPipeline, job: tuple[tuple[int, int, int], Box, Tensor | None]
    ) -> Tensor:
        """The clean estimate (c, window, window) of a window at the end of its phase."""
        (phase, *_), box, start = job
        channels = pipe.unet.config.in_channels
        noise = ground_noise(self.options.seed, phase, box, channels)[None].to(self._device)
        scheduler = pipe.scheduler
        scheduler.set_timesteps(self.steps, device=self._device)
        first, end = self._cuts[phase], self._cuts[phase + 1]
        timesteps = scheduler.timesteps
        if start is None:
            sample = noise * scheduler.init_noise_sigma
        else:
            clean = start[None].to(self._device)
            sample = scheduler.add_noise(clean, noise, timesteps[first : first + 1])
        if hasattr(scheduler, "set_begin_index"):
            scheduler.set_begin_index(first)
        denoiser = self._denoiser(pipe, box)
        for step in range(first, end):
            timestep = timesteps[step]
            scaled = scheduler.scale_model_input(sample, timestep)
            prediction = denoiser(scaled, timestep, step / self.steps)
            if step == end - 1:
                sample = clean_estimate(scheduler, prediction, scaled, timestep)
            else:
                sample = scheduler.step(prediction, timestep, sample)[0]
        made: Tensor = sample[0].float().cpu()
        return made

    def _denoiser(self, pipe: CRSDiffPipeline, box: Box) -> Any:
        given = self.conditions(box.times(self.factor))
        return pipe.denoiser(
            given.controls[None],
            given.present[None],
            [given.prompt],
            self.options.negative_prompt,
            self.content_image,
            self.options.content_scale,
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
    return Guidance(*pipe.scales(None, None))
