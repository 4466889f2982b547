"""Local controls with a strength, a step interval and a region each.

All that a denoising step knows of the controls is the scale and shift of the adapter's norms
(`rsaug.pipelines.adapter.Modulation`), a function M of the set of maps that are given. Strengths
s of the controls weigh the sets,

    M(s) = sum over subsets S of  prod(s_k, k in S) * prod(1 - s_k, k not in S) * M(S),

the multilinear function that equals M(S) wherever every strength is 0 or 1. So a control of
strength 0 is absent to the bit, strength 1 is the plain model, and what lies between, or beyond 1,
moves along a straight line. Strengths may differ from place to place, which makes regions. It costs
a pass of the pyramid for every subset of the controls that are neither fully on nor off, once a
trajectory, and nothing a step.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from rsaug.conditions.stack import SLOTS
from rsaug.pipelines.adapter import LocalAdapter, Modulation
from rsaug.pipelines.guidance import Branch, Interval, check_interval, within


@dataclass(frozen=True, eq=False)
class ControlUse:
    """How one control is used.

    Attributes:
        strength: 0 is absence, 1 the plain model, more is more.
        interval: when it is given; outside it is absent.
        region: (1 or n, h, w) in [0, 1] at the size of the control maps, by which the strength is
            multiplied; None for everywhere.

    Raises:
        ValueError: for a strength that is negative or no number, or an interval that is none.
    """

    strength: float = 1.0
    interval: Interval = (0.0, 1.0)
    region: Tensor | None = None

    def __post_init__(self) -> None:
        """Check what can be checked without the maps."""
        if not (math.isfinite(self.strength) and self.strength >= 0):
            raise ValueError(f"a control's strength must be 0 or more, not {self.strength}")
        check_interval(self.interval, "a control")

    @property
    def plain(self) -> bool:
        """Whether the control is just there while it is given."""
        return self.strength == 1 and self.region is None


def check_uses(uses: Mapping[str, ControlUse], controls: Tensor, present: Tensor) -> None:
    """Raise ValueError unless ``uses`` fit the maps.

    Args:
        uses: by name of the slot.
        controls: (n, 18, h, w).
        present: (n, 6).
    """
    for name, use in uses.items():
        if name not in SLOTS:
            raise ValueError(f"there is no control {name!r}; there are {', '.join(SLOTS)}")
        if not present[:, SLOTS.index(name)].any():
            raise ValueError(f"the control {name} is to be used in some way, but it is not given")
        if use.region is None:
            continue
        count, *size = use.region.shape
        if count not in (1, len(controls)) or tuple(size) != tuple(controls.shape[-2:]):
            raise ValueError(
                f"the region of {name} must be (1 or {len(controls)}, "
                f"{controls.shape[-2]}, {controls.shape[-1]}), got {tuple(use.region.shape)}"
            )


class Steering:
    """The modulation of every step and branch, each computed once.

    Args:
        adapter: what encodes the controls.
        controls: (n, 18, h, w) in [0, 1], on the adapter's device and in its precision.
        present: (n, 6).
        uses: how controls are used, by name; plainly where not said.
    """

    def __init__(
        self,
        adapter: LocalAdapter,
        controls: Tensor,
        present: Tensor,
        uses: Mapping[str, ControlUse],
    ) -> None:
        self._adapter, self._controls, self._present = adapter, controls, present
        self._uses = {name: uses.get(name, ControlUse()) for name in SLOTS}
        given = present.any(0).tolist()
        self._given = tuple(name for name, there in zip(SLOTS, given, strict=True) if there)
        self._encoded: dict[tuple[str, ...], Modulation] = {}
        self._mixed: dict[tuple[str, ...], Modulation] = {}
        self._batched: dict[object, Modulation] = {}

    def at(self, moment: float, branches: Iterable[Branch]) -> Modulation:
        """The modulation for the branches of a step, one after the other along the batch.

        Args:
            moment: from 0 to 1; see `rsaug.pipelines.guidance.Interval`.
            branches: which predictions are to be made.
        """
        active = tuple(
            name
            for name in self._given
            if self._uses[name].strength > 0 and within(moment, self._uses[name].interval)
        )
        order = tuple(branches)
        if (active, order) not in self._batched:
            parts = [self._mix(() if b is Branch.FREE else active) for b in order]
            self._batched[active, order] = [
                (torch.cat([p[k][0] for p in parts]), torch.cat([p[k][1] for p in parts]))
                for k in range(len(parts[0]))
            ]
        return self._batched[active, order]

    def _mix(self, active: tuple[str, ...]) -> Modulation:
        """The modulation for some controls, each at its strength and in its region."""
        if active not in self._mixed:
            partial = [name for name in active if not self._uses[name].plain]
            whole = [name for name in active if self._uses[name].plain]
            total: Modulation | None = None
            for chosen in _subsets(partial):
                encoded = self._encode(tuple(n for n in SLOTS if n in (*whole, *chosen)))
                weights = [(self._uses[name], name in chosen) for name in partial]
                term = [(_weigh(a, weights), _weigh(b, weights)) for a, b in encoded]
                total = term if total is None else _add(total, term)
            self._mixed[active] = total or []
        return self._mixed[active]

    def _encode(self, names: tuple[str, ...]) -> Modulation:
        """The modulation for maps as they are, those of other slots absent."""
        if names not in self._encoded:
            flags = self._present.new_tensor([float(name in names) for name in SLOTS])
            channels = self._controls.shape[1] // len(SLOTS)
            mask = flags.repeat_interleave(channels).view(1, -1, 1, 1)
            maps = self._controls * mask.to(self._controls.dtype)
            self._encoded[names] = self._adapter.encode_controls(maps, self._present * flags)
        return self._encoded[names]


def _subsets(names: Sequence[str]) -> Iterable[tuple[str, ...]]:
    sizes = range(len(names) + 1)
    return itertools.chain.from_iterable(itertools.combinations(names, size) for size in sizes)


def _weigh(x: Tensor, weights: Sequence[tuple[ControlUse, bool]]) -> Tensor:
    """``x`` (n, c, h, w) times the strength of each chosen control, and 1 less that of others."""
    for use, chosen in weights:
        strength: Tensor = x.new_full((1, 1, 1, 1), use.strength)
        if use.region is not None:
            region = use.region[:, None].to(x.device, x.dtype)
            strength = strength * F.interpolate(region, x.shape[-2:], mode="area")
        x = x * (strength if chosen else 1 - strength)
    return x


def _add(a: Modulation, b: Modulation) -> Modulation:
    return [(x[0] + y[0], x[1] + y[1]) for x, y in zip(a, b, strict=True)]
