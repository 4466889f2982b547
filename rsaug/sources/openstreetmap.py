"""Live OpenStreetMap: Overpass and Nominatim, asked by way of osmnx."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, TypeVar

import geopandas as gpd
import numpy as np
import pandas as pd
import shapely
from pyproj import CRS
from shapely.geometry.base import BaseGeometry

from rsaug.errors import InputError
from rsaug.optional import require
from rsaug.sources.base import Bounds, Kind, SourceInfo, first_line
from rsaug.sources.frames import Kept
from rsaug.sources.tags import AREA_KEYS, LINE_KEYS

if TYPE_CHECKING:
    from requests import Response

Answer = TypeVar("Answer")
Tags = Mapping[str, bool | list[str]]

ATTRIBUTION = "© OpenStreetMap contributors, ODbL 1.0, https://www.openstreetmap.org/copyright"
"""What the licence of the data asks to be shown with what is made of it."""

# Where to ask, and for how long to wait for an answer.
_OVERPASS_VARIABLE, _NOMINATIM_VARIABLE = "RSAUG_OVERPASS_URL", "RSAUG_NOMINATIM_URL"
_TIMEOUT_S = 180
# What a busy server is granted when it does not say how long it wants to be left alone.
_PAUSES_S = (5.0, 20.0)
_LONGEST_PAUSE_S = 60.0
_BUSY = (429, 504)

_LAYERS: Mapping[str, Tags] = {
    "lines": {"highway": True},
    "areas": {
        "landuse": True,
        "natural": True,
        "leisure": True,
        "building": True,
        "water": True,
        "wetland": True,
        "waterway": ["riverbank", "dock"],
        "area:highway": True,
        "aeroway": True,
        "amenity": True,
        "tourism": True,
        "man_made": True,
    },
    "buildings": {"building": True, "building:part": True},
}
_DEGREES = CRS.from_epsg(4326)


class _Refused(Exception):
    """A server's answer that is none.

    Args:
        why: What to tell.
        pause_s: How long to wait where asking again may help; below 0 where the server does not
            say; None where it does not help.
    """

    def __init__(self, why: str, pause_s: float | None = None) -> None:
        super().__init__(why)
        self.pause_s = pause_s


class OpenStreetMapSource:
    """What OpenStreetMap holds of a place now; see `VectorSource`.

    Nothing is asked before the first read. Answers are kept, in memory for smaller windows and by
    osmnx in the user's cache folder.

    Args:
        spec: ``osm``, ``osm:west,south,east,north`` or ``osm:name of a place``; the layer can be
            named after a bar, as in ``osm|layername=buildings``.
        layer: ``lines`` (roads), ``areas`` (land cover and buildings) or ``buildings``.
        kind: What the layer is wanted for, where none is named: lines or areas.
        area: (west, south, east, north) in degrees: the place that ``osm`` alone stands for.

    Raises:
        InputError: if no place or no such layer is named.
        MissingExtra: if osmnx is not installed.
    """

    windowed = False
    count: int | None = None
    crs = _DEGREES
    attribution = ATTRIBUTION

    def __init__(
        self,
        spec: str,
        *,
        layer: str | None = None,
        kind: Kind | None = None,
        area: Bounds | None = None,
    ) -> None:
        name, _, suffix = spec.partition("|layername=")
        self.spec = spec
        self.layer = layer or suffix or kind or "lines"
        if self.layer not in _LAYERS:
            raise InputError(f"{name} has no layer {self.layer!r}; it has {list(_LAYERS)}.")
        _, _, place = name.partition(":")
        box = _box(place)
        self._place = "" if box else place.strip()
        self._area = box or area
        # What `osm` alone stands for grows with what is asked for; a place that is named does not.
        self._bounded = bool(place.strip())
        if self._area is None and not self._place:
            raise InputError(
                "osm needs a place: give an area of interest, or osm:west,south,east,north, or "
                "osm:Helsinki, Finland."
            )
        self._kept = Kept()
        require("osmnx", extra="osm")

    def info(self) -> SourceInfo:
        """What is known of the layer without asking a server."""
        return SourceInfo(
            format="OpenStreetMap",
            layer=self.layer,
            layers=tuple(_LAYERS),
            crs=self.crs,
            count=None,
            bounds=self._area,
            geometry_types=("LineString",) if self.layer == "lines" else ("Polygon",),
            fields=dict.fromkeys(("osm_id", *self._keys), "str"),
            windowed=self.windowed,
        )

    def read(self, bounds: Bounds | None = None) -> gpd.GeoDataFrame:
        """The features that meet a box, or all of the place; there may be none."""
        kept = self._kept.get(bounds)
        if kept is not None:
            return kept
        whole = bounds is None or self._bounded
        area = self._area if whole else bounds
        with np.errstate(invalid="ignore"):
            frame = self._frame(self._downloaded(area))
        self._kept.put(None if self._bounded else area, frame)
        found = self._kept.get(bounds if bounds is not None else area)
        return frame if found is None else found

    @property
    def _keys(self) -> tuple[str, ...]:
        return LINE_KEYS if self.layer == "lines" else AREA_KEYS

    def _downloaded(self, area: Bounds | None) -> list[gpd.GeoDataFrame]:
        """What the server has, one frame a part of the area."""
        osmnx = require("osmnx", extra="osm")
        with _settings(osmnx):
            if area is None:
                parts = [self._outline(osmnx)]
            else:
                west, south, east, north = area
                halves = [(west, east)] if west <= east else [(west, 180.0), (-180.0, east)]
                parts = [shapely.box(left, south, right, north) for left, right in halves]
            frames = []
            for part in parts:
                try:
                    frames.append(
                        self._asked(osmnx.features.features_from_polygon, part, self._tags)
                    )
                except osmnx._errors.InsufficientResponseError:
                    continue
        return frames

    @property
    def _tags(self) -> dict[str, bool | list[str]]:
        return dict(_LAYERS[self.layer])

    def _outline(self, osmnx: ModuleType) -> BaseGeometry:
        """The outline of the place that is named."""
        try:
            found = self._asked(osmnx.geocoder.geocode_to_gdf, self._place)
        except osmnx._errors.InsufficientResponseError as error:
            raise InputError(
                f"OpenStreetMap knows no place {self._place!r}; write it as in Helsinki, Finland, "
                "or give osm:west,south,east,north."
            ) from error
        except TypeError as error:
            raise InputError(
                f"OpenStreetMap knows {self._place!r} as a point without an outline; give "
                "osm:west,south,east,north."
            ) from error
        return shapely.union_all(found.geometry.to_numpy())

    def _asked(self, ask: Callable[..., Answer], *values: object) -> Answer:
        """An answer; a busy server is asked again after a pause, a few times."""
        from requests.exceptions import RequestException, Timeout

        pauses_s = list(_PAUSES_S)
        while True:
            try:
                return ask(*values)
            except _Refused as error:
                if error.pause_s is None or not pauses_s:
                    raise InputError(f"{self.spec} cannot be read: {error}.") from error
                ours_s = pauses_s.pop(0)
                time.sleep(min(error.pause_s if error.pause_s >= 0 else ours_s, _LONGEST_PAUSE_S))
            except Timeout as error:
                raise InputError(
                    f"{self.spec} cannot be read: no answer within {_TIMEOUT_S} s; ask for a "
                    "smaller area."
                ) from error
            except RequestException as error:
                raise InputError(
                    f"{self.spec} cannot be read: the server is not reached; check the network, or "
                    f"name another one in {_OVERPASS_VARIABLE} and {_NOMINATIM_VARIABLE}, or read "
                    "a file."
                ) from error

    def _frame(self, frames: list[gpd.GeoDataFrame]) -> gpd.GeoDataFrame:
        """Features of the layer's own dimension, with the same columns always, each once."""
        text = pd.Series(["text"]).dtype
        parts = [self._columns(frame) for frame in frames] or [self._columns(_nothing())]
        frame = pd.concat(parts)
        frame = frame[~frame["osm_id"].duplicated()].sort_values("osm_id", ignore_index=True)
        columns = {name: frame[name].astype(text) for name in ("osm_id", *self._keys)}
        return gpd.GeoDataFrame(columns, geometry=frame.geometry.to_numpy(), crs=self.crs)

    def _columns(self, frame: gpd.GeoDataFrame) -> gpd.GeoDataFrame:
        dimension = shapely.get_dimensions(frame.geometry.to_numpy())
        # Stops and crossings are points of a road, and a closed road is a line: a square, say, is
        # an area.
        frame = frame[dimension >= 1 if self.layer == "lines" else dimension == 2]
        ids = [f"{element}/{number}" for element, number in frame.index]
        columns: dict[str, Any] = {"osm_id": ids}
        for key in self._keys:
            values = frame[key] if key in frame else pd.Series(None, frame.index, dtype=object)
            columns[key] = values.astype(object).where(values.notna(), None).to_numpy()
        data = pd.DataFrame(columns, index=range(len(frame)), dtype=object)
        return gpd.GeoDataFrame(data, geometry=frame.geometry.to_numpy(), crs=self.crs)


