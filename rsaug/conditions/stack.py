"""The control stack: CRS-Diff's six slots, in its order, three channels each."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rsaug.errors import InputError

SLOTS = ("mlsd", "hed", "sketch", "road", "depth", "seg")
CHANNEL_NAMES = tuple(f"{slot}_{band}" for slot in SLOTS for band in "rgb")


@dataclass(frozen=True, eq=False)
class ControlStack:
    """Control maps of one tile and which of them were given.

    A map that was not given and a map without content (no roads here) are both all zero; the flag
    tells them apart.

    Attributes:
        maps: (18, rows, cols) float32 in [0, 1], channels as in `CHANNEL_NAMES`.
        present: One flag a slot, in the order of `SLOTS`.
    """

    maps: NDArray[np.float32]
    present: tuple[bool, ...]

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
            # The negation also refuses NaN, which compares false with everything.
            if values.size and not (values.min() >= 0 and values.max() <= 1):
                raise InputError(
                    f"Control {name!r} ranges from {values.min()} to {values.max()}; scale it to "
                    "[0, 1]."
                )
            maps[_channels(name)] = values
        return cls(maps, tuple(name in slots for name in SLOTS))

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
