"""What a run shows on the terminal: where it is while it runs, and at the end what came of it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    ProgressColumn,
    SpinnerColumn,
    Task,
    TextColumn,
    TimeRemainingColumn,
)
from rich.progress import Progress as Bar
from rich.table import Table
from rich.text import Text

from rsaug.cli import messages
from rsaug.cli.tables import show_facts
from rsaug.options import RunOptions
from rsaug.progress import Progress, RunReport, in_words
from rsaug.scene import Scene

if TYPE_CHECKING:
    from rich.console import RenderableType

_SECONDS_A_LINE = 15.0

_RULES = {
    "width": "width tag",
    "est_width": "estimated width tag",
    "lanes": "number of lanes",
    "highway": "kind of road",
    "default": "the default, no tags",
    "area": "an area of its own",
}


class _Rate(ProgressColumn):
    """Things a second, or seconds a thing where that is the longer.

    Args:
        unit: What the things are called, of one.
    """

    def __init__(self, unit: str) -> None:
        super().__init__()
        self._unit = unit

    def render(self, task: Task) -> Text:
        """The text of the column."""
        return Text(_rate(task.speed, self._unit), style="progress.data.speed")


class Display:
    """Progress on stderr, a bar on a terminal and now and then a line elsewhere; then a summary.

    As a context manager it keeps the terminal in order, whatever happens inside.

    Args:
        unit: What is made, of one.
    """

    def __init__(self, unit: str = "image") -> None:
        self._unit = unit
        self._err = messages.console_for_progress()
        self._last = Progress(0)
        self._began = self._spoke = 0.0
        self._bar = Bar(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            _Rate(unit),
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
        """Say what is being done before anything is made."""
        self._bar.update(self._task, description=what)

    def note(self, sentence: str) -> None:
        """Say something that the user should know."""
        # Above the bar, which the console draws anew.
        self._err.print(Text.assemble(("note: ", "bold yellow"), sentence), soft_wrap=True)

    def progress(self, now: Progress) -> None:
        """Show how far the run is."""
        if not self._last.total:
            self._began = self._spoke = time.monotonic()
        self._last = now
        if self._bar.disable:
            self._line(now)
            return
        if self._bar.tasks[0].total is None:
            self._bar.reset(self._task, total=now.total, description=f"Making {self._unit}s")
        # What was there already must not count as speed.
        self._bar.update(self._task, completed=now.made, total=now.total - now.kept)

    def _line(self, now: Progress) -> None:
        clock = time.monotonic()
        if clock - self._spoke < _SECONDS_A_LINE:
            return
        self._spoke = clock
        speed = now.made / (clock - self._began)
        left = f", {in_words((now.total - now.done) / speed)} left" if speed else ""
        self._err.print(
            f"{now.done} of {now.total} {self._unit}s, {_rate(speed, self._unit)}{left}",
            soft_wrap=True,
        )

    @property
    def where_it_stands(self) -> str:
        """How many images are complete and how to go on, for a run that ends before its end."""
        if not self._last.total:
            return f"No {self._unit} is made yet; run the same command again."
        return (
            f"{self._last.done} of {self._last.total} {self._unit}s are complete; the same command "
            "goes on from there."
        )


@contextmanager
def working(what: str) -> Iterator[Callable[[str], None]]:
    """Inside, what is given says what is being done: a line on a terminal that is written over.

    Elsewhere it is a line of its own, of several in a short time the first.
    """
    console = messages.console_for_progress()
    if console.is_terminal:
        with console.status(what) as status:
            yield status.update
        return
    spoke = time.monotonic()

    def say(text: str) -> None:
        nonlocal spoke
        if time.monotonic() - spoke >= _SECONDS_A_LINE:
            spoke = time.monotonic()
            messages.line(text)

    yield say


def summary_of(options: RunOptions, scene: Scene, report: RunReport) -> dict[str, Any]:
    """What came of a run, by name, JSON-able."""
    progress = report.progress
    return {
        "folder": str(report.folder),
        "tiles": report.tiles,
        "tile_size": options.tile_size,
        "gsd": options.gsd,
        "crs": scene.grid.crs.to_string(),
        "total": progress.total,
        "made": progress.made,
        "kept": progress.kept,
        "failed": dict(report.failed),
        "strangers": report.strangers,
        "seconds": round(report.seconds, 3),
        "mosaics": [str(path) for path in report.mosaics],
        "layers": scene.report(),
    }


def show_summary(options: RunOptions, scene: Scene, report: RunReport, unit: str) -> None:
    """Say what came of a run.

    Args:
        options: What it was asked for.
        scene: Its layers.
        report: What it came to.
        unit: What was made, of one.
    """
    rows: list[tuple[str, RenderableType]] = [("folder", str(report.folder))]
    size = f"{options.tile_size} px at {options.gsd:g} m"
    if unit == "tile":
        rows.append(("tiles", f"{_made(report)} of {size}"))
    else:
        rows.append(("tiles", f"{report.tiles} of {size}"))
        rows.append((f"{unit}s", _made(report)))
    rows.append(("crs", scene.grid.crs.name))
    made = report.progress.made
    speed = f", {_rate(made / report.seconds, unit)}" if made else ""
    rows.append(("time", f"{in_words(report.seconds)}{speed}"))
    rows += [("mosaic", str(path)) for path in report.mosaics]
    if report.failed:
        count = f"{len(report.failed)} {unit}s, the reasons are in quarantine/"
        rows.append(("failed", Text(count, style="bold red")))
    if report.strangers:
        rows.append(("besides", f"{report.strangers} {unit}s of other runs, not in the manifest"))
    rows += [(name, _counts(counts)) for name, counts in layer_rows(scene.report())]
    show_facts(rows)


def layer_rows(report: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, int]]]:
    """What a scene reports of its layers, as rows of a table: title and counts by name."""
    roads = report.get("roads")
    if roads:
        yield "road width", {_RULES.get(k, k): n for k, n in roads["by_rule"].items() if n}
        if roads["ignored"]:
            yield "tags not used", roads["ignored"]
        if roads["dropped"]:
            yield "left out", roads["dropped"]
    yield from _raster_rows(report)
    for name in ("landcover", "buildings", "parcels"):
        layer = report.get(name)
        if layer is None:
            continue
        yield name, layer["by_class"]
        if layer["unknown"] or layer["dropped"]:
            yield "  not used", {**layer["unknown"], **layer["dropped"]}


def _raster_rows(report: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, int]]]:
    """The same of its rasters."""
    for name, survey in report.get("landcover_rasters", {}).items():
        yield name, {f"% {kind}": round(100 * share) for kind, share in survey["shares"].items()}
        lost = {f"is {number}, not in the table": n for number, n in survey["unknown"].items()}
        if survey["no_data"]:
            lost["without a value"] = survey["no_data"]
        if lost:
            yield "  not used", lost
    for name in ("depth", "reference"):
        if name in report:
            yield name, report[name]


def _made(report: RunReport) -> str:
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


def _rate(speed: float | None, unit: str) -> str:
    """Speed for a reader."""
    if not speed:
        return ""
    return f"{speed:.1f} {unit}s/s" if speed >= 1 else f"{1 / speed:.1f} s/{unit}"
