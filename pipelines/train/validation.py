"""Pictures of what a generator has learned so far."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from rsaug.conditions.stack import SLOTS, STACK
from rsaug.pictures import Panel, Picture, contact_sheet, picture_of
from rsaug.pipelines.pipeline import CRSDiffPipeline
from rsaug.pipelines.train.examples import control_maps
from rsaug.pipelines.train.pack import Pack

_SHOWN = ("road", "seg")


@dataclass(frozen=True)
class Validation:
    """Examples to look at while a generator is trained.

    Attributes:
        pack: the examples.
        origin: what they are, e.g. ``split val``.
        rows: how many of them are shown.
        seed: of their noise; always the same, so that pictures can be compared.
    """

    pack: Pack
    origin: str
    rows: int = 4
    seed: int = 0

    def sheet(self, pipe: CRSDiffPipeline, controls: tuple[str, ...] = _SHOWN) -> Picture:
        """Controls, real image and made image of each example, a row each.

        Args:
            pipe: the model as it is.
            controls: maps to make images from, as far as all examples have them.
        """
        pack = self.pack
        rows = np.unique(np.linspace(0, len(pack) - 1, self.rows).round().astype(int))
        known = bool((pack.has_areas | pack.has_seen)[rows].all())
        slots = tuple(name for name in controls if name != "seg" or known)
        maps = np.stack([control_maps(pack, row, slots) for row in rows.tolist()])
        prompts = [next(iter(pack.captions[row]), "") for row in rows.tolist()]
        present = torch.tensor([[float(name in slots) for name in SLOTS]] * len(rows))
        made: NDArray[np.float32] = pipe(
            torch.from_numpy(maps),
            present,
            prompt=prompts,
            metadata=torch.from_numpy(pack.metadata[rows]),
            generator=[torch.Generator().manual_seed(self.seed + k) for k in range(len(rows))],
        ).images
        pixels = np.rint(made * 255).astype(np.uint8)
        panels = []
        for k, row in enumerate(rows.tolist()):
            for name in slots:
                first, slot = 3 * SLOTS.index(name), STACK[SLOTS.index(name)]
                values = maps[k, first : first + 3]
                flat = values if slot.look == "palette" else values[0]
                panels.append(Panel(slot.title, picture_of(flat, slot.look)))
            panels.append(Panel(f"Real, {self.origin}", pack.rgb[row]))
            panels.append(Panel(f"Made: {prompts[k]}" if prompts[k] else "Made", pixels[k]))
        return contact_sheet(panels, columns=len(slots) + 2)
