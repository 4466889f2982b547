"""Training examples of the generator: images with their controls, captions and metadata."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rsaug.pipelines.train.captions import WORDINGS
from rsaug.pipelines.train.rows import Look, Reading, read_examples


@dataclass(frozen=True)
class Pack:
    """Examples as arrays, one row each.

    Attributes:
        rgb: (n, size, size, 3) uint8.
        road: (n, size, size) uint8, 1 on road surface.
        areas: (n, size, size) uint8 class indices from land-cover outlines, background elsewhere.
        vegetation: (n, size, size) uint8, 1 where NDVI says plants.
        seen: (n, size, size) uint8 class indices as a network sees them in the image.
        photo_edges: (n, 3, size, size) uint8, straight lines, soft edges and sketch of the image as
            `rsaug.pipelines.train.rows.EDGE_SLOTS` names them, times 255.
        map_edges: (n, 3, size, size) uint8, the same of the roads and areas that are mapped.
        has_areas: (n,) whether land cover is known from outlines or from NDVI.
        has_seen: (n,) whether a network has looked at the image.
        has_map: (n,) whether there is a map to take edges from.
        captions: texts that describe the example; may be empty. Those by hand come first, and are
            repeated until they are a third of all.
        metadata: (n, 7) in the order of :data:`rsaug.pipelines.metadata.FIELDS`, NaN where unknown.
    """

    rgb: NDArray[np.uint8]
    road: NDArray[np.uint8]
    areas: NDArray[np.uint8]
    vegetation: NDArray[np.uint8]
    seen: NDArray[np.uint8]
    photo_edges: NDArray[np.uint8]
    map_edges: NDArray[np.uint8]
    has_areas: NDArray[np.bool_]
    has_seen: NDArray[np.bool_]
    has_map: NDArray[np.bool_]
    captions: list[tuple[str, ...]]
    metadata: NDArray[np.float32]

    def __len__(self) -> int:
        """Number of examples."""
        return len(self.rgb)

    def __add__(self, other: Pack) -> Pack:
        """Examples of both, ours first."""
        arrays: dict[str, Any] = {
            name: np.concatenate([mine, getattr(other, name)])
            for name, mine in vars(self).items()
            if name != "captions"
        }
        return Pack(captions=self.captions + other.captions, **arrays)


def read_pack(
    folder: Path,
    split: str,
    size: int = 256,
    gsd_m: float | None = None,
    look: Look | None = None,
    limit: int | None = None,
    wordings: int = WORDINGS,
) -> Pack:
    """Examples of one split of a tile folder.

    A folder with ``roads.geojson`` (and, as far as there are, ``landcover.geojson``, ``nir/`` and
    ``captions.csv``) holds georeferenced tiles of one size; one with ``masks/<id>.png`` holds
    images of any size with finished road masks, which are cut into tiles.

    Args:
        folder: tile folder; see :mod:`rsaug.pipelines.train.folder`.
        split: which rows of its index.
        size: side of an example in pixels.
        gsd_m: pixel size where the images have no georeference.
        look: a network that sees land cover, such as
            `rsaug.pipelines.extractors.landcover.LandcoverNet.classify`; outlines are seldom
            complete.
        limit: take the first of the images only.
        wordings: texts composed for an example from what is measured on it, besides those of
            ``captions.csv``; see :mod:`rsaug.pipelines.train.captions`.

    Raises:
        InputError: if the folder has neither, or a tile has another size.
    """
    reading = Reading(size, gsd_m, look, limit, wordings)
    return stack_examples([example.row for example in read_examples(folder, split, reading)])


def stack_examples(rows: list[dict[str, Any]]) -> Pack:
    """The examples of some rows."""
    columns = {name: [row[name] for row in rows] for name in rows[0]}
    captions = columns.pop("captions")
    return Pack(captions=captions, **{name: np.stack(values) for name, values in columns.items()})
