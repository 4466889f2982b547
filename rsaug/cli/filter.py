"""``rsaug filter``: which images of a run are worth training on."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rsaug.cli import messages
from rsaug.cli.inputs import need_file, need_number, need_run
from rsaug.cli.layer_options import Json, features_option, option

if TYPE_CHECKING:
    from rich.console import Console

    from rsaug.downstream.quality.filtering import Filtered

_BY, _KEPT, _RESULT = "Scored by", "What is kept", "Result"

_Run = Annotated[Path, typer.Argument(help="Folder of rsaug synth.", metavar="DIR")]
_Detector = Annotated[
    list[Path] | None,
    option(
        "--detector",
        _BY,
        "Road detector, trained on real tiles; may be given several times.",
        "DIR",
    ),
]
_Real = Annotated[
    Path | None,
    option("--real", _BY, "Tile folder with real tiles; of it the split train alone.", "DIR"),
]
_Features = Annotated[
    Path | None,
    features_option(_BY),
]
_Cache = Annotated[
    Path | None,
    option(
        "--cache", _BY, "File of features, to share between runs.", "FILE", "quality/features.npz"
    ),
]
_TrainLimit = Annotated[
    int | None,
    typer.Option(help="Training images, spread evenly.", min=4, metavar="N", rich_help_panel=_BY),
]
_Slack = Annotated[
    float,
    typer.Option(
        help="Metres that a road may lie beside its label for relaxed F1.",
        metavar="M",
        rich_help_panel=_BY,
    ),
]
_Keep = Annotated[
    float | None,
    option("--keep", _KEPT, "Share that is kept.", "X", "0.8, or all with a least value"),
]
_MinConsistency = Annotated[
    float | None, option("--min-consistency", _KEPT, "Least IoU with the road mask.", "X")
]
_MinRealism = Annotated[
    float | None,
    option("--min-realism", _KEPT, "Least realism; 1 is within the real ones.", "X"),
]
_MinNovelty = Annotated[
    float | None,
    option(
        "--min-novelty",
        _KEPT,
        "Least distance to a training tile.",
        "X",
        "what photographs of one place in two years are apart",
    ),
]
_PerTile = Annotated[
    int | None, option("--per-tile", _KEPT, "Of each tile only the N best images.", "N")
]
_Weigh = Annotated[
    bool,
    typer.Option(
        "--weigh",
        help="Draw what is kept as often as its score says, not all alike.",
        metavar="",
        rich_help_panel=_RESULT,
    ),
]


def filter_run(
    run: _Run,
    detector: _Detector = None,
    real: _Real = None,
    features: _Features = None,
    cache: _Cache = None,
    train_limit: _TrainLimit = None,
    slack: _Slack = 3.0,
    keep: _Keep = None,
    min_consistency: _MinConsistency = None,
    min_realism: _MinRealism = None,
    min_novelty: _MinNovelty = None,
    per_tile: _PerTile = None,
    weigh: _Weigh = False,
    as_json: Json = False,
) -> None:
    """Score the images of a run: true to their masks, like real ones, no copies.

    [dim]rsaug filter roads-synth --detector detector --real tiles --keep 0.8[/dim] writes
    scores.json for training, images.csv, report.json and sheet.jpg into roads-synth/quality.
    """
    need_run(run)
    need_number(slack, "--slack", "a number of metres", least=0)
    need_file(features, "--features")
    from rich.console import Console

    from rsaug.cli.display import working
    from rsaug.downstream.quality.filtering import Wanted, filter_images
    from rsaug.downstream.quality.selection import Rules

    asked = {"consistency": min_consistency, "realism": min_realism, "novelty": min_novelty}
    least = {name: value for name, value in asked.items() if value is not None}
    if keep is None:
        keep = 1.0 if least or per_tile else 0.8
    wanted = Wanted(
        run=run,
        detectors=tuple(detector or ()),
        real=real,
        features=features,
        cache=cache,
        rules=Rules(keep, least, per_tile),
        weigh=weigh,
        slack_m=slack,
        train_limit=train_limit,
    )
    with working("Loading") as say:
        filtered = filter_images(wanted, say)
    folder = filtered.write(run)
    if as_json:
        messages.write_json(filtered.report)
    else:
        _show(filtered, Console(highlight=False))
    messages.line(f"scores: {folder / 'scores.json'}")


def _show(filtered: Filtered, console: Console) -> None:
    from rich.table import Table

    report = filtered.report
    table = Table(box=None, padding=(0, 2, 0, 0))
    for head in ("", "5 %", "median", "95 %", "least", "reach it"):
        table.add_column(head, justify="left" if not head else "right")
    for name, (low, _, middle, _, high) in report["values"].items():
        least, passed = report["rules"]["least"].get(name), report["passed"].get(name)
        table.add_row(
            name,
            *(f"{value:.3f}" for value in (low, middle, high)),
            "" if least is None else f"{least:.3f}",
            "" if passed is None else f"{passed} of {report['images']}",
        )
    console.print(table)
    if "novelty" in report["values"] and "novelty" not in report["rules"]["least"]:
        console.print(
            "copies are not dropped: too few training places are there in two years to tell how "
            "near a copy lies; give --min-novelty"
        )
    console.print(f"kept: {report['kept']} of {report['images']} images")
    shares = ", ".join(f"{share:.0%}" for share in report["kept_by_road_share"])
    console.print(f"kept by share of road, from few to much: {shares}")
    for pair, value in report["correlations"].items():
        shown = "not defined" if value is None else f"{value:+.2f}"
        console.print(f"rank correlation of {pair}: {shown}")
