"""Fuzzing that is led by the branches that an input takes, of the targets that read one file.

``pip install atheris``, then ``PYTHONPATH=tests python -m fuzz.guided osm-values --seconds 600``.
Inputs that took a new branch are kept in a folder, and are where the next round goes on from.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib
import json
import sys
import tempfile
import time
import warnings
from pathlib import Path
from typing import Annotated

import typer

from fuzz.supervisor import Finding
from fuzz.targets import all_targets
from fuzz.worker import try_one


def main(
    name: Annotated[str, typer.Argument(help="Target; python -m fuzz --list names them.")],
    seconds: Annotated[int, typer.Option(help="How long.", min=1)] = 60,
    seed: Annotated[int, typer.Option(help="Decides the inputs.")] = 1,
    out: Annotated[Path, typer.Option(help="Folder of findings and of inputs.")] = Path(
        "fuzz-guided"
    ),
) -> None:
    """Read inputs for so long; each kind of finding is kept once."""
    atheris = importlib.import_module("atheris")
    target, folder = all_targets()[name], out / name
    corpus = folder / "inputs"
    corpus.mkdir(parents=True, exist_ok=True)
    known: set[str] = set()
    with contextlib.ExitStack() as stack:
        # In memory where there is such a place: a file an input.
        shm = "/dev/shm" if Path("/dev/shm").is_dir() else None
        temporary = Path(stack.enter_context(tempfile.TemporaryDirectory(dir=shm)))
        with atheris.instrument_imports(include=["rsaug"]):
            seeds, run = target.prepare(temporary)
        files = sorted({name for sample in seeds for name in sample})
        if len(files) != 1:
            raise typer.BadParameter(f"{name} reads more than one file: {', '.join(files)}")
        (file,) = files
        for content in (sample[file] for sample in seeds):
            (corpus / hashlib.sha1(content).hexdigest()).write_bytes(content)
        warnings.simplefilter("ignore")

        def one(content: bytes) -> None:
            trouble = try_one(target, run, temporary / "place", {file: content})
            if trouble is None:
                return
            finding = Finding(0, "traceback", trouble)
            if finding.place not in known:
                known.add(finding.place)
                kept = folder / hashlib.sha1(content).hexdigest()
                kept.write_bytes(content)
                note = {"file": kept.name, "place": finding.place, "said": trouble}
                with (folder / "found.jsonl").open("a", encoding="utf-8") as notes:
                    notes.write(json.dumps(note) + "\n")

        # Its own exit: it says "Done N runs" and ends the process.
        options = [f"-max_total_time={seconds}", f"-seed={seed}", "-timeout=60", "-verbosity=1"]
        atheris.Setup([sys.argv[0], str(corpus), *options, "-rss_limit_mb=4096"], one)
        typer.echo(f"{name}: from {len(list(corpus.iterdir()))} inputs, {time.strftime('%H:%M')}")
        atheris.Fuzz()


if __name__ == "__main__":
    typer.run(main)
