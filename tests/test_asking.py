"""Options from Python: said as the commands say them."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyproj import CRS
from shapely.geometry import Point

from rsaug.asking import read_options
from rsaug.control_uses import read_interval, read_uses
from rsaug.errors import InputError
from rsaug.options import ConditionsOptions, SynthOptions


def asked(**given: Any) -> SynthOptions:
    return read_options(SynthOptions, "f", {"roads": "roads.gpkg", **given})[0]


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("roads", Path("a/b.gpkg"), str(Path("a/b.gpkg"))),
        ("aoi", (24.9, 60.1, 25, 60.2), "24.9,60.1,25,60.2"),
        ("aoi", np.array([24.5, -60.5, 25.0, 1e-7]), "24.5,-60.5,25,0.0000001"),
        ("controls", ["road", "seg"], "road,seg"),
        ("controls", "road", "road"),
        ("control_strength", {"road": 1.5, "seg": 2}, "road=1.5,seg=2"),
        ("control_interval", {"hed": (0, 0.5)}, "hed=0-0.5"),
        ("control_interval", {"hed": "0-0.5"}, "hed=0-0.5"),
        ("control_region", {"seg": Path("p.tif")}, ("seg=p.tif",)),
        ("control_region", ["seg=p.tif"], ("seg=p.tif",)),
        ("height_range", (0, 27.5), "0,27.5"),
        ("guidance_interval", (0, 0.6), "0-0.6"),
        ("crs", 32635, "EPSG:32635"),
        ("crs", CRS.from_epsg(3067), "EPSG:3067"),
        ("date", "2024-06-01", dt.date(2024, 6, 1)),
        ("date", dt.datetime(2024, 6, 1, 12), dt.date(2024, 6, 1)),
        ("seamless", True, True),
        ("steps", 5, 5),
    ],
)
def test_values_are_said_as_the_commands_say_them(name: str, value: object, said: object) -> None:
    assert getattr(asked(**{name: value}), name) == said


@given(
    st.floats(0, 1, exclude_max=True),
    st.floats(0, 1),
    st.floats(0, 10, allow_subnormal=False),
)
def test_numbers_come_back_as_they_were(low: float, high: float, strength: float) -> None:
    low, high = sorted((low, high))
    text = asked(guidance_interval=(low, high)).guidance_interval
    assert text is not None
    assert read_interval(text) == (low, high)
    assert read_uses(asked(control_strength={"road": strength}).control_strength, None, ())[
        "road"
    ].strength == pytest.approx(strength, rel=0)


def test_layers_in_memory_are_kept_apart() -> None:
    frame = gpd.GeoDataFrame(geometry=[Point(0, 0)], crs=4326)
    options, frames = read_options(ConditionsOptions, "f", {"roads": frame, "aoi": frame.geometry})
    assert (options.roads, options.aoi) == ("roads", "aoi")
    assert frames["roads"] is frame
    assert set(frames) == {"roads", "aoi"}
    with pytest.raises(InputError, match="style is a file"):
        asked(style=frame)


@pytest.mark.parametrize(
    ("name", "value"), [("aoi", (1, "x", 2, None)), ("control_strength", {"road": True})]
)
def test_what_is_no_number_is_refused(name: str, value: object) -> None:
    with pytest.raises(InputError):
        asked(**{name: value})
