"""Batches for the denoiser: which conditions a sample sees, turned and encoded."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rsaug.conditions.landcover import PALETTE
from rsaug.conditions.stack import SLOTS
from rsaug.pipelines.content import latent_statistics
from rsaug.pipelines.train.autoencoder import to_unit
from rsaug.pipelines.train.loop import turn
from rsaug.pipelines.train.mix import ConditionMix
from rsaug.pipelines.train.pack import Pack
from rsaug.pipelines.train.rows import EDGE_SLOTS, compose_seg, seen_seg

ORIENTATIONS = 8

KNOWN_SLOTS = ("mlsd", "hed", "sketch", "road", "seg")
"""Slots that an example of a `Pack` has a map for."""


@dataclass(frozen=True)
class Batch:
    """One training batch, or a part of one; n samples.

    Attributes:
        latents: (n, c, h/f, w/f) clean latents.
        controls: (n, 18, h, w) in [0, 1].
        present: (n, 6).
        prompts: n texts.
        content: (n, d) image embeddings, zero where absent.
        metadata: (n, 7), NaN where absent.
        rows: (n,) which examples these are.
        orientations: (n,) how each is turned.
        part: which samples of the whole batch these are.
        total: samples in the whole batch.
    """

    latents: Tensor
    controls: Tensor
    present: Tensor
    prompts: list[str]
    content: Tensor
    metadata: Tensor
    rows: NDArray[np.int64]
    orientations: NDArray[np.int64]
    part: slice
    total: int

    def to(self, device: torch.device) -> Batch:
        """The batch with its tensors on ``device``."""
        tensors: dict[str, Any] = {
            k: v.to(device) for k, v in vars(self).items() if isinstance(v, Tensor)
        }
        return replace(self, **tensors)


class ImageCache:
    """Latents and embeddings of every example in every orientation, made when first asked for.

    The autoencoder is not equivariant, so a turned image is encoded, not a latent turned. All
    orientations of an example are encoded together, so that a latent does not depend on what else
    a batch asks for. The cache stays in host memory, latents in float16.

    Args:
        rgb: (n, size, size, 3) uint8 images.
        encode: from images (8, 3, size, size) in [-1, 1] to latents (8, c, h, w).
        device: where to encode.
        embed: from the same images to embeddings (8, d); None for the statistics of the latents.
        full: whether to encode in float32 rather than bfloat16.
    """

    def __init__(
        self,
        rgb: NDArray[np.uint8],
        encode: Callable[[Tensor], Tensor],
        device: torch.device,
        embed: Callable[[Tensor], Tensor] | None = None,
        *,
        full: bool = False,
    ) -> None:
        self.rgb, self.device = torch.from_numpy(rgb), device
        self.encode, self.embed, self.full = encode, embed, full
        self.latents, self.embeddings = torch.empty(0), torch.empty(0)
        self.ready = np.zeros(len(rgb), dtype=bool)

    def get(
        self, rows: NDArray[np.int64], orientations: NDArray[np.int64]
    ) -> tuple[Tensor, Tensor]:
        """Latents (n, c, h, w) and embeddings (n, d), float32, of examples ``rows``, turned."""
        for row in np.unique(rows[~self.ready[rows]]):
            self._add(int(row))
        place = torch.from_numpy(rows), torch.from_numpy(orientations)
        latents = self.latents[place].float()
        if self.embed is None:
            return latents, latent_statistics(latents)
        return latents, self.embeddings[place]

    @torch.no_grad()
    def _add(self, row: int) -> None:
        image = to_unit(self.rgb[row][None])
        turned = torch.cat([orient(image, o) for o in range(ORIENTATIONS)]).to(self.device)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=not self.full):
            latents = self.encode(turned).half().cpu()
            embeddings = self.embed(turned).float().cpu() if self.embed else torch.empty(8, 0)
        if not self.ready.any():
            self.latents = latents.new_zeros(len(self.rgb), *latents.shape)
            self.embeddings = embeddings.new_zeros(len(self.rgb), *embeddings.shape)
        self.latents[row], self.embeddings[row] = latents, embeddings
        self.ready[row] = True


def orient(batch: Tensor, orientation: int) -> Tensor:
    """One of the eight symmetries of the square, by number, applied to (..., h, w)."""
    return turn(batch, int(orientation) % 4, int(orientation) >= 4)


@dataclass(frozen=True)
class _Luck:
    """What is decided by chance of the maps of a sample."""

    of_map: bool = False
    seg: float | None = None


@dataclass(frozen=True)
class _Sample:
    """What is decided of a sample by chance."""

    row: int
    orientation: int
    slots: tuple[str, ...]
    luck: _Luck
    prompt: str
    content: bool
    metadata: NDArray[np.float32]


def draw_batch(
    pack: Pack,
    cache: ImageCache,
    weights: NDArray[np.float64],
    mix: ConditionMix,
    size: int,
    rng: np.random.Generator,
    part: slice = slice(None),
) -> Batch:
    """A batch of ``size`` examples drawn by ``weights``, conditions dropped by ``mix``.

    Of the same batch each process draws all and makes its ``part``, so that what is in it does not
    depend on how it is cut.
    """
    rows = rng.choice(len(pack), size=size, p=weights)
    orientations = rng.integers(ORIENTATIONS, size=size)
    drawn = [
        _draw_sample(pack, row, turned, mix, rng)
        for row, turned in zip(rows.tolist(), orientations.tolist(), strict=True)
    ]
    latents, content = cache.get(rows[part], orientations[part])
    mine = drawn[part]
    maps = [torch.from_numpy(_make_maps(pack, s.row, s.slots, s.luck)) for s in mine]
    dropped = torch.tensor([[not s.content] for s in mine])
    return Batch(
        latents=latents,
        controls=torch.stack([orient(m, s.orientation) for m, s in zip(maps, mine, strict=True)]),
        present=torch.tensor([[float(slot in s.slots) for slot in SLOTS] for s in mine]),
        prompts=[s.prompt for s in mine],
        content=content.masked_fill(dropped, 0),
        metadata=torch.from_numpy(np.stack([s.metadata for s in mine])),
        rows=rows[part],
        orientations=orientations[part],
        part=part,
        total=size,
    )


def photographs(pack: Pack, batch: Batch) -> Tensor:
    """Images (n, 3, size, size) in [-1, 1] that a batch's latents are of, turned as they are."""
    images = to_unit(torch.from_numpy(pack.rgb[batch.rows]))
    turned = zip(images, batch.orientations.tolist(), strict=True)
    return torch.stack([orient(image, orientation) for image, orientation in turned])


