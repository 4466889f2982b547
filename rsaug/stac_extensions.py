"""Which STAC extensions there are in what rsaug writes, and what is common to its documents.

The versions are the newest releases that the STAC project listed in August 2026. Machine Learning
Model (MLM) 1.5.2 has the fields of 1.5.0; pystac writes 1.4, whose fields are a part of them, and
reads any version.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from typing import Any

from rsaug.storage import AnyPath, read

STAC_VERSION = "1.1.0"

COG = "image/tiff; application=geotiff; profile=cloud-optimized"
GEOJSON = "application/geo+json"
JSON = "application/json"
PARQUET = "application/vnd.apache.parquet"

SHA256_MULTIHASH = "1220"
"""Beginning of a multihash of SHA-256 in hexadecimal: 0x12, and a length of 0x20 bytes."""

EXTENSIONS: Mapping[str, str] = {
    prefix: f"https://stac-extensions.github.io/{name}/schema.json"
    for prefix, name in {
        "proj": "projection/v2.0.0",
        "file": "file/v2.1.0",
        "classification": "classification/v2.0.0",
        "processing": "processing/v1.2.0",
        "label": "label/v1.0.1",
        "ml-aoi": "ml-aoi/v0.2.0",
        "mlm": "mlm/v1.5.2",
    }.items()
}
"""Extensions by the prefix of their fields."""


def used_extensions(document: Mapping[str, Any]) -> list[str]:
    """The extensions that an item or a collection uses, in the order of `EXTENSIONS`.

    A link does not count: ``mlm:name`` on a link to a model does not make its owner one.
    """
    prefixes = {name.split(":")[0] for name in _field_names(document) if ":" in name}
    return [uri for prefix, uri in EXTENSIONS.items() if prefix in prefixes]


def _field_names(document: Mapping[str, Any]) -> Iterator[str]:
    for place in ("properties", "summaries"):
        yield from document.get(place, {})
    for place in ("assets", "item_assets"):
        for asset in document.get(place, {}).values():
            yield from asset


def file_fields(path: AnyPath) -> dict[str, Any]:
    """Fields of the file extension for a file that is there."""
    content = read(path)
    return {
        "file:size": len(content),
        "file:checksum": f"{SHA256_MULTIHASH}{hashlib.sha256(content).hexdigest()}",
    }


def to_json(document: Mapping[str, Any], indent: int | None = None) -> bytes:
    """A document as it is written."""
    return (json.dumps(document, indent=indent, ensure_ascii=False) + "\n").encode()