def cache_folder() -> Path:
    """Where the answers of OpenStreetMap's servers are kept."""
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(home) / "rsaug" / "openstreetmap"


def _nothing() -> gpd.GeoDataFrame:
    """No feature, as osmnx would give it."""
    index = pd.MultiIndex.from_arrays([[], []], names=["element", "id"])
    return gpd.GeoDataFrame(geometry=gpd.GeoSeries([], crs=_DEGREES, index=index))


def _box(place: str) -> Bounds | None:
    """The box that four numbers name; None where it is not four numbers."""
    try:
        west, south, east, north = map(float, place.split(","))
    except ValueError:
        return None
    if not (-180 <= west <= 180 and -180 <= east <= 180 and -90 <= south < north <= 90):
        raise InputError(
            f"osm:{place} is no box in degrees: west,south,east,north is needed, with south below "
            "north."
        )
    return west, south, east, north


@contextmanager
def _settings(osmnx: ModuleType) -> Iterator[None]:
    """Settings of osmnx, which are global, as they are needed here, for a while.

    osmnx waits and asks again without end when a server is busy, and takes what a query that was
    broken off has brought for the answer; the hook is there before it.
    """
    overpass, nominatim = (
        os.environ.get(name) for name in (_OVERPASS_VARIABLE, _NOMINATIM_VARIABLE)
    )
    settings = osmnx.settings
    wanted: dict[str, Any] = {
        "cache_folder": cache_folder(),
        "use_cache": True,
        "requests_timeout": _TIMEOUT_S,
        "requests_kwargs": settings.requests_kwargs | {"hooks": {"response": _looked_at}},
        "overpass_url": overpass or settings.overpass_url,
        "nominatim_url": nominatim or settings.nominatim_url,
        # Only the public servers have a page that says when to ask again.
        "overpass_rate_limit": overpass is None,
        # A name that cannot be resolved is not asked for elsewhere.
        "doh_url_template": None,
    }
    before = {name: getattr(settings, name) for name in wanted}
    resolver = socket.getaddrinfo
    for name, value in wanted.items():
        setattr(settings, name, value)
    try:
        yield
    finally:
        for name, value in before.items():
            setattr(settings, name, value)
        # osmnx replaces it for the whole process.
        socket.getaddrinfo = resolver


def _looked_at(response: Response, *_: object, **__: object) -> None:
    """Refuse an answer that is none, before osmnx looks at it."""
    from urllib.parse import urlsplit

    host = urlsplit(response.url).netloc
    if response.status_code in _BUSY:
        wanted = response.headers.get("Retry-After", "")
        pause_s = float(wanted) if wanted.isdigit() else -1.0
        raise _Refused(
            f"{host} is busy or limits how often it is asked (status {response.status_code}); try "
            "again later or ask for a smaller area",
            pause_s,
        )
    if response.status_code >= 400:
        raise _Refused(f"{host} answered with status {response.status_code} {response.reason}")
    if response.is_redirect:
        return
    try:
        answer = response.json()
    except ValueError:
        if response.url.rstrip("/").endswith("/status"):
            return
        raise _Refused(f"{host} answered with something other than JSON") from None
    remark = str(answer.get("remark", "")) if isinstance(answer, dict) else ""
    if "error" in remark.lower():
        raise _Refused(
            f"{host} broke the query off ({first_line(ValueError(remark))}); ask for a smaller area"
        )
