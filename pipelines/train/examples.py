"""Batches for the denoiser: which conditions a sample sees, turned and encoded."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from diffusers import AutoencoderDC
from numpy.typing import NDArray
from torch import Tensor

from rsaug.conditions.landcover import PALETTE
from rsaug.conditions.stack import SLOTS
from rsaug.pipelines.content import latent_statistics
from rsaug.pipelines.train.autoencoder import to_unit
from rsaug.pipelines.train.loop import turn
from rsaug.pipelines.train.pack import EDGE_SLOTS, Pack, compose_seg, seen_seg

ORIENTATIONS = 8


@dataclass(frozen=True)
class ConditionMix:
    """How often a sample sees what; weighted for the way people will use the model.

    Attributes:
        controls: (probability, slots given) of each combination.
        drop_text: probability that a sample with controls goes without text.
        drop_content: the same of the content image.
        drop_metadata: probability that all metadata is dropped.
        drop_field: probability of each field to be dropped, where not all are.
        drop_all: probability that a sample without controls goes without text and content too.
    """

    controls: tuple[tuple[float, tuple[str, ...]], ...] = (
        (0.36, ("road",)),
        (0.22, ("road", "seg")),
        (0.06, ("road", "seg", "hed")),
        (0.05, ("road", "seg", "mlsd", "hed", "sketch")),
        (0.04, ("road", "hed")),
        (0.04, ("road", "mlsd")),
        (0.04, ("road", "sketch")),
        (0.03, ("seg",)),
        (0.02, ("hed",)),
        (0.02, ("mlsd",)),
        (0.02, ("sketch",)),
        (0.10, ()),
    )
    drop_text: float = 0.5
    drop_content: float = 0.6
    drop_metadata: float = 0.3
    drop_field: float = 0.2
    drop_all: float = 0.7

    @property
    def slots(self) -> tuple[str, ...]:
        """Slots that occur at all, in the stack's order."""
        used = {slot for _, slots in self.controls for slot in slots}
        return tuple(slot for slot in SLOTS if slot in used)


@dataclass(frozen=True)
class Batch:
    """One training batch; n samples.

    Attributes:
        latents: (n, c, h/8, w/8) clean latents.
        controls: (n, 18, h, w) in [0, 1].
        present: (n, 6).
        prompts: n texts.
        content: (n, 2c) image embeddings, zero where absent.
        metadata: (n, 7), NaN where absent.
    """

    latents: Tensor
    controls: Tensor
    present: Tensor
    prompts: list[str]
    content: Tensor
    metadata: Tensor

    def to(self, device: torch.device) -> Batch:
        """The batch with its tensors on ``device``."""
        tensors: dict[str, Any] = {
            k: v.to(device) for k, v in vars(self).items() if isinstance(v, Tensor)
        }
        return replace(self, **tensors)


class LatentCache:
    """Latents of every example in every orientation, encoded when first asked for.

    The autoencoder is not equivariant, so a turned image is encoded, not a latent turned. All
    orientations of an example are encoded together, so that a latent does not depend on what else
    a batch asks for.

    Args:
        rgb: (n, size, size, 3) uint8 images.
        vae: the trained autoencoder.
        device: where to encode; the cache itself stays in host memory.
    """

    def __init__(self, rgb: NDArray[np.uint8], vae: AutoencoderDC, device: torch.device) -> None:
        self.rgb, self.device = torch.from_numpy(rgb), device
        self.vae = vae.eval().to(device, memory_format=torch.channels_last)
        side = rgb.shape[1] // 8
        shape = (len(rgb), ORIENTATIONS, vae.config.latent_channels, side, side)
        self.latents = torch.zeros(shape, dtype=torch.float16)
        self.ready = np.zeros(len(rgb), dtype=bool)

    @torch.no_grad()
    def get(self, rows: NDArray[np.int64], orientations: NDArray[np.int64]) -> Tensor:
        """Latents (n, c, h, w), float32, of examples ``rows`` turned by ``orientations``."""
        for row in np.unique(rows[~self.ready[rows]]):
            image = to_unit(self.rgb[row][None])
            turned = torch.cat([orient(image, o) for o in range(ORIENTATIONS)]).to(self.device)
            with torch.autocast(self.device.type, torch.bfloat16):
                self.latents[row] = self.vae.encode(turned).latent.half().cpu()
            self.ready[row] = True
        return self.latents[torch.from_numpy(rows), torch.from_numpy(orientations)].float()


