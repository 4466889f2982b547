"""The benchmark runs, and every row predicts the same; nothing is timed here."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

TESTS = Path(__file__).parents[1]
ROWS = (
    "as released",
    "metadata once",
    "content once",
    "controls once",
    "fused attention",
    "one batch",
    "channels last",
    "bfloat16",
)
"""All but the compiled one, which takes a minute."""


def test_rows_predict_the_same(tmp_path: Path) -> None:
    out = tmp_path / "result.json"
    size = ["--base", "32", "--side", "64", "--rounds", "1", "--peer-steps", "1"]
    run = [sys.executable, "-m", "benchmarks.waterfall", *size, "--rows", *ROWS, "--out", str(out)]
    done = subprocess.run(
        run,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": str(TESTS)},
    )
    assert done.returncode == 0, done.stderr
    (batch,) = json.loads(out.read_text())["batches"]
    assert tuple(entry["row"] for entry in batch["waterfall"]) == ROWS
    assert all(entry["s_a_step"] > 0 for entry in batch["waterfall"])
    *same, rounded = [entry["error"] for entry in batch["waterfall"]]
    assert max(same) < 1e-4
    # It is another number format, or the row is not what it says.
    assert rounded > 1e-3
    assert batch["peer"]["ours_to_peer"] > 0
    ours, peer = batch["peer"]["parameters"].values()
    assert 0.8 < ours / peer < 1.25
