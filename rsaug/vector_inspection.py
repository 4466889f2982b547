"""Inspections of vector layers."""

from __future__ import annotations

import math
from collections import Counter
from typing import Any

import geopandas as gpd
import numpy as np
import pandas as pd
import rasterio.features
import shapely
from affine import Affine
from numpy.typing import NDArray
from shapely.geometry.base import BaseGeometry

from rsaug.conditions.landcover import CLASSES, PALETTE, LandAreas, land_areas, landcover_map
from rsaug.conditions.road import road_mask
from rsaug.errors import InputError
from rsaug.grid import Tile, TileGrid, to_lonlat
from rsaug.inspection import (
    Column,
    Inspection,
    Row,
    Use,
    Wanted,
    count_tiles,
    describe_crs,
    doubts,
    extent,
)
from rsaug.pictures import Panel, legend_of, picture_of
from rsaug.roads import Roads, road_surfaces
from rsaug.sources import Bounds, Kind, SourceInfo, VectorSource, open_source

# Columns that decide about roads and land cover: their values are counted however many there are.
_TAGS = frozenset(
    {"highway", "fclass", "width", "lanes", "surface", "layer", "bridge", "tunnel", "oneway"}
    | {"landuse", "natural", "leisure", "amenity", "building", "class", "water", "waterway"}
    | {"height", "building:levels"}
)
_FEW_VALUES = 40
_SHOWN_VALUES = 8

# A sample is read in this many windows a side, of about this many features in all.
_WINDOWS_A_SIDE = 6
_SAMPLE = 200_000

_OVERVIEW_PX = 512
_DIMENSION: dict[Use, int] = {"roads": 1, "landcover": 2, "buildings": 2}


def inspect_vector(spec: str, wanted: Wanted) -> Inspection:
    """What a vector layer holds and what would be made of it; see `rsaug.inspection`.

    Raises:
        InputError: if it cannot be read, or is to be used as a raster is.
    """
    if wanted.use is not None and wanted.use not in _DIMENSION:
        raise InputError(
            f"{spec} is a layer of vectors; it can be roads, landcover or buildings, not "
            f"{wanted.use}."
        )
    kind: Kind | None = None
    if wanted.use is not None:
        kind = "lines" if wanted.use == "roads" else "areas"
    source = open_source(spec, kind=kind, area=wanted.aoi_bounds())
    info = source.info()
    frame, share = _read(source, info, wanted)
    bounds = _bounds(frame) if share is None else info.bounds
    holds = _facts(info, frame, bounds, share)
    columns = tuple(_column(frame[name]) for name in frame.columns if name != frame.geometry.name)
    found = Inspection(source.spec, "vector", holds, columns, sample=share)
    if frame.empty:
        where = " in the area of interest" if wanted.aoi else ""
        return _with(found, obstacles=(f"There is no feature{where}; give another layer or area.",))
    if bounds is None:
        why = "No feature has finite coordinates; repair the layer where it is from."
        return _with(found, obstacles=(why,))
    use = wanted.use or _guess(spec, frame)
    if use is None:
        kinds = ", ".join(holds["geometry_types"]) or "no geometry"
        why = f"The layer holds only {kinds}; roads are read from lines, land cover from areas."
        return _with(found, obstacles=(*doubts(bounds), why))
    grid = wanted.grid(bounds)
    return _made(found, frame, use, grid, bounds, wanted.area(grid.crs))


def _made(
    found: Inspection,
    frame: gpd.GeoDataFrame,
    use: Use,
    grid: TileGrid,
    bounds: Bounds,
    area: BaseGeometry | None,
) -> Inspection:
    """The inspection with what would be made of the features."""
    obstacles = doubts(bounds)
    try:
        if use == "roads":
            roads = road_surfaces(frame, grid.crs)
            made: Roads | LandAreas = roads
            shapes = roads.surfaces.geometry.to_numpy()
            rows, report = _road_rows(roads), roads.report.to_dict()
        else:
            areas = land_areas(frame, grid.crs, buildings=use == "buildings")
            made = areas
            shapes = areas.shapes.geometry
            rows, report = _area_rows(areas), areas.to_dict()
            if not len(areas.shapes):
                obstacles.append(
                    "Nothing is known of any area: no column holds OpenStreetMap tags or a class; "
                    "add a column class, or say --as buildings. Roads are read from lines along "
                    "their middle, not from areas."
                )
    except InputError as error:
        other = {"roads": "landcover", "landcover": "roads", "buildings": "roads"}[use]
        hint = "" if _guess("", frame) == use else f" Or look at it with --as {other}."
        return _with(found, use=use, obstacles=(*obstacles, f"{error}{hint}"))
    return _with(
        found,
        use=use,
        made=tuple(rows),
        report=report,
        tiles=count_tiles(grid, shapes, found.sample, area) if len(shapes) else None,
        obstacles=tuple(obstacles),
        draw=lambda: _panels(made, grid, found.sample) if len(shapes) else [],
    )


