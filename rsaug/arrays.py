"""Tiles as arrays with coordinates: datasets of xarray, with their CRS."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from rsaug.grid import Tile
from rsaug.optional import require

if TYPE_CHECKING:
    import xarray as xr

Layers = Mapping[str, tuple[NDArray[np.generic], str | None, Sequence[str]]]
"""Arrays by name: (rows, cols), or (n, rows, cols) with the name of the first dimension and its n
labels."""


def dataset(tile: Tile, layers: Layers, attributes: Mapping[str, Any]) -> xr.Dataset:
    """Arrays on the pixels of a tile as a dataset.

    ``x`` and ``y`` are the centres of the pixels in units of the CRS; ``spatial_ref`` holds the CRS
    and the transform, as rioxarray reads them.

    Args:
        tile: Where.
        layers: The arrays.
        attributes: What is said of the whole.

    Raises:
        MissingExtra: without xarray.
    """
    xarray = require("xarray", extra="xarray")
    coordinates = _coordinates(tile)
    variables = {}
    for name, (values, dimension, labels) in layers.items():
        dims = ("y", "x") if dimension is None else (dimension, "y", "x")
        variables[name] = (dims, values, {"grid_mapping": "spatial_ref"})
        if dimension is not None:
            coordinates[dimension] = (dimension, list(labels), {})
    found: xr.Dataset = xarray.Dataset(variables, coordinates, dict(attributes))
    return found


def _coordinates(tile: Tile) -> dict[str, tuple[Any, Any, dict[str, Any]]]:
    """Coordinates of the pixels and of the CRS, by the CF conventions (1.11, section 5.6)."""
    (rows, cols), to_xy = tile.shape, tile.transform
    x = to_xy.c + to_xy.a * (np.arange(cols) + 0.5)
    y = to_xy.f + to_xy.e * (np.arange(rows) + 0.5)
    axes = {axis["axis"]: axis for axis in tile.crs.cs_to_cf()}
    wkt = tile.crs.to_wkt()
    # GDAL and rioxarray look for these two besides.
    place = {"spatial_ref": wkt, "GeoTransform": " ".join(map(repr, map(float, to_xy.to_gdal())))}
    return {
        "y": ("y", y, axes.get("Y", {})),
        "x": ("x", x, axes.get("X", {})),
        "spatial_ref": ((), 0, {**tile.crs.to_cf(), **place}),
    }