def _draw_sample(
    pack: Pack, row: int, orientation: int, mix: ConditionMix, rng: np.random.Generator
) -> _Sample:
    slots = tuple(slot for slot in mix.draw_slots(rng) if _has(pack, row, slot))
    luck = _draw_luck(pack, row, slots, rng)
    bare = not slots and rng.random() < mix.drop_all
    texts = pack.captions[row]
    speak = texts and not bare and rng.random() >= mix.drop_text
    prompt = str(rng.choice(texts)) if speak else ""
    content = not (bare or rng.random() < mix.drop_content)
    values = pack.metadata[row].copy()
    lost = 1.0 if rng.random() < mix.drop_metadata else mix.drop_field
    values[rng.random(len(values)) < lost] = np.nan
    return _Sample(row, orientation, slots, luck, prompt, content, values)


def has_any(pack: Pack, slot: str) -> bool:
    """Whether some example has a map for a slot."""
    if slot == "seg":
        return bool((pack.has_areas | pack.has_seen).any())
    return slot in KNOWN_SLOTS


def _has(pack: Pack, row: int, slot: str) -> bool:
    """Whether an example has a map for a slot."""
    if slot == "seg":
        return bool(pack.has_areas[row] or pack.has_seen[row])
    return slot in KNOWN_SLOTS


def _draw_luck(
    pack: Pack, row: int, slots: tuple[str, ...], rng: np.random.Generator | None
) -> _Luck:
    if rng is None:
        return _Luck()
    of_map = bool(pack.has_map[row]) and rng.random() < 0.5
    return _Luck(of_map, rng.random() if "seg" in slots else None)


def control_maps(
    pack: Pack, row: int, slots: tuple[str, ...], rng: np.random.Generator | None = None
) -> NDArray[np.float32]:
    """Control stack (18, h, w) of an example with the given slots.

    With ``rng``, land cover is what a network sees in one half of the samples, which is complete
    but not always right; in the other half it is thinned out at random - outlines alone, plants
    alone - because what people have is seldom complete. Edges are those of the map rather than of
    the image in half of the samples that have one.
    """
    return _make_maps(pack, row, slots, _draw_luck(pack, row, slots, rng))


def _make_maps(pack: Pack, row: int, slots: tuple[str, ...], luck: _Luck) -> NDArray[np.float32]:
    maps = np.zeros((18, *pack.road.shape[1:]), dtype=np.float32)
    edges = (pack.map_edges if luck.of_map else pack.photo_edges)[row]
    for name, values in zip(EDGE_SLOTS, edges, strict=True):
        if name in slots:
            first = 3 * SLOTS.index(name)
            maps[first : first + 3] = values / np.float32(255)
    if "road" in slots:
        maps[9:12] = pack.road[row]
    if "seg" in slots:
        maps[15:18] = (PALETTE[_seg(pack, row, luck.seg)] / np.float32(255)).transpose(2, 0, 1)
    return maps


def _seg(pack: Pack, row: int, luck: float | None) -> NDArray[np.uint8]:
    """Class indices of an example's land cover, of whichever kind chance has it."""
    areas, plants = pack.areas[row], pack.vegetation[row]
    if luck is not None and pack.has_seen[row] and (not pack.has_areas[row] or luck >= 0.5):
        return seen_seg(pack.seen[row], pack.road[row])
    if luck is not None and luck < 0.2:
        plants = np.zeros_like(plants)
    elif luck is not None and luck < 0.35:
        areas = np.zeros_like(areas)
    return compose_seg(areas, plants, pack.road[row])
