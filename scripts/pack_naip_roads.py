"""Pack our road vectors of the NAIP tiles as the package carries them.

    python scripts/pack_naip_roads.py DATA/naip-roads

Coordinates are those of the folder, to eight decimals of a degree, a millimetre.
"""

from __future__ import annotations

import argparse
import gzip
import json
from pathlib import Path
from typing import Any

import pandas as pd

TARGET = Path(__file__).parents[1] / "downstream" / "datasets" / "naip_roads"
TAGS = ("place", "highway", "service", "railway", "width")
DECIMALS = 8


def packed_roads(path: Path) -> bytes:
    """The lines with the tags that decide whether and how wide they are."""
    content = json.loads(path.read_text(encoding="utf-8"))
    features = [_feature(feature) for feature in content["features"]]
    collection = {"type": "FeatureCollection", "features": features}
    return json.dumps(collection, separators=(",", ":")).encode()


def packed_tiles(folder: Path) -> bytes:
    """Where each tile lies, its split, and the year that its place was digitized on."""
    index = pd.read_csv(folder / "index.csv")
    years = pd.read_csv(folder / "captions.csv")[["place", "image_year"]]
    table = index[index["digitized"]].merge(years, on="place", validate="many_to_one")
    table[["left", "top"]] = table[["left", "top"]].round(3)
    columns = ["id", "place", "city", "year", "split", "epsg", "left", "top", "image_year"]
    return table.sort_values("id")[columns].to_csv(index=False).encode()


def _feature(feature: dict[str, Any]) -> dict[str, Any]:
    tags = feature["properties"]
    points = feature["geometry"]["coordinates"]
    return {
        "type": "Feature",
        "properties": {name: tags[name] for name in TAGS if tags.get(name) is not None},
        "geometry": {
            "type": feature["geometry"]["type"],
            "coordinates": [[round(number, DECIMALS) for number in point] for point in points],
        },
    }


def main() -> None:
    """Read the folder and write both files."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="folder with index.csv and roads.geojson")
    folder = parser.parse_args().folder
    TARGET.mkdir(exist_ok=True)
    for name, content in (
        ("roads.geojson.gz", packed_roads(folder / "roads.geojson")),
        ("tiles.csv.gz", packed_tiles(folder)),
    ):
        # No time in the header: the same folder gives the same bytes.
        (TARGET / name).write_bytes(gzip.compress(content, 9, mtime=0))


if __name__ == "__main__":
    main()
