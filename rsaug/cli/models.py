"""``rsaug models``: what models there are, what is in one, and how to get one."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rsaug.cli import messages
from rsaug.cli.layer_options import Json
from rsaug.errors import InputError

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from rsaug.pipelines.catalog import ModelInfo

app = typer.Typer(help="List, look into, convert and fetch models.", no_args_is_help=True)

_DTYPES = "float32, float16 or bfloat16"


@app.command("list")
def list_(as_json: Json = False) -> None:
    """List the models at hand: shipped, presets, in this folder, in the local hub cache."""
    from rsaug.pipelines.catalog import list_models

    found = list_models(Path.cwd())
    if as_json:
        messages.write_json([asdict(entry) for entry in found])
        return
    from rich.text import Text

    table = _table("model", "kind", "")
    for entry in found:
        table.add_row(Text(entry.name, style="bold"), entry.kind, Text(entry.about))
    _console().print(table)


@app.command()
def info(
    name: Annotated[
        str, typer.Argument(help="default, sd15, a folder, or a hub id that was pulled.")
    ],
    as_json: Json = False,
) -> None:
    """Say what is in a model: tensors, parameters, settings, licence. No weights are loaded."""
    from rsaug.pipelines.catalog import describe_model

    found = describe_model(name)
    if as_json:
        totals = {"tensors": found.tensors, "parameters": found.parameters, "size": found.size}
        messages.write_json({**asdict(found), **totals})
    else:
        _show(found, _console())


@app.command()
def convert(
    checkpoint: Annotated[
        Path, typer.Argument(help="The published file, or one with its names.", metavar="FILE")
    ],
    out: Annotated[Path, typer.Argument(help="New folder of the model.", metavar="OUT")],
    clip: Annotated[
        str,
        typer.Option(
            "--clip",
            help="Folder or hub id with CLIP's tokenizer, and its image model to read styles.",
            metavar="FOLDER|ID",
        ),
    ] = "openai/clip-vit-large-patch14",
    dtype: Annotated[
        str | None,
        typer.Option("--dtype", help=f"{_DTYPES}. [dim]Default: as in the file.[/dim]"),
    ] = None,
    as_json: Json = False,
) -> None:
    """Convert the published checkpoint of CRS-Diff to a folder that --model takes.

    Every tensor is accounted for, and nothing in the file is run. The weights
    have no licence: whether you may use them is for you to find out.
    """
    if out.suffix.lower() in (".ckpt", ".safetensors", ".pt", ".pth"):
        raise InputError(f"{out} is to be a folder; give a name without {out.suffix}.")
    from rsaug.pipelines.convert.convert import convert_checkpoint

    report = convert_checkpoint(checkpoint, out, clip=clip, dtype=dtype, say=messages.line)
    if as_json:
        messages.write_json({"folder": str(out), **asdict(report)})
        return
    table = _table("", "tensors", "parameters")
    for part, tensors in report.tensors.items():
        table.add_row(part, f"{tensors:,}", f"{report.parameters[part]:,}")
    table.add_row("left out, constants", f"{len(report.discarded):,}", "")
    console = _console()
    console.print(table)
    if not report.image_encoder:
        console.print(
            f"There is no image model beside the tokenizer in {report.clip}, so this model takes no"
            " style image.",
            soft_wrap=True,
        )
    console.print(f"The model is in {out}; use it with: rsaug synth --model {out}", soft_wrap=True)


@app.command()
def pull(
    hub_id: Annotated[str, typer.Argument(help="As in owner/name.", metavar="ID")],
    out: Annotated[
        Path | None,
        typer.Argument(help="New folder. [dim]Default: the local cache.[/dim]", metavar="OUT"),
    ] = None,
    as_json: Json = False,
) -> None:
    """Fetch a CRS-Diff model from the Hugging Face hub: weights and configurations, no code."""
    from rsaug.pipelines.catalog import pull_model

    folder = pull_model(hub_id, out)
    name = hub_id if out is None else out
    if as_json:
        messages.write_json({"model": str(name), "folder": str(folder)})
        return
    typer.echo(f"The model is in {folder}; use it with: rsaug synth --model {name}")


def _show(found: ModelInfo, console: Console) -> None:
    from rich.text import Text

    grid = _table("", "", header=False)
    grid.add_row("model", Text(found.name, style="bold"))
    facts = {
        "folder": found.folder,
        "source": found.source,
        "licence": found.licence,
        **{name: value for name, value in found.settings.items() if name != "metadata"},
        "sha256": found.digest,
    }
    for name, value in facts.items():
        if value is not None:
            grid.add_row(name.replace("_", " "), Text(_words(value)))
    for name, limits in found.settings["metadata"].items():
        known = f"{limits[0]:g} to {limits[1]:g}" if limits else "not trained on"
        grid.add_row(f"metadata {name}", known)
    console.print(grid)
    console.print()
    table = _table("component", "class", "tensors", "parameters", "size", "type")
    for name, part in found.parts.items():
        types = ", ".join(part.dtypes)
        numbers = (f"{part.tensors:,}", f"{part.parameters:,}", _size(part.size))
        table.add_row(Text(name), Text(part.kind), *numbers, Text(types))
    total = (f"{found.tensors:,}", f"{found.parameters:,}", _size(found.size))
    table.add_row("all", "", *total, "", style="bold")
    console.print(table)


def _words(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def _size(count: int) -> str:
    if not count:
        return ""
    return f"{count / 1e6:,.1f} MB" if count < 1e9 else f"{count / 1e9:,.2f} GB"


def _table(*columns: str, header: bool = True) -> Table:
    from rich.table import Table

    table = Table(box=None, padding=(0, 2, 0, 0), show_header=header)
    for name in columns:
        right = name in ("tensors", "parameters", "size")
        table.add_column(name, justify="right" if right else "left", overflow="fold")
    if not header:
        table.columns[0].style = "dim"
    return table


def _console() -> Console:
    from rich.console import Console

    return Console(highlight=False)
