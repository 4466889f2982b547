"""``rsaug inspect``: what a layer holds and what would be made of it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rsaug.cli import messages
from rsaug.cli.layer_options import Json, option
from rsaug.errors import InputError

if TYPE_CHECKING:
    from rich.console import Console

    from rsaug.inspection import Inspection

_USES = ("auto", "roads", "landcover", "buildings", "elevation", "image")
# People say "dem" of what the other commands call elevation.
_OTHER_NAMES = {"dem": "elevation", "dsm": "elevation"}
_LOOK, _RESULT = "What to look for", "Result"
_MOST_COLUMNS = 24
_SHOWN_VALUES = 5

_Spec = Annotated[str, typer.Argument(help="A vector layer or a raster.", metavar="LAYER")]
_As = Annotated[
    str,
    typer.Option(
        "--as",
        help="roads, landcover, buildings, dem or image. [dim]Default: what it looks like.[/dim]",
        metavar="USE",
        show_default=False,
        rich_help_panel=_LOOK,
    ),
]
_Gsd = Annotated[float, typer.Option(help="Metres a pixel.", metavar="M", rich_help_panel=_LOOK)]
_TileSize = Annotated[int, typer.Option(help="Pixels a side.", metavar="N", rich_help_panel=_LOOK)]
_Crs = Annotated[str | None, option("--crs", _LOOK, "Projected CRS.", "EPSG:N", "UTM zone")]
_Aoi = Annotated[
    str | None,
    option("--aoi", _LOOK, "Only this area, or west,south,east,north.", "FILE|BOX", "all"),
]
_Table = Annotated[
    str | None,
    option(
        "--landcover-table",
        _LOOK,
        "What the numbers of a raster mean: worldcover, nlcd, dynamic-world, or a TOML file.",
        "NAME|FILE",
        "what fits",
    ),
]
_Picture = Annotated[
    Path | None, option("--picture", _RESULT, "Draw it into a picture.", "FILE.PNG")
]


def inspect(
    layer: _Spec,
    use: _As = "auto",
    gsd: _Gsd = 0.6,
    tile_size: _TileSize = 256,
    crs: _Crs = None,
    aoi: _Aoi = None,
    landcover_table: _Table = None,
    as_json: Json = False,
    picture: _Picture = None,
) -> None:
    """Say what a layer or a raster holds, what would be made of it, and what stands in the way.

    [dim]rsaug inspect roads.geojson[/dim] changes nothing and needs no model.
    """
    use = _OTHER_NAMES.get(use, use)
    if use not in _USES:
        names = ", ".join("dem" if name == "elevation" else name for name in _USES)
        raise InputError(f"--as {use!r} is no use; it is one of {names}.")
    if picture is not None and picture.suffix.lower() != ".png":
        raise InputError(f"--picture {picture} is to be a PNG file; give a name ending in .png.")
    from rich.console import Console

    from rsaug.classes import read_raster_table
    from rsaug.inspection import Wanted, inspect_layer

    if landcover_table is not None:
        read_raster_table(landcover_table)
    wanted = Wanted(
        use=None if use == "auto" else use,  # type: ignore[arg-type]
        gsd_m=gsd,
        tile_size=tile_size,
        crs=crs,
        aoi=aoi,
        table=landcover_table,
    )
    found = inspect_layer(layer, wanted)
    if as_json:
        messages.write_json(found.to_dict())
    else:
        _show(found, Console(highlight=False))
    if picture is not None:
        _draw(found, picture)


def _draw(found: Inspection, path: Path) -> None:
    from rsaug.pictures import contact_sheet, write_png

    panels = found.draw()
    if not panels:
        raise InputError("There is nothing to draw; see what stands in the way.")
    write_png(path, contact_sheet(panels, columns=len(panels)))
    messages.line(f"picture: {path}")


def _show(found: Inspection, console: Console) -> None:
    from rich.table import Table
    from rich.text import Text

    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="dim", no_wrap=True)
    grid.add_column()
    grid.add_row("layer", Text(found.spec, style="bold"))
    for name, value in found.holds.items():
        shown = _words(name, value)
        if shown:
            grid.add_row(name.replace("_", " "), Text(shown))
    if found.sample is not None:
        grid.add_row("sample", f"{found.sample:.2%} of the features; what follows is of these")
    console.print(grid)
    _show_columns(found, console)
    if found.made:
        table = Table(title=f"As {found.use}", title_justify="left", box=None, padding=(0, 2, 0, 0))
        for heading, side in (("", "left"), ("", "left"), ("", "right")):
            table.add_column(heading, justify=side)  # type: ignore[arg-type]
        what = ""
        for row in found.made:
            table.add_row(row.what if row.what != what else "", Text(row.name), row.amount)
            what = row.what
        table.show_header = False
        console.print()
        console.print(table)
    if found.tiles is not None:
        tiles = found.tiles
        about = "about " if tiles.about else ""
        console.print()
        console.print(
            f"{about}{tiles.count:,} tiles of {tiles.tile_size} px at {tiles.gsd_m:g} m in "
            f"{tiles.crs}; uncompressed, {_size(tiles.image_gb)} of images and masks and "
            f"{_size(tiles.control_gb)} of controls.",
            soft_wrap=True,
        )
    for obstacle in found.obstacles:
        console.print(Text.assemble(("in the way: ", "bold yellow"), obstacle), soft_wrap=True)


def _show_columns(found: Inspection, console: Console) -> None:
    from rich.table import Table
    from rich.text import Text

    columns = sorted(found.columns, key=lambda column: (-column.filled, column.name))
    columns = [column for column in columns if column.filled]
    if not columns:
        return
    table = Table(title="Columns", title_justify="left", box=None, padding=(0, 2, 0, 0))
    table.show_header = False
    table.add_column(no_wrap=True)
    table.add_column(justify="right")
    table.add_column()
    for column in columns[:_MOST_COLUMNS]:
        values = list(column.values.items())
        said = ", ".join(f"{value} {count:,}" for value, count in values[:_SHOWN_VALUES])
        more = ", ..." if len(values) > _SHOWN_VALUES else ""
        table.add_row(Text(column.name), _percent(column.filled), Text(said + more))
    console.print()
    console.print(table)
    left = len(found.columns) - min(len(columns), _MOST_COLUMNS)
    if left:
        console.print(f"and {left} more, or empty", style="dim")


def _words(name: str, value: Any) -> str:
    """A fact for a reader; "" for one that says nothing."""
    if name == "extent_degrees":
        west, south, east, north = value
        return f"{west:g} to {east:g} east, {south:g} to {north:g} north"
    if name == "extent_km":
        return "{:,g} x {:,g} km".format(*value)
    if name == "pixels":
        return "{:,} x {:,}".format(*value)
    if name == "no_data_share":
        return _percent(value)
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, dict):
        return ", ".join(f"{key} {count:,}" for key, count in value.items())
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return f"{value:,}" if isinstance(value, int) else str("" if value is None else value)


def _percent(share: float) -> str:
    return f"{share:.0%}" if share in (0, 1) or 0.01 <= share <= 0.99 else f"{share:.1%}"


def _size(gigabytes: float) -> str:
    if gigabytes < 1:
        return f"{gigabytes * 1000:.3g} MB"
    return f"{gigabytes:,.1f} GB" if gigabytes < 10_000 else f"{gigabytes / 1000:,.0f} TB"
