"""Compare new results of the benchmarks with the kept ones, by ratios alone.

Seconds differ from machine to machine and from hour to hour; how many times as fast as a peer
something is, measured in the same run, differs far less. So of the JSON files in
``tests/benchmarks`` the ratios to peers are compared, and nothing else:

    python tests/benchmarks/apls.py --out new/apls.json
    python scripts/compare_benchmarks.py new/apls.json

Exit code 1 if a ratio is worse than the kept one by the factor of `--loss` or more.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

KEPT = Path(__file__).parents[1] / "tests" / "benchmarks"

HIGHER = ("ratio", "ratio_to_ours", "times_first", "times_above")
"""Keys of how many times as fast as a peer, or as before a step, something is: more is better."""

LOWER = ("ours_to_peer",)
"""Keys of how many times as long as a peer ours takes: less is better."""

_NAMES = ("layer", "junctions", "features", "batch", "row", "way", "tiles", "name")
"""What tells an entry of a list from the others, the first of these that it has."""

app = typer.Typer(add_completion=False)


@dataclass(frozen=True)
class Change:
    """A ratio then and now.

    Attributes:
        where: Its place in the file.
        kept: What it was.
        new: What it is; None where it was not measured.
        loss: How many times worse it is, below 1 if it is better.
    """

    where: str
    kept: float
    new: float | None
    loss: float


def ratios(document: Any, where: str = "") -> Iterator[tuple[str, str, float]]:
    """Place, key and value of every ratio of a document, one's own to oneself left out."""
    if isinstance(document, list):
        for number, entry in enumerate(document):
            yield from ratios(entry, f"{where}[{_name(entry, number)}]")
        return
    if not isinstance(document, dict):
        return
    for key, value in document.items():
        inside = f"{where}/{key}" if where else key
        if key in (*HIGHER, *LOWER) and isinstance(value, int | float):
            if not where.endswith("/ours"):
                yield inside, key, float(value)
        else:
            yield from ratios(value, inside)


def compare(kept: Any, new: Any) -> list[Change]:
    """The ratios of a kept document beside those of a new one, in the order of the kept one."""
    now = {where: value for where, _, value in ratios(new)}
    changes = []
    for where, key, before in ratios(kept):
        after = now.get(where)
        changes.append(Change(where, before, after, _loss(key, before, after)))
    return changes


def _loss(key: str, before: float, after: float | None) -> float:
    if after is None:
        return math.nan
    worse = (after, before) if key in LOWER else (before, after)
    return worse[0] / worse[1] if worse[1] > 0 else math.inf


def _name(entry: Any, number: int) -> str:
    """What an entry of a list is called, so that another order or length of it does no harm."""
    if isinstance(entry, dict):
        for key in _NAMES:
            if key in entry:
                return f"{key}={entry[key]}"
    return str(number)


def _read(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise typer.BadParameter(f"{path} cannot be read as JSON ({error}).") from error


def _told(name: str, changes: list[Change], say: Callable[[str], None], most: float) -> int:
    """Say how each ratio has changed; how many were lost."""
    lost = 0
    for change in changes:
        if change.new is None:
            say(f"{name}: {change.where}: {change.kept:g} before, not measured now")
            continue
        bad = change.loss >= most
        lost += bad
        mark = f", {change.loss:.2f}-fold loss" if bad else ""
        say(f"{name}: {change.where}: {change.kept:g} before, {change.new:g} now{mark}")
    return lost


@app.command()
def main(
    new: Annotated[list[Path], typer.Argument(help="New results, JSON, named as the kept ones.")],
    kept: Annotated[Path, typer.Option(help="Folder of the kept ones.")] = KEPT,
    loss: Annotated[float, typer.Option(help="From which factor on a ratio is lost.")] = 1.5,
) -> None:
    """Say how the ratios to peers have changed; exit code 1 if any is lost."""
    if not loss > 1:
        raise typer.BadParameter(f"the factor of a loss is above 1, not {loss}")
    lost = compared = 0
    for path in new:
        changes = compare(_read(kept / path.name), _read(path))
        lost += _told(path.stem, changes, typer.echo, loss)
        compared += sum(change.new is not None for change in changes)
    if not compared:
        raise typer.BadParameter("none of the ratios that are kept was measured")
    if lost:
        typer.echo(f"{lost} of {compared} ratios are lost", err=True)
        raise typer.Exit(1)


if __name__ == "__main__":
    app()
