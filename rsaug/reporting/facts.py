"""What a report says, in numbers: everything but the pictures."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from rsaug import __version__
from rsaug.record import now
from rsaug.reporting.looks import Look, look_at, marks_of, spread
from rsaug.reporting.roads import RoadsInTiles, input_name, roads_in
from rsaug.reporting.run import Run, counts, mapping, number, read_run
from rsaug.reporting.scores import evaluation_rows, filter_scores
from rsaug.storage import AnyPath

MEASURED = 120
"""So many tiles, spread evenly, are opened to measure land cover and marks."""

_LAYERS = ("roads", "landcover", "buildings", "parcels")
_PAUSE = 20.0
"""A gap so many times the usual one, and of a minute at least, is a pause of the run."""


@dataclass(frozen=True)
class Pace:
    """How long images took, by the times of their files.

    Attributes:
        seconds: An image, without pauses.
        over_time: The same along the run, as means of equal numbers of images in their order; none
            of few images.
        pauses: How often nothing was written for long.
        idle_seconds: Since the last image was written.
    """

    seconds: float
    over_time: tuple[float, ...]
    pauses: int
    idle_seconds: float


@dataclass(frozen=True, eq=False)
class Facts:
    """What is known of a run.

    Attributes:
        run: What its folder holds.
        looks: The pieces that were opened, spread evenly.
        shown: How many of them are shown at most.
        roads: Roads in the tiles, or why they are not told.
        pace: How long images took; None of fewer than two.
        marks: How many of the images that were opened bear which mark.
        marked_of: Of how many.
        filtered: What ``rsaug filter`` found.
        evaluated: What ``rsaug evaluate`` found.
        created: When the report was made, ISO 8601.
    """

    run: Run
    looks: tuple[Look, ...]
    shown: int
    roads: RoadsInTiles | str
    pace: Pace | None
    marks: Mapping[str, int]
    marked_of: int
    filtered: Mapping[str, Any] | None
    evaluated: Sequence[Mapping[str, Any]] | None
    created: str

    @property
    def road_shares(self) -> list[float]:
        """Share of road of each tile, from 0 to 1, those of the items or else of the masks."""
        said = {p.tile: p.road_share for p in self.run.pieces if p.road_share is not None}
        if said:
            return list(said.values())
        return [look.road_share for look in self.looks if look.road_share is not None]

    @property
    def covered(self) -> dict[str, Mapping[str, float]]:
        """Share of land cover by class of each tile that was opened and has a map of it."""
        return {look.piece.tile: look.classes for look in self.looks if look.classes}

    @property
    def classes(self) -> dict[str, float]:
        """Mean share of land cover by class in the tiles that were opened, the largest first."""
        maps = list(self.covered.values())
        names = {name for found in maps for name in found}
        means = {n: sum(found.get(n, 0.0) for found in maps) / len(maps) for n in names}
        return dict(sorted(means.items(), key=lambda entry: (-entry[1], entry[0])))

    @property
    def area_km2(self) -> float | None:
        """Area of the tiles, from their sizes in metres of the CRS; None where it is not known."""
        gsd, side = number(self.run.options.get("gsd")), number(self.run.options.get("tile_size"))
        if gsd is None or side is None:
            return None
        return len({piece.tile for piece in self.run.pieces}) * (gsd * side / 1000) ** 2

    @property
    def inputs(self) -> list[dict[str, Any]]:
        """The files that were read: option, name, SHA-256, and what was made of their features."""
        digests, layers = mapping(self.run.record, "inputs"), mapping(self.run.record, "layers")
        names = [*self.run.options, *digests]
        rows = []
        for name in dict.fromkeys(str(n) for n in names if n in digests or n in _LAYERS):
            called = input_name(self.run.options.get(name))
            if not called and name not in digests:
                continue
            layer = mapping(layers, name)
            used = sum(counts(layer, "by_rule" if name == "roads" else "by_class").values())
            left = sum(counts(layer, "dropped").values()) + sum(counts(layer, "unknown").values())
            digest = digests.get(name)
            rows.append(
                {
                    "option": name,
                    "name": called,
                    "sha256": digest if isinstance(digest, str) else "",
                    "used": int(used) if layer else None,
                    "left_out": int(left) if layer else None,
                }
            )
        return rows

    @property
    def left_out(self) -> dict[str, dict[str, int]]:
        """What of the layers came to nothing, by layer and reason, the most frequent first."""
        found: dict[str, dict[str, int]] = {}
        for name, layer in mapping(self.run.record, "layers").items():
            if not isinstance(layer, Mapping):
                continue
            parts: Counter[str] = Counter()
            for part, said in (("dropped", ""), ("unknown", "not known: "), ("ignored", "tag: ")):
                parts.update({said + k: int(v) for k, v in counts(layer, part).items()})
            if not parts and name in ("depth", "reference"):
                parts.update({str(k): int(number(v) or 0) for k, v in layer.items()})
            if parts:
                found[str(name)] = dict(parts.most_common())
        return found

    @property
    def failures(self) -> dict[str, list[str]]:
        """Names of what could not be made, by reason, the most frequent first."""
        by_reason: dict[str, list[str]] = {}
        for failure in self.run.failed:
            by_reason.setdefault(failure.reason, []).append(failure.item)
        return dict(sorted(by_reason.items(), key=lambda entry: -len(entry[1])))

    @property
    def seeds(self) -> dict[str, Any]:
        """The seed of the run, and how many different ones its images have."""
        seeds = [piece.seed for piece in self.run.pieces if piece.seed is not None]
        return {
            "run": self.run.options.get("seed"),
            "images": len(seeds),
            "different": len({*seeds}),
        }

    @property
    def versions(self) -> dict[str, str]:
        """Versions of what made the images, and how many items name others."""
        versions = mapping(self.run.generator, "versions")
        software = str(self.run.record.get("software", ""))
        found = {"rsaug": software.removeprefix("rsaug ")} if software else {}
        return found | {str(name): str(version) for name, version in versions.items()}

    def to_dict(self) -> dict[str, Any]:
        """Ready for JSON."""
        run = self.run
        shares = self.road_shares
        return {
            "run": run.name,
            "command": run.kind,
            "created": run.record.get("created"),
            "report": {"software": f"rsaug {__version__}", "created": self.created},
            "images": run.asked,
            "complete": sum(piece.whole for piece in run.pieces),
            "missing": run.missing,
            "broken": [piece.name for piece in run.pieces if not piece.whole],
            "unreadable": list(run.unreadable),
            "besides": run.besides,
            "failed": self.failures,
            "tiles": len({piece.tile for piece in run.pieces}),
            "area_km2": self.area_km2,
            "bytes": run.bytes,
            "options": dict(run.options),
            "inputs": self.inputs,
            "left_out": self.left_out,
            "road_share": _quantiles(shares),
            "roads_in_tiles": self.roads if isinstance(self.roads, str) else self.roads.to_dict(),
            "landcover": {"tiles": len(self.covered), **self.classes},
            "seeds": self.seeds,
            "pace": None if self.pace is None else asdict(self.pace),
            "marks": {"images": self.marked_of, **self.marks},
            "attribution": self.attribution,
            "generator": {
                k: v for k, v in run.generator.items() if k not in ("network", "acceleration")
            },
            "versions": self.versions,
            "filter": self.filtered,
            "evaluation": self.evaluated,
        }

    @property
    def attribution(self) -> list[str]:
        """Whom the map data ask to be named."""
        value = self.run.record.get("attribution")
        return [str(name) for name in value] if isinstance(value, list) else []


def gather(where: AnyPath | str, shown: int) -> Facts:
    """What is known of the run in a folder.

    Args:
        where: The folder.
        shown: How many images are to be shown at most.

    Raises:
        InputError: if it is not the folder of a run that a report can be made of.
    """
    run = read_run(where)
    # Variants share mask and maps: the first of each tile is enough to measure, all can be shown.
    first = [*{piece.tile: piece for piece in reversed(run.pieces)}.values()][::-1]
    opened = {piece.name: piece for piece in (*spread(first, MEASURED), *spread(run.pieces, shown))}
    looks = tuple(look_at(opened[name]) for name in sorted(opened))
    marks = [found for look in looks if (found := marks_of(look.piece)) is not None]
    return Facts(
        run=run,
        looks=looks,
        shown=shown,
        roads=roads_in(run),
        pace=_pace(run),
        marks={name: sum(found[name] for found in marks) for name in (marks[0] if marks else ())},
        marked_of=len(marks),
        filtered=filter_scores(run),
        evaluated=evaluation_rows(run),
        created=now(),
    )


def _pace(run: Run) -> Pace | None:
    times = np.sort([piece.written for piece in run.pieces if piece.written > 0])
    if len(times) < 2 or times[-1] == times[0]:
        return None
    gaps = np.diff(times)
    usual = float(gaps[gaps > 0].mean()) if len(gaps) < 8 else float(np.median(gaps[gaps > 0]))
    is_pause = gaps > max(60.0, _PAUSE * usual)
    work = np.where(is_pause, 0.0, gaps)
    counted = int((~is_pause).sum())
    if not counted:
        return None
    # Images are written in batches, so single gaps say little.
    parts = min(40, len(gaps) // 8)
    over_time = [float(part.mean()) for part in np.array_split(work, parts)] if parts > 5 else []
    return Pace(
        round(float(work.sum()) / counted, 3),
        tuple(round(value, 3) for value in over_time),
        int(is_pause.sum()),
        round(max(0.0, time.time() - float(times[-1])), 1),
    )


def _quantiles(values: Sequence[float]) -> dict[str, float]:
    if not values:
        return {}
    names = {"least": 0.0, "quarter": 0.25, "median": 0.5, "three_quarters": 0.75, "most": 1.0}
    return {"tiles": len(values), "mean": round(float(np.mean(values)), 4)} | {
        name: round(float(np.quantile(values, q)), 4) for name, q in names.items()
    }
