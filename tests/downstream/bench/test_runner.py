"""A sweep at toy size: it repeats, it goes on, it survives what fails, and reports."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping
from dataclasses import replace
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

pytest.importorskip("segmentation_models_pytorch", reason="needs the extra `eval`")

from benchdata import MODEL, asked, config, make_data

from rsaug.downstream.bench.config import BenchConfig
from rsaug.downstream.bench.fitting import Task
from rsaug.downstream.bench.measures import Counted, count_places
from rsaug.downstream.bench.plan import jobs_of, load_world
from rsaug.downstream.bench.report import write_report
from rsaug.downstream.bench.results import REAL, Results
from rsaug.downstream.bench.runner import How, prepare, run_jobs
from rsaug.downstream.bench.store import Store
from rsaug.errors import InputError


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Real and synthetic tiles."""
    return make_data(tmp_path_factory.mktemp("bench"))


@pytest.fixture(scope="module")
def done(data: Path) -> BenchConfig:
    """A sweep that is done."""
    sweep = config(data, data / "done")
    progress = run_jobs(prepare(sweep, "cpu"), How(device="cpu"))
    assert (progress.failed, progress.kept) == (0, 0)
    # Two numbers of labels and two seeds; a detector of synthetic tiles is the same for both.
    assert progress.made == 2 * (2 + 1 + 2)
    return sweep


def numbers(sweep: BenchConfig) -> Mapping[str, Any]:
    """What was counted, by key of the job."""
    folder = Path(sweep.out) / "jobs"
    return {path.stem: json.loads(path.read_text())["splits"] for path in folder.iterdir()}


def test_the_same_sweep_twice_gives_the_same_numbers(done: BenchConfig, data: Path) -> None:
    again = replace(done, out=str(data / "again"), seeds=(1,))
    progress = run_jobs(prepare(again, "cpu"), How(device="cpu"))
    assert progress.made == 5
    first, second = numbers(done), numbers(again)
    assert second == {key: first[key] for key in second}


def test_what_is_done_is_not_done_again(done: BenchConfig) -> None:
    before = numbers(done)
    progress = run_jobs(prepare(done, "cpu"), How(device="cpu"))
    assert (progress.made, progress.kept) == (0, 10)
    path = sorted((Path(done.out) / "jobs").iterdir())[0]
    path.unlink()
    progress = run_jobs(prepare(done, "cpu"), How(device="cpu"))
    assert (progress.made, progress.kept) == (1, 9)
    assert numbers(done) == before


def test_another_process_gives_the_same_numbers(done: BenchConfig) -> None:
    before = numbers(done)
    sorted((Path(done.out) / "jobs").iterdir())[-1].unlink()
    threads = torch.get_num_threads()
    progress = run_jobs(prepare(done, "cpu"), How(workers=2, device="cpu"))
    assert (progress.made, progress.failed) == (1, 0)
    assert torch.get_num_threads() == threads
    after = numbers(done)
    assert after.keys() == before.keys()
    # Other numbers of threads add up in another order.
    pixels = [np.array([s["val"]["pixels"] for s in found.values()]) for found in (before, after)]
    assert np.abs(np.subtract(*map(np.sort, pixels))).max() < 0.05 * 64 * 64


def test_a_job_that_fails_is_noted_and_the_others_are_done(data: Path) -> None:
    models = [{"architecture": "linknet", "encoder": "no-such"}, MODEL]
    sweep = config(
        data,
        data / "failing",
        models=models,
        seeds=[0],
        label_places=["all"],
        arms=[{"name": "strong", "kind": "real"}],
        pools=[],
    )
    notes: list[str] = []
    progress = run_jobs(prepare(sweep, "cpu"), How(device="cpu"), note=notes.append)
    assert (progress.made, progress.failed) == (1, 1)
    assert "No encoder is called 'no-such'" in notes[0]
    page = write_report(Path(sweep.out)).read_text(encoding="utf-8")
    assert escape("No encoder is called 'no-such'") in page


def test_a_job_is_not_done_with_other_tiles(done: BenchConfig) -> None:
    prepared = prepare(replace(done, out=f"{done.out}-other"), "cpu")
    outcome = prepared.worker.do(prepared.keyed[0][0], "0" * 24)
    assert outcome.reason is not None
    assert "are others than where the sweep was begun" in outcome.reason


