"""What the STAC extensions demand of a document, written down from their texts.

The schemas of the extensions are not part of any package, so these rules stand in for them, and for
what the texts demand and no schema can check. Each names the section that it is from. The texts:
projection 2.0.0, file 2.1.0, classification 2.0.0, processing 1.2.0, label 1.0.1, ML-AOI 0.2.0 and
Machine Learning Model (MLM) 1.5.2, each the README of its release.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

Document = dict[str, Any]
Rule = Callable[[Document], Iterator[str]]

_SCHEMA = re.compile(r"https://stac-extensions\.github\.io/([\w-]+)/v([\d.]+)/schema\.json")
_VERSIONS = {
    "projection": "2.0.0",
    "file": "2.1.0",
    "classification": "2.0.0",
    "processing": "1.2.0",
    "label": "1.0.1",
    "ml-aoi": "0.2.0",
    "mlm": "1.5.2",
}
_PREFIXES = {"proj": "projection"}
_TASKS = {
    "regression", "classification", "scene-classification", "detection", "object-detection",
    "segmentation", "semantic-segmentation", "instance-segmentation", "panoptic-segmentation",
    "similarity-search", "generative", "image-captioning", "super-resolution", "downscaling",
}  # fmt: skip
_ACCELERATORS = {
    "amd64", "cuda", "xla", "amd-rocm", "intel-ipex-cpu", "intel-ipex-gpu", "macos-arm", None,
}  # fmt: skip
_TYPES = {"uint8", "uint16", "uint32", "int8", "int16", "int32", "float32", "float64", "other"}


def problems(document: Document) -> list[str]:
    """What is wrong with an item or a collection, one sentence each; empty if it is in order."""
    declared = {
        found[1]
        for uri in document.get("stac_extensions", [])
        if (found := _SCHEMA.fullmatch(uri)) is not None
    }
    rules = [_declared, *(rule for name in sorted(declared) for rule in _RULES.get(name, []))]
    return [problem for rule in rules for problem in rule(document)]


def _declared(document: Document) -> Iterator[str]:
    """STAC 1.1, Item and Collection, "stac_extensions": one for every prefix that is used."""
    declared = {}
    for uri in document["stac_extensions"]:
        found = _SCHEMA.fullmatch(uri)
        if found is None:
            yield f"{uri} is no extension of the STAC project"
        else:
            declared[found[1]] = found[2]
    for name, version in declared.items():
        if _VERSIONS[name] != version:
            yield f"{name} {version} is not the current release"
    prefixes = {key.split(":")[0] for fields in _fields(document) for key in fields if ":" in key}
    used = {_PREFIXES.get(prefix, prefix) for prefix in prefixes - {"rsaug"}}
    if used != {*declared}:
        yield f"declares {sorted(declared)} and uses {sorted(used)}"


def _projection(document: Document) -> Iterator[str]:
    """projection, "Item Properties or Asset Fields": code or null, rows first, x before y."""
    said = document.get("properties")
    if said is None:
        return
    code = said["proj:code"]
    if code is None and not (said.get("proj:wkt2") or said.get("proj:projjson")):
        yield "has no code and no other description of its CRS"
    if code is not None and not re.fullmatch(r"[A-Za-z]+:\w+", code):
        yield f"{code!r} is no code of an authority"
    (rows, cols), (a, b, c, d, e, f) = said["proj:shape"], said["proj:transform"][:6]
    if len(said["proj:transform"]) not in (6, 9):
        yield "proj:transform has neither 6 nor 9 numbers"
    corners = [(a * x + b * y + c, d * x + e * y + f) for x in (0, cols) for y in (0, rows)]
    xs, ys = zip(*corners, strict=True)
    box = [min(xs), min(ys), max(xs), max(ys)]
    if any(abs(one - other) > 1e-5 for one, other in zip(box, said["proj:bbox"], strict=True)):
        yield "proj:bbox is not that of shape and transform"


def _file(document: Document) -> Iterator[str]:
    """file, "Asset & Link Object Fields": a multihash in lower-case hex; a path under a folder."""
    for name, asset in document.get("assets", {}).items():
        checksum = asset.get("file:checksum")
        if checksum is not None and not re.fullmatch(r"1220[0-9a-f]{64}", checksum):
            yield f"{name}: {checksum!r} is no multihash of SHA-256"
        if not isinstance(asset.get("file:size", 0), int):
            yield f"{name}: file:size is no whole number"
        path = asset.get("file:local_path", "a")
        if not re.fullmatch(r"[^\r\n\t\\:'\"/]+(/[^\r\n\t\\:'\"/]+)*/?", path):
            yield f"{name}: file:local_path is no relative path"


def _classification(document: Document) -> Iterator[str]:
    """classification, "Class Object": value and name, a name for machines, six hex digits."""
    for place in ("assets", "item_assets"):
        for name, asset in document.get(place, {}).items():
            classes = asset.get("classification:classes", [{"value": 0, "name": "one"}])
            if len({entry["value"] for entry in classes}) != len(classes) or not classes:
                yield f"{name}: values are not unique, or there are none"
            for entry in classes:
                if type(entry["value"]) is not int or not re.fullmatch(
                    r"[\w-]+", entry["name"], re.A
                ):
                    yield f"{name}: {entry} has no value or no plain name"
                if not re.fullmatch(r"[0-9A-Fa-f]{6}", entry.get("color_hint", "ABCDEF")):
                    yield f"{name}: {entry['color_hint']!r} is no colour"


def _processing(document: Document) -> Iterator[str]:
    """processing, "Fields": names and versions are texts, lineage is one; one field at least."""
    said = document["properties" if document["type"] == "Feature" else "summaries"]
    if not any(key.startswith("processing:") for key in said):
        yield "has no field of processing in properties or summaries"
    software, lineage = said.get("processing:software", {}), said.get("processing:lineage", "")
    for versions in software if isinstance(software, list) else [software]:
        if not all(isinstance(text, str) for pair in versions.items() for text in pair):
            yield "processing:software is no table of texts"
    for text in lineage if isinstance(lineage, list) else [lineage]:
        if not isinstance(text, str):
            yield "processing:lineage is no text"


def _label(document: Document) -> Iterator[str]:
    """label, "Item Properties", "Class Object", "Label Overview Object" and "Assets"."""
    if document["type"] == "Collection":
        return
    said = document["properties"]
    for name in ("label:properties", "label:description", "label:type", "label:classes"):
        if name not in said:
            yield f"{name} is required"
            return
    if said["label:type"] not in ("raster", "vector") or not said["label:description"]:
        yield "label:type or label:description is not as it must be"
    if said["label:type"] == "raster":
        if said["label:properties"] is not None:
            yield "label:properties has to be null for rasters"
        if any(entry["name"] is not None for entry in said["label:classes"]):
            yield "the name of a class object has to be null for rasters"
    names = [entry["classes"] for entry in said["label:classes"]]
    counted = [[e["name"] for e in each["counts"]] for each in said.get("label:overviews", [])]
    if counted and counted != names:
        yield "label:overviews counts other classes than label:classes has"
    if any(
        type(e["count"]) is not int
        for each in said.get("label:overviews", [])
        for e in each["counts"]
    ):
        yield "label:overviews has a count that is no whole number"
    if not any("labels" in asset.get("roles", []) for asset in document["assets"].values()):
        yield "no asset has the role labels"


def _label_source(document: Document) -> Iterator[str]:
    """label, "Links: source imagery": ``source``, with names of assets in ``label:assets``."""
    if "image" not in document.get("assets", {}):
        return
    sources = [link for link in document["links"] if link["rel"] == "source"]
    if not sources:
        yield "labels of imagery have no link source"
    for link in sources:
        if not link["label:assets"] or not {*link["label:assets"]} <= {*document["assets"]}:
            yield "label:assets names no asset of the imagery"


def _ml_aoi(document: Document) -> Iterator[str]:
    """ML-AOI, "Item Properties", "Links" and "Assets"; what is synthetic is for training alone."""
    if document["type"] == "Collection":
        if document["summaries"].get("ml-aoi:split") != ["train"]:
            yield "the collection is not for training alone"
        return
    if document["properties"].get("ml-aoi:split") != "train":
        yield "ml-aoi:split is not train"
    linked = [
        link.get("ml-aoi:role") for link in document["links"] if link["rel"] == "derived_from"
    ]
    if linked.count("label") != 1:
        yield "there has to be one link derived_from with the role label"
    if linked.count("feature") < 1:
        yield "there has to be a link derived_from with the role feature"
    roles = [asset.get("ml-aoi:role") for asset in document["assets"].values()]
    if roles.count("label") != 1 or roles.count("feature") < 1:
        yield "there has to be an asset with the role label and one with the role feature"
    grids = [asset for asset in document["assets"].values() if asset.get("ml-aoi:reference-grid")]
    if len(grids) > 1:
        yield "only one asset may be the reference grid"


def _mlm(document: Document) -> Iterator[str]:
    """MLM, "Item Properties and Collection Fields", "Task Enum" and "Accelerator Type Enum"."""
    said = document["properties"]
    for name in ("name", "architecture", "tasks", "input", "output"):
        if not said.get(f"mlm:{name}"):
            yield f"mlm:{name} is required"
            return
    if not re.fullmatch(r"[a-zA-Z][a-zA-Z0-9_.\-\s]+[a-zA-Z0-9]", said["mlm:name"]):
        yield f"{said['mlm:name']!r} is no name of a model"
    tasks = {*said["mlm:tasks"], *(task for each in said["mlm:output"] for task in each["tasks"])}
    if not tasks <= _TASKS:
        yield f"{sorted(tasks - _TASKS)} are no tasks"
    if said.get("mlm:accelerator") not in _ACCELERATORS:
        yield f"{said['mlm:accelerator']!r} is no accelerator"
    release = said.get("mlm:framework_version", "1.0.0")
    if not re.fullmatch(r"\d+\.\d+\.\d+([-+][0-9A-Za-z.+-]+)?", release):
        yield f"{release!r} is no semantic version"
    if not all(re.fullmatch(r"[\w.-]+", key, re.A) for key in said.get("mlm:hyperparameters", {})):
        yield "mlm:hyperparameters has a name with other than letters, digits and _.-"
    if not said.get("mlm:pretrained", True) and said.get("mlm:pretrained_source", "") is not None:
        yield "a model that is not pretrained has the source null"


def _mlm_arrays(document: Document) -> Iterator[str]:
    """MLM, "Input Structure Object", "Result Structure Object" and "Bands and Variables"."""
    said = document["properties"]
    arrays = [(entry, entry["input"]) for entry in said.get("mlm:input", [])]
    arrays += [(entry, entry["result"]) for entry in said.get("mlm:output", [])]
    known = {band["name"] for band in said.get("bands", [])}
    for entry, array in arrays:
        name, bands = entry["name"], entry.get("bands", [])
        if len(array["shape"]) != len(array["dim_order"]):
            yield f"{name}: shape and dim_order are not of one length"
        if not all(size == -1 or size > 0 for size in array["shape"]):
            yield f"{name}: {array['shape']} is no shape"
        if array["data_type"] not in _TYPES:
            yield f"{name}: {array['data_type']!r} is no data type"
        if bool(bands) != ("bands" in array["dim_order"]):
            yield f"{name}: bands go with a dimension bands, and only with one"
        elif bands and array["shape"][array["dim_order"].index("bands")] != len(bands):
            yield f"{name}: the dimension bands is not as long as the list of bands"
        if not {*bands} <= known:
            yield f"{name}: {sorted({*bands} - known)} are no bands of the item"


def _mlm_assets(document: Document) -> Iterator[str]:
    """MLM, "MLM Asset Roles" and "Model Asset"; STAC 1.1, Item, "Bands"."""
    models = 0
    for name, asset in document["assets"].items():
        is_model = "mlm:model" in asset["roles"]
        models += is_model
        if is_model != ("mlm:artifact_type" in asset):
            yield f"{name}: mlm:artifact_type goes with the role mlm:model"
    if not models:
        yield "no asset has the role mlm:model"
    if "bands" in document["properties"] and not any(
        "bands" in asset for asset in document["assets"].values()
    ):
        yield "bands in the properties, but in no asset"


def _fields(document: Document) -> Iterator[Document]:
    yield document.get("properties", {})
    yield document.get("summaries", {})
    for place in ("assets", "item_assets"):
        yield from document.get(place, {}).values()


_RULES: dict[str, list[Rule]] = {
    "projection": [_projection],
    "file": [_file],
    "classification": [_classification],
    "processing": [_processing],
    "label": [_label, _label_source],
    "ml-aoi": [_ml_aoi],
    "mlm": [_mlm, _mlm_arrays, _mlm_assets],
}
