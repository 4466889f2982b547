"""What a run made, as a STAC catalogue: items, a collection and a table of the items.

STAC 1.1 with the extensions projection 2, file 2.1, classification 2 and processing 1.2. No STAC
field says that an image is synthetic, so ``rsaug:synthetic`` and IPTC's digital source type do.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
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

ASSETS: Mapping[str, Mapping[str, Any]] = {
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
        "title": "Control maps",
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
    properties = {
        "datetime": f"{date}T00:00:00Z" if date else created,
        "created": created,
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
    }
    return build_item(name, tile, folder, collection, properties, files, ASSETS)


def build_item(
    name: str,
    tile: Tile,
    folder: RunFolder,
    collection: str,
    properties: Mapping[str, Any],
    files: Mapping[str, Path],
    assets: Mapping[str, Mapping[str, Any]],
) -> dict[str, Any]:
    """The STAC item of a tile's files.

    Args:
        name: Its name, unique in the collection.
        tile: Where it is.
        folder: Holds the files.
        collection: Name of the collection.
        properties: What is said of it besides place, pixel size and software.
        files: The files by name of asset.
        assets: What is said of each asset, at least of those in ``files``.
    """
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
            "gsd": round(tile.gsd_m, 6),
            **_projection(tile),
            "processing:software": {"rsaug": __version__},
            **properties,
        },
        "links": [
            {"rel": rel, "href": "../collection.json", "type": _JSON}
            for rel in ("root", "parent", "collection")
        ],
        "assets": {
            asset: {
                "href": f"../{path.relative_to(folder.root).as_posix()}",
                **assets[asset],
                **_file_fields(path),
            }
            for asset, path in files.items()
        },
    }


@dataclass(frozen=True)
class Description:
    """What a collection says of itself.

    Attributes:
        title: Its name.
        text: What it is.
        keywords: To find it by.
        assets: What is said of the assets of its items.
        summaries: Properties that all items share.
    """

    title: str
    text: str
    keywords: tuple[str, ...]
    assets: Mapping[str, Mapping[str, Any]]
    summaries: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def of_images(cls, title: str, source: str) -> Description:
        """Of a run of ``rsaug synth`` on the roads of the file ``source``."""
        return cls(
            title,
            f"Synthetic aerial images with exact road labels, made from {source} by rsaug "
            f"{__version__}. They are not photographs: nothing but the mapped features is where it "
            "is on the ground.",
            ("synthetic", "aerial imagery", "roads", "training data"),
            ASSETS,
            {"rsaug:synthetic": [True]},
        )


def write_catalogue(folder: RunFolder, names: Sequence[str], about: Description) -> None:
    """Write the collection and the manifest over the items of these names.

    Args:
        folder: Holds the items.
        names: Which items, in order.
        about: What the collection says of itself.

    Raises:
        OutputError: if they cannot be written.
    """
    collection = make_collection(folder.items([*names]), about)
    write_whole(folder.collection, to_json(collection, indent=2))
    _write_manifest(folder, names, collection)


def make_collection(items: Iterable[Mapping[str, Any]], about: Description) -> dict[str, Any]:
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
        "id": about.title,
        "title": about.title,
        "description": about.text,
        "keywords": list(about.keywords),
        "license": "other",
        "extent": {
            "spatial": {"bbox": [[float(edge) for edge in extent]]},
            "temporal": {"interval": [[min(times), max(times)]]},
        },
        "summaries": {
            "gsd": sorted(gsds),
            "proj:code": sorted(codes - {None}),
            **about.summaries,
        },
        "item_assets": about.assets,
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
