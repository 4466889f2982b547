"""How ``rsaug synth`` is carried out and what is said of it."""

from __future__ import annotations

import warnings
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import typer

from rsaug.cli import messages
from rsaug.cli.group import FAILED
from rsaug.cli.stopping import exit_code
from rsaug.errors import InputError, OutputError
from rsaug.options import SynthOptions
from rsaug.record import Record

if TYPE_CHECKING:
    from rsaug.engines import Engine
    from rsaug.requests import TileGenerator
    from rsaug.synthesis import Plan


@dataclass(frozen=True)
class How:
    """What runs a plan; nothing here changes what comes of it.

    Attributes:
        engine: ``local`` or ``ray``.
        address: Of a Ray cluster.
        workers: How many images are made at once, or actors.
        dry_run: Whether only to say what would be made.
        as_json: Whether what came of it is said as JSON.
    """

    engine: str = "local"
    address: str | None = None
    workers: int | None = None
    dry_run: bool | None = False
    as_json: bool = False

    def __post_init__(self) -> None:
        """Check what can be checked without a cluster."""
        if self.engine not in ("local", "ray"):
            raise InputError(f"No engine is called {self.engine!r}; there are local and ray.")
        if self.address is not None and self.engine != "ray":
            raise InputError("--address is that of a Ray cluster; give --engine ray with it.")
        if self.workers is not None and self.workers < 1:
            raise InputError(f"There must be 1 worker at least, not {self.workers}.")

    def make_engine(self) -> Engine | None:
        """The engine; None for this process."""
        if self.engine == "local":
            return None
        from rsaug.engines.ray import RayEngine

        return RayEngine(load_generator, self.address, self.workers)


def carry_out(options: SynthOptions, earlier: Record[SynthOptions] | None, how: How) -> None:
    """Run with a display of its progress, and say what came of it."""
    from rsaug import synthesis
    from rsaug.cli.display import Display, show_summary, summary_of

    with Display() as display, warnings.catch_warnings():
        # What diffusers will rename one day is no news to who wants images.
        warnings.filterwarnings("ignore", module=r"diffusers\.")
        try:
            display.status("Reading the layers")
            plan = synthesis.make_plan(options, earlier)
            display.status("Loading the model")
            engine = how.make_engine()
            generator = load_generator(plan.options, how.workers if engine is None else 1)
            if how.dry_run:
                _foretell(plan, generator, as_json=how.as_json)
                return
            report = synthesis.run(plan, generator, display.progress, display.note, engine)
        except OutputError as error:
            raise OutputError(f"{error} {display.where_it_stands}") from error
        except KeyboardInterrupt as stop:
            display.note(f"Stopped. {display.where_it_stands}")
            raise typer.Exit(exit_code(stop)) from stop
    if how.as_json:
        messages.write_json(summary_of(plan.options, plan.scene, report))
    else:
        show_summary(plan.options, plan.scene, report, "image")
    if report.failed:
        raise typer.Exit(FAILED)


def _foretell(plan: Plan, generator: TileGenerator, *, as_json: bool) -> None:
    """Say what a plan will take."""
    from rsaug.estimate import estimate
    from rsaug.progress import in_words

    found = estimate(plan, generator)
    if as_json:
        messages.write_json({"dry_run": True, **asdict(found)})
        return
    missing = found.images - found.present
    there = f", of which {found.present} are there" if found.present else ""
    typer.echo(f"{found.tiles} tiles, {found.area_km2:.3g} km2: {found.images} images{there}.")
    typer.echo(
        f"{missing} to make: about {in_words(found.seconds)} on this machine and "
        f"{found.bytes / 1e9:.2g} GB. Nothing is made in a dry run."
    )


def load_generator(options: SynthOptions, workers: int | None = None) -> TileGenerator:
    """What makes the images of a run.

    Args:
        options: What the run is asked for.
        workers: On a CPU, how many images are made at once; None for as many as there are cores.

    Raises:
        InputError: for a model that cannot be loaded or a value it cannot work with.
    """
    from rsaug.cli.libraries import hush_diffusers
    from rsaug.pipelines.loading import generator_for

    # The display has a bar of its own.
    hush_diffusers()
    return generator_for(options, workers)
