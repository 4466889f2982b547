"""Runs that are killed, short of space, altered or lose a worker: do they end with the same bytes?

A small region without seams is made once as it should be. Then it is made again under faults, each
time to the end, and all files are compared with those of the first run.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

import typer

from rsaug.cli.group import Commands
from rsaug.files import write_whole

app = typer.Typer(cls=Commands, help=__doc__, no_args_is_help=True)


@dataclass(frozen=True)
class Trial:
    """What came of one fault.

    Attributes:
        fault: What was done.
        when_s: Seconds after the start.
        left: Images that were complete then.
        told: What the command said of it, its last line.
        same: Whether all files of the run were those of the first one in the end.
        wrong: Files that were not.
        seconds: From the start to the end of it all.
    """

    fault: str
    when_s: float
    left: int
    told: str
    same: bool
    wrong: tuple[str, ...]
    seconds: float


@dataclass(frozen=True)
class Job:
    """The run that faults are tried on.

    Attributes:
        reference: Folder of the run as it should be.
        place: Where folders of trials are made.
        seconds: How long it took.
    """

    reference: Path
    place: Path
    seconds: float

    def command(self, out: Path, *more: str) -> list[str]:
        """The command that makes it again somewhere else."""
        config = str(self.reference / "run.json")
        return [*_rsaug(), "synth", "--config", config, "--out", str(out), *more]

    def wrong(self, out: Path) -> tuple[str, ...]:
        """Files that are not as they should be; the record tells its own folder's paths."""
        ours, theirs = _contents(self.reference), _contents(out)
        names = sorted({*ours, *theirs} - {"run.json"})
        return tuple(name for name in names if ours.get(name) != theirs.get(name))


@app.command()
def main(
    roads: Annotated[Path, typer.Option(help="Roads.")],
    aoi: Annotated[str, typer.Option(help="Area, of a few tiles.")],
    out: Annotated[Path, typer.Option(help="Folder of the trials and of the table.")],
    landcover: Annotated[Path | None, typer.Option(help="Land cover.")] = None,
    model: Annotated[str, typer.Option(help="Model.")] = "default",
    steps: Annotated[int, typer.Option(help="Denoising steps.")] = 4,
    kills: Annotated[int, typer.Option(help="How often to kill it.")] = 20,
    losses: Annotated[int, typer.Option(help="How often to kill a worker of a cluster.")] = 3,
    seed: Annotated[int, typer.Option(help="Decides the moments.")] = 0,
) -> None:
    """Try all faults and write what came of them, as a table and as JSON."""
    job = _reference(out, roads, aoi, landcover, model, steps)
    moments = random.Random(seed)
    plan: list[Callable[[], Trial]] = [
        *(lambda: _kill(job, moments.uniform(0, job.seconds)) for _ in range(kills)),
        lambda: _full_disk(job, 0.3),
        lambda: _full_disk(job, 0.7),
        lambda: _altered(job, moments),
        lambda: _cut_short(job, moments),
        *(lambda: _lose(job, moments.uniform(0.5, 1) * job.seconds) for _ in range(losses)),
    ]
    trials = []
    for attempt in plan:
        trials.append(attempt())
        typer.echo(json.dumps(asdict(trials[-1])))
        document = {"seconds": job.seconds, "trials": [asdict(trial) for trial in trials]}
        write_whole(out / "faults.json", (json.dumps(document, indent=2) + "\n").encode())
    typer.echo(_table(trials))
    if not all(trial.same for trial in trials):
        raise typer.Exit(1)


def _reference(
    out: Path, roads: Path, aoi: str, landcover: Path | None, model: str, steps: int
) -> Job:
    reference = out / "reference"
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    began = time.monotonic()
    layers = ["--roads", str(roads), "--aoi", aoi, "--model", model, "--steps", str(steps)]
    layers += ["--landcover", str(landcover)] if landcover else []
    more = ["--seamless", "--mosaic", "--out", str(reference)]
    subprocess.run([*_rsaug(), "synth", *layers, *more], check=True, capture_output=True)
    return Job(reference, out, time.monotonic() - began)


def _rsaug() -> list[str]:
    return [sys.executable, "-c", "from rsaug.cli import main; main()"]