def test_what_is_compared_begins_alike(done: BenchConfig) -> None:
    world = load_world(done)
    few, all_ = (world.places(labels, seed=0) for labels in (1, 2))
    assert set(few) < set(all_)
    jobs = [job for job in jobs_of(world) if (job.labels, job.seed) == (2, 0)]
    weights = []
    for job in jobs:
        arm = done.arm(job.arm)
        real = world.real(job)
        task = Task(real, world.synthetic(job), arm, job.ratio, job.model, done.training, job.seed)
        weights.append(torch.cat([w.flatten() for w in task.network().state_dict().values()]))
    assert len(weights) == 3
    assert all(torch.equal(weights[0], other) for other in weights)


def test_pretraining_takes_its_share_of_the_same_steps(done: BenchConfig) -> None:
    world = load_world(done)
    arm = replace(done.arm("synthetic"), kind="pretrain", pretrain_share=0.5)
    job = next(job for job in jobs_of(world) if job.arm == "synthetic")
    training = replace(done.training, steps=10, warmup=2)
    task = Task(world.labelled, world.synthetic(job), arm, None, job.model, training, 0)
    made = [len(task.shares.of_step(step)[1]) for step in range(10)]
    assert made == [2] * 5 + [0] * 5
    rates = [task.rate(step) for step in range(10)]
    assert rates[:5] == rates[5:]


def test_counts_are_of_places(done: BenchConfig) -> None:
    held = load_world(done).held["val"]
    evaluation = replace(
        done.evaluation, metrics=("iou", "f1", "relaxed_f1", "cldice", "apls"), gsd=0.6
    )
    counted = count_places(held.masks, held, evaluation)
    assert counted.places == ("c", "d")
    again = Counted.from_dict(json.loads(json.dumps(counted.to_dict())))
    for name in ("pixels", "relaxed", "skeleton", "paths"):
        assert np.array_equal(again.counts[name], counted.counts[name])
    assert counted.counts["pixels"][:, 0].sum() == held.masks.sum()
    assert counted.counts["pixels"][:, 1:3].sum() == 0
    with pytest.raises(InputError, match=r"set 'evaluation\.gsd'"):
        count_places(held.masks, replace(held, gsd_m=None), replace(evaluation, gsd=None))


def test_the_report_tells_all(done: BenchConfig) -> None:
    pytest.importorskip("matplotlib")
    page = write_report(Path(done.out)).read_text(encoding="utf-8")
    for text in ("Protocol: closed data", "best and worst tiles", "Leaks", "data:image/jpeg"):
        assert text in page
    assert '="http' not in page
    assert "upper bound" not in page
    table = (Path(done.out) / "results.md").read_text(encoding="utf-8")
    assert "| mixed, painted, 50% synthetic |" in table
    with (Path(done.out) / "results.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    # Three ways to train, two numbers of labels, two metrics.
    assert len(rows) == 12
    assert {row["seeds"] for row in rows} == {"2"}
    baseline = [row for row in rows if row["arm"] == "strong"]
    assert all(row["gain"] == "" for row in baseline)
    mixed = next(row for row in rows if row["arm"] == "mixed")
    theirs = next(
        row
        for row in baseline
        if (row["label_places"], row["metric"]) == (mixed["label_places"], mixed["metric"])
    )
    gain = float(mixed["score"]) - float(theirs["score"])
    assert float(mixed["gain"]) == pytest.approx(gain, abs=1e-5)


def test_tables_keep_protocols_apart(done: BenchConfig) -> None:
    results = Results(done, Store(Path(done.out)))
    assert {cell.protocol for cell in results.cells} == {REAL, "closed data"}
    real = {line.cell.arm for line in results.lines if line.cell.protocol == REAL}
    assert real == {"strong"}


def test_a_false_protocol_ends_a_sweep_before_anything_is_trained(data: Path) -> None:
    raw = asked(data, data / "false")
    raw["pools"][0]["generator_places"] = ["a", "b"]
    sweep = config(data, data / "false", pools=raw["pools"])
    with pytest.raises(InputError, match="declared as 'closed data', but its generator was"):
        prepare(sweep, "cpu")
    assert not (data / "false").exists()


def test_other_folders_are_left_alone(data: Path, tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").touch()
    with pytest.raises(InputError, match="neither empty nor the folder of a sweep"):
        prepare(config(data, tmp_path), "cpu")
    with pytest.raises(InputError, match="is no folder of rsaug bench run"):
        write_report(tmp_path)
    with pytest.raises(InputError, match="'local' or 'ray', not 'dask'"):
        run_jobs(prepare(config(data, data / "dask"), "cpu"), How(engine="dask"))
