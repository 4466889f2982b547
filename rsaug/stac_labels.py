"""What the catalogue says of labels: the label extension, and ML-AOI for images to learn from.

Label 1.0.1 is in maturity "pilot" and has no successor; ML-AOI 0.2, which builds on it, and the
models of MLM refer to it. An item of a synthetic image is at once the item of the imagery, of its
labels and of the area to learn from, so the links that the two extensions demand lead to itself.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from rsaug.stac_extensions import GEOJSON

SPLIT = "train"
"""The part of a data set that a synthetic image belongs to: never ``validate`` or ``test``."""

ROADS = ("background", "road")
"""Classes of a road mask by their numbers."""

LABEL_ROLES = ("labels", "labels-raster")
"""Roles of an asset that is a raster of labels."""

_NO_NAME = re.compile(r"[^0-9A-Za-z_-]+")


def road_counts(road_fraction: float, pixels: int) -> dict[str, int]:
    """How many pixels of a road mask are of which class.

    Args:
        road_fraction: Share of the mask that is road.
        pixels: How many it has.
    """
    road = round(road_fraction * pixels)
    return dict(zip(ROADS, (pixels - road, road), strict=True))


def label_fields(
    text: str, counts: Sequence[Mapping[str, int]], tasks: Sequence[str] = ("segmentation",)
) -> dict[str, Any]:
    """Fields of the label extension for rasters of classes.

    Args:
        text: What the labels are and how they came about.
        counts: For each raster its classes by rising number, and how many pixels each has.
        tasks: What they are labels for.
    """
    return {
        "label:type": "raster",
        # Names of columns, which a raster has not: "Item Properties" and "Class Object" want null.
        "label:properties": None,
        "label:classes": [{"name": None, "classes": [*classes]} for classes in counts],
        "label:tasks": [*tasks],
        "label:methods": ["automated"],
        "label:description": text,
        "label:overviews": [
            {"counts": [{"name": name, "count": count} for name, count in classes.items()]}
            for classes in counts
        ],
    }


def label_summaries(
    classes: Sequence[Sequence[str]], tasks: Sequence[str] = ("segmentation",)
) -> dict[str, list[Any]]:
    """What all items of a collection share of `label_fields`; arguments as there."""
    return {
        "label:type": ["raster"],
        "label:classes": [{"name": None, "classes": [*names]} for names in classes],
        "label:tasks": [*tasks],
        "label:methods": ["automated"],
    }


def training_links(name: str) -> list[dict[str, Any]]:
    """The links of an item of an image with its road mask, to the imagery and to the labels.

    Label, "Links: source imagery": ``source`` leads to the item of the imagery. ML-AOI, "Links":
    ``derived_from`` leads to one item with labels, and to at least one with imagery.

    Args:
        name: Name of the item.
    """
    itself = {"href": f"./{name}.json", "type": GEOJSON}
    return [
        {"rel": "source", **itself, "title": "Imagery of the labels", "label:assets": ["image"]},
        {"rel": "derived_from", **itself, "title": "Imagery", "ml-aoi:role": "feature"},
        {"rel": "derived_from", **itself, "title": "Labels", "ml-aoi:role": "label"},
    ]


def class_entry(
    value: int, name: str, colour: Sequence[int] = (), description: str = ""
) -> dict[str, Any]:
    """A class object of the classification extension.

    Its ``name`` has letters, digits, ``-`` and ``_`` only; a name with others is its ``title``.

    Args:
        value: Its number in the raster.
        name: Its name.
        colour: Red, green and blue, 0 to 255 each.
        description: What it is.
    """
    plain = _NO_NAME.sub("-", name).strip("-") or f"class-{value}"
    more = {
        "title": name if name != plain else "",
        "description": description,
        "color_hint": "".join(f"{band:02X}" for band in colour),
    }
    return {
        "value": value,
        "name": plain,
        **{field: text for field, text in more.items() if text},
    }
