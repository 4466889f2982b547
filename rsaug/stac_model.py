"""The generator of a run as a STAC item, ``model.json``, by the extension Machine Learning Model.

It is made from what the generator says of itself, so it needs neither the weights nor torch. It
lies beside the collection and is no item of it: images and collection lead to it by
``derived_from`` (MLM 1.5.2, "Relation Types").
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator, Mapping
from typing import Any

from rsaug import __version__
from rsaug.conditions.stack import CHANNEL_NAMES, SLOTS, STACK
from rsaug.files import write_whole
from rsaug.folder import RunFolder
from rsaug.jsontext import parse_json
from rsaug.modelfiles import digest_of
from rsaug.options import SynthOptions
from rsaug.record import Record
from rsaug.stac_extensions import (
    GEOJSON,
    JSON,
    SHA256_MULTIHASH,
    STAC_VERSION,
    to_json,
    used_extensions,
)
from rsaug.storage import read

RGB = ("red", "green", "blue")

_WEIGHTS = "application/octet-stream; framework=pytorch"

# What the schema of MLM 1.5.2 allows for mlm:name.
_NOT_IN_NAMES = re.compile(r"[^a-zA-Z0-9_.\s-]+")
_NAME = re.compile(r"[a-zA-Z][a-zA-Z0-9_.\s-]+[a-zA-Z0-9]")
# A release as a semantic version, which mlm:framework_version has to be; 2.11.0a0+git is none.
_NUMBER, _BUILD = r"(0|[1-9]\d*)", r"[0-9a-zA-Z-]+"
_SEMANTIC = re.compile(rf"{_NUMBER}\.{_NUMBER}\.{_NUMBER}(\+{_BUILD}(\.{_BUILD})*)?")
_SHA256 = re.compile(r"[0-9a-f]{64}")

# What a generator says of itself besides the numbers that it was set to.
_NO_SETTINGS = {
    "model", "weights_sha256", "network", "versions", "device", "dtype", "acceleration", "prompt",
}  # fmt: skip


def write_model(folder: RunFolder, record: Record[SynthOptions]) -> None:
    """Write the item of a run's generator; none if the generator says nothing of itself.

    Raises:
        OutputError: if it cannot be written.
    """
    if record.generator:
        write_whole(folder.model, to_json(make_model(record), indent=2))


def model_name(generator: Mapping[str, Any]) -> str:
    """The name of a generator as MLM allows one; "" if it says nothing of itself.

    It begins with a letter and has letters, digits, spaces and ``_.-``.
    """
    if not generator:
        return ""
    plain = _NOT_IN_NAMES.sub("-", str(generator.get("model", ""))).strip("-_. ")
    return plain if _NAME.fullmatch(plain) else f"model-{plain}".strip("-")


def model_link(generator: Mapping[str, Any], href: str) -> list[dict[str, Any]]:
    """The link of something that a generator made to its item; none if there is no such item.

    Args:
        generator: What it says of itself.
        href: Where its item lies.
    """
    name = model_name(generator)
    if not name:
        return []
    title = f"The generator: {generator.get('model')}"
    return [
        {"rel": "derived_from", "href": href, "type": GEOJSON, "title": title, "mlm:name": name}
    ]


def software(generator: Mapping[str, Any]) -> dict[str, str]:
    """Versions of what made images, by name, as ``processing:software`` has them."""
    versions = generator.get("versions")
    others = versions if isinstance(versions, Mapping) else {}
    return {"rsaug": __version__} | {
        str(name): str(version) for name, version in others.items() if name != "rsaug"
    }


def make_model(record: Record[SynthOptions]) -> dict[str, Any]:
    """The STAC item of a run's generator.

    Nothing is known of the places that it was trained on, so it has no geometry; its time is that
    of the run.
    """
    generator = record.generator
    network = _mapping(generator, "network")
    model, weights = str(generator.get("model", "")), str(generator.get("weights_sha256", ""))
    controls = record.results.get("controls")
    given = ", ".join(controls) if isinstance(controls, list) and controls else "none"
    properties: dict[str, Any] = {
        "title": f"Generator {model}",
        "description": "Makes aerial images from control maps; it made the images of "
        f"{record.options.name}.",
        "datetime": record.created,
        "created": record.created,
        "bands": _bands(),
        "rsaug:model": model,
        "rsaug:weights_sha256": weights,
        "processing:software": software(generator),
        "mlm:name": model_name(generator),
        "mlm:architecture": str(network.get("architecture", "unknown")),
        "mlm:tasks": ["generative"],
        **_framework(generator),
        **_runtime(generator),
        "mlm:pretrained": True,
        "mlm:input": _inputs(record, given),
        "mlm:output": _outputs(record.options.tile_size),
    }
    if "parameters" in network:
        properties["mlm:total_parameters"] = network["parameters"]
    settings = {n: v for n, v in generator.items() if n not in _NO_SETTINGS and v is not None}
    if settings:
        properties["mlm:hyperparameters"] = settings
    item = {
        "type": "Feature",
        "stac_version": STAC_VERSION,
        "stac_extensions": [],
        "id": f"{record.options.name}-model",
        "geometry": None,
        "properties": properties,
        "links": [{"rel": "root", "href": "./collection.json", "type": JSON}],
        "assets": _assets(model, weights, network),
    }
    return item | {"stac_extensions": used_extensions(item)}


def model_problems(folder: RunFolder, weights: str) -> Iterator[str]:
    """What is wrong with the item of a run's generator.

    Args:
        folder: The folder of the run.
        weights: Digest of the weights that the record names.
    """
    try:
        item = parse_json(read(folder.model))
        said = item["properties"]["rsaug:weights_sha256"]
        files = {
            asset["file:local_path"]: asset["file:checksum"].removeprefix(SHA256_MULTIHASH)
            for asset in item["assets"].values()
            if "file:checksum" in asset
        }
        sum_of_files = digest_of(files) if files else said
    except FileNotFoundError:
        yield "is missing"
        return
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        yield f"cannot be read ({error!r})"
        return
    if said != weights:
        yield "describes other weights than the record names"
    elif sum_of_files != said:
        yield "names files that are not those of its weights"


def _framework(generator: Mapping[str, Any]) -> dict[str, str]:
    version = software(generator).get("torch")
    if version is None:
        return {}
    known = {"mlm:framework_version": version} if _SEMANTIC.fullmatch(version) else {}
    return {"mlm:framework": "PyTorch", **known}


def _runtime(generator: Mapping[str, Any]) -> dict[str, Any]:
    """On what it runs: a GPU where it ran on one, but no other model needs to."""
    device, dtype = generator.get("device"), generator.get("dtype")
    runtime = {
        # The schema of 1.5.2 has no "cpu"; null is for what runs with or without an accelerator.
        "mlm:accelerator": "cuda" if device == "cuda" else None,
        "mlm:accelerator_constrained": False,
    }
    if device:
        numbers = f" in {dtype}" if dtype else ""
        runtime["mlm:accelerator_summary"] = f"The images were made on {device}{numbers}."
    return runtime


def _bands() -> list[dict[str, str]]:
    """The bands that input and output refer to."""
    meanings = [slot.meaning for slot in STACK for _ in "rgb"]
    controls = [
        {"name": name, "data_type": "float32", "description": meaning}
        for name, meaning in zip(CHANNEL_NAMES, meanings, strict=True)
    ]
    return controls + [{"name": name, "data_type": "uint8"} for name in RGB]


def _inputs(record: Record[SynthOptions], given: str) -> list[dict[str, Any]]:
    side = record.options.tile_size
    controls = {
        "name": "controls",
        "description": f"Control maps in [0, 1], three bands for each of {', '.join(SLOTS)}, as "
        f"the asset conditions of an image has them. Given here: {given}; the others are 0.",
        "bands": [*CHANNEL_NAMES],
        "input": {
            "shape": [-1, len(CHANNEL_NAMES), side, side],
            "dim_order": ["batch", "bands", "height", "width"],
            "data_type": "float32",
        },
        "value_scaling": None,
        "resize_type": None,
    }
    if "prompt" not in record.generator:
        return [controls]
    prompt = {
        "name": "prompt",
        "description": "Text that says what the place looks like; may be empty.",
        "bands": [],
        "input": {"shape": [-1], "dim_order": ["batch"], "data_type": "other"},
    }
    return [controls, prompt]


def _outputs(side: int) -> list[dict[str, Any]]:
    return [
        {
            "name": "image",
            "description": "The aerial image, RGB.",
            "tasks": ["generative"],
            "bands": [*RGB],
            "result": {
                "shape": [-1, len(RGB), side, side],
                "dim_order": ["batch", "bands", "height", "width"],
                "data_type": "uint8",
            },
        }
    ]


def _assets(model: str, weights: str, network: Mapping[str, Any]) -> dict[str, Any]:
    """The model's files, wherever they lie: named by what is in them (RFC 6920).

    Of a model whose files are not known there is one asset, named by the digest of its weights.
    """
    files, definition = _mapping(network, "files"), network.get("definition")
    role = {
        "roles": ["mlm:model", "model"],
        "mlm:artifact_type": str(network.get("artifact", "unknown")),
        # MLM wants bands in the properties, which STAC 1.1 allows only where an asset has some.
        "bands": [{"name": name} for name in (*CHANNEL_NAMES, *RGB)],
    }
    if definition not in files:
        href = _named(weights) if _SHA256.fullmatch(weights) else "./run.json"
        return {"model": {"href": href, "title": f"Weights of {model}", "type": _WEIGHTS, **role}}
    assets = {}
    for name, file in files.items():
        is_weights = name.endswith(".safetensors")
        roles = {"roles": ["mlm:weights", "weights"] if is_weights else ["metadata"]}
        assets["model" if name == definition else name] = {
            "href": _named(file["sha256"]),
            "title": name,
            "type": _WEIGHTS if is_weights else JSON,
            **(role if name == definition else roles),
            "file:size": file["size"],
            "file:checksum": f"{SHA256_MULTIHASH}{file['sha256']}",
            "file:local_path": name,
        }
    return assets


def _named(sha256: str) -> str:
    """The ``ni`` URI of a content (RFC 6920, section 3), base64url without padding."""
    digest = base64.urlsafe_b64encode(bytes.fromhex(sha256)).decode().rstrip("=")
    return f"ni:///sha-256;{digest}"


def _mapping(content: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    value = content.get(name)
    return value if isinstance(value, Mapping) else {}
