"""``rsaug predict``: roads found in images by a detector."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rsaug.cli import messages
from rsaug.cli.layer_options import Json, device_option, option

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
    device_option(_LOOKING),
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
    as_json: Json = False,
) -> None:
    """Find roads in images: probabilities and masks as GeoTIFFs, and lines with a width.

    [dim]rsaug predict roads-detector town.tif --vectors roads.gpkg[/dim] also writes the roads as
    lines, as other commands take them.
    """
    from rsaug.cli.display import working
    from rsaug.downstream.detector import RoadDetector
    from rsaug.downstream.prediction import predict as find
    from rsaug.downstream.probing import Looking
    from rsaug.pipelines.models import pick_device

    looking = Looking(window, overlap, batch, turns)
    detector = RoadDetector.load(model).to(pick_device(device))
    with working("Loading") as say:
        found = find(
            detector,
            images,
            out,
            looking=looking,
            threshold=threshold,
            gsd_m=gsd,
            vectors=vectors,
            note=say,
        )
    if as_json:
        messages.write_json(found.to_dict())
    else:
        _show(found)


def _show(found: Predicted) -> None:
    from rsaug.cli.tables import show_facts

    rows = []
    for image in found.images:
        rows += [
            ("image", image.name),
            ("probability", str(image.probability)),
            ("mask", f"{image.mask}, {image.road_fraction:.1%} road"),
        ]
    if found.vectors is not None:
        said = f"{found.lines['lines']} lines, {found.lines['km']:.2f} km"
        rows.append(("roads", f"{found.vectors}, {said}"))
    show_facts(rows)
