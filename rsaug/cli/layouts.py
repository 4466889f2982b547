"""``rsaug layouts``: road layouts that are no real place's, as layers for ``rsaug synth``."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rsaug.cli import messages
from rsaug.cli.layer_options import Json, option
from rsaug.errors import InputError

if TYPE_CHECKING:
    from rsaug.layouts.layout import Layout
    from rsaug.layouts.places import Places

_PLACES, _GRID, _RESULT = "Places", "Grid", "Result"

app = typer.Typer(
    no_args_is_help=True,
    help="Make road layouts that are no real place's, with land cover, for [bold]synth[/bold].",
)

_From = Annotated[
    str,
    option(
        "--places",
        _PLACES,
        "Labelled places: naip, those of the package, or a tile folder; the split train alone.",
        "naip|DIR",
    ),
]
_Landcover = Annotated[
    Path | None,
    option("--landcover", _PLACES, "Their land cover: areas with a column class.", "FILE"),
]
_Only = Annotated[
    str | None, option("--only", _PLACES, "Take these places alone.", "NAME,NAME,...", "all")
]
_Tiles = Annotated[
    int,
    typer.Option(
        help="How many tiles.", min=1, max=1_000_000, metavar="N", rich_help_panel=_RESULT
    ),
]
_Seed = Annotated[
    int, typer.Option(help="Same seed, same layouts.", min=0, metavar="N", rich_help_panel=_RESULT)
]
_Out = Annotated[
    Path | None, option("--out", _RESULT, "Folder of the result.", "DIR", "layouts-KIND")
]
_Gsd = Annotated[float, typer.Option(help="Metres a pixel.", metavar="M", rich_help_panel=_GRID)]
_TileSize = Annotated[
    int, typer.Option(help="Pixels a side of a tile.", min=8, metavar="N", rich_help_panel=_GRID)
]
_Crs = Annotated[
    str | None, option("--crs", _GRID, "A projected CRS.", "EPSG:N", "UTM zone of most layouts")
]
_Beside = Annotated[
    list[Path] | None,
    option(
        "--beside", _GRID, "Layouts whose ground is left free; may be given several times.", "DIR"
    ),
]
_Pieces = Annotated[
    int, typer.Option(help="Halves or quarters: 2 or 4.", metavar="N", rich_help_panel=_RESULT)
]
_Kinds = Annotated[
    str | None,
    option(
        "--kinds",
        _RESULT,
        "In turn: grid, suburb, rural, highway.",
        "KIND,KIND,...",
        "a mix, mostly grid and suburb",
    ),
]
_Span = Annotated[
    int,
    typer.Option(
        help="Tiles along each side of one layout.",
        min=1,
        max=100,
        metavar="N",
        rich_help_panel=_RESULT,
    ),
]
_At = Annotated[
    str | None,
    option("--at", _GRID, "Where they lie, in degrees.", "LON,LAT", "around the places"),
]
_Folders = Annotated[
    list[Path] | None,
    typer.Argument(help="Folders of layouts.", metavar="DIR...", show_default=False),
]


@app.command("vary")
def vary(
    places: _From = "naip",
    landcover: _Landcover = None,
    only: _Only = None,
    tiles: _Tiles = 100,
    seed: _Seed = 0,
    gsd: _Gsd = 0.6,
    tile_size: _TileSize = 256,
    crs: _Crs = None,
    beside: _Beside = None,
    out: _Out = None,
    as_json: Json = False,
) -> None:
    """Labelled places turned, mirrored, stretched and shifted; roads keep their widths.

    [dim]rsaug layouts vary --landcover landcover.geojson --tiles 200[/dim] needs no imagery.
    """
    from rsaug.layouts.variation import vary as make

    known = _read(places, landcover, only, gsd * tile_size)
    made = make(known.layouts, tiles, seed)
    facts = {"kind": "vary", "seed": seed, "places": places}
    _finish(made, known, facts, (gsd, tile_size, crs, beside), out, tiles, as_json)


@app.command("recombine")
def recombine(
    places: _From = "naip",
    landcover: _Landcover = None,
    only: _Only = None,
    pieces: _Pieces = 2,
    tiles: _Tiles = 100,
    seed: _Seed = 0,
    gsd: _Gsd = 0.6,
    tile_size: _TileSize = 256,
    crs: _Crs = None,
    beside: _Beside = None,
    out: _Out = None,
    as_json: Json = False,
) -> None:
    """Halves or quarters of several labelled places, put together where their roads fit."""
    from rsaug.layouts.recombination import recombine as make

    known = _read(places, landcover, only, gsd * tile_size)
    made = make(known.layouts, tiles, seed, pieces=pieces)
    facts = {"kind": "recombine", "seed": seed, "places": places, "pieces": pieces}
    _finish(made, known, facts, (gsd, tile_size, crs, beside), out, tiles, as_json)


@app.command("grow")
def grow(
    kinds: _Kinds = None,
    span: _Span = 3,
    at: _At = None,
    places: _From = "naip",
    tiles: _Tiles = 100,
    seed: _Seed = 0,
    gsd: _Gsd = 0.6,
    tile_size: _TileSize = 256,
    crs: _Crs = None,
    beside: _Beside = None,
    out: _Out = None,
    as_json: Json = False,
) -> None:
    """Made-up towns, suburbs, farmland and interchanges, with land cover.

    Places only say which ground is to be kept free and where layouts lie; with --at there are none.
    """
    from rsaug.layouts.growth import grow as make
    from rsaug.layouts.styles import KINDS

    _check_side(gsd * tile_size)
    known = None if at is not None else _read(places, None, None, gsd * tile_size)
    spots = [_spot(at)] if at is not None else _spots(known, seed)
    chosen = tuple(kinds.split(",")) if kinds else KINDS
    # A layout may have tiles without a road, so there is one more than the tiles ask for.
    count = math.ceil(tiles / span**2) + 1 + (tiles // (4 * span**2))
    made = make(count, span * gsd * tile_size, seed, kinds=chosen, at=spots)
    facts = {"kind": "grow", "seed": seed, "kinds": list(chosen), "span": span}
    _finish(made, known, facts, (gsd, tile_size, crs, beside), out, tiles, as_json)


@app.command("compare")
def compare(
    folders: _Folders = None,
    places: _From = "naip",
    landcover: _Landcover = None,
    only: _Only = None,
    side: Annotated[
        float,
        typer.Option(help="Side of a place in metres.", metavar="M", rich_help_panel=_PLACES),
    ] = 153.6,
    as_json: Json = False,
) -> None:
    """Statistics of layouts beside those of the labelled training places."""
    from rsaug.layouts.statistics import layout_statistics
    from rsaug.layouts.writing import read_statistics

    found = {str(folder): read_statistics(folder) for folder in folders or ()}
    known = _read(places, landcover, only, side)
    columns = {"places": layout_statistics(known.layouts).to_dict(), **found}
    if as_json:
        messages.write_json(columns)
    else:
        _show_statistics(columns)


def _read(places: str, landcover: Path | None, only: str | None, side_m: float) -> Places:
    from rsaug.layouts.places import read_folder, read_places
    from rsaug.vectors import read_vectors

    _check_side(side_m)
    names = None if only is None else [name.strip() for name in only.split(",")]
    if places != "naip":
        return read_folder(Path(places), landcover, side_m=side_m, names=names)
    from rsaug.downstream.datasets.naip import GSD_M, SIDE, naip_roads, naip_tiles

    own_m = SIDE * GSD_M
    if abs(side_m - own_m) > 1e-6 * own_m:
        raise InputError(
            f"The places of the package are {own_m:g} m a side, tiles were asked for of "
            f"{side_m:g} m; choose --gsd and --tile-size to match."
        )
    cover = None if landcover is None else read_vectors(landcover)
    return read_places(naip_tiles(), naip_roads(), cover, side_m=own_m, names=names)


def _check_side(side_m: float) -> None:
    if not (math.isfinite(side_m) and side_m > 0):
        raise InputError(f"--gsd is a number of metres above 0; a tile of {side_m} m is none.")


def _spot(at: str) -> tuple[float, float]:
    try:
        lon, lat = map(float, at.split(","))
    except ValueError as error:
        raise InputError(f"--at is a longitude and a latitude, LON,LAT, not {at!r}.") from error
    if not (abs(lon) <= 180 and abs(lat) < 84):
        raise InputError(f"--at {at} is no place with a UTM zone; the longitude comes first.")
    return lon, lat


def _spots(known: Places | None, seed: int) -> list[tuple[float, float]]:
    """Places that grown layouts lie near, in random order."""
    import numpy as np

    spots = [layout.at for layout in (known.layouts if known else ()) if layout.at is not None]
    return [spots[k] for k in np.random.default_rng(seed).permutation(len(spots))]


def _finish(
    made: Sequence[Layout],
    known: Places | None,
    facts: dict[str, Any],
    ground: tuple[float, int, str | None, list[Path] | None],
    out: Path | None,
    tiles: int,
    as_json: bool,
) -> None:
    from rsaug.grid import TileGrid, parse_crs
    from rsaug.layouts.placement import choose_crs, place_layouts
    from rsaug.layouts.writing import read_ground, write_layouts

    gsd, tile_size, crs, beside = ground
    grid = TileGrid(parse_crs(crs) if crs else choose_crs(made), gsd, tile_size)
    others = [box for other in beside or () for box in read_ground(other, grid)]
    folder = out or Path(f"layouts-{facts['kind']}")
    left_out = list(known.left_out) if known else []
    written = write_layouts(
        folder,
        place_layouts(made, grid, known, others),
        grid,
        tiles=tiles,
        facts={**facts, "left_out": left_out},
    )
    if as_json:
        said = {**written._asdict(), "folder": str(folder), "left_out": left_out}
        messages.write_json(said)
        return
    typer.echo(f"{folder}: {written.layouts} layouts, {written.tiles} tiles with a road")
    if left_out:
        typer.echo(
            f"{len(left_out)} training places share ground with other splits and were left out: "
            f"{', '.join(left_out[:4])}{', ...' if len(left_out) > 4 else ''}"
        )
    typer.echo(f"next: {written.synth}")


_ROWS = (
    ("roads, km a km²", "road_km_per_km2"),
    ("junctions a km²", "junctions_per_km2"),
    ("dead ends a km²", "ends_per_km2"),
    ("mean width, m", "width_m"),
    ("without a road", "empty"),
)
_PARTS = (
    ("roads at a junction or end", "degrees"),
    ("kind", "kinds"),
    ("width, m", "widths"),
    ("covered by", "covered"),
)


def _show_statistics(columns: dict[str, dict[str, Any]]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, padding=(0, 2, 0, 0))
    table.add_column("")
    for name, statistics in columns.items():
        table.add_column(f"{name} ({statistics['layouts']})", justify="right")
    for title, key in _ROWS:
        table.add_row(title, *(_number(statistics[key]) for statistics in columns.values()))
    for title, key in _PARTS:
        names = dict.fromkeys(name for s in columns.values() for name in s[key])
        for name in names:
            shares = (f"{statistics[key].get(name, 0):.1%}" for statistics in columns.values())
            table.add_row(f"{title}: {name}", *shares)
    Console(highlight=False).print(table)


def _number(value: float | list[float]) -> str:
    return f"{value[0]:.1f} ± {value[1]:.1f}" if isinstance(value, list) else f"{value:.2f}"