def _contents(folder: Path) -> dict[str, bytes]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def _trial(job: Job, fault: str, began: float, when_s: float, left: int, told: str) -> Trial:
    """Finish a trial: the run goes on to its end, and all is compared."""
    folder = job.place / "trial"
    done = subprocess.run(job.command(folder), capture_output=True, text=True, check=False)
    wrong = job.wrong(folder)
    seconds = round(time.monotonic() - began, 1)
    shutil.rmtree(folder, ignore_errors=True)
    same = not wrong and done.returncode == 0
    return Trial(fault, round(when_s, 2), left, told, same, wrong, seconds)


def _complete(folder: Path) -> int:
    return len([*(folder / "items").glob("*.json")])


def _kill(job: Job, when_s: float) -> Trial:
    folder, began = job.place / "trial", time.monotonic()
    process = subprocess.Popen(
        job.command(folder),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(when_s)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    return _trial(job, "kill -9", began, when_s, _complete(folder), "")


def _full_disk(job: Job, share: float) -> Trial:
    """A disk that holds a share of what the run needs, and then more."""
    size = sum(len(content) for content in _contents(job.reference).values())
    folder, began = job.place / "trial", time.monotonic()
    folder.mkdir()
    options = f"size={int(size * share)}"
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "rsaug", str(folder)], check=True)
    try:
        done = subprocess.run(job.command(folder), capture_output=True, text=True, check=False)
        when_s, left = time.monotonic() - began, _complete(folder)
        told = " ".join((done.stderr or done.stdout).split())[-160:]
        subprocess.run(["mount", "-o", f"remount,size={3 * size}", str(folder)], check=True)
        return _trial(job, f"disk full at {share:.0%}", began, when_s, left, told)
    finally:
        subprocess.run(["umount", str(folder)], check=True)
        shutil.rmtree(folder, ignore_errors=True)


def _altered(job: Job, moments: random.Random) -> Trial:
    """A byte of three files is another one; they are found, removed and made again."""
    folder, began = job.place / "trial", time.monotonic()
    shutil.copytree(job.reference, folder)
    for room in ("images", "masks", "conditions"):
        path = moments.choice(sorted((folder / room).iterdir()))
        content = bytearray(path.read_bytes())
        content[moments.randrange(len(content))] ^= 1 << moments.randrange(8)
        path.write_bytes(bytes(content))
    command = [*_rsaug(), "verify", str(folder), "--discard"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    told = done.stdout.splitlines()[0]
    return _trial(job, "a bit flipped in 3 files", began, 0, _complete(folder), told)


def _cut_short(job: Job, moments: random.Random) -> Trial:
    """Three files end early, the last byte gone or all but the first half."""
    folder, began = job.place / "trial", time.monotonic()
    shutil.copytree(job.reference, folder)
    for room in ("images", "masks", "conditions"):
        path = moments.choice(sorted((folder / room).iterdir()))
        content = path.read_bytes()
        path.write_bytes(content[: moments.choice([-1, len(content) // 2])])
    return _trial(job, "3 files cut short", began, 0, _complete(folder), "")


def _lose(job: Job, when_s: float) -> Trial:
    """A worker of a cluster on this machine is killed, and the run must come to its end itself."""
    folder, began = job.place / "trial", time.monotonic()
    command = job.command(folder, "--engine", "ray", "--workers", "2")
    process = subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )
    time.sleep(when_s)
    workers = [*_actors()]
    while not workers and process.poll() is None:
        time.sleep(0.2)
        workers = [*_actors()]
    left = _complete(folder)
    for worker in workers[:1]:
        os.kill(worker, signal.SIGKILL)
    when = time.monotonic() - began
    _, said = process.communicate()
    fault = "a worker killed" if workers else "no worker left to kill"
    told = f"exit code {process.returncode} {said.splitlines()[-1] if said.strip() else ''}"
    return _trial(job, fault, began, when, left, told.strip())


def _actors() -> Iterator[int]:
    """Processes of Ray's actors on this machine."""
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            if path.read_bytes().startswith(b"ray::_Actor"):
                yield int(path.parent.name)


def _table(trials: list[Trial]) -> str:
    """The trials by fault, as Markdown."""
    lines = ["| Fault | Times | Images complete then | Same files in the end |", "| --- " * 4 + "|"]
    for fault in dict.fromkeys(trial.fault for trial in trials):
        group = [trial for trial in trials if trial.fault == fault]
        low, high = min(t.left for t in group), max(t.left for t in group)
        span = f"{low} to {high}" if low < high else str(low)
        same = sum(trial.same for trial in group)
        lines.append(f"| {fault} | {len(group)} | {span} | {same} of {len(group)} |")
    return "\n".join(lines)


if __name__ == "__main__":
    app()
