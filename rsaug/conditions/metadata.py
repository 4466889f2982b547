"""Metadata of a tile: where it lies, how large its pixels are, when it was taken.

Place and GSD follow from the tile. The date and the cloud cover of a real image are looked for in
what lies in and beside its file, and the record says where each was found.
"""

from __future__ import annotations

import datetime as dt
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import rasterio
from affine import Affine
from pyproj import CRS, Geod
from pyproj.exceptions import CRSError

from rsaug.errors import InputError
from rsaug.grid import Tile, linear_unit_m, to_lonlat
from rsaug.jsontext import parse_json
from rsaug.raster import open_image
from rsaug.rasterfile import tags_of

# Names of tags, in lower case and without marks, from the surest to the least sure. GDAL's domain
# IMAGERY, then Landsat's, Sentinel-2's and STAC's names.
_DATE_TAGS = (
    "acquisitiondatetime",
    "acquisitiondate",
    "dateacquired",
    "sensingtime",
    "datatakesensingstart",
    "productstarttime",
    "firstlinetime",
    "startdatetime",
    "datetime",
)
_CLOUD_TAGS = ("cloudcover", "eocloudcover", "cloudcoverageassessment", "cloudcoverpercentage")
_TIFF_DATE = "tifftagdatetime"

_IN_TEXT = re.compile(r"(\d{4})[-:/_.]?(\d{2})[-:/_.]?(\d{2})(?!\d)")
_IN_NAME = re.compile(r"(?<!\d)((?:19|20)\d{2})([-_.]?)(\d{2})\2(\d{2})(?!\d)")
_FIRST_YEAR = 1900
_MOST_STAC_BYTES = 2**20


@dataclass(frozen=True)
class TileMetadata:
    """What is known of a tile besides its pixels; None where it is not known.

    Attributes:
        longitude: Of the centre, in degrees, WGS 84.
        latitude: Of the centre, in degrees, WGS 84.
        gsd_m: Side of a pixel in metres.
        date: The day it was, or is to look, taken.
        cloud_cover: In percent.
        found_in: Where the date and the cloud cover are from, by field.
        ignored: What looked like one and could not be used, with the reason.
    """

    longitude: float | None = None
    latitude: float | None = None
    gsd_m: float | None = None
    date: dt.date | None = None
    cloud_cover: float | None = None
    found_in: Mapping[str, str] = field(default_factory=dict)
    ignored: tuple[str, ...] = ()

    @classmethod
    def of(
        cls, tile: Tile, date: dt.date | None = None, cloud_cover: float | None = None
    ) -> TileMetadata:
        """The metadata of a tile.

        Raises:
            InputError: if the cloud cover is no percentage.
        """
        if cloud_cover is not None and not 0 <= cloud_cover <= 100:
            raise InputError(f"The cloud cover is {cloud_cover}; give percent, from 0 to 100.")
        longitude, latitude = tile.lonlat
        return cls(longitude, latitude, tile.gsd_m, date, cloud_cover)

    @classmethod
    def from_image(cls, path: Path | str) -> TileMetadata:
        """The metadata of an image file.

        The date is that of the first of these which holds one: a tag of the file with a name for
        the acquisition (GDAL's, Landsat's, Sentinel-2's, STAC's), a STAC Item beside the file
        (``tile.json`` for ``tile.tif``), the TIFF tag DateTime, which may be that of processing,
        and the first date in the file's name. The cloud cover is looked for in the first two.

        Raises:
            InputError: if the file cannot be read as an image.
        """
        path = Path(path)
        with open_image(path) as src:
            tags = _tags(src)
            longitude, latitude, gsd_m = _place(src)
        search = _Search(tags, _stac_properties(path), path)
        date, cloud_cover = search.date(), search.cloud_cover()
        found = {"date": date, "cloud_cover": cloud_cover}
        return cls(
            longitude,
            latitude,
            gsd_m,
            dt.date.fromisoformat(date[0]) if date else None,
            float(cloud_cover[0]) if cloud_cover else None,
            {name: value[1] for name, value in found.items() if value},
            tuple(search.ignored),
        )

    def to_fields(self) -> dict[str, float]:
        """The numbers that models are given, by CRS-Diff's names; what is not known is left out."""
        day = self.date
        fields = {
            "year": float(day.year) if day else None,
            "month": float(day.month) if day else None,
            "day": float(day.day) if day else None,
            "gsd": self.gsd_m,
            "cloud_cover": self.cloud_cover,
            "latitude": self.latitude,
            "longitude": self.longitude,
        }
        return {name: value for name, value in fields.items() if value is not None}


