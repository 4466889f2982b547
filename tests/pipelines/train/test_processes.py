"""Training in several processes is training in one, and a run that is killed goes on as it was."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from toytraining import digits
from trainrun import short_run

PROGRAM = Path(__file__).parents[2] / "trainrun.py"
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
TWO = ("-m", "torch.distributed.run", "--nproc-per-node", "2", "--standalone")


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """As many threads here as in the programs: another number rounds differently."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def losses(lines: list[str]) -> list[tuple[str, float]]:
    """Each step and its loss."""
    return [(line.partition(":")[0], digits(line)) for line in lines if line.startswith("step ")]


def weights(out: Path) -> dict[str, torch.Tensor]:
    files = sorted(out.rglob("*.safetensors"))
    return {f"{file.parent.name}.{k}": v for file in files for k, v in load_file(file).items()}


def test_neither_processes_nor_parts_change_what_is_learned(tmp_path: Path) -> None:
    lines: list[str] = []
    short_run(tmp_path / "alone", 4, 8, 1, lines.append)
    names, alone = zip(*losses(lines), strict=True)
    assert len(set(alone)) == 4
    command = [sys.executable, *TWO, str(PROGRAM), str(tmp_path / "two"), "4", "8", "1", "2"]
    done = subprocess.run(command, env=ENVIRONMENT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    again, together = zip(*losses(done.stdout.splitlines()), strict=True)
    assert again == names * 2
    assert together == pytest.approx(alone * 2, rel=1e-4)
    ours = weights(tmp_path / "alone")
    for parts in (1, 2):
        theirs = weights(tmp_path / f"two-{parts}")
        for name, value in ours.items():
            torch.testing.assert_close(value, theirs[name], atol=2e-3, rtol=2e-2)


def test_a_killed_run_goes_on_to_the_same_end(tmp_path: Path) -> None:
    whole: list[str] = []
    short_run(tmp_path / "whole", 8, 4, 1, whole.append)
    command = [sys.executable, str(PROGRAM), str(tmp_path / "killed"), "8", "4", "1"]
    before: list[str] = []
    with subprocess.Popen(command, env=ENVIRONMENT, stdout=subprocess.PIPE, text=True) as killed:
        assert killed.stdout is not None
        for line in killed.stdout:
            before.append(line)
            if line.startswith("step 5:"):
                killed.kill()
    assert killed.returncode < 0
    out = tmp_path / "killed-1"
    assert not out.exists()
    after: list[str] = []
    short_run(out, 8, 4, 1, after.append)
    # It goes on from the checkpoint of step 3.
    assert [step for step, _ in losses(after)] == [f"step {k}" for k in range(4, 9)]
    assert dict(losses(before)[:5]) | dict(losses(after)) == dict(losses(whole))
    assert losses(before)[3:5] == losses(after)[:2]
    ours, theirs = weights(tmp_path / "whole"), weights(out)
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(value, theirs[name]) for name, value in ours.items())
