"""Pictures of the conditions of tiles, for people."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rsaug.classes import ClassSet
from rsaug.conditioning import ConditionsPlan
from rsaug.conditions.road_channels import REACH_M, Channel
from rsaug.grid import Tile
from rsaug.pictures import Kind, Panel, Picture, contact_sheet, legend_of, picture_of, stack_panels

_KINDS: dict[str, Kind] = {
    "soft": "grey",
    "distance": "distance",
    "direction": "direction",
    "class": "classes",
    "lanes": "classes",
}


def conditions_sheet(plan: ConditionsPlan, tiles: Sequence[Tile], scale: float = 1.0) -> Picture:
    """Everything that is made for some tiles, a row a tile.

    Args:
        plan: What is made.
        tiles: Which tiles.
        scale: How many times as large they are shown.
    """
    rows = [tile_panels(plan, tile) for tile in tiles]
    return contact_sheet([panel for row in rows for panel in row], len(rows[0]), scale)


def tile_panels(plan: ConditionsPlan, tile: Tile) -> list[Panel]:
    """A panel of everything that is made for a tile."""
    mask, stack = plan.scene.controls(tile, plan.controls)
    given = zip(stack_panels(stack), stack.present, strict=True)
    panels = [panel for panel, present in given if present]
    labels = plan.scene.labels
    if labels is not None:
        panels.append(_labels(plan.scene.class_map(tile, mask, labels), labels))
    names = [channel.name for channel in plan.channels]
    made = plan.scene.channels(tile, names) if names else {}
    roads = plan.scene.roads.at(tile) if plan.scene.roads else None
    classes = ("", *roads.rules.classes) if roads else ()
    panels += [_channel(channel, made[channel.name], classes) for channel in plan.channels]
    if plan.content is not None:
        rgb = np.moveaxis(plan.content.pick(tile), 0, -1)
        panels.append(Panel("Content image", rgb[: tile.shape[0], : tile.shape[1]]))
    return panels


def _labels(values: NDArray[np.uint8], labels: ClassSet) -> Panel:
    there = np.unique(values)
    legend = legend_of(
        "classes",
        names=[entry.name for entry in labels.classes if entry.value in there],
        palette=np.array([e.colour for e in labels.classes if e.value in there], dtype=np.uint8),
    )
    return Panel(
        f"Labels: {labels.name}", picture_of(values, "classes", palette=labels.palette), legend
    )


def _channel(channel: Channel, values: NDArray[Any], classes: Sequence[str]) -> Panel:
    kind = _KINDS.get(channel.name, "binary")
    values = values[0] if len(channel.bands) == 1 and values.ndim == 3 else values
    if kind == "classes":
        there = [n for n in np.unique(values).tolist() if n]
        called = classes if channel.name == "class" else [f"{n}" for n in range(256)]
        names = [called[n] if n in there else "" for n in range(int(values.max()) + 1)]
        return Panel(channel.title, picture_of(values, kind), legend_of(kind, names=names))
    limits = (-REACH_M / 5, REACH_M / 5) if kind == "distance" else None
    picture = picture_of(values, kind, limits=limits)
    return Panel(channel.title, picture, legend_of(kind, limits=limits, unit=channel.unit))
