"""What a run shows on the terminal: where it is while it runs, and at the end what came of it."""

from __future__ import annotations

import time
from collections.abc import Mapping
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    SpinnerColumn,
    Task,
    TextColumn,
    TimeRemainingColumn,
)
from rich.table import Table
from rich.text import Text

from rsaug import synthesis

_SECONDS_A_LINE = 15.0

_RULES = {
    "width": "width tag",
    "lanes": "lanes, 3.5 m each",
    "highway": "kind of road",
    "default": "6 m, no tags",
}


class _Rate(ProgressColumn):
    """Images a second, or seconds an image where that is the longer."""

    def render(self, task: Task) -> Text:
        """The text of the column."""
        return Text(_rate(task.speed), style="progress.data.speed")


class Display:
    """Progress on stderr, a bar on a terminal and now and then a line elsewhere; then a summary.

    As a context manager it keeps the terminal in order, whatever happens inside.
    """

    def __init__(self) -> None:
        self._err = Console(stderr=True, highlight=False)
        self._last = synthesis.Progress(0)
        self._began = self._spoke = 0.0
        self._bar = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            _Rate(),
            TimeRemainingColumn(compact=True),
            console=self._err,
            transient=True,
            disable=not self._err.is_terminal,
            speed_estimate_period=120,
        )
        self._task = self._bar.add_task("", total=None)

    def __enter__(self) -> Self:
        """Start the bar."""
        self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop the bar."""
        self._bar.stop()

    def status(self, what: str) -> None:
        """Say what is being done before images are made."""
        self._bar.update(self._task, description=what)

    def note(self, sentence: str) -> None:
        """Say something that the user should know."""
        self._err.print(Text.assemble(("note: ", "bold yellow"), sentence), soft_wrap=True)

    def progress(self, now: synthesis.Progress) -> None:
        """Show how far the run is."""
        if not self._last.total:
            self._began = self._spoke = time.monotonic()
        self._last = now
        if self._bar.disable:
            self._line(now)
            return
        if self._bar.tasks[0].total is None:
            self._bar.reset(self._task, total=now.total, description="Making images")
        # What was there already must not count as speed.
        self._bar.update(self._task, completed=now.made, total=now.total - now.kept)

    def _line(self, now: synthesis.Progress) -> None:
        clock = time.monotonic()
        if clock - self._spoke < _SECONDS_A_LINE:
            return
        self._spoke = clock
        speed = now.made / (clock - self._began)
        left = f", {synthesis.in_words((now.total - now.done) / speed)} left" if speed else ""
        self._err.print(f"{now.done} of {now.total} images, {_rate(speed)}{left}", soft_wrap=True)

    @property
    def where_it_stands(self) -> str:
        """How many images are complete and how to go on, for a run that ends before its end."""
        if not self._last.total:
            return "No image is made yet; run the same command again."
        return (
            f"{self._last.done} of {self._last.total} images are complete; the same command goes "
            "on from there."
        )

    def summary(self, plan: synthesis.Plan, report: synthesis.RunReport) -> None:
        """Say what came of the run."""
        console = Console(highlight=False)
        options, made = plan.options, report.progress.made
        grid = Table.grid(padding=(0, 2))
        grid.add_column(style="dim", no_wrap=True)
        grid.add_column()
        grid.add_row("folder", Text(str(report.folder), style="bold"))
        grid.add_row("tiles", f"{report.tiles} of {options.tile_size} px at {options.gsd:g} m")
        grid.add_row("crs", plan.scene.grid.crs.name)
        grid.add_row("images", _images(report))
        speed = f", {_rate(made / report.seconds)}" if made else ""
        grid.add_row("time", f"{synthesis.in_words(report.seconds)}{speed}")
        if report.strangers:
            grid.add_row("besides", f"{report.strangers} images of other runs, not in the manifest")
        widths = plan.scene.roads.report
        grid.add_row("road width", _counts({_RULES[k]: n for k, n in widths.by_rule.items() if n}))
        if widths.ignored:
            grid.add_row("tags not used", _counts(widths.ignored))
        if widths.dropped:
            grid.add_row("left out", _counts(widths.dropped))
        layers = [name for name in ("landcover", "buildings") if getattr(options, name) is not None]
        for name, layer in zip(layers, plan.scene.areas, strict=True):
            grid.add_row(name, _counts(layer.by_class))
            if layer.unknown or layer.dropped:
                grid.add_row("  not used", _counts({**layer.unknown, **layer.dropped}))
        console.print(grid)


def _images(report: synthesis.RunReport) -> str:
    progress = report.progress
    kept = f", {progress.kept} were there" if progress.kept else ""
    return f"{progress.total} ({progress.made} made now{kept})"


def _counts(counts: Mapping[str, int], most: int = 6) -> Table:
    """Counts by reason, one a line, the largest first."""
    table = Table.grid(padding=(0, 1))
    table.add_column(justify="right")
    table.add_column()
    ordered = sorted(counts.items(), key=lambda entry: (-entry[1], entry[0]))
    for reason, count in ordered[:most]:
        table.add_row(str(count), Text(reason))
    if len(ordered) > most:
        table.add_row(str(sum(n for _, n in ordered[most:])), Text("others"))
    return table


def _rate(speed: float | None) -> str:
    """Speed for a reader."""
    if not speed:
        return ""
    return f"{speed:.1f} images/s" if speed >= 1 else f"{1 / speed:.1f} s/image"
