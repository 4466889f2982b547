"""Layouts as layers that ``rsaug synth`` takes, and back."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import geopandas as gpd
import pandas as pd
import shapely
from affine import Affine

from rsaug import __version__
from rsaug.errors import InputError, OutputError
from rsaug.files import write_whole
from rsaug.grid import TileGrid, crs_name, linear_unit_m
from rsaug.jsontext import parse_json
from rsaug.layouts.layout import transformed
from rsaug.layouts.placement import Placed
from rsaug.layouts.statistics import layout_statistics
from rsaug.vectorfile import write_vectors

ROADS, LANDCOVER, AOI, RECORD = "roads.gpkg", "landcover.gpkg", "aoi.gpkg", "layouts.json"

_INSET_M = 5.0  # Tiles of the area of interest are smaller, so that they touch no neighbour.
_LEAST_ROAD_M = 20.0


class Written(NamedTuple):
    """What was written.

    Attributes:
        folder: Where.
        layouts: How many layouts.
        tiles: How many tiles with a road.
        synth: The command that makes images of them.
        statistics: Of the layouts.
    """

    folder: Path
    layouts: int
    tiles: int
    synth: str
    statistics: dict[str, Any]


def write_layouts(
    folder: Path,
    placed: Sequence[Placed],
    grid: TileGrid,
    *,
    tiles: int | None = None,
    facts: Mapping[str, Any] | None = None,
) -> Written:
    """Write roads, land cover, the tiles and a record of layouts; the same layouts, the same bytes.

    Args:
        folder: Made where it is missing; files in it are replaced.
        placed: The layouts on the ground.
        grid: Their grid.
        tiles: At most so many tiles with a road, in the order of the layouts.
        facts: What else the record says: kind, seed, options.

    Raises:
        InputError: if there is no layout with a road.
        OutputError: if it cannot be written.
    """
    _make(folder)
    roads = _on_ground([(p, p.layout.roads) for p in placed], grid)
    areas = _on_ground([(p, p.layout.areas) for p in placed], grid)
    with_road = _tiles(placed, grid, roads, tiles)
    if with_road.empty:
        raise InputError("None of the layouts has a road, so there is nothing to write.")
    write_vectors(folder / ROADS, roads, "roads")
    if len(areas):
        write_vectors(folder / LANDCOVER, areas, "landcover")
    else:
        (folder / LANDCOVER).unlink(missing_ok=True)
    write_vectors(folder / AOI, with_road, "aoi")
    statistics = layout_statistics([p.layout for p in placed]).to_dict()
    cover = f" --landcover {folder / LANDCOVER}" if len(areas) else ""
    synth = (
        f"rsaug synth --roads {folder / ROADS}{cover} --aoi {folder / AOI} "
        f"--crs {crs_name(grid.crs)} --gsd {grid.gsd_m:g} --tile-size {grid.tile_size} --all"
    )
    record = {
        "made_by": f"rsaug {__version__}",
        **(facts or {}),
        "crs": crs_name(grid.crs),
        "gsd_m": grid.gsd_m,
        "tile_size": grid.tile_size,
        "tiles": len(with_road),
        "statistics": statistics,
        "layouts": [
            {
                "name": _name(k),
                "origin": p.layout.origin,
                "row": p.row,
                "col": p.col,
                "span": p.span,
                "road_m": round(p.layout.road_m, 1),
            }
            for k, p in enumerate(placed)
        ],
    }
    write_whole(folder / RECORD, (json.dumps(record, indent=1) + "\n").encode())
    return Written(folder, len(placed), len(with_road), synth, statistics)


def read_ground(folder: Path, grid: TileGrid) -> list[shapely.Polygon]:
    """The squares of layouts that `write_layouts` wrote, in the CRS of a grid.

    Raises:
        InputError: if the folder holds none, or they lie on another grid.
    """
    record = _record(folder)
    try:
        theirs = record["crs"], record["gsd_m"], record["tile_size"]
        places = [(one["row"], one["col"], one["span"]) for one in record["layouts"]]
    except (KeyError, TypeError) as error:
        raise InputError(f"{folder / RECORD} is not what rsaug layouts wrote.") from error
    if theirs != (crs_name(grid.crs), grid.gsd_m, grid.tile_size):
        raise InputError(
            f"The layouts in {folder} lie on tiles of {theirs[2]} pixels of {theirs[1]} m in "
            f"{theirs[0]}; give the same --crs, --gsd and --tile-size."
        )
    corners = [
        (grid.tile(row + span - 1, col).bounds, grid.tile(row, col + span - 1).bounds)
        for row, col, span in places
    ]
    return [shapely.box(*low[:2], *high[2:]) for low, high in corners]


def read_statistics(folder: Path) -> dict[str, Any]:
    """The statistics of layouts that `write_layouts` wrote.

    Raises:
        InputError: if the folder holds none.
    """
    statistics = _record(folder).get("statistics")
    if not isinstance(statistics, dict):
        raise InputError(f"{folder / RECORD} is not what rsaug layouts wrote.")
    return statistics


def _record(folder: Path) -> dict[str, Any]:
    try:
        record = parse_json((folder / RECORD).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{folder} holds no layouts: it has no {RECORD} of rsaug.") from error
    if not isinstance(record, dict):
        raise InputError(f"{folder / RECORD} is not what rsaug layouts wrote.")
    return record


def _name(number: int) -> str:
    return f"layout-{number:05d}"


def _on_ground(
    parts: Sequence[tuple[Placed, gpd.GeoDataFrame]], grid: TileGrid
) -> gpd.GeoDataFrame:
    """Features of layouts in the CRS, with the name of their layout."""
    scale = 1 / linear_unit_m(grid.crs)
    frames = []
    for k, (p, features) in enumerate(parts):
        x, y = p.corner(grid)
        moved = transformed(features, Affine(scale, 0, x, 0, scale, y))
        # Millimetres: what is beyond them is rounding, and differs between machines.
        shapes = shapely.transform(moved.geometry.to_numpy(), lambda xy: xy.round(3))
        frames.append(moved.assign(layout=_name(k)).set_geometry(list(shapes)))
    frames = [frame for frame in frames if len(frame)] or frames[:1]
    return gpd.GeoDataFrame(pd.concat(frames, ignore_index=True), geometry="geometry", crs=grid.crs)


def _tiles(
    placed: Sequence[Placed], grid: TileGrid, roads: gpd.GeoDataFrame, most: int | None
) -> gpd.GeoDataFrame:
    """Outlines of the tiles with a road, a little smaller than they are."""
    inset = _INSET_M / linear_unit_m(grid.crs)
    least = _LEAST_ROAD_M / linear_unit_m(grid.crs)
    lines = roads.geometry.to_numpy()
    tree = shapely.STRtree(lines)
    names, shapes = [], []
    for k, p in enumerate(placed):
        for tile in p.tiles(grid):
            near = lines[tree.query(tile.polygon, predicate="intersects")]
            if shapely.length(shapely.intersection(near, tile.polygon)).sum() >= least:
                names.append(_name(k))
                shapes.append(shapely.buffer(tile.polygon, -inset, join_style="mitre"))
    return gpd.GeoDataFrame({"layout": names[:most]}, geometry=shapes[:most], crs=grid.crs)


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{folder} cannot be made ({error.strerror}).") from error
