"""The benchmark of jobs runs, and its catalogue is one; nothing is timed here."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).with_name("jobs.py")


def test_its_parts_run(tmp_path: Path) -> None:
    out = tmp_path / "result.json"
    options = ["--tiles", "30", "--images", "4", "--out", str(out)]
    environment = {"PYTHONPATH": str(SCRIPT.parents[1])}
    done = subprocess.run(
        [sys.executable, str(SCRIPT), *options],
        capture_output=True,
        text=True,
        check=False,
        env=environment,
    )
    assert done.returncode == 0, done.stderr
    report = json.loads(out.read_text())
    assert report["plan"]["tiles"] >= 30
    assert report["catalogue"]["items"] == 30
    assert report["catalogue"]["manifest_bytes"] > 10_000
    assert report["images"]["images"] == 4
    assert report["images"]["ms_found_there"] < report["images"]["ms_made"]
