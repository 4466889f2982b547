"""What a run made, as a STAC catalogue: items, a collection and a table of the items.

STAC 1.1 with the extensions of `rsaug.stac_extensions`. No STAC field says that an image is
synthetic, so ``rsaug:synthetic`` and IPTC's digital source type do.
"""

from __future__ import annotations

import json
import posixpath
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.dataset as pads
import shapely

from rsaug import __version__
from rsaug.conditions.stack import CHANNEL_NAMES
from rsaug.errors import OutputError
from rsaug.files import write_whole
from rsaug.folder import RunFolder, item_name
from rsaug.grid import Tile, to_lonlat
from rsaug.provenance import DIGITAL_SOURCE_TYPE, Provenance
from rsaug.stac_extensions import (
    COG,
    GEOJSON,
    JSON,
    PARQUET,
    STAC_VERSION,
    file_fields,
    to_json,
    used_extensions,
)
from rsaug.stac_labels import (
    LABEL_ROLES,
    ROADS,
    SPLIT,
    class_entry,
    label_fields,
    label_summaries,
    road_counts,
    training_links,
)
from rsaug.stac_model import RGB, model_link, software
from rsaug.storage import AnyPath

ASSETS: Mapping[str, Mapping[str, Any]] = {
    "image": {
        "title": "Synthetic image",
        "type": COG,
        "roles": ["data"],
        "data_type": "uint8",
        "bands": [{"name": name} for name in RGB],
    },
    "mask": {
        "title": "Road mask",
        "type": COG,
        "roles": [*LABEL_ROLES],
        "data_type": "uint8",
        "classification:classes": [
            class_entry(value, name, description=meaning)
            for value, (name, meaning) in enumerate(
                zip(ROADS, ("no road", "surface of a road"), strict=True)
            )
        ],
    },
    "conditions": {
        "title": "Control maps",
        "type": COG,
        "roles": ["metadata"],
        "data_type": "float32",
        "bands": [{"name": name} for name in CHANNEL_NAMES],
    },
}
"""What is said of the files of a tile, by the names of the assets."""

IMAGE_ASSETS: Mapping[str, Mapping[str, Any]] = {
    **ASSETS,
    "image": {**ASSETS["image"], "ml-aoi:role": "feature", "ml-aoi:reference-grid": True},
    "mask": {
        **ASSETS["mask"],
        "roles": [*LABEL_ROLES, "labels-training"],
        "ml-aoi:role": "label",
    },
}
"""The same of those of an image to learn from."""

_ITEMS_AT_ONCE = 500
"""How many items are held in memory when the table of them is written."""

ROAD_LABELS = (
    "Road mask: 1 where the centre of the pixel lies on the surface of a road, 0 elsewhere. Drawn "
    "from the centrelines and widths of mapped roads."
)


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
    generator: Mapping[str, Any],
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
        generator: What the generator says of itself.
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
        **({"rsaug:watermark": provenance.watermark} if provenance.watermark else {}),
        "rsaug:controls": list(controls),
        "rsaug:road_fraction": round(road_fraction, 6),
        "rsaug:key": provenance.key,
        "ml-aoi:split": SPLIT,
        **label_fields(
            f"{ROAD_LABELS} The image was made to show these roads; for training.",
            [road_counts(road_fraction, tile.shape[0] * tile.shape[1])],
        ),
        "processing:lineage": f"Synthetic image, made by the model {provenance.model} from the "
        f"control maps {', '.join(controls)}; mask and control maps were drawn from map data.",
        "processing:software": software(generator),
    }
    links = [*model_link(generator, "../model.json"), *training_links(name)]
    return build_item(name, tile, folder, collection, properties, files, IMAGE_ASSETS, links)


def build_item(
    name: str,
    tile: Tile,
    folder: RunFolder,
    collection: str,
    properties: Mapping[str, Any],
    files: Mapping[str, AnyPath],
    assets: Mapping[str, Mapping[str, Any]],
    links: Sequence[Mapping[str, Any]] = (),
) -> dict[str, Any]:
    """The STAC item of a tile's files.

    Args:
        name: Its name, unique in the collection.
        tile: Where it is.
        folder: Holds the files.
        collection: Name of the collection.
        properties: What is said of it besides place, pixel size and version of rsaug.
        files: The files by name of asset.
        assets: What is said of each asset, at least of those in ``files``.
        links: Links besides those to the collection.
    """
    outline = _outline(tile)
    item = {
        "type": "Feature",
        "stac_version": STAC_VERSION,
        "stac_extensions": [],
        "id": name,
        "collection": collection,
        "geometry": shapely.geometry.mapping(outline),
        "bbox": list(outline.bounds),
        "properties": {
            "gsd": round(tile.gsd_m, 6),
            **_projection(tile),
            "processing:software": software({}),
            **properties,
        },
        "links": [
            *(
                {"rel": rel, "href": "../collection.json", "type": JSON}
                for rel in ("root", "parent", "collection")
            ),
            *links,
        ],
        "assets": {
            asset: {
                "href": folder.href(path),
                **assets[asset],
                **file_fields(path),
            }
            for asset, path in files.items()
        },
    }
    return item | {"stac_extensions": used_extensions(item)}


