"""``rsaug vectorize``: road masks as lines with a width."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rsaug.cli import messages
from rsaug.cli.inputs import need_number
from rsaug.cli.layer_options import Json, option

if TYPE_CHECKING:
    from rsaug.downstream.vectorize import Vectorized

_MASKS, _ROADS, _RESULT = "Masks", "Roads", "Result"

_Masks = Annotated[
    list[Path],
    typer.Argument(
        help="Rasters of road masks or probabilities, folders of them, or of rsaug synth.",
        metavar="MASK...",
        show_default=False,
    ),
]
_Out = Annotated[
    Path,
    typer.Option(
        "--out",
        help="GeoPackage, in the CRS of the rasters, or GeoJSON, in degrees.",
        metavar="FILE",
        rich_help_panel=_RESULT,
    ),
]
_Threshold = Annotated[
    float | None,
    option(
        "--threshold",
        _MASKS,
        "Road from this value on.",
        "X",
        "0.5 of probabilities, else the one value besides 0",
    ),
]
_Band = Annotated[int, typer.Option(help="Which band.", metavar="N", rich_help_panel=_MASKS)]
_Tolerance = Annotated[
    float,
    typer.Option(
        help="Metres that a line may leave the middle.", metavar="M", rich_help_panel=_ROADS
    ),
]
_Gap = Annotated[
    float,
    typer.Option(
        help="Join ends that face each other across so many metres.",
        metavar="M",
        rich_help_panel=_ROADS,
    ),
]
_GapAngle = Annotated[
    float,
    typer.Option(help="Degrees that a road may turn there.", metavar="DEG", rich_help_panel=_ROADS),
]
_Spur = Annotated[
    float,
    typer.Option(
        help="Prune dead ends that leave a road by less than so many of its half widths.",
        metavar="X",
        rich_help_panel=_ROADS,
    ),
]
_MinLength = Annotated[
    float,
    typer.Option(help="Drop lone roads below so many metres.", metavar="M", rich_help_panel=_ROADS),
]
_MinArea = Annotated[
    float, typer.Option(help="Drop spots below so much.", metavar="M2", rich_help_panel=_ROADS)
]
_MinHole = Annotated[
    float,
    typer.Option(help="Fill holes in roads below so much.", metavar="M2", rich_help_panel=_ROADS),
]
_OneWidth = Annotated[
    bool,
    typer.Option(
        "--one-width",
        help="No new line where a width changes.",
        metavar="",
        rich_help_panel=_ROADS,
    ),
]
_Source = Annotated[
    str | None,
    option("--source", _RESULT, "What to write in the column source.", "TEXT", "the raster"),
]


def vectorize(
    masks: _Masks,
    out: _Out = Path("roads.gpkg"),
    threshold: _Threshold = None,
    band: _Band = 1,
    tolerance: _Tolerance = 0.3,
    gap: _Gap = 0.0,
    gap_angle: _GapAngle = 30.0,
    spur: _Spur = 1.0,
    min_length: _MinLength = 5.0,
    min_area: _MinArea = 20.0,
    min_hole: _MinHole = 20.0,
    one_width: _OneWidth = False,
    source: _Source = None,
    as_json: Json = False,
) -> None:
    """Turn road masks into lines with a width, as other commands take them.

    [dim]rsaug vectorize roads-synth --out roads.gpkg[/dim] takes all masks of a run as one, so that
    a road does not end where a tile does.
    """
    from rsaug.downstream.graph.masks import Cleaning
    from rsaug.downstream.vectorize import driver_for, write_lines
    from rsaug.downstream.vectorize import vectorize as make

    driver_for(out)
    need_number(threshold, "--threshold")
    cleaning = Cleaning(
        min_area_m2=min_area,
        min_hole_m2=min_hole,
        spur=spur,
        gap_m=gap,
        gap_angle_deg=gap_angle,
        tolerance_m=tolerance,
        min_length_m=min_length,
        split_widths=not one_width,
    )
    found = make(masks, threshold=threshold, band=band, cleaning=cleaning, source=source)
    write_lines(out, found.lines)
    if as_json:
        messages.write_json({"file": str(out), **found.to_dict()})
    else:
        _show(out, found)


def _show(out: Path, found: Vectorized) -> None:
    from rsaug.cli.tables import show_facts

    rows = [
        ("file", str(out)),
        ("rasters", str(found.rasters)),
        ("roads", f"{len(found.lines)} lines, {found.km:.2f} km"),
    ]
    if len(found.lines):
        width = found.lines["width"]
        rows.append(
            ("width", f"{width.median():.1f} m (median), {width.min():.1f} to {width.max():.1f} m")
        )
    show_facts([*rows, *(("cleaned", f"{count} {what}") for what, count in found.changes.items())])
