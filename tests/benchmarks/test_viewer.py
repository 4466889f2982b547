"""The benchmark of the viewer runs; nothing is timed here."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).with_name("viewer.py")


def test_it_asks_for_every_tile(tmp_path: Path) -> None:
    out = tmp_path / "result.json"
    environment = {"PYTHONPATH": f"{SCRIPT.parents[1]}:{SCRIPT.parent}"}
    done = subprocess.run(
        [sys.executable, str(SCRIPT), "--tiles", "4", "--out", str(out)],
        capture_output=True,
        text=True,
        check=False,
        env=environment,
    )
    assert done.returncode == 0, done.stderr
    report = json.loads(out.read_text())
    assert report["images"] == 4
    assert report["http"]["catalogue_bytes"] > 1000
    for layer in ("image-0", "mask", "control-seg"):
        found = report["http"]["tiles_ms"][layer]
        assert found["warm"]["all"]["n"] == sum(zoom["n"] for zoom in found["cold"].values()) > 10
