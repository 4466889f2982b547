"""Options that the commands over tiles share: layers, place and grid, and how much is made."""

from __future__ import annotations

import datetime as dt
from typing import Annotated, Any

import typer

from rsaug.errors import InputError

LAYERS, MARKS, RUN = "Layers and place", "Marks", "Run"


def option(name: str, panel: str, help: str, metavar: str, default: str | None = None) -> Any:
    """An option that is None unless given, so that a recorded run can fill it; shows a default."""
    shown = f"{help} [dim]Default: {default}.[/dim]" if default else help
    return typer.Option(name, help=shown, metavar=metavar, rich_help_panel=panel)


def flag(name: str, panel: str, help: str) -> Any:
    """A switch that is None unless given."""
    return typer.Option(name, help=help, rich_help_panel=panel, metavar="")


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
