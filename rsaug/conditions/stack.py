"""The control stack: CRS-Diff's six slots, in its order, three channels each.

This is the one description of the stack. What reads or writes one takes it from here.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from rsaug.errors import InputError

Look = Literal["binary", "grey", "palette"]


@dataclass(frozen=True)
class Slot:
    """One control of the stack.

    Attributes:
        name: Its name, also that of its bands: ``road_r``, ``road_g``, ``road_b``.
        title: Its name for readers.
        meaning: What the numbers say, which are in [0, 1] in every slot.
        look: ``binary`` and ``grey`` have the same numbers in all three channels, ``binary`` only 0
            and 1; ``palette`` has a colour a class.
        nothing: The number where a map that was given has nothing to show. A map that was not given
            is 0 everywhere, whatever its slot.
    """

    name: str
    title: str
    meaning: str
    look: Look
    nothing: float = 0.0


STACK: tuple[Slot, ...] = (
    Slot("mlsd", "Straight lines", "1 on straight line segments one pixel wide", "binary"),
    Slot("hed", "Soft edges", "strength of an edge", "grey"),
    Slot("sketch", "Sketch", "dark strokes on a light ground", "grey", nothing=1.0),
    Slot("road", "Roads", "1 on the surface of a road", "binary"),
    Slot("depth", "Depth", "height: the higher, the nearer to the camera, the lighter", "grey"),
    Slot("seg", "Land cover", "colour of a LoveDA class", "palette"),
)

SLOTS = tuple(slot.name for slot in STACK)
CHANNEL_NAMES = tuple(f"{slot}_{band}" for slot in SLOTS for band in "rgb")


@dataclass(frozen=True, eq=False)
class ControlStack:
    """Control maps of one tile and which of them were given.

    A map that was not given and a road map without a road are both all zero; the flag tells them
    apart.

    Attributes:
        maps: (18, rows, cols) float32 in [0, 1], channels as in `CHANNEL_NAMES`.
        present: One flag a slot, in the order of `SLOTS`.
    """

    maps: NDArray[np.float32]
    present: tuple[bool, ...]

    def __post_init__(self) -> None:
        """Refuse what is no stack.

        Raises:
            InputError: if the shape, the number of flags or a number in a map is not as described.
        """
        if self.maps.ndim != 3 or len(self.maps) != len(CHANNEL_NAMES):
            raise InputError(
                f"A control stack has the shape ({len(CHANNEL_NAMES)}, rows, cols), not "
                f"{self.maps.shape}."
            )
        if len(self.present) != len(SLOTS):
            raise InputError(f"{len(self.present)} flags for {len(SLOTS)} controls.")
        for name, given in zip(SLOTS, self.present, strict=True):
            part = self.slot(name)
            if not given and part.any():
                raise InputError(f"Control {name!r} is marked as not given, but is not all zero.")
            _check_range(name, part)

    @property
    def given(self) -> tuple[str, ...]:
        """Names of the controls that were given."""
        return tuple(name for name, given in zip(SLOTS, self.present, strict=True) if given)

    @classmethod
    def from_maps(cls, shape: tuple[int, int], **slots: NDArray[np.generic]) -> ControlStack:
        """A stack of the given maps; the slots that are not named are absent.

        Args:
            shape: (rows, cols) of the tile.
            **slots: By slot name, (rows, cols) for the same value in three channels, or
                (3, rows, cols); numbers in [0, 1].

        Raises:
            InputError: if a name is no slot, or a map has another shape or leaves [0, 1].
        """
        unknown = sorted(set(slots) - set(SLOTS))
        if unknown:
            raise InputError(f"No control is called {unknown[0]!r}; the slots are {list(SLOTS)}.")
        maps = np.zeros((3 * len(SLOTS), *shape), dtype=np.float32)
        for name, values in slots.items():
            if values.shape not in (shape, (3, *shape)):
                raise InputError(
                    f"Control {name!r} has the shape {values.shape}; {shape} or {(3, *shape)} is "
                    "needed."
                )
            maps[_channels(name)] = values
        return cls(maps, tuple(name in slots for name in SLOTS))

    def only(self, names: Collection[str]) -> ControlStack:
        """The stack with the controls of these names alone; the others are not given."""
        if set(self.given) <= set(names):
            return self
        kept = {name: self.slot(name) for name in self.given if name in names}
        return ControlStack.from_maps(self.maps.shape[1:], **kept)

    def cut(self, box: tuple[slice, slice]) -> ControlStack:
        """The stack on a part of its rows and columns."""
        return ControlStack(self.maps[(slice(None), *box)], self.present)

    def slot(self, name: str) -> NDArray[np.float32]:
        """View of one slot's map, (3, rows, cols).

        Raises:
            InputError: if there is no slot of that name.
        """
        if name not in SLOTS:
            raise InputError(f"No control is called {name!r}; the slots are {list(SLOTS)}.")
        return self.maps[_channels(name)]


def _channels(name: str) -> slice:
    first = 3 * SLOTS.index(name)
    return slice(first, first + 3)


def _check_range(name: str, values: NDArray[np.float32]) -> None:
    # The negation also refuses NaN, which compares false with everything.
    if values.size and not (values.min() >= 0 and values.max() <= 1):
        raise InputError(
            f"Control {name!r} ranges from {values.min():g} to {values.max():g}; scale it to "
            "[0, 1]."
        )


def band_tags(present: tuple[bool, ...]) -> list[dict[str, str]]:
    """Metadata of each of the 18 bands: what it holds, in which range, whether it was given."""
    return [
        {
            "CONTROL": slot.name,
            "MEANING": f"{slot.title}: {slot.meaning}",
            "RANGE": "0 or 1" if slot.look == "binary" else "0 to 1",
            "LOOK": slot.look,
            "GIVEN": "YES" if given else "NO",
        }
        for slot, given in zip(STACK, present, strict=True)
        for _ in "rgb"
    ]
