"""The script that compares benchmarks: a lost ratio fails, a slower machine does not."""

from __future__ import annotations

import copy
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]
SCRIPT = ROOT / "scripts" / "compare_benchmarks.py"
KEPT = ROOT / "tests" / "benchmarks"
FILES = ("apls", "road_datasets", "road_maps", "waterfall")


def compared(*new: Path, options: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(SCRIPT), *map(str, new), *options]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def slower(document: Any, factor: float) -> Any:
    """The same results of a machine that takes so many times as long."""
    if isinstance(document, dict):
        return {
            key: value * factor
            if isinstance(value, float) and not key.startswith(("ratio", "times", "ours_to"))
            else slower(value, factor)
            for key, value in document.items()
        }
    return [slower(entry, factor) for entry in document] if isinstance(document, list) else document


def write(folder: Path, name: str, document: Any) -> Path:
    path = folder / f"{name}.json"
    path.write_text(json.dumps(document))
    return path


def test_a_slower_machine_loses_nothing(tmp_path: Path) -> None:
    new = []
    for name in FILES:
        document = json.loads((KEPT / f"{name}.json").read_text())
        new.append(write(tmp_path, name, slower(document, 3.0)))
    done = compared(*new)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    for name in FILES:
        assert any(line.startswith(f"{name}: ") for line in lines), name
    assert not any("loss" in line or "not measured" in line for line in lines)


def test_a_lost_ratio_fails_whichever_way_it_counts(tmp_path: Path) -> None:
    apls = json.loads((KEPT / "apls.json").read_text())
    for factor, code in ((1.4, 0), (1.6, 1)):
        document = copy.deepcopy(apls)
        contender = document["towns"][1]["contenders"]["networkx"]
        contender["ratio_to_ours"] /= factor
        done = compared(write(tmp_path, "apls", document))
        assert done.returncode == code, done.stdout
        assert ("1.60-fold loss" in done.stdout) == bool(code)
    waterfall = json.loads((KEPT / "waterfall.json").read_text())
    waterfall["batches"][0]["peer"]["ours_to_peer"] *= 1.6
    done = compared(write(tmp_path, "waterfall", waterfall))
    assert done.returncode == 1
    assert "1 of" in done.stderr
    assert compared(tmp_path / "waterfall.json", options=("--loss", "2")).returncode == 0


def test_entries_are_told_by_their_names_and_not_by_their_order(tmp_path: Path) -> None:
    apls = json.loads((KEPT / "apls.json").read_text())
    apls["towns"] = apls["towns"][:0:-1]
    done = compared(write(tmp_path, "apls", apls))
    assert done.returncode == 0, done.stdout
    gone = [line for line in done.stdout.splitlines() if "not measured now" in line]
    assert gone
    assert all("junctions=100]" in line for line in gone)


@pytest.mark.parametrize("content", ["{}", "[", '{"towns": 3}'])
def test_what_holds_no_ratio_is_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / "apls.json").write_text(content)
    assert compared(tmp_path / "apls.json").returncode == 2
