"""Burning: areas onto the pixels of a tile, by the pixel-centre rule.

rusterize does it where it is installed, several times as fast as rasterio, and rasterio where it is
not. Where edges may run exactly through centres, as those of areas that were traced from pixels do,
the two differ, and what GDAL makes of it hangs on rounding: then rasterio does it, on vertices that
are set exactly where they all but are. The pixels are the same either way, and in every tile.
"""

from __future__ import annotations

import importlib
import warnings
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Literal, TypeVar

import numpy as np
import rasterio.errors
import rasterio.features
import shapely
from affine import Affine
from numpy.typing import NDArray

from rsaug.grid import Tile

Value = TypeVar("Value", np.uint8, np.int16, np.float32)
Engine = Literal["rusterize", "rasterio"]

_MANY_VERTICES = 1000
# How near to a centre an edge is taken to lie on it, in pixels; far above what rounding moves it
# and far below what anyone maps.
_TIE_PX = 1e-6
# Edges between points of a lattice run through centres again and again. Lattices of tenths,
# twelfths and sixteenths of a pixel are looked out for, and those of hundredths of the CRS's unit,
# to which people round.
_LATTICE, _A_UNIT, _FINEST = 240, 100, 1000
# Far above rounding in pixels, far below what a tie is.
_HAIR_PX = 1e-9
_UNKNOWN = -1


@dataclass(frozen=True, eq=False)
class Encoded:
    """Areas as they are handed to the engines.

    Attributes:
        geometry: (n,) shapely geometries.
        wkb: (n,) the same as well-known binary.
        large: (n,) whether it is worth cutting to the tile first.
    """

    geometry: NDArray[np.object_]
    wkb: NDArray[np.object_]
    large: NDArray[np.bool_]
    _ties: dict[float, NDArray[np.int8]] = field(default_factory=dict, repr=False)

    @classmethod
    def of(cls, geometry: NDArray[np.object_]) -> Encoded:
        """Encode geometries."""
        large = shapely.get_num_coordinates(geometry) > _MANY_VERTICES
        wkb = np.empty(len(geometry), dtype=object)
        wkb[:] = shapely.to_wkb(geometry, output_dimension=2)
        return cls(geometry, wkb, large)

    def has_tie(self, picked: NDArray[np.intp], tile: Tile) -> bool:
        """Whether an edge of the picked shapes may run through the centre of a pixel; see `_tied`.

        The pixels of all tiles of a grid are in line with its origin, so there each shape is looked
        at once and not for every tile.
        """
        side = tile.transform.a
        corner = np.array([tile.transform.c, tile.transform.f]) / side
        if np.abs(corner - np.rint(corner)).max() > _TIE_PX:
            return bool(_tied(self.geometry[picked], tile).any())
        known = self._ties.setdefault(side, np.full(len(self.geometry), _UNKNOWN, np.int8))
        unknown = picked[known[picked] == _UNKNOWN]
        if len(unknown):
            known[unknown] = _tied(self.geometry[unknown], tile)
        return bool(known[picked].any())


def burn(
    shapes: NDArray[np.object_], values: NDArray[Value], tile: Tile, engine: Engine | None = None
) -> NDArray[Value]:
    """Values of areas on the tile's pixels, (rows, cols) of their type; 0 where there is none.

    A pixel takes the value of an area that holds its centre (GDAL's rule for polygons); later areas
    cover earlier ones.

    Args:
        shapes: (n,) valid polygons in the tile's CRS.
        values: (n,) their values.
        tile: The tile.
        engine: What burns; by default rusterize where it is installed.
    """
    every = np.arange(len(shapes))
    return burn_encoded(Encoded.of(np.asarray(shapes, dtype=object)), every, values, tile, engine)


def burn_encoded(
    shapes: Encoded,
    picked: NDArray[np.intp],
    values: NDArray[Value],
    tile: Tile,
    engine: Engine | None = None,
) -> NDArray[Value]:
    """The same of shapes that are encoded once for many tiles.

    Args:
        shapes: All the shapes.
        picked: (m,) positions of those to burn, in order.
        values: (m,) their values.
        tile: The tile.
        engine: What burns; by default rusterize where it is installed.
    """
    if not len(picked):
        return np.zeros(tile.shape, values.dtype)
    if shapes.has_tie(picked, tile):
        return _rasterio_on_pixels(shapes, picked, values, tile)
    if (engine or default_engine()) == "rusterize":
        burned = _rusterize(shapes, picked, values, tile)
        if burned is not None:
            return burned
    return _rasterio(_near(shapes, picked, tile), values, tile.shape, tile.transform)


@lru_cache
def default_engine() -> Engine:
    """What burns unless something else is asked for."""
    return "rusterize" if _rusterize_function() is not None else "rasterio"


@lru_cache
def _rusterize_function() -> Any:
    try:
        return importlib.import_module("rusterize").rusterize
    except ImportError:
        return None


