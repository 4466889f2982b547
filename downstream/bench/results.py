"""What a sweep found: arms against the baseline, one comparison a row."""

from __future__ import annotations

import csv
import io
import math
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np

from rsaug.downstream.bench.config import PROTOCOLS, BenchConfig, Metric
from rsaug.downstream.bench.measures import SCORES
from rsaug.downstream.bench.statistics import Estimate, Floats, average, difference
from rsaug.downstream.bench.store import Result, Store
from rsaug.errors import InputError

REAL = "real labels alone"
"""The protocol of arms without a pool, in tables."""

ALL_MODELS = "all"
"""The mean over detectors, in tables."""

_NO_ESTIMATE = Estimate(math.nan, math.nan, math.nan)


class Cell(NamedTuple):
    """All detectors of an arm, a pool and a number of labels.

    Attributes:
        protocol: Of the pool; `REAL` where there is none.
        arm: Name of the arm.
        pool: Name of the pool; "" where there is none.
        ratio: Share of synthetic samples in a batch; None where the arm has none.
        labels: Number of label places.
    """

    protocol: str
    arm: str
    pool: str
    ratio: float | None
    labels: int

    @property
    def way(self) -> str:
        """Arm, pool and ratio, for a reader."""
        share = "" if self.ratio is None else f"{self.ratio:.0%} synthetic"
        return ", ".join(filter(None, [self.arm, self.pool, share]))


@dataclass(frozen=True)
class Line:
    """One comparison.

    Attributes:
        cell: Of what.
        split: Where it was measured.
        metric: By which score.
        model: Of which detector; `ALL_MODELS` for the mean over all.
        score: The score.
        gain: How much higher it is than the baseline's, in pairs; NaN for the baseline itself.
        seeds: Over how many seeds.
        places: Over how many places.
    """

    cell: Cell
    split: str
    metric: Metric
    model: str
    score: Estimate
    gain: Estimate
    seeds: int
    places: int


