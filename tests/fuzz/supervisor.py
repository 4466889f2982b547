"""Starts what is fuzzed in a process of its own, ends what hangs or grows, and goes on after it."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from fuzz.targets import Target, write
from fuzz.worker import NOW, input_of

_POLL_S = 0.05
_PREPARE_S = 300.0
# A machine that is busy with other work may take so many times as long.
_WAIT = 6
# Above a target's own limit: a process as large as this is ended at once.
_HARD_LIMIT_MB = 3000
_KEEP_OF_A_KIND = 3


@dataclass(frozen=True)
class Finding:
    """An input that was not taken as it should be.

    Attributes:
        number: Which input.
        kind: ``traceback``, ``crash``, ``hang``, ``memory`` or ``forbidden``.
        said: What is known of it.
    """

    number: int
    kind: str
    said: str

    @property
    def place(self) -> str:
        """What tells this finding from others: the innermost frames and the error's name."""
        frames = [line.strip() for line in self.said.splitlines() if line.startswith("  File ")]
        ours = [frame for frame in frames if "rsaug" in frame or "/main/" in frame] or frames
        last = self.said.strip().splitlines()[-1] if self.said.strip() else ""
        # What differs from input to input: quoted text and numbers.
        last = re.sub(r"'[^']*'|\"[^\"]*\"|\d+", "*", last)[:120]
        return f"{self.kind}: {last} | {ours[-1] if ours else ''}"


@dataclass
class Summary:
    """What came of a target.

    Attributes:
        target: Its name.
        what: What it reads.
        seed: Decides the inputs.
        runs: Inputs that were read.
        seconds: How long that took.
        findings: What was found.
    """

    target: str
    what: str
    seed: int
    runs: int
    seconds: float
    findings: list[Finding] = field(default_factory=list)

    def to_dict(self) -> dict[str, object]:
        """The numbers and each kind of finding once, JSON-able."""
        kinds = Counter(finding.place for finding in self.findings)
        return {
            "target": self.target,
            "what": self.what,
            "seed": self.seed,
            "runs": self.runs,
            "seconds": round(self.seconds, 1),
            "findings": len(self.findings),
            "kinds": dict(kinds.most_common()),
        }


def fuzz(target: Target, runs: int, seed: int, out: Path, first: int = 0) -> Summary:
    """Read so many inputs and keep those with findings, a folder each, below ``out``."""
    began, found = time.monotonic(), list[Finding]()
    # In memory where there is such a place: a file an input.
    shm = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=shm if shm.is_dir() else None, prefix="fuzz-") as name:
        folder = Path(name)
        number, end = first, first + runs
        while number < end:
            number = _batch(target, seed, number, end, folder, found)
        _keep(target, seed, found, out / target.name, folder)
    return Summary(target.name, target.what, seed, runs, time.monotonic() - began, found)


def _batch(
    target: Target, seed: int, first: int, end: int, folder: Path, found: list[Finding]
) -> int:
    """Run a process until it ends; the input to go on with."""
    (folder / "now").write_bytes(NOW.pack(-1, time.monotonic(), 0.0))
    (folder / "found.jsonl").write_text("")
    (folder / "crash.txt").write_text("")
    (folder / "place").mkdir(exist_ok=True)
    command = [sys.executable, "-m", "fuzz.worker", target.name, str(seed), str(first), str(end)]
    with (folder / "stderr.txt").open("w") as stderr:
        process = subprocess.Popen(
            [*command, str(folder)],
            stdout=subprocess.DEVNULL,
            stderr=stderr,
            env=_environment(folder),
        )
        ended = _watched(process, target, folder)
    for line in (folder / "found.jsonl").read_text(encoding="utf-8").splitlines():
        found.append(Finding(**json.loads(line)))
    number, _, _ = NOW.unpack((folder / "now").read_bytes())
    if process.returncode == 0:
        return end
    if number < first:
        said = (folder / "stderr.txt").read_text(errors="replace")
        raise RuntimeError(f"{target.name} could not be prepared:\n{said}")
    trace = (folder / "crash.txt").read_text(errors="replace")
    stderr_end = (folder / "stderr.txt").read_text(errors="replace")[-2000:]
    kind = ended or "crash"
    said = f"{trace}\n{stderr_end}\nexit code {process.returncode}"
    found.append(Finding(int(number), kind, said))
    return int(number) + 1


def _environment(folder: Path) -> dict[str, str]:
    """That of this process, in which the targets are found and temporary files lie in a folder."""
    places = [str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH", "")]
    paths = os.pathsep.join(filter(None, places))
    return {**os.environ, "PYTHONPATH": paths, "TMPDIR": str(folder)}


def _watched(process: subprocess.Popen[bytes], target: Target, folder: Path) -> str | None:
    """Wait for a process; why it was ended, None if it ended by itself."""
    while process.poll() is None:
        time.sleep(_POLL_S)
        content = (folder / "now").read_bytes()
        if len(content) != NOW.size:
            continue
        number, since, used = NOW.unpack(content)
        limit = target.limit_s if number >= 0 else _PREPARE_S
        busy, waited = _processor_s(process.pid) - used, time.monotonic() - since
        too_long = busy > limit or waited > _WAIT * limit
        if too_long or _resident_mb(process.pid) > _HARD_LIMIT_MB:
            # On this signal the process writes where it is.
            process.send_signal(signal.SIGABRT)
            process.wait()
            return "hang" if too_long else "memory"
    return None


def _processor_s(pid: int) -> float:
    """Seconds of processor time that a process has had."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace")
        user, system = text.rpartition(")")[2].split()[11:13]
    except (OSError, ValueError):
        return 0.0
    return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")


def _resident_mb(pid: int) -> float:
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1])
    except (OSError, IndexError):
        return 0.0
    return pages * 4096 / 1e6


def _keep(target: Target, seed: int, found: list[Finding], out: Path, folder: Path) -> None:
    """Write the first inputs of each kind of finding."""
    if not found:
        return
    seeds, _ = target.prepare(_empty(folder / "again"))
    kept: Counter[str] = Counter()
    for finding in found:
        kept[finding.place] += 1
        if kept[finding.place] <= _KEEP_OF_A_KIND:
            place = out / f"{finding.number}"
            place.mkdir(parents=True, exist_ok=True)
            write(place, input_of(target, seeds, seed, finding.number))
            (out / f"{finding.number}.txt").write_text(f"{finding.kind}\n{finding.said}\n")


def _empty(folder: Path) -> Path:
    folder.mkdir()
    return folder
