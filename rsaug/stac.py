"""What a run made, as a STAC catalogue: items, a collection and a table of the items.

STAC 1.1 with the extensions projection 2, file 2.1, classification 2 and processing 1.2. No STAC
field says that an image is synthetic, so ``rsaug:synthetic`` and IPTC's digital source type do.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import shapely

from rsaug import __version__
from rsaug.conditions.stack import CHANNEL_NAMES
from rsaug.errors import OutputError
from rsaug.files import write_whole
from rsaug.folder import RunFolder, item_name
from rsaug.grid import Tile, to_lonlat
from rsaug.provenance import DIGITAL_SOURCE_TYPE, Provenance

STAC_VERSION = "1.1.0"
_EXTENSIONS = [
    "https://stac-extensions.github.io/projection/v2.0.0/schema.json",
    "https://stac-extensions.github.io/file/v2.1.0/schema.json",
    "https://stac-extensions.github.io/classification/v2.0.0/schema.json",
    "https://stac-extensions.github.io/processing/v1.2.0/schema.json",
]
_COG = "image/tiff; application=geotiff; profile=cloud-optimized"
_PARQUET = "application/vnd.apache.parquet"
_JSON = "application/json"

_ASSETS: Mapping[str, Mapping[str, Any]] = {
    "image": {
        "title": "Synthetic image",
        "type": _COG,
        "roles": ["data"],
        "data_type": "uint8",
        "bands": [{"name": name} for name in ("red", "green", "blue")],
    },
    "mask": {
        "title": "Road mask",
        "type": _COG,
        "roles": ["labels"],
        "data_type": "uint8",
        "classification:classes": [
            {"value": 0, "name": "background", "description": "no road"},
            {"value": 1, "name": "road", "description": "surface of a road"},
        ],
    },
    "conditions": {
        "title": "Control maps that the image was made from",
        "type": _COG,
        "roles": ["metadata"],
        "data_type": "float32",
        "bands": [{"name": name} for name in CHANNEL_NAMES],
    },
}


def make_item(
    tile: Tile,
    provenance: Provenance,
    folder: RunFolder,
    *,
    collection: str,
    created: str,
    date: str | None,
    controls: Sequence[str],
    road_fraction: float,
) -> dict[str, Any]:
    """The STAC item of an image whose files are in the folder.

    Args:
        tile: Where it is.
        provenance: What made it.
        folder: Holds its files.
        collection: Name of the collection.
        created: When the data set was begun, ISO 8601; also the item's time where no date is
            imitated, for an image that never was taken has no other.
        date: Date that the image imitates, ISO 8601.
        controls: Names of the control maps that were given.
        road_fraction: Share of the tile that is road.
    """
    name = item_name(tile.name, provenance.variant)
    files = {
        "image": folder.image(name),
        "mask": folder.mask(tile.name),
        "conditions": folder.conditions(tile.name),
    }
    outline = _outline(tile)
    return {
        "type": "Feature",
        "stac_version": STAC_VERSION,
        "stac_extensions": _EXTENSIONS,
        "id": name,
        "collection": collection,
        "geometry": shapely.geometry.mapping(outline),
        "bbox": list(outline.bounds),
        "properties": {
            "datetime": f"{date}T00:00:00Z" if date else created,
            "created": created,
            "gsd": round(tile.gsd_m, 6),
            **_projection(tile),
            "processing:software": {"rsaug": __version__},
            "rsaug:synthetic": True,
            "rsaug:digital_source_type": DIGITAL_SOURCE_TYPE,
            "rsaug:tile": tile.name,
            "rsaug:variant": provenance.variant,
            "rsaug:seed": provenance.seed,
            "rsaug:model": provenance.model,
            "rsaug:weights_sha256": provenance.weights_sha256,
            "rsaug:prompt": provenance.prompt,
            "rsaug:controls": list(controls),
            "rsaug:road_fraction": round(road_fraction, 6),
            "rsaug:key": provenance.key,
        },
        "links": [
            {"rel": rel, "href": "../collection.json", "type": _JSON}
            for rel in ("root", "parent", "collection")
        ],
        "assets": {
            asset: {
                "href": f"../{path.relative_to(folder.root).as_posix()}",
                **_ASSETS[asset],
                **_file_fields(path),
            }
            for asset, path in files.items()
        },
    }


def write_catalogue(folder: RunFolder, names: Sequence[str], *, title: str, source: str) -> None:
    """Write the collection and the manifest over the items of these names.

    Args:
        folder: Holds the items.
        names: Which items, in order.
        title: Name of the collection.
        source: Name of the file that the roads are from.

    Raises:
        OutputError: if they cannot be written.
    """
    collection = make_collection(folder.items([*names]), title=title, source=source)
    write_whole(folder.collection, to_json(collection, indent=2))
    _write_manifest(folder, names, collection)


def make_collection(
    items: Iterable[Mapping[str, Any]], *, title: str, source: str
) -> dict[str, Any]:
    """The STAC collection over items; arguments as for `write_catalogue`."""
    boxes, times, codes, gsds, names = [], [], set(), set(), []
    for item in items:
        boxes.append(item["bbox"])
        times.append(item["properties"]["datetime"])
        codes.add(item["properties"]["proj:code"])
        gsds.add(item["properties"]["gsd"])
        names.append(item["id"])
    west, south, east, north = np.array(boxes).T
    extent = [west.min(), south.min(), east.max(), north.max()]
    return {
        "type": "Collection",
        "stac_version": STAC_VERSION,
        "stac_extensions": _EXTENSIONS,
        "id": title,
        "title": title,
        "description": f"Synthetic aerial images with exact road labels, made from {source} by "
        f"rsaug {__version__}. They are not photographs: nothing but the mapped features is where "
        "it is on the ground.",
        "keywords": ["synthetic", "aerial imagery", "roads", "training data"],
        "license": "other",
        "extent": {
            "spatial": {"bbox": [[float(edge) for edge in extent]]},
            "temporal": {"interval": [[min(times), max(times)]]},
        },
        "summaries": {
            "gsd": sorted(gsds),
            "proj:code": sorted(codes - {None}),
            "rsaug:synthetic": [True],
        },
        "item_assets": _ASSETS,
        "assets": {
            "manifest": {
                "href": "./manifest.parquet",
                "title": "The items as a table",
                "type": _PARQUET,
                "roles": ["collection-mirror"],
            },
            "run": {
                "href": "./run.json",
                "title": "How to make it again",
                "type": _JSON,
                "roles": ["metadata"],
            },
        },
        "links": [
            {"rel": "root", "href": "./collection.json", "type": _JSON},
            *({"rel": "item", "href": f"./items/{name}.json", "type": _JSON} for name in names),
        ],
    }


def to_json(document: Mapping[str, Any], indent: int | None = None) -> bytes:
    """A document as it is written."""
    return (json.dumps(document, indent=indent, ensure_ascii=False) + "\n").encode()


def _write_manifest(folder: RunFolder, names: Sequence[str], collection: Mapping[str, Any]) -> None:
    """Write the items as stac-geoparquet, paths as seen from the table's own folder."""
    from stac_geoparquet.arrow import parse_stac_items_to_arrow, to_parquet

    rows = (_seen_from_root(item) for item in folder.items([*names]))
    part = folder.manifest.with_name(f".{folder.manifest.name}.part")
    # The links to thousands of items would be repeated in the header.
    header = {**collection, "links": []}
    try:
        to_parquet(parse_stac_items_to_arrow(rows), part, collections={header["id"]: header})
        write_whole(folder.manifest, part.read_bytes())
    except OutputError:
        raise
    except OSError as error:
        raise OutputError(f"{folder.manifest} could not be written ({error}).") from error
    finally:
        part.unlink(missing_ok=True)


