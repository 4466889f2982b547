"""What the Python functions are asked, as the options of the commands say it.

A layer is a name, as the commands take it, or a GeoDataFrame; numbers, pairs and mappings are what
Python has for them.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any, TypeAlias, TypeVar

import geopandas as gpd
import numpy as np
from pyproj import CRS

from rsaug.errors import InputError
from rsaug.options import ConditionsOptions, SceneOptions, SynthOptions
from rsaug.scene_reader import Frame

LayerLike: TypeAlias = "str | Path | gpd.GeoDataFrame | gpd.GeoSeries"
"""A layer: as the commands name it, or features in memory."""

AreaLike: TypeAlias = "LayerLike | tuple[float, float, float, float]"
"""An area of interest: areas, or (west, south, east, north) in degrees."""

Options = TypeVar("Options", SynthOptions, ConditionsOptions)

_OF_THE_COMMAND = {
    "out": "save what comes back instead",
    "all": "nothing is made before it is asked for, so no number is too large",
    "mosaic": "to_xarray puts the tiles together",
    "config": "give the options of the record as they are",
}


def read_options(
    kind: type[Options], function: str, given: Mapping[str, object]
) -> tuple[Options, dict[str, Frame]]:
    """Options as a command has them, and the layers that are in memory.

    Args:
        kind: Whose options they are.
        function: Who is asked, for messages.
        given: Options by name; None where nothing is said.

    Returns:
        The options, in which a layer in memory is called by the option's name, and these layers.

    Raises:
        TypeError: for an option that there is not.
        InputError: for a value that is none.
    """
    known = {field.name for field in fields(kind)} - _OF_THE_COMMAND.keys()
    values: dict[str, Any] = {}
    frames: dict[str, Frame] = {}
    for name, value in given.items():
        if name not in known:
            hint = f"; {_OF_THE_COMMAND[name]}" if name in _OF_THE_COMMAND else ""
            raise TypeError(f"{function}() has no option {name!r}{hint}.")
        if isinstance(value, gpd.GeoDataFrame | gpd.GeoSeries):
            if name not in (*SceneOptions.layers, "aoi"):
                raise InputError(f"{name} is a file; write the features to one and give its path.")
            frames[name] = value
            values[name] = name
        elif value is not None:
            values[name] = _plain(name, value)
    return kind(**values), frames


def _plain(name: str, value: object) -> object:
    """A value as a command has it."""
    if name == "crs":
        return value if isinstance(value, str) else _crs(value)
    if name == "date":
        return _date(value)
    if name == "control_region":
        return _regions(value)
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, Mapping):
        return ",".join(f"{key}={_of_control(name, entry)}" for key, entry in value.items())
    if isinstance(value, str | bool) or not isinstance(value, Iterable):
        return value
    parts = [part if isinstance(part, str) else _number(part) for part in value]
    return ("-" if name == "guidance_interval" else ",").join(parts)


def _of_control(name: str, value: object) -> str:
    """What is said of one control: a number, or an interval."""
    if isinstance(value, str):
        return value
    if isinstance(value, Iterable):
        return "-".join(map(_number, value))
    return _number(value)


def _number(value: object) -> str:
    """A number as text that is read back as the same, without an exponent."""
    if isinstance(value, bool) or not isinstance(value, int | float | np.number):
        raise InputError(f"{value!r} is no number.")
    return np.format_float_positional(float(value), trim="-")


def _regions(value: object) -> tuple[str, ...]:
    if isinstance(value, Mapping):
        return tuple(f"{name}={path}" for name, path in value.items())
    if isinstance(value, str):
        return (value,)
    if isinstance(value, Iterable):
        return tuple(map(str, value))
    raise InputError(f"Regions are files by control, not {value!r}.")


def _crs(value: object) -> str:
    crs = CRS.from_user_input(value)
    authority = crs.to_authority()
    return ":".join(authority) if authority else crs.to_wkt()


def _date(value: object) -> dt.date:
    if isinstance(value, dt.datetime):
        return value.date()
    if isinstance(value, dt.date):
        return value
    try:
        return dt.date.fromisoformat(str(value))
    except ValueError as error:
        raise InputError(f"{value!r} is no date; write it as 2024-06-01.") from error
