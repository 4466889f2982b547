"""A motorway of two carriageways, a road over it, and ramps between them, unbent."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import geopandas as gpd
import numpy as np
import shapely
from numpy.typing import NDArray

from rsaug.layouts.layout import roads_frame

_BRIDGE_M = 8.0  # The bridge reaches so far beyond the outer edges of the carriageways.
_RAMP_POINTS = 24


@dataclass(frozen=True)
class Interchange:
    """A diamond: the simplest interchange, with one ramp in each quarter.

    Attributes:
        at: Where on u the crossing road runs.
        half: How far the motorway reaches to both sides.
        lanes_m: Width of each carriageway.
        median_m: Width of what is between them.
        cross_m: Width of the crossing road.
        ramp_m: Width of a ramp.
        ramp_long_m: How far along the motorway a ramp begins before the crossing road.
        meets_m: How far from the middle of the motorway ramps meet the crossing road.
        ramps: Which of the four quarters have a ramp.
    """

    CLEAR_M: ClassVar[float] = 85.0
    """No street comes nearer to the middle of the motorway."""

    at: float
    half: float
    lanes_m: float
    median_m: float
    cross_m: float
    ramp_m: float
    ramp_long_m: float
    meets_m: float
    ramps: tuple[bool, bool, bool, bool]

    @classmethod
    def drawn(
        cls, streets: NDArray[np.float64], half: float, rng: np.random.Generator
    ) -> Interchange:
        """An interchange at one of the streets near the middle."""
        near = streets[np.argsort(np.abs(streets))[:3]]
        return cls(
            at=float(rng.choice(near)),
            half=1.15 * half,
            lanes_m=float(rng.uniform(12.0, 22.0)),
            median_m=float(rng.uniform(3.0, 14.0)),
            cross_m=float(rng.uniform(11.0, 20.0)),
            ramp_m=float(rng.uniform(5.0, 8.0)),
            ramp_long_m=float(rng.uniform(170.0, 260.0)),
            meets_m=float(rng.uniform(45.0, 65.0)),
            ramps=tuple((rng.random(4) < 0.85).tolist()),
        )

    def roads(self) -> gpd.GeoDataFrame:
        """Its roads with tags, in the plane of the net."""
        lines: list[shapely.LineString] = []
        tags: list[tuple[str, float, str | None, str | None, str | None]] = []
        off = (self.lanes_m + self.median_m) / 2
        for sign in (-1, 1):
            lines.append(shapely.LineString([(-self.half, sign * off), (self.half, sign * off)]))
            tags.append(("motorway", self.lanes_m, "yes", None, None))
        edge = off + self.lanes_m / 2 + _BRIDGE_M
        # As far as the streets along the motorway on both sides, and on through the town.
        for a, b, bridge in (
            (-self.half, -edge, None),
            (-edge, edge, "yes"),
            (edge, self.half, None),
        ):
            lines.append(shapely.LineString([(self.at, a), (self.at, b)]))
            tags.append(("primary", self.cross_m, None, bridge, "1" if bridge else None))
        for there, (side, along) in zip(
            self.ramps, [(1, 1), (1, -1), (-1, 1), (-1, -1)], strict=True
        ):
            if there:
                lines.append(self._ramp(side, along, off))
                tags.append(("motorway_link", self.ramp_m, "yes", None, None))
        kinds, widths, oneways, bridges, layers = zip(*tags, strict=True)
        return roads_frame(
            lines,
            highway=list(kinds),
            width=np.round(widths, 2),
            oneway=list(oneways),
            bridge=list(bridges),
            layer=list(layers),
        )

    def _ramp(self, side: int, along: int, off: float) -> shapely.LineString:
        """A ramp as a cubic Bezier curve that leaves the carriageway along it."""
        start = np.array([self.at + along * self.ramp_long_m, side * (off + self.lanes_m * 0.3)])
        end = np.array([self.at, side * self.meets_m])
        leave = start - np.array([along * 0.55 * self.ramp_long_m, 0.0])
        arrive = end + np.array([along * 0.35 * self.ramp_long_m, 0.0])
        t = np.linspace(0, 1, _RAMP_POINTS)[:, None]
        curve = (
            (1 - t) ** 3 * start
            + 3 * (1 - t) ** 2 * t * leave
            + 3 * (1 - t) * t**2 * arrive
            + t**3 * end
        )
        return shapely.LineString(curve)
