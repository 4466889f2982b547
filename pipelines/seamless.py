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
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, TypeVar

import torch
from torch import Tensor

from rsaug.errors import InputError
from rsaug.pipelines.denoiser import clean_estimate
from rsaug.pipelines.guidance import Guidance
from rsaug.pipelines.lanes import Lanes
from rsaug.pipelines.layout import Box, Layout, ground_noise
from rsaug.pipelines.pipeline import CRSDiffPipeline
from rsaug.pipelines.steering import ControlUse

T = TypeVar("T")


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
        batch: windows that are denoised at once, where there are no lanes. Every forward has so
            many, the last ones repeated, and all of a kind, so that a window does not depend on
            its company.
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
    batch: int = 1


@dataclass(frozen=True, eq=False)
class _Job:
    """A window to be denoised.

    Attributes:
        key: phase, row and column.
        box: its cells.
        start: clean estimate (c, window, window) that its phase begins with; None for the first.
    """

    key: tuple[int, int, int]
    box: Box
    start: Tensor | None


class SeamlessField:
    """The imagery of a model under conditions that are known everywhere.

    Args:
        pipe: the model.
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
        jobs = [(box, area, self.latents(area)) for box, area in zip(boxes, cells, strict=True)]
        made: dict[int, Tensor] = {}
        for shape in dict.fromkeys(area.shape for area in cells):
            alike = [k for k, area in enumerate(cells) if area.shape == shape]
            made |= dict(
                zip(alike, self._map(self._decoded, [jobs[k] for k in alike]), strict=True)
            )
        return [made[k] for k in range(len(boxes))]

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

    def _grained(self, images: Tensor, boxes: Sequence[Box]) -> Tensor:
        """Images (n, 3, rows, cols) of boxes of pixels with the grain of their ground."""
        noise = torch.stack([ground_noise(self.options.seed, "grain", box, 1) for box in boxes])
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
            jobs = [self._job(*key) for key in keys]
            for key, made in zip(keys, self._denoise_all(jobs), strict=True):
                self._remember(key, made, max(self.options.kept, needed))

    def _remember(self, key: tuple[int, int, int], window: Tensor, most: int) -> None:
        self._windows[key] = window
        self.evaluated += 1
        while len(self._windows) > most:
            self._windows.popitem(last=False)

    def _map(
        self, function: Callable[[CRSDiffPipeline, Sequence[T]], list[Tensor]], items: Sequence[T]
    ) -> list[Tensor]:
        """What a function makes of items: one by one in lanes, or in batches of one size."""
        if self.lanes is not None:
            return self.lanes.map(lambda pipe, item: function(pipe, [item])[0], items)
        made: list[Tensor] = []
        size = self.options.batch
        for start in range(0, len(items), size):
            batch = items[start : start + size]
            filled = [*batch, *[batch[-1]] * (size - len(batch))]
            made += function(self.pipe, filled)[: len(batch)]
        return made

    def _denoise_all(self, jobs: Sequence[_Job]) -> list[Tensor]:
        """Clean estimates (c, window, window) of windows of a phase, in their order."""
        if self.lanes is not None or self.options.batch == 1:
            return self._map(self._denoise, [(job, self._given(job)) for job in jobs])
        made: dict[int, Tensor] = {}
        given = [self._given(job)() for job in jobs]
        kinds: dict[object, list[int]] = {}
        for k, conditions in enumerate(given):
            kinds.setdefault(_kind(conditions), []).append(k)
        for alike in kinds.values():
            pairs = [(jobs[k], partial(given.__getitem__, k)) for k in alike]
            made |= dict(zip(alike, self._map(self._denoise, pairs), strict=True))
        return [made[k] for k in range(len(jobs))]

    def _given(self, job: _Job) -> Callable[[], WindowConditions]:
        """What a window is made from, once it is asked for."""
        return partial(self.conditions, job.box.times(self.factor))

    @torch.no_grad()
    def _decoded(
        self, pipe: CRSDiffPipeline, jobs: Sequence[tuple[Box, Box, Tensor]]
    ) -> list[Tensor]:
        """Pixels of boxes from the latents of areas of cells around them, all of one shape."""
        places = [cells.times(self.factor) for _, cells, _ in jobs]
        latents = torch.stack([latent for _, _, latent in jobs]).to(self._device)
        images = self._grained(pipe.decode_latents(latents), places).clamp(-1, 1).cpu()
        return [
            image[(..., *box.within(pixels))]
            for image, (box, _, _), pixels in zip(images, jobs, places, strict=True)
        ]

    @property
    def _device(self) -> torch.device:
        device: torch.device = self.pipe._execution_device
        return device

    def _window(self, phase: int, row: int, col: int) -> Tensor:
        """The clean estimate (c, window, window) of a window at the end of a phase."""
        key = (phase, row, col)
        if key not in self._windows:
            (made,) = self._denoise_all([self._job(*key)])
            self._remember(key, made, self.options.kept)
        self._windows.move_to_end(key)
        return self._windows[key]

    def _job(self, phase: int, row: int, col: int) -> _Job:
        box = self.layouts[phase].box(row, col)
        return _Job((phase, row, col), box, None if phase == 0 else self.latents(box, phase - 1))

    @torch.no_grad()
    def _denoise(
        self,
        pipe: CRSDiffPipeline,
        pairs: Sequence[tuple[_Job, Callable[[], WindowConditions]]],
    ) -> list[Tensor]:
        """Clean estimates (c, window, window) of windows of one phase and kind, at its end."""
        jobs = [job for job, _ in pairs]
        phase, channels = jobs[0].key[0], pipe.unet.config.in_channels
        noise = torch.stack(
            [ground_noise(self.options.seed, phase, job.box, channels) for job in jobs]
        ).to(self._device)
        starts = [job.start for job in jobs if job.start is not None]
        scheduler = pipe.scheduler
        scheduler.set_timesteps(self.steps, device=self._device)
        first, end = self._cuts[phase], self._cuts[phase + 1]
        timesteps = scheduler.timesteps
        if starts:
            clean = torch.stack(starts).to(self._device)
            sample = scheduler.add_noise(clean, noise, timesteps[first : first + 1])
        else:
            sample = noise * scheduler.init_noise_sigma
        if hasattr(scheduler, "set_begin_index"):
            scheduler.set_begin_index(first)
        denoiser = self._denoiser(pipe, [given() for _, given in pairs])
        for step in range(first, end):
            timestep = timesteps[step]
            scaled = scheduler.scale_model_input(sample, timestep)
            prediction = denoiser(scaled, timestep, step / self.steps)
            if step == end - 1:
                sample = clean_estimate(scheduler, prediction, scaled, timestep)
            else:
                sample = scheduler.step(prediction, timestep, sample)[0]
        return [*sample.float().cpu()]

    def _denoiser(self, pipe: CRSDiffPipeline, given: Sequence[WindowConditions]) -> Any:
        metadata = [one.metadata for one in given if one.metadata is not None]
        return pipe.denoiser(
            torch.stack([one.controls for one in given]),
            torch.stack([one.present for one in given]),
            [one.prompt for one in given],
            self.options.negative_prompt,
            self.content_image,
            self.options.content_scale,
            torch.stack(metadata) if metadata else None,
            self._guidance,
            {name: _joined([one.uses[name] for one in given]) for name in given[0].uses},
            1.0,
        )

    def _check(self, window: int) -> None:
        options = self.options
        side = self.pipe.side_px
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
        if options.batch < 1:
            raise InputError(f"At least one window must be denoised at once, not {options.batch}.")
        if options.kept < 1:
            raise InputError(f"At least one window must be remembered, not {options.kept}.")


def _kind(given: WindowConditions) -> object:
    """What windows that are denoised at once have in common: which work there is to do for them."""
    uses = tuple(
        (name, use.strength, use.interval, use.region is None)
        for name, use in sorted(given.uses.items())
    )
    return given.prompt, tuple(given.present.tolist()), given.metadata is None, uses


def _joined(uses: Sequence[ControlUse]) -> ControlUse:
    """One use of a control in several windows, each in its own region."""
    regions = [use.region for use in uses if use.region is not None]
    return replace(uses[0], region=torch.cat(regions) if regions else None)


def _own_guidance(pipe: CRSDiffPipeline) -> Guidance:
    return Guidance(*pipe.scales(None, None))
