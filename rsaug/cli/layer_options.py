"""Options that the commands over tiles share: layers, place and grid, and how much is made."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from typing import Annotated, Any

import typer

from rsaug.errors import InputError

CONTROLS = ("mlsd", "hed", "sketch", "road", "depth", "seg")
TABLES = ("worldcover", "nlcd", "dynamic-world")
"""What a shell completes; the names in the help."""

LAYERS, MARKS, RUN = "Layers and place", "Marks", "Run"


def names(*known: str) -> Callable[[str], list[str]]:
    """What a shell completes the value of an option to; after a comma, the next of several."""

    def complete(incomplete: str) -> list[str]:
        before, comma, last = incomplete.rpartition(",")
        return [f"{before}{comma}{name}" for name in known if name.startswith(last)]

    return complete


def option(
    name: str,
    panel: str,
    help: str,
    metavar: str,
    default: str | None = None,
    known: tuple[str, ...] = (),
) -> Any:
    """An option that is None unless given, so that a recorded run can fill it.

    Args:
        name: As in ``--roads``.
        panel: Heading that it is shown under.
        help: What it is for.
        metavar: What a value looks like, in capitals.
        default: What it is unless given, for a reader.
        known: Values that a shell completes.
    """
    shown = f"{help} [dim]Default: {default}.[/dim]" if default else help
    return typer.Option(
        name,
        help=shown,
        metavar=metavar,
        rich_help_panel=panel,
        autocompletion=names(*known) if known else None,
    )


def flag(name: str, panel: str, help: str) -> Any:
    """A switch that is None unless given."""
    return typer.Option(name, help=help, rich_help_panel=panel, metavar="")


def device_option(panel: str) -> Any:
    """Where a network runs."""
    return option(
        "--device",
        panel,
        "cpu, cuda, cuda:1, ...",
        "NAME",
        "a GPU if there is one",
        known=("cpu", "cuda"),
    )


def precision_option(panel: str) -> Any:
    """What a training computes in."""
    return option(
        "--precision",
        panel,
        "Format of products: no (float32), bf16 or fp16.",
        "P",
        "bf16 where the device is fast at it",
        known=("no", "bf16", "fp16"),
    )


def seed_option(panel: str, same: str) -> Any:
    """What a training draws by.

    Args:
        panel: Heading that it is shown under.
        same: What the same seed makes again.
    """
    return typer.Option(
        "--seed",
        help=f"Same seed, same {same} on the same machine. [dim]Default: 0.[/dim]",
        metavar="N",
        min=0,
        max=(1 << 32) - 1,
        rich_help_panel=panel,
    )


def features_option(panel: str) -> Any:
    """What images are compared by."""
    return option("--features", panel, "Aerial encoder.", "V3.NPZ", "that of the package geoembed")


Roads = Annotated[
    str | None, option("--roads", LAYERS, "Roads: lines with OpenStreetMap tags.", "LAYER")
]
NeededRoads = Annotated[
    str | None,
    option(
        "--roads", LAYERS, "Roads: lines with OpenStreetMap tags. [bold]Needed.[/bold]", "LAYER"
    ),
]
Landcover = Annotated[
    str | None,
    option("--landcover", LAYERS, "Land cover: areas with OSM tags or a class.", "LAYER"),
]
LandcoverRaster = Annotated[
    str | None,
    option("--landcover-raster", LAYERS, "Raster of land cover, below the areas.", "FILE"),
]
LandcoverTable = Annotated[
    str | None,
    option(
        "--landcover-table",
        LAYERS,
        "What its numbers mean: worldcover, nlcd, dynamic-world, or a TOML file.",
        "NAME|FILE",
        known=TABLES,
    ),
]
Buildings = Annotated[
    str | None, option("--buildings", LAYERS, "Buildings: areas, whatever their tags.", "LAYER")
]
Parcels = Annotated[
    str | None, option("--parcels", LAYERS, "Parcels: areas whose borders are edges.", "LAYER")
]
Dem = Annotated[
    str | None, option("--dem", LAYERS, "Raster of the ground's heights; adds buildings.", "FILE")
]
Dsm = Annotated[
    str | None, option("--dsm", LAYERS, "Raster of heights with all that stands there.", "FILE")
]
HeightRange = Annotated[
    str | None,
    option(
        "--height-range",
        LAYERS,
        "Heights that are darkest and lightest.",
        "LOW,HIGH",
        "of the area",
    ),
]
Reference = Annotated[
    str | None,
    option("--reference", LAYERS, "Image to take edges from, not from the map.", "FILE"),
]
RoadRules = Annotated[
    str | None, option("--road-rules", LAYERS, "Rules for width and class of roads.", "TOML")
]
Tunnels = Annotated[bool | None, flag("--tunnels", LAYERS, "Draw roads in tunnels, too.")]
Aoi = Annotated[
    str | None,
    option("--aoi", LAYERS, "Area of interest, or west,south,east,north.", "FILE|BOX", "the roads"),
]
Gsd = Annotated[float | None, option("--gsd", LAYERS, "Metres a pixel.", "M", "0.6")]
TileSize = Annotated[int | None, option("--tile-size", LAYERS, "Pixels a side.", "N", "256")]
Crs = Annotated[str | None, option("--crs", LAYERS, "Projected CRS.", "EPSG:N", "UTM zone")]
Sign = Annotated[
    str | None,
    option("--sign", MARKS, "Certificates to sign images with (C2PA), the signer's first.", "PEM"),
]
SignKey = Annotated[str | None, option("--sign-key", MARKS, "The signer's private key.", "PEM")]
TimestampUrl = Annotated[
    str | None,
    option("--timestamp-url", MARKS, "Authority that confirms when images were signed.", "URL"),
]
Limit = Annotated[int | None, option("--limit", RUN, "Make the first N tiles only.", "N")]
Json = Annotated[
    bool, typer.Option("--json", help="Write the result as JSON to stdout.", metavar="")
]
All = Annotated[bool | None, flag("--all", RUN, "Make every tile, even above 500.")]


def without_opposites(given: dict[str, Any]) -> dict[str, Any]:
    """Options that replace recorded ones; a limit replaces "all", and the other way round."""
    opposite: dict[str, Any] = {}
    if given.get("all"):
        opposite["limit"] = None
    elif "limit" in given:
        opposite["all"] = False
    return opposite | given


def read_date(text: str) -> dt.date:
    """The date of ``--date``.

    Raises:
        InputError: if it is none.
    """
    try:
        return dt.date.fromisoformat(text)
    except ValueError as error:
        raise InputError(f"--date {text!r} is no date; write it as 2024-06-01.") from error