def _tied(shapes: NDArray[np.object_], tile: Tile) -> NDArray[np.bool_]:
    """Of which shapes an edge may run through the centre of a pixel, or of many, (n,).

    That is so for level and upright edges on a row or column of centres, and for others where both
    ends are on a lattice that the pixels' edges are on as well.
    """
    xy, owner = shapely.get_coordinates(shapes, return_index=True)
    x = (xy[:, 0] - tile.transform.c) / tile.transform.a
    y = (tile.transform.f - xy[:, 1]) / tile.transform.a
    tied = np.zeros(len(shapes), dtype=bool)
    for lattice in _lattices(tile.transform.a):
        on_x, on_y = _on_lattice(x, lattice), _on_lattice(y, lattice)
        tied[owner[np.intersect1d(on_x, on_y, assume_unique=True)]] = True
        if lattice == _LATTICE:  # it has the centres on it
            tied[owner[_straight(x, on_x)]] = True
            tied[owner[_straight(y, on_y)]] = True
    return tied


def _lattices(side: float) -> tuple[int, ...]:
    """Steps a pixel of the lattices that are looked out for, for pixels of a side in the CRS."""
    steps = round(side * _A_UNIT)
    is_whole = 0 < steps <= _FINEST and abs(side * _A_UNIT - steps) < _TIE_PX
    return (_LATTICE, steps) if is_whole and _LATTICE % steps else (_LATTICE,)


def _on_lattice(pixels: NDArray[np.float64], lattice: int) -> NDArray[np.intp]:
    """Positions of the numbers that are a multiple of a lattice's step."""
    steps = pixels * lattice
    steps -= np.rint(steps)
    np.abs(steps, out=steps)
    return np.flatnonzero(steps < lattice * _TIE_PX)


def _straight(pixels: NDArray[np.float64], candidates: NDArray[np.intp]) -> NDArray[np.intp]:
    """Those of the candidates that are on a centre, with the next point level with it."""
    at = candidates[candidates + 1 < len(pixels)]
    here = pixels[at]
    on_centre = np.abs(here - np.floor(here) - 0.5) < _TIE_PX
    return at[on_centre & (np.abs(pixels[at + 1] - here) < _TIE_PX)]


def _near(shapes: Encoded, picked: NDArray[np.intp], tile: Tile) -> NDArray[np.object_]:
    """Shapes, the large ones cut to what lies around the tile.

    The shore of a lake is not gone along for every tile. The cut is made off the tile, where it
    moves no edge by more than rounding does.
    """
    near = shapes.geometry[picked]
    large = np.flatnonzero(shapes.large[picked])
    if len(large):
        left, bottom, right, top = tile.bounds
        margin = 2 * tile.transform.a
        near[large] = shapely.clip_by_rect(
            near[large], left - margin, bottom - margin, right + margin, top + margin
        )
    return near


def _rasterio_on_pixels(
    shapes: Encoded, picked: NDArray[np.intp], values: NDArray[Value], tile: Tile
) -> NDArray[Value]:
    """The same where edges run through centres: there GDAL's rule decides, and not rounding.

    A centre on an edge belongs to the area to the west of it, as though the area lay a hair further
    east; centres on a level edge belong to both sides. Large shapes are set on the lattice before
    they are cut, since a cut moves their edges by what rounding leaves.
    """
    corner, side = (tile.transform.c, tile.transform.f), tile.transform.a
    hair = np.array([_HAIR_PX, 0.0])

    def exact(xy: NDArray[np.float64]) -> NDArray[np.float64]:
        pixels = (xy - corner) / (side, -side)
        moved = pixels.copy()
        for lattice in reversed(_lattices(side)):
            near = np.rint(pixels * lattice) / lattice
            moved = np.where(np.abs(pixels - near) < _TIE_PX, near, moved)
        exactly: NDArray[np.float64] = moved + hair
        return exactly

    on_pixels = shapely.transform(shapes.geometry[picked], exact)
    large = shapes.large[picked]
    if large.any():
        rows, cols = tile.shape
        on_pixels[large] = shapely.clip_by_rect(on_pixels[large], -2, -2, cols + 2, rows + 2)
    return _rasterio(on_pixels, values, tile.shape, Affine.identity())


def _rasterio(
    shapes: NDArray[np.object_], values: NDArray[Value], shape: tuple[int, int], transform: Affine
) -> NDArray[Value]:
    there = ~shapely.is_empty(shapes)
    if not there.any():
        return np.zeros(shape, values.dtype)
    with warnings.catch_warnings():
        # Pixels have no place on Earth, and need none.
        warnings.simplefilter("ignore", rasterio.errors.NotGeoreferencedWarning)
        burned: NDArray[Value] = rasterio.features.rasterize(
            zip(shapes[there], values[there].tolist(), strict=True),
            out_shape=shape,
            transform=transform,
            dtype=values.dtype,
            all_touched=False,
        )
    return burned


def _rusterize(
    shapes: Encoded, picked: NDArray[np.intp], values: NDArray[Value], tile: Tile
) -> NDArray[Value] | None:
    """What rusterize makes of it; None where it refuses, as when no shape meets the tile."""
    wkb = shapes.wkb[picked]
    large = np.flatnonzero(shapes.large[picked])
    if len(large):
        cut = _near(shapes, picked[large], tile)
        wkb[large] = shapely.to_wkb(cut)
        there = np.ones(len(picked), dtype=bool)
        there[large] = ~shapely.is_empty(cut)
        wkb, values = wkb[there], values[there]
    try:
        burned: NDArray[Value] = _rusterize_function()(
            wkb.tolist(),
            out_shape=tile.shape,
            extent=tile.bounds,
            burn=values,
            background=0,
            encoding="numpy",
            dtype=values.dtype.name,
        )[0]
    except ValueError:
        return None
    return burned