def _seen_from_root(item: dict[str, Any]) -> dict[str, Any]:
    for entry in (*item["assets"].values(), *item["links"]):
        entry["href"] = entry["href"].replace("../", "./", 1)
    return item


def _outline(tile: Tile) -> shapely.Polygon:
    """The tile's outline in degrees, counter-clockwise as GeoJSON has it."""
    left, bottom, right, top = tile.bounds
    x, y = [left, right, right, left], [bottom, bottom, top, top]
    lon, lat = to_lonlat(tile.crs).transform(x, y)
    return shapely.Polygon(np.round(np.stack([lon, lat], axis=1), 9))


def _projection(tile: Tile) -> dict[str, Any]:
    """Fields of the projection extension."""
    authority = tile.crs.to_authority()
    fields: dict[str, Any] = {"proj:code": ":".join(authority) if authority else None}
    if not authority:
        fields["proj:wkt2"] = tile.crs.to_wkt()
    return fields | {
        "proj:shape": list(tile.shape),
        "proj:transform": [float(value) for value in list(tile.transform)[:6]],
        "proj:bbox": [round(float(edge), 6) for edge in tile.bounds],
    }


def _file_fields(path: Path) -> dict[str, Any]:
    """Fields of the file extension; the checksum is a multihash: 0x12 SHA-256, 0x20 bytes long."""
    content = path.read_bytes()
    return {
        "file:size": len(content),
        "file:checksum": f"1220{hashlib.sha256(content).hexdigest()}",
    }
