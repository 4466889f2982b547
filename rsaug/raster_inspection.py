"""Inspections of rasters."""

from __future__ import annotations

from typing import Any

import numpy as np
import shapely
from affine import Affine
from pyproj import Transformer

from rsaug.classes import raster_tables, read_raster_table
from rsaug.conditions.landcover import CLASSES, PALETTE, landcover_map
from rsaug.conditions.rastercover import RasterCover
from rsaug.errors import InputError
from rsaug.grid import Tile, to_lonlat, utm_crs
from rsaug.inspection import (
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
from rsaug.sources import Bounds
from rsaug.warp import RasterInfo, raster_info, read_onto

# A raster is looked at on at most this many places a side.
_PLACES = 512
# A band of whole numbers with no more values than this may be of classes.
_FEW_VALUES = 100
_SHOWN_VALUES = 12
# A table fits a raster where it knows at least this share of what is there.
_FITS = 0.99


def inspect_raster(spec: str, wanted: Wanted) -> Inspection:
    """What a raster holds and what would be made of it; see `rsaug.inspection`.

    Raises:
        InputError: if it cannot be read, or is to be used as vectors are.
    """
    if wanted.use in ("roads", "buildings"):
        raise InputError(
            f"{spec} is a raster; it can be landcover, elevation or image, not {wanted.use}."
        )
    info = raster_info(spec)
    bounds = _bounds(info)
    if bounds is None:
        raise InputError(f"{spec} has no place on Earth in its CRS; assign the right one.")
    whole = _whole(info, bounds)
    values = read_onto(spec, whole)
    there = values.compressed()
    use = wanted.use or _guess(info, there)
    obstacles = doubts(bounds)
    if not there.size:
        obstacles.append("There is no data in it but nodata; give another raster.")
    if use is None:
        obstacles.append(
            f"{info.count} bands of {info.dtype} are neither heights, nor classes, nor an image of "
            "three bands of uint8; extract the bands that are."
        )
    holds = _facts(info, bounds) | {"no_data_share": _share(np.ma.getmaskarray(values).mean())}
    rows: list[Row] = []
    report: dict[str, Any] = {}
    if use == "elevation" and there.size:
        rows, report = _height_rows(there)
    if use == "landcover" and there.size:
        rows, report, problem = _class_rows(spec, there, wanted.table, whole)
        obstacles += problem
    grid = wanted.grid(bounds)
    outline = _outline(info).segmentize(max(info.resolution) * max(info.shape) / 32)
    to_grid = Transformer.from_crs(info.crs, grid.crs, always_xy=True)
    area = shapely.transform(outline, to_grid.transform, interleaved=False)
    finite = bool(np.isfinite(shapely.get_coordinates(area)).all())
    return Inspection(
        spec,
        "raster",
        holds,
        use=use,
        made=tuple(rows),
        report=report,
        tiles=count_tiles(grid, np.array([area])) if finite else None,
        obstacles=tuple(obstacles),
        draw=lambda: _panels(spec, info, whole, use, report.get("table")),
    )


def _outline(info: RasterInfo) -> shapely.Polygon:
    """The outline of a raster in its CRS; turned where the raster is."""
    rows, cols = info.shape
    corners = np.array([(0, 0), (cols, 0), (cols, rows), (0, rows)], dtype=np.float64)
    a, b, c, d, e, f = tuple(info.transform)[:6]
    col, row = corners[:, 0], corners[:, 1]
    return shapely.Polygon(np.stack([a * col + b * row + c, d * col + e * row + f], axis=1))


def _bounds(info: RasterInfo) -> Bounds | None:
    west, south, east, north = to_lonlat(info.crs).transform_bounds(*info.bounds)
    return (west, south, east, north) if np.isfinite([west, south, east, north]).all() else None


def _whole(info: RasterInfo, bounds: Bounds) -> Tile:
    """A coarse tile over the whole raster: at its own pixels where they are few."""
    crs = info.crs if info.crs.is_projected else utm_crs(bounds)
    to_crs = Transformer.from_crs(info.crs, crs, always_xy=True)
    left, bottom, right, top = to_crs.transform_bounds(*info.bounds)
    if not np.isfinite([left, bottom, right, top]).all():
        raise InputError(f"A raster from {bounds} cannot be shown in one UTM zone; cut it up.")
    pixels = min(_PLACES, max(info.shape))
    side = max(right - left, top - bottom) / pixels
    shape = max(1, round((top - bottom) / side)), max(1, round((right - left) / side))
    return Tile.from_transform(Affine(side, 0, left, 0, -side, top), shape, crs)


def _facts(info: RasterInfo, bounds: Bounds) -> dict[str, Any]:
    unit = "degrees" if info.crs.is_geographic else "units of the CRS"
    facts: dict[str, Any] = {
        "format": info.driver,
        "crs": describe_crs(info.crs),
        "pixels": [info.shape[1], info.shape[0]],
        "bands": f"{info.count} of {info.dtype} ({', '.join(info.colours[:4])})",
        "pixel_m": round(info.pixel_m, 3),
        "resolution": [round(side, 9) for side in info.resolution],
        "resolution_unit": unit,
        "nodata": info.nodata,
    }
    return facts | extent(bounds)


def _guess(info: RasterInfo, there: np.ndarray[Any, Any]) -> Use | None:
    """What a raster is, by its bands and numbers."""
    if info.count >= 3:
        return "image" if info.dtype == "uint8" else None
    if "palette" in info.colours[:1]:
        return "landcover"
    if np.issubdtype(there.dtype, np.integer):
        few = len(np.unique(there)) <= _FEW_VALUES
        small = there.size == 0 or (there.min() >= 0 and there.max() <= 255)
        if few and small:
            return "landcover"
    return "elevation"


def _height_rows(there: np.ndarray[Any, Any]) -> tuple[list[Row], dict[str, Any]]:
    low, two, middle, most, high = np.percentile(there, [0, 2, 50, 98, 100]).tolist()
    report = {"lowest": low, "percentile_2": two, "median": middle, "percentile_98": most}
    report["highest"] = high
    rows = [
        Row("heights", "lowest to highest", f"{low:g} to {high:g} m"),
        Row("heights", "middle 96 %", f"{two:g} to {most:g} m"),
    ]
    return rows, {name: round(value, 3) for name, value in report.items()}


def _class_rows(
    spec: str, there: np.ndarray[Any, Any], table: str | None, whole: Tile
) -> tuple[list[Row], dict[str, Any], list[str]]:
    """Shares by class under the table that fits best, and what is not known."""
    numbers, counts = np.unique(there, return_counts=True)
    shares = {float(n): c / there.size for n, c in zip(numbers, counts, strict=True)}
    known = {
        name: sum(shares.get(float(n), 0.0) for n in read_raster_table(name).classes)
        for name in ([table] if table else raster_tables())
    }
    # The shortest of tables that know as much: it is the likelier one.
    best = max(
        known, key=lambda name: (round(known[name], 3), -len(read_raster_table(name).classes))
    )
    values = {f"{n:g}": _share(s) for n, s in sorted(shares.items(), key=lambda item: -item[1])}
    report: dict[str, Any] = {"table": best, "table_knows": _share(known[best]), "values": values}
    problems = []
    if known[best] < _FITS:
        problems.append(
            f"The table {best!r}, the best there is, knows {known[best]:.0%} of the pixels; write "
            "a TOML file that says what the numbers mean, and name it with --landcover-table."
        )
    shown = list(values.items())[:_SHOWN_VALUES]
    called = read_raster_table(best).call
    rows = [
        Row(
            "value",
            called(int(float(number))) if float(number).is_integer() else number,
            f"{share:.1%}",
        )
        for number, share in shown
    ]
    if len(values) > len(shown):
        rows.append(Row("value", "others", f"{len(values) - len(shown)} values"))
    if known[best]:
        survey = RasterCover.open(spec, best).report(whole)
        report["by_class"] = {name: _share(share) for name, share in survey.shares.items()}
        rows += [Row("class", name, f"{share:.1%}") for name, share in survey.shares.items()]
    return [Row("table", best, f"knows {known[best]:.1%}"), *rows], report, problems


def _panels(
    spec: str, info: RasterInfo, whole: Tile, use: Use | None, table: str | None
) -> list[Panel]:
    """An overview of the raster."""
    if use == "image":
        bands = [read_onto(spec, whole, band=band).filled(0) for band in (1, 2, 3)]
        return [Panel("The whole image", picture_of(np.stack(bands), "palette"))]
    values = read_onto(spec, whole)
    if use == "landcover" and table:
        classes = landcover_map([RasterCover.open(spec, table)], None, whole)
        there = np.unique(classes)
        names = [name if k in there else "" for k, name in enumerate(CLASSES)]
        picture = picture_of(classes, "classes", palette=PALETTE)
        return [
            Panel(
                "In LoveDA's classes", picture, legend_of("classes", names=names, palette=PALETTE)
            )
        ]
    there = values.compressed()
    if not there.size:
        return []
    limits = (float(there.min()), float(there.max()))
    title = "Heights" if use == "elevation" else "First band"
    picture = picture_of(values, "grey", limits=limits)
    return [Panel(title, picture, legend_of("grey", limits=limits))]


def _share(share: float) -> float:
    return round(float(share), 4)
