"""``rsaug doctor``: what is installed, what is not, and the line that mends it."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from rsaug.cli import messages
from rsaug.cli.group import FAILED
from rsaug.cli.layer_options import Json

if TYPE_CHECKING:
    from rsaug.checks import Check

_TORCH = """
import json, torch
found = {"version": torch.__version__, "threads": torch.get_num_threads(), "devices": []}
for k in range(torch.cuda.device_count()):
    about = torch.cuda.get_device_properties(k)
    memory = f"{about.total_memory / 1e9:.0f} GB"
    found["devices"].append(f"cuda:{k} {about.name}, {memory}")
if torch.backends.mps.is_available():
    found["devices"].append("mps")
assert float(torch.ones(2, 2).mm(torch.ones(2, 2)).sum()) == 8, "a product came out wrong"
print(json.dumps(found))
"""
_TORCH_SECONDS = 120

_COLOURS = {"ok": "green", "absent": "dim", "warning": "yellow", "error": "bold red"}


def doctor(as_json: Json = False) -> None:
    """Check the installation and the machine, and say what mends what is not as it should be.

    Exit code 0 if [dim]rsaug synth[/dim] can run here, else 1. Nothing is changed.
    """
    # A torch that is broken may take its process with it, and takes longest to begin.
    torch = subprocess.Popen(
        [sys.executable, "-c", _TORCH],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        found = _look(torch)
    finally:
        torch.kill()
        torch.communicate()
    broken = [check for check in found if check.state == "error"]
    if as_json:
        messages.write_json({"ok": not broken, "checks": [check.to_dict() for check in found]})
    else:
        _show(found)
    if broken:
        raise typer.Exit(FAILED)


def _look(torch: subprocess.Popen[str]) -> list[Check]:
    from rsaug.checks import check_extras, check_packages, check_python, guarded
    from rsaug.checks_system import check_gdal, check_machine, check_variables
    from rsaug.fetching import cache_folder

    metadata = "pip install --force-reinstall rsaug"
    return [
        guarded("Python", "python", metadata, check_python),
        *_several("Packages", metadata, check_packages),
        *check_gdal(),
        guarded("Model", "weights", metadata, _check_weights),
        *check_machine(Path.cwd(), cache_folder()),
        *check_variables(),
        *_several("Extras", metadata, check_extras),
        _check_torch(torch),
    ]


def _several(group: str, fix: str, look: Any) -> list[Check]:
    """What several looks come to, an error where the metadata cannot be read."""
    from rsaug.checks import Check

    try:
        found: list[Check] = look()
    except Exception as error:
        return [Check(group, "metadata", "error", str(error) or type(error).__name__, fix)]
    return found


def _check_weights() -> Check:
    """The default model, by the digest over its files."""
    import rsaug.pipelines
    from rsaug.checks import Check
    from rsaug.modelfiles import digest_of, model_files

    weights = Path(rsaug.pipelines.__file__).parent / "weights"
    expected = (weights / "default.sha256").read_text("ascii").strip()
    files = model_files(weights / "default")
    fix = "pip install --force-reinstall --no-deps rsaug"
    if not files:
        return Check("Model", "default", "error", f"there is none in {weights}", fix)
    digest = digest_of({name: file.sha256 for name, file in files.items()})
    if digest != expected:
        said = f"has the digest {digest[:12]}, not {expected[:12]}"
        return Check("Model", "default", "error", said, fix)
    size = sum(file.size for file in files.values()) / 1e6
    return Check("Model", "default", "ok", f"{size:.0f} MB, sha256 {digest[:12]}")


def _check_torch(process: subprocess.Popen[str]) -> Check:
    """What torch says of itself in a process of its own."""
    from rsaug.checks import Check

    fix = "pip install --force-reinstall torch"
    try:
        out, err = process.communicate(timeout=_TORCH_SECONDS)
    except subprocess.TimeoutExpired:
        return Check("torch", "torch", "error", f"says nothing for {_TORCH_SECONDS} s", fix)
    lines = err.strip().splitlines() or [f"its process ended with {process.returncode}"]
    if process.returncode:
        return Check("torch", "torch", "error", lines[-1][:300], fix)
    about = json.loads(out.splitlines()[-1])
    devices = [f"cpu, {about['threads']} threads", *about["devices"]]
    return Check("torch", "torch", "ok", f"{about['version']}, {'; '.join(devices)}")


def _show(found: Sequence[Check]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, padding=(0, 2, 0, 0), show_header=False)
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    group = ""
    for check in _shortened(found):
        if check.group != group:
            group = check.group
            table.add_row("", Text(group, "bold"), "")
        said = Text(check.found)
        if check.fix:
            said.append(f"\n{check.fix}", "cyan")
        table.add_row(Text(check.state, _COLOURS[check.state]), Text(check.name), said)
    console = Console(highlight=False)
    console.print(table)
    broken = [check for check in found if check.state == "error"]
    ready = "rsaug synth can run here." if not broken else "rsaug synth cannot run here yet."
    console.print(f"\n{ready}", style="bold green" if not broken else "bold red")


def _shortened(found: Sequence[Check]) -> list[Check]:
    """Checks for a reader: packages that are as they should be in one row, names of long extras."""
    from dataclasses import replace

    from rsaug.checks import Check

    fine = [check for check in found if check.group == "Packages" and check.state == "ok"]
    kept = [check for check in found if check not in fine]
    if fine:
        row = Check("Packages", "needed", "ok", f"{len(fine)} packages are there and new enough")
        place = next((k for k, check in enumerate(kept) if check.group != "Python"), len(kept))
        kept.insert(place, row)
    return [
        replace(check, found="") if check.group == "Extras" and check.state == "ok" else check
        for check in kept
    ]
