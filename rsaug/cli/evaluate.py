"""``rsaug evaluate``: what the images of a run are worth, in numbers and pictures."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rsaug.cli import messages
from rsaug.cli.inputs import need_file, need_number, need_run
from rsaug.cli.layer_options import Json, features_option, option

if TYPE_CHECKING:
    from rich.console import Console

    from rsaug.downstream.evaluation.report import Report

_AGAINST, _WEIGHTS, _HOW, _RESULT = "Compared with", "Weights", "How much", "Result"

_Run = Annotated[Path, typer.Argument(help="Folder of rsaug synth.", metavar="OUT")]
_Real = Annotated[
    Path | None,
    option("--real", _AGAINST, "Tile folder with real tiles; splits val and train.", "DIR"),
]
_Detector = Annotated[
    list[Path] | None,
    option("--detector", _AGAINST, "Road detector; give it again for further ones.", "DIR"),
]
_Baseline = Annotated[
    Path | None,
    option("--baseline", _AGAINST, "A run of the same tiles and seed, set otherwise.", "OUT0"),
]
_Features = Annotated[
    Path | None,
    features_option(_WEIGHTS),
]
_Lpips = Annotated[Path | None, option("--lpips", _WEIGHTS, "LPIPS (AlexNet).", "FILE.SAFETENSORS")]
_Inception = Annotated[
    Path | None, option("--inception", _WEIGHTS, "Inception, for FID.", "FILE.PTH|.SAFETENSORS")
]
_Model = Annotated[
    str | None,
    option("--model", _WEIGHTS, "The run's model, to look at its autoencoder alone.", "MODEL"),
]
_Slack = Annotated[
    float,
    typer.Option(
        help="Metres that a road may lie beside its label for relaxed scores.",
        metavar="M",
        rich_help_panel=_HOW,
    ),
]
_Limit = Annotated[
    int | None,
    typer.Option(help="Tiles of the run, spread evenly.", min=2, metavar="N", rich_help_panel=_HOW),
]
_TrainLimit = Annotated[
    int | None,
    typer.Option(
        help="Training images that are searched for copies.",
        min=2,
        metavar="N",
        rich_help_panel=_HOW,
    ),
]
_Seed = Annotated[
    int,
    typer.Option(help="Of what is drawn at random.", metavar="N", rich_help_panel=_HOW, min=0),
]


def evaluate(
    run: _Run,
    real: _Real = None,
    detector: _Detector = None,
    baseline: _Baseline = None,
    features: _Features = None,
    lpips: _Lpips = None,
    inception: _Inception = None,
    model: _Model = None,
    slack: _Slack = 3.0,
    limit: _Limit = None,
    train_limit: _TrainLimit = None,
    seed: _Seed = 0,
    as_json: Json = False,
) -> None:
    """Measure what the images of a run are worth: roads, looks, novelty, other controls.

    [dim]rsaug evaluate roads-synth --real tiles --detector segmenter[/dim] writes report.html,
    report.json and report.csv into roads-synth/evaluation.
    """
    need_run(run)
    need_number(slack, "--slack", "a number of metres", least=0)
    for name, path in (("features", features), ("lpips", lpips), ("inception", inception)):
        need_file(path, f"--{name}")
    from rich.console import Console

    from rsaug.cli.display import working
    from rsaug.cli.libraries import hush_diffusers
    from rsaug.downstream.evaluation.run import Wanted, evaluate_run

    wanted = Wanted(
        run=run,
        real=real,
        detectors=tuple(detector or ()),
        features=features,
        lpips=lpips,
        inception=inception,
        baseline=baseline,
        model=model,
        slack_m=slack,
        limit=limit,
        train_limit=train_limit,
        seed=seed,
    )
    hush_diffusers()
    with working("Loading") as say:
        report = evaluate_run(wanted, say)
    where = report.write(run)
    if as_json:
        typer.echo(report.to_json(), nl=False)
    else:
        _show(report, Console(highlight=False))
    messages.line(f"report: {where / 'report.html'}")


def _show(report: Report, console: Console) -> None:
    from rich.table import Table
    from rich.text import Text

    from rsaug.downstream.evaluation.report import number, span

    for section in report.sections:
        table = Table(title=section.title, title_justify="left", box=None, padding=(0, 2, 0, 0))
        table.add_column(no_wrap=True)
        table.add_column(overflow="fold")
        table.add_column(justify="right", no_wrap=True)
        table.add_column(no_wrap=True)
        table.add_column(overflow="fold")
        table.show_header = False
        measure = by = ""
        # Which detector or extractor a number is of matters where there are several.
        several = len({row.by for row in section.rows}) > 1
        for row in section.rows:
            if several and row.by and row.by != by:
                table.add_row(Text(row.by, "dim"))
                measure, by = "", row.by
            shown = Text(row.measure if row.measure != measure else "")
            measure = row.measure
            table.add_row(shown, row.of, number(row.value), span(row.low, row.high), row.n)
        if section.rows:
            console.print(table)
            # What the method is stands in the report; what was found, here.
            for sentence in section.says[1:]:
                console.print(sentence, soft_wrap=True)
            console.print()
    for sentence in report.missing:
        console.print(Text.assemble(("not measured: ", "yellow"), sentence), soft_wrap=True)
