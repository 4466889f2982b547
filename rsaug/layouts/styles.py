"""How layouts grow: spacing, widths and kinds of streets, and what stands in the blocks.

Spacings, widths and shares of kinds are chosen after the digitized training places of
`rsaug.downstream.datasets.NAIPRoads`: residential streets of 9.8 m, primary ones of 14 m, alleys of
4.8 m, tracks of 4.8 m in the mean, and 3 to 4 areas in 153.6 m x 153.6 m. docs/layouts.md compares.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

Range = tuple[float, float]


@dataclass(frozen=True)
class Style:
    """One kind of grown layout.

    Attributes:
        along_u_m: Least and greatest distance of the streets across u.
        along_v_m: The same across v.
        bend_m: Most that a wave displaces the net.
        wave_m: Least and greatest length of such a wave.
        gaps: Share of the pieces of streets that are missing.
        stubs: Share of the streets in whose gaps dead ends reach.
        bulb_m: Radius of the paved disc at a dead end, where one turns; 0 for none.
        alleys: Share of the rows of blocks with an alley.
        spurs: Share of the pieces of streets from which a service road leads into a block.
        arterials: Major roads to be expected along each axis, at most 2.
        minors: Kinds of minor streets with their share, mean and deviation of their width.
        majors: The same of major roads.
        blocks: Shares of what blocks are: ``houses``, ``shops``, ``park``, ``bare``, ``school``,
            ``field``, ``farm``, ``nothing``.
        interchange: Whether a motorway runs through, with a crossing and ramps.
    """

    along_u_m: Range
    along_v_m: Range
    bend_m: float
    wave_m: Range
    gaps: float
    stubs: float
    bulb_m: float
    alleys: float
    spurs: float
    arterials: float
    minors: Mapping[str, tuple[float, float, float]]
    majors: Mapping[str, tuple[float, float, float]]
    blocks: Mapping[str, float]
    interchange: bool = False
    least_width_m: float = field(default=2.5, repr=False)

    def minor(self, rng: np.random.Generator) -> tuple[str, float]:
        """Kind and width of a minor street, in metres."""
        return self._draw(self.minors, rng)

    def major(self, rng: np.random.Generator) -> tuple[str, float]:
        """Kind and width of a major road, in metres."""
        return self._draw(self.majors, rng)

    def block(self, rng: np.random.Generator) -> str:
        """What a block is."""
        shares = np.array([*self.blocks.values()])
        return str(rng.choice([*self.blocks], p=shares / shares.sum()))

    def _draw(
        self, kinds: Mapping[str, tuple[float, float, float]], rng: np.random.Generator
    ) -> tuple[str, float]:
        shares = np.array([share for share, _, _ in kinds.values()])
        name = str(rng.choice([*kinds], p=shares / shares.sum()))
        _, mean, deviation = kinds[name]
        # Within two deviations: no road of the training places is much beyond.
        width = rng.normal(mean, deviation)
        low = max(mean - 2 * deviation, self.least_width_m)
        return name, float(np.clip(width, low, mean + 2 * deviation))


_STREETS = {"residential": (1.0, 9.8, 1.5)}
_MAJORS = {"primary": (0.7, 14.5, 4.0), "secondary": (0.3, 12.3, 3.0)}

STYLES: Mapping[str, Style] = {
    "grid": Style(
        along_u_m=(75.0, 120.0),
        along_v_m=(120.0, 210.0),
        bend_m=4.0,
        wave_m=(400.0, 900.0),
        gaps=0.25,
        stubs=0.3,
        bulb_m=0.0,
        alleys=0.3,
        spurs=0.3,
        arterials=0.8,
        minors={"residential": (0.85, 9.8, 1.6), "service": (0.15, 7.0, 1.8)},
        majors=_MAJORS,
        blocks={
            "houses": 0.45,
            "shops": 0.25,
            "park": 0.05,
            "bare": 0.07,
            "school": 0.05,
            "nothing": 0.13,
        },
    ),
    "suburb": Style(
        along_u_m=(70.0, 110.0),
        along_v_m=(150.0, 260.0),
        bend_m=30.0,
        wave_m=(260.0, 520.0),
        gaps=0.35,
        stubs=0.8,
        bulb_m=11.0,
        alleys=0.0,
        spurs=0.08,
        arterials=0.5,
        minors=_STREETS,
        majors=_MAJORS,
        blocks={"houses": 0.72, "park": 0.07, "bare": 0.09, "school": 0.04, "nothing": 0.08},
    ),
    "rural": Style(
        along_u_m=(130.0, 260.0),
        along_v_m=(160.0, 320.0),
        bend_m=14.0,
        wave_m=(350.0, 800.0),
        gaps=0.4,
        stubs=0.4,
        bulb_m=0.0,
        alleys=0.0,
        spurs=0.12,
        arterials=0.7,
        minors={"track": (0.7, 4.8, 1.4), "residential": (0.2, 7.5, 1.2), "service": (0.1, 5.0, 1)},
        majors={"secondary": (0.5, 9.5, 1.5), "residential": (0.5, 8.0, 1.2)},
        blocks={"field": 0.42, "bare": 0.13, "farm": 0.2, "nothing": 0.25},
    ),
    "highway": Style(
        along_u_m=(90.0, 150.0),
        along_v_m=(130.0, 220.0),
        bend_m=12.0,
        wave_m=(450.0, 900.0),
        gaps=0.2,
        stubs=0.3,
        bulb_m=0.0,
        alleys=0.0,
        spurs=0.35,
        arterials=0.0,
        minors={"residential": (0.7, 9.8, 1.6), "service": (0.3, 7.0, 1.8)},
        majors={"secondary": (0.5, 11.5, 2.0), "residential": (0.5, 10.0, 1.5)},
        blocks={"houses": 0.3, "shops": 0.4, "bare": 0.15, "park": 0.05, "nothing": 0.1},
        interchange=True,
    ),
}
"""Styles by the name of the kind."""

KINDS = ("grid", "suburb", "grid", "suburb", "rural", "grid", "suburb", "highway")
"""Kinds in turn, about as often as the scenes of the training places are of each."""
