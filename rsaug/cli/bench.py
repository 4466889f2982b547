"""``rsaug bench``: what synthetic imagery is worth to a road detector, beside real labels."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rsaug.cli import messages
from rsaug.cli.group import FAILED
from rsaug.cli.layer_options import Json, option
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
    int,
    typer.Option(min=1, max=1024, help="Processes, or actors.", metavar="N", rich_help_panel=_HOW),
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
    as_json: Json = False,
) -> None:
    """Train and measure all detectors of a sweep; what is done already is not done again.

    [dim]rsaug bench run naip-small --root naip-roads --pool synth=roads-synth --out sweep[/dim]
    """
    from rsaug.cli.display import working
    from rsaug.downstream.bench.runner import How, prepare

    if engine not in ("local", "ray"):
        raise InputError(f"No engine is called {engine!r}; there are local and ray.")
    if ray_address is not None and engine != "ray":
        raise InputError("--ray-address is that of a Ray cluster; give --engine ray with it.")
    asked = _asked(config, root, out, pool)
    how = How(engine, workers, device, ray_address)
    with working("Reading tiles and looking for leaks"):
        prepared = prepare(asked, device)
    found = sum(check.found for check in prepared.world.checks)
    messages.line(
        f"{len(prepared.world.checks)} checks for leaks, {found} tiles left out; "
        f"{len(prepared.unique)} detectors to be trained"
    )
    if dry_run:
        _estimate(prepared, how, as_json=as_json)
        return
    _run(prepared, how, as_json=as_json)


@app.command("report")
def report(folder: _Folder, as_json: Json = False) -> None:
    """Compare what is done so far, and write report.html, results.csv and results.md."""
    from rsaug.cli.display import working
    from rsaug.downstream.bench.report import write_report

    with working("Reading") as say:
        page = write_report(folder, say)
    if as_json:
        messages.write_json({"report": str(page)})
    else:
        messages.line(f"report: {page}")


def _asked(
    config: str, root: Path | None, out: Path | None, pools: list[str] | None
) -> BenchConfig:
    """The configuration, with what the command line says instead."""
    from rsaug import configfile
    from rsaug.downstream.bench.config import find_config, read_config

    path = find_config(config)
    changes: dict[str, Any] = {}
    if root is not None:
        changes["data.root"] = str(root)
    if out is not None:
        changes["out"] = str(out)
    raw = configfile.read_config(path)
    if pools and raw:
        changes["pools"] = _with_folders(raw, pools)
    return read_config(path, changes)


def _with_folders(raw: dict[str, Any], pools: list[str]) -> list[Any]:
    """The pools of a configuration, some of them with other folders.

    Raises:
        InputError: if one is not there.
    """
    there = raw.get("pools")
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


def _estimate(prepared: Prepared, how: How, *, as_json: bool) -> None:
    from rsaug.cli.display import working
    from rsaug.downstream.bench.runner import estimate, unfinished
    from rsaug.progress import in_words

    with working("Timing a few steps"):
        times = estimate(prepared)
    missing = unfinished(prepared)
    steps = prepared.world.config.training.steps
    counts = {model: sum(job.model.name == model for job, _ in missing) for model in times}
    total = sum(counts[m] * (steps * a_step + measure) for m, (a_step, measure) in times.items())
    if as_json:
        messages.write_json(
            {
                "dry_run": True,
                "detectors": len(prepared.unique),
                "missing": len(missing),
                "steps": steps,
                "seconds": total,
                "models": {
                    model: {"missing": counts[model], "step_s": a_step, "measuring_s": measure}
                    for model, (a_step, measure) in times.items()
                },
            }
        )
        return
    for model, (a_step, to_measure) in times.items():
        typer.echo(
            f"{model}: {counts[model]} detectors, {a_step:.2f} s/step, "
            f"{to_measure:.1f} s to measure"
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


def _run(prepared: Prepared, how: How, *, as_json: bool) -> None:
    from rsaug.cli.display import Display
    from rsaug.downstream.bench.runner import run_jobs
    from rsaug.progress import in_words

    with Display(unit="detector") as display:
        done = run_jobs(prepared, how, display.progress, display.note)
    out = prepared.world.config.out
    messages.line(
        f"{done.done} of {done.total} detectors are done, {done.kept} were there before, "
        f"{done.failed} failed ({in_words(_seconds(prepared))} of training in all)"
    )
    messages.line(f"write the report with: rsaug bench report {out}")
    if as_json:
        messages.write_json({"folder": str(out), **asdict(done)})
    if done.failed:
        raise typer.Exit(FAILED)


def _seconds(prepared: Prepared) -> float:
    """Time that the training of all detectors took."""
    from rsaug.downstream.bench.store import Store

    store = Store(Path(prepared.world.config.out))
    found = [store.read(key) for _, key in prepared.unique]
    return sum(float(result.facts["seconds"]) for result in found if result is not None)
