"""``rsaug bench``: what synthetic imagery is worth to a road detector, beside real labels."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rsaug.cli.layer_options import option
from rsaug.errors import InputError

if TYPE_CHECKING:
    from rsaug.downstream.bench.config import BenchConfig
    from rsaug.downstream.bench.runner import How, Prepared

_INSTEAD, _HOW = "In place of what the configuration says", "How it is run"

app = typer.Typer(
    help="What synthetic imagery is worth to a road detector, beside real labels.",
    no_args_is_help=True,
)

_Config = Annotated[
    str, typer.Argument(help="YAML file, or the name of one of the package.", metavar="CONFIG.yaml")
]
_Root = Annotated[Path | None, option("--root", _INSTEAD, "Folder of the real tiles.", "DIR")]
_Out = Annotated[Path | None, option("--out", _INSTEAD, "Folder of the results.", "DIR")]
_Pool = Annotated[
    list[str] | None,
    option("--pool", _INSTEAD, "Folder of a pool; again for further folders.", "NAME=DIR"),
]
_Engine = Annotated[str, option("--engine", _HOW, "What runs it.", "local|ray")]
_Workers = Annotated[
    int, typer.Option(min=1, help="Processes, or actors.", metavar="N", rich_help_panel=_HOW)
]
_Device = Annotated[str | None, option("--device", _HOW, "cpu, cuda, ...", "NAME")]
_Address = Annotated[str | None, option("--ray-address", _HOW, "Of a Ray cluster.", "HOST:PORT")]
_DryRun = Annotated[
    bool,
    typer.Option(
        "--dry-run",
        help="Check everything, time a few steps and say how long it takes.",
        metavar="",
        rich_help_panel=_HOW,
    ),
]
_Folder = Annotated[Path, typer.Argument(help="Folder of rsaug bench run.", metavar="DIR")]


@app.command("run")
def run(
    config: _Config,
    root: _Root = None,
    out: _Out = None,
    pool: _Pool = None,
    engine: _Engine = "local",
    workers: _Workers = 1,
    device: _Device = None,
    ray_address: _Address = None,
    dry_run: _DryRun = False,
) -> None:
    """Train and measure all detectors of a sweep; what is done already is not done again.

    [dim]rsaug bench run naip-small --root naip-roads --pool synth=roads-synth --out sweep[/dim]
    """
    from rich.console import Console

    from rsaug.downstream.bench.runner import How, prepare

    asked = _asked(config, root, out, pool)
    how = How(engine, workers, device, ray_address)
    with Console(stderr=True).status("Reading tiles and looking for leaks"):
        prepared = prepare(asked, device)
    found = sum(check.found for check in prepared.world.checks)
    typer.echo(
        f"{len(prepared.world.checks)} checks for leaks, {found} tiles left out; "
        f"{len(prepared.unique)} detectors to be trained",
        err=True,
    )
    if dry_run:
        _estimate(prepared, how)
        return
    _run(prepared, how)


@app.command("report")
def report(folder: _Folder) -> None:
    """Compare what is done so far, and write report.html, results.csv and results.md."""
    from rich.console import Console

    from rsaug.downstream.bench.report import write_report

    with Console(stderr=True).status("Reading") as status:
        page = write_report(folder, status.update)
    typer.echo(f"report: {page}", err=True)


def _asked(
    config: str, root: Path | None, out: Path | None, pools: list[str] | None
) -> BenchConfig:
    """The configuration, with what the command line says instead."""
    from rsaug.downstream.bench.config import find_config, read_config
    from rsaug.downstream.bench.strict import read_yaml

    path = find_config(config)
    changes: dict[str, Any] = {}
    if root is not None:
        changes["data.root"] = str(root)
    if out is not None:
        changes["out"] = str(out)
    if pools:
        changes["pools"] = _with_folders(read_yaml(path), pools)
    return read_config(path, changes)


def _with_folders(raw: Any, pools: list[str]) -> list[Any]:
    """The pools of a configuration, some of them with other folders.

    Raises:
        InputError: if one is not there.
    """
    there = raw.get("pools") if isinstance(raw, dict) else None
    by_name = {entry.get("name"): dict(entry) for entry in there or [] if isinstance(entry, dict)}
    folders: dict[str, list[str]] = {}
    for text in pools:
        name, equals, folder = text.partition("=")
        if not equals or not folder:
            raise InputError(f"--pool is NAME=DIR, not {text!r}.")
        if name not in by_name:
            known = ", ".join(map(str, by_name)) or "none"
            raise InputError(f"The configuration has no pool {name!r}; there are {known}.")
        folders.setdefault(name, []).append(folder)
    for name, runs in folders.items():
        by_name[name]["runs"] = runs
    return list(by_name.values())


def _estimate(prepared: Prepared, how: How) -> None:
    from rich.console import Console

    from rsaug.downstream.bench.runner import estimate, unfinished
    from rsaug.progress import in_words

    with Console(stderr=True).status("Timing a few steps"):
        times = estimate(prepared)
    missing = unfinished(prepared)
    steps = prepared.world.config.training.steps
    total = 0.0
    for model, (a_step, to_measure) in times.items():
        count = sum(job.model.name == model for job, _ in missing)
        total += count * (steps * a_step + to_measure)
        typer.echo(
            f"{model}: {count} detectors, {a_step:.2f} s/step, {to_measure:.1f} s to measure"
        )
    typer.echo(
        f"{len(missing)} of {len(prepared.unique)} detectors are to be trained, {steps} steps "
        f"each: about {in_words(total)} one after the other"
    )
    if how.workers > 1:
        typer.echo(
            f"On {how.workers} workers at best {in_words(total / how.workers)}, where each has "
            "what was timed here to itself."
        )


def _run(prepared: Prepared, how: How) -> None:
    from rsaug.cli.display import Display
    from rsaug.downstream.bench.runner import run_jobs
    from rsaug.progress import in_words

    with Display(unit="detector") as display:
        done = run_jobs(prepared, how, display.progress, display.note)
    out = prepared.world.config.out
    typer.echo(
        f"{done.done} of {done.total} detectors are done, {done.kept} were there before, "
        f"{done.failed} failed ({in_words(_seconds(prepared))} of training in all)",
        err=True,
    )
    typer.echo(f"write the report with: rsaug bench report {out}", err=True)
    if done.failed:
        raise typer.Exit(1)


def _seconds(prepared: Prepared) -> float:
    """Time that the training of all detectors took."""
    from rsaug.downstream.bench.store import Store

    store = Store(Path(prepared.world.config.out))
    found = [store.read(key) for _, key in prepared.unique]
    return sum(float(result.facts["seconds"]) for result in found if result is not None)