def _with(found: Inspection, **changes: Any) -> Inspection:
    return Inspection(**{**vars(found), **changes})


def _read(
    source: VectorSource, info: SourceInfo, wanted: Wanted
) -> tuple[gpd.GeoDataFrame, float | None]:
    """The features, or a sample of very many, and which share of them that is."""
    area = wanted.aoi_bounds()
    if not (info.windowed and info.count and info.bounds):
        return source.read(area), None
    place = area or info.bounds
    expected = info.count * min(1.0, _square_degrees(place) / _square_degrees(info.bounds))
    if expected <= wanted.most_features or place[0] > place[2]:
        return source.read(area), None
    west, south, east, north = place
    part = math.sqrt(min(_SAMPLE, wanted.most_features) / expected) / _WINDOWS_A_SIDE
    wide, high = (east - west) * part, (north - south) * part
    frames = []
    for nth in range(_WINDOWS_A_SIDE**2):
        row, col = divmod(nth, _WINDOWS_A_SIDE)
        x = west + (east - west) * (col + 0.5) / _WINDOWS_A_SIDE
        y = south + (north - south) * (row + 0.5) / _WINDOWS_A_SIDE
        frames.append(source.read((x - wide / 2, y - high / 2, x + wide / 2, y + high / 2)))
    frame = pd.concat(frames)
    frame = frame[~frame.index.duplicated()]
    return frame, max(len(frame), 1) / expected


def _square_degrees(bounds: Bounds) -> float:
    west, south, east, north = bounds
    return max(east - west, 1e-9) * max(north - south, 1e-9)


def _bounds(frame: gpd.GeoDataFrame) -> Bounds | None:
    """(west, south, east, north) in degrees around the finite features."""
    boxes = shapely.bounds(frame.geometry.to_numpy())
    boxes = boxes[np.isfinite(boxes).all(axis=1)]
    if not len(boxes):
        return None
    box = (*boxes[:, :2].min(axis=0).tolist(), *boxes[:, 2:].max(axis=0).tolist())
    west, south, east, north = to_lonlat(frame.crs).transform_bounds(*box)
    return (west, south, east, north) if np.isfinite([west, south, east, north]).all() else None


def _facts(
    info: SourceInfo, frame: gpd.GeoDataFrame, bounds: Bounds | None, share: float | None
) -> dict[str, Any]:
    types = Counter(frame.geom_type.fillna("no geometry").tolist())
    facts: dict[str, Any] = {"format": info.format, "layer_name": info.layer}
    if len(info.layers) > 1:
        facts["layers"] = list(info.layers)
    facts["crs"] = describe_crs(info.crs)
    facts["features"] = len(frame) if share is None or info.count is None else info.count
    facts["geometry_types"] = dict(types.most_common())
    facts["vertices"] = int(shapely.get_num_coordinates(frame.geometry.to_numpy()).sum())
    return facts | extent(bounds) | {"read_by_window": info.windowed}


def _column(column: pd.Series[Any]) -> Column:
    known = column[column.notna()].astype(str).str.strip()
    known = known[known != ""]
    counts = known.value_counts()
    tag = column.name in _TAGS
    wanted = tag or (0 < len(counts) <= _FEW_VALUES and len(counts) < len(known))
    # Equal counts by name, so that the order of the features does not matter.
    ranked = sorted(counts.items(), key=lambda item: (-item[1], str(item[0])))[:_SHOWN_VALUES]
    values = {str(value)[:60]: int(count) for value, count in ranked} if wanted else {}
    filled = len(known) / len(column) if len(column) else 0.0
    return Column(str(column.name), str(column.dtype), round(filled, 4), values)