@dataclass(frozen=True)
class Description:
    """What a collection says of itself.

    Attributes:
        title: Its name.
        text: What it is.
        keywords: To find it by.
        assets: What is said of the assets of its items.
        summaries: Properties that all items share.
        generator: What the generator says of itself; nothing where there is none.
    """

    title: str
    text: str
    keywords: tuple[str, ...]
    assets: Mapping[str, Mapping[str, Any]]
    summaries: Mapping[str, Any] = field(default_factory=dict)
    generator: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def of_images(cls, title: str, source: str, generator: Mapping[str, Any]) -> Description:
        """Of a run of ``rsaug synth`` on the roads of the file ``source``."""
        summaries: dict[str, Any] = {
            "rsaug:synthetic": [True],
            "ml-aoi:split": [SPLIT],
            **label_summaries([ROADS]),
        }
        return cls(
            title,
            f"Synthetic aerial images with exact road labels, made from {source} by rsaug "
            f"{__version__}. They are not photographs: nothing but the mapped features is where it "
            "is on the ground.",
            ("synthetic", "aerial imagery", "roads", "training data"),
            IMAGE_ASSETS,
            summaries,
            generator,
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
    boxes, times, codes, gsds, versions, names = [], [], set(), set(), set(), []
    for item in items:
        boxes.append(item["bbox"])
        times.append(item["properties"]["datetime"])
        codes.add(item["properties"]["proj:code"])
        gsds.add(item["properties"]["gsd"])
        versions.add(json.dumps(item["properties"]["processing:software"]))
        names.append(item["id"])
    west, south, east, north = np.array(boxes).T
    extent = [west.min(), south.min(), east.max(), north.max()]
    collection = {
        "type": "Collection",
        "stac_version": STAC_VERSION,
        "stac_extensions": [],
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
            **({"proj:code": known} if (known := sorted(codes - {None})) else {}),
            "processing:software": [json.loads(text) for text in sorted(versions)],
            **about.summaries,
        },
        "item_assets": about.assets,
        "assets": {
            "manifest": {
                "href": "./manifest.parquet",
                "title": "The items as a table",
                "type": PARQUET,
                "roles": ["collection-mirror"],
            },
            "run": {
                "href": "./run.json",
                "title": "How to make it again",
                "type": JSON,
                "roles": ["metadata"],
            },
        },
        "links": [
            {"rel": "root", "href": "./collection.json", "type": JSON},
            *model_link(about.generator, "./model.json"),
            *({"rel": "item", "href": f"./items/{name}.json", "type": GEOJSON} for name in names),
        ],
    }
    return collection | {"stac_extensions": used_extensions(collection)}


def _write_manifest(folder: RunFolder, names: Sequence[str], collection: Mapping[str, Any]) -> None:
    """Write the items as stac-geoparquet, paths as seen from the table's own folder."""
    from stac_geoparquet.arrow import to_parquet

    # The links to thousands of items would be repeated in the header.
    header = {**collection, "links": []}
    try:
        # It is written to a path of this machine only, which that of a store is not.
        with tempfile.TemporaryDirectory(prefix="rsaug-") as place:
            table = Path(place) / folder.manifest.name
            batches = _arrow_batches(folder, names, Path(place))
            to_parquet(batches, table, collections={header["id"]: header})
            content = table.read_bytes()
    except OSError as error:
        raise OutputError(f"{folder.manifest} could not be written ({error}).") from error
    write_whole(folder.manifest, content)


def _arrow_batches(folder: RunFolder, names: Sequence[str], place: Path) -> pa.RecordBatchReader:
    """The items in the order of their names, a few at a time by way of files in a folder."""
    from stac_geoparquet.arrow import parse_stac_items_to_arrow

    files: list[str] = []
    schemas: list[pa.Schema] = []
    # The library reads its files in the order of their names, where 10 is before 2: ten a folder.
    for start in range(0, len(names), 10 * _ITEMS_AT_ONCE):
        part = place / f"part-{start}"
        part.mkdir()
        items = folder.items([*names[start : start + 10 * _ITEMS_AT_ONCE]])
        rows = (_seen_from_root(item) for item in items)
        schemas.append(parse_stac_items_to_arrow(rows, _ITEMS_AT_ONCE, "ChunksToDisk", part).schema)
        files += [str(path) for path in sorted(part.iterdir())]
    schema = pa.unify_schemas(schemas, promote_options="permissive")
    found = pads.dataset(files, schema=schema, format="parquet")
    batches = found.to_batches(
        batch_size=_ITEMS_AT_ONCE, batch_readahead=1, fragment_readahead=1, use_threads=False
    )
    return pa.RecordBatchReader.from_batches(schema, batches)


def _seen_from_root(item: dict[str, Any]) -> dict[str, Any]:
    """An item with paths as seen from the folder of the run, one above that of the items."""
    for entry in (*item["assets"].values(), *item["links"]):
        entry["href"] = f"./{posixpath.normpath('items/' + entry['href'])}"
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
