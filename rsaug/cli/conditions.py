"""``rsaug conditions``: control maps, masks and labels, without a model."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rsaug.cli import layer_options, messages
from rsaug.cli.config import RunConfig
from rsaug.cli.layer_options import CONTROLS, RUN, Json, option, read_date, without_opposites
from rsaug.cli.stopping import exit_code
from rsaug.errors import InputError, OutputError
from rsaug.options import ConditionsOptions

if TYPE_CHECKING:
    from rsaug.record import Record

_MAPS, _GLOBAL = "Maps", "Global conditions"
_SHOWN = 4
CHANNELS = ("soft", "centreline", "distance", "direction", "junction", "class", "lanes")
"""What a shell completes; the names in the help."""

_Controls = Annotated[
    str | None,
    option(
        "--controls",
        _MAPS,
        "Control maps: mlsd,hed,sketch,road,depth,seg.",
        "NAMES",
        "all that the layers are enough for",
        known=CONTROLS,
    ),
]
_Channels = Annotated[
    str | None,
    option(
        "--channels",
        _MAPS,
        "Further road maps: soft,centreline,distance,direction,junction,class,lanes.",
        "NAMES",
        known=CHANNELS,
    ),
]
_Labels = Annotated[
    str | None,
    option("--labels", _MAPS, "Label mask in the classes of a set.", "NAME|TOML"),
]
_Style = Annotated[
    str | None,
    option(
        "--style",
        _GLOBAL,
        "Content images: a file, a folder, or mosaic:FILE for the nearest tile.",
        "IMAGE",
    ),
]
_Date = Annotated[str | None, option("--date", _GLOBAL, "Date of the metadata.", "2024-06-01")]
_Wording = Annotated[int | None, option("--wording", _GLOBAL, "Wording of captions.", "N", "0")]
_Seed = Annotated[
    int | None, option("--seed", _GLOBAL, "Chooses from a folder of images.", "N", "0")
]
_Out = Annotated[
    str | None, option("--out", RUN, "Folder of the results.", "DIR", "./<first layer>-conditions")
]
_Picture = Annotated[
    Path | None, option("--picture", RUN, "Draw the first tiles in a picture.", "PNG")
]


def conditions(
    ctx: typer.Context,
    roads: layer_options.Roads = None,
    landcover: layer_options.Landcover = None,
    landcover_raster: layer_options.LandcoverRaster = None,
    landcover_table: layer_options.LandcoverTable = None,
    buildings: layer_options.Buildings = None,
    parcels: layer_options.Parcels = None,
    dem: layer_options.Dem = None,
    dsm: layer_options.Dsm = None,
    height_range: layer_options.HeightRange = None,
    reference: layer_options.Reference = None,
    road_rules: layer_options.RoadRules = None,
    tunnels: layer_options.Tunnels = None,
    aoi: layer_options.Aoi = None,
    gsd: layer_options.Gsd = None,
    tile_size: layer_options.TileSize = None,
    crs: layer_options.Crs = None,
    controls: _Controls = None,
    channels: _Channels = None,
    labels: _Labels = None,
    style: _Style = None,
    date: _Date = None,
    wording: _Wording = None,
    seed: _Seed = None,
    limit: layer_options.Limit = None,
    all: layer_options.All = None,
    out: _Out = None,
    picture: _Picture = None,
    config: RunConfig = None,
    as_json: Json = False,
) -> None:
    """Write control maps, road masks and labels of tiles, without making images.

    [dim]rsaug conditions --roads roads.geojson --buildings houses.gpkg[/dim] writes every control
    map that the layers are enough for, with captions and metadata in a STAC catalogue.
    """
    given = {name: value for name, value in ctx.params.items() if value is not None}
    for name in ("config", "picture", "as_json"):
        given.pop(name, None)
    if "date" in given:
        given["date"] = read_date(given["date"])
    if config is not None:
        from rsaug.record import read_record_of

        earlier = read_record_of(ConditionsOptions, config, without_opposites(given))
        options = earlier.options
    else:
        options, earlier = ConditionsOptions(**given), None
    if picture is not None and picture.suffix.lower() != ".png":
        raise InputError(f"{picture} is no name of a picture; it has to end in .png.")
    if picture is not None and not picture.parent.is_dir():
        raise InputError(f"The folder {picture.parent} of the picture does not exist; make it.")
    _write(options, earlier, picture, as_json=as_json)


def _write(
    options: ConditionsOptions,
    earlier: Record[ConditionsOptions] | None,
    picture: Path | None,
    *,
    as_json: bool,
) -> None:
    from rsaug.cli.display import Display, show_summary, summary_of
    from rsaug.conditioning import make_conditions_plan, write_conditions
    from rsaug.pictures import write_png
    from rsaug.sheets import conditions_sheet

    with Display("tile") as display:
        try:
            display.status("Reading the layers")
            plan = make_conditions_plan(options, earlier)
            report = write_conditions(plan, display.progress, display.note)
            if picture is not None:
                write_png(picture, conditions_sheet(plan, plan.tiles[: options.limit][:_SHOWN]))
        except OutputError as error:
            raise OutputError(f"{error} {display.where_it_stands}") from error
        except KeyboardInterrupt as stop:
            display.note(f"Stopped. {display.where_it_stands}")
            raise typer.Exit(exit_code(stop)) from stop
    if as_json:
        messages.write_json(summary_of(plan.options, plan.scene, report))
    else:
        show_summary(plan.options, plan.scene, report, "tile")