class Results:
    """The results of a sweep, as far as they are there.

    Args:
        config: What was asked.
        store: Its folder.

    Raises:
        InputError: if the folder is that of no sweep, or a file in it is damaged.
    """

    def __init__(self, config: BenchConfig, store: Store) -> None:
        self.config, self.store = config, store
        self.plan = store.read_json("plan.json")
        self.by_cell: dict[Cell, dict[tuple[str, int], str]] = defaultdict(dict)
        for job in self.plan["jobs"]:
            cell = Cell(
                job["protocol"] or REAL,
                job["arm"],
                job["pool"] or "",
                job["ratio"],
                int(job["labels"]),
            )
            model = f"{job['model']['architecture']}, {job['model']['encoder']}"
            self.by_cell[cell][model, int(job["seed"])] = job["key"]
        keys = {job["key"] for job in self.plan["jobs"]}
        found = {key: store.read(key) for key in sorted(keys)}
        self.found: Mapping[str, Result] = {k: r for k, r in found.items() if r is not None}
        self.asked = len(keys)
        if not self.found:
            raise InputError(f"No job of {store.root} is done yet; run the sweep first.")

    @property
    def cells(self) -> list[Cell]:
        """All of which there is a result, by protocol, in the order of the configuration."""
        order = [REAL, *PROTOCOLS]
        arms = [arm.name for arm in self.config.arms]
        there = [
            cell
            for cell, keys in self.by_cell.items()
            if any(key in self.found for key in keys.values())
        ]
        return sorted(
            there,
            key=lambda cell: (
                order.index(cell.protocol),
                arms.index(cell.arm),
                cell.pool,
                cell.ratio or 0.0,
                cell.labels,
            ),
        )

    def baseline(self, cell: Cell) -> Cell:
        """The baseline with as many labels."""
        return Cell(REAL, self.config.baseline, "", None, cell.labels)

    @cached_property
    def lines(self) -> list[Line]:
        """Every comparison that can be made."""
        models = [model.name for model in self.config.models]
        groups = [(name, [name]) for name in models]
        if len(models) > 1:
            groups.insert(0, (ALL_MODELS, models))
        return [
            line
            for cell in self.cells
            for split in self.config.evaluation.splits
            for metric in self.config.evaluation.metrics
            for name, group in groups
            for line in self._line(cell, split, metric, name, group)
        ]

    def first_lines(self) -> list[Line]:
        """Those of the first split and metric, in the mean over detectors."""
        split, metric = self.config.evaluation.splits[0], self.config.evaluation.metrics[0]
        return [line for line in self.main_lines if (line.split, line.metric) == (split, metric)]

    @property
    def main_lines(self) -> list[Line]:
        """Those in the mean over detectors, or of the only one."""
        main = ALL_MODELS if len(self.config.models) > 1 else self.config.models[0].name
        return [line for line in self.lines if line.model == main]

    def key(self, cell: Cell, model: str, seed: int) -> str | None:
        """Key of the result of a detector; None where it is not done."""
        key = self._keys(cell).get((model, seed))
        return key if key in self.found else None

    def _keys(self, cell: Cell) -> Mapping[tuple[str, int], str]:
        return self.by_cell.get(cell, {})

    def _line(
        self, cell: Cell, split: str, metric: Metric, name: str, group: Sequence[str]
    ) -> Iterator[Line]:
        samples, score = self.config.evaluation.resamples, SCORES[metric]
        seeds = self._seeds(cell, group)
        if not seeds:
            return
        tables = [self._table(cell, model, seeds, split, score.counted) for model in group]
        gain = _NO_ESTIMATE
        baseline = self.baseline(cell)
        if (cell.arm, cell.protocol) != (baseline.arm, REAL):
            shared = [seed for seed in seeds if seed in self._seeds(baseline, group)]
            if shared:
                pairs = [
                    (
                        self._table(cell, model, shared, split, score.counted),
                        self._table(baseline, model, shared, split, score.counted),
                    )
                    for model in group
                ]
                gain = difference(pairs, score.of, samples)
        yield Line(
            cell,
            split,
            metric,
            name,
            _share(average(tables, score.of, samples)),
            gain,
            len(seeds),
            tables[0].shape[1],
        )

    def _seeds(self, cell: Cell, models: Sequence[str]) -> list[int]:
        """Seeds of which all detectors are done."""
        keys = self._keys(cell)
        return [
            seed
            for seed in self.config.seeds
            if all(keys.get((model, seed)) in self.found for model in models)
        ]

    def _table(
        self, cell: Cell, model: str, seeds: Sequence[int], split: str, count: str
    ) -> Floats:
        """Numbers (seeds, places, k); all jobs of a sweep are measured on the same places."""
        keys = self._keys(cell)
        return np.stack(
            [self.found[keys[model, seed]].counted[split].counts[count] for seed in seeds]
        )


def to_csv(lines: Sequence[Line]) -> str:
    """All comparisons, one a line; what is not defined is empty."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    head = ["protocol", "arm", "pool", "ratio", "label_places", "split", "metric", "model"]
    head += ["score", "score_low", "score_high", "gain", "gain_low", "gain_high"]
    writer.writerow([*head, "seeds", "places"])
    for line in lines:
        cell = line.cell
        numbers = [_written(x) for x in (*line.score, *line.gain)]
        names = [
            cell.protocol,
            cell.arm,
            cell.pool,
            "" if cell.ratio is None else cell.ratio,
            cell.labels,
        ]
        row = [*names, line.split, line.metric, line.model, *numbers, line.seeds, line.places]
        writer.writerow(row)
    return file.getvalue()


def of_protocol(lines: Sequence[Line], protocol: str) -> list[Line]:
    """The lines of a protocol, after those of real labels alone, which all are compared with."""
    chosen = [line for line in lines if line.cell.protocol == protocol]
    return [line for line in lines if line.cell.protocol == REAL] + chosen if chosen else []


def by_way(lines: Sequence[Line]) -> dict[str, dict[int, Line]]:
    """Lines of one score by arm, pool and ratio, then by number of labels."""
    found: dict[str, dict[int, Line]] = {}
    for line in lines:
        found.setdefault(line.cell.way, {})[line.cell.labels] = line
    return found


def _share(score: Estimate) -> Estimate:
    """A score whose interval stays between 0 and 1, as the score does."""
    return Estimate(score.value, *np.clip(score[1:], 0, 1).tolist())


def _written(value: float) -> str:
    return "" if math.isnan(value) else f"{value:.6g}"