def _guess(spec: str, frame: gpd.GeoDataFrame) -> Use | None:
    """What a layer is, by its geometry and its columns."""
    dimension = shapely.get_dimensions(frame.geometry.to_numpy())
    lines, areas = int((dimension == 1).sum()), int((dimension == 2).sum())
    if not lines + areas:
        return None
    if lines >= areas:
        return "roads"
    if "building" in frame and frame["building"][dimension == 2].notna().mean() > 0.5:
        return "buildings"
    return "buildings" if "building" in spec.rpartition("/")[2].lower() else "landcover"


def _road_rows(roads: Roads) -> list[Row]:
    rows = roads.report.rows()
    # What was used in the order of the rules, what was not from the most to the least.
    used = [row for row in rows if row[3]]
    unused = sorted((row for row in rows if not row[3]), key=lambda row: (row[0], -row[2], row[1]))
    return [
        Row(what, name, f"{count:,}" + (f" ({km:,.1f} km)" if km else ""))
        for what, name, count, km in [*used, *unused]
    ]


def _area_rows(areas: LandAreas) -> list[Row]:
    rows = [
        Row("class", name, f"{count:,} ({areas.area_m2.get(name, 0) / 1e6:,.3f} km2)")
        for name, count in areas.by_class.items()
    ]
    for what, counts in (("not known", areas.unknown), ("left out", areas.dropped)):
        ranked = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
        rows += [Row(what, reason, f"{count:,}") for reason, count in ranked]
    return rows


def _panels(made: Roads | LandAreas, grid: TileGrid, sample: float | None) -> list[Panel]:
    """An overview of the layer and the tile with most of it."""
    if isinstance(made, Roads):
        shapes = made.surfaces.geometry.to_numpy()
        values = np.full(len(shapes), CLASSES.index("road"), dtype=np.uint8)
    else:
        shapes = made.shapes.geometry
        values = made.classes.value_of_rank[made.ranks]
    tile = _busiest(shapes, grid)
    if isinstance(made, Roads):
        detail = Panel(f"Roads of tile {tile.name}", picture_of(road_mask(made, tile), "binary"))
    else:
        classes = landcover_map([made], None, tile, made.classes)
        picture = picture_of(classes, "classes", palette=PALETTE)
        detail = Panel(f"Land cover of tile {tile.name}", picture, _legend(classes))
    overview = _overview(shapes, values)
    what = "The whole layer" if sample is None else "The sample"
    title = f"{what}, {len(shapes):,} shapes"
    if isinstance(made, Roads):
        return [Panel(title, picture_of(overview, "binary")), detail]
    whole = Panel(title, picture_of(overview, "classes", palette=PALETTE), _legend(overview))
    return [whole, detail]


def _legend(classes: NDArray[np.uint8]) -> Any:
    there = np.unique(classes)
    names = [name if k in there else "" for k, name in enumerate(CLASSES)]
    return legend_of("classes", names=names, palette=PALETTE)


def _overview(shapes: NDArray[np.object_], values: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Every shape on one small map, however thin it is there."""
    left, bottom, right, top = shapely.total_bounds(shapes)
    side = max(right - left, top - bottom, 1e-6) / _OVERVIEW_PX
    shape = tuple(max(1, math.ceil(length / side)) for length in (top - bottom, right - left))
    # A vertex a pixel is enough, and a shape of less than one is its box.
    drawn = shapely.simplify(shapes, side / 2, preserve_topology=False)
    drawn = np.where(shapely.is_empty(drawn), shapely.envelope(shapes), drawn)
    classes: NDArray[np.uint8] = rasterio.features.rasterize(
        zip(drawn, values.tolist(), strict=True),
        out_shape=shape,
        transform=Affine(side, 0, left, 0, -side, top),
        all_touched=True,
        dtype=np.uint8,
    )
    return classes


def _busiest(shapes: NDArray[np.object_], grid: TileGrid) -> Tile:
    """The tile with the middles of most shapes; of several the one farthest north-west."""
    middle = shapely.get_coordinates(shapely.point_on_surface(shapes))
    side = grid.stride * grid.resolution
    places = np.floor(middle * (1, -1) / side).astype(np.int64)
    cells, counts = np.unique(places[:, ::-1], axis=0, return_counts=True)
    row, col = cells[np.argmax(counts)].tolist()
    return grid.tile(row, col)
