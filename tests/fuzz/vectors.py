"""Targets: layers of vectors in every format that is read."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from fuzz.mutations import Sample, mutated_bytes
from fuzz.targets import BYTES, Run, Target, sample_of

_STEM = "layer"


def _change_start(rng: random.Random, content: bytes) -> bytes:
    """Bytes changed, as a rule behind what the format is told by."""
    if rng.random() < 0.1:
        return mutated_bytes(rng, content)
    keep = min(16, len(content))
    return content[:keep] + mutated_bytes(rng, content[keep:])


def _change_extract(rng: random.Random, content: bytes) -> bytes:
    """An extract of which a block is changed and packed again, or whose bytes are others."""
    from fuzz.pbf import extract

    if rng.random() < 0.3:
        return _change_start(rng, content)
    return extract(change=lambda block: mutated_bytes(rng, block) if rng.random() < 0.8 else block)


def _layers(folder: Path, suffix: str) -> list[Sample]:
    """Layers of roads and of areas, as geopandas writes them in a format."""
    import geopandas as gpd
    from shapely.geometry import LineString, MultiLineString, Polygon

    line = LineString([(24.94, 60.166), (24.941, 60.1665), (24.943, 60.166)])
    hole = [(24.9411, 60.1661), (24.9412, 60.1662), (24.9412, 60.1661)]
    area = Polygon([(24.94, 60.166), (24.944, 60.168), (24.945, 60.166)], [hole])
    roads = gpd.GeoDataFrame(
        {
            "highway": ["residential", "primary", None],
            "width": ["7.5 m", "24 ft", ""],
            "lanes": [2, 1, None],
            "tags": ['"layer"=>"1"', '{"bridge": "yes"}', None],
        },
        geometry=[line, MultiLineString([line.coords, [(24.9, 60.1), (24.91, 60.11)]]), None],
        crs=4326,
    )
    areas = gpd.GeoDataFrame({"natural": ["wood"], "prompt": ["a"]}, geometry=[area], crs=4326)
    samples = []
    for number, frame in enumerate((roads, areas, roads.to_crs(32635))):
        place = folder / f"{suffix[1:]}{number}"
        place.mkdir()
        path = place / f"{_STEM}{suffix}"
        if suffix == ".parquet":
            frame.to_parquet(path, write_covering_bbox=number == 0)
        elif suffix in (".shp", ".fgb"):
            frame.dropna(subset="geometry").to_file(path)
        else:
            frame.to_file(path)
        samples.append(sample_of(place))
    return samples


def _osm(folder: Path) -> list[Sample]:
    """A small extract, one node block, ways and a relation, put together by hand.

    https://wiki.openstreetmap.org/wiki/PBF_Format
    """
    from fuzz.pbf import extract

    return [{f"{_STEM}.osm.pbf": extract()}]


def _zips(folder: Path) -> list[Sample]:
    import io
    import zipfile

    samples = []
    for parts in _layers(folder, ".shp"):
        file = io.BytesIO()
        with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, content in parts.items():
                archive.writestr(name, content)
        samples.append({f"{_STEM}.zip": file.getvalue()})
    return samples


def _prepare(
    make: Callable[[Path], list[Sample]], suffix: str, folder: Path
) -> tuple[Sequence[Sample], Run]:
    from pyproj import CRS

    from rsaug.errors import RsaugError
    from rsaug.sources import open_source
    from rsaug.vectors import clean

    utm = CRS.from_epsg(32635)
    window = (24.9, 60.1, 24.942, 60.17)

    def run(place: Path) -> None:
        path = place / f"{_STEM}{suffix}"
        for kind in ("lines", "areas"):
            try:
                source = open_source(path, kind=kind)
                source.info()
                source.read(window)
                clean(source.read(), utm)
            except RsaugError:
                continue

    return make(folder), run


def _target(name: str, what: str, suffix: str, make: Callable[[Path], list[Sample]]) -> Target:
    changes = {".geojson": BYTES, ".osm.pbf": {"*": _change_extract}}
    return Target(
        name, what, partial(_prepare, make, suffix), changes.get(suffix, {"*": _change_start})
    )


def _written(name: str, what: str, suffix: str) -> Target:
    return _target(name, what, suffix, partial(_layers, suffix=suffix))


TARGETS = (
    _written("geojson", "GeoJSON", ".geojson"),
    _written("gpkg", "GeoPackage", ".gpkg"),
    _written("flatgeobuf", "FlatGeobuf", ".fgb"),
    _written("shapefile", "Shapefile", ".shp"),
    _target("zipped-shapefile", "Shapefile in a zip file", ".zip", _zips),
    _written("geoparquet", "GeoParquet", ".parquet"),
    _target("osm-pbf", "OSM PBF", ".osm.pbf", _osm),
)
