"""The benchmark runs, and networkx comes to the same scores; nothing is timed here."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).with_name("apls.py")


def test_contenders_agree(tmp_path: Path) -> None:
    out = tmp_path / "result.json"
    options = ["--junctions", "9", "25", "--rounds", "2", "--out", str(out)]
    run = [sys.executable, str(SCRIPT), *options]
    done = subprocess.run(run, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    towns = json.loads(out.read_text())["towns"]
    assert [size["junctions"] for size in towns] == [9, 25]
    for size in towns:
        assert size["control_points"] > size["junctions"]
        assert {*size["contenders"]} == {"ours", "networkx"}
        assert size["contenders"]["networkx"]["largest_difference"] < 1e-9
        assert all(contender["seconds"] > 0 for contender in size["contenders"].values())
