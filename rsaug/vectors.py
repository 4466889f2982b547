"""Vector layers: read in one go, reproject, clean, and ask for what meets a tile."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import geopandas as gpd
import numpy as np
import shapely
from numpy.typing import NDArray
from pyproj import CRS

from rsaug.errors import InputError
from rsaug.grid import Tile, crs_name
from rsaug.sources import FORMATS, Bounds, Kind, VectorSource, open_source

__all__ = [
    "FORMATS",
    "Areas",
    "Bounds",
    "Kind",
    "areas_of",
    "clean",
    "meeting",
    "nothing_there",
    "read_vectors",
]


def read_vectors(
    path: Path | str,
    *,
    bounds: Bounds | None = None,
    layer: str | None = None,
    kind: Kind | None = None,
) -> gpd.GeoDataFrame:
    """Features of a layer, in the layer's own CRS.

    Args:
        path: A file or another source; see `rsaug.sources.open_source`.
        bounds: (west, south, east, north) in degrees; features whose box misses it are not read.
        layer: Which layer, where there are several.
        kind: What the layer is wanted for; where there are several layers, those of another kind of
            geometry are passed over. The features themselves are not chosen by it.

    Raises:
        InputError: if the source is missing, unreadable, of another format, without a CRS or
            without a feature, or if it has several layers and none is named.
    """
    source = open_source(path, layer=layer, kind=kind, area=bounds)
    frame = source.read(bounds)
    if frame.empty:
        raise nothing_there(source, bounds)
    return frame


def nothing_there(source: VectorSource, bounds: Bounds | None) -> InputError:
    """The error of a layer without a feature in ``bounds``; says where the layer lies instead."""
    if bounds is None:
        return InputError(f"{source.spec} has no feature.")
    said = f"{source.spec} has no feature within the area asked for"
    where = source.info().bounds
    if where is None:
        return InputError(f"{said}.")
    asked, lies = (",".join(f"{edge:.6g}" for edge in box) for box in (bounds, where))
    return InputError(f"{said}, {asked}; it lies in {lies} (west,south,east,north in degrees).")


def clean(features: gpd.GeoDataFrame, crs: CRS) -> tuple[gpd.GeoDataFrame, dict[str, int]]:
    """Features in ``crs``, flat and valid, and how many were dropped, by reason.

    Invalid geometry is repaired where something of its own dimension is left of it: an area stays
    an area. The index is kept.

    Raises:
        InputError: if the features have no CRS.
    """
    if features.crs is None:
        raise InputError("The layer has no CRS, so it cannot be reprojected.")
    dropped: dict[str, int] = {}

    def drop(frame: gpd.GeoDataFrame, bad: NDArray[np.bool_], reason: str) -> gpd.GeoDataFrame:
        if not bad.any():
            return frame
        dropped[reason] = int(bad.sum())
        return frame[~bad]

    shapes = features.geometry.to_numpy()
    kept = drop(features, shapely.is_missing(shapes) | shapely.is_empty(shapes), "no geometry")
    kept = drop(kept, ~_is_finite(kept.geometry.to_numpy()), "coordinates not finite")
    kept = kept.set_geometry(shapely.force_2d(kept.geometry.to_numpy()), crs=features.crs)
    kept = kept.to_crs(crs)
    shapes = kept.geometry.to_numpy()
    kept = drop(kept, ~_is_finite(shapes), f"outside the reach of {crs_name(crs)}")
    shapes = kept.geometry.to_numpy()
    invalid = ~shapely.is_valid(shapes)
    if invalid.any():
        shapes = shapes.copy()
        shapes[invalid] = [_repaired(shape) for shape in shapes[invalid]]
        kept = drop(
            kept.set_geometry(shapes, crs=crs), shapely.is_empty(shapes), "invalid geometry"
        )
    return kept, dropped


@dataclass(frozen=True, eq=False)
class Areas:
    """The areas of a layer, clean and in one CRS, which is made once for all that is drawn of them.

    Attributes:
        features: Areas, flat and valid.
        dropped: Features that are none or were dropped, by reason.
    """

    features: gpd.GeoDataFrame
    dropped: dict[str, int]


def areas_of(
    features: gpd.GeoDataFrame | Areas, crs: CRS, *, why: str, allow_none: bool = False
) -> Areas:
    """The areas among features, cleaned; those that are clean already as they are.

    Args:
        features: Features in any CRS, or areas in ``crs``.
        crs: Projected CRS of the result.
        why: What areas are needed for, for the message.
        allow_none: Whether there may be no area.

    Raises:
        InputError: if there is no area, or the features have no CRS.
    """
    if isinstance(features, Areas):
        return features
    kept, dropped = clean(features, crs)
    is_area = shapely.get_dimensions(kept.geometry.to_numpy()) == 2
    if not (is_area.any() or allow_none):
        kinds = ", ".join(sorted(set(features.geom_type.dropna()))) or "no geometry at all"
        raise InputError(f"The layer holds no area, only {kinds}; {why}.")
    if not is_area.all():
        dropped["not an area"] = int((~is_area).sum())
    return Areas(kept[is_area], dropped)


def _is_finite(shapes: NDArray[np.object_]) -> NDArray[np.bool_]:
    """Which geometries have finite coordinates only."""
    xy, owner = shapely.get_coordinates(shapes, return_index=True)
    finite = np.ones(len(shapes), dtype=bool)
    finite[owner[~np.isfinite(xy).all(axis=1)]] = False
    return finite


def _repaired(shape: shapely.Geometry) -> shapely.Geometry:
    """What a repair leaves of a geometry in its own dimension; empty when nothing."""
    dimension = shapely.get_dimensions(shape)
    parts = shapely.get_parts(shapely.make_valid(shape))
    parts = shapely.get_parts(parts[shapely.get_dimensions(parts) == dimension])
    return parts[0] if len(parts) == 1 else shapely.union_all(parts)


def meeting(features: gpd.GeoDataFrame, tile: Tile) -> NDArray[np.intp]:
    """Positions of the features whose box meets the tile, ascending.

    The spatial index is built at the first call and kept with the frame, so the time of a call
    depends on the features found, not on how many there are.

    Raises:
        InputError: if the features are not in the tile's CRS.
    """
    if features.crs != tile.crs:
        raise InputError(
            f"The features are in {features.crs and crs_name(features.crs)}, the tile is in "
            f"{crs_name(tile.crs)}; reproject the features first."
        )
    return np.sort(features.sindex.query(tile.polygon))
