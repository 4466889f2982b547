"""The command line: ``PYTHONPATH=tests python -m fuzz --target geojson --runs 10000``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from fuzz.supervisor import fuzz
from fuzz.targets import all_targets

app = typer.Typer(add_completion=False)


@app.command()
def main(
    target: Annotated[list[str] | None, typer.Option(help="Target; by default all.")] = None,
    runs: Annotated[int, typer.Option(help="Inputs for each.", min=1)] = 1000,
    seed: Annotated[int, typer.Option(help="Decides the inputs.")] = 0,
    first: Annotated[int, typer.Option(help="Number of the first input.", min=0)] = 0,
    out: Annotated[Path, typer.Option(help="Folder of findings.")] = Path("fuzz-findings"),
    as_list: Annotated[bool, typer.Option("--list", help="Say what there is, and end.")] = False,
) -> None:
    """Read inputs that were changed at random; exit code 1 if any was not taken as it should be."""
    known = all_targets()
    if as_list:
        for each in known.values():
            typer.echo(f"{each.name:18} {each.what}")
        return
    chosen = target or list(known)
    if strange := [name for name in chosen if name not in known]:
        raise typer.BadParameter(f"there is no target {strange[0]}; there are {', '.join(known)}")
    out.mkdir(parents=True, exist_ok=True)
    bad = False
    for name in chosen:
        summary = fuzz(known[name], runs, seed, out, first).to_dict()
        typer.echo(json.dumps(summary, ensure_ascii=False))
        with (out / "summary.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps(summary, ensure_ascii=False) + "\n")
        bad = bad or bool(summary["findings"])
    if bad:
        raise typer.Exit(1)


if __name__ == "__main__":
    app()