def orient(batch: Tensor, orientation: int) -> Tensor:
    """One of the eight symmetries of the square, by number, applied to (..., h, w)."""
    return turn(batch, int(orientation) % 4, int(orientation) >= 4)


def draw_batch(
    pack: Pack,
    cache: LatentCache,
    weights: NDArray[np.float64],
    mix: ConditionMix,
    size: int,
    rng: np.random.Generator,
) -> Batch:
    """A batch of ``size`` examples drawn by ``weights``, conditions dropped by ``mix``."""
    rows = rng.choice(len(pack), size=size, p=weights)
    orientations = rng.integers(ORIENTATIONS, size=size)
    latents = cache.get(rows, orientations)
    content = latent_statistics(latents)
    odds = np.array([p for p, _ in mix.controls])
    controls, present, prompts, metadata = [], [], [], []
    for k, row in enumerate(rows):
        slots = mix.controls[rng.choice(len(odds), p=odds / odds.sum())][1]
        if not (pack.has_areas[row] or pack.has_seen[row]):
            slots = tuple(slot for slot in slots if slot != "seg")
        maps = control_maps(pack, int(row), slots, rng)
        controls.append(orient(torch.from_numpy(maps), orientations[k]))
        present.append([float(slot in slots) for slot in SLOTS])
        bare = not slots and rng.random() < mix.drop_all
        texts = pack.captions[row]
        speak = texts and not bare and rng.random() >= mix.drop_text
        prompts.append(str(rng.choice(texts)) if speak else "")
        if bare or rng.random() < mix.drop_content:
            content[k] = 0
        values = pack.metadata[row].copy()
        lost = 1.0 if rng.random() < mix.drop_metadata else mix.drop_field
        values[rng.random(len(values)) < lost] = np.nan
        metadata.append(values)
    return Batch(
        latents,
        torch.stack(controls),
        torch.tensor(present),
        prompts,
        content,
        torch.from_numpy(np.stack(metadata)),
    )


def control_maps(
    pack: Pack, row: int, slots: tuple[str, ...], rng: np.random.Generator | None = None
) -> NDArray[np.float32]:
    """Control stack (18, h, w) of an example with the given slots.

    With ``rng``, land cover is what a network sees in one half of the samples, which is complete
    but not always right; in the other half it is thinned out at random - outlines alone, plants
    alone - because what people have is seldom complete. Edges are those of the map rather than of
    the image in half of the samples that have one.
    """
    maps = np.zeros((18, *pack.road.shape[1:]), dtype=np.float32)
    of_map = rng is not None and pack.has_map[row] and rng.random() < 0.5
    edges = (pack.map_edges if of_map else pack.photo_edges)[row]
    for name, values in zip(EDGE_SLOTS, edges, strict=True):
        if name in slots:
            first = 3 * SLOTS.index(name)
            maps[first : first + 3] = values / np.float32(255)
    if "road" in slots:
        maps[9:12] = pack.road[row]
    if "seg" in slots:
        areas, plants = pack.areas[row], pack.vegetation[row]
        luck = 1.0 if rng is None else rng.random()
        if luck < 0.2:
            plants = np.zeros_like(plants)
        elif luck < 0.35:
            areas = np.zeros_like(areas)
        seg = compose_seg(areas, plants, pack.road[row])
        if pack.has_seen[row] and rng is not None and (not pack.has_areas[row] or luck >= 0.5):
            seg = seen_seg(pack.seen[row], pack.road[row])
        maps[15:18] = (PALETTE[seg] / np.float32(255)).transpose(2, 0, 1)
    return maps
