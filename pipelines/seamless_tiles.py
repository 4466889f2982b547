"""Tiles of a grid as parts of fields without seams, a field a variant."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rsaug.errors import InputError
from rsaug.grid import Tile
from rsaug.pipelines.generate import CRSDiffGenerator
from rsaug.pipelines.guidance import Guidance
from rsaug.pipelines.layout import Box
from rsaug.pipelines.memory import memory_told
from rsaug.pipelines.seamless import SeamlessField, SeamlessOptions, WindowConditions
from rsaug.pipelines.settings import Settings
from rsaug.requests import Surroundings, TileConditions, TileRequest

_KEPT = 1024
"""Finished windows that are remembered, of 64 KB each in the default model."""

OVERLAP_PX = 64


class SeamlessGenerator:
    """Tiles that continue each other; any of them can be made alone, with the same pixels.

    Args:
        generator: the model with its settings.
        overlap_px: pixels that neighbouring windows share; None for `OVERLAP_PX`.

    Raises:
        InputError: for settings or sizes that a field cannot have.
    """

    def __init__(self, generator: CRSDiffGenerator, overlap_px: int | None = None) -> None:
        if generator.settings.reuse > 1:
            raise InputError(
                "Windows without seams have no steps to take features over from; leave --reuse or "
                "--seamless out."
            )
        self.generator = generator
        self.batch_size = generator.batch_size
        self._overlap_px = OVERLAP_PX if overlap_px is None else overlap_px
        self._fields: dict[int, SeamlessField] = {}
        self._around: Surroundings | None = None
        # Also says what cannot be before anything is made.
        self._plain = self._field(0)

    def generate(self, requests: Sequence[TileRequest]) -> list[NDArray[np.uint8]]:
        """RGB of each request, uint8 (3, rows, cols).

        Raises:
            ValueError: for a request that does not say what is around it, or where the networks
                make NaN or infinite values.
            MemoryError: if there is not enough memory.
        """
        with memory_told():
            return self._generate(requests)

    def _generate(self, requests: Sequence[TileRequest]) -> list[NDArray[np.uint8]]:
        made: dict[int, Tensor] = {}
        for seed in dict.fromkeys(request.seed for request in requests):
            here = [k for k, request in enumerate(requests) if request.seed == seed]
            field = self._field_of(requests[here[0]])
            boxes = [_box(requests[k].tile) for k in here]
            made |= dict(zip(here, field.images(boxes), strict=True))
        return [_pixels(made[k]) for k in range(len(requests))]

    def reach(self, tile: Tile) -> tuple[range, range]:
        """Rows and columns of the tiles whose conditions a tile's pixels depend on."""
        cone, (height, width) = self._plain.cone(_box(tile)), tile.shape
        return (
            range(cone.top // height, -(-cone.bottom // height)),
            range(cone.left // width, -(-cone.right // width)),
        )

    def describe(self) -> dict[str, object]:
        """The model, its settings and the windows; JSON-able."""
        options = self._plain.options
        windows = {
            "window": self._plain.window,
            "overlap": options.overlap,
            "phases": options.phases,
            "halo": options.halo,
        }
        return {**self.generator.describe(), "seamless": windows}

    def sees(self, control: str) -> bool:
        """Whether the model was trained on a control."""
        return self.generator.sees(control)

    def notes(self, gsd_m: float, controls: Sequence[str] = ()) -> list[str]:
        """What of the settings the model cannot follow, one sentence each."""
        return self.generator.notes(gsd_m, controls)

    def seconds_per_tile(self, tile_size: int) -> float:
        """Estimate: a window's time, for as many windows as there are a tile in a large area."""
        window = self._plain.window
        stride = window - self._plain.options.overlap
        return self.generator.seconds_per_tile(window) * (tile_size / stride) ** 2

    def _field_of(self, request: TileRequest) -> SeamlessField:
        if request.around is None:
            raise ValueError("a tile without seams needs to know what is around it")
        if request.around is not self._around:
            # Another run; what was made of another map is of no use.
            self._around, self._fields = request.around, {}
        return self._field(request.seed, request.around, request.tile.shape)

    def _field(
        self,
        seed: int,
        around: Surroundings | None = None,
        shape: tuple[int, int] = (0, 0),
    ) -> SeamlessField:
        if seed in self._fields:
            return self._fields[seed]
        generator, settings = self.generator, self.generator.settings

        def conditions(box: Box) -> WindowConditions:
            if around is None:
                raise ValueError("nothing is known of this place")
            return window_conditions(generator, around, shape, box)

        field = SeamlessField(
            generator.pipe,
            conditions,
            SeamlessOptions(
                seed=seed,
                steps=settings.steps,
                guidance=_guidance(settings),
                negative_prompt=settings.negative_prompt,
                content_scale=settings.style_strength,
                overlap=self._overlap_px,
                grain=settings.grain,
                kept=_KEPT,
                batch=1 if generator.lanes else generator.batch_size,
            ),
            generator.style,
            generator.lanes,
        )
        if around is not None:
            # One at a time: variants come one after another, and memory is that of one.
            self._fields = {seed: field}
        return field


def _guidance(settings: Settings) -> Guidance:
    """Guidance of settings that are resolved."""
    text = 1.0 if settings.guidance is None else settings.guidance
    controls = 1.0 if settings.control_guidance is None else settings.control_guidance
    return Guidance(text, controls, settings.guidance_interval, settings.guidance_rescale)


def _box(tile: Tile) -> Box:
    """Where a tile lies in the endless grid of pixels."""
    height, width = tile.shape
    return Box(tile.row * height, tile.col * width, (tile.row + 1) * height, (tile.col + 1) * width)


def window_conditions(
    generator: CRSDiffGenerator, around: Surroundings, shape: tuple[int, int], box: Box
) -> WindowConditions:
    """What a box of pixels is made from, put together from the tiles that it lies in.

    Text and metadata are those of the tile that its middle lies in.
    """
    height, width = shape
    rows = range(box.top // height, -(-box.bottom // height))
    cols = range(box.left // width, -(-box.right // width))
    found = {(row, col): around.at(row, col) for row in rows for col in cols}
    middle = found[(box.top + box.bottom) // 2 // height, (box.left + box.right) // 2 // width]
    trained = generator.pipe.config.trained_controls
    names = sorted({name for tile in found.values() for name in tile.regions})
    channels = len(middle.controls.maps)
    maps = np.zeros((channels, *box.shape), dtype=np.float32)
    regions = {name: np.ones(box.shape, dtype=np.float32) for name in names}
    for (row, col), tile in found.items():
        place = Box(row * height, col * width, (row + 1) * height, (col + 1) * width)
        part = place.common(box)
        into, outof = part.within(box), part.within(place)
        maps[(slice(None), *into)] = tile.controls.only(trained).maps[(slice(None), *outof)]
        for name, region in tile.regions.items():
            regions[name][into] = region[outof]
    given = middle.controls.only(trained)
    return WindowConditions(
        torch.from_numpy(maps),
        torch.tensor(given.present, dtype=torch.float32),
        prompt=_prompt(generator.settings, middle),
        metadata=generator.metadata(middle.tile),
        uses=generator.uses([regions], set(given.given), box.shape),
    )


def _prompt(settings: Settings, tile: TileConditions) -> str:
    return settings.prompt if tile.prompt is None else tile.prompt


def _pixels(image: Tensor) -> NDArray[np.uint8]:
    """An image (3, rows, cols) in [-1, 1] as uint8."""
    if not torch.isfinite(image).all():
        raise ValueError("the networks made NaN or infinite values, which are no image")
    pixels: NDArray[np.uint8] = ((image / 2 + 0.5) * 255).round().to(torch.uint8).numpy()
    return pixels
