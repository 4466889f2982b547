"""A small part of the fuzzing, always the same inputs; ``python -m fuzz`` in `tests` does more."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest
from fuzz.mutations import mutated_any, mutated_bytes, mutated_json, mutated_text
from fuzz.supervisor import fuzz
from fuzz.targets import Target, all_targets
from fuzz.worker import input_of, try_one

NEEDS = {
    "bench": ("yaml",),
    "scores": ("yaml",),
    "manifest": ("torchgeo",),
    "detector": ("segmentation_models_pytorch",),
}
"""Packages of extras without which a target cannot be tried."""

FREQUENT = {"osm-values": 400, "options": 200, "mix": 60, "record": 60, "pack": 60, "features": 60}
SELDOM = 4


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


@pytest.mark.parametrize("name", sorted(all_targets()))
def test_nothing_but_our_own_errors_is_raised(name: str, tmp_path: Path) -> None:
    for package in NEEDS.get(name, ()):
        pytest.importorskip(package)
    target = all_targets()[name]
    (tmp_path / "seeds").mkdir()
    seeds, run = target.prepare(tmp_path / "seeds")
    for sample in seeds:
        assert try_one(target, run, tmp_path / "place", sample) is None
    for number in range(FREQUENT.get(name, SELDOM)):
        trouble = try_one(target, run, tmp_path / "place", input_of(target, seeds, 1, number))
        assert trouble is None, f"input {number} of {name}:\n{trouble}"


def test_an_input_is_the_same_for_the_same_number(tmp_path: Path) -> None:
    target = all_targets()["osm-values"]
    seeds, _ = target.prepare(tmp_path)
    first = [input_of(target, seeds, 7, number) for number in range(50)]
    assert first == [input_of(target, seeds, 7, number) for number in range(50)]
    assert first != [input_of(target, seeds, 8, number) for number in range(50)]
    assert len({each["value.txt"] for each in first}) > 25


def test_changes_change() -> None:
    rng = random.Random(0)
    text = b'{"a": [1, 2, {"b": "c"}], "d": null}'
    for change in (mutated_bytes, mutated_text, mutated_json, mutated_any):
        made = {change(rng, text) for _ in range(100)}
        assert len(made) > 50
        assert all(isinstance(each, bytes) for each in made)


FAULTY = """
import os
from fuzz import tags
from fuzz.targets import Target

def prepare(folder):
    def run(place):
        way = (place / "a.txt").read_bytes()
        if way == b"0":
            raise KeyError("a key")
        if way == b"1":
            os.abort()
        while way == b"2":
            pass
        if way == b"3":
            bytearray(200_000_000)[::4096] = b"1" * 48829
        if way == b"4":
            os.system("true")
    return [{"a.txt": b"seed"}], run

ways = {"*": lambda rng, content: b"%d" % rng.randrange(6)}
tags.TARGETS = (Target("faulty", "", prepare, ways, limit_s=0.5, limit_mb=100),)
"""


def test_every_kind_of_fault_is_found(tmp_path: Path) -> None:
    """The supervisor itself, on a reader that crashes, hangs, grows, starts programs and raises."""
    (tmp_path / "sitecustomize.py").write_text(FAULTY)
    (tmp_path / "run.py").write_text(
        "import json, sys\nfrom pathlib import Path\nfrom fuzz.supervisor import fuzz\n"
        "from fuzz.targets import all_targets\n"
        "found = fuzz(all_targets()['faulty'], 12, 0, Path(sys.argv[1])).findings\n"
        "print(json.dumps(sorted({finding.kind for finding in found})))\n"
    )
    paths = os.pathsep.join([str(tmp_path), str(Path(__file__).parent)])
    done = subprocess.run(
        [sys.executable, str(tmp_path / "run.py"), str(tmp_path / "out")],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": paths},
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split("\n")[0] == '["crash", "forbidden", "hang", "memory", "traceback"]'
    kept = [*(tmp_path / "out" / "faulty").glob("*/a.txt")]
    assert kept


def test_fuzzing_goes_on_after_a_finding(tmp_path: Path) -> None:
    target = all_targets()["osm-values"]
    summary = fuzz(target, 20, 0, tmp_path)
    assert isinstance(target, Target)
    assert (summary.runs, summary.findings) == (20, [])
