"""The process that is fuzzed: it reads inputs one after another and says where it is.

Run by `fuzz.supervisor`: ``python -m fuzz.worker TARGET SEED FIRST END FOLDER``. In the folder it
keeps ``now`` (two numbers: the input that it is at, and since when) and ``found.jsonl``.
"""

from __future__ import annotations

import contextlib
import faulthandler
import json
import os
import random
import resource
import shutil
import struct
import sys
import time
import traceback
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fuzz.mutations import Sample
from fuzz.targets import Run, Target, all_targets, write

NOW = struct.Struct("<qdd")
"""Number of the input, seconds since the start of the machine, seconds of processor time."""

_FORBIDDEN = (
    "socket.connect", "socket.getaddrinfo", "socket.sendto", "subprocess.Popen", "os.system",
    "os.exec", "os.posix_spawn", "os.fork", "pickle.find_class", "exec",
)  # fmt: skip


def input_of(target: Target, seeds: Sequence[Sample], seed: int, number: int) -> Sample:
    """The input of a number: the same for the same target, seeds and seed."""
    return target.mutate(random.Random(f"{target.name}/{seed}/{number}"), seeds)


def peak_kb() -> int:
    """Most memory that this process has had since `forget_peak`."""
    text = Path("/proc/self/status").read_text(encoding="ascii")
    return int(text.partition("VmHWM:")[2].split()[0])


def forget_peak() -> None:
    """Count the most memory from now on. See proc(5), ``/proc/[pid]/clear_refs``."""
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")


def try_one(target: Target, run: Run, place: Path, sample: Sample) -> str | None:
    """Read an input; the trace of what was raised that must not be, else None."""
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir()
    write(place, sample)
    try:
        run(place)
    except target.allowed:
        return None
    except Exception:
        return traceback.format_exc()
    return None


class _Watch:
    """Notes what no reader may do: reach for the network, start a program, run code."""

    def __init__(self) -> None:
        self.active = False
        self.seen: list[str] = []
        sys.addaudithook(self._hook)

    def _hook(self, event: str, args: tuple[Any, ...]) -> None:
        if self.active and event in _FORBIDDEN and not _is_known(event, args):
            self.seen.append(f"{event} {args!r:.200}")


def _is_known(event: str, args: tuple[Any, ...]) -> bool:
    """Code of installed packages that is imported late, and NumPy's own tables."""
    if event == "exec":
        name = getattr(args[0], "co_filename", "")
        return name.startswith(("<", sys.prefix, sys.base_prefix)) or "/rsaug/" in name
    return event == "pickle.find_class" and str(args[0]).split(".")[0] in ("numpy", "torch")


def main(name: str, seed: int, first: int, end: int, folder: Path) -> None:
    """Read the inputs from ``first`` to before ``end``."""
    with (folder / "crash.txt").open("a", encoding="utf-8") as trace:
        faulthandler.enable(trace)
        warnings.simplefilter("ignore")
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        target, place = all_targets()[name], folder / "place"
        shutil.rmtree(folder / "seeds", ignore_errors=True)
        (folder / "seeds").mkdir()
        seeds, run = target.prepare(folder / "seeds")
        for sample in seeds:
            if trouble := try_one(target, run, place, sample):
                raise SystemExit(f"a seed is not read:\n{trouble}")
        _read(target, run, seeds, seed, range(first, end), folder)
    # Libraries' threads can take their time to end, which is not what is measured.
    os._exit(0)


def _read(
    target: Target, run: Run, seeds: Sequence[Sample], seed: int, numbers: range, folder: Path
) -> None:
    forget_peak()
    base, watch = peak_kb(), _Watch()
    with (
        (folder / "now").open("r+b", buffering=0) as now,
        (folder / "found.jsonl").open("a", encoding="utf-8") as found,
    ):
        for number in numbers:
            sample = input_of(target, seeds, seed, number)
            now.seek(0)
            now.write(NOW.pack(number, time.monotonic(), time.process_time()))
            forget_peak()
            watch.seen.clear()
            watch.active = True
            trouble = try_one(target, run, folder / "place", sample)
            watch.active = False
            grown = (peak_kb() - base) // 1024
            kinds = {"traceback": trouble, "forbidden": "\n".join(watch.seen)}
            if grown > target.limit_mb:
                kinds["memory"] = f"{grown} MB"
            for kind, said in kinds.items():
                if said:
                    line = {"number": number, "kind": kind, "said": said}
                    found.write(json.dumps(line) + "\n")
                    found.flush()
        now.seek(0)
        now.write(NOW.pack(numbers.stop, time.monotonic(), time.process_time()))


if __name__ == "__main__":
    _seed, _first, _end = map(int, sys.argv[2:5])
    main(sys.argv[1], _seed, _first, _end, Path(sys.argv[5]))
