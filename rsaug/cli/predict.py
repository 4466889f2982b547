"""``rsaug predict``: roads found in images by a detector."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rsaug.cli.layer_options import option

if TYPE_CHECKING:
    from rsaug.downstream.prediction import Predicted

_IMAGES, _LOOKING, _RESULT = "Images", "How they are looked at", "Result"

_Model = Annotated[
    Path, typer.Argument(help="Folder of rsaug train roads.", metavar="MODEL", show_default=False)
]
_Images = Annotated[
    list[Path],
    typer.Argument(
        help="Rasters of any size, folders of them, or of rsaug synth.",
        metavar="IMAGE...",
        show_default=False,
    ),
]
_Out = Annotated[
    Path,
    typer.Option(
        "--out",
        help="Folder of the rasters of probabilities and masks.",
        metavar="DIR",
        rich_help_panel=_RESULT,
    ),
]
_Vectors = Annotated[
    Path | None,
    option("--vectors", _RESULT, "Roads as lines, too: .gpkg or .geojson.", "FILE"),
]
_Threshold = Annotated[
    float | None,
    option("--threshold", _RESULT, "Road from this probability on.", "X", "the model's own"),
]
_Gsd = Annotated[
    float | None,
    option(
        "--gsd",
        _IMAGES,
        "Metres a pixel of images that do not say it.",
        "M",
        "what the model was trained at",
    ),
]
_Turns = Annotated[
    bool,
    typer.Option(
        "--turns",
        help="Look at each window in all eight turned and mirrored ways; eight times the time.",
        metavar="",
        rich_help_panel=_LOOKING,
    ),
]
_Device = Annotated[
    str | None,
    option("--device", _LOOKING, "cpu, cuda, cuda:1, ...", "NAME", "a GPU if there is one"),
]
_Json = Annotated[
    bool,
    typer.Option("--json", help="Print JSON.", metavar="", rich_help_panel=_RESULT),
]


def predict(
    model: _Model,
    images: _Images,
    out: _Out = Path("predicted"),
    vectors: _Vectors = None,
    threshold: _Threshold = None,
    gsd: _Gsd = None,
    window: Annotated[
        int,
        typer.Option(
            help="Side of what is seen at once, in the model's pixels.",
            metavar="N",
            min=1,
            rich_help_panel=_LOOKING,
        ),
    ] = 512,
    overlap: Annotated[
        int,
        typer.Option(
            help="Pixels that neighbouring windows share.",
            metavar="N",
            min=0,
            rich_help_panel=_LOOKING,
        ),
    ] = 128,
    batch: Annotated[
        int,
        typer.Option(help="Windows at once.", metavar="N", min=1, rich_help_panel=_LOOKING),
    ] = 4,
    turns: _Turns = False,
    device: _Device = None,
    as_json: _Json = False,
) -> None:
    """Find roads in images: probabilities and masks as GeoTIFFs, and lines with a width.

    [dim]rsaug predict roads-detector town.tif --vectors roads.gpkg[/dim] also writes the roads as
    lines, as other commands take them.
    """
    from rich.console import Console

    from rsaug.downstream.detector import RoadDetector
    from rsaug.downstream.prediction import predict as find
    from rsaug.downstream.probing import Looking
    from rsaug.pipelines.generate import pick_device

    looking = Looking(window, overlap, batch, turns)
    detector = RoadDetector.load(model).to(pick_device(device))
    with Console(stderr=True).status("Loading") as status:
        found = find(
            detector,
            images,
            out,
            looking=looking,
            threshold=threshold,
            gsd_m=gsd,
            vectors=vectors,
            note=status.update,
        )
    if as_json:
        typer.echo(json.dumps(found.to_dict(), indent=2))
    else:
        _show(found)


def _show(found: Predicted) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="dim", no_wrap=True)
    grid.add_column()
    for image in found.images:
        grid.add_row("image", Text(image.name, style="bold"))
        grid.add_row("probability", Text(str(image.probability)))
        grid.add_row("mask", Text(f"{image.mask}, {image.road_fraction:.1%} road"))
    if found.vectors is not None:
        said = f"{found.lines['lines']} lines, {found.lines['km']:.2f} km"
        grid.add_row("roads", Text(f"{found.vectors}, {said}"))
    Console(highlight=False).print(grid)
