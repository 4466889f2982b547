"""The report of a sweep: a page, a table of all comparisons, and tables for documents."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from rsaug import __version__
from rsaug.downstream.bench.config import CONFIG_FILE, PROTOCOLS, BenchConfig, read_config
from rsaug.downstream.bench.figures import curves, ratio_curves, scored_tiles, tiles_apart
from rsaug.downstream.bench.items import read_held, read_labelled
from rsaug.downstream.bench.measures import SCORES
from rsaug.downstream.bench.protocols import load_pool
from rsaug.downstream.bench.results import (
    REAL,
    Line,
    Results,
    by_way,
    of_protocol,
    to_csv,
)
from rsaug.downstream.bench.statistics import LEVEL, Estimate
from rsaug.downstream.bench.store import Store
from rsaug.downstream.evaluation.page import Figure, Part, Table, render
from rsaug.downstream.evaluation.report import counted, number, span
from rsaug.errors import InputError
from rsaug.files import write_whole
from rsaug.optional import MissingExtra

PAGE, NUMBERS, TABLES = "report.html", "results.csv", "results.md"

Mark = Callable[[Estimate], str]
"""From a gain to what a table says of it."""

_MEANING = {
    REAL: "Detectors that saw real tiles alone; the baseline is among them.",
    "shipped model": (
        "The generator is the default model of the package, and was trained on none of the places "
        "whose labels the detectors get. This is what somebody gets who takes the package as it "
        "is to a place of their own."
    ),
    "closed data": (
        "The generator was trained on no label that the detectors do not have. What is gained "
        "here is gained from the same labels."
    ),
    "upper bound": (
        "The detectors get places that the generator was trained on, and it knew more labels than "
        "they do. This is what could be had at best; it is no measure of what is gained elsewhere."
    ),
}


def _page_mark(gain: Estimate) -> str:
    """A gain with its interval, and a triangle where that does not hold 0."""
    sign = "\u25b2 " if gain.low > 0 else "\u25bc " if gain.high < 0 else ""
    return f"{sign}{_signed(gain)}"


def _document_mark(gain: Estimate) -> str:
    """The same, in bold."""
    return f"**{_signed(gain)}**" if gain.is_clear else _signed(gain)


def write_report(folder: Path, note: Callable[[str], None] = lambda text: None) -> Path:
    """Write `PAGE`, `NUMBERS` and `TABLES` into the folder of a sweep, each whole.

    Args:
        folder: The folder.
        note: Called with what is being done.

    Returns:
        The page.

    Raises:
        InputError: if it is the folder of no sweep, or nothing is done yet.
        OutputError: if they cannot be written.
    """
    if not (folder / CONFIG_FILE).is_file():
        raise InputError(f"{folder} is no folder of rsaug bench run; it has no {CONFIG_FILE}.")
    config = read_config(folder / CONFIG_FILE)
    store = Store(folder)
    note("Comparing")
    results = Results(config, store)
    write_whole(folder / NUMBERS, to_csv(results.lines).encode())
    write_whole(folder / TABLES, to_markdown(results).encode())
    note("Drawing")
    write_whole(folder / PAGE, to_html(results).encode())
    return folder / PAGE


def to_markdown(results: Results) -> str:
    """Tables for documents, one a protocol and split, of the first metric."""
    metric = results.config.evaluation.metrics[0]
    parts = []
    for split in results.config.evaluation.splits:
        lines = _chosen(results, split, metric)
        for protocol in _protocols(results):
            table = _wide(lines, protocol, _document_mark)
            if table is None:
                continue
            parts.append(f"**{protocol}**, split {split}, {SCORES[metric].title}\n")
            parts.append(f"| {' | '.join(table.heads)} |")
            parts.append("| " + " | ".join("---" for _ in table.heads) + " |")
            parts += [f"| {' | '.join(row)} |" for row in table.rows]
            parts.append(f"\n{_how_to_read(lines, 'in bold')}\n")
    return "\n".join(parts)


def to_html(results: Results) -> str:
    """One page that needs nothing besides."""
    parts: list[Part] = [("What came of it", _summary(results), None, (), _missing(results))]
    pictures, missing = _pictures(results)
    for protocol in _protocols(results):
        parts += _protocol_parts(results, protocol, pictures.get(protocol, []))
    scored = pictures.get("scores", [])
    if scored:
        says = ["Tiles of the highest and of the lowest scores, with their road masks."]
        parts.append(("What the filter kept", says, None, scored, ()))
    parts.append(_leaks(results))
    parts.append(_conditions(results, missing))
    facts = [
        ("compared with", f"{results.config.baseline}, in pairs of one seed and place"),
        ("jobs", f"{len(results.found)} of {results.asked} done"),
        *((name, str(value)) for name, value in results.plan["data"].items()),
        ("made with", f"rsaug {__version__}"),
    ]
    return render(results.config.title, facts, parts)


def _protocols(results: Results) -> list[str]:
    """The protocols of which there is something; real labels alone where that is all."""
    there = {cell.protocol for cell in results.cells}
    return [protocol for protocol in PROTOCOLS if protocol in there] or [REAL]


def _chosen(results: Results, split: str, metric: str) -> list[Line]:
    return [line for line in results.main_lines if (line.split, line.metric) == (split, metric)]


def _protocol_parts(results: Results, protocol: str, tiles: Sequence[Figure]) -> list[Part]:
    """Curves and tables of a protocol; a table a split and metric."""
    evaluation = results.config.evaluation
    parts: list[Part] = []
    drawn, missing = _drawn(results, protocol)
    parts.append((f"Protocol: {protocol}", [_MEANING[protocol]], None, drawn, missing))
    for split in evaluation.splits:
        for metric in evaluation.metrics:
            lines = _chosen(results, split, metric)
            heading = f"{protocol}: {SCORES[metric].title}, split {split}"
            parts.append((heading, [_how_to_read(lines)], _wide(lines, protocol), (), ()))
    if len(results.config.models) > 1:
        parts.append((f"{protocol}: each detector", (), _by_model(results, protocol), (), ()))
    if tiles:
        says = [
            "Of the fewest labels, the arm of the largest gain against the baseline: the tiles "
            "where it found most more, and those where it found most less."
        ]
        parts.append((f"{protocol}: best and worst tiles", says, None, tiles, ()))
    return parts


def _drawn(results: Results, protocol: str) -> tuple[list[Figure], list[str]]:
    try:
        lines = results.first_lines()
        return [*curves(lines, protocol), *ratio_curves(lines, protocol)], []
    except MissingExtra as error:
        return [], [f"Curves are not drawn. {error}"]


def _wide(lines: Sequence[Line], protocol: str, mark: Mark = _page_mark) -> Table | None:
    """Arms by number of labels: the score, then the gain."""
    ways = by_way(of_protocol(lines, protocol))
    if not ways:
        return None
    numbers = sorted({labels for way in ways.values() for labels in way})
    rows = [
        (way, *(_cell(by_labels.get(labels), mark) for labels in numbers))
        for way, by_labels in ways.items()
    ]
    return Table(("arm", *(counted(labels, "label place") for labels in numbers)), rows)


def _cell(line: Line | None, mark: Mark = _page_mark) -> str:
    """Score and gain of one comparison, for a table."""
    if line is None:
        return "-"
    if math.isnan(line.gain.value):
        return f"{number(line.score.value)} ({span(*line.score[1:]) or 'no interval'})"
    return f"{number(line.score.value)}; {mark(line.gain)}"


def _signed(gain: Estimate) -> str:
    ends = "" if math.isnan(gain.low) else f" ({gain.low:+.3f} to {gain.high:+.3f})"
    return f"{gain.value:+.3f}{ends}"


def _by_model(results: Results, protocol: str) -> Table:
    """The first metric and split of each detector."""
    evaluation = results.config.evaluation
    rows = [
        (line.cell.way, str(line.cell.labels), line.model, _cell(line), str(line.seeds))
        for line in of_protocol(results.lines, protocol)
        if (line.split, line.metric) == (evaluation.splits[0], evaluation.metrics[0])
        and line.model in {model.name for model in results.config.models}
    ]
    return Table(("arm", "label places", "detector", "score; gain", "seeds"), rows)


def _how_to_read(lines: Sequence[Line], clear: str = "with a triangle") -> str:
    seeds = sorted({line.seeds for line in lines})
    places = sorted({line.places for line in lines})
    return (
        f"Each entry is the score, then the gain over the baseline with its {LEVEL:.0%} interval "
        "over seeds and places; the baseline has the interval of its score. Of the gains "
        f"{clear} the interval does not hold 0. Seeds: {_range(seeds)}; places measured on: "
        f"{_range(places)}.{_of_one_seed(seeds)}"
    )


def _of_one_seed(seeds: Sequence[int]) -> str:
    if 1 not in seeds:
        return ""
    return " The interval of a single seed holds the deviation over places alone."


def _range(numbers: Sequence[int]) -> str:
    if not numbers:
        return "none"
    return str(numbers[0]) if len(numbers) == 1 else f"{numbers[0]} to {numbers[-1]}"


def _summary(results: Results) -> list[str]:
    """What was compared and how many gains are clear, by protocol."""
    says = []
    for protocol in _protocols(results):
        gains = [
            line
            for line in results.first_lines()
            if line.cell.protocol == protocol and not math.isnan(line.gain.value)
        ]
        if not gains:
            continue
        up = sum(line.gain.low > 0 for line in gains)
        down = sum(line.gain.high < 0 for line in gains)
        best = max(gains, key=lambda line: line.gain.value)
        says.append(
            f"{protocol}: of {len(gains)} comparisons by {SCORES[best.metric].title}, {up} are "
            f"clearly above the baseline and {down} clearly below; the largest gain is "
            f"{_signed(best.gain)}, of {best.cell.way} with {best.cell.labels} label places."
        )
    says.append(
        f"Each interval stands alone: of so many comparisons without any true gain, about "
        f"{1 - LEVEL:.0%} would seem clear by chance, and the largest of them is too large."
    )
    return says


def _missing(results: Results) -> list[str]:
    keys = {job["key"] for job in results.plan["jobs"]}
    failed = results.store.failures(sorted(keys))
    open_ = results.asked - len(results.found) - len(failed)
    said = [f"{name}: {reason}" for name, reason in failed]
    if open_:
        said.append(f"{open_} jobs that are not done yet")
    return said


def _leaks(results: Results) -> Part:
    found = results.store.read_json("leaks.json")
    rows = [
        (check["kind"], check["of"], check["compared"], str(check["found"]), check["says"])
        for check in found["checks"]
    ]
    says = [
        "Looked for before anything was trained; a leak would have ended the sweep.",
        *results.plan["notes"],
    ]
    if found["leak"]:
        says.append(f"The last run ended here: {found['leak']}")
    return "Leaks", says, Table(("by", "of", "compared", "found", "what"), rows), (), ()


def _conditions(results: Results, missing: Sequence[str]) -> Part:
    """Pools, versions and the configuration."""
    rows: list[tuple[str, str]] = []
    for name, facts in results.plan["pools"].items():
        rows += [(f"pool {name}: {key}", str(value)) for key, value in facts.items()]
    result = next(iter(results.found.values()))
    decides: dict[str, Any] = result.facts["decides"]
    rows += [(name, str(decides[name])) for name in ("device", "rsaug", "code")]
    rows += [*decides["versions"].items()]
    threads = sorted({str(found.facts["threads"]) for found in results.found.values()})
    rows.append(("CPU threads of a job", ", ".join(threads)))
    seconds = [float(found.facts["seconds"]) for found in results.found.values()]
    rows.append(("seconds to train a detector", f"{min(seconds):.0f} to {max(seconds):.0f}"))
    rows += [
        (line.partition(":")[0], line.partition(":")[2].strip())
        for line in results.config.to_yaml().splitlines()
    ]
    return "Configuration and versions", (), Table(("what", "value"), rows), (), missing


def _pictures(results: Results) -> tuple[dict[str, list[Figure]], list[str]]:
    """Tiles by protocol, and examples of scores; where the data are still there."""
    config = results.config
    pictures: dict[str, list[Figure]] = {}
    try:
        held, _ = read_held(config.data, config.evaluation.splits)
        first = held[config.evaluation.splits[0]]
        for protocol in _protocols(results):
            pictures[protocol] = tiles_apart(results, first, protocol)
        pictures["scores"] = _scored(config)
    except InputError as error:
        return pictures, [f"Pictures of tiles, whose files cannot be read: {error}"]
    return pictures, []


def _scored(config: BenchConfig) -> list[Figure]:
    arms = [arm for arm in config.arms if arm.kind == "scored"]
    if not arms:
        return []
    labelled = read_labelled(config.data)
    return [
        figure
        for arm in arms
        for pool in config.pools_of(arm)
        for figure in scored_tiles(
            load_pool(pool, labelled, config.data.chip_size), arm.threshold or 0.0
        )
    ]