class _Search:
    """A search for a date and a cloud cover; what cannot be used is kept in ``ignored``.

    What is found comes as its text and where it was.
    """

    def __init__(
        self, tags: Mapping[str, tuple[str, str]], stac: Mapping[str, Any], path: Path
    ) -> None:
        self._tags, self._stac, self._path = tags, stac, path
        self.ignored: list[str] = []

    def date(self) -> tuple[str, str] | None:
        """The date in ISO's form."""
        for where, text in self._dates():
            match = _IN_TEXT.match(text.strip())
            try:
                day = dt.date(*(int(part) for part in match.groups())) if match else None
            except ValueError:
                day = None
            if day is not None and day.year >= _FIRST_YEAR:
                return day.isoformat(), where
            self.ignored.append(f"{where}: {text[:40]!r} is no date")
        return None

    def cloud_cover(self) -> tuple[str, str] | None:
        """The cloud cover in percent."""
        for where, text in self._of_names(_CLOUD_TAGS):
            try:
                share = float(text.strip().rstrip("%"))
            except ValueError:
                share = math.nan
            if 0 <= share <= 100:
                return repr(share), where
            self.ignored.append(f"{where}: {text[:40]!r} is no percentage")
        return None

    def _dates(self) -> Iterator[tuple[str, str]]:
        yield from self._of_names(_DATE_TAGS)
        if _TIFF_DATE in self._tags:
            name, text = self._tags[_TIFF_DATE]
            yield f"tag {name}", text
        for year, _, month, day in _IN_NAME.findall(self._path.stem):
            yield "file name", f"{year}-{month}-{day}"

    def _of_names(self, names: tuple[str, ...]) -> Iterator[tuple[str, str]]:
        for name in names:
            if name in self._tags:
                shown, text = self._tags[name]
                yield f"tag {shown}", text
        for name in names:
            for shown, value in self._stac.items():
                if _plain(shown) == name and isinstance(value, str | int | float):
                    yield f"STAC Item, {shown}", str(value)


def _tags(src: rasterio.DatasetReader) -> dict[str, tuple[str, str]]:
    """Tags of a file by their plain names: the name as it is there, and the text."""
    found: dict[str, tuple[str, str]] = {}
    for domain in (None, "IMAGERY"):
        for name, text in tags_of(src, domain).items():
            found.setdefault(_plain(name), (name, text))
    return found


def _plain(name: str) -> str:
    return re.sub("[^a-z0-9]", "", name.lower())


def _stac_properties(path: Path) -> Mapping[str, Any]:
    """Properties of the STAC Item beside an image, if there is one."""
    beside = path.with_suffix(".json")
    try:
        if beside.stat().st_size > _MOST_STAC_BYTES:
            return {}
        item = parse_json(beside.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    if not (isinstance(item, dict) and item.get("type") == "Feature" and "stac_version" in item):
        return {}
    properties = item.get("properties")
    return properties if isinstance(properties, dict) else {}


def _place(src: rasterio.DatasetReader) -> tuple[float | None, float | None, float | None]:
    """Longitude, latitude and GSD of an image's centre; None where it has no place."""
    if src.crs is None or src.transform.is_identity:
        return None, None, None
    try:
        crs = CRS.from_wkt(src.crs.to_wkt())
        to_degrees = to_lonlat(crs)
    except (CRSError, InputError):
        return None, None, None
    row, col = src.height / 2, src.width / 2
    x, y = _on_map(src.transform, col, row)
    longitude, latitude = to_degrees.transform(x, y)
    if not (math.isfinite(longitude) and math.isfinite(latitude)):
        return None, None, None
    if crs.is_projected:
        # As the tile of the same pixels has it: metres of the CRS.
        gsd_m = math.sqrt(abs(src.transform.determinant)) * linear_unit_m(crs)
        return longitude, latitude, gsd_m
    pixel = ((0, 0), (1, 0), (1, 1), (0, 1))
    corners = [_on_map(src.transform, col + right, row + down) for right, down in pixel]
    lon, lat = to_degrees.transform([x for x, _ in corners], [y for _, y in corners])
    area_m2, _ = Geod(ellps="WGS84").polygon_area_perimeter(lon, lat)
    return longitude, latitude, math.sqrt(abs(area_m2))


def _on_map(transform: Affine, col: float, row: float) -> tuple[float, float]:
    """(x, y) of a place in pixels; affine's own product is spelt differently in its versions."""
    x = transform.a * col + transform.b * row + transform.c
    y = transform.d * col + transform.e * row + transform.f
    return x, y
