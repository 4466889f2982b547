"""What makes the images of a run: a model with its settings, from the options of the run."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from rsaug.control_uses import read_interval
from rsaug.options import SynthOptions
from rsaug.pipelines.acceleration import Acceleration
from rsaug.pipelines.generate import load_generator
from rsaug.pipelines.rescaled import RescaledGenerator, rescaled
from rsaug.pipelines.seamless_tiles import SeamlessGenerator
from rsaug.pipelines.settings import Settings

if TYPE_CHECKING:
    from rsaug.pipelines.generate import CRSDiffGenerator


def generator_for(
    options: SynthOptions, workers: int | None = None
) -> CRSDiffGenerator | RescaledGenerator | SeamlessGenerator:
    """What makes the images of a run.

    Args:
        options: What the run is asked for.
        workers: On a CPU, how many images are made at once; None for as many as there are cores.

    Raises:
        InputError: for a model that cannot be loaded or a value it cannot work with.
    """
    options = options.fetched()
    generator = load_generator(
        options.model,
        settings_of(options),
        style=Path(options.style) if options.style else None,
        device=options.device,
        acceleration=Acceleration(
            dtype=options.dtype,
            compile=options.compile,
            offload=options.offload,
            vae_tiling=options.vae_tiling,
        ),
        tile_size=options.tile_size,
        workers=workers,
    )
    if options.seamless:
        return SeamlessGenerator(generator, options.overlap)
    return rescaled(generator, options.gsd, options.tile_size)


def settings_of(options: SynthOptions) -> Settings:
    """How tiles are made, from the options of a run.

    Raises:
        InputError: for text that says no interval or no strength.
    """
    uses = options.uses()
    full = (0.0, 1.0)
    return Settings(
        prompt=options.prompt or "",
        negative_prompt=options.negative_prompt or "",
        style_strength=1.0 if options.style_strength is None else options.style_strength,
        date=options.date,
        steps=options.steps,
        guidance=options.guidance,
        control_guidance=options.control_guidance,
        guidance_interval=read_interval(options.guidance_interval or "0-1"),
        guidance_rescale=options.guidance_rescale or 0.0,
        strengths={name: use.strength for name, use in uses.items() if use.strength != 1},
        intervals={name: use.interval for name, use in uses.items() if use.interval != full},
        scheduler=options.scheduler,
        reuse=options.reuse,
        grain=1.0 if options.grain is None else options.grain,
    )


@contextmanager
def quiet_loading() -> Iterator[None]:
    """Inside, diffusers shows no bar of its own and says nothing but errors; then as before."""
    from diffusers.utils import logging

    verbosity, has_bar = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    logging.set_verbosity_error()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if has_bar:
            logging.enable_progress_bar()
