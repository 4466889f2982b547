"""The roads inside a run's tiles by class and width, from the layer that the run was made from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import shapely

from rsaug.errors import RsaugError
from rsaug.grid import linear_unit_m, parse_crs
from rsaug.options import ConditionsOptions, RunOptions, SynthOptions, is_network, split_name
from rsaug.record import file_sha256, read_record_of
from rsaug.reporting.run import Run
from rsaug.road_rules import default_rules, read_rules
from rsaug.roads import Roads, road_surfaces
from rsaug.storage import is_remote
from rsaug.vectors import read_vectors

_MOST_BYTES = 200 * 10**6
_WIDTH_STEPS_M = (3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 10.0, 12.0, 15.0, 20.0)


@dataclass(frozen=True)
class RoadsInTiles:
    """Roads whose middle line lies in the tiles; areas without a line are not among them.

    Attributes:
        tiles: How many tiles were looked at.
        km: Kilometres of road line.
        km_by_class: The same by class of road.
        km_by_width: The same by width of the surface, in bins.
    """

    tiles: int
    km: float
    km_by_class: Mapping[str, float]
    km_by_width: Mapping[str, float]

    def to_dict(self) -> dict[str, Any]:
        """Ready for JSON."""
        return asdict(self)


def roads_in(run: Run) -> RoadsInTiles | str:
    """The roads in the tiles that are there, or why that cannot be told, in a sentence.

    Nothing is fetched: only a file of this machine is read, and only if it is still the one that
    the run was made from.
    """
    if run.kind not in ("synth", "conditions"):
        return "Images that were edited have no tiles that roads could be measured in."
    boxes = {piece.tile: piece.box for piece in run.pieces if piece.box is not None}
    if not boxes:
        return "There is no tile yet that roads could be measured in."
    kind = SynthOptions if run.kind == "synth" else ConditionsOptions
    try:
        record = read_record_of(kind, run.folder.record)
        options: RunOptions = record.options
        if why := _not_to_be_read(options, record.inputs):
            return why
        roads = _surfaces(options)
    except RsaugError as error:
        return f"The road layer cannot be read again: {error}"
    return _measured(roads, np.array(list(boxes.values())))


def _not_to_be_read(options: RunOptions, digests: Mapping[str, str]) -> str:
    if options.roads is None:
        return "The run names no roads."
    if is_network(options.roads) or is_remote(split_name(options.roads)[1]):
        return "The roads come from elsewhere, and nothing is fetched for a report."
    for name in ("roads", "road_rules"):
        path = options.files().get(name)
        if path is None:
            continue
        if not path.exists():
            return f"The file of {name.replace('_', ' ')} is not where the record says it was."
        if path.is_file() and path.stat().st_size > _MOST_BYTES:
            return "The road layer is too large to be read once more for a report."
        if not (path.is_file() or path.is_dir()) or file_sha256(path) != digests.get(name):
            return f"The file of {name.replace('_', ' ')} is not the one the run was made from."
    return ""


def _surfaces(options: RunOptions) -> Roads:
    rules = read_rules(options.road_rules) if options.road_rules else default_rules()
    lines = read_vectors(str(options.roads), kind="lines")
    crs = parse_crs(str(options.crs))
    return road_surfaces(lines, crs, rules, tunnels=options.tunnels, allow_none=True)


def _measured(roads: Roads, boxes: np.ndarray) -> RoadsInTiles:
    has_line = np.flatnonzero(~shapely.is_missing(roads.lines))
    lines = roads.lines[has_line]
    tree = shapely.STRtree(lines)
    tile, line = tree.query(shapely.box(*boxes.T), predicate="intersects")
    left, bottom, right, top = boxes[tile].T
    inside = shapely.intersection(lines[line], shapely.box(left, bottom, right, top))
    km = shapely.length(inside) * linear_unit_m(roads.surfaces.crs) / 1000
    number = roads.road_class[has_line][line].astype(np.intp)
    width_m = roads.surfaces["width_m"].to_numpy()[has_line][line]
    classes = ("", *roads.rules.classes)
    by_class = np.bincount(number, km, len(classes))
    bins = np.searchsorted(_WIDTH_STEPS_M, width_m, side="right")
    by_width = np.bincount(bins, km, len(_WIDTH_STEPS_M) + 1)
    return RoadsInTiles(
        len(boxes),
        round(float(km.sum()), 3),
        {name: round(float(n), 3) for name, n in zip(classes, by_class, strict=True) if n > 0},
        {name: round(float(n), 3) for name, n in zip(_bin_names(), by_width, strict=True) if n > 0},
    )


def _bin_names() -> list[str]:
    low, high = (0.0, *_WIDTH_STEPS_M), _WIDTH_STEPS_M
    between = [f"{a:g} to {b:g} m" for a, b in zip(low, high, strict=False)]
    return [*between, f"{_WIDTH_STEPS_M[-1]:g} m and more"]


def input_name(value: object) -> str:
    """A layer of a record by its name alone, without folders, servers and passwords."""
    if not isinstance(value, str):
        return ""
    if is_network(value):
        return (
            value.partition(":")[0] if "://" not in value else f"{value.partition(':')[0]} server"
        )
    return Path(split_name(value)[1]).name
